"""Timing of a stage from evidence written by hand: order, start, finish, laps, rulings."""

import json

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.domain.course import Assignment, Entry, Kind, Segment, SegmentType, StartRule
from processor.domain.instants import iso, later
from processor.domain.model import Evidence
from processor.domain.outcome import TimingRecord
from processor.domain.rulings import RulingKind
from processor.domain.timesheet import SegmentSheet, StageSheet
from tests.papers import at, evidence, line, ruling, segment, stage, thing, timed, waypoints

DRIVE: list[tuple[str, float | None, float | None]] = [
    ("S", 0, 100.25),
    ("W1", 200, 210),
    ("W2", 300, 310),
    ("W3", 400, 410),
    ("F", 500.75, 520),
]


def only(sheet: StageSheet) -> SegmentSheet:
    return sheet.segments[0]


def seconds(instant: int | None) -> float | None:
    return None if instant is None else (instant - at(0)) / 1_000_000


def statuses(sheet: StageSheet) -> list[str]:
    return [v.status for v in only(sheet).validations]


def whats(sheet: StageSheet) -> list[tuple[str, str | None]]:
    return [(r.what, r.object_id) for s in sheet.segments for r in s.reviews]


def record(sheet: StageSheet, object_id: str | None, kind: str | None = None) -> TimingRecord:
    found = [
        r
        for s in sheet.segments
        for r in s.records
        if r.object_id == object_id and kind in (None, r.kind)
    ]
    assert len(found) == 1
    return found[0]


def without(*names: str) -> list[tuple[str, float | None, float | None]]:
    return [saw for saw in DRIVE if saw[0] not in names]


def course(count: int = 3, **more: object) -> Segment:
    return segment(*waypoints(count), **more)


# -- a whole drive ---------------------------------------------------------------------------------


def test_a_clean_drive() -> None:
    sheet = timed(evidence(DRIVE), of=stage(course()))
    own = only(sheet)
    assert (seconds(own.start_at), seconds(own.finish_at)) == (100.25, 500.75)
    assert own.elapsed_ms == 400_000  # 400.5 s, cut to whole seconds
    assert statuses(sheet) == ["ok", "ok", "ok"]
    assert own.uncertainty_ms == 142  # hypot of two 100
    assert own.closed
    assert (own.provisional, own.waiting_for, own.reviews) == (False, (), ())
    assert [(r.kind, r.object_id, r.sequence, r.status) for r in own.records] == [
        ("start", "S", 0, "ok"),
        ("waypoint", "W1", 1, "ok"),
        ("waypoint", "W2", 2, "ok"),
        ("waypoint", "W3", 3, "ok"),
        ("finish", "F", 4, "ok"),
    ]
    assert own.records[4].crossing_keys == (f"enter/{at(500)}/0",)


@pytest.mark.parametrize(("resolution_ms", "elapsed_ms"), [(1000, 400_000), (100, 400_500)])
def test_elapsed_is_cut_to_the_resolution(resolution_ms: int, elapsed_ms: int) -> None:
    of = stage(course(), time_resolution_ms=resolution_ms)
    assert only(timed(evidence(DRIVE), of=of)).elapsed_ms == elapsed_ms


def test_every_record_explains_itself_in_plain_values() -> None:
    drive = [*without("W2"), ("W1", 250, 260)]
    sheet = timed(evidence(drive), of=stage(course()))
    for one in only(sheet).records:
        assert str(one.explanation["text"]).endswith(".")
        json.dumps(one.explanation)
    assert "2 of 3 ordered objects" in str(record(sheet, "F").explanation["text"])
    assert record(sheet, "F").explanation["fixes"] == [{"at": iso(at(500))}, {"at": iso(at(501))}]
    sum_of = record(sheet, "F").explanation["arithmetic"]
    assert sum_of == {
        "seconds_after_first_fix": 0.75,
        "seconds_between_fixes": 1.0,
        "uncertainty_ms": 100,
        "validated": 2,
        "of": 3,
        "start": iso(at(100.25)),
        "finish": iso(at(500.75)),
        "finish_minus_start_ms": 400_500.0,
        "time_resolution_ms": 1000,
        "elapsed_ms": 400_000,
    }
    assert record(sheet, "W1").explanation["not_used"] == [iso(at(250))]
    assert "not passed in order" in str(record(sheet, "W2").explanation["text"])


def test_kinds_of_records() -> None:
    own = segment(thing("C", Kind.CHECKPOINT), thing("Z", Kind.DZ), thing("T", Kind.TIME_CONTROL))
    drive = [("S", 0, 100), ("C", 200, 201), ("Z", 300, 301), ("T", 400, 401), ("F", 500, 501)]
    sheet = timed(evidence(drive), of=stage(own))
    assert [(r.kind, r.object_id) for r in only(sheet).records] == [
        ("start", "S"),
        ("split", "C"),
        ("waypoint", "Z"),
        ("time-control", "T"),
        ("finish", "F"),
    ]


