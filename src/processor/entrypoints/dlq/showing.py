"""Dead letters for a person's eyes: `processor dlq list` and `processor dlq show`.

A list prints no payload. At a terminal a letter has two lines that fit 80 columns, the newest last,
where the eyes are; into a pipe it is one line, cells separated by tabs. Whatever a device sent is
escaped: a terminal obeys some characters.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.text import Text

from processor.adapters.redis.letters import FOREIGN, Letter, RedisLetters, text
from processor.core.errors import Reason
from processor.entrypoints.dlq.choosing import Chosen, letters_of
from processor.entrypoints.instants import iso

WIDTHS = (17, 19, 15, 0)
"""Columns of an id, the longest reason, an IMEI; the instant comes last."""

ADVICE = {
    Reason.CONFLICT: "a panic message met a stored fix of the same instant: tell whoever looks "
    "after safety, then drop it",
    Reason.KILLS_THE_PROCESS: "it ended the process whenever it was tried: report it as a bug "
    "before it goes back",
    Reason.REFUSED_BY_DATABASE: "the error says what the database would not take: mend that first",
    FOREIGN: "somebody else put it here, and it cannot go back: look who, then drop it",
}
USUALLY = "no row can be made of what was sent: mend whoever sends it, or drop it"


async def rows(letters: RedisLetters, chosen: Chosen) -> AsyncIterator[dict[str, Any]]:
    """The newest letter of each chosen origin, from old to new."""
    rest = dict(chosen.copies)
    async for letter in letters_of(letters, chosen):
        rest[letter.origin_id] -= 1
        if not rest[letter.origin_id]:
            yield _row(letter, chosen.copies[letter.origin_id])


def _row(letter: Letter, copies: int) -> dict[str, Any]:
    return {
        "id": letter.id,
        "origin_id": letter.origin_id,
        "reason": letter.reason,
        "device_id": letter.device_id,
        "deliveries": letter.deliveries,
        "copies": copies,
        "failed_at": iso(letter.failed_at),
        "error": letter.error,
    }


async def print_rows(found: AsyncIterator[dict[str, Any]]) -> None:
    """As they come."""
    console = Console(highlight=False)
    async for row in found:
        cells = ["-" if value is None else plain(str(value)) for value in row.values()]
        if not console.is_terminal:
            click.echo("\t".join(cells))
            continue
        for line in _lines(*cells):
            console.print(line, no_wrap=True, overflow="ellipsis")


async def print_json(found: AsyncIterator[dict[str, Any]], told: Mapping[str, Any]) -> None:
    """One object: `letters`, written as they come, and what is told besides."""
    before = '{"letters": [\n'
    async for row in found:
        click.echo(before + msgspec.json.encode(row).decode(), nl=False)
        before = ",\n"
    if before != ",\n":
        click.echo(before, nl=False)
    click.echo("\n], " + msgspec.json.encode(told).decode().removeprefix("{"))


def _lines(
    id_: str,
    origin_id: str,
    reason: str,
    device_id: str,
    deliveries: str,
    copies: str,
    failed_at: str,
    error: str,
) -> tuple[Text, Text]:
    cells = zip((id_, reason, device_id, failed_at), WIDTHS, strict=True)
    head = " ".join(cell.ljust(width) for cell, width in cells)
    often = f"delivered {deliveries} x" + ("" if copies == "1" else f", here {copies} x")
    return Text(head, style="bold"), Text(f"{origin_id.ljust(WIDTHS[0])} {often}: {error}")


def print_letter(letter: Letter) -> None:
    """All of it: what came, untouched, and what we said of it."""
    click.echo(f"letter {letter.id}, entry {letter.origin_id}")
    for name, value in letter.fields:
        _print_field(plain(text(name)), _readable(name, value))
    if letter.reason == FOREIGN:
        click.echo(f"  -- {letter.error}")
        return
    click.echo("  -- and the processor says")
    _print_field("reason", plain(letter.reason))
    _print_field("error", plain(letter.error))
    _print_field("deliveries", str(letter.deliveries))
    _print_field("instance_id", plain(letter.instance_id))
    _print_field("failed_at", iso(letter.failed_at) or "-")


def print_next(letter: Letter) -> None:
    """What to do about it, and what to type."""
    click.echo(ADVICE.get(letter.reason, USUALLY))
    if letter.can_return:
        click.echo(f"to put it on the stream again: processor dlq requeue {letter.origin_id}")
    click.echo(f"to remove it for ever:         processor dlq drop {letter.origin_id}")


def _print_field(name: str, value: str) -> None:
    first, *more = value.split("\n")
    click.echo(f"  {name.ljust(11)} {first}")
    for line in more:
        click.echo(f"  {' ' * 11} {line}")


def _readable(name: bytes, value: bytes) -> str:
    """A payload that is JSON is laid out, and nothing in it is changed; whatever a terminal would
    obey, and bytes that are no UTF-8, are escaped."""
    if name == b"payload":
        try:
            laid_out = msgspec.json.format(value, indent=2)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return "\n".join(map(plain, text(laid_out).split("\n")))
    return plain(text(value))


def in_full(letter: Letter) -> dict[str, Any]:
    """For JSON. What is no UTF-8 is given as base64, under another name."""
    return {
        "id": letter.id,
        "origin_id": letter.origin_id,
        "reason": letter.reason,
        "error": letter.error,
        "deliveries": letter.deliveries,
        "instance_id": letter.instance_id,
        "failed_at": iso(letter.failed_at),
        "fields": [
            {**_said("name", name), **_said("value", value)} for name, value in letter.fields
        ],
    }


def _said(what: str, value: bytes) -> dict[str, str]:
    try:
        return {what: value.decode()}
    except UnicodeDecodeError:
        return {f"{what}_b64": b64encode(value).decode()}


def plain(written: str) -> str:
    """On one line, and nothing in it that a terminal obeys."""
    if written.isprintable():
        return written
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in written
    )
