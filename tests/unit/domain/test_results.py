"""Results: status, time and penalties of an entry, the order of a stage, the sum of an event."""

from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from processor.domain.course import Entry, EntryStatus, Kind, SegmentType
from processor.domain.outcome import Penalty, ResultStatus, StageResult
from processor.domain.results import event_results, has_started, rank, stage_result
from processor.domain.rules import Outcome
from processor.domain.rulings import RulingKind
from processor.domain.timesheet import SegmentSheet, StageSheet
from tests.papers import Saw, at, evidence, ruling, segment, stage, thing, timed, waypoints

DRIVE: list[Saw] = [("S", 0, 100), ("W1", 200, 210), ("W2", 300, 310), ("F", 500.9, 520)]
OF = stage(segment(*waypoints(2)))


def penalty(seconds: str, outcome: Outcome = Outcome.TIME, **more: object) -> Penalty:
    said: dict[str, object] = {"entry_id": "301", "stage_id": "SS1"} | more
    return Penalty(
        segment_id=None,
        type="speed-limit",
        object_id=None,
        pass_number=None,
        occurrence=1,
        computed_seconds=Decimal(seconds),
        penalty_seconds=Decimal(seconds),
        outcome=outcome,
        explanation={},
        **said,  # type: ignore[arg-type]
    )


def status(sheet: StageSheet, *penalties: Penalty) -> ResultStatus:
    return stage_result(sheet, penalties).status


# -- one entry -------------------------------------------------------------------------------------


def test_a_finished_stage_adds_its_penalties() -> None:
    other = [penalty("999", entry_id="302"), penalty("999", stage_id="SS2")]
    result = stage_result(timed(evidence(DRIVE), of=OF), [penalty("60"), penalty("2.2727"), *other])
    assert result.status is ResultStatus.FINISHED
    assert (result.gross_ms, result.elapsed_ms) == (400_000, 400_000)
    assert (result.penalty_ms, result.total_ms) == (62_272, 462_272)
    assert (result.started_at, result.finished_at) == (at(100), at(500.9))
    assert (result.validated, result.to_validate) == (2, 2)
    assert (result.provisional, result.waiting_for, result.uncertainty_ms) == (False, (), 142)
    assert result.position is None


def test_the_coefficient_multiplies_net_time_and_is_cut_again() -> None:
    own = segment(thing("DN", Kind.DN, duration_seconds=100), thing("FN", Kind.FN))
    ride: list[Saw] = [("S", 0, 100), ("DN", 200, 210), ("FN", 320, 330), ("F", 500.9, 501)]
    of = stage(own, coefficient=Decimal("0.333"))
    result = stage_result(timed(evidence(ride), of=of), [])
    assert (result.gross_ms, result.neutralised_ms) == (400_000, 100_000)
    assert result.elapsed_ms == 99_000  # 300 s x 0.333 = 99.9 s
    fine = stage_result(timed(evidence(ride), of=evolve(of, time_resolution_ms=100)), [])
    assert fine.gross_ms == 400_900
    assert fine.elapsed_ms == 100_100  # 300.9 s x 0.333 = 100.1997 s


def test_each_special_stage_is_cut_before_they_are_added_and_liaisons_add_nothing() -> None:
    second = segment(id="SS2", start="S2", finish="F2")
    liaison = segment(id="L", type=SegmentType.LIAISON, start=None, finish="L1")
    ride: list[Saw] = [*DRIVE, ("L1", 900, 910), ("S2", 950, 1000), ("F2", 1100.9, 1110)]
    of = stage(segment(*waypoints(2)), liaison, second)
    result = stage_result(timed(evidence(ride), of=of), [])
    assert result.gross_ms == 400_000 + 100_000
    assert result.finished_at == at(1100.9)


def test_a_stage_without_a_special_stage_is_its_penalties() -> None:
    road = segment(*waypoints(2), type=SegmentType.LIAISON)
    result = stage_result(timed(evidence(DRIVE), of=stage(road)), [penalty("30")])
    assert (result.status, result.total_ms) == (ResultStatus.FINISHED, 30_000)


