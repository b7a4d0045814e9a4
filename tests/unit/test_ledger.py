"""The ledger: nothing twice in hand, nothing acknowledged that is not durable, within the cap."""

import pytest

from processor.core.ingest.ledger import Ledger
from processor.core.model import Entry


def entry(entry_id: str) -> Entry:
    return Entry(entry_id, {})


def test_an_entry_in_hand_is_not_admitted_again() -> None:
    ledger = Ledger(cap=10)
    assert [e.id for e in ledger.admit([entry("1-0"), entry("2-0")], 0.0)] == ["1-0", "2-0"]
    assert [e.id for e in ledger.admit([entry("2-0"), entry("3-0")], 0.0)] == ["3-0"]
    ledger.settle(["2-0"])
    assert not ledger.admit([entry("2-0")], 0.0), "settled but not released is still in hand"


def test_what_was_released_may_come_again() -> None:
    ledger = Ledger(cap=10)
    ledger.admit([entry("1-0")], 0.0)
    ledger.settle(["1-0"])
    ledger.release(["1-0"])
    assert ledger.in_flight == 0
    assert ledger.admit([entry("1-0")], 0.0)


def test_releasing_what_is_not_settled_crashes() -> None:
    ledger = Ledger(cap=10)
    ledger.admit([entry("1-0")], 0.0)
    with pytest.raises(AssertionError, match="not durable"):
        ledger.release(["1-0"])


def test_settling_what_was_never_admitted_crashes() -> None:
    with pytest.raises(AssertionError, match="not worked on"):
        Ledger(cap=10).settle(["1-0"])


def test_room_shrinks_until_release() -> None:
    ledger = Ledger(cap=2)
    ledger.admit([entry("1-0"), entry("2-0"), entry("3-0")], 0.0)
    assert ledger.room == 0
    ledger.settle(["1-0", "2-0"])
    assert ledger.room == 0
    ledger.release(["1-0", "2-0"])
    assert ledger.room == 1


def test_what_is_worked_on_since_before_a_time_is_told_the_oldest_first() -> None:
    ledger = Ledger(cap=10)
    ledger.admit([entry("9-0"), entry("3-0")], 1.0)
    ledger.admit([entry("5-0"), entry("9-0")], 2.0)
    ledger.settle(["3-0"])
    assert ledger.working_since(1.0) == []
    assert ledger.working_since(1.5) == ["9-0"]
    assert ledger.working_since(9.0) == ["9-0", "5-0"]


def test_without_any_room_nothing_would_ever_come_in() -> None:
    with pytest.raises(AssertionError):
        Ledger(cap=0)
    assert Ledger(cap=1).room == 1
