"""`make bench-domain`: crossings, measured; see run.py."""