# -- order and finish ------------------------------------------------------------------------------


def test_what_lies_ahead_is_not_judged_while_the_segment_runs() -> None:
    sheet = timed(evidence(DRIVE[:3], [(0, 0), (350, 2000)]), of=stage(course()))
    own = only(sheet)
    assert statuses(sheet) == ["ok", "ok", "missed"]
    assert (own.closed, own.provisional, own.waiting_for) == (False, True, ("finish",))
    assert [r.object_id for r in own.records] == ["S", "W1", "W2"]


def test_how_near_what_was_not_passed_came_is_said_wherever_there_is_a_fix() -> None:
    # W3 stands at 3000 m: 350 s is the last fix, and W2 at 300 s the last thing passed.
    ahead = timed(evidence(DRIVE[:3], [(0, 0), (250, 2980), (350, 2000)]), of=stage(course()))
    assert only(ahead).validations[2].distance_m == 990.0
    parked = timed(evidence([], [(0, 0), (350, 2000)]), of=stage(course()))
    assert {v.distance_m for v in only(parked).validations} == {None}
    closed = stage(course(closes_at=at(400)))
    outside = timed(evidence(DRIVE[:3], [(0, 0), (350, 2000), (450, 3000)]), of=closed)
    assert only(outside).validations[2].distance_m == 990.0
    silent = timed(evidence(DRIVE[:3], [(0, 0), (200, 2000)]), of=stage(course()))
    assert only(silent).validations[2].distance_m is None


def test_a_missed_object_has_its_distance_between_its_neighbours() -> None:
    fixes = [(0, 0), (150, 2000), (250, 1960), (350, 3000), (600, 2000), (700, 0)]
    sheet = timed(evidence(without("W2"), fixes), of=stage(course()))
    validation = only(sheet).validations[1]
    # At 150 s it stood on the spot, but that was before W1.
    assert (validation.status, validation.distance_m) == ("missed", 30.0)
    assert record(sheet, "W2").status == "missed"
    assert whats(sheet) == []


def test_a_near_miss_goes_to_review() -> None:
    fixes = [(0, 0), (250, 1961), (350, 3000), (700, 0)]
    sheet = timed(evidence(without("W2"), fixes), of=stage(course()))
    assert only(sheet).validations[1].distance_m == 29.0
    assert whats(sheet) == [("near-miss", "W2")]


def test_after_the_finish_nothing_counts() -> None:
    back = [("W2", 600, 610), ("W3", 700, 710), ("F", 800, 810)]
    sheet = timed(evidence([*without("W2", "W3"), *back]), of=stage(course(2)))
    assert statuses(sheet) == ["ok", "missed"]
    assert seconds(only(sheet).finish_at) == 500.75


def test_later_objects_and_the_finish_passed_on_the_way_out_are_no_finish() -> None:
    out = [("S", 0, 100), ("W3", 110, 111), ("W4", 120, 121), ("F", 130, 131)]
    drive = [*out, ("W1", 200, 210), ("W2", 300, 310), ("W3", 400, 410), ("W4", 450, 460)]
    sheet = timed(evidence([*drive, ("F", 500, 510), ("F", 900, 910)]), of=stage(course(4)))
    assert seconds(only(sheet).finish_at) == 500
    assert [seconds(v.at) for v in only(sheet).validations] == [200, 300, 400, 450]


def test_the_assignment_over_the_whole_window_says_which_finish_it_is() -> None:
    again = [("W1", 600, 610), ("W2", 700, 710), ("W3", 800, 810), ("F", 900, 910)]
    sheet = timed(evidence([*without("W1"), *again]), of=stage(course()))
    assert seconds(only(sheet).finish_at) == 900
    assert [seconds(v.at) for v in only(sheet).validations] == [600, 700, 800]


def test_what_counts_is_the_best_among_the_passes_before_that_finish() -> None:
    # Over all, W1 W2 W3 W4 from 200 on are the best, so F at 220 is the finish, with two of four;
    # before it W3 W4 are as many, and earlier.
    ride = [("S", 0, 100), ("W3", 110, 111), ("W4", 120, 121), ("F", 130, 131), ("W1", 200, 201),
            ("W2", 210, 211), ("F", 220, 221), ("W3", 300, 301), ("W4", 400, 401),
            ("F", 500, 501)]  # fmt: skip
    own = only(timed(evidence(ride), of=stage(course(4))))
    assert seconds(own.finish_at) == 220
    assert [seconds(v.at) for v in own.validations] == [None, None, 110, 120]


