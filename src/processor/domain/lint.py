"""What is probably wrong with a course, said before anybody drives it.

Nothing here is an error of the format: each finding is a course that will be scored, and not as its
author meant. A finding has a place, says what is there, and what to do about it (the list is that
of design/racing.md, "Without any server").
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from attrs import frozen

from processor.domain.chords import KMH
from processor.domain.course import Course, Disc, Gate, Kind, Object, Segment, Stage
from processor.domain.crossings import Ground
from processor.domain.geometry import Figures
from processor.domain.model import Floats, Integers
from processor.domain.plane import metres, spatial
from processor.domain.rules import Formula, Operator, Rules
from processor.domain.shapes import SHORTEST_DEGREE_M, origin

NEAR_ROUTE_M = 25.0
STANDING_M = 20.0  # what a standing car's fixes wander, and some metres to be sure
ALONG_GATE_DEG = 5.0
PAIRS = ((Kind.DZ, Kind.FZ), (Kind.DN, Kind.FN))
JUDGED_IN_ORDER = (Kind.DZ, Kind.FZ, Kind.DN, Kind.FN, Kind.STOP)


@frozen
class Finding:
    """`place` is stage/segment/object as far as it goes; `what` a word of a closed set."""

    place: str
    what: str
    message: str
    remedy: str


@frozen
class Tracker:
    """What the course is driven with: the greatest speed expected, and the time between fixes."""

    speed_kmh: float = 130.0
    interval_seconds: float = 1.0

    @property
    def step_m(self) -> float:
        return self.speed_kmh / KMH * self.interval_seconds


def lint(course: Course, rules: Rules, tracker: Tracker | None = None) -> tuple[Finding, ...]:
    """All findings, in the order of the course, those of the rules last."""
    ground = Ground(course, rules.settings)
    found: list[Finding] = []
    for stage, segment in course.segments():
        look = _Segment(stage, segment, ground, tracker or Tracker())
        found.extend(look.findings())
    found.extend(_holes(rules.formulas))
    return tuple(found)


class _Segment:
    def __init__(self, stage: Stage, segment: Segment, ground: Ground, tracker: Tracker) -> None:
        self._segment, self._ground, self._tracker = segment, ground, tracker
        self._place = f"{stage.id}/{segment.id}"
        self._ordered = segment.ordered
        ends = (segment.object(segment.start), segment.object(segment.finish))
        self._start, self._finish = ends
        self._along = [o for o in (self._start, *self._ordered, self._finish) if o is not None]

    def findings(self) -> Iterator[Finding]:
        yield from self._ends()
        yield from self._unordered()
        yield from self._pairs()
        yield from self._limits()
        yield from self._neighbours()
        yield from self._route()
        yield from self._start_area()
        yield from self._gates()
        yield from self._jumps()

    def _say(self, thing: Object | None, what: str, message: str, remedy: str) -> Finding:
        place = self._place if thing is None else f"{self._place}/{thing.id}"
        return Finding(place, what, message, remedy)

    def _ends(self) -> Iterator[Finding]:
        for kind, chosen in ((Kind.START, self._start), (Kind.FINISH, self._finish)):
            count = len({o.id for o in self._segment.objects if o.kind is kind or o == chosen})
            if count != 1:
                yield self._say(
                    None,
                    f"not-one-{kind}",
                    f"has {count or 'no'} {kind}{'s' if count > 1 else ''}",
                    f"give it exactly one object of kind {kind}",
                )

    def _unordered(self) -> Iterator[Finding]:
        for thing in self._segment.objects:
            if thing.kind in JUDGED_IN_ORDER and thing.sort_order is None:
                yield self._say(
                    thing,
                    "not-ordered",
                    f"is a {thing.kind} without a place in the order: nobody judges it",
                    "give it a sort_order",
                )

    def _pairs(self) -> Iterator[Finding]:
        for first, last in PAIRS:
            opened: Object | None = None
            for thing in self._ordered:
                if thing.kind is first:
                    if opened is not None:
                        yield self._unmatched(opened, last)
                    opened = thing
                elif thing.kind is last:
                    if opened is None:
                        yield self._unmatched(thing, first)
                    opened = None
            if opened is not None:
                yield self._unmatched(opened, last)

    def _unmatched(self, thing: Object, other: Kind) -> Finding:
        where = "after" if thing.kind in (Kind.DZ, Kind.DN) else "before"
        return self._say(
            thing,
            "unmatched",
            f"is a {thing.kind} without {other} {where} it",
            f"add the {other}, or remove the {thing.kind}",
        )

    def _limits(self) -> Iterator[Finding]:
        inside = False
        for thing in self._ordered:
            limit = thing.speed_limit_kmh
            if thing.kind is Kind.DZ and limit is None:
                yield self._say(
                    thing, "no-limit", "is a DZ without a limit", "give it speed_limit_kmh"
                )
            elif thing.kind is Kind.FZ and limit is not None:
                yield self._say(
                    thing,
                    "limit-on-fz",
                    f"is an FZ with a limit of {limit:g} km/h, where the zone ends",
                    "move the limit to the DZ",
                )
            elif thing.kind not in (Kind.DZ, Kind.FZ) and limit is not None and not inside:
                yield self._say(
                    thing,
                    "limit-outside",
                    f"says a limit of {limit:g} km/h outside of DZ and FZ: nobody judges it",
                    "put a DZ before it and an FZ after it, or remove the limit",
                )
            inside = thing.kind is Kind.DZ or (inside and thing.kind is not Kind.FZ)

    def _neighbours(self) -> Iterator[Finding]:
        for one, other in pairwise(self._along):
            if isinstance(one.shape, Disc) and isinstance(other.shape, Disc):
                apart = metres(one.shape.centre, other.shape.centre)
                both = one.shape.radius_m + other.shape.radius_m
                if apart < both:
                    yield self._say(
                        other,
                        "overlap",
                        f"overlaps {one.id}: {apart:.0f} m apart, radii {both:.0f} m together",
                        "make a radius smaller, or move one of them",
                    )

    def _route(self) -> Iterator[Finding]:
        """Where the way between two objects comes near a third, or back to one of its own."""
        for leg, thing, away in sorted(self._near_the_way(), key=lambda near: near[:2]):
            one, other = self._along[leg], self._along[leg + 1]
            passed = "passes it a second time" if away == 0 else f"comes within {away:.0f} m"
            yield self._say(
                self._along[thing],
                "route-near",
                f"the way from {one.id} to {other.id} {passed}",
                "move it, make it smaller, or use a gate with a direction",
            )

    def _near_the_way(self) -> Iterator[tuple[int, int, float]]:
        """(leg, object, metres) where a leg comes too near to an object that is not at its ends."""
        if len(self._along) < 3:
            return
        figures = self._ground.figures
        lon, lat = zip(*(origin(thing.shape) for thing in self._along), strict=True)
        places = {figures.numbers[thing.id]: place for place, thing in enumerate(self._along)}
        points = spatial(lon, lat)
        for figure, legs in _legs_near(figures, np.array(lon), np.array(lat)):
            place = places.get(figure)
            if place is None:
                continue
            legs = legs[(legs != place) & (legs + 1 != place)]
            which = np.full(len(legs), figure)
            chords = figures.chords(which, points.at(legs), points.at(legs + 1))
            away = figures.chord_distances(chords, figure) if len(legs) else np.zeros(0)
            for leg, metres_away in zip(legs.tolist(), away.tolist(), strict=True):
                if metres_away < NEAR_ROUTE_M:
                    yield leg, place, metres_away

    def _start_area(self) -> Iterator[Finding]:
        if self._start is None:
            return
        if self._ordered:
            first = self._ordered[0]
            if self._ground.inside(self._start.id, origin(first.shape)):
                yield self._say(
                    first,
                    "inside-start",
                    f"lies inside the start {self._start.id}: it counts before the start does",
                    "move it out of the start's area",
                )
        shape = self._start.shape
        if isinstance(shape, Disc) and shape.radius_m < STANDING_M:
            yield self._say(
                self._start,
                "start-edge-near",
                f"its edge is {shape.radius_m:g} m ahead of where cars stand, and a standing car's "
                "fixes wander as far",
                f"give it a radius of {STANDING_M:g} m or more",
            )

    def _gates(self) -> Iterator[Finding]:
        for thing in self._segment.objects:
            shape = thing.shape
            if not isinstance(shape, Gate) or shape.direction_deg is None:
                continue
            (lon1, lat1), (lon2, lat2) = shape.posts
            east = (lon2 - lon1) * math.cos(math.radians((lat1 + lat2) / 2))
            line = math.degrees(math.atan2(east, lat2 - lat1))
            between = abs((shape.direction_deg - line + 90) % 180 - 90)
            if between < ALONG_GATE_DEG:
                yield self._say(
                    thing,
                    "along-gate",
                    f"its direction, {shape.direction_deg:g} degrees, runs along its line "
                    f"({line % 180:.0f} degrees)",
                    "give the heading in which the gate is driven through",
                )

    def _jumps(self) -> Iterator[Finding]:
        step = self._tracker.step_m
        for thing in self._segment.objects:
            if isinstance(thing.shape, Disc) and 2 * thing.shape.radius_m < step:
                yield self._say(
                    thing,
                    "jumped-over",
                    f"is {2 * thing.shape.radius_m:.0f} m wide, and at {self._tracker.speed_kmh:g} "
                    f"km/h a tracker that sends every {self._tracker.interval_seconds:g} s moves "
                    f"{step:.0f} m: only the line between two fixes finds it",
                    "make it wider, use a gate, or set the trackers to send more often",
                )


def _legs_near(figures: Figures, lon: Floats, lat: Floats) -> Iterator[tuple[int, Integers]]:
    """By figure, which legs of a way could come near it: the tree is asked for wider legs."""
    north = NEAR_ROUTE_M / SHORTEST_DEGREE_M
    east = north / max(0.01, math.cos(math.radians(float(np.abs(lat).max()))))
    west_to_east = np.minimum(lon[:-1], lon[1:]) - east, np.maximum(lon[:-1], lon[1:]) + east
    south_to_north = np.minimum(lat[:-1], lat[1:]) - north, np.maximum(lat[:-1], lat[1:]) + north
    legs, which = figures.near(west_to_east, south_to_north)
    starts = np.flatnonzero(np.diff(which, prepend=-1))
    for start, part in zip(starts.tolist(), np.split(legs, starts[1:]), strict=True):
        yield int(which[start]), part


def _holes(formulas: Sequence[Formula]) -> Iterator[Finding]:
    """Progressive brackets are one table: each begins where the one before ends."""
    tables: dict[tuple[str, ...], list[Formula]] = {}
    for formula in formulas:
        if formula.operator is Operator.PROGRESSIVE:
            key = formula.type, formula.level, formula.level_id or "", repr(formula.applies_to)
            tables.setdefault(key, []).append(formula)
    for table in tables.values():
        table.sort(key=lambda row: row.offence_min)
        for one, other in pairwise(table):
            if one.offence_max != other.offence_min:
                end = "no end" if one.offence_max is None else one.offence_max
                yield Finding(
                    f"rules/{other.id}",
                    "bracket-hole",
                    f"the bracket before it ends at {end}, this one begins at {other.offence_min}",
                    "let each progressive bracket begin where the one before ends",
                )
