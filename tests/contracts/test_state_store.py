"""The contract of StateStore (core/ports), sentence by sentence: in memory, on PostgreSQL and on
TimescaleDB, directly and as a pooler asks. And what only a database can do: say why, be slow."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from processor.adapters.postgres import migrations, states
from processor.adapters.postgres.pool import open_reading_pool
from processor.adapters.postgres.states import Census, PostgresStateStore
from processor.core.errors import Refused, Unavailable
from processor.core.model import Position

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)


def fix(device_id="a", at=NOON, **other):
    """A fix all of whose values real columns and jsonb hold exactly."""
    values = {
        "latitude": 45.123456789,
        "longitude": -14.25,
        "altitude": 312.5,
        "angle": 87.0,
        "speed": 54.0,
        "satellites": 11,
        "priority": 2,
        "codec": "8E",
        "attributes": b'{"16": "12345678901234567890", "66": 12.5, "\xc3\xa4": true}',
    }
    return Position(device_id, at, **{**values, **other})


async def test_the_newest_fix_of_each_device_with_all_its_values(rally_tables):
    last = {"a": fix("a", NOON + MINUTE, speed=0.5), "b": fix("b", NOON - 40 * DAY)}
    await rally_tables.store(fix("a"), last["a"], fix("a", NOON - DAY), last["b"], fix("stranger"))
    assert await rally_tables.states.newest(["a", "b"]) == last


async def test_a_device_without_a_good_fix_is_not_there(rally_tables):
    await rally_tables.store(fix("a"), fix("faulty"), fix("blind", satellites=0))
    await rally_tables.store(fix("ahead"), after=-DAY)
    await rally_tables.mark(fix("faulty"))
    asked = ["a", "faulty", "blind", "ahead", "nobody"]
    assert await rally_tables.states.newest(asked) == {"a": fix("a")}
    assert await rally_tables.states.newest([]) == {}


async def test_bad_fixes_are_passed_over_however_many_they_are(rally_tables):
    bad = [fix(at=NOON + n * MINUTE) for n in range(1, 30)]
    blind = [fix(at=NOON + DAY + n * MINUTE, satellites=0) for n in range(30)]
    await rally_tables.store(fix(satellites=1), *bad, *blind)
    await rally_tables.store(fix(at=NOON + 2 * DAY), after=-DAY)
    for each in bad:
        await rally_tables.mark(each)
    assert await rally_tables.states.newest(["a"]) == {"a": fix(satellites=1)}


async def test_as_far_ahead_as_is_allowed_and_no_further(rally_tables):
    await rally_tables.store(fix("just"), after=-MINUTE)
    await rally_tables.store(fix("ahead"), after=-MINUTE - MILLISECOND)
    await rally_tables.store(fix("late"), after=DAY)
    found = await rally_tables.states.newest(["just", "ahead", "late"])
    assert found == {"just": fix("just"), "late": fix("late")}


async def test_every_call_reads_afresh_and_a_device_named_twice_is_answered_once(rally_tables):
    await rally_tables.store(fix())
    for _ in range(2):
        assert await rally_tables.states.newest(["a", "a"]) == {"a": fix()}
    await rally_tables.store(fix(at=NOON + MINUTE))
    assert await rally_tables.states.newest(["a"]) == {"a": fix(at=NOON + MINUTE)}
    await rally_tables.mark(fix(at=NOON + MINUTE))
    assert await rally_tables.states.newest(["a"]) == {"a": fix()}


async def test_a_cancelled_call_harms_no_later_one(rally_tables):
    await rally_tables.store(fix())
    for _ in range(5):
        asked = asyncio.create_task(rally_tables.states.newest(["a"]))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert await rally_tables.states.newest(["a"]) == {"a": fix()}


# -------------------------------------------------------------------- what only a database can do

# Ten weeks of twenty devices, in chunks so small that a planner is easily misled.
FILL = """
    INSERT INTO positions (device_id, ts, ingested_at, latitude, longitude, altitude, angle, speed,
        satellites, priority, codec, attributes)
    SELECT 'd' || device, at, at, 45, 14, 1, 2, 3, 9, 0, '8E', '{}'
    FROM generate_series(timestamptz '2026-09-01', '2026-11-20', '3 hours') AS at,
        generate_series(1, 20) AS device;
    ANALYZE;
    SET enable_bitmapscan = off; SET timescaledb.enable_runtime_exclusion = off;
