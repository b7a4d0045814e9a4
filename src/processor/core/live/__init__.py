"""From the stream to browsers: messages, registry, newest, outbox, session and admission decide;
subscribing, rechecks and fanout do."""
