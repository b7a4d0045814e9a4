"""The judge of `make soak`: what is flat passes, what grows does not."""

import math
import random

import attrs
import pytest

from proof.soak.judging import BEYOND_REST, EMPTY_AT_REST, GROWTH_MIB_H, Sample, faults, slope

REST = Sample(60.0, 70.0, 50.0, 20, 2, dict.fromkeys(EMPTY_AT_REST, 0.0))


def curve(minutes: float, mib_an_hour: float, *, noise: float = 0.3, warm_up: float = 20.0):
    """One sample in two seconds: a warm-up that fills up, then a line with noise."""
    chance = random.Random(1)
    samples = []
    for number in range(int(minutes * 30)):
        at_s = 2.0 * number
        uss = 50 + warm_up * (1 - math.exp(-at_s / (6 * minutes))) + mib_an_hour * at_s / 3600
        uss += chance.gauss(0, noise)
        samples.append(attrs.evolve(REST, at_s=at_s, uss_mib=uss, descriptors=30))
    return samples


@pytest.mark.parametrize("minutes", [10, 60, 240])
def test_what_fills_up_and_stays_is_flat(minutes: int) -> None:
    assert faults(curve(minutes, 0.0), REST, REST) == []


@pytest.mark.parametrize("minutes", [10, 60, 240])
def test_what_grows_is_found(minutes: int) -> None:
    (fault,) = faults(curve(minutes, 4 * GROWTH_MIB_H), REST, REST)
    assert fault.startswith("memory grows")


def test_noise_alone_is_no_growth() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        flat = slope([(float(second), chance.gauss(50, 1)) for second in range(0, 600, 2)])
        assert flat.per_hour - 3 * flat.error < GROWTH_MIB_H


def test_a_slope_is_told_as_it_is() -> None:
    found = slope([(float(second), 50 + second / 3600) for second in range(0, 3600, 10)])
    assert found.per_hour == pytest.approx(1.0)
    assert found.error == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", BEYOND_REST)
def test_what_does_not_come_back_is_found(name: str) -> None:
    before, beyond = getattr(REST, name), BEYOND_REST[name]
    samples = curve(10, 0.0)
    assert faults(samples, REST, attrs.evolve(REST, **{name: before + beyond})) == []
    (fault,) = faults(samples, REST, attrs.evolve(REST, **{name: before + beyond + 1}))
    assert fault.startswith(name)


@pytest.mark.parametrize("name", EMPTY_AT_REST)
@pytest.mark.parametrize("left", [1.0, None])
def test_what_is_left_at_rest_is_found(name: str, left: float | None) -> None:
    metrics = {each: value for each, value in REST.metrics.items() if each != name}
    if left is not None:
        metrics[name] = left
    (fault,) = faults(curve(10, 0.0), REST, attrs.evolve(REST, metrics=metrics))
    assert fault.startswith(name)
