"""What happened: misses, shares, stops, starts, controls, neutralisations, the maximum time."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from attrs import evolve

from processor.domain.course import Entry, Kind, Object, StartRule, Zone
from processor.domain.infringement import Infringement, clock, plain
from processor.domain.infringements import infringements
from processor.domain.model import Evidence, Fix, Pass, Track
from processor.domain.rules import Offence
from processor.domain.rulings import Ruling, RulingKind
from processor.domain.timesheet import Neutralisation, SegmentSheet, StageSheet, Validation
from tests.papers import at, crossing, evidence, ruling, segment, stage, thing, timed, waypoints

Saw = list[tuple[str, float | None, float | None]]
CLEAN: Saw = [
    ("S", 0, 100.25), ("W1", 200, 210), ("W2", 300, 310), ("W3", 400, 410), ("F", 500.75, 520),
]  # fmt: skip


def found(
    seen: Evidence,
    *between: Object,
    start_at: float | None = None,
    rulings: Sequence[Ruling] = (),
    closed_at: float | None = None,
    **more: object,
) -> list[Infringement]:
    of = stage(
        segment(*(between or waypoints(3)), **more),
        closed_at=None if closed_at is None else at(closed_at),
    )
    entry = Entry("301", start_at={} if start_at is None else {"SS1": at(start_at)})
    sheet = timed(seen, of=of, entry=entry, rulings=rulings)
    return list(infringements(sheet, [seen], rulings))


def told(all_of: list[Infringement], *types: Offence) -> list[tuple[str, str | None, Decimal]]:
    wanted = types or tuple(offence for offence in Offence if offence is not Offence.MISSED_RATIO)
    return [(o.type.value, o.where.object_id, o.amount) for o in all_of if o.type in wanted]


def saw(*names: str) -> Saw:
    return [one for one in CLEAN if one[0] in ("S", "F", *names)]


# -- objects ---------------------------------------------------------------------------------------


def test_a_clean_drive_does_nothing_wrong() -> None:
    clean = found(evidence(CLEAN))
    assert told(clean) == []
    assert told(clean, Offence.MISSED_RATIO) == [("missed-ratio", None, Decimal(1))]


def test_what_was_missed_is_one_each_once_the_finish_stands() -> None:
    missed = found(evidence(saw("W1", "W3")))
    assert told(missed) == [("missed-waypoint", "W2", Decimal(1))]
    assert missed[0].where.kind == "WPM"
    (share,) = told(missed, Offence.MISSED_RATIO)
    assert share[2] == Decimal(2) / 3


def test_while_the_segment_runs_nothing_is_missed_for_good() -> None:
    running = evidence([one for one in saw("W1", "W3") if one[0] != "F"])
    assert found(running) == []
    assert told(found(running, closed_at=2000)) == [("missed-waypoint", "W2", Decimal(1))]


def test_who_did_not_start_missed_nothing() -> None:
    parked = evidence([], fixes=[(0, 9e5), (1000, 9e5)])
    assert found(parked, closed_at=2000) == []


def test_what_a_gap_may_hide_costs_nothing_and_counts_as_validated() -> None:
    silent = evidence(
        saw("W1", "W3"), fixes=[(0, 0), (250, 1400), (380, 2500), (1000, 4000)],
        gaps=[(250, 1400, 380, 2500)],
    )  # fmt: skip
    hidden = found(silent)
    assert told(hidden) == []
    (share,) = [one for one in hidden if one.type is Offence.MISSED_RATIO]
    assert share.amount == 1
    assert "1 unverified" in share.text


def test_an_official_may_validate_or_invalidate() -> None:
    valid = ruling(RulingKind.VALIDATE, "W2")
    assert told(found(evidence(saw("W1", "W3")), rulings=[valid])) == []
    invalid = ruling(RulingKind.INVALIDATE, "W2")
    assert told(found(evidence(CLEAN), rulings=[invalid])) == [
        ("missed-waypoint", "W2", Decimal(1))
    ]


def test_infringements_are_in_the_order_of_time() -> None:
    missed = found(evidence(saw("W2", "W3")), start_at=90)
    assert [(o.type.value, o.where.object_id) for o in missed] == [
        ("missed-waypoint", "W1"),  # ordered by what came before it: the start, as it counts
        ("late-start", "S"),
        ("missed-ratio", None),
    ]


# -- stops -----------------------------------------------------------------------------------------


def stop_sheet(
    speeds: Sequence[float | None],
    duration: int | None = None,
    interval: float = 1.0,
    doubt: bool = False,
) -> list[Infringement]:
    """A stop from second 100 to just after the last of the fixes, which begin at 100.5."""
    mark = thing("P", Kind.STOP, 1, duration_seconds=duration)
    times = [100.5 + n * interval for n in range(len(speeds))]
    ends = times[-1] + 0.5 if times else 102
    fixes = [Fix(at(99), 0, 0, 50.0), *(
        Fix(at(when), 0, 0, kmh) for when, kmh in zip(times, speeds, strict=True)
    ), Fix(at(ends + 0.5), 0, 0, 50.0)]  # fmt: skip
    enter = crossing("P", "enter", 100, provisional=doubt)
    used = Pass("d1", "P", 1, at(100), enter, crossing("P", "exit", ends))
    own = SegmentSheet(
        segment(mark), at(0), None, device_id="d1",
        validations=(Validation(mark, 1, "ok", at(100), used, None, "d1"),),
    )  # fmt: skip
    sheet = StageSheet(stage(own.segment), Entry("301"), (own,))
    return list(infringements(sheet, [Evidence(Track.of("d1", fixes), (), {"P": (used,)})]))


@pytest.mark.parametrize(
    ("speeds", "duration", "missed"),
    [
        ([30, 10, 3, 0, 12], None, False),
        ([30, 20, 12, 6, 12], None, True),
        ([30, 0, 0, 0, 12], 3, False),
        ([30, 0, 0, 0, 12], 5, True),  # from the fix before to the fix behind: 4 s at most
        ([30, 0, 0, 40, 0, 0, 30], 4, True),
        ([0, 0, 0, 0], 4, False),
        ([30, None, 30], None, False),  # not judged
        ([], None, False),
    ],
)
def test_a_stop_is_missed_where_the_car_cannot_have_stood(
    speeds: list[float | None], duration: int | None, missed: bool
) -> None:
    expected = [("stop-missed", "P", Decimal(1))] if missed else []
    assert told(stop_sheet(speeds, duration)) == expected


def test_a_stop_at_the_edge_of_a_gap_is_not_judged() -> None:
    assert told(stop_sheet([30, 30, 30], doubt=True)) == []


def test_a_stop_that_was_not_passed_is_missed_twice_over() -> None:
    missed = found(evidence(saw("W1")), *waypoints(1), thing("P", Kind.STOP))
    assert told(missed) == [
        ("missed-waypoint", "P", Decimal(1)),
        ("stop-missed", "P", Decimal(1)),
    ]


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "offence"),
    [(90, ("late-start", "S", Decimal("10.25"))), (102, ("early-start", "S", Decimal("1.75")))],
)
def test_a_start_against_the_start_list(target: float, offence: tuple[str, str, Decimal]) -> None:
    assert told(found(evidence(CLEAN), start_at=target)) == [offence]


def test_a_start_on_the_microsecond_is_in_time() -> None:
    assert told(found(evidence(CLEAN), start_at=100.25)) == []


def test_a_start_by_the_tracker_is_judged_too_where_there_is_a_target() -> None:
    rolling = found(evidence(CLEAN), start_at=90, start_rule=StartRule.LAST_EXIT)
    assert told(rolling) == [("late-start", "S", Decimal("10.25"))]


def test_without_a_target_nobody_is_late() -> None:
    assert told(found(evidence(CLEAN))) == []


def test_a_start_in_a_gap_is_nobodys_fault() -> None:
    assert told(found(evidence(CLEAN, provisional=["S"]), start_at=90)) == []


def test_a_start_that_an_official_set_is_dealt_with() -> None:
    ruled = ruling(RulingKind.SET_START, value={"at": "2026-06-07T08:01:35Z"})
    assert told(found(evidence(CLEAN), start_at=90, rulings=[ruled])) == []


def controlled(
    entered: float, doubt: bool = False, rulings: Sequence[Ruling] = ()
) -> list[Infringement]:
    """A control due at 08:10 (600 s)."""
    drive: Saw = [("S", 0, 60), ("T", entered, entered + 5), ("F", 5000, 5010)]
    own = segment(thing("T", Kind.TIME_CONTROL), target_duration_seconds=600 - 60)
    seen = evidence(drive, provisional=["T"] if doubt else [])
    entry = Entry("301", start_at={"T": at(600)})
    sheet = timed(seen, of=stage(own), entry=entry, rulings=rulings)
    return list(infringements(sheet, [seen], rulings))


@pytest.mark.parametrize(
    ("entered", "offence"),
    [
        (539.9, [("time-control-early", "T", Decimal(1))]),
        (540, []),
        (659.9, []),
        (660, [("time-control-late", "T", Decimal(1))]),
        (600 + 30 * 60 + 59.9, [("time-control-late", "T", Decimal(30))]),
        (600 + 31 * 60, [("time-control-late", "T", Decimal(31))]),
    ],
)
def test_a_time_control(entered: float, offence: list[tuple[str, str, Decimal]]) -> None:
    assert told(controlled(entered)) == offence


def test_a_check_in_in_a_gap_is_nobodys_fault_until_an_official_says_when() -> None:
    assert told(controlled(900, doubt=True)) == []
    card = ruling(RulingKind.SET_TIME, "T", value={"at": "2026-06-07T08:12:30Z"})
    assert told(controlled(900, doubt=True, rulings=[card])) == [
        ("time-control-late", "T", Decimal(2))
    ]


def neutralised(left: float | None, status: str = "ok") -> list[Infringement]:
    """Sixty seconds from second 200."""
    begin, end = thing("N", Kind.DN, 1, duration_seconds=60), thing("E", Kind.FN, 2)
    instant = None if left is None else at(left)
    own = SegmentSheet(
        segment(begin, end), at(0), None, device_id="d1",
        validations=(Validation(begin, 1, status, at(200)), Validation(end, 1, "ok", at(230))),
        neutralisations=(Neutralisation(begin, end, 60_000, at(200), instant, 60_000),),
    )  # fmt: skip
    return list(infringements(StageSheet(stage(own.segment), Entry("301"), (own,)), []))


def test_leaving_a_neutralisation_early() -> None:
    assert told(neutralised(255.5)) == [("neutralisation-early", "E", Decimal("4.5"))]
    assert told(neutralised(260)) == []
    assert told(neutralised(None)) == []
    assert told(neutralised(255.5, status="provisional")) == []


def test_the_maximum_time_is_without_what_was_neutralised() -> None:
    assert told(found(evidence(CLEAN), maximum_duration_seconds=390)) == [
        ("maximum-time", None, Decimal(10))
    ]
    assert told(found(evidence(CLEAN), maximum_duration_seconds=400)) == []
    in_a_gap = evidence(CLEAN, provisional=["F"])
    assert told(found(in_a_gap, maximum_duration_seconds=390)) == []
    own = SegmentSheet(
        segment(maximum_duration_seconds=390), None, None, start_at=at(0), finish_at=at(400),
        elapsed_ms=400_000, closed=True,
    )  # fmt: skip
    begin = thing("N", Kind.DN, 1, duration_seconds=60)
    calm = evolve(own, neutralisations=(Neutralisation(begin, None, 60_000, at(9), None, 60_000),))
    for sheet, costs in ((own, 1), (calm, 0)):
        of = StageSheet(stage(sheet.segment), Entry("301"), (sheet,))
        assert len(infringements(of, [])) == costs


def test_the_time_of_day_has_the_parts_of_a_second_that_there_are() -> None:
    assert (clock(at(0)), clock(at(30)), clock(at(30.25))) == (
        "08:00:00",
        "08:00:30",
        "08:00:30.25",
    )


def test_a_limit_of_zero_gives_no_share_of_it() -> None:
    zone = Zone("Z1", thing("Z1", Kind.INFO).shape, 0.0)
    own = SegmentSheet(segment(zones=(zone,)), at(0), None, device_id="d1")
    sheet = StageSheet(stage(own.segment), Entry("301"), (own,))
    used = Pass("d1", "Z1", 1, at(0), None, None)
    seen = Evidence(Track.of("d1", [Fix(at(1), 0, 0, 9.0)]), (), {"Z1": (used,)})
    assert told(list(infringements(sheet, [seen]))) == [
        ("speed-limit", "Z1", Decimal(9)),
        ("speed-impulse", "Z1", Decimal(9)),
    ]


def test_a_number_with_endless_digits_is_read_with_four() -> None:
    assert plain(Decimal(25) / 110) == "0.2273"
    assert [plain(Decimal(said)) for said in ("900", "2.50", "0.000000001")] == [
        "900", "2.5", "0.000000001"
    ]  # fmt: skip