def test_a_lap_with_a_missed_object_is_not_swallowed_by_the_next() -> None:
    lap = [("W1", 200, 201), ("W2", 210, 211), ("F", 220, 221)]
    ride = [("S", 0, 100), *lap[1:], ("W1", 300, 301), ("W2", 310, 311), ("F", 320, 321)]
    own = only(timed(evidence(ride), of=stage(course(2, laps=2))))
    assert [seconds(v.at) for v in own.validations] == [None, 210, 300, 310]
    assert [seconds(r.at) for r in own.records if r.kind == "finish"] == [220, 320]


def test_the_finish_counts_with_half_of_the_objects_and_not_with_less() -> None:
    early = [("F", 250, 260)]
    four = course(4)
    two_first = timed(evidence([*DRIVE[:3], ("F", 350, 360)]), of=stage(four))
    assert seconds(only(two_first).finish_at) == 350
    one_first = timed(evidence([*DRIVE[:-1], *early, ("W4", 450, 460), DRIVE[-1]]), of=stage(four))
    assert seconds(only(one_first).finish_at) == 500.75
    assert statuses(one_first) == ["ok"] * 4


def test_a_finish_with_less_than_half_counts_after_everything_and_is_reviewed() -> None:
    drive = [*without("W2", "W3"), ("F", 150, 160), ("F", 600, 610)]
    sheet = timed(evidence(drive), of=stage(course()))
    own = only(sheet)
    assert seconds(own.finish_at) == 600
    assert own.finish_out_of_order
    assert own.closed
    assert own.waiting_for == ()  # it stands, and an official looks at it
    assert whats(sheet) == [("finish-out-of-order", "F")]
    later = timed(evidence([*drive, ("W3", 700, 710)]), of=stage(course(4)))
    assert only(later).finish_at is None


def test_an_official_lets_a_finish_out_of_order_stand() -> None:
    drive = without("W2", "W3")
    confirm = [ruling(RulingKind.CONFIRM, "F")]
    sheet = timed(evidence(drive), of=stage(course()), rulings=confirm)
    own = only(sheet)
    assert (own.finish_out_of_order, own.closed, own.waiting_for) == (False, True, ())
    assert whats(sheet) == []


def test_without_ordered_objects_it_is_the_first_finish_after_the_start() -> None:
    drive = [("F", 50, 60), ("S", 0, 100), ("F", 300, 310), ("F", 400, 410)]
    own = only(timed(evidence(drive), of=stage(course(0))))
    assert (seconds(own.start_at), seconds(own.finish_at)) == (100, 300)


def test_who_passes_the_finish_on_the_way_to_the_start_has_not_finished() -> None:
    sheet = timed(evidence([("F", 50, 60)]), of=stage(course()))
    assert only(sheet).finish_at is None
    assert only(sheet).waiting_for == ("start", "finish")


def test_a_device_first_seen_inside_passed_a_waypoint_but_did_not_enter_the_finish() -> None:
    inside = evidence([("W1", None, 50), *DRIVE[2:]])
    assert statuses(timed(inside, of=stage(course()))) == ["ok", "ok", "ok"]
    parked = evidence([("F", None, None)], [(1000, 0), (2000, 0)])
    assert only(timed(parked, of=stage(course(0, start=None)))).finish_at is None


def test_a_finish_in_a_gap_is_provisional() -> None:
    sheet = timed(evidence(DRIVE, provisional=["F"]), of=stage(course()))
    assert record(sheet, "F").status == "provisional"
    assert only(sheet).waiting_for == ("provisional-crossing",)


# -- start -----------------------------------------------------------------------------------------

GONE = [(0, 0), (60, 210), (90, 0), (105, 211), (130, 5), (135, 205), (700, 0)]


def begun(
    exits: list[float], rule: StartRule | None = None, target: float | None = None, **more: object
) -> StageSheet:
    """Visits of S that end at these instants, each one begun 5 s before the end."""
    visits = [("S", leave - 5, leave) for leave in exits]
    seen = evidence([*visits, *DRIVE[1:]], GONE)
    entry = Entry("301", start_at={} if target is None else {"SS1": at(target)})
    of = stage(course(start_rule=rule, **more), starts_at=at(-10))
    return timed(seen, of=of, entry=entry, distances=line(course(), apart_m=1000))


def test_the_last_exit_counts_until_a_minute_after_leaving_for_good() -> None:
    # 40: came back from 200 m. 100: 201 m outside 5 s later. 133: within the minute after.
    assert seconds(only(begun([40, 100, 133])).start_at) == 133
    assert seconds(only(begun([40, 100, 165])).start_at) == 100


def test_start_closes_at_bounds_the_start_where_it_is_said() -> None:
    assert seconds(only(begun([40, 100, 165], start_closes_at=at(170))).start_at) == 165
    assert seconds(only(begun([40, 100, 165], start_closes_at=at(99))).start_at) == 40


def test_the_start_lies_before_the_first_object_that_counts() -> None:
    assert seconds(only(begun([100, 250], start_closes_at=at(300))).start_at) == 100


