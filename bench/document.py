"""docs/PERFORMANCE.md is written by several commands: its head by `make bench`, and behind it a
part of each other one, between marks of its own. Each leaves alone what the others wrote."""

import re
from collections.abc import Iterable
from pathlib import Path

_PART = re.compile(r"<!-- (?P<name>[a-z-]+) -->\n.*?<!-- /(?P=name) -->\n", re.DOTALL)


def with_part(document: str, name: str, text: str) -> str:
    """The document with the part of that name replaced, or added at its end."""
    part = f"<!-- {name} -->\n{text.rstrip()}\n<!-- /{name} -->\n"
    parts = {found["name"]: found[0] for found in _PART.finditer(document)} | {name: part}
    return _put_together(head(document), parts.values())


def with_head(document: str, text: str) -> str:
    """The document with everything before its parts replaced."""
    return _put_together(text, [found[0] for found in _PART.finditer(document)])


def head(document: str) -> str:
    found = _PART.search(document)
    return document[: found.start()] if found else document


def write_head(file: Path, text: str) -> None:
    file.write_text(with_head(file.read_text() if file.exists() else "", text))


def write_part(file: Path, name: str, text: str) -> None:
    file.write_text(with_part(file.read_text() if file.exists() else "", name, text))


def _put_together(head: str, parts: Iterable[str]) -> str:
    return "\n".join([head.rstrip() + "\n", *parts])
