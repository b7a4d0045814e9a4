"""`make accuracy` measures: so its truth is the truth, and it counts rightly."""

import math
from collections import defaultdict
from random import Random

import pytest

from processor.entrypoints.demo.drive import Drive, Pace, Road
from proof.accuracy import report
from proof.accuracy.__main__ import measure
from proof.accuracy.figures import Figures, matched
from proof.accuracy.methods import Found, later_fix, linear
from proof.accuracy.report import LATER, LINEAR, METHODS, OURS, Key, some
from proof.accuracy.targets import Convex, Line, Round, Truth, truth
from proof.accuracy.trials import EXACT, MINUTE, RATES_HZ, Trial, trackers, trials

EAST = Drive(Road.along(-100, 0, 90), Pace(20.0))
SQUARE = Convex(((-30.0, -30.0), (-30.0, 30.0), (30.0, 30.0), (30.0, -30.0)))
GATE = Line((0.0, -10.0), (0.0, 10.0))


def told(found: list[Truth]) -> list[tuple[str, float, float]]:
    return [(each.kind, round(each.seconds, 6), round(each.across_ms, 3)) for each in found]


def test_the_truth_of_an_even_drive_is_a_division():
    assert told(truth(Round(40.0), EAST, 20.0)) == [("enter", 3.0, 20.0), ("exit", 7.0, 20.0)]
    assert told(truth(SQUARE, EAST, 20.0)) == [("enter", 3.5, 20.0), ("exit", 6.5, 20.0)]
    assert told(truth(GATE, EAST, 20.0)) == [("cross", 5.0, 20.0)]
    beside = Drive(Road.along(-100, 11, 90), Pace(20.0))
    assert truth(GATE, beside, 20.0) == []


@pytest.mark.parametrize("target", [Round(40.0), SQUARE, GATE])
def test_the_straight_line_is_right_for_an_even_drive_on_a_straight(target):
    trial = Trial(0, "", "", 0.0, target, EAST, 20.0)
    for receiver, _, tracker, chance in trackers(trial):
        if receiver == EXACT:
            sights = tracker.seen(EAST, 20.0, chance)
            true = [each for each in truth(target, EAST, 20.0) if each.seconds > sights[0].seconds]
            found = linear(target, sights)
            assert [each.kind for each in found] == [each.kind for each in true]
            for one, other in zip(found, true, strict=True):
                assert one.seconds == pytest.approx(other.seconds, abs=1e-6)
            for late in later_fix(target, sights):
                assert late.seconds in [sight.seconds for sight in sights]


def test_what_has_no_partner_was_missed_or_is_false():
    true = [Truth("enter", 10.0, 5.0), Truth("exit", 20.0, 5.0)]
    found = [Found("enter", 2.0), Found("enter", 10.4), Found("enter", 11.0)]
    of = matched(true, found)
    assert of.pairs == ((true[0], found[1]),)
    assert (of.missed, of.false) == (1, 2)


def test_as_many_as_there_were_are_taken_in_order():
    true = [Truth("cross", 10.0, 5.0), Truth("cross", 20.0, 5.0)]
    found = [Found("cross", 19.0), Found("cross", 70.0)]
    assert [pair[1].seconds for pair in matched(true, found).pairs] == [19.0, 70.0]


def test_figures_are_sums():
    figures = Figures()
    true = [Truth("enter", 10.0, 15.0), Truth("exit", 20.0, 10.0)]
    figures.add(matched(true, [Found("enter", 10.3, 0.31), Found("exit", 20.4, 0.3)]), "a case")
    assert figures.rms_ms == pytest.approx(1000 * math.sqrt((0.09 + 0.16) / 2))
    assert figures.best_ms == pytest.approx(1000 * math.sqrt((0.2**2 + 0.3**2) / 2))
    assert figures.worst_ms == pytest.approx(400)
    assert figures.worst_case == "a case, exit at 36 km/h"
    assert figures.coverage == 0.5
    both = figures.plus(figures)
    assert (both.true, both.count, both.rms_ms) == (4, 4, pytest.approx(figures.rms_ms))


def test_equal_seeds_try_the_same():
    assert list(trials(1, 5)) == list(trials(1, 5))
    assert [t.drive for t in trials(1, 5)] != [t.drive for t in trials(1, 6)]


@pytest.fixture(scope="module")
def found() -> dict[Key, Figures]:
    figures: dict[Key, Figures] = defaultdict(Figures)
    for trial in trials(1, 5):
        if trial.latitude == 41.0:
            measure(trial, figures, tell=False)
    return figures


def test_ours_is_the_best_of_three(found: dict[Key, Figures]):
    for rate in RATES_HZ:
        ours, straight, late = (
            some(
                found,
                lambda key, method=method, rate=rate: (
                    (key.method, key.receiver, key.rate) == (method, EXACT, rate)
                    and report.moving(key)
                ),
            ).rms_ms
            for method in (OURS, LINEAR, LATER)
        )
        assert ours < straight < late


def test_most_are_right_within_what_they_claim(found: dict[Key, Figures]):
    noisy = some(found, lambda key: key.method == OURS and key.receiver == MINUTE)
    assert noisy.count > 80
    assert 0.88 < noisy.coverage <= 1.0


def test_the_report_says_first_what_nobody_can_do(found: dict[Key, Figures]):
    text = report.text(found, 1, 1.0)
    assert text.startswith("**With 3 m of noise nobody can do better than 3 m / v**")
    assert all(method in text for method in METHODS)


def test_chance_is_the_callers():
    trial = next(iter(trials(1, 5)))
    seen = [tracker.seen(trial.drive, 10.0, chance) for _, _, tracker, chance in trackers(trial)]
    Random(0).random()
    assert seen == [
        tracker.seen(trial.drive, 10.0, chance) for _, _, tracker, chance in trackers(trial)
    ]
