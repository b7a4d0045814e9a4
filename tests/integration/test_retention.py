"""Old chunks: dropped by their age, kept for open events, and written down; by whoever may."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import asyncpg
import attrs
import pytest

from processor.adapters.metrics.ingest import Metrics
from processor.adapters.postgres import migrations
from processor.adapters.postgres.pool import open_pool
from processor.adapters.postgres.retention import (
    CHUNKS_AT_ONCE,
    DROP,
    Dropped,
    compress_old_chunks,
    drop_old_chunks,
    require_chunks,
)
from processor.adapters.postgres.sink import PostgresPositionSink
from processor.core.errors import Refused, Unavailable
from processor.core.model import Position
from processor.core.ports import Outcome
from processor.entrypoints.demo import sql
from processor.entrypoints.demo.office import RallyOffice
from processor.entrypoints.reading import read
from processor.entrypoints.retention import OldChunks
from processor.entrypoints.settings import RunSettings

DAY = timedelta(days=1)
KEEP = 30 * DAY
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def noon(days_ago: int) -> datetime:
    """The middle of the chunk of so many days ago."""
    return TODAY - days_ago * DAY + DAY / 2


def fixes(*days_ago: int, device_id: str = "356", second: int = 0) -> list[Position]:
    return [
        Position(device_id, at, 45.0, 14.0, 312.0, 87.0, 54.0, 11, 0, "8E", b"{}")
        for at in sorted(noon(each) + timedelta(seconds=second) for each in days_ago)
    ]


async def store(url: str, positions: list[Position]) -> list[Outcome]:
    async with open_pool(url, size=1, statement_timeout_ms=15_000, statement_cache=100) as pool:
        return list(await PostgresPositionSink(pool, track_changes=True).store(positions))


def days_left(url: str) -> list[int]:
    """How many days ago the stored fixes are, the youngest first."""
    rows = sql.fetch(url, "SELECT DISTINCT ts FROM positions ORDER BY ts DESC")
    return [round((noon(0) - row["ts"]) / DAY) for row in rows]


def book(url: str) -> list[tuple[int, str, int]]:
    """The days that are written down as dropped, by whom, and how often."""
    rows = sql.fetch(url, "SELECT * FROM processor.retention ORDER BY from_ts DESC")
    assert all(row["before_ts"] - row["from_ts"] == DAY for row in rows)
    return [
        (round((TODAY - row["from_ts"]) / DAY), row["dropped_by"], row["chunks"]) for row in rows
    ]


# Five seconds at most, and then the test goes on and fails.
UNTIL_ONE_WAITS = """
    DO $$ BEGIN
        FOR n IN 1..500 LOOP
            EXIT WHEN EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
                WHERE datname = current_database() AND NOT granted);
            PERFORM pg_sleep(0.01);
        END LOOP;
    END $$