def test_splits_are_checkpoints_and_laps() -> None:
    own = segment(thing("C", Kind.CHECKPOINT), laps=2)
    ride: list[Saw] = [("S", 0, 100), ("C", 200.9, 201), ("F", 300, 301), ("C", 400, 401),
                       ("F", 500, 501)]  # fmt: skip
    result = stage_result(timed(evidence(ride), of=stage(own)), [])
    assert [(s["object_id"], s["pass"], s["elapsed_ms"]) for s in result.splits] == [
        ("C", 1, 100_000),
        ("F", 1, 200_000),
        ("C", 2, 300_000),
    ]


def test_nobody_is_out_by_silence() -> None:
    entry = Entry("301", start_at={"SS1": at(100)})
    assert status(timed(of=OF, entry=entry)) is ResultStatus.WAITING
    parked = evidence([], [(0, 0), (90_000, 0)])
    assert status(timed(parked, of=OF, entry=entry)) is ResultStatus.WAITING
    running = timed(evidence(DRIVE[:2], [(0, 0), (90_000, 0)]), of=OF, entry=entry)
    assert status(running) is ResultStatus.RUNNING
    result = stage_result(running, [])
    assert (result.total_ms, result.provisional, result.waiting_for) == (None, True, ("finish",))


def test_a_closure_ends_what_runs_and_what_waits() -> None:
    closed = evolve(OF, closed_at=at(80_000))
    assert status(timed(of=closed)) is ResultStatus.DID_NOT_START
    assert status(timed(evidence(DRIVE[:2]), of=closed)) is ResultStatus.DID_NOT_FINISH
    assert status(timed(evidence(DRIVE), of=closed)) is ResultStatus.FINISHED


@pytest.mark.parametrize(
    ("said", "unseen", "running", "done"),
    [
        (EntryStatus.RETIRED, "did-not-finish", "did-not-finish", "did-not-finish"),
        (EntryStatus.WITHDRAWN, "did-not-start", "did-not-finish", "did-not-finish"),
        (EntryStatus.DID_NOT_START, "did-not-start", "did-not-start", "did-not-start"),
        (EntryStatus.DISQUALIFIED, "disqualified", "disqualified", "disqualified"),
        (EntryStatus.STARTED, "waiting", "running", "finished"),
    ],
)
def test_what_the_entry_says_of_itself(
    said: EntryStatus, unseen: str, running: str, done: str
) -> None:
    entry = Entry("301", status=said)
    assert status(timed(of=OF, entry=entry)) == unseen
    assert status(timed(evidence(DRIVE[:2]), of=OF, entry=entry)) == running
    assert status(timed(evidence(DRIVE), of=OF, entry=entry)) == done


@pytest.mark.parametrize(
    "said", [EntryStatus.RETIRED, EntryStatus.WITHDRAWN, EntryStatus.DID_NOT_START]
)
def test_who_drove_on_gave_up_later(said: EntryStatus) -> None:
    entry = Entry("301", status=said)
    done, running, unseen = evidence(DRIVE), evidence(DRIVE[:2]), evidence([])
    of = [timed(seen, of=OF, entry=entry) for seen in (done, running, unseen)]
    found = [stage_result(sheet, [], drove_on=True).status for sheet in of]
    assert found == ["finished", "running", "waiting"]
    out = timed(done, of=OF, entry=Entry("301", status=EntryStatus.DISQUALIFIED))
    assert stage_result(out, [], drove_on=True).status is ResultStatus.DISQUALIFIED


def test_of_a_rule_and_of_what_the_entry_says_the_graver_counts() -> None:
    retired = timed(evidence(DRIVE), of=OF, entry=Entry("301", status=EntryStatus.RETIRED))
    over = penalty("0", Outcome.OVER_TIME_LIMIT)
    assert status(retired, over) is ResultStatus.DID_NOT_FINISH
    assert status(retired, penalty("0", Outcome.DISQUALIFIED)) is ResultStatus.DISQUALIFIED


