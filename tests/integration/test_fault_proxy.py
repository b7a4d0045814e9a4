"""`processor run` on real servers behind a network that fails: whatever it does, the sum is right.

Each test harms the way to Redis or to PostgreSQL and ends with the ledger's sum (proof/ledger.py):
every record is one row or one dead letter, all columns as sent, nothing pending, nothing unread.
And each asks whether the service has noticed: a fault that nobody sees is one that did not happen.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import redis

from proof.ledger import Sum, judge, look, settled
from proof.proxy import Proxy
from proof.records import Record, Trackers
from proof.service import Service

WITHIN_S = 60.0
"""What is awaited comes within seconds; this is for a machine that is busy."""

NEW = b"\r\n>\r\n"
"""The last argument of an XREADGROUP for what is new; XREADGROUP of the own pending list has an id
there."""
COMMIT = b"COMMIT\0"
"""A statement of its own, not the COMMIT in CREATE TEMP TABLE .. ON COMMIT."""

IMPATIENT = {
    "BATCH_BLOCK_MS": "200",
    "CLAIM_INTERVAL_MS": "60000",  # not by claiming: by the service's own care
    "POSTGRES_STATEMENT_TIMEOUT_MS": "1000",
    "SHUTDOWN_TIMEOUT_MS": "2000",
}


class World:
    """One service between two proxies, and a producer that goes around them."""

    def __init__(
        self, folder: Path, redis_url: str, postgres_url: str, stream: str, rights: Any
    ) -> None:
        self.stream = stream
        self.direct = redis.Redis.from_url(redis_url, protocol=2)
        self.redis, self.postgres = Proxy.before(redis_url), Proxy.before(postgres_url)
        self._folder, self._urls = folder, (redis_url, postgres_url)
        self._service_urls = rights.redis(redis_url), rights.service(postgres_url)
        self._since = datetime.now(UTC)
        self._trackers = Trackers(random.Random(11))
        self._good_trackers = Trackers(random.Random(12), shares={"new": 0.9, "again": 0.1})
        self._sent: list[Record] = []
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        assert self._service is not None
        return self._service

    async def start(self, **settings: str) -> None:
        """With the rights of deploy/ and no more."""
        redis_url, postgres_url = self._service_urls
        addresses = {
            "REDIS_URL": self.redis.through(redis_url),
            "POSTGRES_URL": self.postgres.through(postgres_url),
            "REDIS_TELEMETRY_STREAM": self.stream,
        }
        self._service = Service(self._folder, "a", {**IMPATIENT, **addresses, **settings})
        self._service.start()

    def made(self, count: int, *, good: bool = False) -> list[Record]:
        """Good and bad ones. The database refuses a batch with a bad one in it, and it is halved;
        only good ones are written all at once, and from 300 on by COPY and COMMIT."""
        return (self._good_trackers if good else self._trackers).some(count, [])

    def send(self, records: list[Record]) -> None:
        pipeline = self.direct.pipeline(transaction=False)
        for record in records:
            fields: Any = record.fields
            pipeline.xadd(self.stream, fields)
        pipeline.execute()
        self._sent += records

    async def becomes(self, holds: Callable[[], Any], why: str) -> None:
        """Ask in a thread, for the proxies live in this loop."""
        deadline = asyncio.get_running_loop().time() + WITHIN_S
        while not await asyncio.to_thread(holds):
            assert self.service.process.poll() is None, self.service.last_words()
            assert asyncio.get_running_loop().time() < deadline, f"{why}; {self._last_words()}"
            await asyncio.sleep(0.02)

    async def ready(self) -> None:
        await self.becomes(self.service.ready, "it is ready")

    async def done(self, expected: asyncio.Event) -> None:
        """The harm is done."""
        async with asyncio.timeout(WITHIN_S):
            await expected.wait()

    async def adds_up(self) -> Sum:
        await self.becomes(lambda: settled(self.direct, self.stream), "everything is acknowledged")
        found = await look(*self._urls, self.stream, since=self._since)
        total = judge(self._sent, self._sent, found)
        assert total.faults == []
        assert (total.lost, total.twice, total.pending, total.lag) == (0, 0, 0, 0)
        assert (
            total.records
            == len(self._sent)
            == total.rows + total.duplicates + sum(total.letters.values())
        )
        return total

    async def rows(self) -> int:
        connection = await asyncpg.connect(self._urls[1], timeout=30)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM positions"))
        finally:
            await connection.close()

    async def metric(self, name: str, **labels: str) -> float:
        return await asyncio.to_thread(self.service.metric, name, **labels)

    async def counts(self, expected: float, name: str, **labels: str) -> None:
        """The metric comes to this, and not to more. Where a reply was lost, the server knows that
        all is done seconds before the service does."""
        why = f"{name} {labels} is {expected}"
        await self.becomes(lambda: self.service.metric(name, **labels) >= expected, why)
        assert await self.metric(name, **labels) == expected

    def resumed(self) -> int:
        """Entries that it found in its own pending list."""
        lines = (line for line in self.service.said() if line["message"] == "entries_resumed")
        return sum(line["count"] for line in lines)

    def _last_words(self) -> str:
        return self.service.last_words()


@pytest_asyncio.fixture
async def world(
    tmp_path: Path, redis_url: str, postgres_url: str, stream_name: str, rights: Any
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        world = World(tmp_path, redis_url, postgres_url, stream_name, rights)
        stack.callback(world.direct.close)
        await stack.enter_async_context(world.redis)
        await stack.enter_async_context(world.postgres)
        try:
            yield world
        finally:
            if world._service is not None:
                world.service.kill()


# -- the reply is swallowed, after its request has taken effect ---------------------------------


async def test_the_reply_of_a_read_is_swallowed(world: World) -> None:
    world.send(world.made(300))
    lost = world.redis.swallow_reply_to(NEW)
    await world.start()
    await world.done(lost.happened)
    await world.adds_up()
    await world.counts(1, "consumer_reads_total", result="error")
    assert world.resumed() == 300, "they were handed out, and found in the own pending list"


async def test_the_reply_to_a_dead_letter_is_swallowed(world: World) -> None:
    await world.start()
    await world.ready()
    lost = world.redis.swallow_reply_to(b"XADD")
    world.send(world.made(300))
    await world.done(lost.happened)
    total = await world.adds_up()
    assert 0 < total.repeated_letters <= sum(total.letters.values()), "there twice, recognisable"
    await world.counts(1, "retries_total", dependency="stream")


async def test_the_reply_to_an_acknowledgement_is_swallowed(world: World) -> None:
    await world.start()
    await world.ready()
    lost = world.redis.swallow_reply_to(b"XACK")
    world.send(world.made(300))
    await world.done(lost.happened)
    await world.adds_up()
    await world.counts(1, "retries_total", dependency="stream")
    await world.counts(300, "acks_total")
    assert world.resumed() == 0


async def test_the_reply_to_a_commit_is_swallowed(world: World) -> None:
    world.send(world.made(900, good=True))
    lost = world.postgres.swallow_reply_to(COMMIT)
    await world.start(WRITE_CONCURRENCY="1")
    await world.done(lost.happened)
    assert await world.rows() > 0, "it took effect"
    await world.adds_up()
    await world.counts(1, "retries_total", dependency="database", reason="timeout")
    # As far as the service could know, every record had been there before.
    await world.counts(900, "position_writes_total", status="duplicate")
    await world.counts(0, "position_writes_total", status="inserted")


async def test_the_reply_to_a_statement_that_goes_alone_is_swallowed(world: World) -> None:
    await world.start()
    await world.ready()
    (record,) = world.made(1, good=True)
    lost = world.postgres.swallow_reply_to(record.fields[b"device_id"])
    world.send([record])
    await world.done(lost.happened)
    assert await world.rows() == 1, "it took effect"
    await world.adds_up()
    await world.counts(1, "retries_total", dependency="database", reason="timeout")
    await world.counts(1, "position_writes_total", status="duplicate")


# -- half-open ------------------------------------------------------------------------------------


async def test_every_connection_becomes_half_open(world: World) -> None:
    await world.start()
    await world.ready()
    world.send(world.made(300))
    await world.adds_up()
    world.redis.half_open()
    world.postgres.half_open()
    world.send(world.made(300))
    await world.becomes(lambda: not world.service.ready(), "it says that it is not ready")
    assert (await asyncio.to_thread(world.service.get, "/healthz"))[0] == 200
    world.redis.mend()
    world.postgres.mend()
    await world.adds_up()
    await world.ready()
    assert await world.metric("retries_total", dependency="stream", reason="timeout") >= 1


async def test_a_connection_becomes_half_open_before_its_commit(world: World) -> None:
    """The server keeps the transaction open, and the batch's keys locked, until it gives it up."""
    world.send(world.made(900, good=True))
    lost = world.postgres.half_open_at(COMMIT)
    await world.start(WRITE_CONCURRENCY="1")
    await world.done(lost.happened)
    total = await world.adds_up()
    await world.counts(1, "retries_total", dependency="database", reason="timeout")
    await world.counts(total.rows, "position_writes_total", status="inserted")


