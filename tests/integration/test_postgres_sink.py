"""The sink against servers that are slow, locked, stopped, frozen or set up wrong."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import asyncpg
import pytest

from processor.adapters.postgres import migrations
from processor.adapters.postgres.pool import ANSWER_MARGIN_S, open_pool, probe
from processor.adapters.postgres.sink import PostgresPositionSink
from processor.core.errors import Refused, TooMuch, Unavailable
from processor.core.model import Position
from processor.core.ports import Outcome

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
INSERTED, DUPLICATE = Outcome.INSERTED, Outcome.DUPLICATE
ARRAYS, COPY = 1000, 1  # from how many positions COPY is used


def fix(device_id, seconds):
    at = MIDNIGHT + timedelta(seconds=seconds)
    return Position(device_id, at, 45.0, 14.0, 312.0, 87.0, 54.0, 11, 0, "8E", b'{"239": 1}')


def pool_of(url, *, size=2, statement_timeout_ms=15_000):
    return open_pool(url, size=size, statement_timeout_ms=statement_timeout_ms, statement_cache=100)


def sink_of(pool, copy_from=ARRAYS):
    return PostgresPositionSink(pool, track_changes=True, copy_from=copy_from)


async def execute(url, *statements):
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def stored(pool):
    return await pool.fetchval("SELECT count(*) FROM positions")


async def until_it_answers(call):
    """What Patience does: again, until the server is back."""
    while True:
        try:
            return await call()
        except Unavailable:
            await asyncio.sleep(0.05)


async def test_two_writers_of_the_same_keys_never_deadlock(database_url):
    """Overlapping keys on both sides of midnight, over two chunks, each way of writing at once."""
    await migrations.apply(database_url)
    chance = random.Random(2)
    async with pool_of(database_url, size=4) as pool:
        sinks = [sink_of(pool, copy_from) for copy_from in (ARRAYS, COPY, ARRAYS, COPY)]
        for _ in range(10):
            keys = [(chance.choice("abcdefgh"), chance.randint(-300, 300)) for _ in range(300)]
            shares = [set(chance.sample(keys, 200)) for _ in sinks]
            batches = [
                sorted(
                    (fix(*key) for key in share),
                    key=lambda p: (p.fixed_at.date(), p.device_id, p.fixed_at),
                )
                for share in shares
            ]
            before = await stored(pool)
            outcomes = await asyncio.gather(
                *(sink.store(batch) for sink, batch in zip(sinks, batches, strict=True))
            )
            inserted = sum(list(each).count(INSERTED) for each in outcomes)
            assert inserted == await stored(pool) - before
        assert await stored(pool) > 1000


@pytest.mark.parametrize("copy_from", [ARRAYS, COPY])
async def test_a_server_that_stops_is_unavailable_and_the_same_pool_resumes(
    own_database, copy_from
):
    await migrations.apply(own_database.url)
    async with pool_of(own_database.url) as pool:
        sink = sink_of(pool, copy_from)
        assert await sink.store([fix("a", 1)]) == [INSERTED]
        own_database.stop()
        with pytest.raises(Unavailable):
            await sink.store([fix("a", 2)])
        with pytest.raises(Unavailable):
            await probe(pool)
        own_database.start()
        outcomes = await until_it_answers(lambda: sink.store([fix("a", 1), fix("a", 2)]))
        assert outcomes == [DUPLICATE, INSERTED]
        await probe(pool)


async def test_a_killed_server_keeps_what_was_stored(own_postgres):
    await migrations.apply(own_postgres.url)
    async with pool_of(own_postgres.url) as pool:
        sink = sink_of(pool, COPY)
        for second in range(20):
            await sink.store([fix("a", second)])
        own_postgres.kill()
        own_postgres.start()
        everything = [fix("a", second) for second in range(20)]
        assert await until_it_answers(lambda: sink.store(everything)) == [DUPLICATE] * 20


async def test_a_frozen_server_is_given_up_in_time(own_postgres):
    await migrations.apply(own_postgres.url)
    async with pool_of(own_postgres.url, statement_timeout_ms=200) as pool:
        sink = sink_of(pool)
        await sink.store([fix("a", 1)])
        own_postgres.pause()
        began_s = time.monotonic()
        try:
            with pytest.raises(Unavailable) as away:
                await sink.store([fix("a", 2)])
            assert away.value.reason == "timeout"
            assert time.monotonic() - began_s < 0.2 + ANSWER_MARGIN_S + 5
        finally:
            own_postgres.resume()
        # The frozen statement may have been carried out after all: all of it, or nothing.
        outcomes = await until_it_answers(lambda: sink.store([fix("a", 2), fix("a", 3)]))
        assert outcomes in ([INSERTED, INSERTED], [DUPLICATE, INSERTED])


@pytest.mark.parametrize("stored_before", [0, 1])
@pytest.mark.parametrize("copy_from", [ARRAYS, COPY])
async def test_a_note_that_fails_takes_its_rows_with_it(postgres_url, copy_from, stored_before):
    """Straight, and with care: where a row was stored before."""
    await migrations.apply(postgres_url)
    async with pool_of(postgres_url) as pool:
        sink = sink_of(pool, copy_from)
        await sink.store([fix("a", seconds) for seconds in range(stored_before)])
        await execute(
            postgres_url,
            "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'no notes today'; END $$",
            "CREATE TRIGGER fails BEFORE INSERT ON processor.track_changes"
            " FOR EACH ROW EXECUTE FUNCTION fails()",
        )
        with pytest.raises(Refused, match="no notes today"):
            await sink.store([fix("a", 0), fix("a", 1)])
        assert await stored(pool) == stored_before


@pytest.mark.parametrize("copy_from", [ARRAYS, COPY])
async def test_a_statement_timeout_is_too_much(postgres_url, copy_from):
    await migrations.apply(postgres_url)
    await execute(
        postgres_url,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'",
        "CREATE TRIGGER slow BEFORE INSERT ON positions EXECUTE FUNCTION slow()",
    )
    async with pool_of(postgres_url, statement_timeout_ms=100) as pool:
        sink = sink_of(pool, copy_from)
        with pytest.raises(TooMuch, match="57014"):
            await sink.store([fix("a", 1)])
        await execute(postgres_url, "DROP TRIGGER slow ON positions")
        assert await sink.store([fix("a", 1)]) == [INSERTED]


@pytest.mark.parametrize("copy_from", [ARRAYS, COPY])
async def test_one_fix_beyond_the_decompression_limit_is_written_without_the_limit(
    postgres_url, copy_from
):
    """By a trigger, as no community build of TimescaleDB is at hand: it says what that one says."""
    await migrations.apply(postgres_url)
    limit = "timescaledb.max_tuples_decompressed_per_dml_transaction"
    await execute(
        postgres_url,
        "CREATE FUNCTION limited() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF current_setting('{limit}', true) IS DISTINCT FROM '0' THEN"
        " RAISE 'tuple decompression limit exceeded' USING ERRCODE = '53400'; END IF;"
        " RETURN NEW; END $$",
        "CREATE TRIGGER limited BEFORE INSERT ON positions FOR EACH ROW EXECUTE FUNCTION limited()",
    )
    async with pool_of(postgres_url, size=1) as pool:
        sink = sink_of(pool, copy_from)
        for _ in range(2):
            with pytest.raises(TooMuch, match="53400"):
                await sink.store([fix("a", 1), fix("b", 1)])
        assert await sink.store([fix("a", 1)]) == [INSERTED]
        assert await sink.store([fix("a", 1)]) == [DUPLICATE]
        with pytest.raises(TooMuch, match="53400"):
            await sink.store([fix("c", 1), fix("d", 1)])  # the limit holds again
        assert await stored(pool) == 1
        assert await pool.fetchval("SELECT count(*) FROM processor.track_changes") == 1


async def test_the_server_gives_up_a_client_that_vanished(postgres_url):
    """Keepalives cannot be lost on one machine; that they are asked for can be seen."""
    async with pool_of(postgres_url) as pool:
        said = {
            name: await pool.fetchval(f"SHOW {name}")
            for name in ("tcp_keepalives_idle", "tcp_user_timeout")
        }
        assert said == {"tcp_keepalives_idle": "10", "tcp_user_timeout": "25000"}
        assert await pool.fetchval("SHOW idle_in_transaction_session_timeout") == "15s"


async def test_a_locked_table_is_tried_again_at_once(postgres_url):
    await migrations.apply(postgres_url)
    locker = await asyncpg.connect(postgres_url)
    try:
        async with pool_of(postgres_url, statement_timeout_ms=1_000) as pool:
            sink = sink_of(pool)
            await locker.execute("BEGIN; LOCK TABLE positions IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(Unavailable) as away:
                await sink.store([fix("a", 1)])
            assert away.value.reason == "lock-timeout"
            assert away.value.pause is Unavailable.Pause.NONE
            await locker.execute("ROLLBACK")
            assert await sink.store([fix("a", 1)]) == [INSERTED]
    finally:
        await locker.close()


@pytest.mark.parametrize("copy_from", [ARRAYS, COPY])
@pytest.mark.parametrize("known", [False, True])
async def test_rows_that_vanish_are_not_duplicates(postgres_url, copy_from, known):
    """What TimescaleDB did in #7672, done by a trigger: rows are dropped without a word."""
    await migrations.apply(postgres_url)
    async with pool_of(postgres_url) as pool:
        sink = sink_of(pool, copy_from)
        if known:
            await sink.store([fix("a", 1)])
        before = await stored(pool)
        await execute(
            postgres_url,
            "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
            " IF NEW.device_id = ''b'' THEN RETURN NULL; END IF; RETURN NEW; END'",
            "CREATE TRIGGER swallow BEFORE INSERT ON positions"
            " FOR EACH ROW EXECUTE FUNCTION swallow()",
        )
        with pytest.raises(Unavailable) as away:
            await sink.store([fix("a", 1), fix("b", 1)])
        assert away.value.reason == "rows-missing"
        assert await stored(pool) == before


