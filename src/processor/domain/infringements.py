"""What happened: every infringement of an entry's stage, before anybody asks what it costs.

They are read off the stage's sheet and, for speed and stops, off the tracks. Only what is certain
is one: a missed object once its segment is closed, an instant that no gap hides; what is unverified
or rests on a crossing in a gap is none (design/racing.md, law 7). Rules decide afterwards which of
them cost anything, so an infringement of 0.3 km/h is listed here like one of 30.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from processor.domain.course import StartRule
from processor.domain.decisions import decisions
from processor.domain.infringement import Infringement, Scene, Where, at_object, clock, name, plain
from processor.domain.instants import MILLISECOND, SECOND, floor_minute, iso, later
from processor.domain.missing import missed, not_stopped
from processor.domain.model import Evidence, Fix
from processor.domain.outcome import TimingRecord
from processor.domain.rules import Offence
from processor.domain.rulings import Ruling
from processor.domain.speed import ZoneVisit, impulses, zone_visits
from processor.domain.starts import rule_of
from processor.domain.timesheet import Control, Neutralisation, StageSheet
from processor.domain.witnesses import witnesses


def infringements(
    sheet: StageSheet, evidences: Sequence[Evidence], rulings: Sequence[Ruling] = ()
) -> tuple[Infringement, ...]:
    """All of an entry's stage, in the order of their instants; of one instant in the order of the
    course. `rulings` only as far as they say what happened (voided visits)."""
    seen_by = witnesses(sheet.entry, evidences)
    found: list[Infringement] = []
    for segment in sheet.segments:
        decided = decisions(sheet.stage, segment.segment, sheet.entry, rulings)
        found.extend(_of_segment(Scene(sheet, segment, seen_by, decided)))
    return tuple(sorted(found, key=lambda one: one.at))  # sorted is stable


def _of_segment(scene: Scene) -> Iterator[Infringement]:
    yield from _start(scene)
    for visit in zone_visits(scene.sheet, scene.seen_by, scene.decided):
        yield from _speed(scene, visit)
    yield from missed(scene)
    yield from not_stopped(scene)
    for control in scene.sheet.controls:
        yield from _control(scene, control)
    for neutralised in scene.sheet.neutralisations:
        yield from _left_early(scene, neutralised)
    yield from _maximum_time(scene)


# -- speed -----------------------------------------------------------------------------------------


def _speed(scene: Scene, visit: ZoneVisit) -> Iterator[Infringement]:
    peak, over, limit = visit.peak, visit.over, visit.limit
    if peak is None:
        return
    where = Where(limit.object_id, limit.kind, visit.number)
    stay, at = (visit.since, visit.until), over[0].fix.at
    fixes = _once(over[0].fix, peak.fix, over[-1].fix)
    above, seconds = peak.speed_kmh - limit.kmh, visit.over_seconds
    said = f"limit {plain(limit.kmh)}"
    facts = {
        "device_id": visit.device_id,
        "limit_kmh": limit.kmh,
        "tolerance_kmh": limit.tolerance_kmh,
        "tolerance_seconds": limit.tolerance_seconds,
        "peak_kmh": peak.speed_kmh,
        "fixes_over": len(over),
        "seconds_over": seconds,
    }
    text = f"{limit.name}: peak {peak.speed_kmh} km/h at {clock(peak.fix.at)}, {said}"
    yield scene.one(Offence.SPEED_LIMIT, where, above, at, text, stay, fixes, facts)
    if limit.kmh:
        yield scene.one(
            Offence.SPEED_TIME_GAINED,
            where,
            visit.excess_seconds_kmh / limit.kmh,
            at,
            f"{limit.name}: {plain(seconds)} s over, up to {peak.speed_kmh} km/h, {said}",
            stay,
            fixes,
            {**facts, "excess_seconds_kmh": visit.excess_seconds_kmh},
            amount_by_peak=above * seconds / limit.kmh,
        )
    for number, impulse in enumerate(impulses(visit), start=1):
        fix, speed_kmh = impulse.over.fix, impulse.over.speed_kmh
        yield scene.one(
            Offence.SPEED_IMPULSE,
            where,
            speed_kmh - limit.kmh,
            fix.at,
            f"{limit.name}: impulse {number}, {speed_kmh} km/h at {clock(fix.at)}, {said}",
            (fix.at, impulse.until),
            (fix,),
            {**facts, "impulse": number},
        )


def _once(*fixes: Fix) -> tuple[Fix, ...]:
    return tuple({fix.at: fix for fix in fixes}.values())


# -- time ------------------------------------------------------------------------------------------


def _start(scene: Scene) -> Iterator[Infringement]:
    """Against the start list. A start that an official set is dealt with."""
    sheet = scene.sheet
    target, measured = sheet.start_target, sheet.start_measured
    thing = sheet.segment.object(sheet.segment.start)
    if target is None or measured is None or thing is None or measured == target:
        return
    assigned = rule_of(sheet.segment, target) is StartRule.ASSIGNED
    ruled = sheet.start_at != (target if assigned else measured)
    crossing = scene.crossing(thing.id, measured)
    if ruled or (crossing is not None and crossing.provisional):
        return
    off = Decimal(measured - target) / SECOND
    yield scene.one(
        Offence.LATE_START if off > 0 else Offence.EARLY_START,
        at_object(thing),
        abs(off),
        measured,
        f"left at {clock(measured)}, due {clock(target)}",
        (measured, measured) if crossing is None else (crossing.before, crossing.after),
        facts={
            "target": iso(target),
            "measured": iso(measured),
            "uncertainty_ms": None if crossing is None else crossing.uncertainty_ms,
        },
    )


def _control(scene: Scene, control: Control) -> Iterator[Infringement]:
    """Early or late at a time control. A check-in in a gap is nobody's fault."""
    record = _check_in(scene, control)
    if record is not None and record.status != "ok":
        return
    at = control.check_in if record is None or record.at is None else record.at
    due, check_in = iso(control.due), iso(control.check_in)
    for minutes, offence in (
        (control.late_min, Offence.TIME_CONTROL_LATE),
        (control.early_min, Offence.TIME_CONTROL_EARLY),
    ):
        if minutes:
            yield scene.one(
                offence,
                at_object(control.object, 1 if record is None else record.pass_number),
                Decimal(minutes),
                at,
                f"{name(control.object)}: check-in {check_in[11:16]}, due {due[11:16]}",
                (at, at),
                facts={"due": due, "check_in": check_in, "ruling_id": control.ruling_id},
            )


