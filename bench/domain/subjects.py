"""Who finds what lies where: ours, and what others would take for it.

A subject is built for the shapes of a course and then looks at tracks; `found` is how many answers
it gave. Ours answers with crossings: gates with directions, hysteresis, gaps, instants with their
uncertainty, on the ellipsoid. The peers answer less, each in plane degrees: which fixes lie inside
(a disc is a polygon of 64 corners, and a gate has no inside), or where chords meet edges.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import asyncpg
import numpy as np
import psutil
import shapely

from bench.domain.scene import Scene
from processor.domain.course import Area, Disc, Gate, Place, Shape
from processor.domain.crossings import Ground
from processor.domain.model import Track
from processor.domain.rules import Settings
from processor.entrypoints.demo.drive import Board
from processor.entrypoints.demo.programs import system_postgres
from processor.entrypoints.demo.servers import Postgres

T = TypeVar("T")

BATCH = 1_000
"""Fixes in a call of a peer, and in a query."""


class Subject(Protocol):
    """`most` fixes are enough for a figure; None: all."""

    name: ClassVar[str]
    label: ClassVar[str]
    most: ClassVar[int | None]

    def build(self, scene: Scene) -> None:
        """Whatever has to be made once for a course."""

    def look(self, tracks: Sequence[Track]) -> int:
        """Go through tracks; how much was found."""

    def cpu_s(self) -> float:
        """Seconds of CPU used so far, by all that belong to it."""

    def close(self) -> None:
        """Leave nothing behind."""


class _OfThisProcess:
    most: ClassVar[int | None] = None

    def cpu_s(self) -> float:
        return time.process_time()

    def close(self) -> None:
        return


# -- ours ------------------------------------------------------------------------------------------


class Processor(_OfThisProcess):
    """A call for a whole drive."""

    name: ClassVar[str] = "processor"
    label: ClassVar[str] = "processor, a drive a call"
    fixes_per_call: ClassVar[int | None] = None

    def build(self, scene: Scene) -> None:
        self._ground = Ground(scene.course, Settings())

    def look(self, tracks: Sequence[Track]) -> int:
        return sum(
            len(self._ground.evidence(piece).crossings)
            for track in tracks
            for piece in _pieces(track, self.fixes_per_call or len(track))
        )


class Minutes(Processor):
    """The same, a minute at a time, as a live evaluation would."""

    name: ClassVar[str] = "minutes"
    label: ClassVar[str] = "processor, a minute a call"
    fixes_per_call: ClassVar[int | None] = 60


# -- shapely ---------------------------------------------------------------------------------------


class _Shapely(_OfThisProcess):
    def build(self, scene: Scene) -> None:
        self._geometries = np.array(geometries(scene.shapes))
        shapely.prepare(self._geometries)
        self._tree = shapely.STRtree(self._geometries)


class OneByOne(_Shapely):
    name: ClassVar[str] = "one-by-one"
    label: ClassVar[str] = "shapely, inside, one by one"
    most: ClassVar[int | None] = 3_000

    def look(self, tracks: Sequence[Track]) -> int:
        found = 0
        tree, shapes = self._tree, self._geometries
        for track in tracks:
            for lon, lat in zip(track.longitude.tolist(), track.latitude.tolist(), strict=True):
                point = shapely.Point(lon, lat)
                found += sum(shapes[near].contains(point) for near in tree.query(point))
        return found


class Points(_Shapely):
    name: ClassVar[str] = "points"
    label: ClassVar[str] = "shapely, inside, vectorised"

    def look(self, tracks: Sequence[Track]) -> int:
        return sum(
            len(self._tree.query(shapely.points(lon, lat), predicate="within")[0])
            for lon, lat in _batches(tracks)
        )


class Edges(_OfThisProcess):
    """The nearest to ours: where chords meet edges, and when, evenly between the fixes."""

    name: ClassVar[str] = "edges"
    label: ClassVar[str] = "shapely, edges, vectorised"

    def build(self, scene: Scene) -> None:
        whole = np.array(geometries(scene.shapes))
        areas = shapely.get_dimensions(whole) == 2
        self._lines = np.where(areas, shapely.boundary(whole), whole)
        shapely.prepare(self._lines)
        self._tree = shapely.STRtree(self._lines)

    def look(self, tracks: Sequence[Track]) -> int:
        found = 0
        for track in tracks:
            for piece in _pieces(track, BATCH, overlap=1):
                ends = np.stack((piece.longitude, piece.latitude), axis=1)
                chords = shapely.linestrings(np.stack((ends[:-1], ends[1:]), axis=1))
                chord, line = self._tree.query(chords, predicate="intersects")
                met = shapely.intersection(chords[chord], self._lines[line])
                points, owner = shapely.get_parts(met, return_index=True)
                share = shapely.line_locate_point(chords[chord[owner]], points, normalized=True)
                before = piece.at[chord[owner]]
                instants = before + share * (piece.at[chord[owner] + 1] - before)
                found += len(instants)
        return found


# -- PostGIS ---------------------------------------------------------------------------------------

INSIDE = """
SELECT fix.number, object.id
FROM unnest($1::float8[], $2::float8[]) WITH ORDINALITY AS fix(lon, lat, number)
JOIN bench_object AS object
  ON ST_Contains(object.shape, ST_SetSRID(ST_MakePoint(fix.lon, fix.lat), 4326))
"""
EDGES = """
SELECT chord.number, object.id,
    ST_LineLocatePoint(chord.line, (ST_Dump(ST_Intersection(chord.line, object.shape))).geom)