async def test_wrong_settings_are_refused(postgres_url):
    parts = urlsplit(postgres_url)
    nobody = parts._replace(netloc=f"nobody:secret@{parts.netloc.rpartition('@')[2]}").geturl()
    for url, reason in [
        (nobody, "credentials"),
        (parts._replace(path="/nowhere").geturl(), "credentials"),
        (parts._replace(netloc="host:port:port").geturl(), "settings"),
        (postgres_url, "schema"),  # nothing was migrated
    ]:
        async with pool_of(url) as pool:
            with pytest.raises(Refused) as refusal:
                await sink_of(pool).store([fix("a", 1)])
            assert refusal.value.reason == reason
            assert "secret" not in refusal.value.sentence


async def test_a_standby_is_refused(postgres_url):
    await migrations.apply(postgres_url)
    name = urlsplit(postgres_url).path[1:]
    await execute(postgres_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with pool_of(postgres_url) as pool:
        with pytest.raises(Refused) as refusal:
            await sink_of(pool).store([fix("a", 1)])
    assert refusal.value.reason == "read-only"


async def test_a_full_pool_is_unavailable_not_stuck(postgres_url):
    async with pool_of(postgres_url, size=1) as pool:
        async with pool.acquire():
            with pytest.raises(Unavailable) as away:
                await probe(pool)
        assert away.value.reason == "timeout"
        await probe(pool)


async def test_a_terminated_pool_answers_too(postgres_url):
    pool = pool_of(postgres_url)
    await pool
    await probe(pool)
    pool.terminate()
    with pytest.raises(Unavailable):
        await probe(pool)


async def test_the_newest_good_fix_of_a_device_is_found_by_index(database_url):
    await migrations.apply(database_url)
    async with pool_of(database_url) as pool:
        sink = sink_of(pool, COPY)
        await sink.store([fix(f"{device:03}", s) for device in range(50) for s in range(100)])
        await pool.execute("ANALYZE positions")
        plan = await pool.fetch(
            "EXPLAIN SELECT latitude FROM positions WHERE device_id = '007' AND faulty = false"
            " ORDER BY ts DESC LIMIT 1"
        )
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan" in text
    assert "device_id_ts" in text
    assert "Sort" not in text