@pytest.mark.parametrize(
    ("rule", "start"), [(StartRule.FIRST_EXIT, 40), (StartRule.FIRST_ENTER, 35)]
)
def test_rolling_starts(rule: StartRule, start: float) -> None:
    assert seconds(only(begun([40, 100], rule)).start_at) == start


def test_an_assigned_start_keeps_its_target_though_it_was_left_before() -> None:
    sheet = begun([100], StartRule.ASSIGNED, target=110)
    own = only(sheet)
    assert (seconds(own.start_at), seconds(own.start_measured)) == (110, 100)
    assert own.elapsed_ms == 390_000
    one = record(sheet, "S")
    assert (one.source, seconds(one.official_at), seconds(one.computed_at), one.status) == (
        "assigned",
        110,
        100,
        "ok",
    )
    assert "-10.000 s" in str(one.explanation["text"])
    assert own.waiting_for == ()


def test_assigned_without_a_target_is_last_exit_and_provisional() -> None:
    sheet = begun([40, 100], StartRule.ASSIGNED)
    assert seconds(only(sheet).start_at) == 100
    assert only(sheet).waiting_for == ("start-target",)
    assert record(sheet, "S").status == "provisional"


def test_a_file_that_names_no_rule_means_the_target_or_else_the_last_exit() -> None:
    assert seconds(only(begun([100], None, target=110)).start_at) == 110
    without_target = begun([100], None)
    assert seconds(only(without_target).start_at) == 100
    assert only(without_target).waiting_for == ()


def test_a_start_more_than_half_an_hour_late_goes_to_review_until_it_is_ruled() -> None:
    late = begun([100], StartRule.LAST_EXIT, target=100 - 1801)
    assert whats(late) == [("late-start", "S")]
    assert whats(begun([100], StartRule.LAST_EXIT, target=100 - 1800)) == []
    entry = Entry("301", start_at={"SS1": at(100 - 1801)})
    confirm = [ruling(RulingKind.CONFIRM, "S")]
    assert whats(timed(evidence(DRIVE), of=stage(course()), entry=entry, rulings=confirm)) == []
    set_start = ruling(RulingKind.SET_START, value={"at": iso(at(90))})
    seen = evidence(DRIVE)
    ruled = timed(seen, of=stage(course()), entry=entry, rulings=[set_start])
    assert whats(ruled) == []
    assert seconds(only(ruled).start_at) == 90
    one = record(ruled, "S")
    assert (one.source, one.ruling_id, seconds(one.computed_at)) == ("ruling", set_start.id, 100.25)


def test_a_start_that_was_not_seen_leaves_the_finish_without_a_time() -> None:
    own = only(timed(evidence(DRIVE[1:]), of=stage(course())))
    assert (own.start_at, own.elapsed_ms, own.waiting_for) == (None, None, ("start",))
    assert seconds(own.finish_at) == 500.75


def test_reconnaissance_before_the_start_does_not_count() -> None:
    drive = [("W1", 10, 20), ("S", 50, 100), *DRIVE[1:]]
    own = only(timed(evidence(drive), of=stage(course())))
    assert [seconds(v.at) for v in own.validations] == [200, 300, 400]
    assert seconds(own.start_at) == 100


def test_a_start_hidden_in_a_gap_does_not_cost_what_was_passed_before_a_later_visit() -> None:
    drive = [("W1", 200, 210), ("W2", 300, 310), ("S", 340, 350), *DRIVE[3:]]
    own = only(timed(evidence(drive), of=stage(course())))
    assert [v.status for v in own.validations] == ["ok", "ok", "ok"]
    assert own.start_at is None


def test_a_visit_under_way_at_the_start_counts_from_the_start() -> None:
    own = only(timed(evidence([DRIVE[0], ("W1", 80, 150), *DRIVE[2:]]), of=stage(course())))
    assert seconds(own.start_at) == 100.25
    assert seconds(own.validations[0].at) == 100.25


# -- laps ------------------------------------------------------------------------------------------


def test_laps_repeat_the_objects_and_the_finish_begins_the_next() -> None:
    drive = [
        ("S", 0, 100),
        ("W1", 200, 210),
        ("F", 300, 310),
        ("W1", 400, 410),
        ("F", 500, 510),
        ("F", 700, 710),
    ]
    sheet = timed(evidence(drive), of=stage(course(1, laps=2)))
    own = only(sheet)
    assert [(v.lap, seconds(v.at)) for v in own.validations] == [(1, 200), (2, 400)]
    assert seconds(own.finish_at) == 500
    assert [(r.kind, r.pass_number, r.sequence, seconds(r.at)) for r in own.records] == [
        ("start", 1, 0, 100),
        ("waypoint", 1, 1, 200),
        ("finish", 1, 2, 300),
        ("waypoint", 2, 3, 400),
        ("finish", 2, 4, 500),
    ]


