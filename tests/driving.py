"""Courses and tracks laid out in metres, for tests of the racing rules.

Everything lies around one origin; `place(east, north)` is where a point of the drawing board lies
on the ellipsoid, by geographiclib, which the code under test does not use.
"""

import math
from collections.abc import Iterable, Sequence

from geographiclib.geodesic import Geodesic
from hypothesis import strategies as st

from processor.domain.course import (
    Area,
    Course,
    Disc,
    Gate,
    Kind,
    Object,
    Place,
    Segment,
    SegmentType,
    Shape,
    Stage,
    Zone,
)
from processor.domain.crossings import Ground
from processor.domain.instants import SECOND
from processor.domain.model import Fix, Track
from processor.domain.rules import Settings

ORIGIN = (19.8, 41.3)
START = 1_780_819_200_000_000  # 2026-06-07T08:00:00Z
DEVICE = "350000000000301"


def place(east: float, north: float, origin: Place = ORIGIN) -> Place:
    """The place that lies so many metres east and north of the origin."""
    there = Geodesic.WGS84.Direct(
        origin[1], origin[0], math.degrees(math.atan2(east, north)), math.hypot(east, north)
    )
    return there["lon2"], there["lat2"]


def disc(east: float, north: float, radius_m: float) -> Disc:
    return Disc(place(east, north), radius_m)


def gate(
    start: tuple[float, float], end: tuple[float, float], direction_deg: float | None = None
) -> Gate:
    return Gate((place(*start), place(*end)), direction_deg)


def area(*corners: tuple[float, float]) -> Area:
    return Area((tuple(place(*corner) for corner in corners),))


def course(*objects: Object, zones: Sequence[Zone] = (), **segment: object) -> Course:
    """A course of one special stage, SS1."""
    only = Segment("SS1", SegmentType.SPECIAL_STAGE, tuple(objects), zones=tuple(zones), **segment)  # type: ignore[arg-type]
    return Course("test", (Stage("SS1", (only,)),))


def ground(shapes: dict[str, Shape], settings: Settings | None = None) -> Ground:
    """The ground of a course of checkpoints with these shapes; an id that begins with S is a
    start."""
    objects = [
        Object(name, Kind.START if name.startswith("S") else Kind.CHECKPOINT, shape)
        for name, shape in shapes.items()
    ]
    return Ground(course(*objects), settings or Settings())


def track(
    points: Iterable[tuple[float, ...]], device_id: str = DEVICE, hdop: float | None = None
) -> Track:
    """A track of (seconds after START, metres east, metres north[, km/h])."""
    fixes = []
    for seconds, east, north, *speed in points:
        lon, lat = place(east, north)
        fixes.append(
            Fix(START + round(seconds * SECOND), lat, lon, speed[0] if speed else None, hdop)
        )
    return Track.of(device_id, fixes)


def seconds(instant_us: int) -> float:
    """Seconds after START."""
    return (instant_us - START) / SECOND


BOARD = ground({
    "W1": disc(60, 10, 25),
    "W2": disc(-40, -30, 12),
    "S": gate((0, -60), (0, 60), 90),
    "G": gate((30, -80), (-30, 80)),
    "A": area((-90, -90), (90, -90), (20, 0), (90, 90), (-90, 90)),
})  # fmt: skip


@st.composite
def wanderings(draw: st.DrawFn) -> Track:
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0.5, 1, 1, 1, 2, 5, 59, 61, 200]),
                st.integers(-12, 12),
                st.integers(-12, 12),
                st.one_of(st.none(), st.integers(0, 120)),
            ),
            min_size=1,
            max_size=40,
        )
    )
    now, points = 0.0, []
    for wait, east, north, speed in steps:
        now += wait
        points.append((now, east * 10.0, north * 10.0, *([] if speed is None else [speed])))
    return track(points)
