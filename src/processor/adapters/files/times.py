"""Dates and times as people and devices write them in files: ISO-8601, and nothing that merely
looks like it (Python's own reader takes a bare date for midnight, and any letter for the T)."""

import re
from datetime import UTC, datetime

from processor.domain.instants import instant

_DATE_AND_TIME = re.compile(
    r"(?:\d{4}-\d\d-\d\d|\d{8})[T ]\d\d:?\d\d(?::?\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)


YEAR_MAX = 2200
"""Nobody drives later; and sums of instants and durations stay within the calendar."""

INSTANT_MAX = instant(datetime(YEAR_MAX, 1, 1, tzinfo=UTC))
TOO_LATE = f"must lie before the year {YEAR_MAX}"


def is_too_late(time: datetime) -> bool:
    """Whether no file can mean that time."""
    return time.year >= YEAR_MAX


def read_time(text: str) -> datetime | None:
    """The date and time that a text holds, in UTC, or naive where it names no offset; None if it
    is no ISO-8601 date and time, or no such time exists."""
    text = text.strip()
    if not _DATE_AND_TIME.fullmatch(text):
        return None
    try:
        read = datetime.fromisoformat(text.upper())
        return read if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def read_instant(text: str) -> int | None:
    """The instant in microseconds that a text with Z or an offset holds, else None."""
    read = read_time(text)
    return None if read is None or read.tzinfo is None else instant(read)