def test_one_pass_counts_for_one_lap_though_it_lasts_beyond_the_finish() -> None:
    drive = [("S", 0, 100), ("W1", 200, 310), ("F", 300, 301), ("W1", 400, 510), ("F", 500, 501)]
    own = only(timed(evidence(drive), of=stage(course(1, laps=2))))
    assert [seconds(v.at) for v in own.validations] == [200, 400]


def test_laps_of_a_segment_without_objects_are_passes_of_the_finish() -> None:
    drive = [("S", 0, 100), *(("F", t, t + 1.0) for t in (200.0, 300.0, 400.0, 500.0))]
    own = only(timed(evidence(drive), of=stage(course(0, laps=3))))
    assert seconds(own.finish_at) == 400


# -- windows ---------------------------------------------------------------------------------------


def test_nothing_outside_the_window_counts() -> None:
    early = [("S", -500, -400), ("W1", -300, -290)]
    drive = [*early, *DRIVE[:-1], ("F", 900, 910)]
    of = stage(course(opens_at=at(-10), closes_at=at(600)))
    sheet = timed(evidence(drive), of=of)
    assert [seconds(v.at) for v in only(sheet).validations] == [200, 300, 400]
    assert only(sheet).finish_at is None


def test_the_window_begins_with_the_stage_and_ends_with_the_longest_maximum_duration() -> None:
    of = stage(course(maximum_duration_seconds=50), starts_at=at(0), ends_at=at(450))
    own = only(timed(evidence(DRIVE), of=of))
    assert (seconds(own.since), seconds(own.until)) == (0, 500)
    assert own.finish_at is None
    assert only(timed(evidence(DRIVE), of=evolve(of, closes_at=at(501)))).finish_at == at(500.75)


def test_a_closure_ends_the_window_and_makes_the_missed_definite() -> None:
    sheet = timed(evidence(DRIVE), of=stage(course(), closed_at=at(350)))
    own = only(sheet)
    assert own.finish_at is None
    assert statuses(sheet) == ["ok", "ok", "missed"]
    assert own.closed
    assert own.waiting_for == ()
    assert record(sheet, "W3").status == "missed"
    silent = timed(evidence(DRIVE, [(0, 0), (340, 0)]), of=stage(course(), closed_at=at(350)))
    assert only(silent).waiting_for == ("later-fix",)


def test_a_segment_without_a_start_of_its_own_begins_at_the_finish_before() -> None:
    liaison = segment(id="L", type=SegmentType.LIAISON, start=None, finish="L1")
    drive = [("L1", 50, 60), *DRIVE, ("L1", 900, 910)]
    sheet = timed(evidence(drive), of=stage(course(), liaison))
    own = sheet.segments[1]
    assert (seconds(own.start_at), seconds(own.finish_at)) == (500.75, 900)
    assert own.records[0].kind == "start"
    assert own.records[0].object_id is None
    assert own.elapsed_ms == 399_000


def test_what_is_passed_in_the_instant_of_the_start_is_not_the_finish() -> None:
    liaison = segment(id="L", type=SegmentType.LIAISON, start=None, finish="L1")
    drive = [*DRIVE, ("L1", 500.75, 520), ("L1", 900, 910)]
    sheet = timed(evidence(drive), of=stage(course(), liaison))
    assert seconds(sheet.segments[1].finish_at) == 900


def test_a_liaison_is_not_over_while_the_special_stage_before_it_runs() -> None:
    liaison = segment(id="L", type=SegmentType.LIAISON, start=None, finish="L1")
    sheet = timed(evidence([("L1", 250, 260), *DRIVE[:3]]), of=stage(course(), liaison))
    assert sheet.segments[1].finish_at is None


# -- what is not known -----------------------------------------------------------------------------


def test_an_object_that_a_gap_can_have_hidden_is_unverified_and_reviewed() -> None:
    # 1990 m before and after W2 in 60 s: at 250 km/h 4166 m can be driven.
    gap = (220, 1000, 290, 3000)
    sheet = timed(evidence(without("W2"), gaps=[gap]), of=stage(course()))
    assert statuses(sheet) == ["ok", "unverified", "ok"]
    assert whats(sheet) == [("gap-over-object", "W2")]
    assert only(sheet).waiting_for == ("unverified-object", "gap")
    assert "silent for 70 s" in str(record(sheet, "W2").explanation["text"])


def test_an_object_out_of_reach_in_a_gap_was_missed() -> None:
    far = line(course())
    distances = type(far)(dict(far.where) | {"W2": 9000})
    gap = (220, 1000, 290, 3000)
    sheet = timed(evidence(without("W2"), gaps=[gap]), of=stage(course()), distances=distances)
    assert statuses(sheet) == ["ok", "missed", "ok"]


