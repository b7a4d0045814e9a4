"""(being written)"""

from attrs import frozen


@frozen
class Limits:
    """How much at once, and how long. Counts are entries."""

    read_count: int
    read_wait_ms: int
    write_count: int
    writers: int
    in_flight: int
    claim_idle_ms: int
    claim_interval_ms: int
