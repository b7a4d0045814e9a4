"""The lines of a segment: what is published of it, each with its explanation.

A line says in its `text` what a steward would ask: where the instant comes from, between which two
fixes it lies, what else there was and was not used, and the arithmetic. Lines are numbered by the
place of their object in the order of the segment, start first. Of an object ahead of the car there
is no line yet.
"""

from collections.abc import Iterator, Mapping

from attrs import frozen

from processor.domain.controls import Check
from processor.domain.course import Kind, Object
from processor.domain.instants import MILLISECOND, iso
from processor.domain.marks import Case, Mark, Reading, Role
from processor.domain.model import Explanation
from processor.domain.outcome import TimingRecord
from processor.domain.rulings import Ruling
from processor.domain.starts import Start
from processor.domain.validation import Finding

KINDS = {Kind.CHECKPOINT: "split", Kind.TIME_CONTROL: "time-control"}


@frozen
class Passed:
    """What the lines of a segment are made from. `computed` is the reading without the rulings on
    its objects, `elsewhere` other instants at which each object was passed, by object id."""

    reading: Reading
    computed: Reading
    start: Start
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    elsewhere: Mapping[str, tuple[int, ...]]
    elapsed_ms: int | None


def lines(case: Case, passed: Passed) -> tuple[TimingRecord, ...]:
    """All lines, in the order of their sequence."""
    found = [*_start(case, passed), *_finishes(case, passed)]
    found += [_object(case, passed, f) for f in passed.findings if _has_line(f)]
    found += [_check(case, passed, check) for check in passed.checks]
    return tuple(sorted(found, key=lambda line: (line.sequence, line.kind, line.pass_number)))


def _has_line(finding: Finding) -> bool:
    """What lies ahead has none, and a control that was entered has one as a check-in."""
    checked = finding.validation.object.kind is Kind.TIME_CONTROL and finding.mark is not None
    return finding.judged and not checked


# -- one line --------------------------------------------------------------------------------------


def _line(
    case: Case,
    kind: str,
    thing: Object | None,
    lap: int,
    index: int,
    mark: Mark | None,
    explanation: Explanation,
    *,
    status: str = "ok",
    computed: Mark | None = None,
    ruling: Ruling | None = None,
    distance_m: float | None = None,
    device_id: str | None = None,
) -> TimingRecord:
    ruled = mark is not None and mark.ruling is not None
    return TimingRecord(
        entry_id=case.entry.id,
        stage_id=case.stage.id,
        segment_id=case.segment.id,
        kind=kind,
        object_id=None if thing is None else thing.id,
        pass_number=lap,
        sequence=index,
        at=None if mark is None else mark.at,
        official_at=mark.at if mark is not None and ruled else None,
        computed_at=None if computed is None else computed.at,
        uncertainty_ms=None if mark is None else mark.uncertainty_ms,
        distance_m=distance_m,
        status=status,
        source="gps" if ruling is None else "ruling",
        device_id=device_id if mark is None or mark.device_id is None else mark.device_id,
        explanation=explanation,
        crossing_keys=() if mark is None or mark.crossing is None else (mark.crossing.key,),
        ruling_id=None if ruling is None else ruling.id,
    )


