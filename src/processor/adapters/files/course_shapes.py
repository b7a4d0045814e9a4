"""Geometry as files write it, made into the domain's shapes.

Coordinates are rounded to 1e-7 degrees at once, so that everything behind this sees the same
numbers. A shape that nothing could ever pass (a line without length, a ring without area) is a
mistake of the file; a ring that crosses itself is not, for the domain says what lies in it.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from processor.adapters.files.course_file import Misplaced
from processor.adapters.files.course_structs import (
    GeometryJson,
    LineStringJson,
    MultiPolygonJson,
    PointJson,
    PolygonJson,
)
from processor.domain.course import Area, Disc, Gate, Place, Ring, Shape

DEGREE_DIGITS = 7
METRE_DIGITS = 3

Warn = Callable[[str, str], None]
"""Takes a place and a sentence."""


def shape_of(
    geometry: GeometryJson,
    radius_m: float | None,
    direction_deg: float | None,
    place: str,
    warn: Warn,
) -> Shape:
    """The shape of a thing at `place`. Raises Misplaced."""
    if not isinstance(geometry, PointJson) and radius_m is not None:
        warn(f"{place}.radius_m", "is of a Point only; it is left out")
    if not isinstance(geometry, LineStringJson) and direction_deg is not None:
        warn(f"{place}.direction_deg", "is of a LineString (a gate) only; it is left out")
    coordinates = f"{place}.geometry.coordinates"
    match geometry:
        case PointJson(centre):
            if radius_m is None:
                raise Misplaced(place, 'must have "radius_m", because its geometry is a Point')
            return Disc(_place(centre, coordinates), round(radius_m, METRE_DIGITS))
        case LineStringJson(posts):
            return Gate(_posts(posts, coordinates), direction_deg)
        case PolygonJson(rings):
            return Area(_rings(rings, coordinates, warn))
        case MultiPolygonJson(polygons):
            found: list[Ring] = []
            for number, rings in enumerate(polygons):
                found.extend(_rings(rings, f"{coordinates}[{number}]", warn))
            if not found:
                raise Misplaced(coordinates, "must hold at least one polygon")
            return Area(tuple(found))


def is_empty(geometry: GeometryJson) -> bool:
    """Whether it has no coordinates at all, which GeoJSON allows: it is nowhere."""
    return not isinstance(geometry, PointJson) and not geometry.coordinates


def _place(position: Sequence[float], where: str) -> Place:
    longitude, latitude = position[:2]
    if not -180 <= longitude <= 180:
        raise Misplaced(f"{where}[0]", "must be a longitude from -180 to 180")
    if not -90 <= latitude <= 90:
        raise Misplaced(f"{where}[1]", "must be a latitude from -90 to 90 (longitude comes first)")
    return round(longitude, DEGREE_DIGITS) + 0.0, round(latitude, DEGREE_DIGITS) + 0.0  # no -0.0


def _posts(positions: Sequence[Sequence[float]], where: str) -> tuple[Place, Place]:
    if len(positions) != 2:
        raise Misplaced(where, f"must be two places, a gate's posts, not {len(positions)}")
    left, right = (_place(each, f"{where}[{n}]") for n, each in enumerate(positions))
    if left == right:
        raise Misplaced(where, "must be two different places: a gate has a length")
    return left, right


def _rings(rings: Sequence[Sequence[Sequence[float]]], where: str, warn: Warn) -> tuple[Ring, ...]:
    if not rings:
        raise Misplaced(where, "must hold at least one ring")
    return tuple(_ring(ring, f"{where}[{number}]", warn) for number, ring in enumerate(rings))


def _ring(positions: Sequence[Sequence[float]], where: str, warn: Warn) -> Ring:
    """The ring without its closing place and without repeated ones."""
    places = [_place(each, f"{where}[{number}]") for number, each in enumerate(positions)]
    if places and places[0] != places[-1]:
        warn(where, "is not closed; its last place was joined to its first")
    ring = [*places[:1], *(place for before, place in pairwise(places) if place != before)]
    while len(ring) > 1 and ring[0] == ring[-1]:
        ring.pop()
    if len(set(ring)) < 3:
        raise Misplaced(where, "must be a closed ring of at least three different places")
    if _flat(ring):
        raise Misplaced(where, "must enclose an area: all its places lie on one line")
    return tuple(ring)


def _flat(ring: Sequence[Place]) -> bool:
    """Whether all places lie on one line, in whole units of 1e-7 degrees, so exactly."""
    units = [(round(lon * 10**7), round(lat * 10**7)) for lon, lat in ring]
    (x0, y0), (x1, y1) = units[0], units[1]
    return all((x1 - x0) * (y - y0) == (y1 - y0) * (x - x0) for x, y in units)
