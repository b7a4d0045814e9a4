"""How commands show a table: for a person at a terminal, and plainly for everything else.

At a terminal it fits 80 columns and has colours, unless NO_COLOR says otherwise. Into a file or a
pipe it is one line per row, cells separated by tabs, so that `cut` and `grep` work on it; a command
that shows several tables says before each what it is.

Where stdout takes no more (a full disk), the command ends with a sentence. A pipe that was closed
is no fault of anybody's, and click ends the command without a word.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from processor.entrypoints.exits import Ends, Exit

STYLES: Mapping[str, str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}
"""Cells that are shown in colour, by what they hold."""


class Unwritten(Ends):
    code = Exit.FAILED


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text on stdout."""
    if sys.stdout.isatty():
        _drawn(title, columns, rows)
    else:
        _lines(rows)


def tables(*shown: tuple[str, Sequence[str], Sequence[Sequence[str]]]) -> None:
    """Print several tables of title, columns and rows; those without rows are left out. Into a file
    or a pipe each has its title and its columns as lines of their own, and a blank line between."""
    for number, (title, columns, rows) in enumerate(each for each in shown if each[2]):
        if sys.stdout.isatty():
            _drawn(title, columns, rows)
        else:
            blank: Sequence[Sequence[str]] = [()] if number else []
            _lines([*blank, (f"# {title}",), columns, *rows])


def _lines(rows: Sequence[Sequence[str]]) -> None:
    with _stdout():
        for row in rows:
            click.echo("\t".join(row))


def _drawn(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = Table(*columns, title=title, title_justify="left", expand=False)
    for row in rows:
        # Text, not markup: a stream's name may hold brackets.
        shown.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(shown)


@contextmanager
def _stdout() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        # What is still in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Unwritten(f"standard output: {error.strerror}") from None


def working(what: str) -> AbstractContextManager[object]:
    """At a terminal, something moves while this lasts: work whose end nobody can foresee."""
    console = Console(stderr=True, highlight=False)
    return console.status(what) if console.is_terminal else nullcontext()


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """At a terminal, a bar that grows by what the yielded function is told."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def json(value: Any) -> None:
    """Print a value as one indented JSON text on stdout."""
    with _stdout():
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def span(seconds: float | None) -> str:
    """A duration as people say it: 4 s, 3 min, 7.5 h."""
    if seconds is None:
        return "?"
    if seconds < 100:
        return f"{seconds:.3g} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