def test_a_gap_beside_the_neighbours_hides_nothing() -> None:
    gap = (310, 2000, 390, 3000)
    assert statuses(timed(evidence(without("W1"), gaps=[gap]), of=stage(course()))) == [
        "missed",
        "ok",
        "ok",
    ]


def test_gaps_that_follow_one_another_are_judged_one_by_one() -> None:
    # From 1000 m by 1100 m to 3000 m. W2 lies 5000 m beside: 65 s reach 4514 m there and back.
    far = line(course())
    distances = type(far)(dict(far.where) | {"W2": 6000})
    gaps = [(220, 1000, 285, 1100), (285, 1100, 299, 3000)]
    drive = [*without("W2", "W3"), ("W3", 299, 299.5)]
    sheet = timed(evidence(drive, gaps=gaps), of=stage(course()), distances=distances)
    assert statuses(sheet)[1] == "missed"


def test_around_a_leap_of_the_receiver_the_fix_between_is_not_believed() -> None:
    gaps = [(220, 1000, 255, 90_000), (255, 90_000, 290, 3000)]
    assert statuses(timed(evidence(without("W2"), gaps=gaps), of=stage(course())))[1] == (
        "unverified"
    )


def test_before_the_first_fix_nothing_is_known_of_what_an_assigned_start_begins() -> None:
    entry = Entry("301", start_at={"SS1": at(100)})
    seen = evidence(without("S", "W1"), [(290, 1500), (700, 0)])
    assert statuses(timed(seen, of=stage(course()), entry=entry)) == ["unverified", "ok", "ok"]
    soon = evidence(without("S", "W1"), [(160, 1500), (700, 0)])
    assert statuses(timed(soon, of=stage(course()), entry=entry)) == ["missed", "ok", "ok"]


def test_a_harmless_gap_between_start_and_finish_leaves_the_result_provisional() -> None:
    inside = evidence(DRIVE, gaps=[(310, 2000, 390, 3000)])
    assert only(timed(inside, of=stage(course()))).waiting_for == ("gap",)
    outside = evidence(DRIVE, gaps=[(10, 0, 90, 0), (520, 5000, 600, 0)])
    assert only(timed(outside, of=stage(course()))).waiting_for == ()


def test_a_leap_of_the_receiver_is_no_silence_to_wait_for() -> None:
    seen = evidence(DRIVE, gaps=[(310, 2000, 311, 90_000)])
    leap = evolve(seen, gaps=tuple(evolve(gap, speeding=True) for gap in seen.gaps))
    assert only(timed(leap, of=stage(course()))).waiting_for == ()


def test_until_something_came_after_the_finish_more_may_come() -> None:
    ends = evidence(DRIVE, [(0, 0), (500.75, 0)])
    assert only(timed(ends, of=stage(course()))).waiting_for == ("later-fix",)


def test_an_object_for_manual_verification_waits_for_a_human() -> None:
    own = segment(thing("W1", Kind.WPM, manual_verification=True), *waypoints(3)[1:])
    sheet = timed(evidence(DRIVE), of=stage(own))
    assert statuses(sheet) == ["provisional", "ok", "ok"]
    assert only(sheet).waiting_for == ("manual-verification",)
    assert whats(sheet) == [("manual-verification", "W1")]
    for kind, status in [(RulingKind.CONFIRM, "ok"), (RulingKind.VALIDATE, "ok"),
                         (RulingKind.INVALIDATE, "missed")]:  # fmt: skip
        decided = timed(evidence(DRIVE), of=stage(own), rulings=[ruling(kind, "W1")])
        assert statuses(decided) == [status, "ok", "ok"]
        assert (only(decided).waiting_for, whats(decided)) == ((), [])


# -- rulings ---------------------------------------------------------------------------------------


def test_a_voided_pass_is_not_used() -> None:
    drive = [*DRIVE, ("W2", 350, 360)]
    void = ruling(RulingKind.VOID_PASS, "W2", pass_number=1)
    assert seconds(only(timed(evidence(drive), of=stage(course()))).validations[1].at) == 300
    sheet = timed(evidence(drive), of=stage(course()), rulings=[void])
    assert seconds(only(sheet).validations[1].at) == 350
    by_time = ruling(
        RulingKind.VOID_PASS, "W2", evidence_from=at(305), evidence_to=at(306), pass_number=None
    )
    sheet = timed(evidence(drive), of=stage(course()), rulings=[by_time])
    assert seconds(only(sheet).validations[1].at) == 350


