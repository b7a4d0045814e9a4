"""Change notes older than a day are dropped; younger ones and copied requests stay."""

import asyncio
from datetime import timedelta

import asyncpg

from processor.adapters.postgres import migrations
from processor.adapters.postgres.old_changes import PIECE, drop_old_changes
from processor.adapters.postgres.pool import open_pool

OLD, YOUNG = timedelta(hours=24, minutes=1), timedelta(hours=23, minutes=59)

FILL = """
    INSERT INTO processor.track_changes (kind, noted_at, request_id)
    SELECT $1::text, now() - $2::interval, CASE $1::text WHEN 'fixes' THEN NULL ELSE 'r' || n END
    FROM generate_series(1, $3) AS n
"""


def pool_of(url, *, statement_cache=100):
    return open_pool(url, size=3, statement_timeout_ms=5000, statement_cache=statement_cache)


async def fill(pool, kind, age, count):
    await pool.execute(FILL, kind, age, count)


async def kinds(pool):
    rows = await pool.fetch("SELECT kind, count(*) FROM processor.track_changes GROUP BY kind")
    return {row[0]: row[1] for row in rows}


async def test_only_old_fixes_are_dropped(database_url):
    await migrations.apply(database_url)
    for statement_cache in (100, 0):
        async with pool_of(database_url, statement_cache=statement_cache) as pool:
            await pool.execute("TRUNCATE processor.track_changes")
            await fill(pool, "fixes", OLD, 3)
            await fill(pool, "fixes", YOUNG, 4)
            await fill(pool, "event", OLD, 5)
            assert await drop_old_changes(pool) == 3
            assert await kinds(pool) == {"fixes": 4, "event": 5}
            assert await drop_old_changes(pool) == 0


async def test_a_request_is_not_dropped_though_it_is_of_the_same_kind(postgres_url):
    """`processor faulty` and recompute requests for fixes: somebody waits for what they ask."""
    await migrations.apply(postgres_url)
    async with pool_of(postgres_url) as pool:
        await fill(pool, "fixes", OLD, 3)
        await pool.execute("UPDATE processor.track_changes SET request = '{}' WHERE id = 2")
        assert await drop_old_changes(pool) == 2
        assert await kinds(pool) == {"fixes": 1}


async def test_instances_share_the_work_piece_by_piece(postgres_url):
    await migrations.apply(postgres_url)
    async with pool_of(postgres_url) as pool:
        await fill(pool, "fixes", OLD, 3 * PIECE)
        dropped = await asyncio.gather(*(drop_old_changes(pool) for _ in range(3)))
        assert max(dropped) <= PIECE
        while piece := await drop_old_changes(pool):
            dropped.append(piece)
        assert sum(dropped) == 3 * PIECE
        assert await kinds(pool) == {}


async def test_it_waits_for_nobody(postgres_url):
    """A note that somebody works on is left to the next time."""
    await migrations.apply(postgres_url)
    async with pool_of(postgres_url) as pool:
        await fill(pool, "fixes", OLD, 2)
        racing = await asyncpg.connect(postgres_url)
        try:
            async with racing.transaction():
                await racing.execute("SELECT FROM processor.track_changes LIMIT 1 FOR UPDATE")
                assert await drop_old_changes(pool) == 1
            assert await drop_old_changes(pool) == 1
        finally:
            await racing.close()
