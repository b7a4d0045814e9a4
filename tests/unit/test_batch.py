"""arrange: each key once, in the one order; repeats judged by what became of the first."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.errors import Reason
from processor.core.ingest.batch import arrange, conflict, repeat_outcome
from processor.core.model import Entry, Position, Record
from processor.core.ports import Outcome

DAY = datetime(2026, 6, 7, tzinfo=UTC)


def record(sequence: int, device: str = "a", seconds: float = 0, priority: int = 0) -> Record:
    position = Position(
        device, DAY + timedelta(seconds=seconds), 41.3, 19.8, 10, 90, 50, 9, priority, "8E", b"{}"
    )
    return Record(Entry(f"1780000000000-{sequence}", {}), position)


records = st.builds(
    record,
    st.integers(0, 10**6),
    st.sampled_from("abc"),
    st.integers(-2, 2).map(lambda hours: hours * 3600.0),
    st.integers(0, 2),
)


@given(st.lists(records, unique_by=lambda r: r.entry.id))
def test_nothing_is_lost_and_each_key_is_written_once(given_records: list[Record]) -> None:
    batch = arrange(given_records)
    ids = [r.entry.id for r in (*batch.firsts, *batch.repeats)]
    assert sorted(ids) == sorted(r.entry.id for r in given_records)
    keys = [r.position.key for r in batch.firsts]
    assert len(keys) == len(set(keys))
    assert {r.position.key for r in batch.repeats} <= set(keys)


@given(st.lists(records, unique_by=lambda r: r.entry.id))
def test_the_order_is_day_then_device_then_instant(given_records: list[Record]) -> None:
    def order(r: Record) -> tuple[object, ...]:
        return r.position.fixed_at.date(), r.position.device_id, r.position.fixed_at

    firsts = arrange(given_records).firsts
    assert list(firsts) == sorted(firsts, key=order)


@given(st.lists(records, unique_by=lambda r: r.entry.id), st.randoms())
def test_the_earliest_entry_stands_for_its_key_in_whatever_order_they_come(
    given_records: list[Record], random: object
) -> None:
    batch = arrange(given_records)
    for first in batch.firsts:
        same = [r for r in given_records if r.position.key == first.position.key]
        assert first is min(same, key=lambda r: int(r.entry.id.partition("-")[2]))
    random.shuffle(given_records)  # type: ignore[attr-defined]
    assert arrange(given_records).firsts == batch.firsts


def test_entry_ids_are_compared_as_numbers() -> None:
    ten, nine = record(10), record(9)
    assert arrange([ten, nine]).firsts == [nine]


@pytest.mark.parametrize(
    ("first_priority", "outcome", "repeat_priority", "expected"),
    [
        (0, Outcome.INSERTED, 0, Outcome.DUPLICATE),
        (0, Outcome.INSERTED, 1, Outcome.DUPLICATE),
        (0, Outcome.INSERTED, 2, Outcome.CONFLICT),
        (1, Outcome.DUPLICATE, 2, Outcome.CONFLICT),
        (2, Outcome.INSERTED, 2, Outcome.DUPLICATE),
        (2, Outcome.DUPLICATE, 2, Outcome.DUPLICATE),
        (2, Outcome.CONFLICT, 2, Outcome.CONFLICT),
        (2, Outcome.CONFLICT, 0, Outcome.DUPLICATE),
    ],
)
def test_a_panic_is_never_dropped_for_a_lesser_row(
    first_priority: int, outcome: Outcome, repeat_priority: int, expected: Outcome
) -> None:
    first, repeat = record(1, priority=first_priority), record(2, priority=repeat_priority)
    assert repeat_outcome(first, outcome, repeat) is expected


def test_a_panic_that_came_second_says_whose_and_when() -> None:
    cause = conflict(record(1, priority=2))
    assert cause.reason is Reason.CONFLICT
    assert cause.sentence == (
        "priority 2: a fix of a at 2026-06-07T00:00:00+00:00 with a lower priority is already "
        "stored"
    )
