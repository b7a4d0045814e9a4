"""From tracks to passes: the ground of a course, and what a device did on it.

`Ground` holds a course's objects and zones, compiled. It looks at all chords of a track at once:
the tree finds which figures a chord could concern, one pass over the columns which of those chords
meet an edge, and only they come to the machines (`visits.py`, `gates.py`). So the cost grows with
what is near, not with the course, and a fold over pieces of a track sees what a whole one sees
(`folding.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
from attrs import field, frozen

from processor.domain import gates, visits
from processor.domain.course import Course, Kind, Object, Place, Shape, Zone
from processor.domain.drive import Drive
from processor.domain.gates import Over
from processor.domain.geometry import Figures, rounded, to_mm
from processor.domain.model import Crossing, Evidence, Floats, Integers, Nearest, Pass, Track
from processor.domain.plane import spatial
from processor.domain.rules import Settings
from processor.domain.visits import Happening, Turn, Visit


@frozen
class Known:
    """What is known as a track begins: nothing, or which visits are open since an earlier part of
    it (`began`)."""

    open: Mapping[str, Visit] = field(factory=dict)
    began: bool = False


@frozen(eq=False)
class Scan:
    """What one look at a track found. `pending` says for figures in which fixes, first to last, an
    exit or a reverse was awaited."""

    drive: Drive
    visits: Mapping[str, tuple[Visit, ...]]
    crosses: Mapping[str, tuple[Crossing, ...]]
    pending: Mapping[str, tuple[tuple[int, int], ...]]


class Ground:
    """The objects and zones of a course, ready to be driven over.

    Ids are those of the course, which must be unique in it. Raises ValueError if they are not.
    """

    def __init__(self, course: Course, settings: Settings) -> None:
        shapes: dict[str, Shape] = {}
        starts: set[str] = set()
        for _, segment in course.segments():
            things: tuple[Object | Zone, ...] = (*segment.objects, *segment.zones)
            for thing in things:
                if thing.id in shapes:
                    raise ValueError(f"{thing.id!r} is the id of two things of the course")
                shapes[thing.id] = thing.shape
            starts.update(
                o.id for o in segment.objects if o.id == segment.start or o.kind is Kind.START
            )
        self._starts = frozenset(starts)
        self.settings = settings
        self.figures = Figures(shapes, settings.hysteresis_m)

    # -- a track ----------------------------------------------------------------------------------

    def evidence(self, track: Track) -> Evidence:
        """All that a device's track says: crossings, passes and gaps, each in order of time."""
        scan = self.scan(track, Known())
        crossings, passes = told(track.device_id, scan.visits, scan.crosses)
        return Evidence(track, crossings, passes, scan.drive.gaps())

    def scan(self, track: Track, known: Known) -> Scan:
        """One look at a track that goes on from `known`."""
        drive = Drive.of(track, self.settings)
        found_visits: dict[str, tuple[Visit, ...]] = {}
        found_crosses: dict[str, tuple[Crossing, ...]] = {}
        pending: dict[str, tuple[tuple[int, int], ...]] = {}
        if not len(track):
            return Scan(drive, found_visits, found_crosses, pending)
        happenings, gate_chords = self._happenings(drive)
        first_sight: frozenset[int] = frozenset() if known.began else self._first_sight(drive)
        for number in sorted({*happenings, *self._numbers(known.open), *first_sight}):
            name = self.figures.ids[number]
            visited = visits.visits_of(
                self.figures,
                number,
                drive,
                happenings.get(number, ()),
                known.open.get(name),
                number in first_sight,
            )
            if visited.visits:
                found_visits[name], pending[name] = visited.visits, visited.pending
        for number, over in gate_chords.items():
            name = self.figures.ids[number]
            crossed = gates.crosses_of(
                self.figures, number, drive, over, last_counts=name in self._starts
            )
            if crossed.crosses or crossed.pending:
                found_crosses[name], pending[name] = crossed.crosses, crossed.pending
        return Scan(drive, found_visits, found_crosses, pending)

    def settled(self, scan: Scan, fix: int) -> bool:
        """Whether what comes after a fix cannot change what was found before it: for every figure
        near, it lies inside, or further outside than the hysteresis, with nothing pending."""
        if any(first <= fix <= last for spans in scan.pending.values() for first, last in spans):
            return False
        track, point = scan.drive.track, scan.drive.points.at(slice(fix, fix + 1))
        lon, lat = track.longitude[fix : fix + 1], track.latitude[fix : fix + 1]
        _, near = self.figures.near((lon, lon), (lat, lat))
        for number in near.tolist():
            if self.figures.is_gate[number]:
                away = abs(float(self.figures.from_line(number, point)[0]))
            else:
                away = float(self.figures.distances(number, point)[0])
                if away == 0:
                    continue
            if rounded(away) <= rounded(float(self.figures.reach_m[number])):
                return False
        return True

    # -- what lies where --------------------------------------------------------------------------

    def distance(self, object_id: str, place: Place) -> float:
        """Metres from a place to an object's edge, 0 inside; a gate's is the segment."""
        number = self.figures.numbers[object_id]
        points = spatial((place[0],), (place[1],))
        return rounded(float(self.figures.distances(number, points)[0]))

    def inside(self, object_id: str, place: Place) -> bool:
        """Whether a place lies in an object or on its edge; never in a gate."""
        number = self.figures.numbers[object_id]
        return bool(self.figures.inside(number, spatial((place[0],), (place[1],)))[0])

    def distances(
        self, object_ids: Sequence[str], longitude: Sequence[float], latitude: Sequence[float]
    ) -> Mapping[str, Floats]:
        """As `distance`, from many places to each of several objects."""
        points = spatial(longitude, latitude)
        return {
            name: to_mm(self.figures.distances(self.figures.numbers[name], points)) / 1000
            for name in object_ids
        }

    def closest(
        self, object_id: str, track: Track, since: int | None, until: int | None
    ) -> float | None:
        """How near a track came to an object's edge, as `nearest`. None without fix."""
        found = self.nearest((object_id,), track, since, until)
        return found[object_id].distance_m if found else None

    def nearest(
        self, object_ids: Sequence[str], track: Track, since: int | None, until: int | None
    ) -> Mapping[str, Nearest]:
        """Where a track came nearest to each object: over the chords that overlap the time from
        `since` to `until`, gaps left out; 0 m inside. Nothing without a fix there."""
        first = 0 if since is None else int(np.searchsorted(track.at, since, "right")) - 1
        last = len(track) if until is None else int(np.searchsorted(track.at, until, "left")) + 1
        part = track.cut(max(0, first), last)
        if not len(part):
            return {}
        drive = Drive.of(part, self.settings)
        return {name: self._nearest(drive, self.figures.numbers[name]) for name in object_ids}

    def _nearest(self, drive: Drive, number: int) -> Nearest:
        track = drive.track
        points = self.figures.distances(number, drive.points)
        fix = int(points.argmin())
        alone = Nearest(rounded(float(points[fix])), (track.fix(fix),))
        lines = np.flatnonzero(~drive.gap)
        if not len(lines):
            return alone
        which = np.full(len(lines), number)
        start, end = drive.points.at(lines), drive.points.at(lines + 1)
        away = self.figures.chord_distances(self.figures.chords(which, start, end), number)
        line = int(away.argmin())
        k = int(lines[line])
        along = Nearest(rounded(float(away[line])), (track.fix(k), track.fix(k + 1)))
        return along if along.distance_m <= alone.distance_m else alone

    # -- which chords concern which figures -------------------------------------------------------

    def _numbers(self, names: Mapping[str, object]) -> Iterator[int]:
        return (self.figures.numbers[name] for name in names)

    def _first_sight(self, drive: Drive) -> frozenset[int]:
        """The areas and discs near the first fix."""
        lon, lat = drive.track.longitude[:1], drive.track.latitude[:1]
        _, near = self.figures.near((lon, lon), (lat, lat))
        return frozenset(int(n) for n in near if not self.figures.is_gate[n])

    def _happenings(self, drive: Drive) -> tuple[dict[int, list[Happening]], dict[int, list[Over]]]:
        """By area or disc, what its chords did, in order; by gate, the chords over its line."""
        chord, figure = self._near(drive)
        if not len(chord):
            return {}, {}
        gate = self.figures.is_gate[figure]
        line = gate & ~drive.gap[chord]
        of_gates = {
            number: [over for _, over in group]
            for number, group in groupby(
                self._over_lines(drive, figure[line], chord[line]), key=itemgetter(0)
            )
        }
        found: list[tuple[int, int, tuple[Turn, ...] | None]] = []
        gap = drive.gap[chord] & ~gate
        found.extend(
            (f, k, None) for f, k in zip(figure[gap].tolist(), chord[gap].tolist(), strict=True)
        )
        disc = self.figures.is_disc[figure] & ~gap
        found.extend(self._disc_turns(drive, figure[disc], chord[disc]))
        area = self.figures.is_area[figure] & ~gap
        found.extend(self._area_turns(drive, figure[area], chord[area]))
        found.sort(key=itemgetter(0, 1))
        happenings = {
            number: [Happening(k, turns) for _, k, turns in group]
            for number, group in groupby(found, key=itemgetter(0))
        }
        return happenings, of_gates

    def _near(self, drive: Drive) -> tuple[Integers, Integers]:
        """(chord, figure) of all that could meet, sorted by figure, then chord. Of a gap only its
        ends are anywhere."""
        lon, lat = drive.track.longitude, drive.track.latitude
        lines, gaps = np.flatnonzero(~drive.gap), np.flatnonzero(drive.gap)
        found = []
        for chords, start, end in (
            (lines, lines, lines + 1),
            (gaps, gaps, gaps),
            (gaps, gaps + 1, gaps + 1),
        ):
            if len(chords):
                chord, figure = self.figures.near((lon[start], lon[end]), (lat[start], lat[end]))
                found.append(np.stack((figure, chords[chord])))
        if not found:
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing
        if not len(gaps):
            return found[0][1], found[0][0]  # sorted, and each once, as they come
        pairs = np.unique(np.concatenate(found, axis=1), axis=1)
        return pairs[1], pairs[0]

    def _over_lines(
        self, drive: Drive, figure: Integers, chord: Integers
    ) -> Iterator[tuple[int, Over]]:
        if not len(figure):
            return
        chords = self.figures.chords(figure, drive.points.at(chord), drive.points.at(chord + 1))
        start, end = self.figures.line_sides(chords)
        over = np.flatnonzero((end != 0) & ((start == 0) | ((start > 0) != (end > 0))))
        for pair in over.tolist():
            yield int(figure[pair]), (int(chord[pair]), float(start[pair]), float(end[pair]))

    def _disc_turns(
        self, drive: Drive, figure: Integers, chord: Integers
    ) -> Iterator[tuple[int, int, tuple[Turn, ...]]]:
        if not len(figure):
            return
        chords = self.figures.chords(figure, drive.points.at(chord), drive.points.at(chord + 1))
        way_in, way_out = self.figures.disc_sides(chords)
        met = np.flatnonzero(~np.isnan(way_in) | ~np.isnan(way_out))
        for pair in met.tolist():
            into, out = float(way_in[pair]), float(way_out[pair])
            turns = [
                (share, side) for share, side in ((into, True), (out, False)) if share == share
            ]
            yield int(figure[pair]), int(chord[pair]), tuple(turns)

    def _area_turns(
        self, drive: Drive, figure: Integers, chord: Integers
    ) -> Iterator[tuple[int, int, tuple[Turn, ...]]]:
        if not len(figure):
            return
        chords = self.figures.chords(figure, drive.points.at(chord), drive.points.at(chord + 1))
        pair, share, delicate = self.figures.meetings(chords)
        for number, group in groupby(
            zip(pair.tolist(), share.tolist(), strict=True), itemgetter(0)
        ):
            if not delicate[number]:
                clean = tuple((float(at), None) for _, at in group)
                yield int(figure[number]), int(chord[number]), clean
        for number in np.flatnonzero(delicate).tolist():
            ends = (float(c[number]) for c in (chords.px, chords.py, chords.qx, chords.qy))
            turns = tuple(self.figures.walk(int(figure[number]), *ends))
            yield int(figure[number]), int(chord[number]), turns


def told(
    device_id: str,
    found_visits: Mapping[str, Sequence[Visit]],
    found_crosses: Mapping[str, Sequence[Crossing]],
) -> tuple[tuple[Crossing, ...], dict[str, tuple[Pass, ...]]]:
    """Crossings in the order of time (of one instant by object), and passes by object."""
    passes = {
        name: visits.as_passes(device_id, name, found) for name, found in found_visits.items()
    }
    crossings = [c for of in passes.values() for p in of for c in (p.enter, p.exit) if c]
    for name, crosses in found_crosses.items():
        crossings.extend(crosses)
        if found := gates.as_passes(device_id, name, crosses):
            passes[name] = found
    crossings.sort(key=lambda c: (c.at, c.before, c.object_id, c.kind, c.ordinal))
    return tuple(crossings), {name: passes[name] for name in sorted(passes)}
