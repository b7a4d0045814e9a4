"""Where in a chord an instant lies, and how sure that is.

Between two fixes a car neither stands still nor drives evenly. The device's own speeds at both ends
say how it drove: a cubic (Hermite) through both places with both speeds is exact for even speed and
for even braking. It is used where the speeds can be believed beside the way that was driven; else
the car is taken to drive evenly (design/racing.md, Geometry, "The instant").
"""

import math

from attrs import frozen

KMH = 3.6
"""Kilometres per hour in a metre per second."""

LONGEST_CUBIC_S = 10.0
SHORT_S = 5.0
SLACK_MS = 1.0  # what the mean may lie outside of both speeds, m/s, or a tenth of it
STEEPEST = 3.0  # an end speed above this many means would drive the cubic backwards
SLOWEST_NORMAL_MS = 0.5
LEAST_ACCELERATION = 3.0  # m/s2, of ordinary driving
LEAST_UNCERTAINTY_MS = 10


@frozen
class Chord:
    """The straight line between two consecutive fixes: `length_m` on the ground, `seconds` in time,
    the device's speeds at its ends in m/s (None: not said)."""

    length_m: float
    seconds: float
    start_ms: float | None
    end_ms: float | None

    @property
    def mean_ms(self) -> float:
        """Its speed from end to end, m/s."""
        return self.length_m / self.seconds

    @property
    def cubic(self) -> bool:
        """Whether the speeds at the ends are believed."""
        if self.start_ms is None or self.end_ms is None or self.seconds > LONGEST_CUBIC_S:
            return False
        mean = self.mean_ms
        slack = max(SLACK_MS, 0.1 * mean)
        low, high = sorted((self.start_ms, self.end_ms))
        return low - slack <= mean <= high + slack and high <= STEEPEST * mean


def time_at(chord: Chord, share: float) -> float:
    """Seconds after the chord's start at which `share` of its way (0 to 1) was driven."""
    if not chord.cubic or chord.length_m == 0:
        return share * chord.seconds
    assert chord.start_ms is not None
    assert chord.end_ms is not None
    # s(t) / length, with t from 0 to 1: share = ((c3 t + c2) t + c1) t
    c1 = chord.start_ms / chord.mean_ms
    last = chord.end_ms / chord.mean_ms
    c2, c3 = 3 - 2 * c1 - last, c1 + last - 2
    low, high, t = 0.0, 1.0, share
    for _ in range(60):  # Newton, kept between two bounds; it ends after a handful
        value = ((c3 * t + c2) * t + c1) * t - share
        if value > 0:
            high = t
        else:
            low = t
        slope = (3 * c3 * t + 2 * c2) * t + c1
        step = t - value / slope if slope > 0 else low
        following = step if low < step < high else (low + high) / 2
        if abs(following - t) < 1e-12:
            break
        t = following
    return t * chord.seconds


def uncertainty_ms(
    chord: Chord, seconds: float, normal_ms: float, sigma_m: float, hdop: float
) -> int:
    """The 95 % half width of an instant `seconds` after the chord's start, in whole milliseconds.

    `normal_ms` is the chord's speed across the edge, m/s; `sigma_m` a good fix's standard deviation
    and `hdop` what multiplies it. Two parts: how well the place is known, and what may have
    happened between the fixes.
    """
    v = max(normal_ms, SLOWEST_NORMAL_MS)
    place = sigma_m * max(1.0, hdop) / v
    acceleration = LEAST_ACCELERATION
    if chord.start_ms is not None and chord.end_ms is not None:
        acceleration = max(acceleration, abs(chord.end_ms - chord.start_ms) / chord.seconds)
    between = acceleration * seconds * (chord.seconds - seconds) / (2 * v)
    if chord.cubic and chord.seconds <= SHORT_S:
        between /= 3
    wide = math.ceil(1000 * 2 * math.hypot(place, between / 2))
    within = math.ceil(1000 * max(seconds, chord.seconds - seconds))
    return max(LEAST_UNCERTAINTY_MS, min(wide, within))
