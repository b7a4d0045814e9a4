"""The lines of a segment: what is published of it, each with its explanation.

A line says in its `text` what a steward would ask: where the instant comes from, between which two
fixes it lies, what else there was and was not used. Beside it stand `object` with its geometry, the
two `fixes` (of a missed object those of the nearest chord) and the `arithmetic`. Lines are numbered
by the place of their object in the order of the segment, start first. Of an object ahead of the car
there is no line yet.
"""

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve, frozen

from processor.domain.controls import Check
from processor.domain.course import Kind, Object
from processor.domain.explain import became, crossing_told, fix_told, how, object_told, ruled
from processor.domain.instants import MILLISECOND, iso
from processor.domain.marks import Case, Mark, Reading, Role
from processor.domain.model import Crossing, Explanation, Fix
from processor.domain.outcome import TimingRecord
from processor.domain.rulings import Ruling
from processor.domain.starts import Start
from processor.domain.validation import Finding
from processor.domain.witnesses import Witness

KINDS = {Kind.CHECKPOINT: "split", Kind.TIME_CONTROL: "time-control"}


@frozen
class Passed:
    """What the lines of a segment are made from. `computed` is the reading without the rulings on
    its objects, `elsewhere` other instants at which each object was passed, by object id, `seen_by`
    the devices that were there."""

    reading: Reading
    computed: Reading
    start: Start
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    elsewhere: Mapping[str, tuple[int, ...]]
    elapsed_ms: int | None
    seen_by: tuple[Witness, ...]


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
    by_ruling = mark is not None and mark.ruling is not None
    return TimingRecord(
        entry_id=case.entry.id,
        stage_id=case.stage.id,
        segment_id=case.segment.id,
        kind=kind,
        object_id=None if thing is None else thing.id,
        pass_number=lap,
        sequence=index,
        at=None if mark is None else mark.at,
        official_at=mark.at if mark is not None and by_ruling else None,
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
    """The start that counts; what the tracker measured stays beside it."""
    start = passed.start
    if start.at is None:
        return
    thing, mark = case.segment.object(case.segment.start), start.mark
    text, arithmetic = _how_started(case, start, thing), {}
    if start.official_at is not None and mark is not None:
        off_ms = (mark.at - start.official_at) / MILLISECOND
        text += f" The tracker left at {iso(mark.at)}, {off_ms / 1000:+.3f} s from it."
        arithmetic = {"measured_minus_official_ms": off_ms}
    line = _line(
        case,
        "start",
        thing,
        1,
        0,
        mark,
        _explanation(text, thing, mark, passed, start.ruling, arithmetic),
        status="provisional" if start.waiting_for else "ok",
        computed=mark,
        ruling=start.ruling,
    )
    measured = start.at if start.source == "previous-finish" else line.computed_at
    source = {"ruling": "ruling", "assigned": "assigned"}.get(start.source, "gps")
    yield evolve(
        line,
        at=start.at,
        official_at=start.official_at,
        computed_at=measured,
        uncertainty_ms=start.uncertainty_ms,
        source=source,
    )


def _how_started(case: Case, start: Start, thing: Object | None) -> str:
    assert start.at is not None
    if start.source == "ruling" and start.ruling is not None:
        return f"Started at {iso(start.at)}. {ruled(start.ruling)}"
    if start.source == "assigned":
        return f"Started at {iso(start.at)}, as the start list says."
    if start.source == "previous-finish":
        return f"Started at {iso(start.at)}, the finish of the segment before."
    assert thing is not None
    assert start.mark is not None
    text = f"{how(thing, start.mark)} This is the start by the rule {case.rule}."
    if "start-target" in start.waiting_for:
        text += " The start list has no time for it yet."
    return text


def _finishes(case: Case, passed: Passed) -> Iterator[TimingRecord]:
    """The finish of each lap."""
    for index, slot in enumerate(case.slots):
        mark, thing = passed.reading.marks[index], slot.object
        if slot.role is not Role.FINISH or mark is None or thing is None:
            continue
        own = [f.validation for f in passed.findings if f.validation.lap == slot.lap]
        count = sum(v.validated for v in own)
        ruling = case.decisions.on(thing.id, slot.lap)
        text = f"{how(thing, mark)} {count} of {len(own)} ordered objects were passed before it."
        if mark.out_of_order:
            text += " That is less than half: an official should look at it."
        arithmetic: dict[str, object] = {"validated": count, "of": len(own)}
        started_at = passed.start.at
        if passed.elapsed_ms is not None and started_at is not None and slot is case.slots[-1]:
            resolution = case.stage.time_resolution_ms
            arithmetic |= {
                "start": iso(started_at),
                "finish": iso(mark.at),
                "finish_minus_start_ms": (mark.at - started_at) / MILLISECOND,
                "time_resolution_ms": resolution,
                "elapsed_ms": passed.elapsed_ms,
            }
            text += f" From the start {passed.elapsed_ms} ms, cut to {resolution} ms."
        yield _line(
            case,
            "finish",
            thing,
            slot.lap,
            index,
            mark,
            _explanation(text, thing, mark, passed, ruling, arithmetic),
            status="provisional" if mark.provisional and ruling is None else "ok",
            computed=passed.computed.marks[index],
            ruling=ruling,
        )


def _object(case: Case, passed: Passed, finding: Finding) -> TimingRecord:
    validation, mark = finding.validation, finding.mark
    thing = validation.object
    ruling = case.decisions.on(thing.id, validation.lap)
    text, more = became(case, finding)
    if mark is None and validation.at is not None:  # a ruling that validates may say when
        mark = Mark(validation.at, ruling=ruling)
    return _line(
        case,
        KINDS.get(thing.kind, "waypoint"),
        thing,
        validation.lap,
        finding.index,
        mark,
        {
            **_explanation(text, thing, mark, passed, ruling),
            **more,
            **_nearest(validation.nearest, validation.distance_m),
        },
        status=validation.status,
        computed=passed.computed.marks[finding.index],
        ruling=ruling,
        distance_m=validation.distance_m,
        device_id=validation.device_id,
    )


def _check(case: Case, passed: Passed, check: Check) -> TimingRecord:
    ruling = case.decisions.on(check.object.id, check.lap)
    text, arithmetic = how(check.object, check.mark), {}
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
        _explanation(text, check.object, check.mark, passed, ruling, arithmetic),
        status="provisional" if check.mark.provisional and ruling is None else "ok",
        computed=_computed(passed, check),
        ruling=ruling,
    )


