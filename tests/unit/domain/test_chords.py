"""The instant in a chord: the promises of the rules' design, judged by drives in closed form.

The promises hold where the car does 36 km/h or more at both fixes. Slower, an error of the same
few centimetres takes longer to drive over, and the bound is one of metres: that is tested too.
"""

import math
from random import Random

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from processor.domain.chords import Chord, time_at, uncertainty_ms
from processor.entrypoints.demo.drive import Drive, Leg, Pace, Road, Tracker
from tests.driving import disc, ground, seconds, track

KMH = 3.6
SLOWEST_MS = 10.0
FASTEST_MS = 60.0
BRAKING = 6.0


def floored(speed_ms: float) -> float:
    """As trackers send it: whole km/h."""
    return math.floor(speed_ms * KMH + 1e-9) / KMH


def chord(pace: Pace, duration: float) -> Chord:
    """What two exact fixes say of a drive on a straight, so many seconds apart."""
    start, end = pace.at(0.0)[1], pace.at(duration)[1]
    return Chord(pace.at(duration)[0], duration, start, end)


def rough(exact: Chord) -> Chord:
    assert exact.start_ms is not None
    assert exact.end_ms is not None
    return evolve(exact, start_ms=floored(exact.start_ms), end_ms=floored(exact.end_ms))


def error_s(of: Chord, pace: Pace, at: float) -> float:
    """By how much the instant is wrong at which the car was where it was `at` seconds after the
    chord's start."""
    return abs(time_at(of, min(1.0, pace.at(at)[0] / of.length_m)) - at)


durations = st.floats(0.2, 5.0)
shares = st.floats(0.0, 1.0)


@st.composite
def brakings(draw: st.DrawFn, slowest: float = SLOWEST_MS) -> tuple[Pace, float]:
    """Even braking up to 8 m/s2 over the whole chord, and the chord's duration."""
    duration, braking = draw(durations), draw(st.floats(0.0, 8.0))
    end = draw(st.floats(slowest, FASTEST_MS))
    return Pace(end + braking * duration, (Leg(duration, -braking),)), duration


@st.composite
def brake_points(draw: st.DrawFn, duration: float, slowest: float = SLOWEST_MS) -> Pace:
    """Even speed, then braking at 6 m/s2 from somewhere inside the chord on."""
    before = draw(shares) * duration
    end = draw(st.floats(slowest, FASTEST_MS))
    start = end + BRAKING * (duration - before)
    return Pace(start, (Leg(before), Leg(duration - before, -BRAKING)))


# -- the promises ---------------------------------------------------------------------------------


@given(st.floats(1.0, FASTEST_MS), st.floats(0.2, 10.0), shares)
def test_even_speed_is_right_to_five_milliseconds(speed: float, duration: float, share: float):
    pace = Pace(speed)
    assert error_s(chord(pace, duration), pace, share * duration) < 0.005


@given(st.floats(SLOWEST_MS, 45.0), st.floats(0.0, 1.0), st.floats(0.0, 360.0))
def test_even_speed_is_right_to_five_milliseconds_on_the_ground(
    speed: float, phase: float, heading: float
):
    turn = math.radians(heading)
    drive = Drive(Road.along(-120 * math.sin(turn), -120 * math.cos(turn), heading), Pace(speed))
    points = [
        (s, *drive.at(s)[:2], speed * KMH)
        for s in (phase + k for k in range(math.ceil(400 / speed)))
    ]
    found = ground({"W": disc(0, 0, 50)}).evidence(track(points))
    enter, out = found.crossings
    assert seconds(enter.at) == pytest.approx(70 / speed, abs=0.005)
    assert seconds(out.at) == pytest.approx(170 / speed, abs=0.005)


@given(brakings(slowest=0.0), shares)
def test_even_braking_with_exact_speeds_is_exact(drive: tuple[Pace, float], share: float):
    pace, duration = drive
    if pace.at(duration)[0] > 0.1:
        assert error_s(chord(pace, duration), pace, share * duration) < 1e-6


@given(brakings(), shares)
@example((Pace(10.54, (Leg(5.0, -0.05),)), 5.0), 0.26)
def test_even_braking_with_whole_kilometres_an_hour_is_right_to_twenty_milliseconds(
    drive: tuple[Pace, float], share: float
):
    pace, duration = drive
    exact = chord(pace, duration)
    assert error_s(exact, pace, share * duration) < 0.020
    assert error_s(rough(exact), pace, share * duration) < 0.020


