"""The laws of design/racing.md on whole courses: what may change a result, and what must not."""

from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.domain.course import (
    Area,
    Course,
    Entry,
    Kind,
    Object,
    Segment,
    SegmentType,
    Stage,
)
from processor.domain.instants import SECOND
from processor.domain.model import Track
from processor.domain.rules import Formula, Offence, Operator, Rules
from processor.domain.scoring import Scored, score
from processor.domain.stages import Judged
from processor.domain.timesheet import SegmentSheet
from tests.driving import START, area, disc, gate, track

pytestmark = pytest.mark.slow  # whole courses, hundreds of them: not with every commit

HALF = START + 300 * SECOND


def _wedge(at: float) -> Area:
    return area((20, at - 15), (50, at - 15), (35, at + 20))


def segment(name: str, at: float, **more: object) -> Segment:
    """A start, two waypoints and a finish within 120 m, `at` metres to the north."""
    things = (
        Object(f"{name}-S", Kind.START, disc(-80, at, 20)),
        Object(f"{name}-1", Kind.WPM, disc(-20, at + 10, 15), sort_order=1),
        Object(f"{name}-2", Kind.WPM, _wedge(at), sort_order=2),
        Object(f"{name}-F", Kind.FINISH, gate((80, at - 40), (80, at + 40), 90)),
    )  # fmt: skip
    ends = {"start": f"{name}-S", "finish": f"{name}-F"}
    return Segment(name, SegmentType.SPECIAL_STAGE, things, **ends, **more)  # type: ignore[arg-type]


COURSE = Course(
    "laws",
    (
        Stage("A", (segment("A1", 0), segment("A2", 60)), starts_at=START, ends_at=HALF),
        Stage("B", (segment("B1", 0),), starts_at=HALF + SECOND, ends_at=HALF + 600 * SECOND),
    ),
)
ENTRIES = (Entry("e1", "c1", 1), Entry("e2", "c1", 2), Entry("e3", "c2", 3))
ROWS = (Formula("missed", Offence.MISSED_WAYPOINT, Operator.ADD, penalty=Decimal(900)),)
RULES = Rules("laws", ROWS)

STEPS = st.tuples(
    st.sampled_from([0.5, 1, 1, 2, 5, 20, 65]),
    st.sampled_from([-80, -50, -20, 0, 30, 35, 60, 79, 81, 110]),
    st.sampled_from([-20, 0, 8, 10, 55, 60, 70]),
)


@st.composite
def drives(draw: st.DrawFn) -> Track:
    now, points = draw(st.sampled_from([0.0, 200.0, 290.0])), []
    for wait, east, north in draw(st.lists(STEPS, min_size=1, max_size=30)):
        now += wait
        points.append((now, float(east), float(north)))
    return track(points, draw(st.sampled_from(["d1", "d2"])))


fields = st.fixed_dictionaries({entry.id: drives() for entry in ENTRIES})


def whole(tracks: dict[str, Track], rules: Rules = RULES) -> Scored:
    return score(COURSE, ENTRIES, {name: [t] for name, t in tracks.items()}, rules)


def by_segment(judged: tuple[Judged, ...]) -> dict[tuple[str, str], SegmentSheet]:
    return {
        (one.sheet.entry.id, sheet.segment.id): sheet
        for one in judged
        for sheet in one.sheet.segments
    }


def told(scored: Scored) -> tuple[object, ...]:
    crossings = {name: [e.crossings for e in of] for name, of in scored.evidence.items()}
    return crossings, scored.judged, scored.results, scored.totals


