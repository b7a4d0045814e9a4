"""Time controls and neutralisations: the goldens of design/racing.md, and where they come from."""

from datetime import UTC, datetime

import pytest

from processor.domain.controls import control
from processor.domain.course import Entry, Kind, Segment, SegmentType
from processor.domain.instants import instant, iso
from processor.domain.rulings import RulingKind
from processor.domain.timesheet import StageSheet
from tests.papers import Saw, at, evidence, ruling, segment, stage, thing, timed


def clock(text: str) -> int:
    return instant(datetime.fromisoformat(f"2026-06-07T{text}").replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("entered", "early_min", "late_min"),
    [
        ("11:11:59", 1, 0),
        ("11:12:00", 0, 0),
        ("11:13:59.999999", 0, 0),
        ("11:14:00", 0, 1),
        ("11:43:59", 0, 30),
        ("11:44:00", 0, 31),
        ("11:10:59", 2, 0),
    ],
)
def test_golden_minutes_of_a_control_due_at_11_13(
    entered: str, early_min: int, late_min: int
) -> None:
    found = control(thing("T", Kind.TIME_CONTROL), clock("11:13:00"), clock(entered))
    assert (found.early_min, found.late_min) == (early_min, late_min)


def test_parts_of_a_minute_in_the_due_time_count_for_the_crew() -> None:
    due = clock("11:13:30")
    assert control(thing("T", Kind.TIME_CONTROL), due, clock("11:14:00")).late_min == 0
    assert control(thing("T", Kind.TIME_CONTROL), due, clock("11:12:59")).early_min == 0


SPECIAL = segment()
DRIVE: list[Saw] = [("S", 0, 100), ("F", 590, 600)]  # the finish at 08:09:50


def liaison(**more: object) -> Segment:
    """A road section of 20 min to the control T."""
    said: dict[str, object] = {
        "id": "L",
        "type": SegmentType.LIAISON,
        "start": None,
        "finish": None,
        "target_duration_seconds": 1200,
    }
    return segment(thing("T", Kind.TIME_CONTROL), **(said | more))


def minutes(sheet: StageSheet) -> list[tuple[str, int, int]]:
    found = sheet.segments[-1].controls
    return [(iso(c.due)[11:16], c.early_min, c.late_min) for c in found]


def test_due_is_the_floored_finish_before_and_the_target_duration() -> None:
    seen = evidence([*DRIVE, ("T", 1859, 1900)])  # 08:30:59
    sheet = timed(seen, of=stage(SPECIAL, liaison()))
    assert minutes(sheet) == [("08:29", 0, 1)]
    (line,) = [r for r in sheet.segments[1].records if r.kind == "time-control"]
    assert line.at == at(1859)
    assert line.explanation["arithmetic"]["late_min"] == 1  # type: ignore[index]
    assert "check-in at 08:30, due 08:29:00: 1 min late" in str(line.explanation["text"])


def test_a_ruled_start_is_the_reference() -> None:
    seen = evidence([*DRIVE, ("T", 1859, 1900)])
    set_start = ruling(RulingKind.SET_START, segment_id="L", value={"at": iso(clock("08:11:30"))})
    sheet = timed(seen, of=stage(SPECIAL, liaison()), rulings=[set_start])
    assert minutes(sheet) == [("08:31", 0, 0)]


def test_a_ruled_check_in_counts() -> None:
    seen = evidence([*DRIVE, ("T", 1859, 1900)])
    card = ruling(RulingKind.SET_TIME, "T", segment_id="L", value={"at": iso(clock("08:29:10"))})
    sheet = timed(seen, of=stage(SPECIAL, liaison()), rulings=[card])
    assert minutes(sheet) == [("08:29", 0, 0)]
    assert sheet.segments[1].controls[0].ruling_id == card.id


@pytest.mark.parametrize("key", ["T", "L"])
def test_a_published_target_comes_first(key: str) -> None:
    seen = evidence([*DRIVE, ("T", 1859, 1900)])
    entry = Entry("301", start_at={key: clock("08:33:00")})
    assert minutes(timed(seen, of=stage(SPECIAL, liaison()), entry=entry)) == [("08:33", 2, 0)]


