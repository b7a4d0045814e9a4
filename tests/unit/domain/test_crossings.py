"""Chords against every kind of object: enter, exit, cross; hysteresis, gaps, the unknown."""

import itertools
import math

import pytest
from hypothesis import given, settings

from processor.domain.model import Evidence, Track
from processor.domain.rules import Settings
from tests.driving import BOARD, area, disc, gate, ground, place, seconds, track, wanderings


def told(evidence: Evidence) -> list[tuple[str, str, float]]:
    return [(c.object_id, c.kind, round(seconds(c.at), 2)) for c in evidence.crossings]


def straight(start: float, end: float, speed: float, north: float = 0.0, step: float = 1.0):
    """Due east from start to end, m/s, a fix every `step` seconds."""
    count = int((end - start) / speed / step) + 1
    return [(k * step, start + k * step * speed, north, speed * 3.6) for k in range(count)]


# -- the shapes -----------------------------------------------------------------------------------


def test_a_disc_between_two_fixes_is_entered_and_left():
    # At 130 km/h and one fix a second, 30 m lie between two fixes 36 m apart.
    found = ground({"W": disc(50, 0, 15)}).evidence(track(straight(-4, 400, 36.11)))
    enter, out = found.crossings
    assert (enter.kind, out.kind) == ("enter", "exit")
    assert seconds(enter.at) == pytest.approx(39 / 36.11, abs=0.002)
    assert seconds(out.at) == pytest.approx(69 / 36.11, abs=0.002)
    assert enter.visit == out.visit
    assert (enter.before, enter.after) == (out.before, out.after)
    assert [p.number for p in found.passes["W"]] == [1]


def test_a_chord_through_an_area_gives_enter_and_exit():
    found = ground({"A": area((40, -50), (60, -50), (60, 50), (40, 50))}).evidence(
        track(straight(0, 400, 30))
    )
    assert told(found) == [("A", "enter", 1.33), ("A", "exit", 2.0)]


def test_a_hole_in_an_area_is_outside():
    outer = ((-100.0, -100.0), (100.0, -100.0), (100.0, 100.0), (-100.0, 100.0))
    inner = ((-40.0, -40.0), (40.0, -40.0), (40.0, 40.0), (-40.0, 40.0))
    shape = area(*outer)
    shape = type(shape)((shape.rings[0], area(*inner).rings[0]))
    found = ground({"A": shape}).evidence(track(straight(-200, 400, 20)))
    assert told(found) == [
        ("A", "enter", 5.0),
        ("A", "exit", 8.0),
        ("A", "enter", 12.0),
        ("A", "exit", 15.0),
    ]


def test_a_gate_is_crossed_in_its_direction_and_missed_beside_it():
    gates = {
        "G1": gate((50, -20), (50, 20), 90),
        "G2": gate((80, -20), (80, 20), 270),
        "G3": gate((110, 5), (110, 20), 90),
        "G4": gate((140, -20), (140, 20)),
    }
    found = ground(gates).evidence(track(straight(0, 400, 20)))
    assert [(c.object_id, c.direction_ok) for c in found.crossings] == [
        ("G1", True),
        ("G2", False),
        ("G4", None),
    ]
    assert set(found.passes) == {"G1", "G4"}  # the wrong way is evidence, no pass
    assert seconds(found.crossings[0].at) == pytest.approx(2.5, abs=0.002)


@pytest.mark.parametrize("heading", range(0, 360, 15))
def test_a_direction_counts_within_ninety_degrees(heading: int):
    found = ground({"G": gate((50, -20), (50, 20), heading)}).evidence(track(straight(0, 400, 20)))
    (cross,) = found.crossings
    assert cross.direction_ok is (abs((heading - 90 + 180) % 360 - 180) <= 90) or heading in (
        0,
        180,
    )


def test_an_object_over_the_date_line_is_met():
    from processor.domain.course import Disc
    from processor.domain.model import Fix

    fixes = [Fix(k * 10**6, 10.0, 179.999 + k * 0.0001 - (360 if k > 10 else 0)) for k in range(21)]
    found = ground({"W": Disc((-179.9995, 10.0), 30)}).evidence(Track.of("d", fixes))
    assert [c.kind for c in found.crossings] == ["enter", "exit"]
    assert all(-180 <= c.longitude <= 180 for c in found.crossings)


