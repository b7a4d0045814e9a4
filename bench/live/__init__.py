"""What `make bench-live` measures: how positions get from the stream to many browsers."""
