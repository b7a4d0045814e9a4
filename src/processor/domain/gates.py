"""Crosses of gates: over the line between two posts, with a direction.

A fix on the line, to the millimetre, is still on the side it came from: who stops on the line has
not crossed it, and who then goes on crosses it there. A cross and its reverse, with no fix further
from the line than the hysteresis in between, cancel: of an odd number in such a cluster one is
left, the last for a start (a car that rolls back before it starts) and the first for all else.
Over a gap there is no chord and no cross.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from attrs import frozen

from processor.domain.course import Gate
from processor.domain.drive import SOON, Drive, doubling
from processor.domain.geometry import Figures, to_mm
from processor.domain.model import Crossing, Integers, Pass

Over: TypeAlias = tuple[int, float, float]
"""A chord over a gate's line, and how far from it its ends lie, in signed metres."""


@frozen
class _Cross:
    """A cross as found: its chord, from which side it came (+1, -1), which fix after it
    was the first far from the line (None: none yet)."""

    chord: int
    side: int
    crossing: Crossing
    first_far: int | None


@frozen
class Crossed:
    """The crosses that count, and in which fixes a reverse could still cancel one."""

    crosses: tuple[Crossing, ...]
    pending: tuple[tuple[int, int], ...]


def crosses_of(
    figures: Figures, figure: int, drive: Drive, over: Sequence[Over], *, last_counts: bool
) -> Crossed:
    """The crosses of one gate. `over` are the chords over its line, in order. `last_counts`: of a
    cluster the last one is left (a start), else the first."""
    finder = _Finder(figures, figure, drive)
    found = finder.crosses(over)
    left = []
    pending = []
    for cluster in _clusters(found):
        first_far = cluster[-1].first_far
        until = len(drive.track) if first_far is None else first_far
        if cluster[0].chord + 1 <= until - 1:
            pending.append((cluster[0].chord + 1, until - 1))
        if len(cluster) % 2:
            left.append((cluster[-1] if last_counts else cluster[0]).crossing)
    return Crossed(tuple(left), tuple(pending))


def _clusters(found: Sequence[_Cross]) -> list[list[_Cross]]:
    """Runs of crosses of which each is the reverse of the one before, with no far fix between. Two
    of one direction are no pair: the car went round a post."""
    clusters: list[list[_Cross]] = []
    for cross in found:
        last = clusters[-1][-1] if clusters else None
        if (
            last is not None
            and last.side != cross.side
            and (last.first_far is None or last.first_far > cross.chord)
        ):
            clusters[-1].append(cross)
        else:
            clusters.append([cross])
    return clusters


class _Finder:
    def __init__(self, figures: Figures, figure: int, drive: Drive) -> None:
        self._figures, self._figure, self._drive = figures, figure, drive
        shape = figures.shapes[figure]
        assert isinstance(shape, Gate)
        self._direction = shape.direction_deg
        edge = int(figures.edge_first[figure])
        self._ax, self._ay = float(figures.ax[edge]), float(figures.ay[edge])
        self._ex, self._ey = float(figures.bx[edge]) - self._ax, float(figures.by[edge]) - self._ay
        self._length = math.sqrt(self._ex**2 + self._ey**2)

    def crosses(self, over: Sequence[Over]) -> list[_Cross]:
        """Every cross, those that cancel included."""
        found = (self._cross(*each) for each in over)
        return [cross for cross in found if cross is not None]

    def _cross(self, k: int, p: float, q: float) -> _Cross | None:
        side = self._side_before(k) if p == 0 else int(math.copysign(1, p))
        if side == 0 or side == math.copysign(1, q):
            return None
        share = p / (p - q)
        project, points = self._figures.planes.project_one, self._drive.points
        px, py = project(self._figure, *points.one(k))
        qx, qy = project(self._figure, *points.one(k + 1))
        way = qx - px, qy - py
        x, y = px + way[0] * share - self._ax, py + way[1] * share - self._ay
        along = (x * self._ex + y * self._ey) / self._length
        if not -0.0005 <= along <= self._length + 0.0005:  # beside it, to the millimetre
            return None
        normal = -self._ey / self._length, self._ex / self._length
        crossing = self._drive.crossing(
            self._figures.ids[self._figure], "cross", k, share, 0, way, normal, self._right(way)
        )
        return _Cross(k, side, crossing, self._first_far(k + 1))

    def _right(self, way: tuple[float, float]) -> bool | None:
        """Whether the chord heads within 90 degrees of the direction that counts."""
        if self._direction is None:
            return None
        heading = math.radians(self._direction)
        return way[0] * math.sin(heading) + way[1] * math.cos(heading) >= 0

    def _side_before(self, k: int) -> int:
        """The side from which a track came to the line on which fix k lies; 0: nobody knows."""
        while k > 0 and not self._drive.gap[k - 1]:
            k -= 1
            away = float(self._from_line(np.array([k]))[0])
            if away != 0:
                return int(math.copysign(1, away))
        return 0

    def _first_far(self, start: int) -> int | None:
        until = len(self._drive.track) - 1
        soon = min(until, start + SOON)
        for fix in range(start, soon + 1):
            if self._figures.far_from_line(self._figure, self._drive.points.one(fix)):
                return fix
        reach = to_mm(self._figures.reach_m[self._figure])
        for first, last in doubling(soon + 1, until):
            away = self._from_line(np.arange(first, last + 1))
            far = np.flatnonzero(to_mm(np.abs(away)) > reach)
            if len(far):
                return first + int(far[0])
        return None

    def _from_line(self, fixes: Integers) -> np.ndarray:
        return self._figures.from_line(self._figure, self._drive.points.at(fixes))


def as_passes(device_id: str, object_id: str, crosses: Sequence[Crossing]) -> tuple[Pass, ...]:
    """Those in the right direction, as passes, numbered."""
    right = [cross for cross in crosses if cross.direction_ok is not False]
    return tuple(
        Pass(device_id, object_id, number, cross.at, cross, cross)
        for number, cross in enumerate(right, 1)
    )
