"""What an operator does to the stored track of a device: look at it, flag it, erase it.

Whoever changes fixes also writes down, in the same statement, that they are to be evaluated again:
a row in `processor.track_changes` as a copied recompute request is one, of kind `fixes`, with the
request itself. Being somebody's wish it is not dropped by age. What is not committed was neither
changed nor asked for.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4

import asyncpg
import msgspec
from attrs import frozen

from processor.adapters.postgres.pool import connection_to
from processor.core.errors import Refused, Rejected

WITHIN_S = 600.0
"""Somebody waits for it, and a span of years in compressed chunks takes minutes."""

# The operator has said which span is meant, however much of it lies compressed. A server without
# TimescaleDB keeps the setting, unused.
_UNLIMITED = "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0"

_SPAN = "device_id = $1 AND ts BETWEEN $2 AND $3"

_LOOK = f"""
    SELECT count(*) AS fixes, count(*) FILTER (WHERE faulty) AS faulty,
        min(ts) AS first, max(ts) AS last
    FROM public.positions WHERE {_SPAN}
"""  # noqa: S608 -- this and the others: put together from constants of ours

_NEAREST = """
    SELECT (SELECT max(ts) FROM public.positions WHERE device_id = $1 AND ts < $2) AS before,
        (SELECT min(ts) FROM public.positions WHERE device_id = $1 AND ts > $3) AS after
"""


def _change(change: str) -> str:
    """$4 and $5 are the request and its id. The note names the fixes that changed, and no more."""
    return f"""
        WITH changed AS ({change} RETURNING ts), noted AS (
            INSERT INTO processor.track_changes
                (kind, device_ids, from_ts, to_ts, request, request_id)
            SELECT 'fixes', ARRAY[$1::text], ARRAY[min(ts)], ARRAY[max(ts)], $4::text::jsonb, $5
            FROM changed HAVING count(*) > 0
        )
        SELECT count(*) FROM changed
    """  # noqa: S608


_FLAG = _change(f"UPDATE public.positions SET faulty = $6 WHERE {_SPAN} AND faulty <> $6")  # noqa: S608
_ERASE = _change(f"DELETE FROM public.positions WHERE {_SPAN}")  # noqa: S608


@frozen
class Stretch:
    """The fixes of a device (by its IMEI) between two instants, both included."""

    device_id: str
    since: datetime
    until: datetime


@frozen
class Found:
    """How many fixes there are, how many of them are faulty, and which are the outermost."""

    fixes: int
    faulty: int
    first: datetime | None
    last: datetime | None


@frozen
class Changed:
    """How many fixes; and the id of the request to evaluate them again, None without any."""

    fixes: int
    request_id: str | None


class StoredTracks:
    """The table, for one errand at a time: a connection each. Raises Unavailable, Refused."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def look(self, stretch: Stretch) -> Found:
        return Found(*await self._ask(_LOOK, stretch))

    async def nearest(self, stretch: Stretch) -> tuple[datetime | None, datetime | None]:
        """The device's last fix before it and its first one after it."""
        before, after = await self._ask(_NEAREST, stretch)
        return before, after

    async def may_erase(self) -> tuple[bool, str]:
        """May our role delete positions, and what is it called?"""
        may, role = await self._ask(
            "SELECT has_table_privilege('public.positions', 'DELETE'), current_user::text"
        )
        return may, role

    async def flag(self, stretch: Stretch, *, faulty: bool, request: Mapping[str, str]) -> Changed:
        """Make `faulty` what it says, for those fixes that are there now."""
        return await self._changed(_FLAG, stretch, request, faulty)

    async def erase(self, stretch: Stretch, *, request: Mapping[str, str]) -> Changed:
        """Delete the fixes that are there now, for ever. Needs the right to."""
        return await self._changed(_ERASE, stretch, request)

    async def _changed(
        self, statement: str, stretch: Stretch, request: Mapping[str, str], *values: object
    ) -> Changed:
        request_id = f"operator/{uuid4()}"
        text = msgspec.json.encode(request).decode()
        (count,) = await self._ask(statement, stretch, text, request_id, *values)
        return Changed(count, request_id if count else None)

    async def _ask(
        self, statement: str, stretch: Stretch | None = None, *values: object
    ) -> asyncpg.Record:
        span = (stretch.device_id, stretch.since, stretch.until) if stretch else ()
        try:
            async with (
                connection_to(self._url, timeout_s=WITHIN_S) as connection,
                connection.transaction(),
            ):
                await connection.execute(f"SET LOCAL statement_timeout = '{WITHIN_S:.0f}s'")
                await connection.execute(_UNLIMITED)
                row: asyncpg.Record | None = await connection.fetchrow(statement, *span, *values)
        except Rejected as error:  # there is no record here that could be at fault
            raise Refused("database", "unexpected", error.sentence) from error
        assert row is not None, "an aggregate has one row"
        return row
