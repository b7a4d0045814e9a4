"""Figures on the ground: what lies near a track, which chords meet an edge, how far a place is.

All figures of a course are compiled together into columns: a disc is its radius, a gate one edge,
an area the edges of its rings; each in the plane of its own origin. A chord is the straight line
between two fixes. Whatever is asked, is asked of many (figure, chord) pairs at once, element by
element, and a lone chord takes the same way: there is one arithmetic and no second opinion.

Distances are compared after rounding to a millimetre: a place within half a millimetre of an edge
is on it, and inside. An edge is straight on the ground (a geodesic); long ones are cut into pieces.

This room alone knows shapely, and of it only the tree that finds the figures near a chord.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import shapely
from attrs import frozen

from processor.domain.course import Disc, Gate, Place, Shape
from processor.domain.model import Floats, Integers
from processor.domain.plane import Planes, Spatial, spatial
from processor.domain.shapes import box_around, columns, edges_of, origin

Bools = npt.NDArray[np.bool_]

TOUCH_M = 0.002
"""Whatever comes this near to a corner or lies this flat on an edge is looked at with care: above
the half millimetre that rounding decides, above the noise of the arithmetic."""

_MARGIN_M = 1.0


def to_mm(metres: Floats) -> Floats:
    """Distances in whole millimetres: what is compared."""
    return np.asarray(np.rint(metres * 1000.0))


def rounded(distance_m: float) -> float:
    """A distance as it is said: to the millimetre."""
    return round(distance_m, 3)


@frozen(eq=False)
class Chords:
    """Pairs of a figure and a chord, both ends in the figure's plane (metres east and north)."""

    figure: Integers
    px: Floats
    py: Floats
    qx: Floats
    qy: Floats

    def __len__(self) -> int:
        return len(self.figure)

    def only(self, index: npt.NDArray[np.generic]) -> "Chords":
        """Some of them."""
        return Chords(
            self.figure[index], self.px[index], self.py[index], self.qx[index], self.qy[index]
        )