# -- the unknown ----------------------------------------------------------------------------------


def test_who_is_first_seen_inside_did_not_enter():
    found = ground({"W": disc(0, 0, 50)}).evidence(track(straight(0, 400, 20)))
    assert told(found) == [("W", "exit", 2.5)]
    (visit,) = found.passes["W"]
    assert visit.enter is None
    assert seconds(visit.since) == 0


def test_who_is_still_inside_has_not_left():
    found = ground({"W": disc(100, 0, 50)}).evidence(track(straight(0, 100, 20)))
    assert told(found) == [("W", "enter", 2.5)]
    assert found.passes["W"][0].exit is None


def test_one_fix_is_a_track_without_crossings():
    found = ground({"W": disc(0, 0, 50)}).evidence(track([(0, 1, 1)]))
    assert found.crossings == ()
    assert len(found.passes["W"]) == 1
    assert ground({"W": disc(0, 0, 50)}).evidence(track([])).passes == {}


# -- hysteresis -----------------------------------------------------------------------------------


def test_a_car_that_stands_near_an_edge_leaves_once():
    """Noise of a few metres over the edge for five minutes."""
    shake = [(k, 49 + 6 * math.sin(k * 1.7), 4 * math.cos(k)) for k in range(300)]
    away = [(300 + k, 60 + 20 * k, 0) for k in range(10)]
    found = ground({"W": disc(0, 0, 50)}).evidence(track([*shake, *away]))
    assert [c.kind for c in found.crossings] == ["exit"]
    # The last way out over the true edge, not the confirmation.
    assert 298 < seconds(found.crossings[0].at) <= 300.1


def test_an_exit_that_nothing_confirms_is_none():
    found = ground({"W": disc(0, 0, 50)}).evidence(track([(0, 0, 0), (1, 30, 0), (2, 59, 0)]))
    assert found.crossings == ()
    found = ground({"W": disc(0, 0, 50)}).evidence(track([(0, 0, 0), (1, 30, 0), (2, 61, 0)]))
    assert [c.kind for c in found.crossings] == ["exit"]


def test_a_small_disc_believes_an_exit_at_a_fifth_of_its_radius():
    small = ground({"W": disc(0, 0, 15)})
    assert small.evidence(track([(0, 0, 0), (1, 17.9, 0)])).crossings == ()
    assert len(small.evidence(track([(0, 0, 0), (1, 18.1, 0)])).crossings) == 1


def test_a_cross_and_its_reverse_cancel_unless_the_car_was_far():
    near = [(0, -20, 0), (1, 5, 0), (2, -5, 0), (3, -30, 0)]
    far = [(0, -20, 0), (1, 11, 0), (2, -5, 0), (3, -30, 0)]
    board = ground({"G": gate((0, -20), (0, 20))})
    assert board.evidence(track(near)).crossings == ()
    assert [c.kind for c in board.evidence(track(far)).crossings] == ["cross", "cross"]


def test_of_an_odd_number_the_last_counts_for_a_start_and_the_first_for_all_else():
    rolls = [(0, -20, 0), (1, 4, 0), (2, -4, 0), (3, 4, 0), (4, 30, 0)]
    board = ground({"S": gate((0, -20), (0, 20)), "G": gate((0.001, -20), (0.001, 20))})
    assert told(board.evidence(track(rolls))) == [("G", "cross", 0.83), ("S", "cross", 2.5)]


def test_two_crosses_in_one_direction_are_no_pair():
    round_the_post = [(0, -5, 0), (1, 5, 0), (2, 5, 25), (3, -5, 25), (4, -5, 0), (5, 5, 0)]
    board = ground({"G": gate((0, -20), (0, 20))})
    assert len(board.evidence(track(round_the_post)).crossings) == 2


# -- exactly on an edge ---------------------------------------------------------------------------


