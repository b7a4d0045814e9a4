"""Results: an entry's stage from its sheet and penalties, a stage's order, an event's sum.

A status is never set by silence. `finished` is who has a finish in every special stage of the
stage (in a stage without any: in every segment that has a finish); a closure, a penalty rule, a
ruling or the entry's own status say everything else. Who retired, withdrew or did not start is out
of the last stage that the entry began, finished or not, and of all after it; what it did before
stays. A disqualification is of the whole event.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal
from itertools import combinations, pairwise, product

from attrs import evolve, frozen

from processor.domain.course import EntryStatus, SegmentType, Stage
from processor.domain.instants import MILLISECOND, floor_to, iso
from processor.domain.outcome import EventResult, Penalty, ResultStatus, StageResult
from processor.domain.rules import Outcome
from processor.domain.timesheet import SegmentSheet, StageSheet

BY_RULE = {
    Outcome.DISQUALIFIED: ResultStatus.DISQUALIFIED,
    Outcome.DID_NOT_FINISH: ResultStatus.DID_NOT_FINISH,
    Outcome.OVER_TIME_LIMIT: ResultStatus.OVER_TIME_LIMIT,
}
"""What a rule's outcome makes of a result, the gravest first."""

ORDER = (
    ResultStatus.FINISHED,
    ResultStatus.RUNNING,
    ResultStatus.WAITING,
    ResultStatus.OVER_TIME_LIMIT,
    ResultStatus.DID_NOT_FINISH,
    ResultStatus.DID_NOT_START,
    ResultStatus.DISQUALIFIED,
)
"""The order of a list of results; those under way stand behind those who have a time."""

# -- one entry in one stage ------------------------------------------------------------------------


def stage_result(
    sheet: StageSheet, penalties: Iterable[Penalty], *, drove_on: bool = False
) -> StageResult:
    """The result of a sheet, not ranked yet. Of `penalties` those of the entry and stage count.
    `drove_on`: the entry began a later stage, so that if it retired it was not in this one."""
    own = [p for p in penalties if p.entry_id == sheet.entry.id and p.stage_id == sheet.stage.id]
    status, decided = _status(sheet, own, drove_on=drove_on)
    gross_ms = _gross_ms(sheet)
    neutralised_ms = sum(n.taken_off_ms for s in _timed(sheet) for n in s.neutralisations)
    elapsed_ms = None if gross_ms is None else _elapsed_ms(sheet.stage, gross_ms - neutralised_ms)
    penalty_ms = _milliseconds(sum((p.penalty_seconds for p in own), Decimal(0)))
    waiting_for = () if decided else _waiting_for(sheet)
    counted = [v for s in sheet.segments for v in s.validations]
    return StageResult(
        stage_id=sheet.stage.id,
        entry_id=sheet.entry.id,
        class_id=sheet.entry.class_id,
        status=status,
        race_number=sheet.entry.race_number,
        started_at=_started_at(sheet),
        finished_at=_finished_at(sheet),
        elapsed_ms=elapsed_ms,
        neutralised_ms=neutralised_ms,
        gross_ms=gross_ms,
        penalty_ms=penalty_ms,
        total_ms=None if elapsed_ms is None else elapsed_ms + penalty_ms,
        uncertainty_ms=None if elapsed_ms is None else _uncertainty_ms(sheet),
        validated=sum(v.validated for v in counted),
        to_validate=len(counted),
        splits=_splits(sheet),
        provisional=bool(waiting_for),
        waiting_for=waiting_for,
    )


def _status(
    sheet: StageSheet, penalties: Sequence[Penalty], *, drove_on: bool
) -> tuple[ResultStatus, bool]:
    """The status, and whether a human decided it (so that it waits for nothing)."""
    if sheet.set_status is not None:
        return ResultStatus(str(sheet.set_status.value.get("status"))), True
    if sheet.entry.status is EntryStatus.DISQUALIFIED:
        return ResultStatus.DISQUALIFIED, True
    outcomes = {penalty.outcome for penalty in penalties}
    by_rule = next((status for outcome, status in BY_RULE.items() if outcome in outcomes), None)
    started = has_started(sheet)
    by_entry = None if drove_on else _by_entry(sheet.entry.status, started)
    gravest = max((s for s in (by_entry, by_rule) if s is not None), key=ORDER.index, default=None)
    if gravest is not None:
        return gravest, gravest is by_entry
    if _has_finished(sheet):
        return ResultStatus.FINISHED, False
    if sheet.stage.closed_at is not None:
        return (ResultStatus.DID_NOT_FINISH if started else ResultStatus.DID_NOT_START), False
    return (ResultStatus.RUNNING if started else ResultStatus.WAITING), False