def _computed(passed: Passed, check: Check) -> Mark | None:
    """What the tracker says of a check-in; of a control outside the order only where it counts."""
    if check.index < len(passed.computed.marks):
        return passed.computed.marks[check.index]
    return check.mark if check.mark.ruling is None else None


# -- what a line rests on --------------------------------------------------------------------------


def _explanation(
    text: str,
    thing: Object | None,
    mark: Mark | None,
    passed: Passed,
    ruling: Ruling | None,
    arithmetic: Mapping[str, object] | None = None,
) -> Explanation:
    """`text`, and beside it the object, the fixes around the instant, the arithmetic, and what was
    not used."""
    said: dict[str, object] = {"text": text}
    if ruling is not None and ruled(ruling) not in text:
        said["text"] = f"{text} {ruled(ruling)}"
    if thing is not None:
        said["object"] = object_told(thing)
    steps = dict(arithmetic or {})
    if mark is not None and mark.crossing is not None:
        crossing = mark.crossing
        fixes = _fixes_around(crossing, passed.seen_by)
        said["fixes"] = [fix_told(fix) for fix in fixes] or [
            {"at": iso(at)} for at in (crossing.before, crossing.after)
        ]
        said["place"] = [crossing.latitude, crossing.longitude]
        steps = {**crossing_told(crossing, fixes), **steps}
    if steps:
        said["arithmetic"] = steps
    if mark is not None and mark.used is not None:
        said["pass"] = mark.used.number
    others = () if thing is None else passed.elsewhere.get(thing.id, ())
    if others:
        said["not_used"] = [iso(at) for at in others]
    if passed.reading.mixed:
        said["mixed"] = True
    return said


def _fixes_around(crossing: Crossing, seen_by: Sequence[Witness]) -> tuple[Fix, ...]:
    """The two fixes of its chord; one alone where the device was handed over in between."""
    return tuple(
        part.fix(0)
        for witness in seen_by
        if witness.device_id == crossing.device_id
        for at in (crossing.before, crossing.after)
        if len(part := witness.track.between(at, at))
    )


def _nearest(fixes: Sequence[Fix], distance_m: float | None) -> Mapping[str, object]:
    """Of what was not passed, the chord that came nearest to it."""
    if not fixes:
        return {}
    return {
        "fixes": [fix_told(fix) for fix in fixes],
        "arithmetic": {"nearest_m": distance_m},
    }