def test_validate_and_invalidate() -> None:
    validate = ruling(RulingKind.VALIDATE, "W2", reason="seen by the marshal")
    sheet = timed(evidence(without("W2")), of=stage(course()), rulings=[validate])
    assert statuses(sheet) == ["ok", "ok", "ok"]
    one = record(sheet, "W2")
    assert (one.source, one.ruling_id, one.at, one.computed_at) == (
        "ruling",
        validate.id,
        None,
        None,
    )
    assert "seen by the marshal" in str(one.explanation["text"])
    when = ruling(RulingKind.VALIDATE, "W2", value={"at": iso(at(305))})
    one = record(timed(evidence(without("W2")), of=stage(course()), rulings=[when]), "W2")
    assert (one.status, seconds(one.at), seconds(one.official_at)) == ("ok", 305, 305)
    invalidate = ruling(RulingKind.INVALIDATE, "W2")
    sheet = timed(evidence(DRIVE), of=stage(course()), rulings=[invalidate])
    one = record(sheet, "W2")
    assert (one.status, one.at, seconds(one.computed_at)) == ("missed", None, 300)


def test_a_set_time_counts_and_the_computed_one_stays_beside_it() -> None:
    for object_id in ("F", None):
        set_time = ruling(RulingKind.SET_TIME, object_id, value={"at": iso(at(490))})
        sheet = timed(evidence(DRIVE), of=stage(course()), rulings=[set_time])
        one = record(sheet, "F")
        assert (seconds(one.at), seconds(one.official_at), seconds(one.computed_at)) == (
            490,
            490,
            500.75,
        )
        assert only(sheet).elapsed_ms == 389_000
        assert only(sheet).uncertainty_ms == 100


def test_a_set_time_of_a_waypoint_moves_no_other() -> None:
    set_time = ruling(RulingKind.SET_TIME, "W2", value={"at": iso(at(450))})
    own = only(timed(evidence(DRIVE), of=stage(course()), rulings=[set_time]))
    assert [seconds(v.at) for v in own.validations] == [200, 450, 400]
    assert [v.status for v in own.validations] == ["ok", "ok", "ok"]


def test_without_any_device_rulings_time_a_segment() -> None:
    rulings = [
        ruling(RulingKind.SET_START, value={"at": iso(at(100))}),
        ruling(RulingKind.SET_TIME, "F", value={"at": iso(at(500))}),
    ]
    own = only(timed(of=stage(course()), rulings=rulings))
    assert (own.elapsed_ms, own.device_id) == (400_000, None)
    assert [r.source for r in own.records if r.kind in ("start", "finish")] == ["ruling"] * 2


def test_a_superseded_ruling_and_one_for_another_do_not_count() -> None:
    first = ruling(RulingKind.INVALIDATE, "W2", id="r1")
    second = ruling(RulingKind.CONFIRM, "W2", id="r2", supersedes="r1")
    of = stage(course())
    assert statuses(timed(evidence(DRIVE), of=of, rulings=[second, first])) == ["ok"] * 3
    for other in (evolve(first, entry_id="302"), evolve(first, segment_id="SS2"),
                  evolve(first, stage_id="SS2")):  # fmt: skip
        assert statuses(timed(evidence(DRIVE), of=of, rulings=[other])) == ["ok"] * 3


def test_a_ruling_without_a_time_says_what_is_needed() -> None:
    bad = ruling(RulingKind.SET_TIME, "F", id="r9", value={"at": "noon"})
    with pytest.raises(ValueError, match=r"r9.*noon.*ISO-8601"):
        timed(evidence(DRIVE), of=stage(course()), rulings=[bad])


def test_a_confirmed_segment_waits_for_nothing() -> None:
    gap = (310, 2000, 390, 3000)
    confirm = ruling(RulingKind.CONFIRM)
    sheet = timed(evidence(DRIVE, gaps=[gap]), of=stage(course()), rulings=[confirm])
    assert only(sheet).waiting_for == ()


# -- laws ------------------------------------------------------------------------------------------