def on_grid(*steps: tuple[float, float]) -> Track:
    """A track on whole steps of 1e-4 degrees around ORIGIN, which are exact on a meridian."""
    from processor.domain.model import Fix
    from tests.driving import ORIGIN, START

    return Track.of(
        "d",
        [
            Fix(START + k * 10**6, ORIGIN[1] + north * 1e-4, ORIGIN[0] + east * 1e-4)
            for k, (east, north) in enumerate(steps)
        ],
    )


def test_a_fix_on_a_gates_line_is_on_the_side_it_came_from():
    from processor.domain.course import Gate
    from tests.driving import ORIGIN

    lon, lat = ORIGIN
    board = ground({"G": Gate(((lon, lat - 1e-3), (lon, lat + 1e-3)), 90)})
    stops = on_grid((-2, 0), (-1, 0), (0, 0), (0, 0.5), (-3, 0))
    assert board.evidence(stops).crossings == ()
    goes_on = on_grid((-2, 0), (-1, 0), (0, 0), (0, 0.5), (2, 0.5), (4, 0))
    (cross,) = board.evidence(goes_on).crossings
    assert (seconds(cross.at), cross.direction_ok) == (3.0, True)
    unknown = on_grid((0, 0), (2, 0), (4, 0))
    assert board.evidence(unknown).crossings == ()


def test_a_fix_on_an_areas_edge_is_inside_and_a_corner_that_is_grazed_is_not_entered():
    from processor.domain.course import Area
    from tests.driving import ORIGIN

    lon, lat = ORIGIN
    corner = [(0, 0), (10, 10), (0, 20), (-10, 10)]
    shape = Area((tuple((lon + e * 1e-4, lat + n * 1e-4) for e, n in corner),))
    board = ground({"A": shape})
    (enter,) = board.evidence(on_grid((0, -3), (0, 0), (0, 5))).crossings
    assert (enter.kind, seconds(enter.at)) == ("enter", 1.0)
    beside = board.evidence(on_grid((20, 5), (20, 10), (20, 15)))
    assert beside.crossings == ()
    assert board.inside("A", (lon + 5e-4, lat + 5e-4))


# -- gaps -----------------------------------------------------------------------------------------


def test_a_gap_into_an_area_is_a_provisional_enter_in_the_middle():
    found = ground({"W": disc(1000, 0, 50)}).evidence(
        track([(0, 0, 0), (1, 20, 0), (101, 1000, 0), (102, 1010, 0)])
    )
    (enter,) = found.crossings
    assert enter.kind == "enter"
    assert enter.provisional
    assert seconds(enter.at) == 51.0
    assert (seconds(enter.before), seconds(enter.after)) == (1.0, 101.0)
    assert enter.uncertainty_ms == 50_000
    assert [seconds(g.before.at) for g in found.gaps] == [1.0]


def test_a_gap_out_of_an_area_is_a_provisional_exit_and_a_gap_past_one_is_nothing():
    board = ground({"W": disc(0, 0, 50), "G": gate((300, -20), (300, 20)), "P": disc(400, 0, 50)})
    found = board.evidence(track([(0, 0, 0), (90, 1000, 0), (91, 1010, 0)]))
    assert [(c.object_id, c.kind, c.provisional) for c in found.crossings] == [("W", "exit", True)]


def test_a_leap_that_no_car_makes_is_a_gap():
    wild = [(0, 0, 0), (1, 20, 0), (2, 5000, 0), (3, 60, 0), (4, 80, 0)]
    found = ground({"G": gate((2000, -20), (2000, 20)), "W": disc(5000, 0, 50)}).evidence(
        track(wild)
    )
    assert [g.speeding for g in found.gaps] == [True, True]
    assert [(c.kind, c.provisional) for c in found.crossings] == [("enter", True), ("exit", True)]


def test_inside_before_and_after_a_gap_is_one_visit():
    found = ground({"W": disc(0, 0, 50)}).evidence(
        track([(0, -100, 0), (5, 0, 0), (300, 10, 0), (310, 200, 0)])
    )
    assert [(c.kind, c.provisional) for c in found.crossings] == [("enter", False), ("exit", False)]