def test_who_did_not_start_by_an_officials_word_did_not_whatever_the_tracker_says() -> None:
    entry = Entry("301", status=EntryStatus.DID_NOT_START)
    (total,) = event_results([OF], [stage_result(timed(evidence(DRIVE), of=OF, entry=entry), [])])
    assert (total.status, total.position) == (ResultStatus.DID_NOT_START, None)


def test_a_decided_status_waits_for_nothing() -> None:
    result = stage_result(
        timed(evidence(DRIVE[:2]), of=OF, entry=Entry("301", status=EntryStatus.RETIRED)), []
    )
    assert (result.provisional, result.waiting_for) == (False, ())


def test_a_rule_decides_though_the_stage_was_finished_and_the_gravest_counts() -> None:
    sheet = timed(evidence(DRIVE), of=OF)
    assert status(sheet, penalty("0", Outcome.OVER_TIME_LIMIT)) is ResultStatus.OVER_TIME_LIMIT
    assert (
        status(sheet, penalty("0", Outcome.OVER_TIME_LIMIT), penalty("0", Outcome.DID_NOT_FINISH))
        is ResultStatus.DID_NOT_FINISH
    )
    assert (
        status(sheet, penalty("0", Outcome.DISQUALIFIED), penalty("0", Outcome.DID_NOT_FINISH))
        is ResultStatus.DISQUALIFIED
    )
    assert status(sheet, penalty("0", Outcome.REVIEW)) is ResultStatus.FINISHED


def test_a_ruling_wins_over_everything_and_the_last_one_counts() -> None:
    first = ruling(
        RulingKind.SET_STATUS, id="r1", segment_id=None, value={"status": "did-not-finish"}
    )
    second = evolve(first, id="r2", decided_at=1, value={"status": "finished"})
    entry = Entry("301", status=EntryStatus.DISQUALIFIED)
    sheet = timed(evidence(DRIVE), of=OF, entry=entry, rulings=[second, first])
    assert status(sheet, penalty("0", Outcome.DISQUALIFIED)) is ResultStatus.FINISHED


def test_who_reached_the_finish_without_a_start_is_finished_without_a_time() -> None:
    closed = evolve(OF, closed_at=at(80_000))
    result = stage_result(timed(evidence(DRIVE[1:]), of=closed), [])
    assert (result.status, result.total_ms) == (ResultStatus.FINISHED, None)
    assert result.waiting_for == ("start",)
    (ranked,) = rank([result])
    assert ranked.position is None


def test_a_result_says_whose_it_is() -> None:
    entry = Entry("301", class_id="C-2", race_number=7)
    result = stage_result(timed(evidence(DRIVE), of=OF, entry=entry), [])
    assert (result.stage_id, result.entry_id) == ("SS1", "301")
    assert (result.class_id, result.race_number) == ("C-2", 7)


def test_times_are_whole_milliseconds() -> None:
    own = segment(thing("C", Kind.CHECKPOINT))
    ride: list[Saw] = [("S", 0, 100), ("C", 200, 201), ("F", 300, 301)]
    result = stage_result(timed(evidence(ride), of=stage(own)), [])
    times = (result.elapsed_ms, result.penalty_ms, result.total_ms, result.splits[0]["elapsed_ms"])
    assert [type(each) for each in times] == [int] * 4


def test_who_retired_in_a_later_stage_finished_this_one() -> None:
    retired = timed(evidence(DRIVE), of=OF, entry=Entry("301", status=EntryStatus.RETIRED))
    assert stage_result(retired, [], drove_on=True).status is ResultStatus.FINISHED
    assert stage_result(retired, []).status is ResultStatus.DID_NOT_FINISH


@pytest.mark.parametrize(
    ("entry_status", "saw"),
    [
        (EntryStatus.DISQUALIFIED, DRIVE[:2]),
        (EntryStatus.DID_NOT_START, DRIVE[:2]),
        (EntryStatus.WITHDRAWN, []),
        (EntryStatus.WITHDRAWN, DRIVE[:2]),
    ],
)
def test_what_a_human_decided_waits_for_nothing(entry_status: EntryStatus, saw: list[Saw]) -> None:
    sheet = timed(evidence(saw), of=OF, entry=Entry("301", status=entry_status))
    assert sheet.segments[0].waiting_for
    assert stage_result(sheet, []).waiting_for == ()


