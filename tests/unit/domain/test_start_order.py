"""The four strategies of a start list, and its clock."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from processor.domain.course import Entry, EntryStatus, Stage, StartOrder
from processor.domain.outcome import EventResult, ResultStatus, StageResult
from processor.domain.start_order import start_order
from tests.papers import at, segment, stage

INTERVALS = {"intervals": [[10, 180], [20, 120], [None, 30]]}


def entries(*numbers: int) -> list[Entry]:
    return [Entry(f"e{n}", race_number=n) for n in numbers]


def result(
    number: int,
    elapsed_ms: int,
    penalty_ms: int = 0,
    status: ResultStatus = ResultStatus.FINISHED,
) -> StageResult:
    return StageResult(
        "SS1",
        f"e{number}",
        "",
        status,
        race_number=number,
        elapsed_ms=elapsed_ms,
        penalty_ms=penalty_ms,
        total_ms=elapsed_ms + penalty_ms,
    )


def opened(strategy: StartOrder, **params: object) -> Stage:
    return stage(segment(), starts_at=at(0), start_order=strategy, start_order_params=params)


def ids(of: Stage, results: list[StageResult], field: list[Entry]) -> list[str]:
    return [place.entry_id for place in start_order(of, results, field)]


RESULTS = [result(1, 300), result(2, 100, penalty_ms=900), result(3, 200), result(4, 400)]
FIELD = entries(5, 4, 3, 2, 1)


def test_the_clean_result_leaves_penalties_out_unless_they_are_asked_for() -> None:
    clean = opened(StartOrder.PREVIOUS_CLEAN)
    assert ids(clean, RESULTS, FIELD) == ["e2", "e3", "e1", "e4", "e5"]
    with_penalties = opened(StartOrder.PREVIOUS_CLEAN, include_penalties=True)
    assert ids(with_penalties, RESULTS, FIELD) == ["e3", "e1", "e4", "e2", "e5"]


def test_the_first_n_are_turned_round_and_the_rest_follows() -> None:
    of = opened(StartOrder.INVERSE_TOP_N, n=2)
    assert ids(of, RESULTS, FIELD) == ["e1", "e3", "e4", "e2", "e5"]
    assert ids(opened(StartOrder.INVERSE_TOP_N, n=99), RESULTS, FIELD)[0] == "e2"
    assert ids(opened(StartOrder.INVERSE_TOP_N), RESULTS, FIELD)[0] == "e3"


def test_the_leader_of_all_starts_last_but_before_those_without_a_result() -> None:
    overall = [
        EventResult("e1", "", ResultStatus.RUNNING, total_ms=500),
        EventResult("e2", "", ResultStatus.RUNNING, total_ms=400),
        EventResult("e3", "", ResultStatus.DID_NOT_FINISH),
        EventResult("e4", "", ResultStatus.RUNNING, total_ms=900),
    ]
    of = opened(StartOrder.INVERSE_OVERALL)
    assert [p.entry_id for p in start_order(of, overall, FIELD)] == ["e4", "e1", "e2", "e3", "e5"]


def test_without_a_time_it_is_last_by_race_number_and_so_are_ties() -> None:
    results = [
        result(4, 100),
        result(2, 100),
        result(5, 1, status=ResultStatus.DID_NOT_FINISH),
        result(1, 1, status=ResultStatus.OVER_TIME_LIMIT),
    ]
    assert ids(opened(StartOrder.PREVIOUS_CLEAN), results, FIELD) == ["e2", "e4", "e1", "e3", "e5"]
    assert ids(opened(StartOrder.INVERSE_OVERALL), results, FIELD)[:2] == ["e2", "e4"]


def test_manual_gives_only_what_exists() -> None:
    field = [
        Entry("a", race_number=1, start_at={"SS1": at(240)}),
        Entry("b", race_number=2),
        Entry("c", race_number=3, start_at={"SS1": at(120)}),
    ]
    found = start_order(opened(StartOrder.MANUAL), [], field)
    assert [(p.entry_id, p.position, p.target_at) for p in found] == [
        ("c", 1, at(120)),
        ("a", 2, at(240)),
    ]


@pytest.mark.parametrize(
    "status",
    [
        EntryStatus.RETIRED,
        EntryStatus.WITHDRAWN,
        EntryStatus.DISQUALIFIED,
        EntryStatus.DID_NOT_START,
    ],
)
def test_who_is_out_of_the_event_gets_no_place(status: EntryStatus) -> None:
    field = [evolve(entry, status=status) if entry.id == "e2" else entry for entry in FIELD]
    assert "e2" not in ids(opened(StartOrder.PREVIOUS_CLEAN), RESULTS, field)


def test_intervals_by_position() -> None:
    of = opened(StartOrder.PREVIOUS_CLEAN, **INTERVALS)
    found = start_order(of, [], entries(*range(1, 24)))
    targets = {place.position: place.target_at for place in found}
    assert targets[1] == at(0)
    assert targets[2] == at(180)
    assert targets[10] == at(9 * 180)
    assert targets[11] == at(9 * 180 + 120)
    assert targets[20] == at(9 * 180 + 10 * 120)
    assert targets[21] == at(9 * 180 + 10 * 120 + 30)
    assert targets[23] == at(9 * 180 + 10 * 120 + 90)


def test_without_intervals_the_interval_of_the_stage_holds_and_without_that_there_is_no_time() -> (
    None
):
    of = evolve(opened(StartOrder.PREVIOUS_CLEAN), start_interval_seconds=60)
    assert [p.target_at for p in start_order(of, [], entries(1, 2, 3))] == [at(0), at(60), at(120)]
    bare = opened(StartOrder.PREVIOUS_CLEAN)
    assert [p.target_at for p in start_order(bare, [], entries(1, 2))] == [at(0), None]
    never = evolve(of, starts_at=None)
    assert [p.target_at for p in start_order(never, [], entries(1, 2))] == [None, None]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"intervals": "soon"}, "intervals must be"),
        ({"intervals": 180}, "intervals must be"),
        ({"intervals": [[10]]}, "intervals must be"),
        ({"intervals": [["x", 1]]}, "intervals must be"),
        ({"n": -1}, "n must be"),
        ({"n": "ten"}, "n must be"),
    ],
)
def test_params_that_cannot_be_meant_are_said(params: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        start_order(opened(StartOrder.INVERSE_TOP_N, **params), [], FIELD)


@given(st.permutations(RESULTS), st.permutations(FIELD), st.sampled_from(StartOrder))
def test_the_order_of_the_inputs_changes_nothing(
    results: list[StageResult], field: list[Entry], strategy: StartOrder
) -> None:
    of = opened(strategy, n=2, **INTERVALS)
    assert start_order(of, results, field) == start_order(of, RESULTS, FIELD)
