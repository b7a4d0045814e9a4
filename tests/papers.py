"""Evidence written by hand, for tests of timing and results: a world with one dimension.

The course is a line; an object stands at so many metres and reaches `REACH_M` to both sides. What a
device saw of it is told as (object, entered, left) in seconds after START, without any geometry, so
that a test says exactly what timing is given. `Line` answers its questions about distances.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from attrs import frozen

from processor.domain.course import (
    Disc,
    Entry,
    Kind,
    Object,
    Place,
    Segment,
    SegmentType,
    Stage,
)
from processor.domain.instants import SECOND
from processor.domain.model import Crossing, Evidence, Fix, Floats, Gap, Nearest, Pass, Track
from processor.domain.rules import Settings
from processor.domain.rulings import Ruling, RulingKind
from processor.domain.timesheet import StageSheet
from processor.domain.timing import time_stage

START = 1_780_819_200_000_000  # 2026-06-07T08:00:00Z
DEGREES_PER_METRE = 1e-5
REACH_M = 10.0
UNCERTAINTY_MS = 100


def at(seconds: float) -> int:
    """The instant so many seconds after START."""
    return START + round(seconds * SECOND)


@frozen
class Line:
    """Where the objects stand, in metres."""

    where: Mapping[str, float]

    def distance(self, object_id: str, place: Place) -> float:
        return max(0.0, abs(place[0] / DEGREES_PER_METRE - self.where[object_id]) - REACH_M)

    def distances(
        self, object_ids: Sequence[str], longitude: Sequence[float], latitude: Sequence[float]
    ) -> dict[str, Floats]:
        return {
            name: np.array([self.distance(name, (lon, 0.0)) for lon in longitude])
            for name in object_ids
        }

    def nearest(
        self, object_ids: Sequence[str], track: Track, since: int | None, until: int | None
    ) -> dict[str, Nearest]:
        part = track.between(since, until)
        if not len(part):
            return {}
        away = self.distances(object_ids, list(part.longitude), list(part.latitude))
        return {
            name: Nearest(round(float(near.min()), 3), (part.fix(int(near.argmin())),))
            for name, near in away.items()
        }


def thing(name: str, kind: Kind, order: int | None = None, **more: object) -> Object:
    return Object(name, kind, Disc((0.0, 0.0), REACH_M), sort_order=order, **more)  # type: ignore[arg-type]


def segment(*between: Object, **more: object) -> Segment:
    """S, the given objects in the given order, F."""
    ordered = [Object(o.id, o.kind, o.shape, o.name, o.sort_order or i, o.open_m,
                      o.speed_limit_kmh, o.duration_seconds, o.manual_verification)
               for i, o in enumerate(between, start=1)]  # fmt: skip
    said: dict[str, object] = {"id": "SS1", "type": SegmentType.SPECIAL_STAGE} | more
    start, finish = said.setdefault("start", "S"), said.setdefault("finish", "F")
    objects = [*ordered]
    if start:
        objects.insert(0, thing(str(start), Kind.START))
    if finish:
        objects.append(thing(str(finish), Kind.FINISH))
    return Segment(objects=tuple(objects), **said)  # type: ignore[arg-type]


def waypoints(count: int) -> list[Object]:
    return [thing(f"W{n}", Kind.WPM, n) for n in range(1, count + 1)]


def line(*segments: Segment, apart_m: float = 1000.0) -> Line:
    """The objects of the segments at equal distances, in the order of the course."""
    names = [o.id for s in segments for o in s.objects]
    return Line({name: index * apart_m for index, name in enumerate(names)})


def crossing(
    object_id: str, kind: str, seconds: float, device_id: str = "d1", provisional: bool = False
) -> Crossing:
    before, after = int(seconds), int(seconds) + 1
    if provisional:
        before, after = int(seconds) - 100, int(seconds) + 100
    return Crossing(
        device_id,
        object_id,
        kind,
        at(seconds),
        at(before),
        at(after),
        0,
        0.0,
        0.0,
        None,
        UNCERTAINTY_MS,
        provisional=provisional,
    )


Saw = tuple[str, float | None, float | None]
"""An object, when it was entered (None: first seen inside) and left (None: still there)."""


def evidence(
    saw: Iterable[Saw],
    fixes: Sequence[tuple[float, float]] = ((0, 0), (100_000, 0)),
    device_id: str = "d1",
    gaps: Sequence[tuple[float, float, float, float]] = (),
    provisional: Sequence[str] = (),
) -> Evidence:
    """What a device saw. `fixes` are (seconds, metres); `gaps` (seconds, metres, seconds, metres);
    `provisional` names objects whose crossings lie in a gap."""
    passes: dict[str, list[Pass]] = {}
    for name, entered, left in sorted(saw, key=lambda s: s[1] or 0.0):
        doubt = name in provisional
        enter = None if entered is None else crossing(name, "enter", entered, device_id, doubt)
        leave = None if left is None else crossing(name, "exit", left, device_id, doubt)
        own = passes.setdefault(name, [])
        since = fixes[0][0] if entered is None else entered
        own.append(Pass(device_id, name, len(own) + 1, at(since), enter, leave))
    track = Track.of(device_id, [_fix(seconds, metres) for seconds, metres in fixes])
    return Evidence(
        track,
        tuple(c for own in passes.values() for p in own for c in (p.enter, p.exit) if c),
        {name: tuple(own) for name, own in passes.items()},
        tuple(_gap(device_id, gap) for gap in gaps),
    )


def _gap(device_id: str, gap: tuple[float, float, float, float]) -> Gap:
    speeding = gap[2] - gap[0] <= Settings().gap_seconds
    return Gap(device_id, _fix(*gap[:2]), _fix(*gap[2:]), speeding)


def _fix(seconds: float, metres: float) -> Fix:
    return Fix(at(seconds), 0.0, metres * DEGREES_PER_METRE)


def stage(*segments: Segment, **more: object) -> Stage:
    return Stage("SS1", tuple(segments), **more)  # type: ignore[arg-type]


def timed(
    *seen: Evidence,
    of: Stage,
    entry: Entry | None = None,
    rulings: Sequence[Ruling] = (),
    distances: Line | None = None,
) -> StageSheet:
    """The sheet of entry 301."""
    return time_stage(
        of,
        entry or Entry("301"),
        seen,
        distances or line(*of.segments),
        Settings(),
        rulings,
    )


def ruling(kind: RulingKind, object_id: str | None = None, **more: object) -> Ruling:
    said: dict[str, object] = {"id": f"r-{kind}-{object_id}", "segment_id": "SS1"} | more
    return Ruling(entry_id="301", kind=kind, object_id=object_id, **said)  # type: ignore[arg-type]
