"""The contract of Snapshots (core/ports), sentence by sentence: in memory, on PostgreSQL and on
TimescaleDB, directly and as a pooler asks, with the columns' production types."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from processor.adapters.postgres import migrations, snapshots
from processor.adapters.postgres.pool import open_reading_pool
from processor.adapters.postgres.snapshots import PostgresSnapshots
from processor.core.errors import Refused, Unavailable
from processor.core.model import Position

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
TICK = timedelta(microseconds=1)


def fix(device_id="a", at=NOON, **other):
    """A fix all of whose values real columns and jsonb hold exactly."""
    values = {
        "latitude": 45.123456789,
        "longitude": -14.25,
        "altitude": 312.5,
        "angle": 87.0,
        "speed": 54.0,
        "satellites": 11,
        "priority": 0,
        "codec": "8E",
        "attributes": b'{"16": "12345678901234567890", "66": 12.5, "\xc3\xa4": true}',
    }
    return Position(device_id, at, **{**values, **other})


async def entered(tables, *imeis, valid_from=None, valid_to=None):
    event = await tables.event()
    for imei in imeis:
        await tables.enter(event, imei, valid_from, valid_to)
    return event


async def newest(tables, event, held=()):
    """By device, after a look that no device is there twice."""
    found = (await tables.snapshots.newest(event, held)).fixes
    by_device = {position.device_id: position for position in found}
    assert len(by_device) == len(found)
    return by_device


async def trails(tables, event, count=100, *, attributes=True):
    return await tables.snapshots.trails(event, count, attributes=attributes)


# ------------------------------------------------------------------------------------------ newest


async def test_the_newest_fix_of_each_device_with_all_its_values(rally_tables):
    event = await entered(rally_tables, "a", "b", "silent")
    last = fix("a", NOON + 2 * TICK, priority=2, speed=0.5)
    await rally_tables.store(fix("a"), last, fix("a", NOON - DAY), fix("b", NOON - 40 * DAY))
    assert await newest(rally_tables, event) == {"a": last, "b": fix("b", NOON - 40 * DAY)}


async def test_only_the_devices_of_the_event_are_told(rally_tables):
    one, other = await entered(rally_tables, "a"), await entered(rally_tables, "b")
    await rally_tables.store(fix("a"), fix("b"), fix("orphan"))
    assert list(await newest(rally_tables, one)) == ["a"]
    assert list(await newest(rally_tables, other)) == ["b"]
    assert await newest(rally_tables, str(uuid4())) == {}
    assert await trails(rally_tables, str(uuid4())) == {}


async def test_an_interval_is_half_open(rally_tables):
    end = NOON + MINUTE
    event = await entered(rally_tables, "a", valid_from=NOON, valid_to=end)
    inside = [fix("a", NOON), fix("a", end - TICK)]
    await rally_tables.store(fix("a", NOON - TICK), *inside, fix("a", end))
    assert await newest(rally_tables, event) == {"a": inside[1]}
    assert await trails(rally_tables, event) == {"a": inside}


@pytest.mark.parametrize("at", [NOON - TICK, NOON + MINUTE, NOON - DAY, NOON + DAY])
async def test_a_device_without_a_fix_in_its_interval_is_not_told(rally_tables, at):
    event = await entered(rally_tables, "a", valid_from=NOON, valid_to=NOON + MINUTE)
    await rally_tables.store(fix("a", at))
    assert await newest(rally_tables, event) == {}
    assert await trails(rally_tables, event) == {}


async def test_a_device_in_two_events_is_told_in_each_within_its_interval(rally_tables):
    change = NOON + MINUTE
    before = await entered(rally_tables, "a", valid_to=change)
    after = await entered(rally_tables, "a", valid_from=change)
    always = await entered(rally_tables, "a")
    early, late = fix("a", change - TICK), fix("a", change)
    await rally_tables.store(early, late)
    assert await newest(rally_tables, before) == {"a": early}
    assert await newest(rally_tables, after) == {"a": late}
    assert await newest(rally_tables, always) == {"a": late}


@pytest.mark.parametrize("overlap", [-MINUTE, timedelta(0), MINUTE])
async def test_a_device_twice_in_one_event_is_told_once(rally_tables, overlap):
    """Of two cars in turn, or of two entries at once: what lies in either interval counts, once."""
    event = await entered(rally_tables, "a", valid_to=NOON + overlap)
    await rally_tables.enter(event, "a", NOON, NOON + DAY)
    fixes = [fix("a", NOON + n * MINUTE / 2) for n in range(-4, 5)]
    await rally_tables.store(*fixes)
    inside = [each for each in fixes if each.fixed_at < NOON + overlap or each.fixed_at >= NOON]
    assert await newest(rally_tables, event) == {"a": fixes[-1]}
    assert await trails(rally_tables, event) == {"a": inside}
    assert await trails(rally_tables, event, 3) == {"a": inside[-3:]}
    assert await trails(rally_tables, event, len(inside) - 1) == {"a": inside[1:]}


# -------------------------------------------------------------- what is never handed out


async def test_a_faulty_fix_is_never_handed_out(rally_tables):
    event = await entered(rally_tables, "a", "b")
    good, bad, worse = fix("a"), fix("a", NOON + MINUTE), fix("a", NOON + 2 * MINUTE)
    only = fix("b")
    await rally_tables.store(good, bad, worse, only)
    for each in (bad, worse, only):
        await rally_tables.mark(each)
    assert await newest(rally_tables, event) == {"a": good}
    assert await trails(rally_tables, event) == {"a": [good]}


async def test_a_fix_without_satellites_is_never_handed_out(rally_tables):
    event = await entered(rally_tables, "a", "b")
    await rally_tables.store(
        fix("a", satellites=1), fix("a", NOON + MINUTE, satellites=0), fix("b", satellites=0)
    )
    assert await newest(rally_tables, event) == {"a": fix("a", satellites=1)}
    assert await trails(rally_tables, event) == {"a": [fix("a", satellites=1)]}


async def test_a_fix_too_far_ahead_of_the_time_it_was_stored_is_never_handed_out(rally_tables):
    event = await entered(rally_tables, "a", "b")
    just, ahead = fix("a", NOON), fix("a", NOON + DAY)
    await rally_tables.store(just, after=-MINUTE)  # the minute that is allowed
    await rally_tables.store(ahead, fix("b"), after=-MINUTE - timedelta(milliseconds=1))
    assert await newest(rally_tables, event) == {"a": just}
    assert await trails(rally_tables, event) == {"a": [just]}


async def test_a_late_fix_is_as_good_as_any(rally_tables):
    event = await entered(rally_tables, "a")
    await rally_tables.store(fix("a", NOON - MINUTE))
    await rally_tables.store(fix("a"), after=DAY)
    assert await newest(rally_tables, event) == {"a": fix("a")}


# -------------------------------------------------------------------------------------------- held


async def test_of_what_is_held_the_faulty_are_named(rally_tables):
    event = await entered(rally_tables, "a", "b", "c")
    await rally_tables.store(fix("a"), fix("a", NOON + MINUTE), fix("b"), fix("c"))
    for each in (fix("a", NOON + MINUTE), fix("c")):
        await rally_tables.mark(each)
    held = [
        ("a", NOON + MINUTE),  # stored and faulty
        ("b", NOON),  # stored and good
        ("b", NOON + MINUTE),  # not stored
        ("c", NOON + TICK),  # faulty is the one before
        ("c", NOON - TICK),  # and the one after
        ("nobody", NOON),
    ]
    found = await rally_tables.snapshots.newest(event, held)
    assert found.faulty == frozenset({("a", NOON + MINUTE)})
    assert {each.device_id: each for each in found.fixes} == {"a": fix("a"), "b": fix("b")}


async def test_what_is_held_need_not_be_of_the_event(rally_tables):
    event = await entered(rally_tables, "a", valid_to=NOON)
    await rally_tables.store(fix("a", NOON + DAY), fix("stranger"))
    for each in (fix("a", NOON + DAY), fix("stranger")):
        await rally_tables.mark(each)
    held = [("a", NOON + DAY), ("stranger", NOON)]
    found = await rally_tables.snapshots.newest(event, held)
    assert (list(found.fixes), found.faulty) == ([], frozenset(held))


async def test_nothing_held_nothing_faulty(rally_tables):
    event = await entered(rally_tables, "a")
    await rally_tables.store(fix("a"))
    await rally_tables.mark(fix("a"))
    assert (await rally_tables.snapshots.newest(event, [])).faulty == frozenset()


# ------------------------------------------------------------------------------------------ trails


@pytest.mark.parametrize("count", [1, 3, 5, 6, 200])
async def test_a_trail_is_the_newest_fixes_from_old_to_new(rally_tables, count):
    event = await entered(rally_tables, "a", "b", "silent")
    of_a = [fix("a", NOON + n * DAY) for n in (-3, -2, 0, 1, 7)]
    await rally_tables.store(*reversed(of_a), fix("b"))
    assert await trails(rally_tables, event, count) == {"a": of_a[-count:], "b": [fix("b")]}


async def test_bad_fixes_take_no_place_in_a_trail(rally_tables):
    event = await entered(rally_tables, "a")
    fixes = [fix("a", NOON + n * MINUTE) for n in range(9)]
    await rally_tables.store(*fixes)
    for each in fixes[3:8]:
        await rally_tables.mark(each)
    assert await trails(rally_tables, event, 3) == {"a": [fixes[1], fixes[2], fixes[8]]}


async def test_without_attributes_their_bags_are_empty(rally_tables):
    event = await entered(rally_tables, "a")
    await rally_tables.store(fix("a"))
    found = await trails(rally_tables, event, attributes=False)
    assert found == {"a": [fix("a", attributes=b"{}")]}
    assert await trails(rally_tables, event, attributes=True) == {"a": [fix("a")]}


# --------------------------------------------------------------------------------- Repeat, Raises


async def test_every_call_reads_afresh(rally_tables):
    event = await entered(rally_tables, "a")
    await rally_tables.store(fix("a"))
    for _ in range(2):
        assert await newest(rally_tables, event) == {"a": fix("a")}
    await rally_tables.store(fix("a", NOON + MINUTE))
    assert await newest(rally_tables, event) == {"a": fix("a", NOON + MINUTE)}
    await rally_tables.mark(fix("a", NOON + MINUTE))
    assert await newest(rally_tables, event) == {"a": fix("a")}


async def test_missing_business_tables_are_refused_by_name(rally_tables):
    event = await entered(rally_tables, "a")
    await rally_tables.store(fix("a"))
    await rally_tables.take_away("entry_devices")
    for call in (newest(rally_tables, event), trails(rally_tables, event)):
        with pytest.raises(Refused) as caught:
            await call
        assert caught.value.reason == "business-schema"
        assert caught.value.sentence == "public.entry_devices is missing"
    await rally_tables.bring_back("entry_devices")
    assert await newest(rally_tables, event) == {"a": fix("a")}


async def test_without_the_optional_columns_an_interval_has_no_ends(rally_tables):
    event = await entered(rally_tables, "a", valid_from=NOON, valid_to=NOON + MINUTE)
    await rally_tables.store(fix("a", NOON - DAY), fix("a"), fix("a", NOON + DAY))
    assert await trails(rally_tables, event) == {"a": [fix("a")]}
    await rally_tables.take_away("entry_devices.valid_from")
    assert await trails(rally_tables, event) == {"a": [fix("a", NOON - DAY), fix("a")]}
    await rally_tables.take_away("entry_devices.valid_to")
    assert len((await trails(rally_tables, event))["a"]) == 3
    assert await newest(rally_tables, event) == {"a": fix("a", NOON + DAY)}


# -------------------------------------------------------------------- what only a database can do

TABLES = """
    CREATE TABLE devices (id uuid, imei text);
    CREATE TABLE entries (id uuid, event_id uuid);
    CREATE TABLE entry_devices (entry_id uuid, device_id uuid);