def _by_entry(said: EntryStatus, started: bool) -> ResultStatus | None:
    """What an official said of the entry as a whole, for the stage in which it gave up."""
    match said:
        case EntryStatus.RETIRED:
            return ResultStatus.DID_NOT_FINISH
        case EntryStatus.WITHDRAWN:
            return ResultStatus.DID_NOT_FINISH if started else ResultStatus.DID_NOT_START
        case EntryStatus.DID_NOT_START:
            return ResultStatus.DID_NOT_START
        case _:
            return None


def has_started(sheet: StageSheet) -> bool:
    """Whether anything but the start list says so: a start that was measured or ruled, an object,
    a finish."""
    return any(
        segment.records or segment.finish_at is not None or segment.start_measured is not None
        for segment in sheet.segments
    )


def _timed(sheet: StageSheet) -> list[SegmentSheet]:
    return [s for s in sheet.segments if s.segment.type is SegmentType.SPECIAL_STAGE]


def _has_finished(sheet: StageSheet) -> bool:
    deciding = _timed(sheet) or [s for s in sheet.segments if s.segment.finish is not None]
    return bool(deciding) and all(s.finish_at is not None for s in deciding)


def _gross_ms(sheet: StageSheet) -> int | None:
    """The sum over the special stages, None while one has no time (liaisons have none: 0)."""
    elapsed = [s.elapsed_ms for s in _timed(sheet)]
    known = [ms for ms in elapsed if ms is not None]
    return sum(known) if _has_finished(sheet) and len(known) == len(elapsed) else None


def _elapsed_ms(stage: Stage, net_ms: int) -> int:
    """Net time x coefficient, cut to the stage's resolution."""
    exact = Decimal(net_ms) * stage.coefficient
    whole = int(exact.to_integral_value(ROUND_FLOOR))
    return floor_to(whole * MILLISECOND, stage.time_resolution_ms) // MILLISECOND


def _milliseconds(seconds: Decimal) -> int:
    """Cut, never rounded up."""
    return int((seconds * 1000).to_integral_value(ROUND_FLOOR))


def _uncertainty_ms(sheet: StageSheet) -> int:
    together = math.hypot(*(float(s.uncertainty_ms or 0) for s in _timed(sheet)))
    return math.ceil(together * float(sheet.stage.coefficient))


def _started_at(sheet: StageSheet) -> int | None:
    begun = (s.start_at for s in sheet.segments if s.records and s.start_at is not None)
    return next(begun, None)


def _finished_at(sheet: StageSheet) -> int | None:
    """The last finish of the segments that decide, once all are there."""
    if not _has_finished(sheet):
        return None
    deciding = _timed(sheet) or [s for s in sheet.segments if s.segment.finish is not None]
    return deciding[-1].finish_at


def _waiting_for(sheet: StageSheet) -> tuple[str, ...]:
    """Everything that its segments wait for, each once, in the order of the segments."""
    return tuple(dict.fromkeys(word for s in sheet.segments for word in s.waiting_for))


def _splits(sheet: StageSheet) -> tuple[Mapping[str, object], ...]:
    """The checkpoints and the laps, with the time since the start of their segment."""
    return tuple(
        {
            "segment_id": record.segment_id,
            "object_id": record.object_id,
            "pass": record.pass_number,
            "at": iso(record.at),
            "elapsed_ms": None
            if segment.start_at is None
            else floor_to(record.at - segment.start_at, sheet.stage.time_resolution_ms)
            // MILLISECOND,
        }
        for segment in sheet.segments
        for record in segment.records
        if record.at is not None and _is_split(segment, record.kind, record.pass_number)
    )


def _is_split(segment: SegmentSheet, kind: str, lap: int) -> bool:
    return kind == "split" or (kind == "finish" and lap < segment.segment.laps)


