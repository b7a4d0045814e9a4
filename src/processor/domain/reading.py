"""What one device says about a segment, taken alone.

In two steps. Which pass of the finish object counts is decided by the assignment over the whole
window: the first one before which it holds at least half of the ordered objects; where there is
none, the last one after every pass of an object, out of order. So who passes later objects and the
finish on the way out has not finished. What counts is then the best assignment among the passes
before that finish; those after it validate nothing. Without ordered objects it is the first pass of
the finish after the start. Laps are read one by one, each from the finish of the one before; in
their window lie the passes of the laps to come, so there each pass of the finish is decided by the
assignment up to it.

Nothing is finished that was not begun: while no departure was seen, nor any object, a pass of the
finish is the way to the start. The start is found last, because it has to lie before the first
object that counts. What was passed before the first departure (on the way to the start, or in
reconnaissance) is left out, unless the segment is validated better with it: then it was the start
that the tracker did not see.
"""

from collections.abc import Iterator, Sequence

from attrs import evolve, frozen

from processor.domain.assignment import EVER, NEVER, Held, Stay, assign
from processor.domain.course import Object
from processor.domain.decisions import ruled_at
from processor.domain.marks import Case, Mark, Reading
from processor.domain.model import Pass
from processor.domain.rulings import RulingKind
from processor.domain.starts import departures, measured, official_start
from processor.domain.witnesses import Witness


@frozen
class _Lap:
    """Marks of the ordered objects and of the finish."""

    objects: tuple[Mark | None, ...]
    finish: Mark | None

    @property
    def marks(self) -> tuple[Mark | None, ...]:
        return (*self.objects, self.finish)


def read(case: Case, witness: Witness) -> Reading:
    """The reading of one device."""
    found = departures(case, witness)
    laps = _laps(case, witness, case.window.since, 0 if _begins_unseen(case) else 1)
    began = found[0].at if found else official_start(case)
    if began is not None:
        after = _laps(case, witness, began, 0)
        laps = after if _worth(after) >= _worth(laps) else laps
    start = measured(case, witness, found, _start_before(laps))
    marks = [mark for lap in laps for mark in lap.marks]
    return Reading(witness.device_id, (start, *_begun_after(start, marks)))


def visible(case: Case, witness: Witness, object_id: str | None) -> list[Pass]:
    """The passes of an object that touch the window and were not voided, in order."""
    passes = witness.evidence.passes.get(object_id, ()) if object_id is not None else ()
    since, until = _ends(case)
    return [
        used
        for used in passes
        if used.since <= until
        and (used.exit is None or used.exit.at >= since)
        and not case.decisions.voids(used)
    ]


# -- laps ------------------------------------------------------------------------------------------


def _laps(case: Case, witness: Witness, since: int | None, least: int) -> tuple[_Lap, ...]:
    """All laps; those that were not reached are empty. Before the first finish at least `least`
    objects have to be validated."""
    empty = _Lap((None,) * len(case.segment.ordered), None)
    laps: list[_Lap] = []
    taken: set[Pass] = set()
    for number in range(1, case.segment.laps + 1):
        if laps and laps[-1].finish is None:
            laps.append(empty)
            continue
        lap = _lap(case, witness, number, since, least if number == 1 else 0, taken)
        laps.append(lap)
        # One pass counts once, though it may last beyond the finish of the lap.
        taken.update(mark.used for mark in lap.marks if mark is not None and mark.used is not None)
        since = since if lap.finish is None else lap.finish.at
    return tuple(laps)


def _lap(
    case: Case, witness: Witness, number: int, since: int | None, least: int, taken: set[Pass]
) -> _Lap:
    ordered = case.segment.ordered
    begin, (_, end) = EVER if since is None else since, _ends(case)
    stays = [_stays(case, witness, thing, number, taken) for thing in ordered]
    fixed = [_ruled(case, thing, number) for thing in ordered]

    def marks(until: int) -> tuple[Mark | None, ...]:
        held = assign(stays, begin, until)
        return tuple(
            own if own is not None else _mark(taken_by, witness)
            for own, taken_by in zip(fixed, held, strict=True)
        )

    finish = _finish(case, witness, number, begin, stays, taken)
    if finish is None:
        return _Lap(marks(end), None)
    before = marks(finish.at)
    if finish.ruling is None and _validated(case, number, before) < least:
        return _Lap(marks(end), None)
    return _Lap(before, finish)


def _ends(case: Case) -> tuple[int, int]:
    since, until = case.window.since, case.window.until
    return EVER if since is None else since, NEVER if until is None else until


def _stays(
    case: Case, witness: Witness, thing: Object, lap: int, taken: set[Pass]
) -> Sequence[Stay]:
    """Where the device was present at an object; nothing where a ruling has decided the object."""
    ruling = case.decisions.on(thing.id, lap)
    if ruling is not None and ruling.kind in (RulingKind.INVALIDATE, RulingKind.SET_TIME):
        return ()
    return [
        Stay(used.since, NEVER if used.exit is None else used.exit.at, used)
        for used in visible(case, witness, thing.id)
        if used not in taken
    ]