"""

# Ten weeks of twenty devices, in chunks so small that a planner is easily misled.
FILL = """
    WITH device AS (
        INSERT INTO devices SELECT gen_random_uuid(), 'd' || n FROM generate_series(1, 20) AS n
        RETURNING id
    ), entry AS (
        INSERT INTO entries SELECT id, '00000000-0000-0000-0000-00000000000e' FROM device
        RETURNING id
    )
    INSERT INTO entry_devices SELECT id, id FROM entry;
    INSERT INTO positions (device_id, ts, ingested_at, latitude, longitude, altitude, angle, speed,
        satellites, priority, codec, attributes)
    SELECT 'd' || device, at, at, 45, 14, 1, 2, 3, 9, 0, '8E', '{}'
    FROM generate_series(timestamptz '2026-09-01', '2026-11-20', '3 hours') AS at,
        generate_series(1, 20) AS device;
    ANALYZE;
    SET enable_bitmapscan = off; SET timescaledb.enable_runtime_exclusion = off;
"""
VALUES = {
    "_NEWEST": ["interval '1 minute'", "ARRAY['d1']", "ARRAY[timestamptz '2026-11-20']"],
    "_TRAILS": ["interval '1 minute'", "3", "false"],
}


@pytest.mark.parametrize("statement", VALUES)
async def test_of_many_chunks_the_newest_are_read_by_the_unique_index(database_url, statement):
    """Under the settings of the reading pool."""
    await migrations.apply(database_url)
    connection = await asyncpg.connect(database_url)
    await connection.execute(TABLES + FILL)
    values = ["'00000000-0000-0000-0000-00000000000e'", *VALUES[statement]]
    said = getattr(snapshots, statement)
    for number, value in enumerate(values, start=1):
        said = said.replace(f"${number}", value)
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, TIMING off) {said}")
    await connection.close()
    plan = "\n".join(row[0] for row in rows)
    scans = set(re.findall(r"(\w[\w ]*) using \w*?(positions_\w+)", plan))
    assert scans == {("Index Scan Backward", "positions_device_id_ts_key")}, plan
    assert "rows=20 " in plan or "rows=20.00 " in plan
    if chunks := plan.count(" using _hyper_"):
        assert chunks >= 80
        assert plan.count("never executed") >= chunks - 4


async def test_a_reading_pool_sets_what_those_plans_rest_on(postgres_url):
    for cache in (100, 0):
        async with (
            open_reading_pool(
                postgres_url, size=1, statement_timeout_ms=1_000, statement_cache=cache
            ) as pool,
            pool.acquire() as session,
        ):
            await session.execute(session.opening.plain)
            for name in ("enable_bitmapscan", "timescaledb.enable_runtime_exclusion"):
                assert await session.fetchval("SELECT current_setting($1)", name) == "off"


async def test_a_locked_table_is_unavailable_within_the_time_of_an_answer(postgres_url):
    await migrations.apply(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    loop = asyncio.get_running_loop()
    async with open_reading_pool(
        postgres_url, size=1, statement_timeout_ms=15_000, statement_cache=100
    ) as pool:
        found = PostgresSnapshots(pool, timeout_ms=400, clock_ahead_ms=60_000)
        await connection.execute(TABLES)
        event = str(uuid4())
        async with connection.transaction():
            await connection.execute("LOCK TABLE positions")
            for call in (found.newest(event, []), found.trails(event, 5, attributes=True)):
                started = loop.time()
                with pytest.raises(Unavailable):
                    await call
                assert loop.time() - started < 1.4
        assert (await found.newest(event, [])).fixes == []
        # A table of ours that is missing is not taken for one of theirs.
        await connection.execute("ALTER TABLE positions RENAME TO taken")
        with pytest.raises(Refused) as caught:
            await found.newest(event, [])
        assert caught.value.reason == "schema"
    await connection.close()


async def test_a_reading_session_cannot_write(postgres_url):
    expected = {
        "transaction_read_only": "on",
        "transaction_isolation": "read committed",
        "statement_timeout": "1234ms",
        "lock_timeout": "617ms",
        "timezone": "UTC",
        "application_name": "processor-live",
    }
    await migrations.apply(postgres_url)
    for cache in (100, 0):
        async with (
            open_reading_pool(
                postgres_url, size=1, statement_timeout_ms=1_234, statement_cache=cache
            ) as pool,
            pool.acquire() as session,
        ):
            await session.execute(session.opening.plain)
            found = {n: await session.fetchval("SELECT current_setting($1)", n) for n in expected}
            assert found == expected
            assert not await session.fetchval("SELECT to_regclass('pg_temp.staged_positions')")
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await session.execute("DELETE FROM positions")
