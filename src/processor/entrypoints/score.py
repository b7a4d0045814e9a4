"""`processor score` and `processor course`: the racing rules on files, with no server anywhere.

A course, tracks and, if wanted, rules come from files; a table, or JSON, goes to stdout, and what
is remarkable about the files to stderr. A file that is wrong is one sentence and exit code 1, a
file that is not there exit code 2.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from attrs import frozen

from processor.adapters.files.course_file import CourseFile
from processor.adapters.files.points import Reading
from processor.adapters.files.wrong import WrongFile
from processor.domain.course import Entry
from processor.domain.model import Track
from processor.domain.rules import Rules
from processor.entrypoints import show
from processor.entrypoints.exits import Ends, Exit

RULES_NONE = Rules(version="none")


class WrongContent(Ends):
    code = Exit.FAILED


@frozen
class TrackFile:
    """An argument TRACK: a path, and the entry that it is of, if it says one."""

    path: Path
    entry: str | None = None

    @property
    def name(self) -> str:
        return self.entry or self.path.stem


class TrackArgument(click.ParamType[TrackFile]):
    """PATH or ENTRY=PATH. A path that exists as it stands is a path, whatever it holds."""

    name = "track"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, TrackFile):
            return value
        entry, sign, rest = str(value).partition("=")
        if sign and entry and not Path(value).exists():
            value, said = rest, entry
        else:
            said = None
        path = Path(value)
        if not path.is_file():
            self.fail(f"there is no file {value!r}", param, ctx)
        return TrackFile(path, said)


FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
OUT = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.argument("course", type=FILE)
@click.argument("tracks", nargs=-1, required=True, metavar="TRACK...", type=TrackArgument())
@click.option("--rules", "rules_file", type=FILE, help="Penalties and settings, TOML.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of tables.")
@click.option("--explain", is_flag=True, help="Say for each number why it is what it is.")
@click.option("--plot", type=OUT, help="Draw route, objects, tracks and crossings into a PNG.")
@click.option("--crossings", type=OUT, help="Write the crossings into a file, .gpx or .geojson.")
def score(
    course: Path,
    tracks: Sequence[TrackFile],
    rules_file: Path | None,
    *,
    as_json: bool,
    explain: bool,
    plot: Path | None,
    crossings: Path | None,
) -> int:
    """Score recorded tracks against a course.

    COURSE is an OpenRally GPX or our JSON. A TRACK is PATH or ENTRY=PATH: GPX, IGC, CSV, or NDJSON
    of a tracker's payloads; without ENTRY the entry is the file's name without its ending.
    """
    if crossings is not None and crossings.suffix.lower() not in (".gpx", ".geojson", ".json"):
        raise click.BadParameter("must end in .gpx or .geojson", param_hint="--crossings")
    from processor.adapters.files.score_json import Warned
    from processor.adapters.files.score_json import as_json as output
    from processor.domain.scoring import score as judge

    rules = read_rules(rules_file)
    file = read_course_file(course, rules)
    read = [(track, _read_track(track.path)) for track in tracks]
    entries, driven, added = _assigned(file, read)
    warned = [
        *(Warned("", "course", None, None, sentence) for sentence in file.warnings),
        *(Warned(name, "unknown-entry", None, None, sentence) for name, sentence in added),
        *(
            Warned(_entry_of(file, track, each.device_id), each.what, each.since, each.until,
                   each.message)
            for track, reading in read
            for each in reading.remarks
        ),
    ]  # fmt: skip
    scored = judge(file.course, entries, driven, rules)
    told = output(scored, file, warned)
    if as_json:
        show.json(told)
    else:
        from processor.entrypoints.scoreboard import print_scores

        print_scores(told, explain=explain)
    if crossings is not None:
        from processor.adapters.files.geo_out import write_crossings

        write_crossings(crossings, told["crossings"])
    if plot is not None:
        from processor.adapters.files.plot import draw

        draw(plot, scored, file)
    return Exit.DONE


# -- reading --------------------------------------------------------------------------------------


def read_rules(path: Path | None) -> Rules:
    """The rules of a file; without one there are no penalties."""
    if path is None:
        return RULES_NONE
    from processor.adapters.files.rules_toml import read_rules as read

    with _wrong_is_said():
        return read(path)


def read_course_file(path: Path, rules: Rules) -> CourseFile:
    """A course of either format."""
    from processor.adapters.files.courses import read_course

    with _wrong_is_said():
        return read_course(path, rules.openrally)


def _read_track(path: Path) -> Reading:
    from processor.adapters.files.scoring_tracks import read_track

    with _wrong_is_said():
        return read_track(path)


@contextmanager
def _wrong_is_said() -> Iterator[None]:
    try:
        yield
    except WrongFile as error:
        raise WrongContent(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None


# -- who drove what -------------------------------------------------------------------------------


def _entry_of(file: CourseFile, track: TrackFile, device_id: str) -> str:
    """The entry of a device in a file: the one that was said, else the one that the course gives
    the device to, else the file's name."""
    if track.entry is None:
        for entry in file.entries:
            if any(device.device_id == device_id for device in entry.devices):
                return entry.id
    return track.name


