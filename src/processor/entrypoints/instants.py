"""Instants and ids as people type them: `2026-05-04T10:00:00Z`, or `15m` before now.

Each function is the type of an option or argument: what it raises, click says, and exits with 2.
"""

import re
from datetime import UTC, datetime, timedelta

import click

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
MILLISECOND = timedelta(milliseconds=1)

LARGEST = 2**64 - 1
"""Of both parts of an id."""

MEANT = "2026-05-04T10:00:00Z (or with an offset), or a span back from now such as 15m, 2h, 3d"


def instant(written: str) -> datetime:
    """In UTC. Raises BadParameter with what is wrong, and what is meant."""
    try:
        if span := re.fullmatch(r"([0-9]{1,9})([smhd])", written):
            back = timedelta(**{UNITS[span[2]]: int(span[1])})
            return datetime.now(UTC) - back
        found = datetime.fromisoformat(written)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except OverflowError:
        raise click.BadParameter(f"{written!r} lies beyond the calendar") from None
    except ValueError:
        raise click.BadParameter(f"{written!r} is no time; meant is {MEANT}") from None
    raise click.BadParameter(f"{written!r} says no zone: append Z for UTC; meant is {MEANT}")


def entry_id(written: str) -> str:
    """An id of the stream; without its sequence the first of that millisecond. Raises BadParameter
    for what is none."""
    found = re.fullmatch(r"([0-9]{1,20})(?:-([0-9]{1,20}))?", written)
    numbers = [int(number or 0) for number in found.groups()] if found else [LARGEST + 1]
    if max(numbers) > LARGEST:
        raise click.BadParameter(f"{written!r} is no id such as 1753350000000-0")
    return "-".join(map(str, numbers))


def entry_since(written: str) -> str:
    """The id from which on entries are meant: an instant, or an id in full."""
    if re.fullmatch(r"[0-9]+-[0-9]+", written):
        return entry_id(written)
    return f"{milliseconds(instant(written))}-0"


def milliseconds(moment: datetime) -> int:
    """Since the epoch; the first whole one that is not before the moment, and never negative."""
    return max(0, -((EPOCH - moment) // MILLISECOND))


def iso(moment: datetime | None) -> str | None:
    """As letters have it: UTC, milliseconds, Z."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
