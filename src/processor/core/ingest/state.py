"""What we remember of each device, in bounded memory.

A late fix counts and moves nothing back. A fix from a clock that runs ahead, or without
satellites, counts too, but must not become the last position: the one would shut out every honest
fix that follows, the other repeats an old place.
"""

from collections.abc import Iterable
from datetime import datetime

from attrs import define

from processor.core.model import Position, Record


@define
class DeviceState:
    """`last_seen` is the greatest GPS time seen, `last_position` the fix that had it;
    `position_count_session` how many rows this process has added for the device."""

    last_position: Position | None = None
    last_seen: datetime | None = None
    position_count_session: int = 0


class DeviceStates:
    """The states of the devices that were heard of last, at most `cap` of them.

    A plain dict is the LRU: it keeps the order of insertion, and a device that is heard of again
    is taken out and put back at the end.
    """

    def __init__(self, cap: int, clock_ahead_ms: int) -> None:
        assert cap > 0
        self._cap = cap
        self._clock_ahead_s = clock_ahead_ms / 1000
        self._states: dict[str, DeviceState] = {}

    def __len__(self) -> int:
        return len(self._states)

    def get(self, device_id: str) -> DeviceState | None:
        """The state of a device, None if it is unknown or was forgotten. Changes no order."""
        return self._states.get(device_id)

    def observe(self, records: Iterable[Record]) -> int:
        """Learn from records that have become rows. How many devices were forgotten for them."""
        states = self._states
        for record in records:
            position = record.position
            state = states.pop(position.device_id, None) or DeviceState()
            states[position.device_id] = state
            state.position_count_session += 1
            newer = state.last_seen is None or position.fixed_at > state.last_seen
            if newer and position.satellites > 0 and not self._clock_ahead(record):
                state.last_seen = position.fixed_at
                state.last_position = position
        evicted = max(0, len(states) - self._cap)
        for device_id in [device_id for device_id, _ in zip(states, range(evicted), strict=False)]:
            del states[device_id]
        return evicted

    def _clock_ahead(self, record: Record) -> bool:
        received_s = record.entry.received_ms / 1000
        return record.position.fixed_at.timestamp() - received_s > self._clock_ahead_s
