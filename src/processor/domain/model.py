"""What was driven: tracks, and the passes found in them.

A fix is a stored position that is not faulty and has satellites; whoever makes a track leaves the
others out. A track is columns, because everything about it is computed for all fixes at once.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

Explanation: TypeAlias = Mapping[str, object]
"""Why a number is what it is, in plain JSON values: `text`, a sentence for a steward, and beside it
what the sentence rests on (fixes, geometry, the rule and its version, the arithmetic)."""


@frozen
class Fix:
    """One fix: instant in microseconds, degrees WGS 84, the device's own speed in km/h and its
    horizontal dilution of precision (IO 182); None where it said none."""

    at: int
    latitude: float
    longitude: float
    speed_kmh: float | None = None
    hdop: float | None = None


@frozen(eq=False)
class Track:
    """The fixes of one device in the order of their instants, each instant once.

    `at` in microseconds; `latitude`, `longitude` in degrees, rounded to 1e-7; `speed_kmh`, `hdop`
    NaN where the device said none.
    """

    device_id: str
    at: Integers
    latitude: Floats
    longitude: Floats
    speed_kmh: Floats
    hdop: Floats

    def __len__(self) -> int:
        return len(self.at)

    @classmethod
    def of(cls, device_id: str, fixes: Iterable[Fix]) -> "Track":
        """A track of fixes in any order. Of several with one instant the first counts."""
        nan = float("nan")
        once = {fix.at: fix for fix in reversed(list(fixes))}
        kept = [once[at] for at in sorted(once)]
        return cls(
            device_id,
            np.array([fix.at for fix in kept], dtype=np.int64),
            np.array([round(fix.latitude, 7) for fix in kept], dtype=np.float64),
            np.array([round(fix.longitude, 7) for fix in kept], dtype=np.float64),
            np.array([nan if f.speed_kmh is None else f.speed_kmh for f in kept], dtype=np.float64),
            np.array([nan if f.hdop is None else f.hdop for f in kept], dtype=np.float64),
        )

    def fix(self, index: int) -> Fix:
        """One of them."""
        speed, hdop = float(self.speed_kmh[index]), float(self.hdop[index])
        return Fix(
            int(self.at[index]),
            float(self.latitude[index]),
            float(self.longitude[index]),
            None if speed != speed else speed,
            None if hdop != hdop else hdop,
        )

    def between(self, since: int | None, until: int | None) -> "Track":
        """The fixes with since <= at <= until; None: no end."""
        start = 0 if since is None else int(np.searchsorted(self.at, since, side="left"))
        stop = len(self) if until is None else int(np.searchsorted(self.at, until, side="right"))
        return self.cut(start, stop)

    def cut(self, start: int, stop: int) -> "Track":
        """The fixes number `start` to `stop`, half open."""
        part = slice(start, max(start, stop))
        return Track(
            self.device_id,
            self.at[part],
            self.latitude[part],
            self.longitude[part],
            self.speed_kmh[part],
            self.hdop[part],
        )


@frozen
class Crossing:
    """A track passed the edge of an object at an instant.

    `kind` is enter, exit or, of a gate, cross. `before` and `after` are the instants of the two
    fixes around it, `ordinal` says which crossing of this object in that chord it is, from 0.
    `uncertainty_ms` is a 95 % half width. `direction_ok` only of a gate. `provisional`: it was
    found across a gap, and a later upload may resolve it. `visit` ties an enter to its exit.
    """

    device_id: str
    object_id: str
    kind: str
    at: int
    before: int
    after: int
    ordinal: int
    latitude: float
    longitude: float
    speed_kmh: float | None
    uncertainty_ms: int
    visit: str | None = None
    direction_ok: bool | None = None
    provisional: bool = False

    @property
    def key(self) -> str:
        """What makes it one crossing of its device and object: kind/before/ordinal."""
        return f"{self.kind}/{self.before}/{self.ordinal}"


@frozen
class Pass:
    """A visit of an area or disc, or a directed cross of a gate; numbered per device and object
    from 1, in the order of time.

    A visit without `enter` was first seen inside (at `since`); one without `exit` is still open
    when the track ends. Of a gate `enter` and `exit` are the same cross, and only crosses in the
    right direction are passes.
    """

    device_id: str
    object_id: str
    number: int
    since: int
    enter: Crossing | None
    exit: Crossing | None

    @property
    def provisional(self) -> bool:
        """Whether a gap lies on one of its edges."""
        return any(c is not None and c.provisional for c in (self.enter, self.exit))


@frozen
class Gap:
    """Two consecutive fixes of a device with no line between them: silence, or a leap that no car
    can make. `speeding`: it is the latter."""

    device_id: str
    before: Fix
    after: Fix
    speeding: bool = False


@frozen
class Nearest:
    """Where a track came nearest to an object: metres from its edge to the millimetre, and the two
    fixes of the chord (one, where only gaps lie beside it)."""

    distance_m: float
    fixes: tuple[Fix, ...]


@frozen
class Evidence:
    """What one device saw of a course: everything that timing and penalties start from."""

    track: Track
    crossings: tuple[Crossing, ...] = ()
    passes: Mapping[str, tuple[Pass, ...]] = field(factory=dict)
    gaps: tuple[Gap, ...] = ()

    @property
    def device_id(self) -> str:
        return self.track.device_id
