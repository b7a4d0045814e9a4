"""Visits: which way out counts, until when it is awaited, what a gap leaves of it, and its name."""

from uuid import uuid5

import pytest

from processor.domain.course import Shape
from processor.domain.crossings import Known, Scan
from processor.domain.model import Pass, Track
from processor.domain.rules import Settings
from processor.domain.visits import VISITS
from tests.driving import DEVICE, area, disc, ground, seconds, track

DISC = disc(0, 0, 50)
SQUARE = area((-50, -50), (50, -50), (50, 50), (-50, 50))
shapes = pytest.mark.parametrize("shape", [DISC, SQUARE])


def east(*metres: float) -> Track:
    """A fix a second, so many metres east of the middle."""
    return track([(k, away, 0) for k, away in enumerate(metres)])


def scan(shape: Shape, driven: Track, settings: Settings | None = None) -> Scan:
    return ground({"W": shape}, settings).scan(driven, Known())


def pending(shape: Shape, driven: Track) -> tuple[tuple[int, int], ...]:
    """In which fixes an exit was awaited."""
    return tuple(scan(shape, driven).pending["W"])


def crossings(shape: Shape, driven: Track) -> list[tuple[str, float, bool]]:
    found = ground({"W": shape}).evidence(driven).crossings
    return [(c.kind, round(seconds(c.at), 2), c.provisional) for c in found]


# -- until when an exit is awaited -----------------------------------------------------------------


@shapes
@pytest.mark.parametrize("far", [1, 3])
@pytest.mark.parametrize("fixes", [1, 2, 3, 4, 5, 6, 8, 9, 20])
def test_an_exit_is_awaited_until_the_first_far_fix(shape: Shape, fixes: int, far: int):
    driven = east(0, 40, *[55] * fixes, *[80 + k for k in range(far)])
    assert pending(shape, driven) == ((2, 1 + fixes),)
    assert crossings(shape, driven) == [("exit", 1.67, False)]


@shapes
def test_nothing_is_awaited_of_who_is_far_at_once(shape: Shape):
    assert pending(shape, east(0, 40, 80, 90)) == ()
    assert crossings(shape, east(0, 40, 80, 90)) == [("exit", 1.25, False)]


@shapes
@pytest.mark.parametrize("fixes", [1, 7])
def test_an_exit_is_awaited_for_ever_of_who_stays_near(shape: Shape, fixes: int):
    driven = east(0, 40, *[55] * fixes)
    assert pending(shape, driven) == ((2, 1 + fixes),)
    assert crossings(shape, driven) == []


@shapes
@pytest.mark.parametrize("fixes", [0, 1, 3, 4, 7])
def test_a_return_takes_an_exit_back(shape: Shape, fixes: int):
    driven = east(0, 40, *[55] * (fixes + 1), 40, 80, 100)
    assert pending(shape, driven) == ((2, 2 + fixes),)
    assert crossings(shape, driven) == [("exit", round(fixes + 3 + 0.25, 2), False)]


@shapes
def test_who_was_far_and_comes_back_has_two_visits(shape: Shape):
    driven = east(0, 40, 55, 80, 55, 40, 20, 55, 80)
    assert crossings(shape, driven) == [
        ("exit", 1.67, False),
        ("enter", 4.33, False),
        ("exit", 6.86, False),
    ]
    assert pending(shape, driven) == ((2, 2), (7, 7))


@shapes
@pytest.mark.parametrize("fixes", [1, 4, 7])
def test_a_fix_as_far_as_the_hysteresis_confirms_nothing(shape: Shape, fixes: int):
    driven = east(0, 40, *[55] * fixes, 58, 58)
    figures = ground({"W": shape}).figures
    away_m = round(float(figures.distances(0, scan(shape, driven).drive.points)[-1]), 3)
    believed = Settings(hysteresis_m=away_m - 0.001)
    assert len(ground({"W": shape}, believed).evidence(driven).crossings) == 1
    assert ground({"W": shape}, Settings(hysteresis_m=away_m)).evidence(driven).crossings == ()


def test_notches_cut_by_one_chord_are_one_visit_and_its_exit_the_third_of_the_chord():
    notched = area(
        (0, -20), (100, -20),
        (100, 20), (80, 20), (80, -5), (70, -5), (70, 20),
        (40, 20), (40, -5), (30, -5), (30, 20), (0, 20),
    )  # fmt: skip
    through = track([(0, -20, 0), (3, 120, 0)])
    (only,) = ground({"A": notched}).evidence(through).passes["A"]
    assert only.enter is not None
    assert only.exit is not None
    assert (only.enter.ordinal, only.exit.ordinal) == (0, 2)
    assert pending(notched, through) == ()


def test_what_was_far_before_a_visit_confirms_no_exit_of_it():
    driven = track([(0, -80, 0), (2, 0, 0), (4, 55, 0), (6, 55, 0)])
    assert crossings(DISC, driven) == [("enter", 0.75, False)]


@shapes
def test_who_goes_back_through_it_after_waiting_beside_it_has_one_visit(shape: Shape):
    waits = [(k, east, 0) for k, east in enumerate([0, 40, *[55] * 7])]
    driven = track([*waits, (11, -80, 0), (12, -100, 0)])
    assert crossings(shape, driven) == [("exit", 10.33, False)]


# -- gaps ------------------------------------------------------------------------------------------