def test_the_first_segment_of_a_stage_counts_from_its_own_start() -> None:
    own = liaison(start="S", finish="F")
    seen = evidence([("S", 0, 90), ("T", 1300, 1310), ("F", 1400, 1410)])
    assert minutes(timed(seen, of=stage(own))) == [("08:21", 0, 0)]
    entry = Entry("301", start_at={"L": at(60)})
    assert minutes(timed(seen, of=stage(own), entry=entry)) == [("08:21", 0, 0)]


def test_a_finish_may_be_the_control() -> None:
    own = segment(id="L", type=SegmentType.LIAISON, start=None, finish=None,
                  target_duration_seconds=1200)  # fmt: skip
    control_ = thing("T", Kind.TIME_CONTROL)
    own = Segment(own.id, own.type, (control_,), finish="T", target_duration_seconds=1200)
    sheet = timed(evidence([*DRIVE, ("T", 1859, 1900)]), of=stage(SPECIAL, own))
    assert minutes(sheet) == [("08:29", 0, 1)]
    assert [r.kind for r in sheet.segments[1].records] == ["start", "finish", "time-control"]


def test_a_control_outside_the_order_is_checked_into_at_its_first_enter_after_the_start() -> None:
    own = Segment("L", SegmentType.LIAISON, (thing("T", Kind.TIME_CONTROL),),
                  target_duration_seconds=1200)  # fmt: skip
    seen = evidence([("T", 50, 60), *DRIVE, ("T", 1859, 1900), ("T", 2500, 2600)])
    assert minutes(timed(seen, of=stage(SPECIAL, own))) == [("08:29", 0, 1)]


PARC = Segment("PF", SegmentType.PARC_FERME, (thing("P", Kind.PARC_FERME),))


def test_a_parc_ferme_between_is_no_timed_segment() -> None:
    seen = evidence([*DRIVE, ("T", 1859, 1900)])
    sheet = timed(seen, of=stage(SPECIAL, PARC, liaison()))
    assert minutes(sheet) == [("08:29", 0, 1)]
    assert sheet.segments[2].start_at == sheet.segments[0].finish_at
    # Neither has a start or a finish of its own to wait for.
    assert sheet.segments[1].waiting_for == sheet.segments[2].waiting_for == ()
    assert timed(seen, of=stage(PARC, SPECIAL)).segments[0].waiting_for == ()


def test_a_segment_without_a_finish_ends_with_what_was_passed_last() -> None:
    drive: list[Saw] = [*DRIVE, ("T", 1859, 1900)]
    of = stage(SPECIAL, liaison())
    behind = timed(evidence(drive, gaps=[(2000, 0, 2100, 0)]), of=of)
    assert behind.segments[1].waiting_for == ()
    before = timed(evidence(drive, gaps=[(1000, 0, 1100, 0)]), of=of)
    assert before.segments[1].waiting_for == ("gap",)


def test_a_finish_that_was_not_seen_is_not_gone_past() -> None:
    second = segment(id="SS2", start="S2", finish="F2")
    seen = evidence([*DRIVE, ("S2", 700, 710), ("T", 1859, 1900)])
    assert minutes(timed(seen, of=stage(SPECIAL, second, liaison()))) == []


def test_what_is_charged_has_its_line() -> None:
    own = Segment("L", SegmentType.LIAISON, (thing("T", Kind.TIME_CONTROL),))
    entry = Entry("301", start_at={"L": clock("08:29:00")})
    sheet = timed(evidence([("T", 1859, 1900)]), of=stage(own), entry=entry)
    assert minutes(sheet) == [("08:29", 0, 1)]
    (line,) = sheet.segments[0].records
    assert (line.kind, line.object_id, line.at) == ("time-control", "T", at(1859))


@pytest.mark.parametrize("ordered", [1, None])
def test_a_target_of_a_liaison_without_a_start_is_its_controls_and_starts_nothing(
    ordered: int | None,
) -> None:
    own = Segment("L", SegmentType.LIAISON, (thing("T", Kind.TIME_CONTROL, ordered),))
    entry = Entry("301", start_at={"L": clock("08:33:00")})
    seen = evidence([*DRIVE, ("T", 1859, 1900)])
    for of in (stage(own), stage(SPECIAL, own)):
        sheet = timed(seen, of=of, entry=entry)
        assert minutes(sheet) == [("08:33", 2, 0)]
        assert sheet.segments[-1].start_at in (None, sheet.segments[0].finish_at)