def test_a_ruled_status_waits_for_nothing() -> None:
    said = ruling(RulingKind.SET_STATUS, segment_id=None, value={"status": "did-not-finish"})
    assert stage_result(timed(evidence(DRIVE[:2]), of=OF, rulings=[said]), []).waiting_for == ()


def test_what_a_rule_or_a_closure_decided_may_still_change() -> None:
    running = timed(evidence(DRIVE[:2]), of=OF)
    assert stage_result(running, [penalty("0", Outcome.DISQUALIFIED)]).waiting_for == ("finish",)
    silent = evidence(DRIVE[:2], [(0, 0), (50_000, 0)])
    result = stage_result(timed(silent, of=evolve(OF, closed_at=at(80_000))), [])
    assert result.status is ResultStatus.DID_NOT_FINISH
    assert result.waiting_for == ("later-fix",)


def test_any_trace_of_a_drive_is_a_start() -> None:
    def started(**more: object) -> bool:
        own = SegmentSheet(OF.segments[0], None, None, **more)  # type: ignore[arg-type]
        return has_started(StageSheet(OF, Entry("301"), (own,)))

    records = timed(evidence(DRIVE), of=OF).segments[0].records
    assert started(finish_at=at(5))
    assert started(start_measured=at(5))
    assert started(records=records)
    assert not started(start_at=at(5))


def test_a_place_on_the_start_list_is_no_start() -> None:
    entry = Entry("301", start_at={"SS1": at(100)})
    assert stage_result(timed(of=OF, entry=entry), []).started_at is None


def test_uncertainty_grows_with_the_coefficient_and_goes_with_the_time() -> None:
    half = evolve(OF, coefficient=Decimal("0.5"))
    assert stage_result(timed(evidence(DRIVE), of=half), []).uncertainty_ms == 71
    assert stage_result(timed(evidence(DRIVE[:3]), of=OF), []).uncertainty_ms is None
    ruled = [
        ruling(RulingKind.SET_START, value={"at": "2026-06-07T08:01:40Z"}),
        ruling(RulingKind.SET_TIME, "F", value={"at": "2026-06-07T08:08:20Z"}),
    ]
    sure = stage_result(timed(evidence(DRIVE), of=OF, rulings=ruled), [])
    assert (sure.elapsed_ms, sure.uncertainty_ms) == (400_000, 0)


def test_a_split_says_where_and_when_and_how_long_where_the_start_is_known() -> None:
    own = segment(thing("C", Kind.CHECKPOINT))
    ride: list[Saw] = [("S", 0, 100), ("C", 200.9, 201), ("F", 300, 301)]
    (split,) = stage_result(timed(evidence(ride), of=stage(own)), []).splits
    assert split == {
        "segment_id": "SS1",
        "object_id": "C",
        "pass": 1,
        "at": "2026-06-07T08:03:20.900000Z",
        "elapsed_ms": 100_000,
    }
    (split,) = stage_result(timed(evidence(ride[1:]), of=stage(own)), []).splits
    assert split["elapsed_ms"] is None


# -- the field -------------------------------------------------------------------------------------


def result(
    entry_id: str,
    total_ms: int | None = None,
    said: ResultStatus = ResultStatus.FINISHED,
    **more: object,
) -> StageResult:
    fields: dict[str, object] = {"stage_id": "SS1", "class_id": "A", "race_number": int(entry_id)}
    if total_ms is not None:
        fields |= {"elapsed_ms": total_ms, "total_ms": total_ms, "started_at": 1}
    return StageResult(entry_id=entry_id, status=said, **(fields | more))  # type: ignore[arg-type]


def test_equal_totals_are_a_dead_heat_and_the_next_position_is_skipped() -> None:
    ranked = rank([result("4", 200), result("3", 100), result("1", 150), result("2", 100)])
    assert [(r.entry_id, r.position, r.gap_ms) for r in ranked] == [
        ("2", 1, 0),
        ("3", 1, 0),
        ("1", 3, 50),
        ("4", 4, 100),
    ]


