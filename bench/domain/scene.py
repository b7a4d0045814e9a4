"""A course of many objects along roads, and vehicles that drive them at rally speeds.

A road is 50 km long, winds, and has an object a kilometre: a disc, an area of 50 corners and a gate
in turn. The roads lie across one another in a square of 100 km. Vehicles send a fix a second, off
by 3 m for a minute on end, their speeds cut to whole km/h.
"""

import math
from random import Random

from attrs import frozen

from processor.domain.course import (
    Area,
    Course,
    Disc,
    Gate,
    Kind,
    Object,
    Segment,
    SegmentType,
    Shape,
    Stage,
)
from processor.domain.model import Track
from processor.entrypoints.demo.drive import Board, Drive, Leg, Noise, Pace, Road, Tracker

ROAD_M = 50_000.0
APART_M = 1_000.0
SQUARE_M = 100_000.0
CORNERS = 50
SLOWEST_MS, FASTEST_MS = 12.0, 36.0  # 43 to 130 km/h
START = 1_780_819_200_000_000  # 2026-06-07T08:00:00Z
TRACKER = Tracker(speed_step_kmh=1.0, noise=Noise(3.0, 60.0))


@frozen(eq=False)
class Scene:
    course: Course
    tracks: tuple[Track, ...]

    @property
    def shapes(self) -> list[Shape]:
        return [thing.shape for _, thing in self.course.objects()]

    @property
    def fixes(self) -> int:
        return sum(map(len, self.tracks))


def scene(objects: int, vehicles: int, seed: int) -> Scene:
    """So many objects, and so many vehicles on their roads."""
    chance = Random(seed)
    board = Board((19.8, 41.3))
    per_road = int(ROAD_M / APART_M)
    roads = [_road(chance) for _ in range(math.ceil(objects / per_road))]
    shapes = [
        _shape(board, road, place * APART_M, number, chance)
        for number, (road, place) in enumerate(
            (road, place) for road in roads for place in range(1, per_road + 1)
        )
    ][:objects]
    things = tuple(Object(f"{n:05d}", Kind.CHECKPOINT, shape) for n, shape in enumerate(shapes))
    segment = Segment("SS1", SegmentType.SPECIAL_STAGE, things)
    tracks = tuple(
        _track(board, Drive(roads[number % len(roads)], _pace(chance)), number, chance)
        for number in range(vehicles)
    )
    return Scene(Course("bench", (Stage("SS1", (segment,)),)), tracks)


def _road(chance: Random) -> Road:
    stretches, length = [], 0.0
    while length < ROAD_M:
        straight, bend = chance.uniform(50, 600), chance.uniform(20, 250)
        radius = chance.choice((-1, 1)) * chance.uniform(60, 500)
        stretches += [(straight, 0.0), (bend, radius)]
        length += straight + bend
    east, north = (chance.uniform(-SQUARE_M / 2, SQUARE_M / 2) for _ in range(2))
    return Road.along(east, north, chance.uniform(0, 360), stretches)


def _pace(chance: Random) -> Pace:
    """Faster and slower, without end for as long as the road is."""
    start = speed = chance.uniform(SLOWEST_MS, FASTEST_MS)
    legs, way = [], 0.0
    while way < ROAD_M:
        wanted = chance.uniform(SLOWEST_MS, FASTEST_MS)
        acceleration = chance.uniform(1.0, 3.0) if wanted > speed else -chance.uniform(2.0, 7.0)
        legs += [Leg((wanted - speed) / acceleration, acceleration), Leg(chance.uniform(2, 20))]
        way += (wanted + speed) / 2 * legs[-2].seconds + wanted * legs[-1].seconds
        speed = wanted
    return Pace(start, tuple(legs))


def _shape(board: Board, road: Road, way_m: float, number: int, chance: Random) -> Shape:
    east, north, heading = road.at(way_m)
    kind = number % 3
    if kind == 0:
        return Disc(board.place(east, north), chance.uniform(20, 90))
    if kind == 1:
        size = chance.uniform(60, 200)
        ring = []
        for corner in range(CORNERS):
            angle, away = math.tau * corner / CORNERS, size * chance.uniform(0.85, 1.15)
            ring.append(board.place(east + away * math.sin(angle), north + away * math.cos(angle)))
        return Area((tuple(ring),))
    half = chance.uniform(10, 25)
    across, along = half * math.cos(heading), half * math.sin(heading)
    posts = (
        board.place(east - across, north + along),
        board.place(east + across, north - along),
    )
    return Gate(posts, math.degrees(heading) % 360)


def _track(board: Board, drive: Drive, number: int, chance: Random) -> Track:
    seconds = sum(leg.seconds for leg in drive.pace.legs)
    seen = TRACKER.seen(drive, seconds, chance)
    return Track.of(f"{number:015d}", (sight.fix(board, START) for sight in seen))
