"""Timing: what an entry did in a stage, from the evidence of its devices and the rulings.

Segment by segment, because the finish of one opens the window of the next:

    window and rulings -> a reading per device -> the one that counts -> start, objects, finish
                       -> controls, neutralisations -> what it waits for -> the lines

Everything is a function of the arguments; the order of evidences and rulings does not matter.
"""

import math
from collections.abc import Sequence

from attrs import evolve, frozen

from processor.domain.controls import Check, checks_in
from processor.domain.course import Entry, Segment, Stage
from processor.domain.decisions import decisions, of_stage, ruled_at
from processor.domain.devices import Heard, disagreements, settle
from processor.domain.instants import MILLISECOND, floor_to
from processor.domain.lines import Passed, lines
from processor.domain.marks import Case, Distances, Mark, Reading, Role, slots
from processor.domain.model import Evidence
from processor.domain.neutralisation import neutralisations
from processor.domain.reading import read, visible
from processor.domain.reviews import Looked, reviews
from processor.domain.rules import Settings
from processor.domain.rulings import Ruling, RulingKind
from processor.domain.starts import Start, rule_of, start_of, target_of
from processor.domain.timesheet import Neutralisation, SegmentSheet, StageSheet, Validation
from processor.domain.validation import Finding, findings
from processor.domain.waiting import Open, waiting_for
from processor.domain.windows import window
from processor.domain.witnesses import Witness, last_fix, witnesses


def time_stage(
    stage: Stage,
    entry: Entry,
    evidences: Sequence[Evidence],
    distances: Distances,
    settings: Settings,
    rulings: Sequence[Ruling] = (),
) -> StageSheet:
    """The sheet of an entry in a stage.

    `evidences`: one for each device that was or may have been the entry's; what lies outside its
    assignments does not count. `rulings` may be about anything; those about this entry and stage
    are found. Raises ValueError on a ruling that says no time where it has to.
    """
    seen_by = witnesses(entry, evidences)
    last_at = last_fix(entry, evidences)
    sheets: list[SegmentSheet] = []
    for segment in stage.segments:
        case = _case(stage, entry, segment, sheets, distances, settings, rulings)
        sheets.append(_time_segment(case, seen_by, last_at))
    last_status = [r for r in of_stage(stage, entry, rulings) if r.kind is RulingKind.SET_STATUS][
        -1:
    ]
    return StageSheet(
        stage,
        entry,
        tuple(sheets),
        seen=any(_has_fix(sheet.since, sheet.until, w) for sheet in sheets for w in seen_by),
        set_status=last_status[0] if last_status else None,
    )


def _case(
    stage: Stage,
    entry: Entry,
    segment: Segment,
    before: Sequence[SegmentSheet],
    distances: Distances,
    settings: Settings,
    rulings: Sequence[Ruling],
) -> Case:
    target = target_of(segment, entry)
    return Case(
        stage,
        entry,
        segment,
        slots(segment),
        window(stage, segment, before),
        decisions(stage, segment, entry, rulings),
        rule_of(segment, target),
        target,
        tuple(before),
        settings,
        distances,
    )


# -- one segment -----------------------------------------------------------------------------------


@frozen
class _Driven:
    """What was made of the devices' tracks. `present` are those with a fix in the window, `heard`
    their readings, `witness` is the one that counts (None: nobody was there)."""

    present: tuple[Witness, ...]
    heard: tuple[Heard, ...]
    witness: Witness | None
    reading: Reading
    start: Start
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    begun: bool

    @property
    def validations(self) -> tuple[Validation, ...]:
        return tuple(finding.validation for finding in self.findings)


def _time_segment(case: Case, seen_by: Sequence[Witness], last_at: int | None) -> SegmentSheet:
    driven = _driven(case, _present(case, seen_by))
    sheet = _sheet(case, driven)
    waits = tuple(
        waiting_for(
            case, Open(driven.reading, driven.start, driven.findings, driven.present, last_at)
        )
    )
    sheet = evolve(sheet, provisional=bool(waits), waiting_for=waits)
    if not driven.begun:
        return sheet
    return evolve(
        sheet,
        records=lines(case, _passed(case, driven, sheet.elapsed_ms)),
        reviews=reviews(case, _looked(case, driven, sheet.neutralisations)),
    )


def _driven(case: Case, present: tuple[Witness, ...]) -> _Driven:
    """The reading that counts, and what became of start, objects and controls by it."""
    heard = tuple(Heard(witness, read(case, witness)) for witness in present)
    chosen = settle(case, heard) if heard else None
    reading = _unheard(case) if chosen is None else chosen.reading
    witness = None if chosen is None else chosen.witness
    start = start_of(case, reading.start)
    checks = tuple(checks_in(case, reading, witness, start))
    seen = any(mark is not None for mark in reading.marks)
    there = seen or bool(checks) or start.source == "ruling"
    found = findings(case, reading, witness, start.at, there)
    begun = there or any(finding.validation.validated for finding in found)
    return _Driven(present, heard, witness, reading, start, found, checks, begun)