@st.composite
def wild(draw: st.DrawFn) -> list[tuple[str, float | None, float | None]]:
    """Any drive: objects passed in any order, each pass of an object after the one before."""
    saw: list[tuple[str, float | None, float | None]] = []
    for name in ("S", "W1", "W2", "W3", "F"):
        edges = sorted(draw(st.lists(st.integers(1, 300), max_size=8, unique=True)))
        saw += [(name, float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    return saw


def facts(sheet: StageSheet) -> list[tuple[object, ...]]:
    return [
        (s.start_at, s.finish_at, s.validations, s.waiting_for, s.records, s.reviews)
        for s in sheet.segments
    ]


@settings(max_examples=60, deadline=None)
@given(wild(), wild(), st.randoms(use_true_random=False))
def test_the_order_of_evidences_and_rulings_changes_nothing(
    first: list[tuple[str, float | None, float | None]],
    second: list[tuple[str, float | None, float | None]],
    chance: object,
) -> None:
    seen = [evidence(first, device_id="d1"), evidence(second, device_id="d2")]
    rulings = [ruling(RulingKind.CONFIRM, "W1"), ruling(RulingKind.INVALIDATE, "W2")]
    of = stage(course())
    assert facts(timed(*seen, of=of, rulings=rulings)) == facts(
        timed(*reversed(seen), of=of, rulings=rulings[::-1])
    )


@settings(max_examples=60, deadline=None)
@given(wild())
def test_a_device_of_lower_rank_that_passed_nothing_changes_nothing(
    saw: list[tuple[str, float | None, float | None]],
) -> None:
    of = stage(course())
    first, second = evidence(saw), evidence([], device_id="d2")
    assert facts(timed(first, second, of=of)) == facts(timed(first, of=of))


@settings(max_examples=60, deadline=None)
@given(wild())
def test_passes_after_the_finish_validate_nothing(
    saw: list[tuple[str, float | None, float | None]],
) -> None:
    of = stage(course())
    own = only(timed(evidence(saw), of=of))
    if own.finish_at is not None:
        instants = [v.at for v in own.validations if v.at is not None]
        assert instants == sorted(instants)
        assert all(instant <= own.finish_at for instant in instants)


@settings(max_examples=60, deadline=None)
@given(wild(), st.data())
def test_voiding_a_pass_that_was_not_used_changes_no_time(
    saw: list[tuple[str, float | None, float | None]], data: st.DataObject
) -> None:
    """Of who left the start before all else. Where it is open whether an early departure was
    reconnaissance, what it passed decides, though it is not used."""
    of = stage(course())
    saw = [("S", 0.0, 0.5), *(each for each in saw if each[0] != "S")]
    own = only(timed(evidence(saw), of=of))
    if own.finish_at is None or own.finish_out_of_order:
        return  # an idle pass does say that a finish without half of the objects came too early
    until = own.finish_at
    seen = evidence([s for s in saw if at(s[1] or 0) <= until])  # an idle pass behind may decide
    own = only(timed(seen, of=of))
    used = [v.used for v in own.validations] + [own.finish_used]
    idle = [p for name in ("W1", "W2", "W3") for p in seen.passes.get(name, ()) if p not in used]
    if not idle or own.finish_at != until:
        return
    gone = data.draw(st.sampled_from(idle))
    void = ruling(RulingKind.VOID_PASS, gone.object_id, pass_number=gone.number)
    sheet = only(timed(seen, of=of, rulings=[void]))
    assert (sheet.start_at, sheet.finish_at) == (own.start_at, own.finish_at)
    assert [v.at for v in sheet.validations] == [v.at for v in own.validations]


def test_evidence_outside_an_assignment_does_not_count() -> None:
    entry = Entry("301", devices=(Assignment("d1", valid_from=at(250), valid_to=at(450)),))
    fixes = [(t, 0.0) for t in range(0, 600, 10)]
    sheet = timed(evidence(DRIVE, fixes), of=stage(course()), entry=entry)
    assert [v.validated for v in only(sheet).validations] == [False, True, True]
    assert (only(sheet).start_at, only(sheet).finish_at) == (None, None)
    nobody = Entry("301", devices=(Assignment("d9"),))
    assert not timed(evidence(DRIVE, fixes), of=stage(course()), entry=nobody).seen


def test_a_visit_under_way_at_a_handover_was_first_seen_inside() -> None:
    entry = Entry("301", devices=(Assignment("d1", valid_from=at(305)),))
    fixes = [(t, 0.0) for t in range(0, 600, 10)]
    own = only(timed(evidence([("W2", 300, 340)], fixes), of=stage(course()), entry=entry))
    assert seconds(own.validations[1].at) == 310
    assert own.validations[1].used is not None
    assert own.validations[1].used.enter is None


def test_two_assignments_that_touch_are_one() -> None:
    halves = (
        Assignment("d1", valid_to=at(305)),
        Assignment("d1", valid_from=at(305)),
    )
    of = stage(course())
    own = only(timed(evidence(DRIVE), of=of, entry=Entry("301", devices=halves)))
    assert own.elapsed_ms == 400_000


def test_an_entry_that_was_never_seen_has_no_lines() -> None:
    entry = Entry("301", start_at={"SS1": at(100)}, devices=(Assignment("d1"),))
    sheet = timed(of=stage(course(), closed_at=at(1000)), entry=entry)
    own = only(sheet)
    assert (own.records, own.reviews, sheet.seen) == ((), (), False)
    assert own.waiting_for == ("later-fix",)


def test_evidence_of_an_empty_track_is_harmless() -> None:
    empty: Evidence = evidence([], fixes=[])
    of = stage(course())
    assert facts(timed(evidence(DRIVE), empty, of=of)) == facts(timed(evidence(DRIVE), of=of))


def test_what_is_added_to_an_instant_ends_with_the_calendar() -> None:
    assert iso(later(at(0), 10**20)) == "9999-12-31T23:59:59.999999Z"
    assert later(at(0), 5_000_000) == at(5)
    endless = stage(course(maximum_duration_seconds=10**12), starts_at=at(0), ends_at=at(450))
    assert only(timed(evidence(DRIVE), of=endless)).until == later(0, 10**20)