@pytest.mark.parametrize(("duration", "promised_s"), [(1.0, 0.010), (5.0, 0.150)])
@given(data=st.data())
def test_a_brake_point_inside_the_chord_costs_little(
    duration: float, promised_s: float, data: st.DataObject
):
    pace = data.draw(brake_points(duration))
    at = data.draw(shares) * duration
    assert error_s(chord(pace, duration), pace, at) < promised_s


def test_the_worst_brake_point_is_near_the_promise():
    """So the promise is no accident of what was drawn, nor much too generous."""
    for duration, before, at, promised_s in ((1.0, 0.78, 0.56, 0.010), (5.0, 4.07, 3.15, 0.150)):
        pace = Pace(
            SLOWEST_MS + BRAKING * (duration - before),
            (Leg(before), Leg(duration - before, -BRAKING)),
        )
        wrong = error_s(chord(pace, duration), pace, at)
        assert 0.8 * promised_s < wrong < promised_s


# -- slower than promised: the bound is in metres -------------------------------------------------


def off_m(of: Chord, pace: Pace, at: float, duration: float) -> float:
    """How far from where the car was the chord has it, `at` seconds after its start."""
    assert of.start_ms is not None
    assert of.end_ms is not None
    t = at / duration
    drawn = (
        of.length_m * (3 - 2 * t) * t * t
        + duration * of.start_ms * t * (1 - t) ** 2
        - duration * of.end_ms * t * t * (1 - t)
    )
    return abs(drawn - pace.at(at)[0])


@given(brakings(slowest=0.0), shares)
def test_whole_kilometres_an_hour_shift_the_place_by_four_centimetres_a_second(
    drive: tuple[Pace, float], share: float
):
    pace, duration = drive
    of = rough(chord(pace, duration))
    assert off_m(of, pace, share * duration, duration) <= 0.0412 * duration + 1e-9


@given(durations.flatmap(lambda d: st.tuples(st.just(d), brake_points(d, slowest=0.0))), shares)
def test_a_brake_point_shifts_the_place_by_a_tenth_of_a_metre_times_the_duration_squared(
    drive: tuple[float, Pace], share: float
):
    duration, pace = drive
    of = chord(pace, duration)
    assert off_m(of, pace, share * duration, duration) <= 0.0162 * BRAKING * duration**2 + 1e-9


# -- the shape of the answer ----------------------------------------------------------------------

speeds = st.one_of(st.none(), st.floats(0.0, 80.0))
chords = st.builds(Chord, st.floats(0.0, 3_000.0), st.floats(0.001, 60.0), speeds, speeds)


@given(chords, shares, shares)
def test_the_further_the_later(of: Chord, one: float, other: float):
    first, second = sorted((one, other))
    assert 0.0 <= time_at(of, first) <= time_at(of, second) + 1e-9
    assert time_at(of, second) <= of.seconds + 1e-9


@given(chords)
def test_a_chord_begins_and_ends_at_its_fixes(of: Chord):
    assert time_at(of, 0.0) == pytest.approx(0.0, abs=1e-6)
    assert time_at(of, 1.0) == pytest.approx(of.seconds, abs=1e-6)


@given(chords, shares)
def test_where_the_speeds_are_not_believed_it_is_linear(of: Chord, share: float):
    if not of.cubic:
        assert time_at(of, share) == share * of.seconds


def straight(mean_ms: float, duration: float, start: float | None, end: float | None) -> Chord:
    return Chord(mean_ms * duration, duration, start, end)


@pytest.mark.parametrize(
    ("of", "believed"),
    [
        (straight(20, 5, 20, 20), True),
        (straight(20, 5, None, 20), False),
        (straight(20, 5, 20, None), False),
        # T at most 10 s
        (straight(20, 10, 20, 20), True),
        (straight(20, 10.001, 20, 20), False),
        # the mean within m of both speeds: 1 m/s where that is more than 10 % of it
        (straight(6, 5, 5, 5), True),
        (straight(6.001, 5, 5, 5), False),
        (straight(4, 5, 5, 5), True),
        (straight(3.999, 5, 5, 5), False),
        # else 10 %
        (straight(22.22, 5, 20, 20), True),
        (straight(22.23, 5, 20, 20), False),
        (straight(18.19, 5, 20, 20), True),
        (straight(18.17, 5, 20, 20), False),
        # anywhere between the two speeds
        (straight(15, 5, 10, 20), True),
        (straight(15, 5, 20, 10), True),
        # neither speed more than three means
        (straight(10, 5, 0, 30), True),
        (straight(10, 5, 0, 30.001), False),
        (straight(10, 5, 30.001, 0), False),
        # a car that stands
        (straight(0, 5, 0, 0), True),
        (straight(0, 5, 0.3, 0), False),
    ],
)
def test_when_the_speeds_are_believed(of: Chord, believed: bool):
    assert of.cubic is believed


