"""`processor score` and `processor course`: the racing rules on files, with no server anywhere.

A course, tracks and, if wanted, rules come from files; a table, or JSON, goes to stdout, and what
is remarkable about the files to stderr. A file that is wrong is one sentence and exit code 1, a
file that is not there exit code 2.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from processor.adapters.files.course_file import CourseFile
from processor.adapters.files.driven import Driven, TrackFile
from processor.adapters.files.wrong import WrongFile
from processor.domain.rules import Rules
from processor.entrypoints import show
from processor.entrypoints.exits import Ends, Exit


class WrongContent(Ends):
    code = Exit.FAILED


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
        if said is not None and not said.isprintable():
            self.fail(f"{said!r} names no entry: a name is UTF-8 that can be printed", param, ctx)
        return TrackFile(path, said)


class OutFile(click.Path):
    """A file to be written. Whether it can be is asked before all the work."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}", param, ctx)
        if not path.exists() and not os.access(path.parent, os.W_OK | os.X_OK):
            self.fail(f"nothing can be written into {str(path.parent)!r}", param, ctx)
        return path


FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
OUT = OutFile()


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
    if plot is not None:
        # Before all the work: without the extra it ends here.
        from processor.adapters.files.plot import draw
    from processor.adapters.files.score_json import as_json as output
    from processor.adapters.files.warned import Warned
    from processor.domain.scoring import score as judge

    rules = read_rules(rules_file)
    file = read_course_file(course, rules)
    driven = _read_driven(file, tracks)
    scored = judge(file.course, driven.entries, driven.tracks, rules)
    of_course = (Warned("", "course", None, None, sentence) for sentence in file.warnings)
    told = output(scored, file, [*of_course, *driven.warned])
    if as_json:
        show.json(told)
    else:
        from processor.entrypoints.scoreboard import print_scores

        print_scores(told, explain=explain)
    with _wrong_is_said():
        if crossings is not None:
            from processor.adapters.files.geo_out import write_crossings

            write_crossings(crossings, told["crossings"])
        if plot is not None:
            draw(plot, scored, file)
    return Exit.DONE


# -- reading --------------------------------------------------------------------------------------


def read_rules(path: Path | None) -> Rules:
    """The rules of a file; without one there are no penalties."""
    from processor.adapters.files.rules_toml import no_rules
    from processor.adapters.files.rules_toml import read_rules as read

    if path is None:
        return no_rules()
    with _wrong_is_said():
        return read(path)


def read_course_file(path: Path, rules: Rules) -> CourseFile:
    """A course of either format."""
    from processor.adapters.files.courses import read_course

    with _wrong_is_said():
        return read_course(path, rules.openrally)


def _read_driven(file: CourseFile, tracks: Sequence[TrackFile]) -> Driven:
    from processor.adapters.files.driven import read_driven

    with _wrong_is_said():
        return read_driven(file, tracks)


@contextmanager
def _wrong_is_said() -> Iterator[None]:
    try:
        yield
    except WrongFile as error:
        raise WrongContent(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None


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
            title = f"{len(rows)} finding{'s' if len(rows) > 1 else ''}"
            columns = ("place", "what", "message", "remedy")
            show.tables((title, columns, [tuple(row.values()) for row in rows]))
        else:
            click.echo("nothing was found")
    return Exit.FAILED if rows else Exit.DONE


@course.command("schema")
def schema_command() -> int:
    """Print the JSON Schema of the course format."""
    from processor.adapters.files.course_structs import schema

    show.json(schema())
    return Exit.DONE