def test_classes_are_ranked_by_themselves() -> None:
    ranked = rank(
        [
            result("1", 100, class_id="A"),
            result("2", 200, class_id="B"),
            result("3", 300, class_id="A"),
            result("4", 450, class_id="B"),
        ]
    )
    assert [(r.entry_id, r.class_position, r.class_gap_ms) for r in ranked] == [
        ("1", 1, 0),
        ("2", 1, 0),
        ("3", 2, 200),
        ("4", 2, 250),
    ]


def test_the_order_of_those_without_a_position() -> None:
    field = [
        result("1", said=ResultStatus.DISQUALIFIED, total_ms=1),
        result("2", said=ResultStatus.DID_NOT_START),
        result("3", said=ResultStatus.DID_NOT_FINISH, validated=3),
        result("4", said=ResultStatus.DID_NOT_FINISH, validated=5),
        result("5", said=ResultStatus.OVER_TIME_LIMIT, total_ms=1),
        result("6", said=ResultStatus.WAITING),
        result("7", said=ResultStatus.RUNNING, validated=2),
        result("8", 900),
    ]
    ranked = rank(field)
    assert [r.entry_id for r in ranked] == ["8", "7", "6", "5", "4", "3", "2", "1"]
    assert [r.position for r in ranked] == [1, *[None] * 7]


def test_three_classes_do_not_mix() -> None:
    ranked = rank([result(str(n), 100 * n, class_id="ABC"[n % 3]) for n in range(1, 7)])
    assert [(r.class_id, r.class_position, r.class_gap_ms) for r in ranked] == [
        ("B", 1, 0),
        ("C", 1, 0),
        ("A", 1, 0),
        ("B", 2, 300),
        ("C", 2, 300),
        ("A", 2, 300),
    ]


def ordered(*field: StageResult) -> list[str]:
    return [each.entry_id for each in rank(field)]


def test_only_a_finisher_is_ordered_by_time() -> None:
    out = ResultStatus.DID_NOT_FINISH
    assert ordered(result("1", 5, out, validated=1), result("2", 9, out, validated=5)) == ["2", "1"]
    assert ordered(result("1", 9, validated=1), result("2", 9, validated=5)) == ["1", "2"]


def test_a_finisher_without_a_time_stands_behind_those_with_one() -> None:
    assert ordered(result("1"), result("2", 100)) == ["2", "1"]


def test_of_equals_the_smaller_number_is_first_and_none_is_last() -> None:
    nameless = [result(n, 100, race_number=None) for n in ("8", "7")]
    field = [*nameless, result("10", 100), result("9", 100), result("6", 100, race_number=0)]
    assert ordered(*field) == ["6", "9", "10", "7", "8"]
    zero, one = result("2", 100, race_number=0), result("1", 100, race_number=1)
    assert ordered(one, zero) == ["2", "1"]


def test_only_finishers_are_tied() -> None:
    out = result("2", 1000, ResultStatus.DID_NOT_FINISH)
    assert [r.tied_with for r in rank([result("1", 1000), out])] == [(), ()]


def test_those_tied_are_told_in_their_order() -> None:
    ranked = rank([result("10", 1000), result("9", 1000), result("8", 1000)])
    assert [r.tied_with for r in ranked] == [("9", "10"), ("8", "10"), ("8", "9")]


def test_neighbours_within_their_uncertainties_are_tied_and_not_moved() -> None:
    ranked = rank(
        [
            result("1", 1000, uncertainty_ms=300),
            result("2", 1500, uncertainty_ms=400),
            result("3", 2001, uncertainty_ms=300),
        ]
    )
    assert [(r.position, r.tied_with) for r in ranked] == [(1, ("2",)), (2, ("1",)), (3, ())]


