"""Tracks to be scored: whatever format a file has, what comes out is the domain's Track.

The format is told by the content. A file without device ids is one device, named by the file's
stem; NDJSON and a table with a column device_id may hold several. Nothing is filled in: a speed
that the device did not say is unknown, for only its own speeds may punish.
"""

from pathlib import Path

from processor.adapters.files.contents import Content, content_of, seems
from processor.adapters.files.csv_track import read_csv
from processor.adapters.files.igc import read_igc
from processor.adapters.files.payload_track import read_payloads
from processor.adapters.files.points import Points, Reading
from processor.adapters.files.tracks import segments
from processor.adapters.files.wrong import WrongFile
from processor.domain.instants import instant


def read_track(path: Path) -> Reading:
    """The tracks of a file, sorted by device id, and what there is to remark about them. A device
    that never had a fix has an empty track. Raises WrongFile, OSError."""
    match content_of(path):
        case Content.XML:
            return _gpx(path)
        case Content.JSON:
            return read_payloads(path)
        case Content.IGC:
            return read_igc(path, path.stem)
        case Content.CSV:
            return read_csv(path, path.stem)


def _gpx(path: Path) -> Reading:
    points = Points()
    for segment in segments(path):
        for fix in segment:
            points.add(
                instant(fix.fixed_at),
                fix.latitude,
                fix.longitude,
                fix.speed_kmh,
                fix.hdop,
                fix.satellites,
            )
    if not len(points):
        raise WrongFile(path, "", f"has no <trkpt>; a track was expected{_course(path)}")
    return points.reading(path.stem)


def _course(path: Path) -> str:
    return seems(path) if "a course" in seems(path) else ""