def silent(*points: tuple[float, float]) -> Track:
    """Of (seconds, metres east); more than 60 s are a gap."""
    return track([(at, away, 0) for at, away in points])


@shapes
def test_inside_behind_a_gap_takes_a_pending_exit_back(shape: Shape):
    driven = silent((0, 0), (1, 40), (2, 55), (100, 40), (101, 80), (102, 100))
    assert crossings(shape, driven) == [("exit", 100.25, False)]
    assert pending(shape, driven) == ((2, 2),)


@shapes
def test_far_outside_behind_a_gap_a_pending_exit_counts_and_stays_provisional(shape: Shape):
    driven = silent((0, 0), (1, 40), (2, 55), (100, 80), (101, 100))
    assert crossings(shape, driven) == [("exit", 1.67, True)]
    assert pending(shape, driven) == ((2, 2),)


@shapes
def test_near_behind_a_gap_an_exit_goes_on_pending(shape: Shape):
    driven = silent((0, 0), (1, 40), (2, 55), (100, 56), (101, 80))
    assert crossings(shape, driven) == [("exit", 1.67, False)]
    assert pending(shape, driven) == ((2, 3),)


@shapes
def test_where_a_car_was_before_it_left_does_not_say_that_it_is_far(shape: Shape):
    driven = silent((0, 0), (1, 55), (100, 56), (101, 80))
    assert crossings(shape, driven) == [("exit", 0.91, False)]


@shapes
def test_an_enter_in_a_gap_is_of_its_object(shape: Shape):
    found = ground({"W": shape}).evidence(silent((0, -80), (100, 0), (101, 10)))
    (enter,) = found.crossings
    assert found.passes["W"][0].since == enter.at
    assert (enter.object_id, enter.kind, enter.provisional) == ("W", "enter", True)
    assert seconds(enter.at) == 50


@shapes
def test_an_exit_in_a_gap_is_pending_as_any_other(shape: Shape):
    driven = silent((0, 0), (100, 55), (101, 56), (102, 80))
    assert crossings(shape, driven) == [("exit", 50.0, True)]
    assert pending(shape, driven) == ((1, 2),)
    back = silent((0, 0), (100, 55), (101, 40), (102, 80))
    assert crossings(shape, back) == [("exit", 101.25, False)]


@shapes
def test_gaps_outside_and_inside_are_nothing(shape: Shape):
    assert crossings(shape, silent((0, -80), (100, 80), (101, 90))) == []
    assert crossings(shape, silent((0, 0), (100, 10), (101, 20))) == []


@shapes
def test_who_is_first_seen_beside_it_is_outside(shape: Shape):
    assert ground({"W": shape}).evidence(east(55, 80)).passes == {}


# -- what a visit says -----------------------------------------------------------------------------


@shapes
def test_a_visit_is_named_after_its_enter(shape: Shape):
    found = ground({"W": shape}).evidence(east(-80, -20, 40, 80, 40, -20, 40, 80))
    names = []
    for number, (one, enter, out) in enumerate(
        zip(found.passes["W"], found.crossings[::2], found.crossings[1::2], strict=True), 1
    ):
        name = str(uuid5(VISITS, f"{DEVICE}/W/{enter.key}"))
        assert one == Pass(DEVICE, "W", number, enter.at, enter, out)
        assert (enter.visit, out.visit) == (name, name)
        names.append(name)
    assert len(set(names)) == 2


@shapes
def test_a_visit_without_an_enter_is_named_after_its_first_fix(shape: Shape):
    (one,) = ground({"W": shape}).evidence(east(20, 80)).passes["W"]
    assert one.exit is not None
    assert one.exit.visit == str(uuid5(VISITS, f"{DEVICE}/W/since/{one.since}"))
    assert (one.device_id, one.object_id, one.number) == (DEVICE, "W", 1)


def turned(*points: tuple[float, float, float]) -> Track:
    """Of (seconds, metres ahead, metres to the left) in the direction (0.6, 0.8)."""
    return track([(at, 0.6 * x - 0.8 * y, 0.8 * x + 0.6 * y) for at, x, y in points])


def test_a_disc_is_crossed_at_right_angles_to_its_radius():
    """30 m beside the middle: over the edge 40 m before it, where the normal is 0.8."""
    driven = turned((0, -90, 30), (1, -50, 30), (2, -10, 30), (3, 10, 30))
    (enter,) = ground({"W": DISC}).evidence(driven).crossings
    assert seconds(enter.at) == pytest.approx(1.25, abs=0.001)
    assert enter.speed_kmh == 144.0
    # v = 32; s/v = 0.09375; e = 3 x 0.25 x 0.75 / 64; 2000 x hypot(s/v, e/2) = 187.71
    assert enter.uncertainty_ms == 188


def test_an_area_is_crossed_at_right_angles_to_its_nearest_edge():
    """Over an edge due north, in the direction (0.6, 0.8): the normal is 0.6."""
    driven = turned((0, -50, 0), (1, -10, 0), (2, 30, 0), (3, 50, 0))
    shape = area((0, -40), (200, -40), (200, 400), (0, 400))
    (enter,) = ground({"W": shape}).evidence(driven).crossings
    assert seconds(enter.at) == pytest.approx(1.25, abs=0.001)
    # v = 24; s/v = 0.125; e = 3 x 0.25 x 0.75 / 48; 2000 x hypot(s/v, e/2) = 250.27
    assert enter.uncertainty_ms == 251
