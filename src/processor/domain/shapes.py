"""Shapes as they are written, in degrees: their middle, their edges, a box around them.

An edge is straight on the ground, a geodesic; GeoJSON would have it straight on the map, which is
0.4 m away in the middle of an edge of 5 km at 41 N. Long edges are cut into pieces, because a
geodesic is only nearly straight in a plane whose origin is far. Nothing here minds the date line.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from processor.domain.course import Area, Disc, Gate, Place, Ring, Shape
from processor.domain.plane import metres, places_between

PIECE_M = 2_000.0
"""A longer edge is cut: a piece of this length strays from its geodesic by under a millimetre in
any plane whose origin is within 50 km."""

SHORTEST_DEGREE_M = 110_500.0
"""No degree of latitude is shorter, on the ground."""

_LONGEST_DEGREE_M = 111_700.0  # and none of either is longer


def columns(places: Sequence[Place]) -> tuple[list[float], list[float]]:
    return [lon for lon, _ in places], [lat for _, lat in places]


def origin(shape: Shape) -> Place:
    """A disc's centre, else the middle of the box around the shape."""
    if isinstance(shape, Disc):
        return shape.centre
    corners = _unwound(shape.posts if isinstance(shape, Gate) else _corners(shape))
    west, east = min(lon for lon, _ in corners), max(lon for lon, _ in corners)
    south, north = min(lat for _, lat in corners), max(lat for _, lat in corners)
    return (west + east) / 2, (south + north) / 2


def _corners(area: Area) -> list[Place]:
    return [place for ring in area.rings for place in ring]


def _unwound(places: Sequence[Place]) -> list[Place]:
    """The same places without a leap at the date line: each within half a turn of the first."""
    first = places[0][0]
    return [(lon - 360 * round((lon - first) / 360), lat) for lon, lat in places]


def edges_of(shape: Shape) -> list[tuple[Place, Place]]:
    if isinstance(shape, Disc):
        return []
    if isinstance(shape, Gate):
        return [shape.posts]
    return [edge for ring in shape.rings for edge in _ring_edges(ring)]


def _ring_edges(ring: Ring) -> list[tuple[Place, Place]]:
    edges: list[tuple[Place, Place]] = []
    for start, end in zip(ring, (*ring[1:], ring[0]), strict=True):
        pieces = _pieces(start, end)
        way = [start, *places_between(start, end, pieces), end] if pieces > 1 else [start, end]
        edges.extend(pairwise(way))
    return edges


def _pieces(start: Place, end: Place) -> int:
    east, north = abs(end[0] - start[0]), abs(end[1] - start[1])
    if (east + north) * _LONGEST_DEGREE_M < PIECE_M:  # surely shorter, and most edges are
        return 1
    return math.ceil(metres(start, end) / PIECE_M)


def box_around(shape: Shape, margin_m: float) -> tuple[float, float, float, float]:
    """West, south, east, north in degrees around a shape and a margin. Near a pole, all the way
    round."""
    corners = [shape.centre] if isinstance(shape, Disc) else [s for s, _ in edges_of(shape)]
    if isinstance(shape, Gate):
        corners = list(shape.posts)
    corners = _unwound(corners)
    around = (margin_m + (shape.radius_m if isinstance(shape, Disc) else 0.0)) * 1.001
    tall = around / SHORTEST_DEGREE_M
    south, north = min(lat for _, lat in corners) - tall, max(lat for _, lat in corners) + tall
    widest = max(abs(south), abs(north))
    if widest > 89.5:
        return -540.0, south, 540.0, north
    wide = tall / math.cos(math.radians(widest))
    west, east = min(lon for lon, _ in corners) - wide, max(lon for lon, _ in corners) + wide
    return west, south, east, north
