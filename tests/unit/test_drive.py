"""Simulated vehicles: their formulas against sums of small steps, their ground against
geographiclib."""

import math
from itertools import pairwise
from random import Random

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given
from hypothesis import strategies as st

from processor.entrypoints.demo.drive import Board, Drive, Leg, Noise, Pace, Road, Tracker

PACE = Pace(20.0, (Leg(2.0), Leg(4.0, -5.0), Leg(10.0), Leg(5.0, 3.0)))
ROAD = Road.along(-50, 20, 30, [(60, 0), (80, 40), (70, -25), (30, 0)])


@given(
    st.tuples(st.floats(-180, 180), st.floats(-85, 85)),
    st.floats(0, 360),
    st.floats(0, 50_000),
)
def test_a_point_of_the_board_lies_where_its_distance_and_direction_put_it(origin, azimuth, away):
    angle = math.radians(azimuth)
    lon, lat = Board(origin).place(away * math.sin(angle), away * math.cos(angle))
    true = Geodesic.WGS84.Direct(origin[1], origin[0], azimuth, away)
    off = Geodesic.WGS84.Inverse(true["lat2"], true["lon2"], lat, lon)["s12"]
    assert off < 0.0002


@pytest.mark.parametrize("seconds", [0.5, 2.0, 3.7, 6.0, 12.0, 16.0, 20.5, 30.0])
def test_the_way_is_the_sum_of_the_speeds(seconds: float):
    pieces = 20_000
    step = seconds / pieces
    way = sum(PACE.at((k + 0.5) * step)[1] for k in range(pieces)) * step
    assert PACE.at(seconds)[0] == pytest.approx(way, abs=1e-3)


def test_who_brakes_to_a_stand_stands():
    assert PACE.at(6.0) == pytest.approx((80.0, 0.0))
    assert PACE.at(16.0) == pytest.approx((80.0, 0.0))
    assert PACE.at(-1.0) == pytest.approx((-20.0, 20.0))


@pytest.mark.parametrize("way", [-10.0, 30.0, 59.9, 60.1, 120.0, 200.0, 239.0, 300.0])
def test_a_road_has_no_leaps_and_runs_at_one_metre_a_metre(way: float):
    east, north, heading = ROAD.at(way)
    further = ROAD.at(way + 0.01)
    assert math.hypot(further[0] - east, further[1] - north) == pytest.approx(0.01, rel=1e-6)
    assert math.atan2(further[0] - east, further[1] - north) == pytest.approx(
        math.remainder(heading, math.tau), abs=0.001
    )


def test_a_turn_to_the_right_is_a_circle_on_the_right():
    road = Road.along(0, 0, 0, [(0, 50)])
    assert road.at(math.pi * 25)[:2] == pytest.approx((50, 50))
    assert road.at(math.pi * 100)[:2] == pytest.approx((0, 0), abs=1e-9)


def test_a_tracker_sees_at_its_own_times_and_cuts_its_speeds():
    drive = Drive(Road.along(0, 0, 90), Pace(20.0))
    seen = Tracker(2.0, 0.3, speed_step_kmh=1.0).seen(drive, 5.0, Random(1))
    assert [(s.seconds, s.east, s.speed_kmh) for s in seen] == [
        (0.3, pytest.approx(6.0), 72.0),
        (2.3, pytest.approx(46.0), 72.0),
        (4.3, pytest.approx(86.0), 72.0),
    ]
    slower = Tracker(speed_step_kmh=1.0).seen(Drive(Road.along(0, 0, 0), Pace(5.5)), 0, Random(1))
    assert slower[0].speed_kmh == 19.0  # 19.8


@pytest.mark.parametrize(("memory_s", "kept"), [(0.0, 0.0), (60.0, math.exp(-1 / 60))])
def test_noise_has_the_size_and_the_memory_that_it_is_said_to_have(memory_s: float, kept: float):
    steps = Noise(3.0, memory_s).steps(1.0, Random(7))
    off = [next(steps)[0] for _ in range(200_000)]
    mean_square = sum(x * x for x in off) / len(off)
    assert mean_square == pytest.approx(9.0, rel=0.06)
    together = sum(a * b for a, b in pairwise(off)) / len(off)
    assert together / mean_square == pytest.approx(kept, abs=0.02)


def test_one_seed_drives_one_way():
    drive = Drive(ROAD, PACE)
    tracker = Tracker(noise=Noise(3.0, 60.0))
    assert tracker.seen(drive, 20, Random(5)) == tracker.seen(drive, 20, Random(5))
    assert tracker.seen(drive, 20, Random(5)) != tracker.seen(drive, 20, Random(6))
