"""docs/RELIABILITY.md is written by hand, and behind that by commands: a part of each, between
marks of its own, as bench/document.py has it. Nothing in a part is typed by a person, so each says
what wrote it, when, and on what machine."""

import time
from collections.abc import Sequence
from pathlib import Path

from bench.document import write_part
from bench.machine import machine

ROOT = Path(__file__).parents[1]
RELIABILITY = ROOT / "docs" / "RELIABILITY.md"


def write(name: str, title: str, command: str, text: str, *, file: Path = RELIABILITY) -> None:
    """Put the part `name` (letters and dashes) into the document, in place of the one before it.

    `command` is what whoever doubts the figures has to type; `text` is markdown without headings
    of the first two levels.
    """
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    write_part(file, name, part(title, command, text, f"{now}, {machine()}"))


def part(title: str, command: str, text: str, when_and_where: str) -> str:
    """A part's markdown, without its marks."""
    origin = f"Written by `{command}`; do not edit, run it again. {when_and_where}."
    return f"## {title}\n\n{origin}\n\n{text.strip()}\n"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows as a markdown table, the columns after the first to the right; numbers are grouped."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def _cell(value: object) -> str:
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)
