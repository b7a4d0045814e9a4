"""The newest fix of each device that this instance has read, in bounded memory.

Whatever a browser is sent of a device gets newer from frame to frame. So what is older than, or as
old as, what was read of the device before goes no further here (ingest stores it all the same), nor
does a fix from a clock that runs ahead, which would shut out every honest one that follows, nor one
without satellites, which repeats an old place.
"""

from datetime import datetime
from enum import StrEnum
from itertools import islice

from processor.core.live.messages import epoch_ms
from processor.core.model import Position


class Use(StrEnum):
    """What a fix is good for: to be sent, or why not. Also a metric's label."""

    NEW = "new"
    OLDER = "older"
    AHEAD = "ahead"
    NO_FIX = "no-fix"


class NewestFixes:
    """By device, the `cap` devices that were heard of last. As in ingest/state.py, the LRU is a
    plain dict, which keeps the order of insertion."""

    def __init__(self, cap: int, clock_ahead_ms: int) -> None:
        assert cap > 0
        self._cap = cap
        self._clock_ahead_ms = clock_ahead_ms
        # The instant stays when the fix is found to be faulty: browsers have seen it.
        self._known: dict[str, tuple[datetime, Position | None]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, position: Position, received_ms: int) -> Use:
        """Take in a fix that the stream took at `received_ms`; NEW if it is the newest now."""
        if position.satellites == 0:
            return Use.NO_FIX
        device_id, fixed_at = position.device_id, position.fixed_at
        if epoch_ms(fixed_at) > received_ms + self._clock_ahead_ms:
            return Use.AHEAD
        known = self._known.pop(device_id, None)
        # The wire has milliseconds: two fixes within one would be two frames with the same ts.
        if known is not None and epoch_ms(fixed_at) <= epoch_ms(known[0]):
            self._known[device_id] = known
            return Use.OLDER
        self._known[device_id] = (fixed_at, position)
        if len(self._known) > self._cap:
            del self._known[next(islice(self._known, 1))]
        return Use.NEW

    def get(self, device_id: str) -> Position | None:
        """Its newest fix; None where none is known, or where it was found to be faulty."""
        known = self._known.get(device_id)
        return known[1] if known else None

    def instant(self, device_id: str) -> datetime | None:
        """When its newest fix was, faulty or not."""
        known = self._known.get(device_id)
        return known[0] if known else None

    def disown(self, device_id: str, fixed_at: datetime) -> None:
        """That fix is faulty: it is in no snapshot any more."""
        known = self._known.get(device_id)
        if known is not None and known[0] == fixed_at:
            self._known[device_id] = (fixed_at, None)
