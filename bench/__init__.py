"""What `make bench` measures, and with what: never imported by the service."""
