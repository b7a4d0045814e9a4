"""Several devices of one entry: by which of them a segment is timed.

Whole by the first ranked one whose own reading reaches the finish with nothing in it provisional or
unverified. Else by the one that validated the most objects (of equals the first ranked), and what
it lacks, or has only provisionally, is filled from the next one that has it, if it fits between the
neighbours in order: such a segment is `mixed`. A device chosen by a ruling is the only one.
"""

from collections.abc import Sequence

from attrs import evolve, frozen

from processor.domain.instants import MILLISECOND
from processor.domain.marks import Case, Mark, Reading, Role, Slot
from processor.domain.starts import official_start
from processor.domain.validation import hidden, neighbours
from processor.domain.witnesses import Witness

DISAGREE_MS = 500  # design/racing.md, Several devices: beside the uncertainties of both


@frozen
class Heard:
    """A witness and its reading."""

    witness: Witness
    reading: Reading


@frozen
class Disagreement:
    """Two devices on one slot: the mark that counts, and another's (None: it did not pass)."""

    index: int
    used: Mark | None
    other: Mark


def settle(case: Case, heard: Sequence[Heard]) -> Heard:
    """The reading that counts, with the witness it is based on; `heard` in the order of rank, at
    least one."""
    clean = (h for h in heard if _is_clean(case, h))
    whole = next(clean, None)
    if whole is not None:
        return whole
    ordered = sorted(heard, key=lambda h: -_validated(case, h.reading))  # sorted is stable
    base = ordered[0]
    marks = list(base.reading.marks)
    for other in ordered[1:]:
        for index, mark in enumerate(other.reading.marks):
            if mark is not None and _better(mark, marks[index]) and _fits(marks, index, mark):
                marks[index] = mark
    if tuple(marks) == base.reading.marks:
        return base
    together = tuple(_in_order(case, marks, index) for index in range(len(marks)))
    return Heard(base.witness, evolve(base.reading, marks=together, mixed=True))


def disagreements(case: Case, chosen: Reading, heard: Sequence[Heard]) -> tuple[Disagreement, ...]:
    """Where another device says an instant that differs by more than both uncertainties and half a
    second, or passed an object that the chosen one did not; one per slot, the first ranked."""
    found: dict[int, Disagreement] = {}
    for other in heard:
        for index, mark in enumerate(other.reading.marks):
            if mark is not None and _differs(case, index, chosen, mark):
                found.setdefault(index, Disagreement(index, chosen.marks[index], mark))
    return tuple(found[index] for index in sorted(found))


def _is_clean(case: Case, heard: Heard) -> bool:
    reading = heard.reading
    finish = reading.finish
    if finish is None or finish.out_of_order:
        return False
    if any(mark is not None and mark.provisional for mark in reading.marks):
        return False
    missing = {
        index: between
        for index, between in neighbours(case, reading, official_start(case)).items()
        if reading.marks[index] is None and not _is_ruled(case, case.slots[index])
    }
    return not hidden(case, heard.witness, missing)


def _is_ruled(case: Case, slot: Slot) -> bool:
    return slot.object is not None and case.decisions.on(slot.object.id, slot.lap) is not None


def _validated(case: Case, reading: Reading) -> int:
    return sum(
        mark is not None and slot.role is Role.OBJECT
        for slot, mark in zip(case.slots, reading.marks, strict=True)
    )


def _better(mark: Mark, present: Mark | None) -> bool:
    if present is None:
        return True
    return present.provisional and not mark.provisional


def _in_order(case: Case, marks: Sequence[Mark | None], index: int) -> Mark | None:
    """A finish that had too few objects before it by one device may have enough by several."""
    mark, slot = marks[index], case.slots[index]
    if mark is None or slot.role is not Role.FINISH:
        return mark
    own = [m for s, m in zip(case.slots, marks, strict=True) if _is_object(s, slot.lap)]
    enough = 2 * sum(m is not None for m in own) >= len(own)
    return evolve(mark, out_of_order=mark.out_of_order and not enough)


def _is_object(slot: Slot, lap: int) -> bool:
    return slot.role is Role.OBJECT and slot.lap == lap


def _fits(marks: Sequence[Mark | None], index: int, mark: Mark) -> bool:
    """Whether the instant lies between those of the neighbours that are there."""
    before = next((m.at for m in reversed(marks[:index]) if m is not None), mark.at)
    behind = next((m.at for m in marks[index + 1 :] if m is not None), mark.at)
    return before <= mark.at <= behind


def _differs(case: Case, index: int, chosen: Reading, mark: Mark) -> bool:
    used = chosen.marks[index]
    if mark.provisional or mark.crossing is None:
        return False
    if used is None:
        finish = chosen.finish
        passed_later = finish is not None and mark.at <= finish.at
        return case.slots[index].role is Role.OBJECT and passed_later
    if used.crossing is None or used.provisional:
        return False
    allowed_ms = used.crossing.uncertainty_ms + mark.crossing.uncertainty_ms + DISAGREE_MS
    return abs(used.at - mark.at) > allowed_ms * MILLISECOND