def test_all_of_a_dead_heat_are_tied_with_one_another() -> None:
    ranked = rank([result("1", 1000), result("2", 1000), result("3", 1000), result("4", 1001)])
    assert [r.tied_with for r in ranked] == [("2", "3"), ("1", "3"), ("1", "2"), ()]


STATUSES = st.sampled_from(list(ResultStatus))


@st.composite
def fields(draw: st.DrawFn) -> list[StageResult]:
    return [
        result(
            str(number),
            draw(st.one_of(st.none(), st.integers(0, 5))),
            draw(STATUSES),
            class_id=draw(st.sampled_from("AB")),
            uncertainty_ms=draw(st.integers(0, 3)),
        )
        for number in range(draw(st.integers(0, 8)))
    ]


@given(fields(), st.randoms(use_true_random=False))
def test_ranking_does_not_depend_on_the_order_of_the_results(
    field: list[StageResult], chance: object
) -> None:
    shuffled = list(field)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rank(shuffled) == rank(field)
    assert event_results([OF], rank(shuffled)) == event_results([OF], rank(field))


@given(fields())
def test_a_position_is_one_more_than_the_number_of_those_who_were_faster(
    field: list[StageResult],
) -> None:
    finished = [r for r in field if r.status is ResultStatus.FINISHED and r.total_ms is not None]
    for ranked in rank(field):
        if ranked.total_ms is None or ranked.status is not ResultStatus.FINISHED:
            assert ranked.position is None
            continue
        faster = [r for r in finished if (r.total_ms or 0) < ranked.total_ms]
        assert ranked.position == len(faster) + 1
        own = [r for r in faster if r.class_id == ranked.class_id]
        assert ranked.class_position == len(own) + 1


# -- the event -------------------------------------------------------------------------------------

STAGES = [OF, evolve(OF, id="SS2")]


def both(entry_id: str, first: int | None, second: int | None, **more: object) -> list[StageResult]:
    dnf = ResultStatus.DID_NOT_FINISH
    done = ResultStatus.FINISHED
    return [
        result(entry_id, first, dnf if first is None else done, stage_id="SS1", **more),
        result(entry_id, second, dnf if second is None else done, stage_id="SS2", **more),
    ]


def test_an_event_is_the_sum_of_its_stages_and_the_others_stand_behind() -> None:
    found = event_results(
        STAGES,
        [
            *both("1", 100, 300),
            *both("2", 150, 200),
            *both("3", 10, None),
            *both("4", None, None),
            *both("5", 20, None),
        ],
    )
    assert [(r.entry_id, r.status, r.total_ms, r.position, r.gap_ms) for r in found] == [
        ("2", "finished", 350, 1, 0),
        ("1", "finished", 400, 2, 50),
        ("3", "did-not-finish", None, None, None),
        ("5", "did-not-finish", None, None, None),
        ("4", "did-not-finish", None, None, None),
    ]
    assert found[0].stages == {"SS1": 150, "SS2": 200}


def test_a_stage_that_nobody_has_begun_does_not_count_yet() -> None:
    waiting = [result(n, None, ResultStatus.WAITING, stage_id="SS2") for n in ("1", "2")]
    found = event_results(STAGES, [result("1", 200), result("2", 100), *waiting])
    assert [(r.entry_id, r.status, r.total_ms, r.position) for r in found] == [
        ("2", "running", 100, 1),
        ("1", "running", 200, 2),
    ]


def test_who_does_not_start_the_second_stage_has_no_position_in_the_event() -> None:
    second = [
        result("1", None, ResultStatus.DID_NOT_START, stage_id="SS2"),
        result("2", 70, stage_id="SS2"),
    ]
    found = event_results(STAGES, [result("1", 50), result("2", 100), *second])
    assert [(r.entry_id, r.status, r.position) for r in found] == [
        ("2", "finished", 1),
        ("1", "did-not-finish", None),
    ]


def test_an_event_is_provisional_while_one_of_its_stages_is() -> None:
    found = event_results(STAGES, both("1", 1, 2, provisional=True))
    assert found[0].provisional
    assert not event_results(STAGES, both("1", 1, 2))[0].provisional


