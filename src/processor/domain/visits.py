"""Visits of areas and discs: a state machine per figure, fed with what its chords did.

The sides are unknown, outside, inside, and inside with an exit pending. An enter counts at once. An
exit is believed when a fix lies further outside than the hysteresis; its instant is then the last
way out over the true edge before that fix. Until then a return takes it back: a car that stands
near an edge enters once and leaves once.

Over a gap there is no chord, only two sides: outside before and inside after is a provisional enter
in the middle; the reverse a provisional exit, pending as any other. Inside on both sides is one
visit. Who is first seen inside did not enter.
"""

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID, uuid5

import numpy as np
from attrs import define, evolve, frozen

from processor.domain.drive import SOON, Drive, doubling
from processor.domain.geometry import Figures, to_mm
from processor.domain.model import Crossing, Pass
from processor.domain.plane import Spatial

VISITS = UUID("4e6f7d0c-2f43-5a1b-9a1e-5d1f0f6b7a20")
"""The namespace of visit ids: equal visits have equal ids wherever they were found."""

Turn: TypeAlias = tuple[float, bool | None]
"""The share of a chord at which its side changes, and whether it is inside from there (None: the
other side than before)."""


@frozen
class Happening:
    """What chord `chord` did to a figure: its turns in order; None: there was a gap."""

    chord: int
    turns: tuple[Turn, ...] | None


@define
class Visit:
    """A visit while it is being found. `since` as in Pass; `last_out` is the pending exit, and
    `last_out_chord` where it was."""

    since: int
    enter: Crossing | None = None
    exit: Crossing | None = None
    last_out: Crossing | None = None
    last_out_chord: int = -1


@frozen
class Visited:
    """All visits of one figure, and in which fixes an exit was pending, as (first, last)."""

    visits: tuple[Visit, ...]
    pending: tuple[tuple[int, int], ...]


def visits_of(
    figures: Figures,
    figure: int,
    drive: Drive,
    happenings: Sequence[Happening],
    known: Visit | None,
    first_sight: bool,
) -> Visited:
    """The visits of one figure. `known` is a visit that is open as the track begins; `first_sight`:
    there is no earlier track, and the first fix lies near."""
    machine = _Machine(figures, figure, drive)
    if known is not None:
        machine.open(Visit(known.since, known.enter))
    elif first_sight and machine.inside(0):
        machine.open(Visit(int(drive.track.at[0])))
    for happening in happenings:
        machine.confirm(until=happening.chord)
        if happening.turns is None:
            machine.gap(happening.chord)
        else:
            machine.turn(happening.chord, happening.turns)
    machine.confirm(until=len(drive.track) - 1)
    return Visited(tuple(machine.visits), tuple(machine.pending))