def _ruled(case: Case, thing: Object, lap: int) -> Mark | None:
    ruling = case.decisions.on(thing.id, lap)
    if ruling is None or ruling.kind is not RulingKind.SET_TIME:
        return None
    return Mark(ruled_at(ruling), ruling=ruling)


def _mark(held: Held | None, witness: Witness) -> Mark | None:
    """A stay that had begun before its instant has no crossing there. It is provisional where the
    enter lies in a gap, or where it rests on a stay whose end does and may have been earlier."""
    if held is None:
        return None
    used = held.used
    at_its_enter = used.enter is not None and held.at == used.enter.at
    doubtful = used.enter is not None and used.enter.provisional
    if used.exit is not None and used.exit.provisional and held.at > used.exit.before:
        doubtful = True
    return Mark(held.at, witness.device_id, used, used.enter if at_its_enter else None, doubtful)


# -- finish ----------------------------------------------------------------------------------------


def _finishes(
    case: Case, witness: Witness, lap: int, begin: int, taken: set[Pass]
) -> Iterator[Mark]:
    """What may be the finish of a lap, in order: what a ruling says, else the enters after the
    beginning. A device first seen inside did not enter, so its instant is not known."""
    finish = case.segment.finish
    ruling = case.decisions.on(finish, lap)
    if ruling is not None and ruling.kind is RulingKind.SET_TIME:
        yield Mark(ruled_at(ruling), ruling=ruling)
        return
    if ruling is not None and ruling.kind is RulingKind.INVALIDATE:
        return
    for used in visible(case, witness, finish):
        enter = used.enter
        if enter is not None and used not in taken and begin < enter.at <= _ends(case)[1]:
            yield Mark(enter.at, witness.device_id, used, enter, enter.provisional)


def _finish(
    case: Case,
    witness: Witness,
    lap: int,
    begin: int,
    stays: Sequence[Sequence[Stay]],
    taken: set[Pass],
) -> Mark | None:
    """The finish of a lap, None where there is none."""
    found = list(_finishes(case, witness, lap, begin, taken))
    if not found or found[0].ruling is not None:
        return found[0] if found else None
    several_laps = case.segment.laps > 1
    held = assign(stays, begin, _ends(case)[1])
    for mark in found:
        if several_laps:
            held = assign(stays, begin, mark.at)
        before = [one if one is not None and one.at <= mark.at else None for one in held]
        if 2 * _validated(case, lap, before) >= len(stays):
            return mark
    last = max(
        (max(stay.since, begin) for own in stays for stay in own if stay.until >= begin),
        default=begin,
    )
    return evolve(found[-1], out_of_order=True) if found[-1].at >= last else None


def _validated(case: Case, lap: int, held: Sequence[object | None]) -> int:
    """How many objects of a lap are held, or stand by a ruling that validates or times them."""
    count = 0
    for thing, one in zip(case.segment.ordered, held, strict=True):
        ruling = case.decisions.on(thing.id, lap)
        stands = ruling is not None and ruling.kind in (RulingKind.VALIDATE, RulingKind.SET_TIME)
        count += one is not None or stands
    return count


# -- start -----------------------------------------------------------------------------------------


def _begins_unseen(case: Case) -> bool:
    """Whether the segment begins without a departure that a tracker could see."""
    known = case.previous_timed is None or case.previous_finish is not None
    return case.segment.start is None and known


def _worth(laps: Sequence[_Lap]) -> tuple[int, int]:
    """Laps finished in order, then objects validated."""
    finished = sum(lap.finish is not None and not lap.finish.out_of_order for lap in laps)
    return finished, sum(mark is not None for lap in laps for mark in lap.objects)


def _start_before(laps: Sequence[_Lap]) -> int | None:
    """The instant by which the start must have been left: when the first object counts, or, if it
    is a visit that lasts, its end, so long as the next object still follows."""
    found = [m for m in laps[0].marks if m is not None and m.used is not None]
    if not found:
        return None
    first = found[0]
    if first is laps[0].finish:
        return first.at
    assert first.used is not None
    ends = [first.used.exit.at if first.used.exit is not None else NEVER]
    ends += [mark.at for mark in found[1:2]]
    return max(first.at, min(ends))


def _begun_after(start: Mark | None, marks: Sequence[Mark | None]) -> list[Mark | None]:
    """A visit that was under way at the start counts from the start."""
    if start is None:
        return list(marks)
    return [
        evolve(mark, at=start.at, crossing=None)
        if mark is not None and mark.ruling is None and mark.at < start.at
        else mark
        for mark in marks
    ]
