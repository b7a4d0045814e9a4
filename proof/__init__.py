"""Proofs that take their time. They use the service's package and the servers of tests and demo."""