class Figures:
    """The compiled shapes of a course. A figure is known by its number, `numbers[id]`.

    `reach_m` of a figure is how far outside of it a chord is still of interest: the hysteresis.
    """

    def __init__(self, shapes: Mapping[str, Shape], hysteresis_m: float) -> None:
        self.ids = list(shapes)
        self.numbers = {name: number for number, name in enumerate(self.ids)}
        self.shapes = list(shapes.values())
        self.planes = Planes([origin(shape) for shape in self.shapes])
        self.radius = np.array([s.radius_m if isinstance(s, Disc) else 0.0 for s in self.shapes])
        self.is_disc = np.array([isinstance(s, Disc) for s in self.shapes], dtype=bool)
        self.is_gate = np.array([isinstance(s, Gate) for s in self.shapes], dtype=bool)
        self.is_area = ~self.is_disc & ~self.is_gate
        self.reach_m = np.where(
            self.is_disc, np.minimum(hysteresis_m, self.radius / 5), hysteresis_m
        )
        self._compile_edges()
        self.extent = self._extents()
        self._plant_tree()

    # -- compiling ---------------------------------------------------------------------------------

    def _compile_edges(self) -> None:
        starts: list[Place] = []
        ends: list[Place] = []
        owner: list[int] = []
        self.edge_first = np.zeros(len(self.shapes) + 1, dtype=np.int64)
        for number, shape in enumerate(self.shapes):
            for start, end in edges_of(shape):
                starts.append(start)
                ends.append(end)
                owner.append(number)
            self.edge_first[number + 1] = len(starts)
        owners = np.array(owner, dtype=np.int64)
        self.ax, self.ay = self.planes.project(owners, spatial(*columns(starts)))
        self.bx, self.by = self.planes.project(owners, spatial(*columns(ends)))

    def _extents(self) -> Floats:
        """How far each figure stretches from its origin, metres."""
        extent = self.radius.copy()
        if len(self.ax):
            owners = np.repeat(np.arange(len(self.shapes)), np.diff(self.edge_first))
            corner = np.sqrt(self.ax * self.ax + self.ay * self.ay)
            np.maximum.at(extent, owners, corner)
            np.maximum.at(extent, owners, np.sqrt(self.bx * self.bx + self.by * self.by))
        return extent

    def _plant_tree(self) -> None:
        boxes: list[tuple[float, float, float, float]] = []
        owners: list[int] = []
        for number, shape in enumerate(self.shapes):
            margin = float(self.reach_m[number]) + _MARGIN_M
            west, south, east, north = box_around(shape, margin)
            for turn in (-360.0, 0.0, 360.0):
                if west + turn <= 181.0 and east + turn >= -181.0:
                    boxes.append((west + turn, south, east + turn, north))
                    owners.append(number)
        corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        self._boxed = np.array(owners, dtype=np.int64)
        self._tree = shapely.STRtree(shapely.box(*corners.T))

    # -- finding -----------------------------------------------------------------------------------

    def near(
        self, lon: tuple[Floats, Floats], lat: tuple[Floats, Floats]
    ) -> tuple[Integers, Integers]:
        """Which figures a chord could concern: (number of the chord, number of the figure), sorted
        by figure, then chord. `lon`, `lat`: of the chords' starts and ends, degrees."""
        start, end = lon
        far = np.abs(end - start) > 180  # over the date line, the short way
        start = np.where(far & (start < 0), start + 360, start)
        end = np.where(far & (end < 0), end + 360, end)
        boxes = shapely.box(
            np.minimum(start, end),
            np.minimum(*lat),
            np.maximum(start, end),
            np.maximum(*lat),
        )
        chord, box = self._tree.query(boxes)
        pairs = np.unique(self._boxed[box] * np.int64(max(1, len(start))) + chord)
        figure, chord = np.divmod(pairs, np.int64(max(1, len(start))))
        return chord, figure

    def chords(self, figure: Integers, start: Spatial, end: Spatial) -> Chords:
        """Chords in the planes of their figures."""
        return Chords(
            figure, *self.planes.project(figure, start), *self.planes.project(figure, end)
        )

    # -- edges -------------------------------------------------------------------------------------

    def _pairs_with_edges(self, figure: Integers) -> tuple[Integers, Integers]:
        """(number of the pair, number of the edge) for every edge of each pair's figure."""
        counts = self.edge_first[figure + 1] - self.edge_first[figure]
        pair = np.repeat(np.arange(len(figure)), counts)
        offset = np.repeat(np.cumsum(counts) - counts - self.edge_first[figure], counts)
        return pair, np.arange(len(pair)) - offset

    def meetings(self, chords: Chords) -> tuple[Integers, Floats, Bools]:
        """Where chords meet the edges of areas.

        (number of the pair, share of the chord from 0 to 1) of each clean crossing of an edge,
        sorted by both; and for each pair whether it is delicate: a corner is touched, an edge is
        grazed, an end lies on an edge. A delicate pair's crossings are worth nothing; see `walk`.
        """
        pair, edge = self._pairs_with_edges(chords.figure)
        px, py, qx, qy = chords.px[pair], chords.py[pair], chords.qx[pair], chords.qy[pair]
        ax, ay, bx, by = self.ax[edge], self.ay[edge], self.bx[edge], self.by[edge]
        dx, dy, ex, ey = qx - px, qy - py, bx - ax, by - ay
        # Twice the areas: on which side of the chord the edge's ends are, and the other way round.
        a = dx * (ay - py) - dy * (ax - px)
        b = dx * (by - py) - dy * (bx - px)
        p = ex * (py - ay) - ey * (px - ax)
        q = ex * (qy - ay) - ey * (qx - ax)
        flat_chord = TOUCH_M * np.sqrt(dx * dx + dy * dy)
        flat_edge = TOUCH_M * np.sqrt(ex * ex + ey * ey)
        apart = (
            ((a > flat_chord) & (b > flat_chord))
            | ((a < -flat_chord) & (b < -flat_chord))
            | ((p > flat_edge) & (q > flat_edge))
            | ((p < -flat_edge) & (q < -flat_edge))
        )
        clean = (
            ~apart
            & (np.minimum(np.abs(a), np.abs(b)) > flat_chord)
            & (np.minimum(np.abs(p), np.abs(q)) > flat_edge)
        )
        delicate = np.zeros(len(chords), dtype=bool)
        delicate[pair[~apart & ~clean]] = True
        which = pair[clean]
        share = p[clean] / (p[clean] - q[clean])
        order = np.lexsort((share, which))
        return which[order], share[order], delicate

    def disc_sides(self, chords: Chords) -> tuple[Floats, Floats]:
        """Discs: the shares of each chord at which it goes in and comes out, NaN where it does not.
        Touching is neither."""
        radius = self.radius[chords.figure]
        px, py = chords.px, chords.py
        dx, dy = chords.qx - px, chords.qy - py
        start = to_mm(np.sqrt(px * px + py * py)) <= to_mm(radius)
        end = to_mm(np.sqrt(chords.qx * chords.qx + chords.qy * chords.qy)) <= to_mm(radius)
        length2 = np.where((dx == 0) & (dy == 0), 1.0, dx * dx + dy * dy)
        nearest = -(px * dx + py * dy) / length2
        nx, ny = px + nearest * dx, py + nearest * dy
        least = np.sqrt(nx * nx + ny * ny)
        half = np.sqrt(np.maximum(radius * radius - least * least, 0.0) / length2)
        through = (nearest > 0) & (nearest < 1) & (to_mm(least) < to_mm(radius))
        cut = (start != end) | (~start & ~end & through)
        way_in = np.where(cut & ~start, np.clip(nearest - half, 0.0, 1.0), np.nan)
        way_out = np.where(cut & ~end, np.clip(nearest + half, 0.0, 1.0), np.nan)
        return way_in, way_out

    def normal(self, figure: int, x: float, y: float) -> tuple[float, float]:
        """The direction across the edge nearest to a point of the figure's plane, of length 1."""
        if self.is_disc[figure]:
            away = math.sqrt(x * x + y * y)
            return (x / away, y / away) if away > 0 else (1.0, 0.0)
        edges = slice(int(self.edge_first[figure]), int(self.edge_first[figure + 1]))
        ax, ay, bx, by = self.ax[edges], self.ay[edges], self.bx[edges], self.by[edges]
        nearest = int(np.argmin(_to_segments(np.float64(x), np.float64(y), ax, ay, bx, by)))
        ex, ey = float(bx[nearest] - ax[nearest]), float(by[nearest] - ay[nearest])
        length = math.sqrt(ex * ex + ey * ey)
        return -ey / length, ex / length

    def walk(
        self, figure: int, px: float, py: float, qx: float, qy: float
    ) -> list[tuple[float, bool | None]]:
        """A chord past an area, with care: the sides along it, as (share from which it is so,
        inside). The first share is 0, the last 1: both ends are said."""
        edges = slice(int(self.edge_first[figure]), int(self.edge_first[figure + 1]))
        ax, ay, bx, by = self.ax[edges], self.ay[edges], self.bx[edges], self.by[edges]
        dx, dy, ex, ey = qx - px, qy - py, bx - ax, by - ay
        p = ex * (py - ay) - ey * (px - ax)
        q = ex * (qy - ay) - ey * (qx - ax)
        cuts = [0.0, 1.0]
        with np.errstate(divide="ignore", invalid="ignore"):
            cuts.extend(float(share) for share in p / (p - q) if 0 < share < 1)
        length2 = dx * dx + dy * dy
        if length2 > 0:
            corners = ((ax - px) * dx + (ay - py) * dy) / length2
            cuts.extend(float(share) for share in corners if 0 < share < 1)
        cuts = sorted(set(cuts))
        at = np.array([0.0, *((one + two) / 2 for one, two in pairwise(cuts)), 1.0])
        inside = self._within(figure, px + dx * at, py + dy * at)
        return list(zip([0.0, *cuts[:-1], 1.0], map(bool, inside), strict=True))

    # -- places ------------------------------------------------------------------------------------

    def inside(self, figure: int, points: Spatial) -> Bools:
        """Which points lie in an area or disc, or on its edge. None lies in a gate."""
        return self._within(figure, *self.planes.project(figure, points))

    def _within(self, figure: int, x: Floats, y: Floats) -> Bools:
        if self.is_gate[figure]:
            return np.zeros(len(x), dtype=bool)
        if self.is_disc[figure]:
            within: Bools = to_mm(np.sqrt(x * x + y * y)) <= to_mm(self.radius[figure])
            return within
        edges = slice(int(self.edge_first[figure]), int(self.edge_first[figure + 1]))
        ax, ay, bx, by = (c[edges, np.newaxis] for c in (self.ax, self.ay, self.bx, self.by))
        astride = (ay > y) != (by > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            to_the_east = x < (bx - ax) * (y - ay) / (by - ay) + ax
        odd = np.count_nonzero(astride & to_the_east, axis=0) % 2 == 1
        on_edge = to_mm(_to_segments(x, y, ax, ay, bx, by).min(axis=0)) == 0
        return np.asarray(odd | on_edge)

    def distances(self, figure: int, points: Spatial) -> Floats:
        """Metres from points to the edge of a figure: 0 inside; a gate's is its segment."""
        x, y = self.planes.project(figure, points)
        if self.is_disc[figure]:
            return np.asarray(np.maximum(np.sqrt(x * x + y * y) - self.radius[figure], 0.0))
        edges = slice(int(self.edge_first[figure]), int(self.edge_first[figure + 1]))
        ax, ay, bx, by = (c[edges, np.newaxis] for c in (self.ax, self.ay, self.bx, self.by))
        away = _to_segments(x, y, ax, ay, bx, by).min(axis=0)
        return np.asarray(np.where(self._within(figure, x, y), 0.0, away))

    def far(self, figure: int, point: tuple[float, float, float]) -> bool:
        """Whether a point that lies outside of a disc or area lies further than the reach."""
        x, y = self.planes.project_one(figure, *point)
        reach = round(float(self.reach_m[figure]) * 1000)
        beyond_all = math.sqrt(x * x + y * y) - float(self.extent[figure])
        if round(beyond_all * 1000) > reach:
            return True
        if self.is_disc[figure]:
            return False
        edges = slice(int(self.edge_first[figure]), int(self.edge_first[figure + 1]))
        ax, ay, bx, by = self.ax[edges], self.ay[edges], self.bx[edges], self.by[edges]
        away = _to_segments(np.float64(x), np.float64(y), ax, ay, bx, by).min()
        return round(float(away) * 1000) > reach

    def line_sides(self, chords: Chords) -> tuple[Floats, Floats]:
        """Gates: how far each chord's ends lie from the line of its gate, as `from_line` has it."""
        edge = self.edge_first[chords.figure]
        ax, ay = self.ax[edge], self.ay[edge]
        ex, ey = self.bx[edge] - ax, self.by[edge] - ay
        length = np.sqrt(ex * ex + ey * ey)
        start = (ex * (chords.py - ay) - ey * (chords.px - ax)) / length
        end = (ex * (chords.qy - ay) - ey * (chords.qx - ax)) / length
        return np.where(to_mm(start) == 0, 0.0, start), np.where(to_mm(end) == 0, 0.0, end)

    def far_from_line(self, gate: int, point: tuple[float, float, float]) -> bool:
        """Whether a point lies further from a gate's line than the reach."""
        x, y = self.planes.project_one(gate, *point)
        edge = int(self.edge_first[gate])
        ax, ay = float(self.ax[edge]), float(self.ay[edge])
        ex, ey = float(self.bx[edge]) - ax, float(self.by[edge]) - ay
        away = (ex * (y - ay) - ey * (x - ax)) / math.sqrt(ex * ex + ey * ey)
        return round(abs(away) * 1000) > round(float(self.reach_m[gate]) * 1000)

    def from_line(self, gate: int, points: Spatial) -> Floats:
        """Signed metres from points to a gate's line, without end: positive to the left of the way
        from its first post to its second. A point on it to the millimetre is at 0."""
        x, y = self.planes.project(gate, points)
        edge = int(self.edge_first[gate])
        ex, ey = self.bx[edge] - self.ax[edge], self.by[edge] - self.ay[edge]
        away = (ex * (y - self.ay[edge]) - ey * (x - self.ax[edge])) / np.sqrt(ex * ex + ey * ey)
        return np.asarray(np.where(to_mm(away) == 0, 0.0, away))

    def chord_distances(self, chords: Chords, figure: int) -> Floats:
        """Least metres between each chord and the edge of one figure: 0 where it meets it or lies
        inside."""
        px, py, qx, qy = chords.px, chords.py, chords.qx, chords.qy
        if self.is_disc[figure]:
            zero = np.zeros_like(px)
            away = _to_segments(zero, zero, px, py, qx, qy) - self.radius[figure]
            return np.asarray(np.maximum(away, 0.0))
        edges = slice(int(self.edge_first[figure]), int(self.edge_first[figure + 1]))
        ax, ay, bx, by = (c[edges, np.newaxis] for c in (self.ax, self.ay, self.bx, self.by))
        ends = [
            _to_segments(px, py, ax, ay, bx, by),
            _to_segments(qx, qy, ax, ay, bx, by),
            _to_segments(ax, ay, px, py, qx, qy),
            _to_segments(bx, by, px, py, qx, qy),
        ]
        away = np.minimum.reduce(ends).min(axis=0)
        p = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
        q = (bx - ax) * (qy - ay) - (by - ay) * (qx - ax)
        a = (qx - px) * (ay - py) - (qy - py) * (ax - px)
        b = (qx - px) * (by - py) - (qy - py) * (bx - px)
        meets = ((p > 0) != (q > 0)) & ((a > 0) != (b > 0))
        touched = meets.any(axis=0) | self._within(figure, px, py) | self._within(figure, qx, qy)
        return np.asarray(np.where(touched, 0.0, away))


def _to_segments(
    x: Floats | np.float64, y: Floats | np.float64, ax: Floats, ay: Floats, bx: Floats, by: Floats
) -> Floats:
    """Metres from points to segments; the arrays are broadcast."""
    ex, ey = bx - ax, by - ay
    length2 = ex * ex + ey * ey
    along = ((x - ax) * ex + (y - ay) * ey) / np.where(length2 > 0, length2, 1.0)
    along = np.minimum(np.maximum(along, 0.0), 1.0)
    dx, dy = x - (ax + along * ex), y - (ay + along * ey)
    return np.asarray(np.sqrt(dx * dx + dy * dy))
