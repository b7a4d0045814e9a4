"""Three ways to an instant: ours; the straight line; and the first fix on the other side, which is
what fleet trackers take."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from attrs import frozen

from processor.domain.course import Course, Kind, Object, Segment, SegmentType, Stage
from processor.domain.crossings import Ground
from processor.domain.instants import SECOND
from processor.domain.model import Fix, Track
from processor.domain.rules import Settings
from processor.entrypoints.demo.drive import Board, Sight
from proof.accuracy.targets import Target

START = 1_780_819_200_000_000  # 2026-06-07T08:00:00Z


@frozen
class Found:
    """A crossing as a method has it; `wide_s` is the half width that it claims, if it does."""

    kind: str
    seconds: float
    wide_s: float = 0.0


def ground(target: Target, board: Board) -> Ground:
    """A course of that one object."""
    thing = Object("it", Kind.CHECKPOINT, target.shape(board))
    segment = Segment("SS1", SegmentType.SPECIAL_STAGE, (thing,))
    return Ground(Course("accuracy", (Stage("SS1", (segment,)),)), Settings())


def ours(there: Ground, fixes: Sequence[Fix]) -> list[Found]:
    evidence = there.evidence(Track.of("d", fixes))
    return [
        Found(c.kind, (c.at - START) / SECOND, c.uncertainty_ms / 1000) for c in evidence.crossings
    ]


def linear(target: Target, sights: Sequence[Sight]) -> list[Found]:
    """Where the straight line between two fixes meets the edge, driven evenly."""
    return [Found(kind, before + share * (after - before))
            for kind, share, before, after in _met(target, sights)]  # fmt: skip


def later_fix(target: Target, sights: Sequence[Sight]) -> list[Found]:
    """The first fix on the other side. A disc or an area needs a fix inside; a gate needs its line
    to be passed between the posts."""
    if target.kind(True) == "cross":
        return [Found(kind, after) for kind, _, _, after in _met(target, sights)]
    found = []
    for before, after in pairwise(sights):
        was, now = _outside(target, before), _outside(target, after)
        if was != now:
            found.append(Found(target.kind(was), after.seconds))
    return found


def _outside(target: Target, sight: Sight) -> bool:
    return target.side((sight.east, sight.north)) > 0


def _met(target: Target, sights: Sequence[Sight]) -> Iterator[tuple[str, float, float, float]]:
    """(kind, share, seconds before and after)"""
    for before, after in pairwise(sights):
        for share, inwards in target.shares((before.east, before.north), (after.east, after.north)):
            yield target.kind(inwards), share, before.seconds, after.seconds