def test_the_limits_of_a_gap_are_settings():
    points = [(0, -100, 0), (70, 100, 0)]
    gates = {"G": gate((0, -20), (0, 20))}
    assert ground(gates).evidence(track(points)).crossings == ()
    assert len(ground(gates, Settings(gap_seconds=90)).evidence(track(points)).crossings) == 1


# -- how near -------------------------------------------------------------------------------------


def test_closest_is_the_least_distance_of_the_chords():
    board = ground(
        {
            "W": disc(150, 100, 30),
            "G": gate((100, 40), (100, 80)),
            "A": area((0, 50), (9, 50), (9, 60)),
        }
    )
    driven = track(straight(0, 300, 40))
    assert board.closest("W", driven, None, None) == pytest.approx(70, abs=0.01)
    assert board.closest("G", driven, None, None) == pytest.approx(40, abs=0.01)
    assert board.closest("A", driven, None, None) == pytest.approx(50, abs=0.01)
    assert board.closest("W", driven, None, driven.at[0]) == pytest.approx(
        math.hypot(150, 100) - 30, abs=0.01
    )
    assert board.closest("W", driven.cut(0, 0), None, None) is None
    assert board.closest("W", track(straight(0, 300, 40, north=100)), None, None) == 0
    assert board.distance("W", place(150, 100)) == 0
    assert board.distance("G", place(0, 60)) == pytest.approx(100, abs=0.01)


def test_closest_leaves_gaps_out():
    driven = track([(0, 0, 0), (100, 300, 0), (101, 320, 0)])
    assert ground({"W": disc(150, 0, 30)}).closest("W", driven, None, None) == pytest.approx(
        120, abs=0.01
    )


def test_the_nearest_chord_is_named_and_beside_gaps_the_nearest_fix():
    board = ground({"W": disc(150, 100, 30), "V": disc(310, 50, 30)})
    driven = track([(0, 0, 0), (1, 40, 0), (2, 100, 0), (3, 160, 0), (100, 300, 0), (101, 320, 0)])
    near = board.nearest(("W", "V"), driven, None, None)
    assert [seconds(fix.at) for fix in near["W"].fixes] == [2, 3]
    assert near["W"].distance_m == board.closest("W", driven, None, None)
    assert [seconds(fix.at) for fix in near["V"].fixes] == [100, 101]
    alone = board.nearest(("W",), track([(0, 0, 0), (100, 300, 0)]), None, None)
    assert [seconds(fix.at) for fix in alone["W"].fixes] == [0]
    assert board.nearest(("W",), driven.cut(0, 0), None, None) == {}


def test_distances_from_many_places_are_those_from_each():
    board = ground({"W": disc(150, 100, 30), "G": gate((100, 40), (100, 80))})
    places = [place(150, 100), place(0, 60), place(170, 100), place(400, -300)]
    found = board.distances(("W", "G"), [lon for lon, _ in places], [lat for _, lat in places])
    for name, away in found.items():
        assert away.tolist() == [board.distance(name, each) for each in places]


# -- the laws -------------------------------------------------------------------------------------


@given(wanderings())
@settings(max_examples=150)
def test_every_visit_alternates_and_lies_in_its_bounds(driven: Track):
    found = BOARD.evidence(driven)
    for name, passes in found.passes.items():
        for one in passes:
            if one.enter and one.exit and one.enter is not one.exit:
                assert one.enter.at <= one.exit.at
                assert one.enter.visit == one.exit.visit
        for one, other in itertools.pairwise(passes):
            if one.exit is not other.enter:
                assert one.exit is not None, name
                assert one.exit.at <= other.since
    for crossing in found.crossings:
        assert crossing.before <= crossing.at <= crossing.after
        assert crossing.uncertainty_ms >= 10
    keys = [(c.object_id, c.key) for c in found.crossings]
    assert len(set(keys)) == len(keys)


@given(wanderings())
@settings(max_examples=50)
def test_a_figure_is_seen_alone_as_among_others(driven: Track):
    found = BOARD.evidence(driven)
    for name, shape in zip(BOARD.figures.ids, BOARD.figures.shapes, strict=True):
        alone = ground({name: shape}).evidence(driven)
        assert alone.passes == {k: v for k, v in found.passes.items() if k == name}
