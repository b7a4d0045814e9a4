"""What is judged, in memory and real, under one set of words: a stream server (`server`), and a
rally with its devices and their positions (`rally_tables`).

The real adapters have the rights of deploy/ and no more; what a test arranges beside them, it does
as an administrator.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

from processor.adapters.memory.live import (
    Entered,
    MemoryLiveFeed,
    MemoryRally,
    MemorySnapshots,
    MemoryTopicMap,
)
from processor.adapters.memory.membership import MemoryMembership, MemoryTrials
from processor.adapters.memory.positions import MemoryTable
from processor.adapters.memory.states import MemoryStateStore
from processor.adapters.memory.stream import (
    MemoryBacklog,
    MemoryDeadLetters,
    MemoryStream,
    MemoryStreamSource,
)
from processor.adapters.postgres.pool import open_reading_pool
from processor.adapters.postgres.snapshots import PostgresSnapshots
from processor.adapters.postgres.states import PostgresStateStore
from processor.adapters.postgres.topic_map import PostgresTopicMap
from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.redis.connection import Wire, connect
from processor.adapters.redis.dead_letters import RedisDeadLetters
from processor.adapters.redis.live_feed import RedisLiveFeed
from processor.adapters.redis.membership import RedisMembership
from processor.adapters.redis.source import RedisStreamSource
from processor.adapters.redis.trials import RedisTrials
from processor.core.model import Position
from processor.core.ports import (
    Backlog,
    DeadLetters,
    LiveFeed,
    Membership,
    Snapshots,
    StateStore,
    StreamSource,
    TopicMap,
    Trials,
)

WAIT_MS = 2000
CLOCK_AHEAD_MS = 60_000
BUSINESS_TABLES = Path(__file__).parents[2] / "schema/tables.sql"


class SetClock:
    """The Clock port with a wall clock that the test sets."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def now(self) -> int:
        return self.now_ms

    def elapsed(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class MemoryServer:
    """Everything on a MemoryStream."""

    def __init__(self) -> None:
        self.clock = SetClock()
        self.stream = MemoryStream(self.clock, "telemetry:ours")
        self.others: list[MemoryStream] = []

    def source(self, consumer: str = "a", group: str = "processor") -> StreamSource:
        return MemoryStreamSource(self.stream, group=group, consumer=consumer)

    def feed(self, instance_id: str = "host-1") -> LiveFeed:
        return MemoryLiveFeed(
            self.stream, group_prefix="live", instance_id=instance_id, ingest_group="processor"
        )

    def membership(self, consumer: str = "a") -> Membership:
        return MemoryMembership(self.stream, group="processor", consumer=consumer)

    def trials(self) -> Trials:
        return MemoryTrials(self.stream)

    async def groups(self) -> dict[str, int]:
        """How many entries are pending in each."""
        return {name: len(group.pending) for name, group in self.stream.groups.items()}

    def dead_letters(self, maxlen: int = 1000) -> DeadLetters:
        return MemoryDeadLetters(self.stream, instance_id="here", maxlen=maxlen)

    def backlog(self) -> Backlog:
        return MemoryBacklog(self.stream, group="processor", family=self.others)

    async def add(self, fields: Mapping[bytes, bytes], entry_id: str | None = None) -> str:
        return self.stream.add(fields, entry_id)

    async def add_elsewhere(self, name: str, entry_id: str) -> str:
        other = MemoryStream(self.clock, f"telemetry:{name}")
        other.add({b"k": b"v"}, entry_id)
        self.others.append(other)
        return other.name

    def knows(self, name: str) -> bool:
        return True

    async def trim(self, maxlen: int) -> None:
        self.stream.trim(maxlen)

    async def flush(self) -> None:
        self.stream.flush()

    async def destroy_group(self, group: str = "processor") -> None:
        self.stream.destroy_group(group)

    async def letters(self) -> Sequence[Sequence[tuple[bytes, bytes]]]:
        return list(self.stream.letters)

    async def aclose(self) -> None:
        pass


class RedisServer:
    """Everything on a real server, under names of this test's own."""

    def __init__(self, administrator_url: str, url: str, stream: str) -> None:
        self.clock = SetClock()
        self._url, self._stream = url, stream
        self._client = connect(url, timeout_s=5, name="contract")
        self._raw = Redis.from_url(administrator_url, protocol=2)
        self._readers: list[RedisStreamSource | RedisLiveFeed] = []

    def source(self, consumer: str = "a", group: str = "processor") -> StreamSource:
        source = RedisStreamSource(
            self._url, stream=self._stream, group=group, consumer=consumer, wait_ms=WAIT_MS
        )
        self._readers.append(source)
        return source

    def feed(self, instance_id: str = "host-1") -> LiveFeed:
        feed = RedisLiveFeed(
            self._url,
            stream=self._stream,
            group_prefix="live",
            instance_id=instance_id,
            ingest_group="processor",
            wait_ms=WAIT_MS,
        )
        self._readers.append(feed)
        return feed

    def membership(self, consumer: str = "a") -> Membership:
        return RedisMembership(
            self._client, stream=self._stream, group="processor", consumer=consumer
        )

    def trials(self) -> Trials:
        return RedisTrials(self._client, stream=self._stream)

    async def groups(self) -> dict[str, int]:
        found = await self._raw.xinfo_groups(self._stream)
        return {group["name"].decode(): group["pending"] for group in found}

    def dead_letters(self, maxlen: int = 1000) -> DeadLetters:
        return RedisDeadLetters(
            self._client,
            stream=self._stream,
            group="processor",
            instance_id="here",
            maxlen=maxlen,
            clock=self.clock,
        )

    def backlog(self) -> Backlog:
        return RedisBacklog(self._client, stream=self._stream, group="processor", clock=self.clock)

    async def add(self, fields: Mapping[bytes, bytes], entry_id: str | None = None) -> str:
        return (await self._raw.xadd(self._stream, dict(fields), id=entry_id or "*")).decode()

    async def add_elsewhere(self, name: str, entry_id: str) -> str:
        key = f"{self._stream}-{name}"
        await self._raw.xadd(key, {"k": "v"}, id=entry_id)
        return key

    def knows(self, name: str) -> bool:
        return name.startswith(self._stream)

    async def trim(self, maxlen: int) -> None:
        await self._raw.xtrim(self._stream, maxlen=maxlen, approximate=False)

    async def flush(self) -> None:
        names = (self._stream, f"{self._stream}:dlq", f"{self._stream}:trials")
        await self._raw.delete(*names)

    async def destroy_group(self, group: str = "processor") -> None:
        await self._raw.xgroup_destroy(self._stream, group)

    async def letters(self) -> Sequence[Sequence[tuple[bytes, bytes]]]:
        # Not by xrange(), which makes a dict of it: a name may stand there twice.
        wire = Wire(self._url, timeout_s=5, name="letters")
        (answer,) = await wire.ask(("XRANGE", f"{self._stream}:dlq", "-", "+"))
        await wire.aclose()
        return [list(zip(flat[::2], flat[1::2], strict=True)) for _, flat in answer]

    async def aclose(self) -> None:
        for reader in self._readers:
            await reader.aclose()
        await self._client.aclose()
        await self._raw.aclose()


StreamServer = MemoryServer | RedisServer


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def server(
    request: pytest.FixtureRequest, stream_name: str, rights: Any
) -> AsyncIterator[StreamServer]:
    if request.param == "memory":
        found: StreamServer = MemoryServer()
    else:
        url = request.getfixturevalue("redis_url")
        found = RedisServer(url, rights.redis(url), stream_name)
    yield found
    await found.aclose()


# ------------------------------------------------------------------------------------- a rally


class MemoryTables:
    """Business tables and positions in memory."""

    def __init__(self) -> None:
        self._rally = MemoryRally()
        self._clock = SetClock()
        self._table = MemoryTable(clock=self._clock)
        self.topics: TopicMap = MemoryTopicMap(self._rally)
        self.snapshots: Snapshots = MemorySnapshots(
            self._table, self._rally, clock_ahead_ms=CLOCK_AHEAD_MS
        )
        self.states: StateStore = MemoryStateStore(self._table, clock_ahead_ms=CLOCK_AHEAD_MS)

    async def event(self) -> str:
        return str(uuid4())

    async def enter(
        self,
        event_id: str,
        imei: str,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
    ) -> None:
        """An entry of its own, with this device."""
        entry_id = str(uuid4())
        self._rally.events[entry_id] = event_id
        self._rally.imeis[f"the uuid of {imei}"] = imei
        self._rally.entered.append(Entered(entry_id, f"the uuid of {imei}", valid_from, valid_to))

    async def store(self, *fixes: Position, after: timedelta = timedelta(0)) -> None:
        """Each is stored that long after it was made."""
        for fix in fixes:
            self._table.rows[fix.key] = fix
            ingested_at = fix.fixed_at + after
            self._table.ingested_ms[fix.key] = round(ingested_at.timestamp() * 1000)

    async def mark(self, fix: Position) -> None:
        self._table.faulty.add(fix.key)

    async def take_away(self, name: str) -> None:
        """A table, `devices`, or a column, `devices.imei`."""
        self._rally.missing.add(f"public.{name}")

    async def bring_back(self, name: str) -> None:
        self._rally.missing.discard(f"public.{name}")


class PostgresTables:
    """The same in a database; `connection` is that of whoever fills it."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        topics: TopicMap,
        snapshots: Snapshots,
        states: StateStore,
    ) -> None:
        self._connection = connection
        self._taken: list[str] = []
        self.topics, self.snapshots, self.states = topics, snapshots, states

    async def event(self) -> str:
        return await self._connection.fetchval(
            """WITH club AS (
                INSERT INTO organizations (name, slug) VALUES ('club', $1) RETURNING id
            )
            INSERT INTO events (organization_id, name, slug, discipline, starts_at, ends_at)
            SELECT id, 'rally', $1, 'rally', now(), now() FROM club RETURNING id::text""",
            secrets.token_hex(6),
        )

    async def enter(
        self,
        event_id: str,
        imei: str,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
    ) -> None:
        await self._connection.execute(
            "INSERT INTO devices (imei, model) VALUES ($1, 'FMB920') ON CONFLICT DO NOTHING", imei
        )
        await self._connection.execute(
            """WITH class AS (
                INSERT INTO classes (event_id, code, name) VALUES ($1, $5, 'class') RETURNING id
            ), entry AS (
                INSERT INTO entries (event_id, class_id, race_number, status)
                SELECT $1, id, $6, 'started' FROM class RETURNING id
            )
            INSERT INTO entry_devices (entry_id, device_id, valid_from, valid_to)
            SELECT entry.id, devices.id, $3, $4 FROM entry, devices WHERE imei = $2""",
            event_id,
            imei,
            valid_from,
            valid_to,
            secrets.token_hex(6),
            secrets.randbelow(2**31),
        )

    async def store(self, *fixes: Position, after: timedelta = timedelta(0)) -> None:
        await self._connection.executemany(
            """INSERT INTO positions (device_id, ts, latitude, longitude, altitude, angle, speed,
                satellites, priority, codec, attributes, ingested_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, convert_from($11, 'UTF8')::jsonb,
                $2::timestamptz + $12::interval)""",
            [
                (*(getattr(fix, name) for name in Position.__struct_fields__), after)
                for fix in fixes
            ],
        )

    async def mark(self, fix: Position) -> None:
        await self._connection.execute(
            "UPDATE positions SET faulty = true WHERE (device_id, ts) = ($1, $2)", *fix.key
        )

    async def take_away(self, name: str) -> None:
        await self._connection.execute(_renaming(name, name, f"{name}_taken"))
        self._taken.append(name)

    async def bring_back(self, name: str) -> None:
        await self._connection.execute(_renaming(f"{name}_taken", f"{name}_taken", name))
        self._taken.remove(name)

    async def bring_all_back(self) -> None:
        while self._taken:
            await self.bring_back(self._taken[-1])


def _renaming(name: str, old: str, new: str) -> str:
    table, _, column = name.partition(".")
    if column:
        return f"ALTER TABLE {table} RENAME {old.partition('.')[2]} TO {new.partition('.')[2]}"
    return f"ALTER TABLE {old} RENAME TO {new}"


RallyTables = MemoryTables | PostgresTables


async def _execute(url: str, *scripts: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for script in scripts:
            await connection.execute(script)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def rally_databases() -> Iterator[dict[str, tuple[str, str, str]]]:
    """One database with all the tables per kind of server, made when first used: kind -> URLs of
    (the server, its administrator, the service)."""
    databases: dict[str, tuple[str, str, str]] = {}
    yield databases
    for server_url, url, _ in databases.values():
        name = urlsplit(url).path.removeprefix("/")
        asyncio.run(_execute(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(
    params=["memory"]
    + [
        pytest.param((kind, cache), id=kind if cache else f"{kind}-pooler", marks=marks)
        for kind, marks in (
            ("postgres", pytest.mark.postgres),
            ("timescale", pytest.mark.timescale),
        )
        for cache in (100, 0)
    ]
)
async def rally_tables(
    request: pytest.FixtureRequest, rally_databases: dict[str, tuple[str, str, str]], rights: Any
) -> AsyncIterator[RallyTables]:
    if request.param == "memory":
        yield MemoryTables()
        return
    kind, cache = request.param
    if kind not in rally_databases:
        server_url = request.getfixturevalue(f"{kind}_server")
        name = f"rally_{secrets.token_hex(6)}"
        await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0")
        url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
        await _execute(url, BUSINESS_TABLES.read_text(encoding="utf-8"))
        rally_databases[kind] = server_url, url, rights.service(url)
    _, url, service_url = rally_databases[kind]
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE positions, organizations, devices CASCADE")
    async with open_reading_pool(
        service_url, size=2, statement_timeout_ms=15_000, statement_cache=cache
    ) as pool:
        found = PostgresTables(
            connection,
            PostgresTopicMap(pool, timeout_ms=10_000),
            PostgresSnapshots(pool, timeout_ms=10_000, clock_ahead_ms=CLOCK_AHEAD_MS),
            PostgresStateStore(pool, timeout_ms=10_000, clock_ahead_ms=CLOCK_AHEAD_MS),
        )
        try:
            yield found
        finally:
            await found.bring_all_back()
            await connection.close()