class _Machine:
    def __init__(self, figures: Figures, figure: int, drive: Drive) -> None:
        self._figures, self._figure, self._drive = figures, figure, drive
        self._object_id = figures.ids[figure]
        self._open: Visit | None = None
        self._sought = 0  # the fix from which on nobody has looked for a confirmation
        self.visits: list[Visit] = []
        self.pending: list[tuple[int, int]] = []

    def inside(self, fix: int) -> bool:
        """Whether a fix lies inside."""
        return bool(self._figures.inside(self._figure, self._point(fix, fix + 1))[0])

    def open(self, visit: Visit) -> None:
        """A visit begins."""
        self._open = visit
        self.visits.append(visit)

    def turn(self, k: int, turns: Sequence[Turn]) -> None:
        """The edge is passed in chord k, once or more often."""
        ways = {True: 0, False: 0}
        for share, side in turns:
            outside = self._open is None or self._open.last_out is not None
            inwards = outside if side is None else side
            if inwards != outside:
                continue  # it is on that side already
            ordinal = ways[inwards]
            ways[inwards] += 1
            if inwards:
                self._in(k, share, ordinal)
            else:
                self._out(k, self._crossing("exit", k, share, ordinal))

    def gap(self, k: int) -> None:
        """Nothing is known between fix k and the next but the sides they lie on."""
        inside = self.inside(k + 1)
        visit = self._open
        if visit is None:
            if inside:
                crossing = self._drive.across_gap(self._object_id, "enter", k)
                self.open(Visit(crossing.at, crossing))
        elif visit.last_out is not None:
            if inside:
                self._take_back(k)
            elif self._first_far(k + 1, k + 1) is not None:
                # It may have been back inside meanwhile: only a later upload can say.
                visit.last_out = evolve(visit.last_out, provisional=True)
                self._close(visit, k + 1)
        elif not inside:
            self._out(k, self._drive.across_gap(self._object_id, "exit", k))

    def confirm(self, until: int) -> None:
        """Believe a pending exit if any fix up to `until` lies far enough outside."""
        visit = self._open
        if visit is None or visit.last_out is None:
            return
        far = self._first_far(self._sought, until)
        if far is not None:
            self._close(visit, far)
        elif until == len(self._drive.track) - 1:
            self.pending.append((visit.last_out_chord + 1, until))
        self._sought = max(self._sought, until + 1)

    def _in(self, k: int, share: float, ordinal: int) -> None:
        if self._open is None:
            crossing = self._crossing("enter", k, share, ordinal)
            self.open(Visit(crossing.at, crossing))
        else:
            self._take_back(k)

    def _out(self, k: int, crossing: Crossing) -> None:
        assert self._open is not None
        self._open.last_out, self._open.last_out_chord = crossing, k
        self._sought = k + 1

    def _take_back(self, k: int) -> None:
        assert self._open is not None
        if self._open.last_out_chord < k:
            self.pending.append((self._open.last_out_chord + 1, k))
        self._open.last_out = None

    def _close(self, visit: Visit, far: int) -> None:
        assert visit.last_out is not None
        if visit.last_out_chord + 1 < far:
            self.pending.append((visit.last_out_chord + 1, far - 1))
        visit.exit = visit.last_out
        self._open = None

    def _first_far(self, start: int, until: int) -> int | None:
        """The first fix from `start` to `until` that lies further outside than the hysteresis."""
        points = self._drive.points
        soon = min(until, start + SOON)
        for fix in range(start, soon + 1):
            if self._figures.far(self._figure, points.one(fix)):
                return fix
        reach = to_mm(self._figures.reach_m[self._figure])
        for first, last in doubling(soon + 1, until):
            away = self._figures.distances(self._figure, self._point(first, last + 1))
            far = np.flatnonzero(to_mm(away) > reach)
            if len(far):
                return first + int(far[0])
        return None

    def _point(self, start: int, stop: int) -> Spatial:
        return self._drive.points.at(slice(start, stop))

    def _crossing(self, kind: str, k: int, share: float, ordinal: int) -> Crossing:
        project, points = self._figures.planes.project_one, self._drive.points
        px, py = project(self._figure, *points.one(k))
        qx, qy = project(self._figure, *points.one(k + 1))
        way = qx - px, qy - py
        normal = self._figures.normal(self._figure, px + way[0] * share, py + way[1] * share)
        return self._drive.crossing(self._object_id, kind, k, share, ordinal, way, normal)


def as_passes(device_id: str, object_id: str, visits: Sequence[Visit]) -> tuple[Pass, ...]:
    """Visits as passes, numbered, with the visit's id in both of their crossings."""
    passes = []
    for number, visit in enumerate(visits, 1):
        began = f"since/{visit.since}" if visit.enter is None else visit.enter.key
        name = str(uuid5(VISITS, f"{device_id}/{object_id}/{began}"))
        enter = None if visit.enter is None else evolve(visit.enter, visit=name)
        out = None if visit.exit is None else evolve(visit.exit, visit=name)
        passes.append(Pass(device_id, object_id, number, visit.since, enter, out))
    return tuple(passes)
