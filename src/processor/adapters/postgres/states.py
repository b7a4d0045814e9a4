"""What the table knows of a device: its newest good fix, and for an operator, why no other is it.

Each device is asked for by itself, from its newest fix back along the unique index (device_id, ts),
until there is a good one. So of a hypertable only the chunk is opened in which that one lies.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from attrs import frozen

from processor.adapters.postgres.pool import session_of
from processor.adapters.postgres.snapshots import good_fixes
from processor.core.errors import Refused, Rejected
from processor.core.model import Position

if TYPE_CHECKING:
    import asyncpg

_NEWEST = f"""
    SELECT fix.* FROM unnest($1::text[]) AS wanted (device_id)
    CROSS JOIN LATERAL ({good_fixes("wanted.device_id", "$2", "1")}) AS fix
"""  # noqa: S608 -- put together from constants of ours

_CENSUS = """
    SELECT count(*) AS stored,
        count(*) FILTER (WHERE faulty) AS faulty,
        count(*) FILTER (WHERE satellites = 0) AS without_satellites,
        count(*) FILTER (WHERE ts > ingested_at + $2::interval) AS clock_ahead
    FROM public.positions WHERE device_id = $1
"""


@frozen
class Census:
    """The rows of a device: how many are stored, and how many of them are no place where it was,
    by why. A row may be so for more than one reason."""

    stored: int
    faulty: int
    without_satellites: int
    clock_ahead: int


class PostgresStateStore:
    """StateStore on a pool of its own, whose statement timeout is how long an answer may take. A
    fix counts if it was `clock_ahead_ms` ahead, at most, of the time at which it was stored."""

    def __init__(self, pool: "asyncpg.Pool[Any]", *, timeout_ms: int, clock_ahead_ms: int) -> None:
        self._pool = pool
        self._timeout_s = timeout_ms / 1000
        self._ahead = timedelta(milliseconds=clock_ahead_ms)

    async def newest(self, device_ids: Sequence[str]) -> Mapping[str, Position]:
        rows = await self._ask(_NEWEST, list(set(device_ids)))
        return {row["device_id"]: Position(*row.values()) for row in rows}

    async def census(self, device_id: str) -> Census:
        """Count all rows of the device, in all chunks: seconds where there are millions."""
        (row,) = await self._ask(_CENSUS, device_id)
        return Census(*row.values())

    async def _ask(self, statement: str, subject: object) -> "Sequence[asyncpg.Record]":
        try:
            async with session_of(self._pool, timeout_s=self._timeout_s) as session:
                await session.execute(session.opening.plain)
                rows = await session.fetch(statement, subject, self._ahead)
                await session.execute("COMMIT")
                return rows
        except Rejected as error:  # there is no record here that could be at fault
            raise Refused("database", "unexpected", error.sentence) from error
