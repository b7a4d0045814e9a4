"""What is tried: drives of seven kinds over objects of three kinds, each drawn by chance.

A trial is a drive past one object. Many trackers look at each: of four rates, at a phase of their
own, and of four kinds of receiver.
"""

import math
from collections.abc import Callable, Iterator
from random import Random

from attrs import frozen

from processor.entrypoints.demo.drive import Drive, Leg, Noise, Pace, Road, Tracker
from proof.accuracy.targets import Convex, Line, Round, Target

RATES_HZ = (1.0, 0.5, 0.2, 0.1)
LATITUDES = (0.0, 41.0, 60.0, 70.0)
APPROACH_M = 400.0
"""Of road before the object's middle. Behind it, twice as much: an exit is believed when a fix lies
well outside, and at 0.1 Hz that is far."""

EXACT, WHOLE, WHITE, MINUTE = (
    "exact fixes and speeds",
    "exact fixes, whole km/h",
    "3 m, each fix by itself",
    "3 m, for a minute",
)
RECEIVERS: dict[str, tuple[float, Noise]] = {
    EXACT: (0.0, Noise()),
    WHOLE: (1.0, Noise()),
    WHITE: (1.0, Noise(3.0)),
    MINUTE: (1.0, Noise(3.0, 60.0)),
}
"""By name: to how many km/h the speed is cut down, and how far the fixes are off."""


@frozen
class Trial:
    """A drive of a kind over a target, at a latitude, seen from second 0 to `until_s`. `draw` is
    what chance is seeded with: the same at every latitude, so that only the ground differs."""

    number: int
    draw: str
    path: str
    latitude: float
    target: Target
    drive: Drive
    until_s: float

    def __str__(self) -> str:
        return f"{self.path}, {self.target.name}, {self.latitude:g} N, trial {self.number}"


def trials(each: int, seed: int) -> Iterator[Trial]:
    """So many of every path, target and latitude. The n-th is the same for equal seeds."""
    number = 0
    for path, draw in PATHS.items():
        for target in TARGETS:
            for latitude in LATITUDES:
                for turn in range(each):
                    name = f"{seed}/{path}/{target.__name__}/{turn}"
                    chance = Random(name)
                    drive, until_s, heading = draw(chance)
                    there = target(chance, heading)
                    yield Trial(number, name, path, latitude, there, drive, until_s)
                    number += 1


def trackers(trial: Trial) -> Iterator[tuple[str, float, Tracker, Random]]:
    """(receiver, rate in Hz, tracker, chance) of all that look at a trial."""
    for receiver, (step_kmh, noise) in RECEIVERS.items():
        for rate in RATES_HZ:
            chance = Random(f"{trial.draw}/{receiver}/{rate}")
            phase = round(chance.uniform(0, 1 / rate), 3)
            yield receiver, rate, Tracker(1 / rate, phase, step_kmh, noise), chance


# -- targets --------------------------------------------------------------------------------------


def _gate(chance: Random, heading: float) -> Target:
    """60 m wide, up to 30 degrees askew."""
    turn = heading + math.radians(chance.uniform(-30, 30))
    east, north = 30 * math.cos(turn), -30 * math.sin(turn)
    return Line((-east, -north), (east, north))


def _disc(chance: Random, heading: float) -> Target:
    return Round(chance.uniform(40, 90))


def _area(chance: Random, heading: float) -> Target:
    """Six to nine corners on an ellipse."""
    corners = chance.randint(6, 9)
    long, short = chance.uniform(60, 110), chance.uniform(45, 60)
    turn = chance.uniform(0, math.tau)
    found = []
    for corner in range(corners):
        angle = math.tau * (corner + chance.uniform(-0.25, 0.25)) / corners
        x, y = long * math.sin(angle), short * math.cos(angle)
        found.append(
            (x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn))
        )
    return Convex(tuple(found))


TARGETS = (_gate, _disc, _area)

# -- drives ---------------------------------------------------------------------------------------

Drawn = tuple[Drive, float, float]
"""The drive, how many seconds of it, and its heading at the object in radians."""