def _start(case: Case, passed: Passed) -> Iterator[TimingRecord]:
    start = passed.start
    if start.at is None:
        return
    thing, mark = case.segment.object(case.segment.start), start.mark
    if start.source == "ruling" and start.ruling is not None:
        text = f"Started at {iso(start.at)}. {_ruled(start.ruling)}"
    elif start.source == "assigned":
        text = f"Started at {iso(start.at)}, as the start list says."
    elif start.source == "previous-finish":
        text = f"Started at {iso(start.at)}, the finish of the segment before."
    else:
        assert thing is not None
        assert mark is not None
        text = f"{_how(thing, mark)} This is the start by the rule {case.rule}."
        if "start-target" in start.waiting_for:
            text += " The start list has no time for it yet."
    arithmetic = {}
    if start.official_at is not None and mark is not None:
        off_ms = (mark.at - start.official_at) / MILLISECOND
        text += f" The tracker left at {iso(mark.at)}, {off_ms / 1000:+.3f} s from it."
        arithmetic = {"measured_minus_official_ms": off_ms}
    explanation = _explanation(text, thing, mark, passed, start.ruling, **arithmetic)
    source = {"ruling": "ruling", "assigned": "assigned"}.get(start.source, "gps")
    yield TimingRecord(
        entry_id=case.entry.id,
        stage_id=case.stage.id,
        segment_id=case.segment.id,
        kind="start",
        object_id=None if thing is None else thing.id,
        pass_number=1,
        sequence=0,
        at=start.at,
        official_at=start.official_at,
        computed_at=start.at if start.source == "previous-finish" else mark.at if mark else None,
        uncertainty_ms=start.uncertainty_ms,
        distance_m=None,
        status="provisional" if start.waiting_for else "ok",
        source=source,
        device_id=None if mark is None else mark.device_id,
        explanation=explanation,
        crossing_keys=() if mark is None or mark.crossing is None else (mark.crossing.key,),
        ruling_id=None if start.ruling is None else start.ruling.id,
    )


def _finishes(case: Case, passed: Passed) -> Iterator[TimingRecord]:
    """The finish of each lap."""
    for index, slot in enumerate(case.slots):
        mark, thing = passed.reading.marks[index], slot.object
        if slot.role is not Role.FINISH or mark is None or thing is None:
            continue
        own = [f.validation for f in passed.findings if f.validation.lap == slot.lap]
        count = sum(v.validated for v in own)
        ruling = case.decisions.on(thing.id, slot.lap)
        text = f"{_how(thing, mark)} {count} of {len(own)} ordered objects were passed before it."
        if mark.out_of_order:
            text += " That is less than half: an official should look at it."
        arithmetic: dict[str, object] = {"validated": count, "of": len(own)}
        if passed.elapsed_ms is not None and index == len(case.slots) - 1:
            arithmetic["elapsed_ms"] = passed.elapsed_ms
            resolution = case.stage.time_resolution_ms
            text += f" From the start {passed.elapsed_ms} ms, cut to {resolution} ms."
        doubtful = mark.provisional or mark.out_of_order
        yield _line(
            case,
            "finish",
            thing,
            slot.lap,
            index,
            mark,
            _explanation(text, thing, mark, passed, ruling, **arithmetic),
            status="provisional" if doubtful and ruling is None else "ok",
            computed=passed.computed.marks[index],
            ruling=ruling,
        )


def _object(case: Case, passed: Passed, finding: Finding) -> TimingRecord:
    validation, mark = finding.validation, finding.mark
    thing = validation.object
    ruling = case.decisions.on(thing.id, validation.lap)
    text, more = _became(case, finding)
    if mark is None and validation.at is not None:  # a ruling that validates may say when
        mark = Mark(validation.at, ruling=ruling)
    return _line(
        case,
        KINDS.get(thing.kind, "waypoint"),
        thing,
        validation.lap,
        finding.index,
        mark,
        _explanation(text, thing, mark, passed, ruling, **more),
        status=validation.status,
        computed=passed.computed.marks[finding.index],
        ruling=ruling,
        distance_m=validation.distance_m,
        device_id=validation.device_id,
    )


def _check(case: Case, passed: Passed, check: Check) -> TimingRecord:
    ruling = case.decisions.on(check.object.id, check.lap)
    text, arithmetic = _how(check.object, check.mark), {}
    control = check.control
    if control is None:
        text += " Nothing says when it was due."
    else:
        wrong = f"{control.late_min} min late" if control.late_min else ""
        wrong = f"{control.early_min} min early" if control.early_min else wrong
        text += (
            f" That is a check-in at {iso(control.check_in)[11:16]}, due {iso(control.due)[11:19]}:"
            f" {wrong or 'in time'}. The minute before the due one is free."
        )
        arithmetic = {
            "due": iso(control.due),
            "check_in": iso(control.check_in),
            "late_min": control.late_min,
            "early_min": control.early_min,
        }
    return _line(
        case,
        "time-control",
        check.object,
        check.lap,
        check.index,
        check.mark,
        _explanation(text, check.object, check.mark, passed, ruling, **arithmetic),
        status="provisional" if check.mark.provisional and ruling is None else "ok",
        computed=_computed(passed, check),
        ruling=ruling,
    )


