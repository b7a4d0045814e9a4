"""Change notes that nobody took: they are dropped after a day, so that they cannot pile up.

Racing takes its notes within seconds. Where it has not run for a day it evaluates the running
events whole, and where it never runs the notes are of no use. A request for re-evaluation, which
may be of kind `fixes` as well, is somebody's wish and is never dropped.
"""

from typing import TYPE_CHECKING, Any

from processor.adapters.postgres.pool import session_of

if TYPE_CHECKING:
    import asyncpg

PIECE = 1_000
"""Notes dropped at once: some ten milliseconds, while the readiness probe waits for its session."""

WITHIN_S = 2.0
"""Shorter than the probe's own patience; what was not done is done the next time."""

# Constants only, and so one simple query: it is right behind a transaction pooler as well. ARRAY
# makes the server choose the rows once; SKIP LOCKED lets instances do this side by side.
_DROP = f"""
    DELETE FROM processor.track_changes WHERE id = ANY (ARRAY (
        SELECT id FROM processor.track_changes
        WHERE kind = 'fixes' AND request IS NULL AND noted_at < now() - interval '24 hours'
        ORDER BY noted_at LIMIT {PIECE} FOR UPDATE SKIP LOCKED
    ))
"""  # noqa: S608 -- put together from constants of ours


async def drop_old_changes(pool: "asyncpg.Pool[Any]") -> int:
    """Drop at most PIECE notes of new fixes that are older than 24 hours; how many there were.

    Raises Unavailable, Refused.
    """
    async with session_of(pool, timeout_s=WITHIN_S) as session:
        tag = await session.execute(_DROP, timeout=WITHIN_S)
    return int(tag.rpartition(" ")[2])
