"""What we remember of each device, in bounded memory.

A late fix counts and moves nothing back. A fix from a clock that runs ahead, or without
satellites, counts too, but must not become the last position: the one would shut out every honest
fix that follows, the other repeats an old place.

A device that is not known, or no longer, is learned of at once, and named: what the database knows
of it comes later (recall.py) and only ever moves its state forward.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from attrs import define, frozen

from processor.core.model import Position, Record

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@define
class DeviceState:
    """`last_seen` is the greatest GPS time seen, `last_position` the fix that had it;
    `position_count_session` how many rows this process has added for the device."""

    last_position: Position | None = None
    last_seen: datetime | None = None
    position_count_session: int = 0


@frozen
class Observed:
    """What a batch did to the states: how many devices were forgotten for room, and which are
    known now and were not before."""

    evicted: int
    unknown: Sequence[str] = ()


class DeviceStates:
    """The states of the devices that were heard of last, at most `cap` of them.

    A plain dict is the LRU: it keeps the order of insertion, and a device that is heard of again
    is taken out and put back at the end.
    """

    def __init__(self, cap: int, clock_ahead_ms: int) -> None:
        assert cap > 0
        self._cap = cap
        self._clock_ahead_ms = clock_ahead_ms
        self._states: dict[str, DeviceState] = {}

    def __len__(self) -> int:
        return len(self._states)

    @property
    def cap(self) -> int:
        """How many devices are remembered, at most."""
        return self._cap

    def get(self, device_id: str) -> DeviceState | None:
        """The state of a device, None if it is unknown or was forgotten. Changes no order."""
        return self._states.get(device_id)

    def observe(self, records: Sequence[Record]) -> Observed:
        """Learn from records that have become rows."""
        if not records:
            return Observed(0)
        states = self._states
        unknown = []
        # What no entry of the batch makes too far ahead needs no look at its own entry's time.
        surely_fine = self._latest(min(record.entry.received_ms for record in records))
        for record in records:
            position = record.position
            device_id = position.device_id
            state = states.pop(device_id, None)
            if state is None:
                state = DeviceState()
                unknown.append(device_id)
            states[device_id] = state
            state.position_count_session += 1
            fixed_at = position.fixed_at
            if (
                (state.last_seen is None or fixed_at > state.last_seen)
                and position.satellites > 0
                and (fixed_at <= surely_fine or fixed_at <= self._latest(record.entry.received_ms))
            ):
                state.last_seen = fixed_at
                state.last_position = position
        evicted = max(0, len(states) - self._cap)
        for device_id in list(islice(states, evicted)):
            del states[device_id]
        return Observed(evicted, [device_id for device_id in unknown if device_id in states])

    def recall(self, position: Position) -> None:
        """Take in a good fix that the database had: nothing moves back, and whoever was forgotten
        meanwhile stays so. It was counted when it was added, if we added it."""
        state = self._states.get(position.device_id)
        if state is not None and (state.last_seen is None or position.fixed_at > state.last_seen):
            state.last_seen = position.fixed_at
            state.last_position = position

    def _latest(self, received_ms: int) -> datetime:
        """The latest instant that a fix may claim which the stream took at `received_ms`."""
        return EPOCH + timedelta(milliseconds=received_ms + self._clock_ahead_ms)
