"""What timing puts before an official: things that no rule decides (design/racing.md, Timing).

Each item is about something that is there whenever the evidence is the same, and goes when a ruling
has dealt with it or later data resolve it.
"""

from collections.abc import Iterator, Sequence

from attrs import frozen

from processor.domain.course import Kind, Object
from processor.domain.devices import Disagreement
from processor.domain.instants import MINUTE, SECOND, iso
from processor.domain.marks import Case, Mark, Reading
from processor.domain.outcome import ReviewItem
from processor.domain.starts import Start
from processor.domain.timesheet import Neutralisation
from processor.domain.validation import Finding

NEAR_M = 30.0
"""A waypoint missed by less: as much as a receiver under trees and a road on the map may be wrong
together, so a human looks before it costs anything."""

LATE_START = 30 * MINUTE  # design/racing.md, Start


@frozen
class Looked:
    """What the reviews of a segment are found in."""

    reading: Reading
    start: Start
    findings: tuple[Finding, ...]
    neutralisations: tuple[Neutralisation, ...]
    disagreements: tuple[Disagreement, ...]


def reviews(case: Case, looked: Looked) -> tuple[ReviewItem, ...]:
    """All items of a segment, in a fixed order."""
    return (
        *_late_start(case, looked.start),
        *_finish(case, looked.reading),
        *(item for finding in looked.findings for item in _object(case, finding)),
        *_open_neutralisations(case, looked),
        *(_disagree(case, disagreement) for disagreement in looked.disagreements),
    )


def _item(
    case: Case,
    what: str,
    message: str,
    thing: Object | None = None,
    lap: int | None = None,
    span: Sequence[int | None] = (None, None),
    **evidence: object,
) -> ReviewItem:
    return ReviewItem(
        what,
        case.entry.id,
        case.stage.id,
        case.segment.id,
        message,
        object_id=None if thing is None else thing.id,
        pass_number=lap,
        evidence_from=span[0],
        evidence_to=span[1],
        evidence=evidence,
    )


def _late_start(case: Case, start: Start) -> Iterator[ReviewItem]:
    ruled = case.decisions.set_start or case.decisions.on(case.segment.start)
    if case.target is None or start.mark is None or ruled is not None:
        return
    late = start.mark.at - case.target
    if late > LATE_START:
        yield _item(
            case,
            "late-start",
            f"Left {late // MINUTE} min after the assigned start, {iso(case.target)}:"
            " is it the start?",
            case.segment.object(case.segment.start),
            1,
            _around(start.mark),
            late_s=late / SECOND,
        )


def _finish(case: Case, reading: Reading) -> Iterator[ReviewItem]:
    mark, slot = reading.finish, case.slots[-1]
    if mark is None or slot.object is None or not mark.out_of_order:
        return
    if case.decisions.on(slot.object.id, slot.lap) is None:
        yield _item(
            case,
            "finish-out-of-order",
            f"The finish was passed at {iso(mark.at)} with less than half of the objects before.",
            slot.object,
            slot.lap,
            _around(mark),
        )


def _object(case: Case, finding: Finding) -> Iterator[ReviewItem]:
    validation = finding.validation
    thing, lap, name = validation.object, validation.lap, _name(validation.object)
    if validation.ruling_id is not None or case.decisions.voided(thing.id) or not finding.judged:
        return
    silence, distance_m = finding.silence, validation.distance_m
    if silence is not None:
        yield _item(
            case,
            "gap-over-object",
            f"{name} may have been passed while the tracker was silent for"
            f" {silence.seconds:.0f} s.",
            thing,
            lap,
            (silence.since, silence.until),
            distance_m=distance_m,
        )
    elif validation.status == "missed" and distance_m is not None and distance_m < NEAR_M:
        yield _item(
            case,
            "near-miss",
            f"{name} was missed by {distance_m:.3f} m.",
            thing,
            lap,
            (finding.between.since, finding.between.until),
            distance_m=distance_m,
        )
    if thing.manual_verification and finding.mark is not None:
        yield _item(
            case,
            "manual-verification",
            f"{name} was passed at {iso(finding.mark.at)}; an official has to confirm it.",
            thing,
            lap,
            _around(finding.mark),
        )


def _open_neutralisations(case: Case, looked: Looked) -> Iterator[ReviewItem]:
    """A DN was missed: nothing is taken off, and somebody should know."""
    for finding in looked.findings:
        validation = finding.validation
        if validation.object.kind is not Kind.DN or validation.validated or not finding.judged:
            continue
        if validation.ruling_id is None:
            yield _item(
                case,
                "neutralisation-open",
                f"{_name(validation.object)} was not passed, so no neutralised time is taken off.",
                validation.object,
                validation.lap,
                (finding.between.since, finding.between.until),
            )


def _disagree(case: Case, found: Disagreement) -> ReviewItem:
    slot, used, other = case.slots[found.index], found.used, found.other
    name = slot.role if slot.object is None else _name(slot.object)
    if used is None:
        message = f"{name} was passed by device {other.device_id} only, at {iso(other.at)}."
    else:
        message = (
            f"{name}: device {used.device_id} says {iso(used.at)},"
            f" device {other.device_id} {iso(other.at)}."
        )
    span = _around(other if used is None else used)
    return _item(
        case,
        "devices-disagree",
        message,
        slot.object,
        slot.lap,
        span,
        devices=[mark.device_id for mark in (used, other) if mark is not None],
    )


def _around(mark: Mark) -> tuple[int, int]:
    if mark.crossing is None:
        return mark.at, mark.at
    return mark.crossing.before, mark.crossing.after


def _name(thing: Object) -> str:
    return thing.name or thing.id
