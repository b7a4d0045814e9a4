"""Every command of ours that docs/OPERATIONS.md types is one that the command line takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from processor.entrypoints.cli import processor

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/OPERATIONS.md").read_text(encoding="utf-8")

PLACEHOLDERS = {
    "TIME": "1h",
    "DEVICE": "356307042441013",
    "REASON": "conflict",
    "TEXT": "why",
    "ID": "1777888999000-0",
    "CONSUMER": "host-7",
    "N": "3",
    "FILE...": str(ROOT / "README.md"),
    "FILE": str(ROOT / "README.md"),
    "COURSE": str(ROOT / "examples/visnjan.json"),
    "TRACK...": str(ROOT / "README.md"),
    "PNG": "out.png",
}
"""What the table of commands says for a value, and one."""


def in_blocks(document: str) -> Iterator[str]:
    """Commands to be typed."""
    for block in re.findall(r"^ *```\w*\n(.*?)```", document, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if found := re.match(r"\s*(?:\w+=\S+ )*processor (.*)", line):
                yield found[1].partition("  #")[0].strip()


def in_prose(document: str) -> Iterator[str]:
    """Those of which a sentence or the table speaks, maybe by their bare names."""
    prose = re.sub(r"^ *```.*?```", "", document, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`processor ([^`\n]+)`", prose)


TYPED, TOLD = sorted(set(in_blocks(OPERATIONS))), sorted(set(in_prose(OPERATIONS)))


def parse(text: str, *, bare: bool = False) -> None:
    """As the command line would, without doing it; a bare name is only looked up."""
    words = [PLACEHOLDERS.get(each, each) for each in shlex.split(re.sub(r"[\[\]]", "", text))]
    command: click.Command = processor
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            raise click.UsageError(f"no command {words[0]}")
        command, words = found, words[1:]
    if words or not bare:
        command.make_context(command.name, words)


@pytest.mark.parametrize("text", TYPED)
def test_a_command_that_is_typed_is_one(text: str) -> None:
    parse(text)


@pytest.mark.parametrize("text", TOLD)
def test_a_command_that_is_told_of_is_one(text: str) -> None:
    for each in text.split(" / "):
        parse(each, bare=True)


@pytest.mark.parametrize(
    "text",
    ["doctr", "lag --jason", "dlq lisst", "faulty DEVICE --from TIME", "claim a b", "forget"],
)
def test_one_that_is_none_is_found(text: str) -> None:
    with pytest.raises(click.UsageError):
        parse(text)


def test_every_command_is_in_the_document() -> None:
    context = click.Context(processor)
    named = {text.split()[0] for text in TYPED + TOLD}
    shown = {
        name
        for name in processor.list_commands(context)
        if not getattr(processor.get_command(context, name), "hidden", False)
    }
    assert shown - named == set()
