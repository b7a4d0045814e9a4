"""Timing of driven tracks: crossings and timing together, against what was driven."""

from collections.abc import Iterator

import pytest

from processor.domain.course import Entry, Kind, Object
from processor.domain.crossings import Ground
from processor.domain.model import Track
from processor.domain.results import stage_result
from processor.domain.rules import Settings
from processor.domain.timesheet import StageSheet
from processor.domain.timing import time_stage
from tests.driving import course, disc, gate, seconds, track

COURSE = course(
    Object("S", Kind.START, disc(0, 0, 50)),
    Object("W1", Kind.WPM, disc(1000, 0, 90), sort_order=1),
    Object("W2", Kind.WPM, disc(2000, 150, 90), sort_order=2),
    Object("C", Kind.CHECKPOINT, gate((3000, -40), (3000, 40), 90), sort_order=3),
    Object("F", Kind.FINISH, gate((4000, -40), (4000, 40), 90)),
    start="S",
    finish="F",
)


def eastwards(silent_from: float = 0, silent_to: float = 0) -> Iterator[tuple[float, ...]]:
    """20 m/s due east at 1 Hz, from the middle of the start at 100 s, after standing there."""
    for second in range(320):
        if not silent_from < second < silent_to:
            yield second, max(0.0, (second - 100) * 20.0), 0.0, 72.0 if second > 100 else 0.0


def timed(driven: Track) -> StageSheet:
    ground = Ground(COURSE, Settings())
    return time_stage(COURSE.stages[0], Entry("301"), [ground.evidence(driven)], ground, Settings())


def test_a_drive_of_constant_speed_is_timed_to_milliseconds() -> None:
    own = timed(track(eastwards())).segments[0]
    assert own.start_at is not None
    assert own.finish_at is not None
    assert seconds(own.start_at) == pytest.approx(102.5, abs=0.005)
    assert seconds(own.finish_at) == pytest.approx(300, abs=0.005)
    assert [(v.status, v.distance_m) for v in own.validations] == [
        ("ok", None),
        ("missed", pytest.approx(60, abs=0.01)),
        ("ok", None),
    ]
    assert own.waiting_for == ()
    assert stage_result(timed(track(eastwards())), []).elapsed_ms == 197_000


def test_a_silent_tracker_leaves_unknown_what_it_could_have_passed() -> None:
    own = timed(track(eastwards(silent_from=140, silent_to=205))).segments[0]
    assert [v.status for v in own.validations] == ["unverified", "unverified", "ok"]
    assert own.waiting_for == ("unverified-object", "gap")
    assert seconds(own.finish_at or 0) == pytest.approx(300, abs=0.005)


def test_a_tracker_slower_than_a_gap_can_still_miss_what_is_out_of_its_reach() -> None:
    """A fix each 65 s: in one silence it gets 4.5 km far, in all of them together anywhere."""
    far = course(
        Object("S", Kind.START, gate((200, -90), (200, 90), 90)),
        Object("W", Kind.WPM, disc(6000, 9000, 90), sort_order=1),
        Object("F", Kind.FINISH, gate((12000, -90), (12000, 90), 90)),
        start="S",
        finish="F",
    )
    close = [(second, second * 20.0, 0.0) for second in range(30)]
    slow = [(second, second * 20.0, 0.0) for second in range(30, 590, 65)]
    end = [(second, second * 20.0, 0.0) for second in range(590, 640)]
    ground = Ground(far, Settings())
    found = ground.evidence(track([*close, *slow, *end]))
    own = time_stage(far.stages[0], Entry("301"), [found], ground, Settings()).segments[0]
    assert [(v.object.id, v.status) for v in own.validations] == [("W", "missed")]