def _drawn(chance: Random, pace: Pace, stretches: list[tuple[float, float]] | None = None) -> Drawn:
    """Driven so that APPROACH_M along the road the object's middle is passed, up to 15 m beside."""
    way = stretches or [(0.0, 0.0)]
    heading = chance.uniform(0, 360)
    east, north, there = Road.along(0, 0, heading, way).at(APPROACH_M)
    beside = chance.uniform(-15, 15)
    road = Road.along(
        -east + beside * math.cos(there), -north - beside * math.sin(there), heading, way
    )
    return Drive(road, pace), _seconds(pace, 3 * APPROACH_M), there


def _seconds(pace: Pace, way_m: float) -> float:
    seconds = 0.0
    while pace.at(seconds)[0] < way_m:
        seconds += 1.0
    return seconds


def _even(chance: Random) -> Drawn:
    return _drawn(chance, Pace(chance.uniform(8, 40)))


def _changing(chance: Random, acceleration: float) -> Drawn:
    """Evenly changing speed from well before the object to well behind it."""
    middle, around = chance.uniform(17, 28), 125.0
    start = math.sqrt(max(middle**2 - 2 * acceleration * around, 25.0))
    end = math.sqrt(max(middle**2 + 2 * acceleration * around, 25.0))
    before = (APPROACH_M - around) / start
    return _drawn(
        chance, Pace(start, (Leg(before), Leg(abs(end - start) / abs(acceleration), acceleration)))
    )


def _braking(chance: Random) -> Drawn:
    """Down to 5 m/s at the least, which is soon behind the object for the hardest."""
    return _changing(chance, -chance.uniform(0.5, 4.0))


def _accelerating(chance: Random) -> Drawn:
    return _changing(chance, chance.uniform(0.5, 4.0))


def _brake_point(chance: Random) -> Drawn:
    """Hard on the brakes from somewhere near the first edge on, then evenly on."""
    start, end = chance.uniform(20, 40), chance.uniform(8, 15)
    point = APPROACH_M - chance.uniform(-10, 110)
    return _drawn(chance, Pace(start, (Leg(point / start), Leg((start - end) / 6.0, -6.0))))


def _turning(chance: Random) -> Drawn:
    """Half a circle, with the object in its middle."""
    radius = chance.uniform(30, 120)
    arc = math.pi * radius
    side = chance.choice((-1, 1))
    way = [(APPROACH_M - arc / 2, 0.0), (arc, side * radius), (2 * APPROACH_M, 0.0)]
    return _drawn(chance, Pace(math.sqrt(radius * chance.uniform(2, 6))), way)


def _winding(chance: Random) -> Drawn:
    """Bends and straights, braking and accelerating, as on a stage."""
    way: list[tuple[float, float]] = []
    while sum(length for length, _ in way) < 3 * APPROACH_M:
        way += [
            (chance.uniform(20, 120), 0.0),
            (chance.uniform(15, 80), chance.choice((-1, 1)) * chance.uniform(30, 200)),
        ]
    start = speed = chance.uniform(10, 30)
    legs = []
    for _ in range(40):
        wanted = chance.uniform(8, 32)
        acceleration = chance.uniform(1, 3) if wanted > speed else -chance.uniform(2, 7)
        legs += [Leg((wanted - speed) / acceleration, acceleration), Leg(chance.uniform(0, 4))]
        speed = wanted
    return _drawn(chance, Pace(start, tuple(legs)), way)


def _standing(chance: Random) -> Drawn:
    """A stand of a minute where an edge may be near: anywhere in the last 120 m before the middle.
    Then on, over the object."""
    start = chance.uniform(12, 25)
    stand = APPROACH_M - chance.uniform(4, 120)
    braking = 4.0
    before = (stand - start**2 / (2 * braking)) / start
    legs = (Leg(before), Leg(start / braking, -braking), Leg(60.0), Leg(start / 3.0, 3.0))
    return _drawn(chance, Pace(start, legs))


PATHS: dict[str, Callable[[Random], Drawn]] = {
    "even speed": _even,
    "braking": _braking,
    "accelerating": _accelerating,
    "brake point": _brake_point,
    "half circle": _turning,
    "winding": _winding,
    "a stand near an edge": _standing,
}
STAND = "a stand near an edge"
