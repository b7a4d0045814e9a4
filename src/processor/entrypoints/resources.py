"""What has to be opened and closed: connections. Opening never waits for a server.

Everything connects when it is first used, so a process starts, answers its probes and says what is
missing while Redis and PostgreSQL are still on their way. Closing has a deadline of its own: a
peer that is stopped would otherwise keep us from ending.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
from attrs import frozen
from redis.asyncio import Redis

from processor.adapters.postgres.errors import FAILURES
from processor.adapters.postgres.errors import translate as translate_postgres
from processor.adapters.postgres.old_changes import drop_old_changes
from processor.adapters.postgres.pool import open_pool, open_reading_pool, probe
from processor.adapters.redis.connection import connect, exchange
from processor.adapters.redis.errors import translate as translate_redis
from processor.entrypoints.settings import RunSettings

COMMAND_WITHIN_S = 2.0
"""PING, XADD of a dead letter, XINFO: a server that answers at all answers within milliseconds."""

RECALL_WITHIN_MS = 5_000
"""A question about two thousand devices takes some 30 ms. A state that comes seconds late is older
than what the device has sent meanwhile."""

CLOSE_WITHIN_S = 2.0
"""Goodbyes are polite and not worth a longer wait."""


@frozen
class Resources:
    """The connections of one process."""

    redis: Redis
    pool: "asyncpg.Pool[Any] | None"
    recall_pool: "asyncpg.Pool[Any] | None"
    live_pool: "asyncpg.Pool[Any] | None"

    @property
    def pools(self) -> "Sequence[asyncpg.Pool[Any]]":
        """Those that are open; the probe asks by the first, and never by the one for recalling."""
        return [pool for pool in (self.pool, self.live_pool, self.recall_pool) if pool is not None]

    async def ask_stream(self) -> None:
        """Is Redis there? Raises Unavailable, Refused."""
        (answer,) = await exchange(self.redis, [("PING",)])
        if isinstance(answer, Exception):
            raise translate_redis(answer) from answer

    async def ask_database(self) -> None:
        """Is PostgreSQL there? Raises Unavailable, Refused."""
        await probe(self.pools[0])

    async def drop_old_changes(self) -> int:
        """Drop some of the change notes that are too old; how many. Raises Unavailable, Refused."""
        assert self.pool is not None, "change notes are dropped by ingest"
        return await drop_old_changes(self.pool)

    def hang_up(self) -> None:
        """End whatever is under way in the database: it would not notice being cancelled."""
        for pool in self.pools:
            pool.terminate()


async def open_resources(
    settings: RunSettings, instance_id: str, stack: AsyncExitStack
) -> Resources:
    """Open what `processor run` needs; the stack closes it. Raises Refused for wrong URLs."""
    redis = connect(settings.redis.url, timeout_s=COMMAND_WITHIN_S, name=f"processor-{instance_id}")
    stack.push_async_callback(redis.aclose)
    postgres, roles = settings.postgres, settings.process.roles
    common: dict[str, Any] = {
        "statement_timeout_ms": postgres.statement_timeout_ms,
        "statement_cache": postgres.statement_cache,
    }
    pool = recall_pool = live_pool = None
    if "ingest" in roles:
        pool = open_pool(postgres.url, size=settings.pool_size, **common)
        # Of its own, so that no writer and no probe ever waits for what is read back.
        recall_pool = open_reading_pool(
            postgres.url,
            size=1,
            statement_timeout_ms=min(RECALL_WITHIN_MS, postgres.statement_timeout_ms),
            statement_cache=postgres.statement_cache,
            name="processor-recall",
        )
    if "live" in roles:
        live_pool = open_reading_pool(postgres.url, size=settings.live_pool_size, **common)
    resources = Resources(redis, pool, recall_pool, live_pool)
    for each in resources.pools:
        try:
            await each  # connects nothing yet
        except FAILURES as error:
            raise translate_postgres(error) from error
        stack.push_async_callback(_close, each)
    return resources


async def _close(pool: "asyncpg.Pool[Any]") -> None:
    try:
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()