def test_a_car_that_stands_drives_no_share_of_anything():
    assert time_at(straight(0, 5, 0, 0), 0.5) == 2.5


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 3),
        (3, 0),
        (0, 1),
        (1, 0),
        (3, 1),
        (1, 3),
        (0.9, 0.9),
        (1.1, 1.1),
        (0.5, 1.5),
        (2.7, 0.2),
    ],
)
def test_the_place_at_the_instant_is_the_share_of_the_way(start: float, end: float):
    """Speeds at the ends in means, from a standing start to braking to a stand."""
    of = straight(20, 4, 20 * start, 20 * end)
    assert of.cubic
    for share in (k / 64 for k in range(65)):
        t = time_at(of, share) / of.seconds
        there = start * t * (1 - t) ** 2 + (3 - 2 * t) * t * t - end * t * t * (1 - t)
        assert there == pytest.approx(share, abs=1e-10)


# -- how sure it is -------------------------------------------------------------------------------


def wide(of: Chord, at: float, normal_ms: float = 10.0, hdop: float = 1.0) -> int:
    return uncertainty_ms(of, at, normal_ms, 3.0, hdop)


def test_uncertainty_by_hand():
    silent = straight(10, 5, None, None)
    # s/v = 0.3; e = 3 x 2 x 3 / 20 = 0.9; 2000 x hypot(0.3, 0.45) = 1081.67
    assert wide(silent, 2.0) == 1082
    # With believed speeds over 5 s at most e is a third: 2000 x hypot(0.3, 0.15) = 670.82
    assert wide(straight(10, 5, 10, 10), 2.0) == 671
    # Over more than 5 s it is not: e = 3 x 3 x 3 / 20 = 1.35; 2000 x hypot(0.3, 0.675) = 1477.33
    assert wide(straight(10, 6, 10, 10), 3.0) == 1478
    # Harder braking than 3 m/s2: a = 20 / 4, e = 5 x 2 x 2 / 20 / 3; 2000 x hypot(0.3, 1/6)
    assert wide(straight(10, 4, 20, 0), 2.0) == 687
    # Speeds that are not believed still tell of braking: a = 30.001 / 5 and no third:
    # e = 6.0002 x 2 x 3 / 20 = 1.80006; 2000 x hypot(0.3, 0.90003) = 1897.42
    assert wide(straight(10, 5, 30.001, 0), 2.0) == 1898
    # A fix is as good as its dilution, and never better than 1: s/v = 0.6 and 0.3
    assert wide(silent, 2.0, hdop=2.0) == 1500
    assert wide(silent, 2.0, hdop=0.6) == 1082
    # One speed alone tells of no braking.
    assert wide(straight(10, 5, None, 30), 2.0) == 1082
    assert wide(straight(10, 5, 30, None), 2.0) == 1082
    # Only the speed across the edge counts: v = 5, s/v = 0.6, e = 1.8; 2163.33
    assert wide(silent, 2.0, normal_ms=5.0) == 2164


def test_uncertainty_has_its_bounds():
    # Along an edge v is at least 0.5 m/s: s/v = 6, 12 s; but the fixes are 2 and 3 s away.
    assert wide(straight(10, 5, 10, 10), 2.0, normal_ms=0.0) == 3000
    assert wide(straight(10, 5, 10, 10), 4.5, normal_ms=0.0) == 4500
    # s/v = 6 and more at 0.5 m/s: 12 s, but the further fix is 10 s away.
    assert wide(straight(10, 20, None, None), 10.0, normal_ms=0.4) == 10_000
    # 3 m at 2000 m/s are 3 ms, and nobody is that sure.
    assert wide(straight(2000, 1, None, None), 0.5, normal_ms=2000.0) == 10


@given(chords, shares, st.floats(0.0, 80.0), st.floats(0.1, 20.0))
def test_uncertainty_lies_between_ten_milliseconds_and_the_further_fix(
    of: Chord, share: float, normal_ms: float, hdop: float
):
    at = share * of.seconds
    further = math.ceil(1000 * max(at, of.seconds - at))
    assert 10 <= wide(of, at, normal_ms, hdop) <= max(10, further)


def test_a_tracker_of_the_simulation_sends_what_the_tests_call_floored():
    drive = Drive(Road.along(0, 0, 90), Pace(10.2))
    (seen,) = Tracker(speed_step_kmh=1.0).seen(drive, 0.0, Random(1))
    assert seen.speed_kmh == pytest.approx(floored(10.2) * KMH)
