"""Timing of driven tracks: crossings and timing together, against what was driven."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from processor.adapters.files.rules_toml import read_rules
from processor.domain.course import Course, Entry, EntryStatus, Kind, Object, Stage
from processor.domain.crossings import Ground
from processor.domain.instants import SECOND
from processor.domain.model import Track
from processor.domain.outcome import ResultStatus
from processor.domain.results import stage_result
from processor.domain.rules import Rules, Settings
from processor.domain.scoring import score
from processor.domain.timesheet import StageSheet
from processor.domain.timing import time_stage
from tests.driving import START, course, disc, gate, seconds, track

RULES = Path(__file__).parents[3] / "examples" / "rules"
CROSS_COUNTRY = read_rules(RULES / "cross-country.toml")

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


def test_a_line_shows_the_fixes_the_object_and_the_sum() -> None:
    start, first, missed, split, finish = timed(track(eastwards())).segments[0].records
    told = [(f["at"][11:], f["speed_kmh"]) for f in finish.explanation["fixes"]]  # type: ignore[attr-defined]
    assert told in (
        [("08:04:59.000000Z", 72.0), ("08:05:00.000000Z", 72.0)],
        [("08:05:00.000000Z", 72.0), ("08:05:01.000000Z", 72.0)],
    )
    gate_told = finish.explanation["object"]
    assert (gate_told["id"], gate_told["kind"], gate_told["direction_deg"]) == ("F", "finish", 90)  # type: ignore[index]
    assert gate_told["geometry"]["type"] == "LineString"  # type: ignore[index]
    sum_of = finish.explanation["arithmetic"]
    assert sum_of["interpolation"] == "cubic"  # type: ignore[index]
    assert sum_of["metres_between_fixes"] == pytest.approx(20, abs=0.01)  # type: ignore[index]
    assert sum_of["mean_kmh"] == 72.0  # type: ignore[index]
    assert first.explanation["object"]["radius_m"] == 90  # type: ignore[index]
    assert len(start.explanation["fixes"]) == len(split.explanation["fixes"]) == 2  # type: ignore[arg-type]
    # W2 stands beside 2000 m, which are driven at 200 s: its nearest chord.
    near = [f["at"][11:19] for f in missed.explanation["fixes"]]  # type: ignore[attr-defined]
    assert near in (["08:03:19", "08:03:20"], ["08:03:20", "08:03:21"])
    assert missed.explanation["arithmetic"]["nearest_m"] == missed.distance_m  # type: ignore[index]
    json.dumps([line.explanation for line in (start, first, missed, split, finish)])


@pytest.mark.parametrize(("count", "passed"), [(10, 0), (10, 1), (10, 4), (10, 5), (1, 0)])
def test_who_misses_most_of_the_waypoints_did_not_finish(count: int, passed: int) -> None:
    waypoints = [
        Object(f"W{n}", Kind.WPM, disc(300 * n, 0 if n <= passed else 900, 90), sort_order=n)
        for n in range(1, count + 1)
    ]
    of = course(COURSE.stages[0].segments[0].objects[0], *waypoints,
                COURSE.stages[0].segments[0].objects[-1], start="S", finish="F")  # fmt: skip
    scored = score(of, [Entry("301")], {"301": [track(eastwards())]}, CROSS_COUNTRY)
    (result,) = scored.results
    assert (result.status, result.position) == (ResultStatus.DID_NOT_FINISH, None)
    (judged,) = scored.judged
    missed = [p.penalty_seconds for p in judged.penalties if p.type == "missed-waypoint"]
    assert missed == [900] * (count - passed)
    assert (result.provisional, result.waiting_for) == (False, ())
    half = 2 * passed >= count
    assert [r.what for r in judged.reviews] == ([] if half else ["finish-out-of-order"])


def test_who_retired_keeps_what_he_finished_before() -> None:
    again = evolve(COURSE.stages[0].segments[0], id="SS2", objects=tuple(
        evolve(o, id=f"{o.id}2") for o in COURSE.stages[0].segments[0].objects
    ), start="S2", finish="F2")  # fmt: skip
    hour = START + 3600 * SECOND
    stages = (
        evolve(COURSE.stages[0], ends_at=hour - SECOND),
        Stage("SS2", (again,), starts_at=hour),
        Stage("SS3", (evolve(again, id="SS3", objects=(), start=None, finish=None),),
              starts_at=2 * hour - START),
    )  # fmt: skip
    retired = Entry("301", status=EntryStatus.RETIRED)
    once = list(eastwards())
    twice = [*once, *((second + 3600, *rest) for second, *rest in once)]
    found = {}
    for name, driven in (("once", once), ("twice", twice)):
        scored = score(Course("", stages), [retired], {"301": [track(driven)]}, Rules("v"))
        found[name] = [result.status.value for result in scored.results]
    assert found == {
        "once": ["did-not-finish"] * 3,
        "twice": ["finished", "did-not-finish", "did-not-finish"],
    }


def test_many_gaps_and_many_missed_objects_are_no_work() -> None:
    things = [Object(f"W{n}", Kind.WPM, disc(20 * n, 30_000, 90), sort_order=n)
              for n in range(1, 61)]  # fmt: skip
    ends = COURSE.stages[0].segments[0].objects
    far = course(ends[0], *things, ends[-1], start="S", finish="F")
    rows = [(65.0 * n, 1000.0 * (n % 2), 0.0) for n in range(2000)]
    rows += [(130_001.0 + t, 1000 + 20.0 * t, 0.0) for t in range(170)]
    ground = Ground(far, Settings())
    seen = [ground.evidence(track(rows))]
    began = time.process_time()
    own = time_stage(far.stages[0], Entry("301"), seen, ground, Settings()).segments[0]
    assert time.process_time() - began < 2  # by each gap for each object it was 6 s
    assert {v.status for v in own.validations} == {"missed"}


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
