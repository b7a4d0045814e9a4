"""The assignment of passes to objects, against all assignments there are."""

import time
from collections.abc import Iterator, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.domain.assignment import EVER, NEVER, Held, Stay, assign
from processor.domain.model import Pass

Spans = list[tuple[int, int]]


def stays(course: Sequence[Spans]) -> list[list[Stay]]:
    return [
        [
            Stay(since, until, Pass("d", f"W{index}", number, since, None, None))
            for number, (since, until) in enumerate(own, start=1)
        ]
        for index, own in enumerate(course, start=1)
    ]


def instants(held: Sequence[Held | None]) -> list[int | None]:
    return [None if one is None else one.at for one in held]


def every_way(
    course: Sequence[Sequence[Stay]], now: int, until: int, index: int = 0
) -> Iterator[tuple[tuple[int, int], ...]]:
    """All in-order assignments, as (instant, object) of what they hold."""
    if index == len(course):
        yield ()
        return
    yield from every_way(course, now, until, index + 1)
    for stay in course[index]:
        at = max(now, stay.since)
        if at <= stay.until and at <= until:
            for rest in every_way(course, at, until, index + 1):
                yield ((at, index), *rest)


def best(course: Sequence[Sequence[Stay]], since: int, until: int) -> tuple[tuple[int, int], ...]:
    """By the words of the rule: most objects, smallest instants, earlier objects."""
    return min(
        every_way(course, since, until),
        key=lambda way: (-len(way), [at for at, _ in way], [index for _, index in way]),
    )


def visits(draw: st.DrawFn) -> Spans:
    edges = sorted(draw(st.lists(st.integers(0, 24), max_size=6, unique=True)))
    found = list(zip(edges[::2], edges[1::2], strict=False))
    if draw(st.booleans()):  # a gate is crossed in one instant
        found = [(since, since) for since, _ in found]
    if found and draw(st.booleans()):
        found[-1] = (found[-1][0], NEVER)
    return found


@st.composite
def courses(draw: st.DrawFn) -> list[list[Stay]]:
    return stays([visits(draw) for _ in range(draw(st.integers(0, 5)))])


@settings(max_examples=300, deadline=None)
@given(courses(), st.integers(-1, 10), st.integers(8, 26))
def test_it_is_the_best_of_all_assignments(
    course: list[list[Stay]], since: int, until: int
) -> None:
    held = assign(course, since, until)
    found = tuple((one.at, index) for index, one in enumerate(held) if one is not None)
    assert found == best(course, since, until)


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_best_of_all_assignments_of_the_same_courses_every_day(seed: int) -> None:
    chance = Random(seed)
    for _ in range(5):
        course: list[Spans] = []
        for _ in range(chance.randint(1, 5)):
            edges = sorted(chance.sample(range(25), 2 * chance.randint(0, 3)))
            own = list(zip(edges[::2], edges[1::2], strict=True))
            if chance.random() < 0.3:
                own = [(since, since) for since, _ in own]
            elif own and chance.random() < 0.3:
                own[-1] = (own[-1][0], NEVER)
            course.append(own)
        since, until = chance.randint(-1, 10), chance.randint(8, 26)
        held = assign(stays(course), since, until)
        found = tuple((one.at, index) for index, one in enumerate(held) if one is not None)
        assert found == best(stays(course), since, until)
        for own, one in zip(stays(course), held, strict=True):
            if one is not None:
                assert any(stay.used == one.used and stay.since <= one.at for stay in own)


@settings(max_examples=100, deadline=None)
@given(courses())
def test_what_holds_an_object_is_a_stay_of_its_own_that_lasts_at_that_instant(
    course: list[list[Stay]],
) -> None:
    for own, one in zip(course, assign(course), strict=True):
        if one is not None:
            stay = next(stay for stay in own if stay.used is one.used)
            assert stay.since <= one.at <= stay.until


@settings(max_examples=100, deadline=None)
@given(courses(), st.data())
def test_leaving_out_a_pass_that_was_not_used_changes_nothing(
    course: list[list[Stay]], data: st.DataObject
) -> None:
    held = assign(course)
    used = [one.used for one in held if one is not None]
    idle = [stay for own in course for stay in own if stay.used not in used]
    if idle:
        gone = data.draw(st.sampled_from(idle))
        assert assign([[s for s in own if s is not gone] for own in course]) == held


def test_where_nothing_is_to_be_passed_nothing_is_held() -> None:
    assert assign([]) == ()


def test_turning_back_for_a_waypoint_is_free() -> None:
    # W2 was passed on the way out, W1 after turning back, W2 again.
    assert instants(assign(stays([[(20, 21)], [(10, 11), (30, 31)]]))) == [20, 30]


def test_a_later_disc_on_the_way_out_harms_nobody() -> None:
    assert instants(assign(stays([[(10, 11)], [(20, 21)], [(5, 6), (30, 31)]]))) == [10, 20, 30]


def test_of_equals_the_earliest_instants_count_though_they_are_of_later_objects() -> None:
    assert instants(assign(stays([[(10, 11)], [(5, 6)], [(20, 21)]]))) == [None, 5, 20]


def test_of_one_instant_the_earlier_object_counts() -> None:
    assert instants(assign(stays([[(5, 5)], [(5, 5)]]))) == [5, 5]
    assert instants(assign(stays([[(5, 9)], [(5, 5)], [(4, 4), (6, 6)]]))) == [5, 5, 6]


def test_a_visit_still_open_counts_from_when_the_one_before_counts() -> None:
    assert instants(assign(stays([[(10, 12)], [(8, 11)]]))) == [10, 10]
    assert instants(assign(stays([[(10, 12)], [(8, 9)]]))) == [None, 8]


@pytest.mark.parametrize(
    ("since", "until", "found"), [(EVER, NEVER, 5), (6, NEVER, 6), (10, 9, None)]
)
def test_nothing_outside_the_bounds_counts(since: int, until: int, found: int | None) -> None:
    assert instants(assign(stays([[(5, 8)]]), since, until)) == [found]


def test_thousands_of_objects_are_no_work() -> None:
    # Each visit lasts while forty others begin, and half of the objects come too early, too.
    early = [[(n - 10_000, n - 9_999)] if n % 2 else [] for n in range(4000)]
    course = stays([[*before, (n, n + 40)] for n, before in enumerate(early)])
    began = time.process_time()
    held = assign(course)
    assert time.process_time() - began < 2  # 0.07 s; by the square of them it was 12 s
    assert instants(held) == list(range(4000))


def test_sixty_objects_passed_many_times_are_no_work() -> None:
    course = stays([[(lap * 1000 + n, lap * 1000 + n + 1) for lap in range(50)] for n in range(60)])
    assert instants(assign(course)) == list(range(60))
