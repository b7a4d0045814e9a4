"""The rights that docs/OPERATIONS.md lists for the service are enough for all that it does."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg

from processor.adapters.postgres import migrations
from processor.adapters.postgres.old_changes import drop_old_changes
from processor.adapters.postgres.pool import open_pool, open_reading_pool, probe
from processor.adapters.postgres.schema import check_schema
from processor.adapters.postgres.sink import PostgresPositionSink
from processor.adapters.postgres.snapshots import PostgresSnapshots
from processor.adapters.postgres.topic_map import PostgresTopicMap
from processor.core.model import Position
from processor.core.ports import Outcome, Snapshot
from processor.entrypoints.demo import sql

BUSINESS_TABLES = Path(__file__).parents[2] / "schema/tables.sql"
OPERATIONS = Path(__file__).parents[2] / "docs/OPERATIONS.md"
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


def grants(url: str, role: str) -> str:
    (block,) = re.findall(r"```sql\n(.*?)```", OPERATIONS.read_text(encoding="utf-8"), re.DOTALL)
    assert "processor_service" in block
    database = urlsplit(url).path.removeprefix("/")
    return block.replace("processor_service", role).replace(
        "DATABASE rally", f"DATABASE {database}"
    )


def fixes(device_id: str, seconds: range) -> list[Position]:
    instants = [MIDNIGHT + timedelta(seconds=second) for second in seconds]
    return [
        Position(device_id, at, 45.0, 14.0, 312.0, 87.0, 54.0, 11, 0, "8E", b"{}")
        for at in instants
    ]


async def as_live(url: str) -> None:
    async with open_reading_pool(
        url, size=1, statement_timeout_ms=5000, statement_cache=100
    ) as pool:
        await probe(pool)
        assert await PostgresTopicMap(pool, timeout_ms=5000).read() == {}
        snapshots = PostgresSnapshots(pool, timeout_ms=5000, clock_ahead_ms=60_000)
        held = [("by copy", MIDNIGHT)]
        assert await snapshots.newest(str(uuid4()), held) == Snapshot([], frozenset())
        assert await snapshots.trails(str(uuid4()), 5, attributes=True) == {}


async def test_the_service_works_under_the_rights_that_operations_lists(database_url):
    await migrations.apply(database_url)
    sql.execute(database_url, BUSINESS_TABLES.read_text(encoding="utf-8"))
    parts = urlsplit(database_url)
    role = f"service_{parts.path[-12:]}"
    url = parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()
    owner = await asyncpg.connect(database_url)
    try:
        # What everybody may by default, an administrator may have taken away.
        await owner.execute(f"REVOKE TEMPORARY ON DATABASE {parts.path[1:]} FROM PUBLIC")
        await owner.execute(grants(database_url, role))
        assert await migrations.apply(url) == []
        assert await check_schema(url) == []
        async with open_pool(url, size=2, statement_timeout_ms=5000, statement_cache=100) as pool:
            await probe(pool)
            for copy_from, device_id in ((1, "by copy"), (1000, "by statement")):
                sink = PostgresPositionSink(pool, track_changes=True, copy_from=copy_from)
                await sink.store(fixes(device_id, range(10)))
                outcomes = await sink.store(fixes(device_id, range(5, 15)))
                assert outcomes == [Outcome.DUPLICATE] * 5 + [Outcome.INSERTED] * 5
            await owner.execute(
                "UPDATE processor.track_changes SET noted_at = now() - '2 days'::interval"
            )
            assert await drop_old_changes(pool) == 4
        await as_live(url)
    finally:
        await owner.execute(f"DROP OWNED BY {role}")
        await owner.execute(f"DROP ROLE {role}")
        await owner.close()
