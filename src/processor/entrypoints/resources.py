"""What has to be opened and closed: connections. Opening never waits for a server.

Everything connects when it is first used, so a process starts, answers its probes and says what is
missing while Redis and PostgreSQL are still on their way. Closing has a deadline of its own: a
peer that is stopped would otherwise keep us from ending.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
from attrs import frozen
from redis.asyncio import Redis

from processor.adapters.postgres.errors import FAILURES
from processor.adapters.postgres.errors import translate as translate_postgres
from processor.adapters.postgres.old_changes import drop_old_changes
from processor.adapters.postgres.pool import open_pool, probe
from processor.adapters.redis.connection import connect, exchange
from processor.adapters.redis.errors import translate as translate_redis
from processor.entrypoints.settings import RunSettings

COMMAND_WITHIN_S = 2.0
"""PING, XADD of a dead letter, XINFO: a server that answers at all answers within milliseconds."""

CLOSE_WITHIN_S = 2.0
"""Goodbyes are polite and not worth a longer wait."""


@frozen
class Resources:
    """The connections of one process."""

    redis: Redis
    pool: "asyncpg.Pool[Any]"

    async def ask_stream(self) -> None:
        """Is Redis there? Raises Unavailable, Refused."""
        (answer,) = await exchange(self.redis, [("PING",)])
        if isinstance(answer, Exception):
            raise translate_redis(answer) from answer

    async def ask_database(self) -> None:
        """Is PostgreSQL there? Raises Unavailable, Refused."""
        await probe(self.pool)

    async def drop_old_changes(self) -> int:
        """Drop some of the change notes that are too old; how many. Raises Unavailable, Refused."""
        return await drop_old_changes(self.pool)


async def open_resources(
    settings: RunSettings, instance_id: str, stack: AsyncExitStack
) -> Resources:
    """Open what `processor run` needs; the stack closes it. Raises Refused for wrong URLs."""
    redis = connect(settings.redis.url, timeout_s=COMMAND_WITHIN_S, name=f"processor-{instance_id}")
    stack.push_async_callback(redis.aclose)
    pool = open_pool(
        settings.postgres.url,
        size=settings.pool_size,
        statement_timeout_ms=settings.postgres.statement_timeout_ms,
        statement_cache=settings.postgres.statement_cache,
    )
    try:
        await pool  # connects nothing yet
    except FAILURES as error:
        raise translate_postgres(error) from error
    stack.push_async_callback(_close, pool)
    return Resources(redis, pool)


async def _close(pool: "asyncpg.Pool[Any]") -> None:
    try:
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()
