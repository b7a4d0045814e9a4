"""Tracks to be scored: whatever format a file has, what comes out is the domain's Track.

The format is told by the content. A file without device ids is one device, named by the file's
stem; NDJSON and a table with a column device_id may hold several. Nothing is filled in: a speed
that the device did not say is unknown, for only its own speeds may punish.
"""

from collections.abc import Sequence
from pathlib import Path

from processor.adapters.files.contents import Content, content_of, seems, stem_of
from processor.adapters.files.csv_track import read_csv
from processor.adapters.files.igc import read_igc
from processor.adapters.files.joining import joined
from processor.adapters.files.payload_track import read_payloads
from processor.adapters.files.points import Points, Reading, Recorded, Remark, in_order
from processor.adapters.files.tracks import Timeless, segments
from processor.adapters.files.wrong import WrongFile
from processor.domain.instants import instant


def read_track(path: Path) -> Reading:
    """The tracks of a file, sorted by device id, and what there is to remark about them. A device
    that never had a fix has an empty track. Raises WrongFile, OSError."""
    return read_tracks([path])


def read_tracks(paths: Sequence[Path]) -> Reading:
    """The tracks of several files, what they hold of one device made one track: the same whatever
    their order. Raises WrongFile, OSError."""
    return tracks_of([read_pieces(path) for path in paths])


def tracks_of(recorded: Sequence[Recorded]) -> Reading:
    """The tracks of what was read from several files. Raises OSError."""
    devices: dict[str, list[Points]] = {}
    for each in recorded:
        for piece in each.pieces:
            devices.setdefault(piece.device_id, []).append(piece)
    readings = [joined(devices[device_id]) for device_id in sorted(devices)]
    remarks = [remark for each in recorded for remark in each.remarks]
    remarks += [remark for each in readings for remark in each.remarks]
    return Reading(tuple(track for r in readings for track in r.tracks), in_order(remarks))


def read_pieces(path: Path) -> Recorded:
    """What a file holds of each device, nothing chosen yet. Raises WrongFile, OSError."""
    match content_of(path):
        case Content.XML:
            return _gpx(path, stem_of(path))
        case Content.JSON:
            return read_payloads(path)
        case Content.IGC:
            return read_igc(path, stem_of(path))
        case Content.CSV:
            return read_csv(path, stem_of(path))


def _gpx(path: Path, device_id: str) -> Recorded:
    """A point that does not say when it was cannot be scored, and those around it can."""
    points = Points(device_id, path)
    timeless: list[Timeless] = []
    for segment in segments(path, timeless.append):
        for fix in segment:
            points.add(
                instant(fix.fixed_at),
                fix.latitude,
                fix.longitude,
                fix.speed_kmh,
                fix.hdop,
                fix.satellites,
            )
    if len(points):
        return Recorded((points,), tuple(_without_time(device_id, len(timeless))))
    if timeless:
        raise timeless[0]
    raise WrongFile(path, "", f"has no <trkpt>; a track was expected{_course(path)}")


def _without_time(device_id: str, count: int) -> list[Remark]:
    text = f"{count} points of {device_id} have no <time>; they are left out"
    return [Remark(device_id, "no-time", None, None, text)] if count else []


def _course(path: Path) -> str:
    return seems(path) if "a course" in seems(path) else ""
