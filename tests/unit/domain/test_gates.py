"""Gates: where exactly a cross lies, its direction, its reverse, and what is still awaited."""

import math

import pytest

from processor.domain.course import Gate
from processor.domain.crossings import Known
from processor.domain.model import Fix, Pass, Track
from processor.domain.rules import Settings
from tests.driving import DEVICE, ORIGIN, START, gate, ground, place, seconds, track

ALONG, ACROSS = (0.6, 0.8), (0.8, -0.6)
SLANTED = gate((-30, -40), (30, 40))
"""A gate of 100 m that runs along no axis, in the direction ALONG."""


def through(along_m: float, way: tuple[float, float] = ACROSS) -> Track:
    """Over the line of SLANTED so far from its first post: 40 m in a second, the line after 10."""
    east, north = -30 + along_m * ALONG[0], -40 + along_m * ALONG[1]
    return track([(0, east - 10 * way[0], north - 10 * way[1]),
                  (1, east + 30 * way[0], north + 30 * way[1])])  # fmt: skip


def on_grid(*steps: tuple[float, float]) -> Track:
    """A fix a second on whole steps of 1e-4 degrees around ORIGIN: 8.4 m east, 11.1 m north. None
    of it is rounded, so a fix can lie exactly on a gate."""
    return Track.of(
        DEVICE,
        [
            Fix(START + k * 10**6, ORIGIN[1] + north * 1e-4, ORIGIN[0] + east * 1e-4)
            for k, (east, north) in enumerate(steps)
        ],
    )


LON, LAT = ORIGIN
MERIDIAN = Gate(((LON, LAT - 2e-4), (LON, LAT + 2e-4)))
"""44 m north and south, through ORIGIN."""


def crossed(*steps: tuple[float, float]) -> list[float]:
    """When MERIDIAN was crossed."""
    return [seconds(c.at) for c in ground({"G": MERIDIAN}).evidence(on_grid(*steps)).crossings]


# -- where -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("along_m", "met"), [(-0.2, False), (0.2, True), (50, True), (99.8, True), (100.2, False)]
)
def test_a_gate_ends_at_its_posts(along_m: float, met: bool):
    found = ground({"G": SLANTED}).evidence(through(along_m))
    assert len(found.crossings) == met


@pytest.mark.parametrize("north", [-2, 2])
def test_a_post_is_part_of_its_gate(north: int):
    assert crossed((-2, north), (2, north)) == [0.5]


@pytest.mark.parametrize("along_m", [10, 85])
@pytest.mark.parametrize("way", [ACROSS, (0.6, -0.8), (1.0, 0.0)])
def test_a_cross_lies_where_the_chord_meets_the_line(along_m: float, way: tuple[float, float]):
    (cross,) = ground({"G": SLANTED}).evidence(through(along_m, way)).crossings
    lon, lat = place(-30 + along_m * ALONG[0], -40 + along_m * ALONG[1])
    assert (cross.longitude, cross.latitude) == pytest.approx((lon, lat), abs=2e-7)
    assert seconds(cross.at) == pytest.approx(0.25, abs=0.001)
    assert cross.speed_kmh == 144.0
    assert (cross.kind, cross.ordinal, cross.provisional) == ("cross", 0, False)
    assert (seconds(cross.before), seconds(cross.after)) == (0, 1)


def test_only_the_speed_across_the_line_says_how_sure_the_instant_is():
    (cross,) = ground({"G": SLANTED}).evidence(through(50, (0.6, -0.8))).crossings
    # v = 40 x 0.96; s/v = 0.078125; e = 3 x 0.25 x 0.75 / (2 v); 2000 x hypot(s/v, e/2) = 156.42
    assert cross.uncertainty_ms == 157


@pytest.mark.parametrize("off_deg", [-91, -89, 0, 89, 91, 180])
@pytest.mark.parametrize("heading", [20, 110, 143, 200, 290])
def test_the_direction_that_counts_is_a_heading(heading: int, off_deg: int):
    turn = math.radians(heading)
    east, north = math.sin(turn), math.cos(turn)
    shape = gate((-20 * north, 20 * east), (20 * north, -20 * east), (heading + off_deg) % 360)
    driven = track([(0, -10 * east, -10 * north), (1, 30 * east, 30 * north)])
    (cross,) = ground({"G": shape}).evidence(driven).crossings
    assert cross.direction_ok is (abs(off_deg) < 90)


