"""What is driven over: a gate, a disc and an area on the drawing board, with geometry of their own.

Nothing here is shared with the code under test. The true instants of a drive are the roots of its
signed distance, which is exact at every instant: found by small steps, then by halving.
"""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import frozen

from processor.domain.course import Area, Disc, Gate, Shape
from processor.entrypoints.demo.drive import Board, Drive

Point = tuple[float, float]
Side = float
"""Metres from the edge: above 0 outside (of a gate: on its left), below 0 inside (on its right)."""

STEP_S = 0.05
HALVINGS = 40


class Target(Protocol):
    """An object on the board, its middle near 0, 0."""

    @property
    def name(self) -> str: ...

    def shape(self, board: Board) -> Shape:
        """The same on the ground."""

    def side(self, point: Point) -> Side:
        """The signed distance of a point."""

    def kind(self, inwards: bool) -> str:
        """What a change of side is called."""

    def counts(self, point: Point) -> bool:
        """Whether a change of side at this point is a crossing."""

    def shares(self, start: Point, end: Point) -> Iterator[tuple[float, bool]]:
        """Where a straight line meets the edge: share of the way, and whether inwards."""


@frozen
class Round:
    """A disc round 0, 0."""

    radius_m: float
    name: str = "disc"

    def shape(self, board: Board) -> Shape:
        return Disc(board.origin, self.radius_m)

    def side(self, point: Point) -> Side:
        return math.hypot(*point) - self.radius_m

    def kind(self, inwards: bool) -> str:
        return "enter" if inwards else "exit"

    def counts(self, point: Point) -> bool:
        return True

    def shares(self, start: Point, end: Point) -> Iterator[tuple[float, bool]]:
        dx, dy = end[0] - start[0], end[1] - start[1]
        a = dx * dx + dy * dy
        b = start[0] * dx + start[1] * dy
        c = start[0] ** 2 + start[1] ** 2 - self.radius_m**2
        if a == 0 or b * b - a * c <= 0:
            return
        root = math.sqrt(b * b - a * c)
        for share, inwards in (((-b - root) / a, True), ((-b + root) / a, False)):
            if 0 < share <= 1:
                yield share, inwards


@frozen
class Convex:
    """A convex area, its corners clockwise."""

    corners: tuple[Point, ...]
    name: str = "area"

    def shape(self, board: Board) -> Shape:
        return Area((tuple(board.place(*corner) for corner in self.corners),))

    def side(self, point: Point) -> Side:
        return max(_left_of(start, end, point) for start, end in self._edges())

    def kind(self, inwards: bool) -> str:
        return "enter" if inwards else "exit"

    def counts(self, point: Point) -> bool:
        return True

    def shares(self, start: Point, end: Point) -> Iterator[tuple[float, bool]]:
        latest_in, earliest_out = -math.inf, math.inf
        for one, other in self._edges():
            before, after = _left_of(one, other, start), _left_of(one, other, end)
            if before == after:
                if before > 0:
                    return
                continue
            share = before / (before - after)
            if before > after:
                latest_in = max(latest_in, share)
            else:
                earliest_out = min(earliest_out, share)
        if latest_in < earliest_out:
            if 0 < latest_in <= 1:
                yield latest_in, True
            if 0 < earliest_out <= 1:
                yield earliest_out, False

    def _edges(self) -> Iterator[tuple[Point, Point]]:
        return zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True)


@frozen
class Line:
    """A gate, driven over from its left to its right or back."""

    start: Point
    end: Point
    name: str = "gate"

    def shape(self, board: Board) -> Shape:
        return Gate((board.place(*self.start), board.place(*self.end)))

    def side(self, point: Point) -> Side:
        return _left_of(self.start, self.end, point)

    def kind(self, inwards: bool) -> str:
        return "cross"

    def counts(self, point: Point) -> bool:
        ex, ey = self.end[0] - self.start[0], self.end[1] - self.start[1]
        along = (point[0] - self.start[0]) * ex + (point[1] - self.start[1]) * ey
        return 0 <= along <= ex * ex + ey * ey

    def shares(self, start: Point, end: Point) -> Iterator[tuple[float, bool]]:
        before, after = self.side(start), self.side(end)
        if (before > 0) != (after > 0):
            share = before / (before - after)
            point = (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
            if self.counts(point):
                yield share, before > 0


def _left_of(start: Point, end: Point, point: Point) -> float:
    """Metres to the left of the way from start to end."""
    ex, ey = end[0] - start[0], end[1] - start[1]
    return (ex * (point[1] - start[1]) - ey * (point[0] - start[0])) / math.hypot(ex, ey)


# -- the truth -------------------------------------------------------------------------------------


@frozen
class Truth:
    """A crossing that really was: its kind, when, and the speed across the edge in m/s."""

    kind: str
    seconds: float
    across_ms: float


def truth(target: Target, drive: Drive, until_s: float) -> list[Truth]:
    """All crossings of a drive from second 0 on, in order."""

    def side(seconds: float) -> Side:
        return target.side(drive.at(seconds)[:2])

    found = []
    before = side(0.0)
    for step in range(1, math.ceil(until_s / STEP_S) + 1):
        after = side(step * STEP_S)
        if (before > 0) != (after > 0):
            at = _root(side, (step - 1) * STEP_S, step * STEP_S)
            if target.counts(drive.at(at)[:2]):
                across = abs(side(at + 1e-3) - side(at - 1e-3)) / 2e-3
                found.append(Truth(target.kind(before > 0), at, across))
        before = after
    return found


def _root(side: Callable[[float], Side], low: float, high: float) -> float:
    sign = side(low) > 0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if (side(middle) > 0) == sign else (low, middle)
    return (low + high) / 2
