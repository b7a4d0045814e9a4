"""Neutralisations: stretches where the clock stands still.

A DN begins one of `duration_seconds`, the next FN in order ends it. The clock stops when the DN
disc is entered and starts again exactly that long after, wherever the car is then; so exactly the
duration is taken off, and leaving the FN disc earlier is an offence (penalties.py judges it by
`left_at`). FN missed: the duration is taken off all the same. DN missed: nothing is.
"""

from collections.abc import Sequence

from processor.domain.course import Kind
from processor.domain.timesheet import Neutralisation, Validation

MS_PER_SECOND = 1_000


def neutralisations(passed: Sequence[Validation]) -> tuple[Neutralisation, ...]:
    """Those of a segment, in order, from what became of its ordered objects."""
    begins = [index for index, v in enumerate(passed) if v.object.kind is Kind.DN]
    return tuple(_neutralisation(passed, index) for index in begins)


def _neutralisation(passed: Sequence[Validation], index: int) -> Neutralisation:
    begin, end = passed[index], _end(passed, index)
    duration_ms = (begin.object.duration_seconds or 0) * MS_PER_SECOND
    return Neutralisation(
        begin.object,
        None if end is None else end.object,
        duration_ms,
        entered_at=begin.at if begin.validated else None,
        left_at=_left_at(end),
        taken_off_ms=duration_ms if begin.validated else 0,
    )


def _end(passed: Sequence[Validation], index: int) -> Validation | None:
    """The next FN of the lap, if no other DN comes before it."""
    for following in passed[index + 1 :]:
        if following.lap != passed[index].lap or following.object.kind is Kind.DN:
            return None
        if following.object.kind is Kind.FN:
            return following
    return None


def _left_at(end: Validation | None) -> int | None:
    """The exit from the FN disc. One in a gap is not known well enough to punish anybody."""
    if end is None or not end.validated or end.used is None or end.used.exit is None:
        return None
    return None if end.used.exit.provisional else end.used.exit.at
