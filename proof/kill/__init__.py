"""The kill ledger: whatever is killed at whatever moment, the sum is right in the end."""
