"""What live asks of the database, where the database misbehaves."""

import asyncio

import asyncpg
import pytest

from processor.adapters.postgres import migrations
from processor.adapters.postgres.pool import open_reading_pool
from processor.adapters.postgres.snapshots import PostgresSnapshots
from processor.adapters.postgres.topic_map import PostgresTopicMap
from processor.core.errors import Refused
from processor.entrypoints.demo import sql
from processor.entrypoints.demo.field import business_tables
from processor.entrypoints.demo.office import RallyOffice
from processor.entrypoints.demo.servers import Postgres


async def tick(ticks: list[None]) -> None:
    """At most ten a second: the time of our own loop, which a busy machine only makes slower."""
    while True:
        await asyncio.sleep(0.1)
        ticks.append(None)


async def test_a_database_that_freezes_costs_a_snapshot_its_time_and_no_more(
    own_postgres: Postgres,
) -> None:
    sql.execute(own_postgres.url, business_tables())
    await migrations.apply(own_postgres.url)
    office = RallyOffice(own_postgres.url)
    event = office.event(office.organization())
    pool = open_reading_pool(
        own_postgres.url, size=2, statement_timeout_ms=15_000, statement_cache=100
    )
    async with pool:
        snapshots = PostgresSnapshots(pool, timeout_ms=1_000, clock_ahead_ms=60_000)
        assert (await snapshots.newest(event, [])).fixes == []
        own_postgres.pause()
        ticks: list[None] = []
        ticking = asyncio.create_task(tick(ticks))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await snapshots.newest(event, [])
        ticking.cancel()
        own_postgres.resume()
        assert len(ticks) < 25, "no goodbye is waited for; it was 4 s once"
        async with asyncio.timeout(20):
            assert (await snapshots.newest(event, [])).fixes == []


async def test_an_imei_that_is_a_number_is_found_though_no_question_fails(
    business_url: str,
) -> None:
    connection = await asyncpg.connect(business_url)
    try:
        await connection.execute("ALTER TABLE devices ALTER COLUMN imei TYPE bigint USING 1")
    finally:
        await connection.close()
    pool = open_reading_pool(business_url, size=1, statement_timeout_ms=5_000, statement_cache=100)
    async with pool:
        with pytest.raises(Refused, match=r"public\.devices\.imei is bigint, and should be text"):
            await PostgresTopicMap(pool, timeout_ms=5_000).read()
