"""What a result still waits for, so that nobody takes it for final.

A closed set of words: start, finish (the segment has one, but it is not there yet), start-target
(assigned, but not in the start list), provisional-crossing (in a gap), unverified-object,
manual-verification, gap (of a device that timed it, between start and finish), later-fix (no device
of the entry has reported anything after the finish or the closure, so more may come). A ruling
`confirm` of the segment settles all but a missing start or finish. A segment without a finish of
its own ends with the last thing that was passed in it.
"""

from collections.abc import Iterator, Sequence

from attrs import frozen

from processor.domain.marks import Case, Reading, Role
from processor.domain.starts import Start
from processor.domain.validation import Finding
from processor.domain.witnesses import Witness


@frozen
class Open:
    """What may be open in a segment. `present` are the devices with a fix in its window, `last_at`
    the last fix of any."""

    reading: Reading
    start: Start
    findings: tuple[Finding, ...]
    present: tuple[Witness, ...]
    last_at: int | None


def waiting_for(case: Case, left: Open) -> Iterator[str]:
    """The words, in a fixed order; none: nothing is open."""
    reading, start, found = left.reading, left.start, left.findings
    finish, closed_at = reading.finish, case.stage.closed_at
    if closed_at is None or finish is not None:
        if start.at is None and (case.segment.start or case.segment.finish):
            yield "start"
        if finish is None and case.segment.finish:
            yield "finish"
    if case.decisions.confirmed is not None:
        return
    yield from (reason for reason in start.waiting_for if reason == "start-target")
    if _has_provisional_crossing(case, reading, start):
        yield "provisional-crossing"
    if any(f.validation.status == "unverified" and f.silence is not None for f in found):
        yield "unverified-object"
    if any(_awaits_human(finding) for finding in found):
        yield "manual-verification"
    ends_at = _ends_at(case, reading)
    if _has_gap_inside(reading, start, left.present, ends_at):
        yield "gap"
    if ends_at is not None and _may_report(case, left, ends_at):
        yield "later-fix"


def _ends_at(case: Case, reading: Reading) -> int | None:
    """The finish, else the closure; None while the segment may go on."""
    if reading.finish is not None:
        return reading.finish.at
    if case.segment.finish is None and case.stage.closed_at is None:
        return max((mark.at for mark in reading.marks if mark is not None), default=None)
    return case.stage.closed_at


def _may_report(case: Case, left: Open, ends_at: int) -> bool:
    """Whether there are devices at all, and none has a fix after that instant."""
    silent = left.last_at is None or left.last_at <= ends_at
    return silent and bool(case.entry.devices or left.present)


def _awaits_human(finding: Finding) -> bool:
    validation = finding.validation
    awaited = validation.object.manual_verification and validation.ruling_id is None
    return awaited and finding.mark is not None


def _has_provisional_crossing(case: Case, reading: Reading, start: Start) -> bool:
    if "provisional-crossing" in start.waiting_for:
        return True
    return any(
        mark is not None
        and mark.provisional
        and slot.role is not Role.START
        and (slot.object is None or case.decisions.on(slot.object.id, slot.lap) is None)
        for slot, mark in zip(case.slots, reading.marks, strict=True)
    )


def _has_gap_inside(
    reading: Reading, start: Start, present: Sequence[Witness], until: int | None
) -> bool:
    """Whether a device that timed the segment was silent meanwhile. A leap of the receiver is no
    silence: no later upload fills it."""
    devices = {mark.device_id for mark in reading.marks if mark is not None}
    since = start.at if reading.start is None else reading.start.at
    return any(
        not gap.speeding
        and (until is None or gap.before.at < until)
        and (since is None or gap.after.at > since)
        for witness in present
        if witness.device_id in devices
        for gap in witness.evidence.gaps
    )