"""


async def drop(url: str, who: str = "me") -> Dropped:
    return await drop_old_chunks(url, after=KEEP, who=who)


@pytest.fixture
async def url(timescale_url: str) -> str:
    await migrations.apply(timescale_url)
    return timescale_url


@pytest.fixture
async def rally_url(business_url: str) -> str:
    await migrations.apply(business_url)
    return business_url


@pytest.fixture
async def role(url):
    """The URL of a service role that owns nothing."""
    parts = urlsplit(url)
    name = f"service_{parts.path[-12:]}"
    sql.execute(
        url,
        f"CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA processor TO {name};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA processor TO {name}",
    )
    yield parts._replace(netloc=f"{name}@{parts.netloc.rpartition('@')[2]}").geturl()
    sql.execute(url, f"DROP OWNED BY {name}; DROP ROLE {name}")


# ---------------------------------------------------------------------------------- what is dropped


async def test_a_chunk_goes_when_its_end_is_old_enough_and_is_written_down(url):
    await store(url, fixes(0, 29, 30, 31, 32, 400))
    assert await drop(url) == Dropped(3, 0, events=False)
    assert days_left(url) == [0, 29, 30], "of the chunk that ended 29 days and some hours ago, all"
    assert book(url) == [(31, "me", 1), (32, "me", 1), (400, "me", 1)]
    assert await drop(url) == Dropped(0, 0, events=False)


async def test_a_late_fix_is_stored_and_goes_with_the_next_round(url):
    await store(url, fixes(0, 31))
    await drop(url)
    for times in (2, 3):
        assert await store(url, fixes(31, second=times)) == [Outcome.INSERTED]
        assert days_left(url) == [0, 31]
        assert (await drop(url, f"round {times}")).chunks == 1
        assert days_left(url) == [0]
        assert book(url) == [(31, f"round {times}", times)], "a row a day, however often"


async def test_many_chunks_go_piece_by_piece_the_oldest_first(url):
    await store(url, fixes(*range(40, 40 + CHUNKS_AT_ONCE + 5)))
    assert (await drop(url)).chunks == CHUNKS_AT_ONCE
    assert days_left(url) == [40, 41, 42, 43, 44]
    assert (await drop(url)).chunks == 5
    assert (await drop(url)).chunks == 0


async def test_nothing_younger_than_a_day_goes_whoever_asks(url):
    await store(url, fixes(0, 1, 2))
    with pytest.raises(Exception, match="nothing younger than a day"):
        await drop_old_chunks(url, after=timedelta(hours=23), who="me")
    assert days_left(url) == [0, 1, 2]


async def test_what_could_not_be_written_down_was_not_dropped(url):
    await store(url, fixes(31))
    sql.execute(url, "ALTER TABLE processor.retention ADD CHECK (false)")
    with pytest.raises(Exception, match="23514"):
        await drop(url)
    assert days_left(url) == [31]


# -------------------------------------------------------------------------------------- open events


@pytest.mark.parametrize(
    ("starts", "ends", "left"),
    [
        (50, 40, []),  # ended longer ago than is kept
        (50, 29, [40, 50]),  # began long ago, ended lately
        (50, -5, [40, 50]),  # goes on
        (29, 50, [40, 50]),  # the two were entered the wrong way round
        (41, 29, [40]),
        (42, 29, [40]),
        (49, 29, [40, 50]),  # a day beyond the event belongs to it
    ],
)
async def test_the_chunks_of_an_open_event_stay(rally_url, starts, ends, left):
    office = RallyOffice(rally_url)
    office.event(office.organization(), starts_at=noon(starts), ends_at=noon(ends))
    await store(rally_url, fixes(40, 50, 60))
    assert await drop(rally_url) == Dropped(3 - len(left), len(left), events=True)
    assert days_left(rally_url) == left


async def test_a_stage_that_ends_late_keeps_its_event_open(rally_url):
    office = RallyOffice(rally_url)
    event = office.event(office.organization(), starts_at=noon(50), ends_at=noon(45))
    await store(rally_url, fixes(40, 48, 60))
    stage = "INSERT INTO stages (event_id, name, sort_order, closes_at) VALUES ($1, 'SS1', 1, $2)"
    sql.fetch(rally_url, stage, event, noon(20))
    await drop(rally_url)
    assert days_left(rally_url) == [40, 48]
    sql.execute(rally_url, "ALTER TABLE stages DROP closes_at")  # an optional column
    await drop(rally_url)
    assert days_left(rally_url) == []


async def test_where_racing_keeps_closures_each_stage_has_to_be_closed(rally_url):
    office = RallyOffice(rally_url)
    event = office.event(office.organization(), starts_at=noon(50), ends_at=noon(45))
    await store(rally_url, fixes(43, 44, 48, 60))
    stage = "INSERT INTO stages (event_id, name, sort_order) VALUES ($1, 'SS', $2) RETURNING id"
    stages = [sql.fetch(rally_url, stage, event, number)[0]["id"] for number in (1, 2)]
    sql.execute(
        rally_url,
        "CREATE TABLE processor.closures (stage_id uuid, closed_at timestamptz, requested_by text)",
    )
    close = "INSERT INTO processor.closures VALUES ($1, now(), 'us')"
    sql.fetch(rally_url, close, stages[0])
    sql.fetch(rally_url, close, None)  # a row that names no stage closes none
    assert await drop(rally_url) == Dropped(2, 2, events=True)
    assert days_left(rally_url) == [44, 48], "with the day beyond its end"
    sql.fetch(rally_url, close, stages[1])
    await drop(rally_url)
    assert days_left(rally_url) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE events DROP ends_at", "the events are not as they should be: column"),
        ("ALTER TABLE events ALTER ends_at TYPE text USING 'soon'", "not as they should be"),
        ("ALTER TABLE stages ALTER ends_at TYPE int USING 1", "not as they should be"),
    ],
)
async def test_events_of_another_shape_protect_everything(rally_url, change, said):
    office = RallyOffice(rally_url)
    event = office.event(office.organization())
    sql.fetch(
        rally_url,
        "INSERT INTO stages (event_id, name, sort_order, ends_at) VALUES ($1, 'SS1', 1, now())",
        event,
    )
    await store(rally_url, fixes(31))
    sql.execute(rally_url, change)
    with pytest.raises(Refused, match=said):
        await drop(rally_url)
    assert days_left(rally_url) == [31]


async def test_an_instant_without_a_zone_is_utc_whatever_the_caller_lives_by(rally_url):
    office = RallyOffice(rally_url)
    office.event(office.organization(), starts_at=TODAY - 42 * DAY, ends_at=TODAY - 29 * DAY)
    sql.execute(
        rally_url,
        "ALTER TABLE events ALTER starts_at TYPE timestamp USING starts_at AT TIME ZONE 'UTC'",
    )
    await store(rally_url, fixes(42, 43, 44))
    zone = {"timezone": "Pacific/Kiritimati"}
    connection = await asyncpg.connect(rally_url, server_settings=zone)
    try:
        await connection.execute("SELECT processor.drop_old_chunks('30 days', 9, 'me')")
    finally:
        await connection.close()
    assert days_left(rally_url) == [42, 43]


async def test_events_that_the_owner_may_not_read_protect_everything(rally_url):
    owner = f"owner_{urlsplit(rally_url).path[-12:]}"
    await store(rally_url, fixes(31))
    sql.execute(
        rally_url,
        f"CREATE ROLE {owner}; GRANT CREATE, USAGE ON SCHEMA processor, public TO {owner};"
        f"ALTER TABLE positions OWNER TO {owner}; ALTER TABLE processor.retention OWNER TO {owner};"
        f"ALTER FUNCTION processor.open_events OWNER TO {owner};"
        f"ALTER FUNCTION {DROP} OWNER TO {owner}",
    )
    try:
        with pytest.raises(Refused, match=f"{owner} may not read which events are open"):
            await drop(rally_url)
        sql.execute(
            rally_url,
            f"GRANT SELECT ON events, stages TO {owner};"
            "ALTER TABLE events ENABLE ROW LEVEL SECURITY",
        )
        with pytest.raises(Refused, match="row-level security"):
            await drop(rally_url)
        assert days_left(rally_url) == [31]
        sql.execute(rally_url, "ALTER TABLE events DISABLE ROW LEVEL SECURITY")
        assert (await drop(rally_url)).chunks == 1
    finally:
        sql.execute(rally_url, f"DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}")


# ------------------------------------------------------------------------------------- side by side


async def test_of_several_at_once_one_drops_and_nothing_is_dropped_twice(url):
    await store(url, fixes(*range(31, 45)))
    rounds = await asyncio.gather(*(drop(url, str(each)) for each in range(6)))
    while (left := await drop(url)).chunks:
        rounds.append(left)
    assert sum(each.chunks for each in rounds) == 14
    assert days_left(url) == []
    assert [times for _, _, times in book(url)] == [1] * 14


async def test_whoever_comes_while_another_drops_passes_by(url):
    await store(url, fixes(31))
    other = await asyncpg.connect(url)
    try:
        async with other.transaction():
            row = await other.fetchrow(
                f"SELECT * FROM {DROP.partition('(')[0]}($1, 5, 'other')", KEEP
            )
            assert row["dropped"] == 1
            assert await drop(url) == Dropped(0, None, events=False)
    finally:
        await other.close()


async def test_a_chunk_that_somebody_reads_is_not_waited_for(url):
    await store(url, fixes(31))
    reader = await asyncpg.connect(url)
    try:
        async with reader.transaction():
            await reader.fetch("SELECT * FROM positions")
            async with asyncio.timeout(5):
                with pytest.raises(Unavailable) as caught:
                    await drop(url)
            assert caught.value.reason == "lock-timeout"
        assert (await drop(url)).chunks == 1
    finally:
        await reader.close()


async def test_writers_go_on_while_their_chunks_are_dropped(url):
    """Late uploads into chunks that are dropped under them: a batch whose chunk is gone is stored
    when it is written again, at once, and none is taken for a bad record."""
    dropped, met = 0, []
    done = asyncio.Event()

    async def write(writer: int) -> int:
        stored = 0
        for second in range(120):
            batch = fixes(*range(31, 36), 0, device_id=f"35{writer}", second=second)
            stored += (await at_last(batch)).count(Outcome.INSERTED)
        return stored

    async def at_last(batch: list[Position]) -> list[Outcome]:
        for _ in range(10):  # a batch opens six chunks, and each of them may go under it
            try:
                return list(await sink.store(batch))
            except Unavailable as error:
                met.append((error.reason, error.pause))
        pytest.fail("not stored at the tenth try")

    async def keep_dropping() -> None:
        nonlocal dropped
        while not done.is_set():
            with contextlib.suppress(Unavailable):
                dropped += (await drop(url)).chunks

    async with open_pool(url, size=3, statement_timeout_ms=15_000, statement_cache=100) as pool:
        sink = PostgresPositionSink(pool, track_changes=False)
        dropping = asyncio.create_task(keep_dropping())
        stored = await asyncio.gather(*(write(each) for each in range(3)))
        done.set()
        await dropping
    assert stored == [720] * 3
    assert dropped > 10
    assert set(met) <= {("chunk-dropped", Unavailable.Pause.NONE)}
    today = sql.fetch(url, "SELECT count(*) FROM positions WHERE ts >= $1", TODAY)
    assert today[0][0] == 360, "what is young enough lost nothing"


async def test_whoever_writes_into_today_waits_for_no_drop(url):
    await store(url, fixes(0, 31))
    other = await asyncpg.connect(url)
    try:
        async with other.transaction():
            await other.execute("SELECT processor.drop_old_chunks('30 days', 5, 'other')")
            async with asyncio.timeout(2):
                assert await store(url, fixes(0, second=1)) == [Outcome.INSERTED]
    finally:
        await other.close()
    assert set(days_left(url)) == {0}


async def test_a_chunk_that_goes_under_a_writer_is_said_and_written_at_the_second_try(url):
    """The same without chance: the writer waits for the chunk when the drop is committed."""
    other = await asyncpg.connect(url)
    try:
        async with open_pool(url, size=1, statement_timeout_ms=9_000, statement_cache=100) as pool:
            sink = PostgresPositionSink(pool, track_changes=True)
            for second in range(3):
                await sink.store(fixes(31, second=second))
            transaction = other.transaction()
            await transaction.start()
            await other.execute("SELECT processor.drop_old_chunks('30 days', 5, 'other')")
            writing = asyncio.create_task(sink.store(fixes(31, second=3)))
            await other.execute(UNTIL_ONE_WAITS)
            await transaction.commit()
            with pytest.raises(Unavailable) as caught:
                await writing
            met = caught.value.reason, caught.value.pause
            assert met == ("chunk-dropped", Unavailable.Pause.NONE)
            assert await sink.store(fixes(31, second=3)) == [Outcome.INSERTED]
    finally:
        await other.close()


# ------------------------------------------------------------------------- what is refused at start


async def test_an_ordinary_table_has_no_chunks(postgres_url):
    await migrations.apply(postgres_url)
    await require_chunks(postgres_url, drop=False, compress=False)
    for setting in ("drop", "compress"):
        wanted = {"drop": False, "compress": False, setting: True}
        with pytest.raises(Refused, match=f"POSITIONS_{setting.upper()}_AFTER needs the chunks"):
            await require_chunks(postgres_url, **wanted)
    with pytest.raises(Refused):
        await drop(postgres_url)


async def test_a_table_that_was_never_converted_has_no_chunks_either(timescale_url):
    sql.execute(timescale_url, "DROP EXTENSION timescaledb")
    connection = await asyncpg.connect(timescale_url)
    try:
        await connection.execute("CREATE SCHEMA processor")
        for migration in migrations.migrations():
            await connection.execute(migration.sql)
        await connection.execute("CREATE EXTENSION timescaledb")
    finally:
        await connection.close()
    with pytest.raises(Refused, match="processor migrate --convert"):
        await require_chunks(timescale_url, drop=True, compress=False)
    await migrations.convert(timescale_url)
    await require_chunks(timescale_url, drop=True, compress=False)


async def test_the_apache_build_does_not_compress_and_that_is_said(url):
    license_ = sql.fetch(url, "SHOW timescaledb.license")[0][0]
    if license_ == "timescale":
        await require_chunks(url, drop=True, compress=True)
        return
    with pytest.raises(Refused, match=r"community build.*the apache license, which cannot"):
        await require_chunks(url, drop=True, compress=True)
    await require_chunks(url, drop=True, compress=False)
    await store(url, fixes(31))
    with pytest.raises(Refused, match="not supported under the current"):
        await compress_old_chunks(url, after=KEEP)


async def test_a_service_that_owns_nothing_needs_one_grant(url, role):
    await store(url, fixes(31))
    with pytest.raises(
        Refused, match=r"GRANT EXECUTE ON FUNCTION processor\.drop_old_chunks"
    ) as no:
        await require_chunks(role, drop=True, compress=False)
    with pytest.raises(Refused, match="permission denied for function"):
        await drop(role)
    sql.execute(url, re.search("GRANT EXECUTE.*", no.value.sentence)[0])
    await require_chunks(role, drop=True, compress=False)
    assert (await drop(role)).chunks == 1
    assert book(role) == [(31, "me", 1)]


async def test_a_function_that_belongs_to_somebody_else_is_refused(url):
    other = f"other_{urlsplit(url).path[-12:]}"
    sql.execute(
        url,
        f"CREATE ROLE {other}; GRANT CREATE ON SCHEMA processor TO {other};"
        f"ALTER FUNCTION {DROP} OWNER TO {other}",
    )
    try:
        with pytest.raises(Refused, match=f"belongs to {other}"):
            await require_chunks(url, drop=True, compress=False)
    finally:
        sql.execute(url, f"DROP OWNED BY {other}; DROP ROLE {other}")


async def test_nobody_is_led_to_other_functions(url, role):
    """The functions run as the owner, with names that a caller cannot put his own in front of."""
    rows = sql.fetch(
        url,
        "SELECT proname, proconfig, prosecdef, array_to_string(proacl, ',') AS rights FROM pg_proc"
        " WHERE pronamespace = 'processor'::regnamespace ORDER BY proname",
    )
    functions = {"compress_old_chunks": True, "drop_old_chunks": True, "open_events": False}
    assert {row["proname"]: row["prosecdef"] for row in rows} == functions
    for row in rows:
        assert "search_path=pg_catalog, pg_temp" in row["proconfig"]
        assert re.search(r"(^|,)=", row["rights"]) is None, "nothing for PUBLIC"


# ---------------------------------------------------------------------------------- as the service


@attrs.define
class OneRound:
    """A clock on which the first wait is over at once and the next one never."""

    waited: int = 0
    over: asyncio.Event = attrs.field(factory=asyncio.Event)

    def now(self) -> int:
        return 0

    def elapsed(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.waited += 1
        if self.waited > 1:
            self.over.set()
            await asyncio.Event().wait()


def environ_of(url: str, **settings: str) -> dict[str, str]:
    return {
        "POSTGRES_URL": url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "ROLES": "ingest",
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": "0",
        **settings,
    }


async def test_the_service_drops_as_the_setting_says_and_signs(url):
    await store(url, fixes(*range(29, 31 + CHUNKS_AT_ONCE + 3)))
    settings = read(RunSettings, environ_of(url, POSITIONS_DROP_AFTER="30d"))
    metrics, clock = Metrics(version="1"), OneRound()
    old_chunks = OldChunks.of(settings, "instance 7", metrics, clock)
    assert old_chunks is not None
    tending = asyncio.create_task(old_chunks.tend())
    async with asyncio.timeout(60):
        await clock.over.wait()
    tending.cancel()
    assert days_left(url) == [29, 30]
    assert {who for _, who, _ in book(url)} == {"instance 7"}
    count = CHUNKS_AT_ONCE + 3
    assert f"processor_chunks_dropped_total {count}.0" in metrics.exposition()[0].decode()


def test_with_both_settings_empty_nothing_is_done(postgres_url):
    settings = read(RunSettings, environ_of(postgres_url))
    assert OldChunks.of(settings, "me", Metrics(version="1"), OneRound()) is None


@pytest.mark.parametrize("setting", ["POSITIONS_DROP_AFTER", "POSITIONS_COMPRESS_AFTER"])
def test_a_service_whose_database_cannot_do_it_does_not_start(postgres_url, redis_url, setting):
    environ = environ_of(postgres_url, REDIS_URL=redis_url, **{setting: "30d"})
    told = subprocess.run(
        [sys.executable, "-m", "processor", "run"],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 78
    assert f"{setting} needs the chunks of TimescaleDB" in told.stderr