def told(*results: StageResult) -> list[tuple[str, str, int | None, int | None]]:
    found = event_results(STAGES, results)
    return [(r.entry_id, r.status.value, r.total_ms, r.position) for r in found]


def test_an_event_has_classes_and_says_whose_each_result_is() -> None:
    found = event_results(
        STAGES,
        [
            *both("1", 100, 100, class_id="A"),
            *both("2", 150, 150, class_id="B"),
            *both("3", 200, 200, class_id="A"),
        ],
    )
    assert [(r.entry_id, r.class_id, r.race_number) for r in found] == [
        ("1", "A", 1),
        ("2", "B", 2),
        ("3", "A", 3),
    ]
    assert [(r.class_position, r.class_gap_ms) for r in found] == [(1, 0), (1, 0), (2, 200)]


def test_a_stage_counts_as_soon_as_one_entry_is_under_way_in_it() -> None:
    under_way = result("1", None, ResultStatus.RUNNING, stage_id="SS2", started_at=1)
    waiting = result("2", None, ResultStatus.WAITING, stage_id="SS2")
    assert told(result("1", 100), result("2", 200), under_way, waiting) == [
        ("1", "running", None, None),
        ("2", "running", None, None),
    ]


def test_who_is_not_in_a_stage_that_counts_has_no_total() -> None:
    found = event_results(STAGES, [*both("1", 100, 100), result("2", 50)])
    assert [(r.entry_id, r.total_ms, r.stages) for r in found] == [
        ("1", 200, {"SS1": 100, "SS2": 100}),
        ("2", None, {"SS1": 50, "SS2": None}),
    ]


def test_only_a_finish_with_a_time_completes_a_stage() -> None:
    untimed = result("1", None, stage_id="SS2", started_at=1)
    assert told(result("1", 100), untimed) == [("1", "running", None, None)]
    running = result("1", 5, ResultStatus.RUNNING, stage_id="SS2")
    assert told(result("1", 100), running) == [("1", "running", None, None)]


def test_a_stage_of_no_time_adds_nothing() -> None:
    assert told(*both("1", 0, 5)) == [("1", "finished", 5, 1)]


def test_over_the_time_limit_in_a_stage_is_over_it_in_the_event() -> None:
    over = result("1", 900, ResultStatus.OVER_TIME_LIMIT, stage_id="SS2")
    assert told(result("1", 100), over) == [("1", "over-time-limit", None, None)]


def test_an_event_waits_for_who_has_not_begun() -> None:
    assert told(result("1", None, ResultStatus.WAITING)) == [("1", "waiting", None, None)]


def test_a_stage_that_does_not_count_makes_nothing_provisional() -> None:
    waiting = result("1", None, ResultStatus.WAITING, stage_id="SS2", provisional=True)
    (found,) = event_results(STAGES, [result("1", 100), waiting])
    assert not found.provisional
    (found,) = event_results(STAGES, [result("1", 100, provisional=True)])
    assert found.provisional


def test_those_without_a_total_stand_by_status_then_stages_then_time_then_number() -> None:
    lost, out = ResultStatus.DID_NOT_FINISH, ResultStatus.DISQUALIFIED
    found = event_results(
        STAGES,
        [
            *both("20", 300, 300),
            result("1", None, out),
            result("1", 1, stage_id="SS2"),
            result("2", None, lost),
            result("3", 50, lost),
            result("3", 70, stage_id="SS2"),
            *both("4", 60, None),
            *both("11", 60, None),
            result("6", None, stage_id="SS1", started_at=1),
            result("6", None, lost, stage_id="SS2"),
        ],
    )
    assert [r.entry_id for r in found] == ["20", "4", "11", "3", "2", "6", "1"]


def test_of_equal_totals_in_an_event_the_smaller_number_is_first() -> None:
    same = [*both("10", 1, 5), *both("9", 5, 1)]
    nameless = [*both("8", 3, 3, race_number=None), *both("7", 2, 4, race_number=None)]
    assert [r.entry_id for r in event_results(STAGES, [*nameless, *same])] == ["9", "10", "7", "8"]