def _assigned(
    file: CourseFile, read: Sequence[tuple[TrackFile, Reading]]
) -> tuple[tuple[Entry, ...], Mapping[str, tuple[Track, ...]], list[tuple[str, str]]]:
    """Entries, their tracks, and which entries were added because the course does not know them."""
    parts: dict[str, dict[str, list[Track]]] = {}
    for track, reading in read:
        for each in reading.tracks:
            name = _entry_of(file, track, each.device_id)
            parts.setdefault(name, {}).setdefault(each.device_id, []).append(each)
        if not reading.tracks:
            parts.setdefault(track.name, {})
    known = {entry.id for entry in file.entries}
    unknown = sorted(parts.keys() - known)
    entries = (*file.entries, *map(Entry, unknown))
    sentence = "the course does not list this entry; it is scored all the same"
    added = [(name, sentence) for name in unknown] if file.entries else []
    driven = {
        name: tuple(_merged(of_device) for _, of_device in sorted(devices.items()))
        for name, devices in parts.items()
    }
    return entries, driven, added


def _merged(parts: Iterable[Track]) -> Track:
    """One track of the pieces that several files hold of one device. Of two fixes with one instant
    the smaller place counts, so that the order of the files decides nothing."""
    pieces = list(parts)
    if len(pieces) == 1:
        return pieces[0]
    at, latitude, longitude, speed_kmh, hdop = (
        np.concatenate([getattr(piece, name) for piece in pieces])
        for name in ("at", "latitude", "longitude", "speed_kmh", "hdop")
    )
    order = np.lexsort((hdop, speed_kmh, longitude, latitude, at))
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.diff(at[order]) > 0
    order = order[first]
    return Track(
        pieces[0].device_id,
        at[order],
        latitude[order],
        longitude[order],
        speed_kmh[order],
        hdop[order],
    )


# -- course ---------------------------------------------------------------------------------------


@click.group()
def course() -> None:
    """Look at a course before anybody drives it."""


@course.command("lint")
@click.argument("file", metavar="COURSE", type=FILE)
@click.option("--rules", "rules_file", type=FILE, help="Rules to be looked at with it, TOML.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.option(
    "--speed", type=click.FloatRange(1, 1000), default=130.0, show_default=True,
    help="Greatest speed expected, km/h.",
)  # fmt: skip
@click.option(
    "--interval", type=click.FloatRange(0.01, 3600), default=1.0, show_default=True,
    help="Seconds between two fixes of a tracker.",
)  # fmt: skip
def lint_command(
    file: Path, rules_file: Path | None, *, as_json: bool, speed: float, interval: float
) -> int:
    """Say what is probably wrong with a course, and what to do about it; exit 1 if anything is."""
    from processor.domain.lint import Tracker, lint

    rules = read_rules(rules_file)
    read = read_course_file(file, rules)
    findings = lint(read.course, rules, Tracker(speed, interval))
    rows = [
        {"place": f.place, "what": f.what, "message": f.message, "remedy": f.remedy}
        for f in findings
    ]
    if as_json:
        show.json({"findings": rows, "warnings": list(read.warnings)})
    else:
        for sentence in read.warnings:
            click.echo(sentence, err=True)
        if rows:
            show.table(
                f"{len(rows)} finding{'s' if len(rows) > 1 else ''}",
                ("place", "what", "message", "remedy"),
                [tuple(row.values()) for row in rows],
            )
        else:
            click.echo("nothing was found")
    return Exit.FAILED if rows else Exit.DONE


@course.command("schema")
def schema_command() -> int:
    """Print the JSON Schema of the course format."""
    from processor.adapters.files.course_structs import schema

    show.json(schema())
    return Exit.DONE
