"""Time controls: when a crew was due, when it checked in, and by how many minutes it was wrong.

A marshal's clock shows whole minutes, so a check-in is floored to the minute, and the minute before
the due one is free: due 11:13, 11:12:00 to 11:13:59 costs nothing. Due is the published target of
the control, else the floored reference and the segment's target duration. The reference is what a
ruling set as the start of the segment, else the finish of the last segment before it that has one
(a parc ferme between them has none), else (the first segment of a stage) its own start.

What the start list says of the segment is the target of its start where it has a start object, else
(a liaison) that of its control; a target under the control's own id comes before both. A check-in
at a control that nothing of this says anything of is shown, and its line says so.
"""

from collections.abc import Iterator

from attrs import frozen

from processor.domain.course import Kind, Object, Segment
from processor.domain.decisions import ruled_at
from processor.domain.instants import MINUTE, SECOND, floor_minute, later
from processor.domain.marks import Case, Mark, Reading
from processor.domain.reading import visible
from processor.domain.rulings import RulingKind
from processor.domain.starts import Start, target_is_of_control
from processor.domain.timesheet import Control
from processor.domain.witnesses import Witness


@frozen
class Check:
    """A check-in: the mark of a control, with its lap and its place among the lines. `control` is
    None where nothing says when it was due."""

    object: Object
    lap: int
    index: int
    mark: Mark
    control: Control | None


def control(thing: Object, due: int, entered_at: int, ruling_id: str | None = None) -> Control:
    """The check-in of who entered at that instant. Parts of a minute count for the crew."""
    check_in = floor_minute(entered_at)
    return Control(
        thing,
        due=due,
        check_in=check_in,
        late_min=max(0, (check_in - due) // MINUTE),
        early_min=max(0, (due - MINUTE - check_in) // MINUTE),
        ruling_id=ruling_id,
    )


def is_control(thing: Object | None, segment: Segment) -> bool:
    """Whether an object is a time control that is checked into. The start of a segment is judged by
    its start (late-start, early-start), not twice."""
    return thing is not None and thing.kind is Kind.TIME_CONTROL and thing.id != segment.start


def due_at(case: Case, thing: Object, start_at: int | None) -> int | None:
    """When a crew is due at a control; None where nothing says it."""
    published = case.entry.start_at.get(thing.id)
    if published is None and target_is_of_control(case.segment):
        published = case.entry.start_at.get(case.segment.id)
    if published is not None:
        return published
    reference, duration = _reference(case, start_at), case.segment.target_duration_seconds
    if reference is None or duration is None:
        return None
    return later(floor_minute(reference), duration * SECOND)


def _reference(case: Case, start_at: int | None) -> int | None:
    ruled = case.decisions.set_start is not None
    return start_at if ruled or case.previous_finish is None else case.previous_finish


# -- who checked in --------------------------------------------------------------------------------


def checks_in(
    case: Case,
    reading: Reading,
    witness: Witness | None,
    start: Start,
) -> Iterator[Check]:
    """The check-ins: at ordered controls where they were validated, at a finish that is a control,
    and at one outside the order where it was first entered after the start."""
    for index, slot in enumerate(case.slots):
        mark = reading.marks[index]
        if slot.object is not None and mark is not None and is_control(slot.object, case.segment):
            yield _check(case, slot.object, slot.lap, index, mark, start)
    placed = {slot.object.id for slot in case.slots if slot.object is not None}
    others = [o for o in case.segment.objects if o.id not in placed]
    for index, thing in enumerate(others, start=len(case.slots)):
        mark = _first_enter(case, thing, witness, start.at)
        if mark is not None and is_control(thing, case.segment):
            yield _check(case, thing, 1, index, mark, start)


def _check(case: Case, thing: Object, lap: int, index: int, mark: Mark, start: Start) -> Check:
    due = due_at(case, thing, start.at)
    ruling = case.decisions.on(thing.id, lap)
    ruling_id = None if ruling is None else ruling.id
    known = None if due is None else control(thing, due, mark.at, ruling_id)
    return Check(thing, lap, index, mark, known)


def _first_enter(
    case: Case, thing: Object, witness: Witness | None, start_at: int | None
) -> Mark | None:
    ruling = case.decisions.on(thing.id)
    if ruling is not None and ruling.kind is RulingKind.SET_TIME:
        return Mark(ruled_at(ruling), ruling=ruling)
    if witness is None or (ruling is not None and ruling.kind is RulingKind.INVALIDATE):
        return None
    for used in visible(case, witness, thing.id):
        enter = used.enter
        if enter is not None and case.window.holds(enter.at) and enter.at >= (start_at or enter.at):
            return Mark(enter.at, witness.device_id, used, enter, enter.provisional)
    return None
