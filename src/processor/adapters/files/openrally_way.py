"""How a roadbook's marks divide the way into segments.

    dss .. ass       a special stage          before, between and behind them: liaisons
    dt .. ft         a liaison, also within a special stage, which goes on behind it
    timecontrol      outside of special stages: one liaison ends there and the next begins

The clock of a special stage stands still between dt and ft because its parts are segments of their
own (SS1, SS1.2). Where two segments meet, each has the object that divides them: the special stage
has it itself, the liaison a copy (`7-ass.start`), because an object belongs to one segment. Minutes
allowed by a time control are the target of the next liaison that begins. A liaison in which nothing
can be missed, late or too fast is left out.

Several elements of one <wpt> are at one place, so their order says little: what ends there (fz, fn)
still belongs to the segment before, what begins there (dz, dn) to the one behind.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from attrs import evolve, field, frozen, mutable

from processor.domain.course import Kind, Object, Segment, SegmentType

DIVIDERS = ("dss", "ass", "dt", "ft", "timecontrol")
_FIRST, _LAST = ("fz", "fn"), ("dz", "dn")
SECONDS_A_MINUTE = 60


@frozen
class Mark:
    """An object with the number of its <wpt>, the element that it was, and the minutes that a time
    control allows for what follows."""

    number: int
    element: str
    thing: Object
    allowed_min: int | None = None


@mutable
class _Part:
    """A segment being gathered."""

    type: SegmentType
    id: str = ""
    start: Object | None = None
    finish: Object | None = None
    between: list[Object] = field(factory=list)
    target_duration_seconds: int | None = None

    @property
    def timed(self) -> bool:
        return self.type is SegmentType.SPECIAL_STAGE

    @property
    def judges(self) -> bool:
        """Whether anything can happen in it."""
        return self.timed or bool(self.between) or self.target_duration_seconds is not None


class Way:
    """The segments of a roadbook, in order, and what there is to warn of. At least one mark."""

    def __init__(self, marks: Iterable[Mark]) -> None:
        self.warnings: list[str] = []
        self._target: int | None = None
        self._special = 0
        self._pieces = 0
        self._transfer: int | None = None
        self._within = False
        self._parts = [_Part(SegmentType.LIAISON)]
        for mark in _in_driving_order(marks):
            self._take(mark)
        self._end()
        self.segments = self._segments()

    # -- mark by mark -----------------------------------------------------------------------------

    def _take(self, mark: Mark) -> None:
        match mark.element:
            case "dss":
                self._begin_special(mark)
            case "ass":
                self._end_special(mark)
            case "dt":
                self._transfer = mark.number
                self._divide(mark, SegmentType.LIAISON)
            case "ft":
                self._end_transfer(mark)
            case "timecontrol" if not self._parts[-1].timed and not self._within:
                self._allow(mark)
                self._divide(mark, SegmentType.LIAISON)
            case _:
                self._allow(mark)
                self._parts[-1].between.append(mark.thing)

    def _begin_special(self, mark: Mark) -> None:
        if self._within:
            self._warn(mark, "<dss> before the <ass> of the special stage before; that ends here")
        self._special += 1
        self._pieces = 1
        self._within, self._transfer = True, None
        self._divide(mark, SegmentType.SPECIAL_STAGE)

    def _end_special(self, mark: Mark) -> None:
        if not self._within:
            self._warn(mark, "<ass> without a <dss> before it; nothing is timed to it")
        elif self._transfer is not None:
            self._warn(
                mark, f"<ass> before the <ft> of <wpt> {self._transfer}; the transfer ends here"
            )
        self._within, self._transfer = False, None
        self._divide(mark, SegmentType.LIAISON)

    def _end_transfer(self, mark: Mark) -> None:
        if self._transfer is None:
            self._warn(mark, "<ft> without a <dt> before it; it is a checkpoint")
            self._parts[-1].between.append(mark.thing)
            return
        self._transfer = None
        self._pieces += 1
        self._divide(mark, SegmentType.SPECIAL_STAGE if self._within else SegmentType.LIAISON)

    def _allow(self, mark: Mark) -> None:
        if mark.allowed_min is not None:
            self._target = mark.allowed_min * SECONDS_A_MINUTE

    def _divide(self, mark: Mark, type_: SegmentType) -> None:
        """One segment ends at a mark, and another one begins."""
        before, behind = self._parts[-1], _Part(type_)
        if behind.timed:
            behind.id = f"SS{self._special}" + (f".{self._pieces}" if self._pieces > 1 else "")
        else:
            behind.target_duration_seconds, self._target = self._target, None
        before_has_it = before.timed or not behind.timed
        before.finish = mark.thing if before_has_it else _copy(mark.thing, "finish", Kind.FINISH)
        behind.start = _copy(mark.thing, "start", Kind.START) if before_has_it else mark.thing
        self._parts.append(behind)

    def _warn(self, mark: Mark, sentence: str) -> None:
        self.warnings.append(f"<wpt> {mark.number}: {sentence}")

    # -- all of them ------------------------------------------------------------------------------

    def _end(self) -> None:
        last = self._parts[-1]
        if self._within:
            self.warnings.append(f"the special stage SS{self._special} has no <ass>: no finish")
        if not self._special:
            self.warnings.append("there is no <dss>, so no special stage: nothing is timed")
        if not last.timed and not last.between and last.finish is None:
            last.target_duration_seconds = None  # behind the last control it leads nowhere

    def _segments(self) -> tuple[Segment, ...]:
        kept = [part for part in self._parts if part.judges]
        liaisons = [part for part in kept if not part.timed]
        for number, part in enumerate(liaisons, 1):
            part.id = f"L{number}"
        order = iter(range(1, 1 + sum(len(part.between) for part in kept)))
        return tuple(_segment(part, order) for part in _named(kept))


def _named(kept: list[_Part]) -> list[_Part]:
    """The same parts, where a copy has the id itself if the part with the object was left out."""
    taken = {thing.id for part in kept for thing in (part.start, part.finish) if thing is not None}

    def named(thing: Object | None) -> Object | None:
        if thing is None:
            return None
        plain = thing.id.partition(".")[0]
        return thing if plain in taken else evolve(thing, id=plain)

    return [evolve(part, start=named(part.start), finish=named(part.finish)) for part in kept]


def _in_driving_order(marks: Iterable[Mark]) -> Iterator[Mark]:
    """Waypoint by waypoint: what ends there, the others as they are written, what begins there."""
    for _, group in groupby(marks, key=lambda mark: mark.number):
        here = list(group)
        yield from (mark for mark in here if mark.element in _FIRST)
        yield from (mark for mark in here if mark.element not in (*_FIRST, *_LAST))
        yield from (mark for mark in here if mark.element in _LAST)


def _copy(thing: Object, role: str, kind: Kind) -> Object:
    """The same place for a liaison. A time control stays one: whoever comes late to it is late."""
    control = thing.kind is Kind.TIME_CONTROL
    return evolve(thing, id=f"{thing.id}.{role}", kind=thing.kind if control else kind)


def _segment(part: _Part, order: Iterator[int]) -> Segment:
    between = [evolve(thing, sort_order=next(order)) for thing in part.between]
    things = [*filter(None, (part.start,)), *between, *filter(None, (part.finish,))]
    return Segment(
        id=part.id,
        type=part.type,
        objects=tuple(things),
        start=part.start.id if part.start is not None else None,
        finish=part.finish.id if part.finish is not None else None,
        target_duration_seconds=part.target_duration_seconds,
    )
