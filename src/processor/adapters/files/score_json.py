"""What `processor score --json` prints (design/racing.md, "Formats of the offline scorer").

Arrays are sorted by values that do not depend on the order of files; instants are ISO-8601 UTC with
microseconds. Members beyond those of the format (`pass`, `distance_m`, ..) only ever add.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from processor.adapters.files.course_file import CourseFile
from processor.adapters.files.warned import Warned, own_evidence, remarkable
from processor.domain.course import Course
from processor.domain.instants import iso
from processor.domain.model import Crossing
from processor.domain.outcome import Penalty, ReviewItem, StageResult, TimingRecord
from processor.domain.scoring import Scored
from processor.domain.timesheet import SegmentSheet, StageSheet

Json: TypeAlias = dict[str, Any]
Written: TypeAlias = Callable[[str], str]


def as_json(scored: Scored, file: CourseFile, warned: Sequence[Warned]) -> Json:
    """The whole output, of plain JSON values."""
    written = file.written
    segments = dict(_segments(scored.course))
    crossings = [
        _crossing(entry.id, crossing, segments, written)
        for entry in scored.entries
        for evidence in own_evidence(entry, scored.evidence[entry.id])
        for crossing in evidence.crossings
    ]
    for one in scored.judged:
        for sheet in one.sheet.segments:
            crossings.extend(_not_passed(one.sheet, sheet, written))
    reviews = [_review(review) for one in scored.judged for review in one.reviews]
    all_warned = [*warned, *remarkable(scored, file), *reviews]
    return {
        "course_version": scored.course.version,
        "rules_version": scored.rules.version,
        "crossings": sorted(crossings, key=_crossing_order),
        "timing": [
            _timing(record, written)
            for one in scored.judged
            for sheet in one.sheet.segments
            for record in sheet.records
        ],
        "penalties": [
            _penalty(penalty, written) for one in scored.judged for penalty in one.penalties
        ],
        "results": [_result(result) for result in scored.results],
        "warnings": [_warning(each) for each in sorted(all_warned, key=_order)],
    }


def _segments(course: Course) -> Iterator[tuple[str, str]]:
    """(object or zone, the segment that it is in)."""
    for _, segment in course.segments():
        yield from ((thing.id, segment.id) for thing in segment.objects)
        yield from ((zone.id, segment.id) for zone in segment.zones)


def plain(value: object) -> Any:
    """A value of an explanation as JSON knows it: Decimal as a number, tuples as lists."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def _iso(instant_us: int | None) -> str | None:
    return None if instant_us is None else iso(instant_us)


def _crossing(
    entry: str, crossing: Crossing, segments: Mapping[str, str], written: Written
) -> Json:
    found: Json = {
        "entry": entry,
        "device_id": crossing.device_id,
        "segment": segments[crossing.object_id],
        "object": written(crossing.object_id),
        "kind": crossing.kind,
        "ts": iso(crossing.at),
        "before_ts": iso(crossing.before),
        "after_ts": iso(crossing.after),
        "distance_m": 0.0,
        "lat": crossing.latitude,
        "lon": crossing.longitude,
        "speed_kmh": crossing.speed_kmh,
        "visit": crossing.visit,
        "uncertainty_ms": crossing.uncertainty_ms,
        "provisional": crossing.provisional,
    }
    if crossing.kind == "cross":
        # A gate without a direction is right either way.
        found["direction_ok"] = crossing.direction_ok is not False
    return found


def _began(sheet: SegmentSheet) -> bool:
    """Whether the entry was under way in the segment: who was not there missed nothing."""
    passed = any(each.validated for each in sheet.validations)
    started = sheet.start_measured is not None or (
        sheet.start_at is not None and sheet.device_id is not None
    )
    return started or passed or sheet.finish_at is not None


def _not_passed(stage: StageSheet, sheet: SegmentSheet, written: Written) -> list[Json]:
    """The objects that were missed, or may have been."""
    said = ("missed", "unverified") if _began(sheet) else ("unverified",)
    return [
        {
            "entry": stage.entry.id,
            "device_id": each.device_id or sheet.device_id,
            "stage": stage.stage.id,
            "segment": sheet.segment.id,
            "object": written(each.object.id),
            "kind": each.status,
            "ts": None,
            "before_ts": None,
            "after_ts": None,
            "distance_m": each.distance_m,
            "lat": None,
            "lon": None,
            "speed_kmh": None,
            "visit": None,
            "lap": each.lap,
        }
        for each in sheet.validations
        if each.status in said
    ]


def _crossing_order(found: Json) -> tuple[str, ...]:
    """By entry, then in the order of time; what has no time comes last."""
    parts = (found["entry"], found["ts"] or "~", found["segment"], found["object"], found["kind"])
    return *parts, found["device_id"] or "", str(found.get("lap", ""))


def _timing(record: TimingRecord, written: Written) -> Json:
    return {
        "entry": record.entry_id,
        "stage": record.stage_id,
        "segment": record.segment_id,
        "kind": record.kind,
        "object": None if record.object_id is None else written(record.object_id),
        "sequence": record.sequence,
        "pass": record.pass_number,
        "ts": _iso(record.at),
        "official_ts": _iso(record.official_at),
        "computed_ts": _iso(record.computed_at),
        "uncertainty_ms": record.uncertainty_ms,
        "distance_m": record.distance_m,
        "status": record.status,
        "source": record.source,
        "device_id": record.device_id,
        "explanation": plain(record.explanation),
    }


def _penalty(penalty: Penalty, written: Written) -> Json:
    return {
        "entry": penalty.entry_id,
        "stage": penalty.stage_id,
        "segment": penalty.segment_id,
        "type": penalty.type,
        "object": None if penalty.object_id is None else written(penalty.object_id),
        "occurrence": penalty.occurrence,
        "penalty_seconds": float(penalty.penalty_seconds),
        "outcome": penalty.outcome.value,
        "explanation": plain(penalty.explanation),
    }


def _result(result: StageResult) -> Json:
    return {
        "entry": result.entry_id,
        "class": result.class_id,
        "stage": result.stage_id,
        "status": result.status.value,
        "started_at": _iso(result.started_at),
        "finished_at": _iso(result.finished_at),
        "elapsed_ms": result.elapsed_ms,
        "neutralised_ms": result.neutralised_ms,
        "penalty_ms": result.penalty_ms,
        "total_ms": result.total_ms,
        "position": result.position,
        "gap_ms": result.gap_ms,
        "class_position": result.class_position,
        "class_gap_ms": result.class_gap_ms,
        "tied": bool(result.tied_with),
        "tied_with": list(result.tied_with),
        "provisional": result.provisional,
        "waiting_for": list(result.waiting_for),
    }


def _review(review: ReviewItem) -> Warned:
    return Warned(
        review.entry_id, review.what, review.evidence_from, review.evidence_to, review.message
    )


def _order(warned: Warned) -> tuple[str, int, str, str]:
    return warned.order


def _warning(warned: Warned) -> Json:
    return {
        "entry": warned.entry,
        "what": warned.what,
        "from": _iso(warned.since),
        "to": _iso(warned.until),
        "message": warned.message,
    }
