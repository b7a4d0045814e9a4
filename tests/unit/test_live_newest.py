"""The newest fix of each device, and what becomes of the others."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from processor.core.live.messages import epoch_ms
from processor.core.live.newest import NewestFixes, Use
from processor.core.model import PANIC, Position

AT = datetime(2026, 6, 7, 8, tzinfo=UTC)
AT_MS = epoch_ms(AT)
AHEAD_MS = 60_000


def fix(seconds: float = 0, **values: Any) -> Position:
    at = AT + timedelta(seconds=seconds)
    usual = Position("1", at, 41.5, 19.25, 3.0, 271.0, 63.5, 9, 0, "8E", b"{}")
    return msgspec.structs.replace(usual, **values)


def fixes(cap: int = 10) -> NewestFixes:
    return NewestFixes(cap, AHEAD_MS)


def test_the_first_fix_of_a_device_is_new_and_known() -> None:
    newest = fixes()
    assert newest.get("1") is None
    assert newest.instant("1") is None
    assert newest.learn(fix(), AT_MS) is Use.NEW
    assert newest.get("1") == fix()
    assert newest.instant("1") == AT


def test_only_what_is_newer_than_all_before_is_new() -> None:
    newest = fixes()
    uses = [newest.learn(fix(seconds), AT_MS) for seconds in (5, 4, 5, 6, 5.5)]
    assert uses == [Use.NEW, Use.OLDER, Use.OLDER, Use.NEW, Use.OLDER]
    assert newest.get("1") == fix(6)


def test_devices_do_not_compare_with_one_another() -> None:
    newest = fixes()
    newest.learn(fix(5), AT_MS)
    assert newest.learn(fix(4, device_id="2"), AT_MS) is Use.NEW


def test_a_second_fix_within_a_millisecond_is_not_newer_for_the_wire_cannot_tell_them_apart() -> (
    None
):
    newest = fixes()
    newest.learn(fix(0.0001), AT_MS)
    assert newest.learn(fix(0.0009), AT_MS) is Use.OLDER
    assert newest.learn(fix(0.0010), AT_MS) is Use.NEW


@pytest.mark.parametrize("priority", [0, PANIC])
def test_a_fix_without_satellites_is_no_fix_whatever_its_priority(priority: int) -> None:
    newest = fixes()
    assert newest.learn(fix(satellites=0, priority=priority), AT_MS) is Use.NO_FIX
    assert newest.instant("1") is None


def test_ahead_is_judged_by_the_time_at_which_the_stream_took_the_fix() -> None:
    newest = fixes()
    assert newest.learn(fix(60.001), AT_MS) is Use.AHEAD
    assert newest.get("1") is None
    assert newest.learn(fix(60), AT_MS) is Use.NEW
    assert newest.learn(fix(3600), AT_MS + 3_540_000) is Use.NEW


def test_a_fix_ahead_does_not_shut_out_the_honest_ones_that_follow() -> None:
    newest = fixes()
    newest.learn(fix(600), AT_MS)
    assert newest.learn(fix(1), AT_MS + 1000) is Use.NEW


def test_the_device_that_was_silent_longest_is_forgotten_first() -> None:
    newest = fixes(cap=2)
    newest.learn(fix(device_id="a"), AT_MS)
    newest.learn(fix(device_id="b"), AT_MS)
    newest.learn(fix(-5, device_id="a"), AT_MS)  # older, and yet a sign of life
    newest.learn(fix(device_id="c"), AT_MS)
    assert len(newest) == 2
    assert newest.get("b") is None
    assert newest.get("a") == fix(device_id="a")


def test_a_faulty_fix_is_disowned_and_its_instant_stays() -> None:
    newest = fixes()
    newest.learn(fix(5), AT_MS)
    newest.disown("1", AT + timedelta(seconds=5))
    assert newest.get("1") is None
    assert newest.instant("1") == AT + timedelta(seconds=5)
    assert newest.learn(fix(5), AT_MS) is Use.OLDER, "browsers have seen it"
    assert newest.learn(fix(6), AT_MS) is Use.NEW
    assert newest.get("1") == fix(6)


def test_an_older_fix_that_is_faulty_disowns_nothing() -> None:
    newest = fixes()
    newest.learn(fix(5), AT_MS)
    newest.disown("1", AT)
    newest.disown("2", AT)
    assert newest.get("1") == fix(5)
    assert len(newest) == 1
