"""Programs that read one consumer group until they are told to stop; each runs as a process of its
own, with the same arguments, and is measured from outside."""