# -- the field in one stage ------------------------------------------------------------------------


def rank(results: Iterable[StageResult]) -> tuple[StageResult, ...]:
    """The results of one stage in their order, with positions and gaps overall and by class.

    Finished by total, then those under way, over-time-limit, did-not-finish (most validated first),
    did-not-start, disqualified; of equals by race number. Equal totals are a dead heat: the same
    position, the next one skipped. `tied_with` are rank neighbours whose totals differ by no more
    than hypot of the uncertainties: nobody can say who was faster, but it moves nobody.
    """
    ordered = sorted(results, key=_stage_order)
    overall, by_class = _places(ordered), _places_by_class(ordered)
    tied = _tied(ordered)
    return tuple(
        evolve(
            result,
            position=overall.get(result.entry_id, _NOWHERE).position,
            gap_ms=overall.get(result.entry_id, _NOWHERE).gap_ms,
            class_position=by_class.get(result.entry_id, _NOWHERE).position,
            class_gap_ms=by_class.get(result.entry_id, _NOWHERE).gap_ms,
            tied_with=tuple(tied.get(result.entry_id, ())),
        )
        for result in ordered
    )


def _stage_order(result: StageResult) -> tuple[object, ...]:
    timed = result.status is ResultStatus.FINISHED and result.total_ms is not None
    return (
        ORDER.index(result.status),
        not timed,  # a finisher without a start has no time yet
        result.total_ms if timed else 0,
        0 if timed else -result.validated,
        *_by_number(result.race_number, result.entry_id),
    )


def _by_number(race_number: int | None, entry_id: str) -> tuple[bool, int, str]:
    return race_number is None, race_number or 0, entry_id


@frozen
class _Place:
    position: int | None = None
    gap_ms: int | None = None


_NOWHERE = _Place()


def _places(ordered: Sequence[StageResult | EventResult]) -> dict[str, _Place]:
    """Position and gap of those that have a time, by entry id."""
    found: dict[str, _Place] = {}
    timed = [(r, r.total_ms) for r in ordered if r.total_ms is not None and _counts(r)]
    for number, (result, total_ms) in enumerate(timed, start=1):
        ahead = timed[number - 2] if number > 1 else None
        heat = ahead is not None and ahead[1] == total_ms
        position = found[ahead[0].entry_id].position if ahead is not None and heat else number
        found[result.entry_id] = _Place(position, total_ms - timed[0][1])
    return found


def _counts(result: StageResult | EventResult) -> bool:
    """Only `finished` has a position; in an event that goes on, who finished all of it so far."""
    return isinstance(result, EventResult) or result.status is ResultStatus.FINISHED


def _places_by_class(ordered: Sequence[StageResult | EventResult]) -> dict[str, _Place]:
    found: dict[str, _Place] = {}
    for class_id in dict.fromkeys(result.class_id for result in ordered):
        found |= _places([result for result in ordered if result.class_id == class_id])
    return found


def _tied(ordered: Sequence[StageResult]) -> dict[str, list[str]]:
    """Of each finisher, those of its own total or the next one up or down within uncertainty."""
    heats: list[list[tuple[StageResult, int]]] = []
    for result in ordered:
        if result.status is not ResultStatus.FINISHED or result.total_ms is None:
            continue
        if heats and heats[-1][0][1] == result.total_ms:
            heats[-1].append((result, result.total_ms))
        else:
            heats.append([(result, result.total_ms)])
    pairs = [pair for heat in heats for pair in combinations(heat, 2)]
    pairs += [pair for above, below in pairwise(heats) for pair in product(above, below)]
    tied: dict[str, list[str]] = {}
    for (one, one_ms), (other, other_ms) in pairs:
        if other_ms - one_ms <= math.hypot(one.uncertainty_ms or 0, other.uncertainty_ms or 0):
            tied.setdefault(one.entry_id, []).append(other.entry_id)
            tied.setdefault(other.entry_id, []).append(one.entry_id)
    place = {result.entry_id: index for index, result in enumerate(ordered)}
    return {entry_id: sorted(others, key=place.__getitem__) for entry_id, others in tied.items()}


# -- the event -------------------------------------------------------------------------------------


