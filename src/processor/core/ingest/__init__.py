"""From the stream to the table: batch, ledger and state decide; writer and consumer do."""
