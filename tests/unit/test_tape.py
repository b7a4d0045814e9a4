"""The plan of a replay: nothing lost, in the order and at the pace that real traffic has."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.adapters.files.producer import Payload
from processor.adapters.files.tape import OUTAGE_FIXES_MAX, Cue, Tape

START = datetime(2020, 12, 18, 6, 0, tzinfo=UTC)
NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def payload(device_id: str, seconds: float, priority: int = 0) -> Payload:
    instant = START + timedelta(seconds=seconds)
    text = f'{{"timestamp":"{instant.isoformat()}"}}'
    return Payload(device_id, instant, instant.isoformat(), text, priority)


def tape(fixes: int, devices: int = 1, gap_s: float = 2.0) -> Tape:
    return Tape(
        payload(str(device), number * gap_s + device / 10, priority=number % 7 == 3)
        for device in range(devices)
        for number in range(fixes)
    )


def chance() -> random.Random:
    return random.Random(1)


def test_a_plain_plan_is_the_tape_at_speed() -> None:
    cues = list(tape(5).plan(speed=4.0, chance=chance()))
    assert [cue.offset_s for cue in cues] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert [cue.payload for cue in cues] == list(tape(5).payloads)
    assert {cue.offset_s for cue in tape(5).plan(speed=0, chance=chance())} == {0.0}
    assert (tape(5).lasts_s(4.0), tape(5).lasts_s(0)) == (2.0, 0.0)


def test_files_are_merged_by_time() -> None:
    merged = tape(3, devices=2)
    assert [each.device_id for each in merged.payloads] == ["0", "1"] * 3
    assert merged.devices == {"0", "1"}


@given(
    fixes=st.integers(1, 60),
    devices=st.integers(1, 3),
    speed=st.sampled_from([0.0, 0.5, 1.0, 60.0]),
    duplicates=st.sampled_from([0.0, 0.05, 1.0]),
    late=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    disorder=st.sampled_from([0, 1, 30]),
    seed=st.integers(0, 9),
)
def test_every_payload_is_sent_and_time_never_goes_back(
    fixes: int,
    devices: int,
    speed: float,
    duplicates: float,
    late: float,
    disorder: int,
    seed: int,
) -> None:
    recording = tape(fixes, devices)

    def plan() -> list[Cue]:
        return list(
            recording.plan(
                speed=speed,
                duplicates=duplicates,
                late=late,
                disorder=disorder,
                chance=random.Random(seed),
            )
        )

    cues = plan()
    assert cues == plan()
    sent = Counter(cue.payload for cue in cues if cue.kind != "duplicate")
    assert sent == Counter(recording.payloads)
    offsets = [cue.offset_s for cue in cues]
    assert offsets == sorted(offsets)
    first: dict[Payload, int] = {}
    for place, cue in enumerate(cues):
        assert (cue.kind == "duplicate") == (cue.payload in first)
        first.setdefault(cue.payload, place)
    kinds = Counter(cue.kind for cue in cues)
    if duplicates in (0.0, 1.0):
        assert kinds["duplicate"] == duplicates * fixes * devices
    wanted = min(-(-fixes * late // 1), fixes - 1)
    assert kinds["late"] == wanted * devices


def test_duplicates_follow_at_about_the_share_asked_for() -> None:
    kinds = Counter(cue.kind for cue in tape(2000).plan(duplicates=0.05, chance=chance()))
    assert 70 <= kinds["duplicate"] <= 130


def test_what_was_buffered_comes_newest_first_and_high_priority_before_the_rest() -> None:
    cues = list(tape(300).plan(late=0.1, chance=chance()))
    uploads: list[list[Payload]] = []
    for before, cue in pairwise(cues):
        if cue.kind == "late":
            if before.kind == "live":
                uploads.append([])
            uploads[-1].append(cue.payload)
            assert cue.payload.fixed_at < START + timedelta(seconds=cue.offset_s)
    assert sum(map(len, uploads)) == 30
    assert max(map(len, uploads)) > OUTAGE_FIXES_MAX // 2
    for upload in uploads:
        expected = sorted(upload, key=lambda each: (each.priority, each.fixed_at), reverse=True)
        assert upload == expected
    assert any(len({each.priority for each in upload}) == 2 for upload in uploads)


def test_disorder_moves_an_entry_only_so_far() -> None:
    places = [
        int((cue.payload.fixed_at - START).total_seconds() / 2)
        for cue in tape(500).plan(disorder=5, chance=chance())
    ]
    assert places != sorted(places)
    assert max(abs(place - is_at) for is_at, place in enumerate(places)) <= 5


@pytest.mark.parametrize("speed", [0.0, 0.25, 1.0, 10.0])
def test_moved_to_now_no_fix_is_ahead_of_the_clock_when_sent(speed: float) -> None:
    moved = tape(50).moved_to(NOW, speed)
    ahead = [
        cue.payload.fixed_at - (NOW + timedelta(seconds=cue.offset_s))
        for cue in moved.plan(speed=speed, chance=chance())
    ]
    assert max(ahead) == timedelta(0)
    assert moved.ends_at - moved.starts_at == tape(50).ends_at - tape(50).starts_at


def test_a_tape_that_no_calendar_reaches_is_said() -> None:
    with pytest.raises(OverflowError):
        tape(2).moved(timedelta(days=3_000_000))
