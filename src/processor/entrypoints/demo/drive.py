"""Simulated vehicles whose place and speed are known exactly at every instant.

A `Drive` is a road (where: straights and arcs) and a pace (when: stretches of even acceleration),
both in closed form, on a drawing board in metres. A `Board` lays the drawing on the ellipsoid by
Vincenty's direct formula: a point lies where its distance and direction from the origin put it. The
racing rules have a projection of their own, so they can be judged by this one. A `Tracker` looks at
the drive at its own times, with the faults of a receiver. Chance is handed in, and seeded: the same
seed drives the same way.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from random import Random

from attrs import field, frozen

from processor.domain.course import Place
from processor.domain.instants import SECOND
from processor.domain.model import Fix

KMH = 3.6

# -- when ------------------------------------------------------------------------------------------


@frozen
class Leg:
    """So many seconds of even acceleration, m/s2; braking is below 0."""

    seconds: float
    acceleration: float = 0.0


@frozen
class Pace:
    """How a way is driven: at `start_ms` (m/s) before the first leg, and at the last leg's final
    speed behind it."""

    start_ms: float
    legs: tuple[Leg, ...] = ()

    def at(self, seconds: float) -> tuple[float, float]:
        """Metres driven and the speed in m/s, so many seconds after the first leg began."""
        way, speed, left = 0.0, self.start_ms, seconds
        for leg in self.legs:
            if left <= 0:
                break
            spent = min(left, leg.seconds)
            way += (speed + leg.acceleration * spent / 2) * spent
            speed += leg.acceleration * spent
            left -= spent
        return way + speed * left, max(speed, 0.0)


# -- where -----------------------------------------------------------------------------------------


@frozen
class Piece:
    """A straight or an arc from `from_m` of the road on: its start in metres, its heading there in
    radians clockwise from north, and how it turns to the right, in radians a metre."""

    from_m: float
    east: float
    north: float
    heading: float
    turn: float

    def at(self, way_m: float) -> tuple[float, float, float]:
        """East, north and heading at `way_m` of the road."""
        driven = way_m - self.from_m
        heading = self.heading + self.turn * driven
        if self.turn == 0:
            return (
                self.east + math.sin(heading) * driven,
                self.north + math.cos(heading) * driven,
                heading,
            )
        return (
            self.east + (math.cos(self.heading) - math.cos(heading)) / self.turn,
            self.north + (math.sin(heading) - math.sin(self.heading)) / self.turn,
            heading,
        )


@frozen
class Road:
    """Pieces in order. Before the first and behind the last the road goes on as they do."""

    pieces: tuple[Piece, ...]
    _starts: tuple[float, ...] = field(init=False, eq=False, repr=False)

    @_starts.default
    def _begin(self) -> tuple[float, ...]:
        return tuple(piece.from_m for piece in self.pieces)

    @classmethod
    def along(
        cls,
        east: float,
        north: float,
        heading_deg: float,
        stretches: Iterable[tuple[float, float]] = ((0.0, 0.0),),
    ) -> "Road":
        """A road that begins there. `stretches` are (metres, radius in metres): the radius is 0 of
        a straight, above 0 of a turn to the right and below 0 of one to the left."""
        pieces: list[Piece] = []
        heading, from_m = math.radians(heading_deg), 0.0
        for length_m, radius_m in stretches:
            piece = Piece(from_m, east, north, heading, 1 / radius_m if radius_m else 0.0)
            pieces.append(piece)
            from_m += length_m
            east, north, heading = piece.at(from_m)
        return cls(tuple(pieces))

    def at(self, way_m: float) -> tuple[float, float, float]:
        """East and north in metres, and the heading in radians, `way_m` metres along the road."""
        return self.pieces[max(0, bisect_right(self._starts, way_m) - 1)].at(way_m)


@frozen
class Drive:
    """A road driven at a pace."""

    road: Road
    pace: Pace

    def at(self, seconds: float) -> tuple[float, float, float]:
        """East and north in metres, and the speed in m/s."""
        way, speed = self.pace.at(seconds)
        east, north, _ = self.road.at(way)
        return east, north, speed


# -- the ellipsoid ---------------------------------------------------------------------------------

_A = 6_378_137.0
_F = 1 / 298.257223563
_B = _A * (1 - _F)


@frozen
class Board:
    """The drawing board on the ground, its point 0, 0 at `origin`."""

    origin: Place

    def place(self, east: float, north: float) -> Place:
        """Longitude and latitude of a point of the board, right to 0.1 mm (Vincenty, 1975)."""
        distance, azimuth = math.hypot(east, north), math.atan2(east, north)
        sin_a, cos_a = math.sin(azimuth), math.cos(azimuth)
        reduced = math.atan((1 - _F) * math.tan(math.radians(self.origin[1])))
        sin_u, cos_u = math.sin(reduced), math.cos(reduced)
        sin_alpha = cos_u * sin_a
        cos2_alpha = 1 - sin_alpha * sin_alpha
        u2 = cos2_alpha * (_A * _A - _B * _B) / (_B * _B)
        big_a = 1 + u2 / 16384 * (4096 + u2 * (-768 + u2 * (320 - 175 * u2)))
        big_b = u2 / 1024 * (256 + u2 * (-128 + u2 * (74 - 47 * u2)))
        start = math.atan2(sin_u, cos_u * cos_a)
        sigma = arc = distance / (_B * big_a)
        for _ in range(8):
            middle = math.cos(2 * start + sigma)
            correction = middle + big_b / 4 * (
                math.cos(sigma) * (2 * middle * middle - 1)
                - big_b / 6 * middle * (4 * math.sin(sigma) ** 2 - 3) * (4 * middle * middle - 3)
            )
            following = arc + big_b * math.sin(sigma) * correction
            if abs(following - sigma) < 1e-15:
                break
            sigma = following
        middle, sin_s, cos_s = math.cos(2 * start + sigma), math.sin(sigma), math.cos(sigma)
        level = sin_u * sin_s - cos_u * cos_s * cos_a
        latitude = math.atan2(
            sin_u * cos_s + cos_u * sin_s * cos_a,
            (1 - _F) * math.hypot(sin_alpha, level),
        )
        turned = math.atan2(sin_s * sin_a, cos_u * cos_s - sin_u * sin_s * cos_a)
        c = _F / 16 * cos2_alpha * (4 + _F * (4 - 3 * cos2_alpha))
        bent = sigma + c * sin_s * (middle + c * cos_s * (2 * middle * middle - 1))
        turned -= (1 - c) * _F * sin_alpha * bent
        return self.origin[0] + math.degrees(turned), math.degrees(latitude)


# -- the tracker -----------------------------------------------------------------------------------


@frozen
class Noise:
    """How far a receiver is off, to the east and to the north alike: a standard deviation in
    metres, and for how long (seconds) it stays off to the same side; 0: each fix by itself."""

    sigma_m: float = 0.0
    memory_s: float = 0.0

    def steps(self, interval_s: float, chance: Random) -> Iterator[tuple[float, float]]:
        """Metres east and north, fix after fix, without end."""
        kept = math.exp(-interval_s / self.memory_s) if self.memory_s else 0.0
        fresh = self.sigma_m * math.sqrt(1 - kept * kept)
        east, north = chance.gauss(0, self.sigma_m), chance.gauss(0, self.sigma_m)
        while True:
            yield east, north
            east = kept * east + chance.gauss(0, fresh)
            north = kept * north + chance.gauss(0, fresh)


@frozen
class Tracker:
    """A fix every `interval_s` seconds, the first at `phase_s`. Its speed is exact or, with
    `speed_step_kmh`, cut down to a multiple of that, as trackers send it."""

    interval_s: float = 1.0
    phase_s: float = 0.0
    speed_step_kmh: float = 0.0
    noise: Noise = Noise()

    def seen(self, drive: Drive, until_s: float, chance: Random) -> list["Sight"]:
        """What it sees of a drive up to an instant."""
        found = []
        count = math.floor((until_s - self.phase_s) / self.interval_s) + 1
        steps = self.noise.steps(self.interval_s, chance)
        for number, (off_east, off_north) in zip(range(count), steps, strict=False):
            seconds = round(self.phase_s + number * self.interval_s, 3)
            east, north, speed_ms = drive.at(seconds)
            found.append(
                Sight(seconds, east + off_east, north + off_north, self._told_kmh(speed_ms))
            )
        return found

    def _told_kmh(self, speed_ms: float) -> float:
        if not self.speed_step_kmh:
            return speed_ms * KMH
        # A car at exactly 90 km/h has 90, whatever its 25 m/s became on the way.
        return math.floor(speed_ms * KMH / self.speed_step_kmh + 1e-9) * self.speed_step_kmh


@frozen
class Sight:
    """A fix on the drawing board: seconds, metres east and north, km/h."""

    seconds: float
    east: float
    north: float
    speed_kmh: float

    def fix(self, board: Board, start: int) -> Fix:
        """The same on the ground; second 0 is the instant `start`, in microseconds."""
        longitude, latitude = board.place(self.east, self.north)
        return Fix(start + round(self.seconds * SECOND), latitude, longitude, self.speed_kmh)
