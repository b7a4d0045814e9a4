"""A scored course as a picture: route, objects, tracks coloured by speed, crossings.

North is up and a metre is as long to the north as to the east. matplotlib is not part of the base
install: the extra [plot] brings it.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Polygon

from processor.adapters.files.course_file import CourseFile
from processor.domain.course import Disc, Gate, Place, Shape
from processor.domain.scoring import Scored
from processor.domain.shapes import origin

DEGREE_M = 111_320.0
INCHES = 12.0
SPEEDS = "viridis"
COLOURS = {"start": "#2e7d32", "finish": "#c62828", "zone": "#ef6c00"}
OTHER = "#1565c0"


def draw(path: Path, scored: Scored, file: CourseFile) -> None:
    """Write a PNG. Raises OSError."""
    figure = Figure(figsize=(INCHES, INCHES * 0.75), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for segment in (segment for _, segment in scored.course.segments()):
        for zone in segment.zones:
            _shape(axes, zone.shape, COLOURS["zone"])
        route = [o for o in (segment.object(segment.start), *segment.ordered) if o]
        route += [o for o in (segment.object(segment.finish),) if o]
        axes.plot(
            *zip(*(origin(o.shape) for o in route), strict=True) if route else ((), ()),
            *("--",), color="#9e9e9e", linewidth=0.8, zorder=1,
        )  # fmt: skip
        for thing in segment.objects:
            _shape(axes, thing.shape, COLOURS.get(thing.kind.value, OTHER))
            axes.annotate(
                file.written(thing.id),
                *(origin(thing.shape),),
                xytext=(4, 4), textcoords="offset points", fontsize=8,
            )  # fmt: skip
    lines = list(_lines(scored))
    if lines:
        _tracks(figure, axes, lines)
    crossings = [
        (c.longitude, c.latitude)
        for evidences in scored.evidence.values()
        for evidence in evidences
        for c in evidence.crossings
    ]
    if crossings:
        lon, lat = zip(*crossings, strict=True)
        axes.scatter(lon, lat, s=14, color="black", zorder=4)
    low, high = axes.get_ylim()
    axes.set_aspect(1 / math.cos(math.radians((low + high) / 2)))
    axes.set_title(scored.course.name or "course")
    axes.set_xlabel("longitude")
    axes.set_ylabel("latitude")
    axes.ticklabel_format(useOffset=False)
    figure.savefig(path, format="png", dpi=120)


def _lines(scored: Scored) -> Iterator[tuple[Any, Any]]:
    """Of each track its chords, gaps left out, and their speeds in km/h."""
    for evidences in scored.evidence.values():
        for evidence in evidences:
            track = evidence.track
            if len(track) < 2:
                continue
            points = np.stack((track.longitude, track.latitude), axis=1)
            seconds = np.diff(track.at) / 1e6
            east = np.diff(track.longitude) * np.cos(np.radians(track.latitude[:-1]))
            metres = np.hypot(east, np.diff(track.latitude)) * DEGREE_M
            gaps = {gap.before.at for gap in evidence.gaps}
            drawn = np.array([at not in gaps for at in track.at[:-1].tolist()])
            chords = np.stack((points[:-1], points[1:]), axis=1)
            yield chords[drawn], (metres / seconds * 3.6)[drawn]


def _tracks(figure: Figure, axes: Any, lines: list[tuple[Any, Any]]) -> None:
    chords = np.concatenate([chords for chords, _ in lines])
    speeds = np.concatenate([speeds for _, speeds in lines])
    drawn = LineCollection(list(chords), cmap=SPEEDS, linewidths=1.6, zorder=2)
    drawn.set_array(speeds)
    axes.add_collection(drawn)
    axes.autoscale_view()
    figure.colorbar(drawn, ax=axes, label="km/h", shrink=0.6)


def _shape(axes: Any, shape: Shape, colour: str) -> None:
    if isinstance(shape, Gate):
        axes.plot(*zip(*shape.posts, strict=True), color=colour, linewidth=2.5, zorder=3)
        return
    if isinstance(shape, Disc):
        lon, lat = shape.centre
        tall = 2 * shape.radius_m / DEGREE_M
        wide = tall / max(0.01, math.cos(math.radians(lat)))
        axes.add_patch(Ellipse((lon, lat), wide, tall, **_look(colour)))
        _room(axes, (lon - wide / 2, lat - tall / 2), (lon + wide / 2, lat + tall / 2))
        return
    for ring in shape.rings:
        axes.add_patch(Polygon(ring, closed=True, **_look(colour)))
        _room(axes, *ring)


def _look(colour: str) -> dict[str, Any]:
    return {"facecolor": colour, "edgecolor": colour, "alpha": 0.25, "zorder": 1}


def _room(axes: Any, *places: Place) -> None:
    """A patch alone does not widen the picture."""
    axes.plot(*zip(*places, strict=True), linestyle="none")