def test_a_target_of_a_liaison_with_a_start_is_its_starts() -> None:
    own = liaison(start="S", target_duration_seconds=None)
    entry = Entry("301", start_at={"L": at(60)})
    sheet = timed(evidence([("S", 0, 90), ("T", 1300, 1310)]), of=stage(own), entry=entry)
    assert sheet.segments[0].start_at == at(60)
    assert minutes(sheet) == []
    (line,) = [r for r in sheet.segments[0].records if r.kind == "time-control"]
    assert "Nothing says when it was due." in str(line.explanation["text"])


def test_due_times_end_with_the_calendar() -> None:
    seen = evidence([*DRIVE, ("T", 1859, 1900)])
    endless = liaison(target_duration_seconds=10**12)
    (found,) = timed(seen, of=stage(SPECIAL, endless)).segments[1].controls
    assert iso(found.due) == "9999-12-31T23:59:59.999999Z"


def test_without_anything_due_a_check_in_is_only_shown() -> None:
    sheet = timed(
        evidence([*DRIVE, ("T", 1859, 1900)]),
        of=stage(SPECIAL, liaison(target_duration_seconds=None)),
    )
    assert minutes(sheet) == []
    assert [r.kind for r in sheet.segments[1].records] == ["start", "time-control"]


# -- neutralisation --------------------------------------------------------------------------------

NEUTRALISED = segment(
    thing("DN1", Kind.DN, duration_seconds=300), thing("FN1", Kind.FN), thing("W1", Kind.WPM)
)
RIDE: list[Saw] = [("S", 0, 100), ("DN1", 200, 210), ("FN1", 400, 499), ("W1", 700, 710),
                   ("F", 800, 810)]  # fmt: skip


def test_exactly_the_duration_is_taken_off_and_the_early_exit_is_told() -> None:
    (found,) = timed(evidence(RIDE), of=stage(NEUTRALISED)).segments[0].neutralisations
    assert (found.taken_off_ms, found.entered_at, found.left_at) == (300_000, at(200), at(499))
    assert found.end is not None
    assert found.end.id == "FN1"


def test_a_missed_end_takes_the_duration_off_all_the_same() -> None:
    ride = [saw for saw in RIDE if saw[0] != "FN1"]
    own = timed(evidence(ride), of=stage(NEUTRALISED)).segments[0]
    assert (own.neutralisations[0].taken_off_ms, own.neutralisations[0].left_at) == (300_000, None)
    assert [v.status for v in own.validations] == ["ok", "missed", "ok"]


def test_a_missed_begin_takes_nothing_off_and_is_reviewed() -> None:
    ride = [saw for saw in RIDE if saw[0] != "DN1"]
    own = timed(evidence(ride), of=stage(NEUTRALISED)).segments[0]
    assert own.neutralisations[0].taken_off_ms == 0
    assert own.neutralisations[0].entered_at is None
    assert ("neutralisation-open", "DN1") in [(r.what, r.object_id) for r in own.reviews]


def test_an_exit_in_a_gap_punishes_nobody() -> None:
    seen = evidence(RIDE, provisional=["FN1"])
    assert timed(seen, of=stage(NEUTRALISED)).segments[0].neutralisations[0].left_at is None


def test_each_begin_has_the_next_end_of_its_own() -> None:
    own = segment(
        thing("DN1", Kind.DN, duration_seconds=60),
        thing("DN2", Kind.DN, duration_seconds=120),
        thing("FN2", Kind.FN),
    )
    ride = [("S", 0, 100), ("DN1", 200, 210), ("DN2", 300, 310), ("FN2", 500, 510), ("F", 600, 601)]
    found = timed(evidence(ride), of=stage(own)).segments[0].neutralisations
    assert [(n.begin.id, n.end and n.end.id, n.taken_off_ms) for n in found] == [
        ("DN1", None, 60_000),
        ("DN2", "FN2", 120_000),
    ]