def _computed(passed: Passed, check: Check) -> Mark | None:
    """What the tracker says of a check-in; of a control outside the order only where it counts."""
    if check.index < len(passed.computed.marks):
        return passed.computed.marks[check.index]
    return check.mark if check.mark.ruling is None else None


# -- in words --------------------------------------------------------------------------------------


def _explanation(
    text: str,
    thing: Object | None,
    mark: Mark | None,
    passed: Passed,
    ruling: Ruling | None,
    **more: object,
) -> Explanation:
    """`text`, and beside it the fixes around the instant and what was not used."""
    said: dict[str, object] = {"text": text, **more}
    if ruling is not None and _ruled(ruling) not in text:
        said["text"] = f"{text} {_ruled(ruling)}"
    if mark is not None and mark.crossing is not None:
        crossing = mark.crossing
        said["fixes"] = [iso(crossing.before), iso(crossing.after)]
        said["place"] = [crossing.latitude, crossing.longitude]
    if mark is not None and mark.used is not None:
        said["pass"] = mark.used.number
    others = () if thing is None else passed.elsewhere.get(thing.id, ())
    if others:
        said["not_used"] = [iso(at) for at in others]
    if passed.reading.mixed:
        said["mixed"] = True
    return said


def _how(thing: Object, mark: Mark) -> str:
    """How the mark came about."""
    name = thing.name or thing.id
    if mark.ruling is not None:
        return f"{name} counts at {iso(mark.at)}."
    crossing, used = mark.crossing, mark.used
    if crossing is None:
        since = used.since if used is not None else mark.at
        seen = "it was first seen inside" if used is not None and used.enter is None else "it began"
        if since == mark.at:
            return f"{name}: the device was first seen inside at {iso(mark.at)}."
        return (
            f"{name}: the visit was under way ({seen} at {iso(since)}) when the one before counted,"
            f" so it counts from then, {iso(mark.at)}."
        )
    verb = {"enter": "entered", "exit": "left"}.get(crossing.kind, "crossed")
    text = (
        f"{name} was {verb} at {iso(mark.at)}, between the fixes of {iso(crossing.before)} and"
        f" {iso(crossing.after)}, to within {crossing.uncertainty_ms} ms."
    )
    if mark.provisional:
        text += " There is a gap there, so this is its middle, and a later upload may move it."
    return text


def _became(case: Case, finding: Finding) -> tuple[str, dict[str, object]]:
    """What became of an ordered object, and the arithmetic of it."""
    validation = finding.validation
    name = validation.object.name or validation.object.id
    if finding.mark is not None:
        text = _how(validation.object, finding.mark)
        if validation.object.manual_verification and validation.ruling_id is None:
            text += " An official has to confirm it."
        return text, {}
    if validation.validated:
        return f"{name} was not seen to be passed; a ruling validates it.", {}
    since, until = finding.between.since, finding.between.until
    more: dict[str, object] = {
        "between": [None if at is None else iso(at) for at in (since, until)],
    }
    silence = finding.silence
    if silence is not None:
        more |= {"silent": [iso(silence.since), iso(silence.until)], "seconds": silence.seconds}
        text = (
            f"{name} may have been passed while the tracker was silent for {silence.seconds:.0f} s,"
            f" from {iso(silence.since)} to {iso(silence.until)}; at up to"
            f" {case.settings.max_speed_kmh:g} km/h it could be reached. It costs nothing."
        )
    elif validation.status == "unverified":
        text = f"Nothing is known of {name}: no device was there."
    elif validation.distance_m is None:
        text = f"{name} was not passed in order."
    else:
        text = f"{name} was not passed in order; the nearest was {validation.distance_m:.3f} m."
    return text, more


def _ruled(ruling: Ruling) -> str:
    reason = f": {ruling.reason}" if ruling.reason else ""
    return f"Ruling {ruling.id} ({ruling.kind}){reason}."
