"""Who drove what: the files of a command line, made into the tracks of entries.

A file is of the entry that was said with it; else each of its devices is of the entries to which
the course gives it, in turn, if several; else of the entry that is called like the file. What
several files hold of one device and entry is one track. An entry gets the whole of a device's
track: what of it was the entry's own time is judged by the device's intervals, which the domain
does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from processor.adapters.files.contents import stem_of
from processor.adapters.files.course_file import CourseFile
from processor.adapters.files.points import Points, Recorded, Remark
from processor.adapters.files.scoring_tracks import read_pieces, tracks_of
from processor.adapters.files.warned import Warned
from processor.domain.course import Entry
from processor.domain.model import Track


@frozen
class TrackFile:
    """A file with tracks, and the entry that it was said to be of, if any."""

    path: Path
    entry: str | None = None


@frozen(eq=False)
class Driven:
    """All entries, those that the course does not know included; the tracks of those that have
    any, by entry id; and what is remarkable."""

    entries: tuple[Entry, ...]
    tracks: Mapping[str, tuple[Track, ...]]
    warned: tuple[Warned, ...]


def read_driven(course: CourseFile, files: Sequence[TrackFile]) -> Driven:
    """Reads all files. The result does not depend on their order. Raises WrongFile, OSError."""
    pieces: dict[str, list[Points]] = {}
    warned: list[Warned] = []
    for file in files:
        recorded = read_pieces(file.path)
        for piece in recorded.pieces:
            for entry_id in _entries_of(course, file, piece.device_id):
                pieces.setdefault(entry_id, []).append(piece)
        for remark in recorded.remarks:
            warned += [_of(id_, remark) for id_ in _entries_of(course, file, remark.device_id)]
    readings = {
        entry_id: tracks_of([Recorded(tuple(pieces[entry_id]))]) for entry_id in sorted(pieces)
    }
    for entry_id, reading in readings.items():
        for remark in reading.remarks:
            warned.append(Warned(entry_id, remark.what, remark.since, remark.until, remark.message))
    unknown = sorted(readings.keys() - {entry.id for entry in course.entries})
    if course.entries:
        sentence = "the course does not list this entry; it is scored all the same"
        warned += [Warned(name, "unknown-entry", None, None, sentence) for name in unknown]
    return Driven(
        (*course.entries, *map(Entry, unknown)),
        {entry_id: reading.tracks for entry_id, reading in readings.items()},
        tuple(warned),
    )


def _entries_of(course: CourseFile, file: TrackFile, device_id: str) -> tuple[str, ...]:
    if file.entry is not None:
        return (file.entry,)
    given = tuple(
        entry.id
        for entry in course.entries
        if any(device.device_id == device_id for device in entry.devices)
    )
    return given or (stem_of(file.path),)


def _of(entry_id: str, remark: Remark) -> Warned:
    return Warned(entry_id, remark.what, remark.since, remark.until, remark.message)