def event_results(
    stages: Sequence[Stage], results: Iterable[StageResult]
) -> tuple[EventResult, ...]:
    """The sums over stages, in their order, with positions and gaps overall and by class.

    A stage that nobody has begun does not count yet. Who finished every stage that counts has a
    total and a position; its status is finished once all stages count, else running. The others
    have neither and stand behind: by status as in a stage, then who finished more stages, then by
    the sum of those. A did-not-start of who started another stage is a did-not-finish of the event.
    """
    by_entry: dict[str, dict[str, StageResult]] = {}
    wanted = {stage.id for stage in stages}
    for result in results:
        if result.stage_id in wanted:
            by_entry.setdefault(result.entry_id, {})[result.stage_id] = result
    begun = {r.stage_id for own in by_entry.values() for r in own.values() if _has_begun(r)}
    counted = [stage.id for stage in stages if stage.id in begun]
    sums = {entry_id: _sum(stages, counted, own) for entry_id, own in by_entry.items()}
    ordered = sorted(sums.values(), key=lambda r: _event_order(r, by_entry[r.entry_id]))
    overall, by_class = _places(ordered), _places_by_class(ordered)
    return tuple(
        evolve(
            result,
            position=overall.get(result.entry_id, _NOWHERE).position,
            gap_ms=overall.get(result.entry_id, _NOWHERE).gap_ms,
            class_position=by_class.get(result.entry_id, _NOWHERE).position,
            class_gap_ms=by_class.get(result.entry_id, _NOWHERE).gap_ms,
        )
        for result in ordered
    )


def _has_begun(result: StageResult) -> bool:
    """Whether an entry has driven in the stage: withdrawn before it says nothing of the stage, and
    who did not start by an official's word did not, whatever its tracker says."""
    driven = result.started_at is not None or result.status is ResultStatus.FINISHED
    return driven and result.status is not ResultStatus.DID_NOT_START


def _sum(
    stages: Sequence[Stage], counted: Sequence[str], own: Mapping[str, StageResult]
) -> EventResult:
    any_of_them = next(iter(own.values()))
    status = _event_status(stages, counted, own)
    totals = {stage.id: own[stage.id].total_ms if stage.id in own else None for stage in stages}
    complete = status in (ResultStatus.FINISHED, ResultStatus.RUNNING) and _complete(counted, own)
    return EventResult(
        entry_id=any_of_them.entry_id,
        class_id=any_of_them.class_id,
        status=status,
        race_number=any_of_them.race_number,
        total_ms=sum(totals[stage_id] or 0 for stage_id in counted) if complete else None,
        stages=totals,
        provisional=any(own[s.id].provisional for s in stages if s.id in own and s.id in counted),
    )


def _complete(counted: Sequence[str], own: Mapping[str, StageResult]) -> bool:
    """Whether every stage that counts was finished with a time."""
    return bool(counted) and all(
        stage_id in own
        and own[stage_id].status is ResultStatus.FINISHED
        and own[stage_id].total_ms is not None
        for stage_id in counted
    )


def _event_status(
    stages: Sequence[Stage], counted: Sequence[str], own: Mapping[str, StageResult]
) -> ResultStatus:
    """The gravest of the stages'; running while stages are still to come."""
    gravest = max((result.status for result in own.values()), key=ORDER.index)
    started = any(_has_begun(result) for result in own.values())
    if gravest is ResultStatus.DID_NOT_START and started:
        return ResultStatus.DID_NOT_FINISH
    if ORDER.index(gravest) >= ORDER.index(ResultStatus.OVER_TIME_LIMIT):
        return gravest
    if _complete(counted, own) and len(counted) == len(stages):
        return ResultStatus.FINISHED
    return ResultStatus.RUNNING if started else ResultStatus.WAITING


def _event_order(result: EventResult, own: Mapping[str, StageResult]) -> tuple[object, ...]:
    finished = [
        r.total_ms
        for r in own.values()
        if r.status is ResultStatus.FINISHED and r.total_ms is not None
    ]
    return (
        result.total_ms is None,
        0 if result.total_ms is not None else ORDER.index(result.status),
        result.total_ms if result.total_ms is not None else -len(finished),
        0 if result.total_ms is not None else sum(finished),
        *_by_number(result.race_number, result.entry_id),
    )