def _check_in(scene: Scene, control: Control) -> TimingRecord | None:
    """The line of a check-in: it knows the instant, and whether that is certain."""
    for record in scene.sheet.records:
        own = record.kind == "time-control" and record.object_id == control.object.id
        if own and record.at is not None and floor_minute(record.at) == control.check_in:
            return record
    return None


def _left_early(scene: Scene, neutralised: Neutralisation) -> Iterator[Infringement]:
    entered, left, end = neutralised.entered_at, neutralised.left_at, neutralised.end
    if entered is None or left is None or end is None:
        return
    begins = (
        v
        for v in scene.sheet.validations
        if v.object.id == neutralised.begin.id and v.at == entered
    )
    begin = next(begins, None)
    due = later(entered, neutralised.duration_ms * MILLISECOND)
    if left >= due or (begin is not None and begin.status != "ok"):
        return
    yield scene.one(
        Offence.NEUTRALISATION_EARLY,
        at_object(end, 1 if begin is None else begin.lap),
        Decimal(due - left) / SECOND,
        left,
        f"{name(end)}: left at {clock(left)}, free from {clock(due)}",
        (entered, left),
        facts={
            "entered": iso(entered),
            "left": iso(left),
            "duration_ms": neutralised.duration_ms,
        },
    )


def _maximum_time(scene: Scene) -> Iterator[Infringement]:
    """Against the time driven, without what was neutralised."""
    sheet = scene.sheet
    segment, finish = sheet.segment, sheet.finish_at
    allowed = segment.maximum_duration_seconds
    if allowed is None or sheet.elapsed_ms is None or finish is None or not sheet.closed:
        return
    ends = (scene.crossing(segment.start, sheet.start_at), scene.crossing(segment.finish, finish))
    if any(crossing is not None and crossing.provisional for crossing in ends):
        return
    driven_ms = sheet.elapsed_ms - sum(n.taken_off_ms for n in sheet.neutralisations)
    driven = Decimal(driven_ms) / 1000
    if driven > allowed:
        yield scene.one(
            Offence.MAXIMUM_TIME,
            Where(None, segment.type.value),
            driven - allowed,
            finish,
            f"{plain(driven)} s driven, {allowed} s allowed",
            facts={"driven_ms": driven_ms, "allowed_seconds": allowed},
        )
