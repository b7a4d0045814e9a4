"""The ground as a plane, one for each object, with its origin in the object.

A place becomes a point of space on the WGS 84 ellipsoid once; from there to any object's plane it
is a few additions and multiplications. The plane is azimuthal equidistant: a place lies where its
true distance and direction from the origin put it. Near the origin that is the ground itself: to
1 mm within 5 km, and to 1 cm from the origin far beyond (tests/unit/domain/test_plane.py, against
geographiclib at five latitudes).

Every step behind sine and cosine is one of the exact operations of IEEE 754, done for each element
by itself, and those two are asked of the C library one number at a time. So a fix has the same
coordinates whether it comes alone or among a thousand: numpy's own sine promises no such thing.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from processor.domain.course import Place
from processor.domain.model import Floats, Integers

_A = 6_378_137.0  # semi-major axis, metres
_F = 1 / 298.257223563
_E2 = _F * (2 - _F)  # first eccentricity, squared
_B = _A * (1 - _F)
_SECOND_E2 = _E2 / (1 - _E2)


@frozen(eq=False)
class Spatial:
    """Points of space, metres from the earth's centre (x to the meridian of Greenwich, z to the
    north pole)."""

    x: Floats
    y: Floats
    z: Floats

    def at(self, index: Integers | slice) -> "Spatial":
        """Some of them."""
        return Spatial(self.x[index], self.y[index], self.z[index])

    def one(self, index: int) -> tuple[float, float, float]:
        """One of them, as numbers."""
        return float(self.x[index]), float(self.y[index]), float(self.z[index])


def spatial(longitude: Iterable[float], latitude: Iterable[float]) -> Spatial:
    """Where places at sea level lie in space. Degrees."""
    sin, cos, root, degree = math.sin, math.cos, math.sqrt, math.pi / 180
    points = []
    for lon, lat in zip(longitude, latitude, strict=True):
        along, up = lon * degree, lat * degree
        sine, cosine = sin(up), cos(up)
        normal = _A / root(1 - _E2 * sine * sine)
        level = normal * cosine
        points.append((level * cos(along), level * sin(along), normal * (1 - _E2) * sine))
    columns = np.array(points, dtype=np.float64).reshape(-1, 3)
    return Spatial(*(np.ascontiguousarray(columns[:, axis]) for axis in range(3)))


def places_between(start: Place, end: Place, pieces: int) -> list[Place]:
    """The inner places that cut the straight way from start to end into equal pieces."""
    ends = spatial((start[0], end[0]), (start[1], end[1]))
    found = []
    for step in range(1, pieces):
        share = step / pieces
        x, y, z = (
            float(axis[0] + (axis[1] - axis[0]) * share) for axis in (ends.x, ends.y, ends.z)
        )
        level = math.hypot(x, y)
        # Bowring: the latitude of a point that lies a little under the surface.
        reduced = math.atan2(z * _A, level * _B)
        latitude = math.atan2(
            z + _SECOND_E2 * _B * math.sin(reduced) ** 3,
            level - _E2 * _A * math.cos(reduced) ** 3,
        )
        found.append((math.degrees(math.atan2(y, x)), math.degrees(latitude)))
    return found


class Planes:
    """A plane for each of several origins. `project` takes many points to the planes of their
    choice, `project_one` a single one: the same arithmetic, without the cost of columns."""

    def __init__(self, origins: Sequence[Place]) -> None:
        longitude = [math.radians(lon) for lon, _ in origins]
        latitude = [math.radians(lat) for _, lat in origins]
        sin_lon, cos_lon = (np.array([f(turn) for turn in longitude]) for f in (math.sin, math.cos))
        sin_lat, cos_lat = (np.array([f(turn) for turn in latitude]) for f in (math.sin, math.cos))
        origin = spatial([lon for lon, _ in origins], [lat for _, lat in origins])
        bend = 1 - _E2 * sin_lat * sin_lat
        self._columns = (
            *(origin.x, origin.y, origin.z),
            *(-sin_lon, cos_lon),  # what is east
            *(-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat),  # what is north
            # How the ground bends to the east and to the north: one over its radius, 1/m.
            *(np.sqrt(bend) / _A, np.sqrt(bend) * bend / (_A * (1 - _E2))),
        )
        self._rows = list(zip(*(column.tolist() for column in self._columns), strict=True))

    def project(self, which: Integers | int, points: Spatial) -> tuple[Floats, Floats]:
        """Metres east and north of the origins number `which`: one for each point, or one for all
        of them."""
        east, north = _unfold(
            np.sqrt, points.x, points.y, points.z, *(column[which] for column in self._columns)
        )
        return east, north

    def project_one(self, which: int, x: float, y: float, z: float) -> tuple[float, float]:
        """Metres east and north of the origin number `which`."""
        east, north = _unfold(math.sqrt, x, y, z, *self._rows[which])
        return east, north


def _unfold(
    root: Callable[[Any], Any], x: Any, y: Any, z: Any,
    ox: Any, oy: Any, oz: Any, e1: Any, e2: Any, n1: Any, n2: Any, n3: Any,
    bend_east: Any, bend_north: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """Points of space to a plane; of numbers or of columns, which `root` is for."""
    dx, dy, dz = x - ox, y - oy, z - oz
    east = e1 * dx + e2 * dy
    north = n1 * dx + n2 * dy + n3 * dz
    level = east * east + north * north
    level = level + (level == 0)  # the origin itself stays where it is
    through = dx * dx + dy * dy + dz * dz
    # Euler: how the ground bends in the direction of the point.
    bend = (bend_east * (east * east) + bend_north * (north * north)) / level
    # From the line through the earth to the way along its surface.
    arc = through * bend * bend / 24
    stretch = root(through / level) * (1 + arc + 2.7 * arc * arc)
    return east * stretch, north * stretch


def metres(start: Place, end: Place) -> float:
    """The distance of two places along the ground."""
    there = spatial((end[0],), (end[1],))
    east, north = Planes([start]).project_one(0, *there.one(0))
    return math.sqrt(east * east + north * north)
