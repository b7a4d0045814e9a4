"""Recorded tracks: GPX as devices and phones write it, and NDJSON of upstream payloads.

A GPX point says where and when, and often nothing else; what a tracker would have measured, speed
and heading, is computed from the points beside it. An NDJSON line is a payload already and passes
through as it is: only what is needed to replay it, device and time, is looked at.

A file comes from anywhere: XML with a document type (which could hold entities that expand without
end) is refused, both readers go through a file piece by piece, and lines and tracks have a bound.
Whatever is wrong is one sentence with the file, the place in it and what was expected.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import msgspec
from attrs import evolve, frozen

from processor.adapters.files.markup import gpx_events, local
from processor.adapters.files.times import TOO_LATE, is_too_late, read_time
from processor.adapters.files.wrong import WrongFile

__all__ = ["Fix", "Line", "WrongFile", "is_gpx", "lines", "read_gpx", "read_ndjson", "segments"]

LINE_BYTES_MAX = 1024 * 1024  # a longer payload is a dead letter anyway
POINTS_MAX = 1_000_000  # of one file: as many entries as the stream keeps
STANDSTILL_M = 5.0  # within a receiver's noise, no heading can be told
EARTH_RADIUS_M = 6_371_008.8
MS_TO_KMH = 3.6


@frozen
class Fix:
    """A recorded point: degrees WGS 84, metres, km/h, degrees of heading. None: not recorded.
    `satellites` 0: there was no fix, and the place is the last known one."""

    fixed_at: datetime
    latitude: float
    longitude: float
    altitude: float | None = None
    speed_kmh: float | None = None
    heading: float | None = None
    satellites: int | None = None
    hdop: float | None = None


@frozen
class Line:
    """A payload of an NDJSON file, with what is needed to replay it."""

    device_id: str
    fixed_at: datetime
    timestamp: str
    payload: str


def is_gpx(path: Path) -> bool:
    """Whether a file holds GPX (True) or NDJSON (False), by its first character. Raises WrongFile
    if neither, OSError if it cannot be read."""
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise WrongFile(path, "", "is empty; a GPX track or NDJSON payloads were expected")
    if start[:1] not in (b"<", b"{"):
        raise WrongFile(
            path, "", "is neither GPX (begins with '<') nor NDJSON of payloads (begins with '{')"
        )
    return start.startswith(b"<")


# -- GPX -------------------------------------------------------------------------------------------


def read_gpx(path: Path) -> Iterator[Fix]:
    """The fixes of all tracks in a GPX 1.0 or 1.1 file, in the file's order, with speed and heading
    filled in within each segment. Raises WrongFile, OSError."""
    found = False
    for segment in segments(path):
        found = found or bool(segment)
        yield from _filled(segment)
    if not found:
        raise WrongFile(path, "", "has no <trkpt>; a track was expected, not a route or waypoints")


class Timeless(WrongFile):
    """A point of a track does not say when."""


def _refuse(fault: Timeless) -> None:
    raise fault


def segments(path: Path, timeless: Callable[[Timeless], None] = _refuse) -> Iterator[list[Fix]]:
    """The segments of all tracks in a GPX file as they were recorded, nothing filled in; none is
    no fault. A point without <time> is left out, after `timeless` was told of it. Raises WrongFile,
    OSError, and what `timeless` raises."""
    points: list[Fix] = []
    number = 0
    root = None
    for event, element in gpx_events(path):
        root = element if root is None else root
        if event == "start":
            continue
        if local(element) == "trkpt":
            number += 1
            if number > POINTS_MAX:
                raise WrongFile(path, "", f"has more than {POINTS_MAX} points; split it")
            try:
                points.append(_fix(path, f"<trkpt> {number}", element))
            except Timeless as fault:
                timeless(fault)
            element.clear()
        elif local(element) == "trkseg":
            yield points
            points = []
            element.clear()
        elif local(element) in ("trk", "wpt", "rte"):
            root.clear()


def _fix(path: Path, place: str, point: Element) -> Fix:
    said = {
        local(inner): (inner.text or "").strip() for inner in point.iter() if inner is not point
    }

    def number(name: str, text: str | None, least: float, most: float) -> float:
        try:
            value = float(text or "")
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise WrongFile(path, place, f"{name} must be a number from {least:g} to {most:g}")
        return value

    def optional(name: str, least: float, most: float) -> float | None:
        return number(f"<{name}>", said[name], least, most) if said.get(name) else None

    latitude = number("lat", point.get("lat"), -90, 90)
    longitude = number("lon", point.get("lon"), -180, 180)
    if not said.get("time"):
        raise Timeless(path, place, "has no <time>; a track without times cannot be replayed")
    fixed_at = read_time(said["time"])
    if fixed_at is None:
        raise WrongFile(path, place, "<time> must be an ISO-8601 date and time")
    if fixed_at.tzinfo is None:  # GPX has no other times than UTC
        fixed_at = fixed_at.replace(tzinfo=UTC)
    if is_too_late(fixed_at):
        raise WrongFile(path, place, f"<time> {TOO_LATE}")
    speed = optional("speed", 0, 2700)
    satellites = 0 if said.get("fix") == "none" else optional("sat", 0, 255)
    return Fix(
        fixed_at=fixed_at,
        latitude=latitude,
        longitude=longitude,
        altitude=optional("ele", -1e6, 1e6),
        speed_kmh=None if speed is None else speed * MS_TO_KMH,
        heading=optional("course", 0, 360),
        satellites=None if satellites is None else int(satellites),
        hdop=optional("hdop", 0, 1e6),
    )


def _filled(segment: Sequence[Fix]) -> Iterator[Fix]:
    """Speed and heading of each fix as from the one before it to the one behind it. At a standstill
    the heading stays: from noise it would turn at every fix."""
    heading = 0.0
    before = [*segment[:1], *segment[:-1]]
    behind = [*segment[1:], *segment[-1:]]
    for start, fix, end in zip(before, segment, behind, strict=True):
        metres, bearing = _way(start, end)
        seconds = (end.fixed_at - start.fixed_at).total_seconds()
        speed_kmh = metres / seconds * MS_TO_KMH if seconds > 0 else 0.0
        heading = bearing if metres > STANDSTILL_M else heading
        yield evolve(
            fix,
            speed_kmh=speed_kmh if fix.speed_kmh is None else fix.speed_kmh,
            heading=heading if fix.heading is None else fix.heading,
        )


def _way(start: Fix, end: Fix) -> tuple[float, float]:
    """Metres along the great circle, and the heading at its start. A sphere, because it is for
    showing: a million points are fed in seconds, and nobody is timed by them."""
    north, south = math.radians(end.latitude), math.radians(start.latitude)
    east = math.radians(end.longitude - start.longitude)
    half = (
        math.sin((north - south) / 2) ** 2
        + math.cos(south) * math.cos(north) * math.sin(east / 2) ** 2
    )
    bearing = math.atan2(
        math.sin(east) * math.cos(north),
        math.cos(south) * math.sin(north) - math.sin(south) * math.cos(north) * math.cos(east),
    )
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(half))), math.degrees(bearing) % 360


# -- NDJSON ----------------------------------------------------------------------------------------


class _Known(msgspec.Struct):
    """What a line must say so that it can be replayed. The rest is the decoder's business, and a
    file may hold bad payloads on purpose."""

    device_id: str
    timestamp: str


_known = msgspec.json.Decoder(_Known).decode


def read_ndjson(path: Path) -> Iterator[Line]:
    """The payloads of a file, one JSON object a line; empty lines are skipped.
    Raises WrongFile, OSError."""
    found = False
    for number, _, text in lines(path):
        if text := text.strip():
            found = True
            yield _line(path, f"line {number}", text)
    if not found:
        raise WrongFile(path, "", "is empty; a payload a line was expected")


def lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(number from 1, offset in bytes, text) of each line of a file, without a byte order mark and
    the line's end. Raises WrongFile where one is too long, OSError."""
    number = offset = 0
    with path.open("rb") as file:
        while text := file.readline(LINE_BYTES_MAX + 2):  # with its end
            number += 1
            start, offset = offset, offset + len(text)
            if number == 1:
                text = text.removeprefix(b"\xef\xbb\xbf")
            text = text.rstrip(b"\r\n")
            if len(text) > LINE_BYTES_MAX:
                raise WrongFile(path, f"line {number}", f"is longer than {LINE_BYTES_MAX} bytes")
            yield number, start, text


def _line(path: Path, place: str, text: bytes) -> Line:
    try:
        payload = text.decode()
        known = _known(text)
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise WrongFile(
            path, place, f"must be a payload with device_id and timestamp ({error})"
        ) from None
    except (msgspec.DecodeError, RecursionError):
        raise WrongFile(path, place, "is not JSON; a payload a line was expected") from None
    try:
        fixed_at = datetime.fromisoformat(known.timestamp)
        if fixed_at.tzinfo is None:
            raise WrongFile(path, place, "timestamp must have Z or an offset")
        return Line(known.device_id, fixed_at.astimezone(UTC), known.timestamp, payload)
    except (ValueError, OverflowError):
        raise WrongFile(path, place, "timestamp must be an ISO-8601 date and time") from None