FROM (
    SELECT number, ST_SetSRID(ST_MakeLine(ST_MakePoint(a, b), ST_MakePoint(c, d)), 4326) AS line
    FROM unnest($1::float8[], $2::float8[], $3::float8[], $4::float8[])
        WITH ORDINALITY AS ends(a, b, c, d, number)
) AS chord
JOIN bench_object AS object ON ST_Intersects(chord.line, object.shape)
"""
HOW_TO = (
    "no PostGIS here: on Debian, apt install postgresql-15-postgis-3 (13: postgresql-17-postgis-3);"
    " or let TEST_POSTGIS_URL name a server"
)


class PostGis:
    """Its CPU is the client's and that of the server's process for it, where both are here."""

    name: ClassVar[str] = "postgis"
    label: ClassVar[str] = "PostGIS, inside, 1000 a query"
    most: ClassVar[int | None] = 10_000
    batch: ClassVar[int] = BATCH

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._run(asyncpg.connect(url))
        backend = self._run(self._connection.fetchval("SELECT pg_backend_pid()"))
        self._backend = psutil.Process(backend)

    def build(self, scene: Scene) -> None:
        rows = [
            (number, shapely.to_wkt(geometry, rounding_precision=-1))
            for number, geometry in enumerate(self.shapes(scene))
        ]
        self._run(self._build(rows))

    def shapes(self, scene: Scene) -> list[shapely.Geometry]:
        """What is asked about."""
        return geometries(scene.shapes)

    async def _build(self, rows: list[tuple[int, str]]) -> None:
        ask = self._connection
        await ask.execute("DROP TABLE IF EXISTS bench_object")
        await ask.execute("CREATE TEMP TABLE bench_object (id int, shape geometry)")
        await ask.executemany(
            "INSERT INTO bench_object VALUES ($1, ST_GeomFromText($2::text, 4326))", rows
        )
        await ask.execute("CREATE INDEX ON bench_object USING gist (shape)")
        await ask.execute("ANALYZE bench_object")

    def look(self, tracks: Sequence[Track]) -> int:
        return self._run(self._look(tracks))

    async def _look(self, tracks: Sequence[Track]) -> int:
        query = await self._connection.prepare(INSIDE)
        return sum(
            [
                len(await query.fetch(lon.tolist(), lat.tolist()))
                for lon, lat in _batches(tracks, self.batch)
            ]
        )

    def cpu_s(self) -> float:
        times = self._backend.cpu_times()
        return time.process_time() + float(times.user + times.system)

    def close(self) -> None:
        self._run(self._connection.close())
        self._runner.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


class PostGisEdges(PostGis):
    """What `Edges` asks, of PostGIS. The instants are left to the client."""

    name: ClassVar[str] = "postgis-edges"
    label: ClassVar[str] = "PostGIS, edges, 1000 a query"

    def shapes(self, scene: Scene) -> list[shapely.Geometry]:
        return [
            shapely.boundary(each) if isinstance(each, shapely.Polygon) else each
            for each in super().shapes(scene)
        ]

    async def _look(self, tracks: Sequence[Track]) -> int:
        query = await self._connection.prepare(EDGES)
        found = 0
        for track in tracks:
            for piece in _pieces(track, self.batch, overlap=1):
                lon, lat = piece.longitude.tolist(), piece.latitude.tolist()
                found += len(await query.fetch(lon[:-1], lat[:-1], lon[1:], lat[1:]))
        return found


class PostGisOne(PostGis):
    name: ClassVar[str] = "postgis-one"
    label: ClassVar[str] = "PostGIS, inside, one a query"
    most: ClassVar[int | None] = 1_000
    batch: ClassVar[int] = 1


def postgis() -> tuple[str | None, Callable[[], None]]:
    """Where a server with PostGIS is (None: nowhere), and what ends it."""
    if url := os.environ.get("TEST_POSTGIS_URL"):
        return url, lambda: None
    found = system_postgres()
    if found is None or not any(
        Path("/usr/share/postgresql").glob(f"{found.folder.parent.name}/extension/postgis.control")
    ):
        return None, lambda: None
    server = Postgres(found)
    server.__enter__()
    return server.url, server.close


# -- all -------------------------------------------------------------------------------------------


def geometries(shapes: Sequence[Shape]) -> list[shapely.Geometry]:
    """Shapes as others have them, in plane degrees."""
    return [_geometry(shape) for shape in shapes]


def _geometry(shape: Shape) -> shapely.Geometry:
    match shape:
        case Disc(centre, radius_m):
            board = Board(centre)
            turns = np.linspace(0, 2 * np.pi, 64, endpoint=False)
            return shapely.Polygon(
                [board.place(radius_m * np.sin(turn), radius_m * np.cos(turn)) for turn in turns]
            )
        case Gate(posts):
            return shapely.LineString(posts)
        case Area(rings):
            outer: Sequence[Place] = rings[0]
            return shapely.Polygon(outer, rings[1:])


def _pieces(track: Track, fixes: int, overlap: int = 0) -> Iterator[Track]:
    for start in range(0, max(1, len(track) - overlap), max(1, fixes)):
        yield track.cut(start, start + fixes + overlap)


def _batches(tracks: Sequence[Track], fixes: int = BATCH) -> Iterator[tuple[np.ndarray, ...]]:
    for track in tracks:
        for piece in _pieces(track, fixes):
            yield piece.longitude, piece.latitude
