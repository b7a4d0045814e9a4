"""Device state: late fixes count and move nothing back; bad clocks and lost satellites neither."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.ingest.state import DeviceStates, Observed
from processor.core.model import Entry, Position, Record

T0 = datetime(2026, 6, 7, 8, tzinfo=UTC)
T0_MS = int(T0.timestamp() * 1000)


def record(
    device: str = "a", at_s: float = 0, received_s: float = 0, satellites: int = 9
) -> Record:
    position = Position(
        device, T0 + timedelta(seconds=at_s), 41.3, 19.8, 10, 90, 50, satellites, 0, "8E", b"{}"
    )
    return Record(Entry(f"{T0_MS + int(received_s * 1000)}-0", {}), position)


def test_a_late_fix_counts_and_moves_nothing_back() -> None:
    states = DeviceStates(cap=10, clock_ahead_ms=60_000)
    newer, late = record(at_s=10), record(at_s=5)
    states.observe([newer, late])
    state = states.get("a")
    assert state is not None
    assert state.position_count_session == 2
    assert state.last_position is newer.position
    assert state.last_seen == newer.position.fixed_at


def test_a_clock_that_runs_ahead_shuts_nobody_out() -> None:
    states = DeviceStates(cap=10, clock_ahead_ms=60_000)
    on_the_edge, ahead = record(at_s=60), record(at_s=60.001)
    states.observe([ahead])
    state = states.get("a")
    assert state is not None
    assert (state.last_seen, state.position_count_session) == (None, 1)
    states.observe([on_the_edge])
    assert state.last_position is on_the_edge.position


def test_a_record_without_satellites_is_no_place() -> None:
    states = DeviceStates(cap=10, clock_ahead_ms=60_000)
    states.observe([record(satellites=0)])
    state = states.get("a")
    assert state is not None
    assert (state.last_position, state.position_count_session) == (None, 1)


def test_the_device_that_was_silent_longest_is_forgotten_first() -> None:
    states = DeviceStates(cap=2, clock_ahead_ms=60_000)
    observed = states.observe([record("a"), record("b"), record("a", 1), record("c")])
    assert observed == Observed(1, ["a", "c"]), "b was forgotten at once: nobody need ask for it"
    assert states.get("b") is None
    assert states.get("a") is not None
    assert len(states) == 2


def test_who_was_not_known_is_named_once_and_learned_of_at_once() -> None:
    states = DeviceStates(cap=2, clock_ahead_ms=60_000)
    assert states.observe([]) == Observed(0)
    assert states.observe([record("a"), record("a", 1), record("b")]) == Observed(0, ["a", "b"])
    assert states.observe([record("b", 1)]) == Observed(0, [])
    assert states.observe([record("c")]) == Observed(1, ["c"])
    assert states.observe([record("a")]) == Observed(1, ["a"]), "evicted, it is unknown again"


def test_what_is_read_back_moves_a_state_forward_only_and_counts_nothing() -> None:
    states = DeviceStates(cap=2, clock_ahead_ms=60_000)
    states.observe([record("a", 5), record("b", satellites=0)])
    for at_s, stays_at_s in [(4, 5), (5, 5), (7, 7), (6, 7)]:
        states.recall(record("a", at_s).position)
        state = states.get("a")
        assert state is not None
        assert state.last_seen == T0 + timedelta(seconds=stays_at_s)
        assert state.last_position is not None
        assert state.last_position.fixed_at == state.last_seen
        assert state.position_count_session == 1
    states.recall(record("b").position)
    state = states.get("b")
    assert state is not None
    assert (state.last_seen, state.position_count_session) == (T0, 1)


def test_what_is_read_back_brings_nobody_back_and_keeps_nobody_longer() -> None:
    states = DeviceStates(cap=2, clock_ahead_ms=60_000)
    states.observe([record("a"), record("b"), record("c")])
    states.recall(record("a", 9).position)
    assert states.get("a") is None
    states.recall(record("b", 9).position)
    states.observe([record("d")])
    assert states.get("b") is None, "it was not heard of again: its turn to be forgotten comes"


events = st.lists(
    st.builds(
        record,
        st.sampled_from("abcde"),
        st.integers(-100, 100),
        st.just(0.0),
        st.integers(0, 2),
    ),
    max_size=60,
)


@given(events, st.lists(st.integers(0, 60)))
def test_batches_change_nothing(given_records: list[Record], cuts: list[int]) -> None:
    """However the records are cut into batches, with room enough, the states are those of a fold
    one by one, and those are the plain maximum."""
    states = DeviceStates(cap=10, clock_ahead_ms=60_000)
    edges = sorted({0, len(given_records), *(c for c in cuts if c < len(given_records))})
    for begin, end in pairwise(edges):
        states.observe(given_records[begin:end])
    for device in "abcde":
        own = [r.position for r in given_records if r.position.device_id == device]
        state = states.get(device)
        if not own:
            assert state is None
            continue
        assert state is not None
        assert state.position_count_session == len(own)
        places = [
            p.fixed_at for p in own if p.satellites and p.fixed_at <= T0 + timedelta(seconds=60)
        ]
        assert state.last_seen == max(places, default=None)
        assert (state.last_position and state.last_position.fixed_at) == state.last_seen


def test_each_fix_is_judged_by_the_time_at_which_its_own_entry_came() -> None:
    states = DeviceStates(cap=10, clock_ahead_ms=60_000)
    early, later = record("a"), record("b", at_s=660, received_s=600)
    states.observe([early, later])
    state = states.get("b")
    assert state is not None
    assert state.last_position is later.position


def test_without_any_room_nothing_would_be_remembered() -> None:
    with pytest.raises(AssertionError):
        DeviceStates(cap=0, clock_ahead_ms=60_000)
    assert DeviceStates(cap=1, clock_ahead_ms=60_000).cap == 1
