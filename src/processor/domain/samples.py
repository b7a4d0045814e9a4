"""The fixes of a stay as samples: the device's own speed, and the time that each answers for.

A sample answers for the part of the stay that is nearer to it in time than to any other fix; the
time of a gap is nobody's, and that of a fix without a speed is not its neighbours'. A speed of 0
beside a chord that was driven at more than 20 km/h is no speed: devices send 0 where the receiver
knows none (design/racing.md, Speed zones).
"""

from decimal import Decimal

import numpy as np
from attrs import field, frozen

from processor.domain.chords import KMH
from processor.domain.instants import SECOND
from processor.domain.model import Fix, Track
from processor.domain.plane import metres
from processor.domain.witnesses import Witness

NO_SPEED_BESIDE_KMH = 20.0
SPEED_DIGITS = 3  # a stored `real` is no nearer to what the device said


@frozen
class Sample:
    """A fix strictly inside, the device's own speed there (None: it knows none), and the time that
    it answers for. `joined`: there is a chord from the sample before it."""

    fix: Fix
    speed_kmh: Decimal | None
    seconds: Decimal
    joined: bool


def samples_between(
    witness: Witness, first: int, last: int, opens: int, closes: int
) -> tuple[Sample, ...]:
    """The fixes with first <= at <= last of a stay from `opens` to `closes`."""
    track = witness.track
    steps = _Steps(track, frozenset(gap.before.at for gap in witness.evidence.gaps))
    start = int(np.searchsorted(track.at, first, side="left"))
    stop = int(np.searchsorted(track.at, last, side="right"))
    return tuple(
        Sample(
            track.fix(index),
            steps.speed_kmh(index),
            steps.seconds(index, opens, closes),
            joined=index > start and steps.has_chord(index - 1),
        )
        for index in range(start, stop)
    )


@frozen(eq=False)
class _Steps:
    """A track with its chords: from each fix to the next, unless a gap lies between."""

    track: Track
    silent_after: frozenset[int] = field(factory=frozenset)

    def has_chord(self, index: int) -> bool:
        inside = 0 <= index < len(self.track) - 1
        return inside and int(self.track.at[index]) not in self.silent_after

    def seconds(self, index: int, opens: int, closes: int) -> Decimal:
        """The time that is nearest to a fix: up to the middle of a chord, or on its whole length
        where the stay begins or ends in it."""
        at = int(self.track.at[index])
        twice = 0
        if self.has_chord(index - 1):
            before = int(self.track.at[index - 1])
            twice += at - before if before > opens else 2 * (at - opens)
        if self.has_chord(index):
            after = int(self.track.at[index + 1])
            twice += after - at if after < closes else 2 * (closes - at)
        return Decimal(twice) / (2 * SECOND)

    def speed_kmh(self, index: int) -> Decimal | None:
        """The device's own speed. 0 beside a chord of more than 20 km/h is none."""
        speed = float(self.track.speed_kmh[index])
        if np.isnan(speed):
            return None
        beside = (k for k in (index - 1, index) if self.has_chord(k))
        if speed == 0 and any(self._mean_kmh(k) > NO_SPEED_BESIDE_KMH for k in beside):
            return None
        return decimal(speed)

    def _mean_kmh(self, index: int) -> float:
        start, end = self.track.fix(index), self.track.fix(index + 1)
        return apart_m(start, end) / ((end.at - start.at) / SECOND) * KMH


def apart_m(start: Fix, end: Fix) -> float:
    """The distance of two fixes along the ground."""
    return metres((start.longitude, start.latitude), (end.longitude, end.latitude))


def decimal(value: float) -> Decimal:
    """A speed or a duration as the number that somebody wrote or a device said."""
    return Decimal(str(round(float(value), SPEED_DIGITS)))