def _sheet(case: Case, driven: _Driven) -> SegmentSheet:
    """The facts of a segment, without what they still wait for and how they are shown."""
    reading, start = driven.reading, driven.start
    finish, witness = reading.finish, driven.witness
    elapsed_ms = _elapsed_ms(case, start, finish)
    return SegmentSheet(
        case.segment,
        case.window.since,
        case.window.until,
        device_id=None if witness is None else witness.device_id,
        mixed=reading.mixed,
        start_at=start.at,
        start_target=case.target,
        start_measured=None if reading.start is None else reading.start.at,
        finish_at=None if finish is None else finish.at,
        finish_used=None if finish is None else finish.used,
        elapsed_ms=elapsed_ms,
        uncertainty_ms=_uncertainty_ms(start, finish) if elapsed_ms is not None else None,
        validations=driven.validations,
        neutralisations=neutralisations(driven.validations),
        controls=tuple(check.control for check in driven.checks if check.control is not None),
        finish_out_of_order=_out_of_order(case, finish),
        closed=finish is not None or case.stage.closed_at is not None,
    )


def _passed(case: Case, driven: _Driven, elapsed_ms: int | None) -> Passed:
    return Passed(
        driven.reading,
        _computed(case, driven.reading, driven.present),
        driven.start,
        driven.findings,
        driven.checks,
        _elsewhere(case, driven.reading, driven.witness),
        elapsed_ms,
        driven.present,
    )


def _looked(case: Case, driven: _Driven, neutralised: tuple[Neutralisation, ...]) -> Looked:
    disagreeing = disagreements(case, driven.reading, driven.heard)
    return Looked(driven.reading, driven.start, driven.findings, neutralised, disagreeing)


def _out_of_order(case: Case, finish: Mark | None) -> bool:
    """Whether the finish was passed with too little before it, and no official let that stand."""
    if finish is None or not finish.out_of_order:
        return False
    slot = case.slots[-1]
    ruled = slot.object is not None and case.decisions.on(slot.object.id, slot.lap) is not None
    return not ruled and case.decisions.confirmed is None


def _present(case: Case, seen_by: Sequence[Witness]) -> tuple[Witness, ...]:
    """The devices that have a fix in the window; of them only the one that a ruling chose."""
    chosen = case.decisions.device
    return tuple(
        witness
        for witness in seen_by
        if _has_fix(case.window.since, case.window.until, witness)
        and (chosen is None or witness.device_id == chosen[0])
    )


def _has_fix(since: int | None, until: int | None, witness: Witness) -> bool:
    return len(witness.track.between(since, until)) > 0


def _unheard(case: Case) -> Reading:
    """What is known without any device: the times that rulings set."""
    return Reading("", tuple(_ruled_mark(case, index) for index in range(len(case.slots))))


def _ruled_mark(case: Case, index: int) -> Mark | None:
    slot = case.slots[index]
    if slot.object is None or slot.role is Role.START:
        return None
    ruling = case.decisions.on(slot.object.id, slot.lap)
    if ruling is None or ruling.kind is not RulingKind.SET_TIME:
        return None
    return Mark(ruled_at(ruling), ruling=ruling)


def _computed(case: Case, reading: Reading, present: Sequence[Witness]) -> Reading:
    """What the trackers say without the rulings on objects: it stays beside what a ruling says."""
    ruled = any(slot.object and case.decisions.on(slot.object.id, slot.lap) for slot in case.slots)
    if not ruled or not present:
        return reading if not ruled else Reading("", (None,) * len(case.slots))
    bare = evolve(case, decisions=case.decisions.without_objects)
    return settle(bare, [Heard(witness, read(bare, witness)) for witness in present]).reading


def _elapsed_ms(case: Case, start: Start, finish: Mark | None) -> int | None:
    """Cut to the resolution of the stage; None of a finish before its start, which no time is."""
    if start.at is None or finish is None or finish.at < start.at:
        return None
    return floor_to(finish.at - start.at, case.stage.time_resolution_ms) // MILLISECOND


def _uncertainty_ms(start: Start, finish: Mark | None) -> int | None:
    ends = (start.uncertainty_ms, None if finish is None else finish.uncertainty_ms)
    return math.ceil(math.hypot(*(ms or 0 for ms in ends)))


def _elsewhere(case: Case, reading: Reading, witness: Witness | None) -> dict[str, tuple[int, ...]]:
    """Of each object, when it was passed in the window without being used."""
    used = {mark.used for mark in reading.marks if mark is not None}
    objects = dict.fromkeys(slot.object.id for slot in case.slots if slot.object is not None)
    return {
        object_id: tuple(p.since for p in visible(case, witness, object_id) if p not in used)
        for object_id in objects
        if witness is not None
    }
