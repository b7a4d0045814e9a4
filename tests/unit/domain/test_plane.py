"""The ground as a plane, against the geodesics of geographiclib."""

import math

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given
from hypothesis import strategies as st

from processor.domain.plane import Planes, metres, places_between, spatial

EARTH = Geodesic.WGS84
LATITUDES = [0.0, 41.0, 60.0, 70.0, -33.0]


def place(start: tuple[float, float], azimuth: float, distance: float) -> tuple[float, float]:
    there = EARTH.Direct(start[1], start[0], azimuth, distance)
    return there["lon2"], there["lat2"]


@pytest.mark.parametrize("latitude", LATITUDES)
@pytest.mark.parametrize("distance", [0.01, 90.0, 1_000.0, 5_000.0, 50_000.0])
def test_a_place_lies_where_its_distance_and_direction_put_it(latitude: float, distance: float):
    origin = (19.8, latitude)
    plane = Planes([origin])
    for azimuth in range(0, 360, 15):
        lon, lat = place(origin, azimuth, distance)
        east, north = plane.project(0, spatial([lon], [lat]))
        angle = math.radians(azimuth)
        assert east[0] == pytest.approx(distance * math.sin(angle), abs=0.01)
        assert north[0] == pytest.approx(distance * math.cos(angle), abs=0.01)


@pytest.mark.parametrize("latitude", LATITUDES)
def test_distances_between_any_two_places_are_right_to_a_centimetre_within_five_kilometres(
    latitude: float,
):
    origin = (-0.001, latitude)
    plane = Planes([origin])
    there = [place(origin, azimuth, d) for azimuth in range(0, 360, 30) for d in (700, 2500, 5000)]
    east, north = plane.project(0, spatial(*zip(*there, strict=True)))
    for one in range(len(there)):
        for other in range(one):
            true = EARTH.Inverse(there[one][1], there[one][0], there[other][1], there[other][0])
            flat = math.hypot(east[one] - east[other], north[one] - north[other])
            assert flat == pytest.approx(true["s12"], abs=0.01)


@given(
    st.tuples(st.floats(-180, 180), st.floats(-89, 89)),
    st.floats(0, 360),
    st.floats(0.001, 20_000),
)
def test_metres_are_the_geodesic(start: tuple[float, float], azimuth: float, distance: float):
    assert metres(start, place(start, azimuth, distance)) == pytest.approx(distance, abs=0.005)


def test_the_date_line_is_no_edge_of_the_world():
    assert metres((179.999, 10.0), (-179.999, 10.0)) == pytest.approx(219.3, abs=0.1)


def test_a_place_has_the_same_coordinates_alone_and_among_others():
    rng = np.random.default_rng(7)
    lon, lat = 19.8 + rng.uniform(-0.1, 0.1, 1001), 41.3 + rng.uniform(-0.1, 0.1, 1001)
    planes = Planes([(19.8, 41.3), (19.81, 41.31)])
    which = rng.integers(0, 2, 1001)
    east, north = planes.project(which, spatial(lon, lat))
    for k in range(1001):
        point = spatial([lon[k]], [lat[k]])
        alone = planes.project(int(which[k]), point)
        assert (east[k], north[k]) == (alone[0][0], alone[1][0])
        assert (east[k], north[k]) == planes.project_one(int(which[k]), *point.one(0))


@pytest.mark.parametrize("latitude", LATITUDES)
def test_the_places_between_lie_on_the_geodesic(latitude: float):
    start, end = (10.0, latitude), (10.3, latitude + 0.1)
    line = EARTH.InverseLine(start[1], start[0], end[1], end[0])
    for step, (lon, lat) in enumerate(places_between(start, end, 10), 1):
        true = line.Position(line.s13 * step / 10)
        away = EARTH.Inverse(lat, lon, true["lat2"], true["lon2"])["s12"]
        assert away < 0.06  # not along the parallel, which is tens of metres away


def test_the_origin_lies_at_the_origin():
    east, north = Planes([(19.8, 41.3)]).project(0, spatial([19.8], [41.3]))
    assert (east[0], north[0]) == (0.0, 0.0)