"""


async def test_of_many_chunks_the_newest_is_read_by_the_unique_index(database_url):
    """Under the settings of the reading pool."""
    await migrations.apply(database_url)
    connection = await asyncpg.connect(database_url)
    await connection.execute(FILL)
    said = states._NEWEST.replace("$2", "interval '1 minute'")
    said = said.replace("$1", "(SELECT array_agg('d' || n) FROM generate_series(1, 20) AS n)")
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, TIMING off) {said}")
    await connection.close()
    plan = "\n".join(row[0] for row in rows)
    scans = set(re.findall(r"(\w[\w ]*) using \w*?(positions_\w+)", plan))
    assert scans == {("Index Scan Backward", "positions_device_id_ts_key")}, plan
    assert re.search(r"rows=20(\.00)? ", plan)
    if chunks := plan.count(" using _hyper_"):
        assert chunks >= 80
        assert plan.count("never executed") >= chunks - 1, "the newest chunk alone"


@pytest.fixture
async def store(database_url):
    """A StateStore on a database that may be harmed; its answers take 400 ms at most."""
    await migrations.apply(database_url)
    async with open_reading_pool(
        database_url, size=1, statement_timeout_ms=400, statement_cache=100, name="recalling"
    ) as pool:
        yield PostgresStateStore(pool, timeout_ms=400, clock_ahead_ms=60_000)


async def test_a_locked_table_is_unavailable_within_the_time_of_an_answer(store, database_url):
    connection = await asyncpg.connect(database_url)
    loop = asyncio.get_running_loop()
    async with connection.transaction():
        await connection.execute("LOCK TABLE positions")
        began_s = loop.time()
        with pytest.raises(Unavailable):
            await store.newest(["a"])
        assert loop.time() - began_s < 5
        asked = asyncio.create_task(store.newest(["a"]))
        waits = "SELECT wait_event_type FROM pg_stat_activity WHERE application_name = 'recalling'"
        async with asyncio.timeout(20):
            while await connection.fetchval(waits) != "Lock":  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0.005)
        asked.cancel()
        began_s = loop.time()
        await asyncio.wait([asked])
        assert loop.time() - began_s < 1, "cancelled, it ends at once"
    assert await store.newest(["a"]) == {}
    await connection.close()


async def test_what_is_missing_is_refused(store, database_url):
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP TABLE positions")
    await connection.close()
    with pytest.raises(Refused) as caught:
        await store.newest(["a"])
    assert caught.value.reason == "schema"


async def test_a_census_tells_why_a_fix_is_not_the_newest(store, database_url):
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        """INSERT INTO positions (device_id, ts, ingested_at, latitude, longitude, altitude, angle,
            speed, satellites, priority, codec, attributes, faulty)
        SELECT device, timestamptz '2026-11-23 12:00+00' + at, '2026-11-23 12:00+00', 45, 14, 1, 2,
            3, satellites, 0, '8E', '{}', faulty
        FROM (VALUES ('a', interval '0', 9, false), ('a', '1 second', 0, false),
            ('a', '2 seconds', 9, true), ('a', '2 minutes', 0, false), ('b', '0', 9, false))
            AS row (device, at, satellites, faulty)"""
    )
    await connection.close()
    assert await store.census("a") == Census(4, faulty=1, without_satellites=2, clock_ahead=1)
    assert await store.census("nobody") == Census(0, 0, 0, 0)