# -- slow, cut, refused ----------------------------------------------------------------------


async def test_both_ways_are_slow(world: World) -> None:
    await world.start(BATCH_SIZE="100")
    await world.ready()
    for way in (world.redis.replies, world.postgres.requests):
        way.bytes_per_s = 150_000
    for way in (world.redis.requests, world.postgres.replies):
        way.delay_s = 0.05
    world.send(world.made(300, good=True))
    await world.adds_up()
    await world.counts(300, "acks_total")
    assert await world.metric("consumer_reads_total", result="error") == 0
    assert await world.metric("ingest_latency_seconds_sum") > 300 * 0.2, "it was slow"


@pytest.mark.parametrize("after_bytes", [1, 100_000])
async def test_a_large_reply_is_cut_in_mid_frame(world: World, after_bytes: int) -> None:
    world.send(world.made(900))
    lost = world.redis.cut_reply_to(NEW, after_bytes)
    await world.start()
    await world.done(lost.happened)
    await world.adds_up()
    await world.counts(1, "consumer_reads_total", result="error")
    assert world.resumed() == 900


async def test_connections_are_cut_and_refused_while_records_come(world: World) -> None:
    chance = random.Random(5)
    await world.start()
    await world.ready()
    for _ in range(12):
        world.send(world.made(chance.randint(1, 400)))
        await asyncio.sleep(chance.uniform(0, 0.1))
        proxy = chance.choice((world.redis, world.postgres))
        proxy.cut()
        if chance.random() < 0.5:
            await proxy.refuse()
            await asyncio.sleep(chance.uniform(0, 0.3))
            await proxy.accept()
    await world.adds_up()
    assert await world.metric("retries_total") >= 3