def test_crosses_in_the_right_direction_are_passes_and_numbered():
    found = ground({"G": gate((0, -20), (0, 20), 90)}).evidence(
        track([(0, -20, 0), (1, 20, 0), (2, -20, 0), (3, 20, 0)])
    )
    one, wrong, other = found.crossings
    assert [c.direction_ok for c in (one, wrong, other)] == [True, False, True]
    assert found.passes["G"] == (
        Pass(DEVICE, "G", 1, one.at, one, one),
        Pass(DEVICE, "G", 2, other.at, other, other),
    )


# -- on the line -----------------------------------------------------------------------------------


def test_who_stood_on_the_line_came_from_where_he_was_before():
    assert crossed((-2, 0), (0, 0), (2, 0)) == [1]
    assert crossed((-2, 0), (0, 0), (0, 0.5), (2, 0.5)) == [2]
    assert crossed((2, 0), (0, 0), (0, 0.5), (-2, 0.5)) == [2]
    assert crossed((-2, 0), (2, 0), (0, 0), (-2, 0)) == [0.5, 2]
    assert crossed((-4, 0), (-2, 0), (2, 0), (4, 0), (2, 0), (0, 0), (-2, 0)) == [1.5, 5]


def test_who_is_first_seen_on_the_line_came_from_nowhere():
    assert crossed((0, 0), (2, 0), (4, 0), (2, 0), (-2, 0)) == [3.5]


def test_nobody_knows_from_where_he_came_to_the_line_in_a_gap():
    board = ground({"G": MERIDIAN})
    steps = [(-2, 0), (-1, 0), (0, 0), (2, 0)]

    def silent_before(fix: int) -> Track:
        late = [START + (k + (100 if k >= fix else 0)) * 10**6 for k in range(4)]
        places = [(LON + e * 1e-4, LAT + n * 1e-4) for e, n in steps]
        return Track.of(
            DEVICE, [Fix(at, lat, lon) for at, (lon, lat) in zip(late, places, strict=True)]
        )

    assert len(board.evidence(silent_before(1)).crossings) == 1
    assert board.evidence(silent_before(2)).crossings == ()


def test_two_crosses_from_one_side_are_no_pair_though_one_began_on_the_line():
    round_the_post = ((-1, 0), (1, 0), (1, 3), (-1, 3), (-1, 0), (0, 0), (1, 0), (4, 0))
    assert crossed(*round_the_post) == [0.5, 5]


# -- the reverse -----------------------------------------------------------------------------------


def near_for(fixes: int, far: int) -> Track:
    """Over the line, so many fixes 5 m behind it, and then so many 30 m behind."""
    places = [-20.0, -10.0, *[5.0] * fixes, *[30.0 + k for k in range(far)]]
    return track([(k, east, 0) for k, east in enumerate(places)])


@pytest.mark.parametrize("far", [1, 3])
@pytest.mark.parametrize("fixes", [1, 2, 3, 4, 5, 6, 8, 9, 20])
def test_a_reverse_is_awaited_until_the_first_far_fix(fixes: int, far: int):
    scan = ground({"G": gate((0, -20), (0, 20))}).scan(near_for(fixes, far), Known())
    assert scan.pending["G"] == ((2, 1 + fixes),)


def test_nothing_is_awaited_of_who_is_far_at_once():
    scan = ground({"G": gate((0, -20), (0, 20))}).scan(near_for(0, 2), Known())
    assert len(scan.crosses["G"]) == 1
    assert scan.pending["G"] == ()


@pytest.mark.parametrize("fixes", [1, 7])
def test_a_reverse_is_awaited_for_ever_of_who_stays_near(fixes: int):
    scan = ground({"G": gate((0, -20), (0, 20))}).scan(near_for(fixes, 0), Known())
    assert scan.pending["G"] == ((2, 1 + fixes),)


@pytest.mark.parametrize("fixes", [1, 4, 7])
def test_a_fix_as_far_as_the_hysteresis_is_not_far(fixes: int):
    shape, driven = gate((0, -20), (0, 20)), near_for(fixes, 1)
    figures = ground({"G": shape}).figures
    scan = ground({"G": shape}).scan(driven, Known())
    away_m = round(abs(float(figures.from_line(0, scan.drive.points)[-1])), 3)
    for hysteresis_m, last in ((away_m, fixes + 2), (away_m - 0.001, fixes + 1)):
        board = ground({"G": shape}, Settings(hysteresis_m=hysteresis_m))
        assert board.scan(driven, Known()).pending["G"] == ((2, last),)
