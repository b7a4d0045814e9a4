"""How commands show a table: for a person at a terminal, and plainly for everything else.

At a terminal it fits 80 columns and has colours, unless NO_COLOR says otherwise. Into a file or a
pipe it is one line per row, cells separated by tabs, so that `cut` and `grep` work on it.
"""

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

STYLES: Mapping[str, str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}
"""Cells that are shown in colour, by what they hold."""


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text on stdout."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    shown = Table(*columns, title=title, title_justify="left", expand=False)
    for row in rows:
        # Text, not markup: a stream's name may hold brackets.
        shown.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(shown)


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