@given(fields, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_convergence_the_order_of_anything_is_no_matter(tracks: dict[str, Track], chance):
    shuffled = {}
    for name in chance.sample(sorted(tracks), len(tracks)):
        one = tracks[name]
        fixes = [one.fix(k) for k in range(len(one))]
        fixes += chance.sample(fixes, len(fixes) // 2)
        chance.shuffle(fixes)
        shuffled[name] = [Track.of(one.device_id, fixes)]
    entries = chance.sample(ENTRIES, len(ENTRIES))
    assert told(score(COURSE, entries, shuffled, RULES)) == told(whole(tracks))


@given(fields, drives())
@settings(max_examples=60, deadline=None)
def test_window_law_what_one_drives_changes_nobody_else(tracks: dict[str, Track], other: Track):
    before, after = whole(tracks), whole({**tracks, "e1": other})
    for one, then in zip(before.judged, after.judged, strict=True):
        if one.sheet.entry.id != "e1":
            assert one == then


@given(fields, st.data())
@settings(max_examples=100, deadline=None)
def test_window_law_segments_without_a_changed_pass_or_fix_stay(
    tracks: dict[str, Track], data: st.DataObject
):
    one = tracks["e1"]
    first = data.draw(st.integers(0, len(one) - 1))
    last = data.draw(st.integers(first, len(one) - 1))
    kept = [one.fix(k) for k in range(len(one)) if not first <= k <= last]
    before, after = whole(tracks), whole({**tracks, "e1": Track.of(one.device_id, kept)})
    was, now = by_segment(before.judged), by_segment(after.judged)
    passes = [scored.evidence["e1"][0].passes for scored in (before, after)]
    # What lies between two fixes (a chord, a gap) changes with either of them.
    ends = max(first - 1, 0), min(last + 1, len(one) - 1)
    changed_at = range(int(one.at[ends[0]]), int(one.at[ends[1]]) + 1)
    for stage in COURSE.stages:
        earlier_same = True
        for part in stage.segments:
            one_sheet, other = was["e1", part.id], now["e1", part.id]
            same_passes = all(
                passes[0].get(o.id, ()) == passes[1].get(o.id, ()) for o in part.objects
            )
            touched = any(
                (s.since is None or s.since <= changed_at[-1])
                and (s.until is None or changed_at[0] <= s.until)
                for s in (one_sheet, other)
            )
            if earlier_same and same_passes and not touched:
                assert _without_waiting(one_sheet) == _without_waiting(other)
            earlier_same = earlier_same and one_sheet == other


def _without_waiting(sheet: SegmentSheet) -> SegmentSheet:
    """Whether a later fix has come is about what comes after the segment."""
    records = tuple(evolve(record, explanation={}) for record in sheet.records)
    return evolve(sheet, provisional=False, waiting_for=(), records=records)


@given(fields)
@settings(max_examples=60, deadline=None)
def test_bounded_what_counts_lies_in_the_window_of_its_segment(tracks: dict[str, Track]):
    for sheet in by_segment(whole(tracks).judged).values():
        instants = [v.at for v in sheet.validations if v.at is not None]
        instants += [at for at in (sheet.finish_at,) if at is not None]
        for at in instants:
            assert sheet.since is None or sheet.since <= at
            assert sheet.until is None or at <= sheet.until
        assert instants == sorted(instants)


@given(fields)
@settings(max_examples=60, deadline=None)
def test_explained_every_line_and_every_penalty_says_why(tracks: dict[str, Track]):
    for one in whole(tracks).judged:
        for sheet in one.sheet.segments:
            for record in sheet.records:
                assert record.explanation["text"]
        for penalty in one.penalties:
            assert penalty.explanation["text"]
            assert penalty.computed_seconds == penalty.penalty_seconds


@given(fields)
@settings(max_examples=60, deadline=None)
def test_ranks_follow_totals_and_nothing_else(tracks: dict[str, Track]):
    for stage in COURSE.stages:
        results = [r for r in whole(tracks).results if r.stage_id == stage.id]
        ranked = [r for r in results if r.position is not None]
        for result in ranked:
            assert result.status == "finished"
            faster = sum(r.total_ms < result.total_ms for r in ranked)  # type: ignore[operator]
            assert result.position == 1 + faster
            of_class = [r for r in ranked if r.class_id == result.class_id]
            assert result.class_position == 1 + sum(
                r.total_ms < result.total_ms for r in of_class  # type: ignore[operator]
            )  # fmt: skip
