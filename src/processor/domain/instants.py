"""Instants as whole microseconds since 1970-01-01 UTC: exact, ordered, and equal where they are
printed equal. They become text or a `datetime` only at the edges.
"""

from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
MINUTE = 60 * SECOND
MILLISECOND = 1_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""The last instant that has a date: the end of the year 9999."""


def instant(moment: datetime) -> int:
    """The instant of an aware datetime, in microseconds. Raises TypeError on a naive one."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(instant_us: int) -> datetime:
    """The datetime, in UTC, of an instant."""
    return _EPOCH + timedelta(microseconds=instant_us)


def iso(instant_us: int) -> str:
    """ISO-8601 UTC with microseconds, as all of ours spells it: 2026-06-07T08:00:00.000000Z."""
    return moment(instant_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def later(instant_us: int, duration_us: int) -> int:
    """An instant and a duration after it, at most LAST: beyond it there is nothing to wait for."""
    return min(instant_us + duration_us, LAST)


def floor_minute(instant_us: int) -> int:
    """The whole minute that an instant lies in: what a marshal's clock shows."""
    return instant_us - instant_us % MINUTE


def floor_to(instant_us: int, resolution_ms: int) -> int:
    """An instant or a duration cut to the clock's resolution, never rounded up (FIA: times are
    truncated). `resolution_ms` is 1000, 100, 10 or 1."""
    return instant_us - instant_us % (resolution_ms * MILLISECOND)
