"""What befalls a real Redis while we read from it, and that nothing is lost or hangs."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.redis.connection import connect
from processor.adapters.redis.dead_letters import RedisDeadLetters
from processor.adapters.redis.live_feed import RedisLiveFeed
from processor.adapters.redis.source import ANSWER_WITHIN_S, RedisStreamSource
from processor.adapters.system import SystemClock
from processor.core.errors import Reason, Refused, Rejected, Unavailable
from processor.core.model import Entry
from processor.core.ports import DeadLetter, FeedStart

STREAM = "telemetry:outages"
WAIT_MS = 500
SLACK_S = 3.0
"""For a busy machine. A read that hangs, hangs for much longer."""


@pytest.fixture
async def source(own_redis, rights) -> AsyncIterator[RedisStreamSource]:
    source = RedisStreamSource(
        rights.redis(own_redis.url), stream=STREAM, group="processor", consumer="a", wait_ms=10_000
    )
    await source.open()
    yield source
    await source.aclose()


@pytest.fixture
async def client(own_redis) -> AsyncIterator[Redis]:
    client = connect(own_redis.url, timeout_s=2, name="test")
    yield client
    await client.aclose()


async def add(client: Redis, *numbers: int) -> list[str]:
    return [(await client.xadd(STREAM, {"n": n}, id=f"{n}-1")).decode() for n in numbers]


def ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.id for entry in entries]


async def reading(source: RedisStreamSource, client: Redis, wait_ms: int) -> asyncio.Task:
    """A read that the server has taken and keeps waiting."""
    task = asyncio.create_task(source.fetch_new(10, wait_ms))
    async with asyncio.timeout(10):
        while (await client.info("clients"))["blocked_clients"] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return task


async def until_open(source: RedisStreamSource) -> bool:
    async with asyncio.timeout(20):
        while True:
            try:
                return await source.open()
            except Unavailable:
                await asyncio.sleep(0.05)


def live_feed(url: str, stream: str = STREAM, instance_id: str = "a") -> RedisLiveFeed:
    return RedisLiveFeed(
        url,
        stream=stream,
        group_prefix="live",
        instance_id=instance_id,
        ingest_group="processor",
        wait_ms=10_000,
    )


async def letters(client: Redis, *, maxlen: int = 1000) -> RedisDeadLetters:
    return RedisDeadLetters(
        client,
        stream=STREAM,
        group="processor",
        instance_id="here",
        maxlen=maxlen,
        clock=SystemClock(),
    )


async def test_a_server_killed_under_a_waiting_read(own_redis, source, client):
    await add(client, 1, 2, 3)
    first = await source.fetch_new(2, 0)
    await source.acknowledge(["1-1"])
    await source.fetch_new(10, 0)
    task = await reading(source, client, 10_000)
    own_redis.kill()
    with pytest.raises(Unavailable) as caught:
        await task
    assert caught.value.reason == "connection"
    for call in (source.fetch_new(10, 100), source.fetch_own("0", 10), source.acknowledge(["2-1"])):
        with pytest.raises(Unavailable):
            await call
    own_redis.start()
    assert await until_open(source) is False
    assert ids(first.entries) == ["1-1", "2-1"]
    assert ids(await source.fetch_own("0", 10)) == ["2-1", "3-1"]
    await add(client, 4)
    assert ids((await source.fetch_new(10, 1000)).entries) == ["4-1"]
    assert await source.acknowledge(["2-1", "3-1", "4-1"]) == 3


async def test_flushall_under_a_waiting_read(source, client):
    await add(client, 1)
    await source.fetch_new(10, 0)
    task = await reading(source, client, 10_000)
    await client.flushall()
    with pytest.raises(Unavailable) as caught:
        async with asyncio.timeout(SLACK_S):
            await task
    assert caught.value.reason == "group-missing"
    assert await source.open() is True
    await add(client, 1)
    assert ids((await source.fetch_new(10, 0)).entries) == ["1-1"]


async def test_a_stopped_server_is_noticed_in_time(own_redis, source, client):
    await add(client, 1)
    await source.fetch_new(10, 0)
    task = await reading(source, client, WAIT_MS)
    loop = asyncio.get_running_loop()
    started = loop.time()
    own_redis.pause()
    try:
        with pytest.raises(Unavailable) as caught:
            await task
        assert loop.time() - started < WAIT_MS / 1000 + ANSWER_WITHIN_S + SLACK_S
        assert caught.value.reason == "timeout"
        started = loop.time()
        with pytest.raises(Unavailable):  # the kernel still takes the connection
            await source.acknowledge(["1-1"])
        assert loop.time() - started < ANSWER_WITHIN_S + SLACK_S
    finally:
        own_redis.resume()
    assert await until_open(source) is False
    # The acknowledgement may have been heard when the server woke up; either is well.
    assert await source.acknowledge(["1-1"]) in (0, 1)
    await add(client, 2)
    # So may the read, on a connection that nobody listens to any more.
    found = ids((await source.fetch_new(10, 200)).entries) + ids(await source.fetch_own("0", 10))
    assert set(found) == {"2-1"}


class SwallowsReplies:
    """A proxy in front of a server that hears every command, and from which no answer returns
    once `swallow` is set."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.swallow = False
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, commands = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, commands]
        self._tasks.append(asyncio.create_task(self._pipe(answers, writer, replies=True)))
        await self._pipe(reader, commands, replies=False)

    async def _pipe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool
    ) -> None:
        while chunk := await reader.read(65536):
            if not (replies and self.swallow):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def aclose(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()


async def test_an_entry_whose_reply_was_lost_comes_back_as_our_own(own_redis, client):
    proxy = SwallowsReplies(own_redis.port)
    url = await proxy.start()
    source = RedisStreamSource(url, stream=STREAM, group="processor", consumer="a", wait_ms=WAIT_MS)
    await source.open()
    await add(client, 1, 2, 3)
    assert ids((await source.fetch_new(1, 0)).entries) == ["1-1"]
    assert await source.acknowledge(["9-9"]) == 0  # now both of its connections are there
    proxy.swallow = True
    with pytest.raises(Unavailable) as caught:
        await source.fetch_new(10, 0)
    assert caught.value.reason == "timeout"
    with pytest.raises(Unavailable):
        await source.acknowledge(["1-1"])
    proxy.swallow = False
    assert (await source.fetch_new(10, 0)).entries == []
    own = await source.fetch_own("0", 10)
    assert (ids(own), own[0].fields) == (["2-1", "3-1"], {b"n": b"2"})
    assert await source.acknowledge(["1-1", "2-1", "3-1"]) == 2  # the first was heard
    await source.aclose()
    await proxy.aclose()


async def test_a_live_read_whose_reply_was_lost_is_made_good_by_opening_again(own_redis, client):
    proxy = SwallowsReplies(own_redis.port)
    feed = live_feed(await proxy.start())
    await feed.open(None)
    await add(client, 1, 2, 3)
    assert ids(await feed.fetch(1, 0)) == ["1-1"]
    proxy.swallow = True
    with pytest.raises(Unavailable) as caught:
        await feed.fetch(10, 0)
    assert caught.value.reason == "timeout"
    proxy.swallow = False
    assert await feed.fetch(10, 0) == []
    assert await feed.open("1-1") == FeedStart("1-1", "3-1")
    assert ids(await feed.fetch(10, 0)) == ["2-1", "3-1"]
    await feed.aclose()
    await proxy.aclose()


async def test_a_live_read_that_only_the_server_believes_in_takes_nothing(own_redis, client):
    """Its connection is half-open: whoever asked has gone, and the server does not know."""
    feed = live_feed(own_redis.url)
    await feed.open("0-0")
    left_behind = Redis.from_url(own_redis.url, protocol=2)
    asked = ("XREADGROUP", "GROUP", "live-a", "a", "BLOCK", 10_000, "NOACK", "STREAMS", STREAM, ">")
    waiting = asyncio.create_task(left_behind.execute_command(*asked))
    async with asyncio.timeout(10):
        while (await client.info("clients"))["blocked_clients"] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await feed.open("0-0")
    await add(client, 1)
    assert ids(await feed.fetch(10, 1000)) == ["1-1"]
    with pytest.raises(ResponseError, match="NOGROUP"):
        await waiting
    await left_behind.aclose()
    await feed.aclose()


async def test_a_cancelled_read_never_answers_the_next_one(source, client):
    task = await reading(source, client, 10_000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await add(client, 1)
    found = ids((await source.fetch_new(10, 300)).entries) + ids(await source.fetch_own("0", 10))
    assert set(found) == {"1-1"}
    assert await source.fetch_own("1-1", 10) == []


async def test_a_full_server_takes_no_letters_and_still_acknowledges(source, client):
    await add(client, 1, 2)
    (entry, other) = (await source.fetch_new(2, 0)).entries
    letter = DeadLetter(entry, Rejected(Reason.FIELD_TYPE, "speed: a number is needed"))
    dead = await letters(client)
    await client.config_set("maxmemory", 1)
    with pytest.raises(Unavailable) as caught:
        await dead.send([letter])
    assert (caught.value.reason, caught.value.pause) == ("full", Unavailable.Pause.LONG)
    assert await source.acknowledge([other.id]) == 1
    assert ids(await source.fetch_own("0", 10)) == [entry.id]
    await client.config_set("maxmemory", 0)
    await dead.send([letter])
    assert await client.xlen(f"{STREAM}:dlq") == 1


async def test_a_replica_takes_no_letters(source, client):
    await add(client, 1)
    (entry,) = (await source.fetch_new(1, 0)).entries
    letter = DeadLetter(entry, Rejected(Reason.FIELD_TYPE, "speed: a number is needed"))
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")
    dead = await letters(client)
    with pytest.raises(Unavailable) as caught:
        await dead.send([letter])
    assert caught.value.pause == Unavailable.Pause.LONG
    with pytest.raises(Unavailable) as caught:
        await source.fetch_new(1, 0)
    assert (caught.value.reason, caught.value.pause) == ("read-only", Unavailable.Pause.SHORT)
    await client.execute_command("REPLICAOF", "NO", "ONE")
    await dead.send([letter])
    assert await client.xlen(f"{STREAM}:dlq") == 1


async def test_wrong_credentials_rights_and_types_are_refused(own_redis, client):
    await client.set("telemetry:text", "x")
    await client.execute_command("ACL", "SETUSER", "poor", "on", ">secret", "~*", "+ping")

    async def reason(url: str, stream: str) -> str:
        source = RedisStreamSource(url, stream=stream, group="g", consumer="a", wait_ms=1)
        with pytest.raises(Refused) as caught:
            await source.open()
        await source.aclose()
        assert "secret" not in caught.value.sentence
        feed = live_feed(url, stream)
        for call in (
            feed.open(None),
            feed.open("1-1"),
            feed.fetch(1, 0),
            feed.reap(0),
            feed.close(),
        ):
            with pytest.raises(Refused) as also_caught:
                await call
            assert also_caught.value.reason == caught.value.reason
        await feed.aclose()
        return caught.value.reason

    with_user = own_redis.url.replace("redis://", "redis://{}@")
    assert await reason(own_redis.url, "telemetry:text") == "wrong-type"
    assert await reason(with_user.format("poor:wrong-secret"), STREAM) == "credentials"
    assert await reason(with_user.format("poor:secret"), STREAM) == "permission"


async def test_doctor_learns_what_the_server_is(own_redis, client):
    backlog = RedisBacklog(client, stream=STREAM, group="processor", clock=SystemClock())
    facts = await backlog.server_facts()
    assert facts.version is not None
    assert facts.version.split()[0] in ("redis", "valkey")
    assert (facts.eviction, facts.append_only, facts.role) == ("noeviction", True, "master")
    await client.execute_command(
        "ACL", "SETUSER", "poor", "on", ">p", "~*", "+info", "+client|setname"
    )
    poor = connect(own_redis.url.replace("//", "//poor:p@"), timeout_s=2, name="poor")
    facts = await RedisBacklog(
        poor, stream=STREAM, group="processor", clock=SystemClock()
    ).server_facts()
    assert (facts.eviction, facts.append_only, facts.role) == (None, None, "master")
    await poor.aclose()


async def test_an_operator_sees_groups_and_consumers(source, client):
    backlog = RedisBacklog(client, stream=STREAM, group="processor", clock=SystemClock())
    await add(client, 1, 2, 3)
    await client.xgroup_create(STREAM, "live-broadcast-x", "2-1")
    await source.fetch_new(1, 0)
    groups = {group.name: group for group in await backlog.groups()}
    assert {name: (group.lag, group.pending) for name, group in groups.items()} == {
        "processor": (2, 1),
        "live-broadcast-x": (1, 0),
    }
    assert groups["processor"].last_delivered_id == "1-1"
    assert groups["processor"].lag_s > 0
    (consumer,) = await backlog.consumers()
    assert (consumer.name, consumer.pending) == ("a", 1)
    assert 0 <= consumer.idle_s < 60
    await client.flushall()
    assert await backlog.groups() == []
    assert await backlog.consumers() == []


async def test_the_servers_lag_is_not_believed_where_it_lost_count(source, client):
    backlog = RedisBacklog(client, stream=STREAM, group="processor", clock=SystemClock())
    await add(client, *range(1, 31))
    await source.fetch_new(10, 0)
    await client.xdel(STREAM, "20-1")  # from here on the server says nil
    measured = await backlog.measure()
    assert measured.lag == 19
    # As Redis 7.0 does after a trim: more unread than there are entries.
    await client.execute_command("XGROUP", "SETID", STREAM, "processor", "10-1", "ENTRIESREAD", 0)
    assert (await backlog.measure()).lag == 19


async def test_a_loss_is_not_counted_again_where_the_server_does_not_count_it(source, client):
    """Redis 7.0 adds to its count only what it handed out; the same made by hand on a newer one."""
    await add(client, *range(1, 21))
    await source.fetch_new(2, 0)
    await client.xtrim(STREAM, maxlen=12, approximate=False)  # 3 .. 8 are lost
    read = await source.fetch_new(4, 0)
    assert read.lost is not None
    assert read.lost.count == 6
    await client.execute_command("XGROUP", "SETID", STREAM, "processor", "12-1", "ENTRIESREAD", 6)
    await client.xtrim(STREAM, maxlen=8, approximate=False)  # exactly what was read
    assert (await source.fetch_new(4, 0)).lost is None


async def test_where_nobody_counts_a_loss_is_estimated(source, client):
    await add(client, *range(10, 30))
    await source.fetch_new(2, 0)
    await client.xtrim(STREAM, maxlen=10, approximate=False)  # 12 .. 19 are lost
    await client.xgroup_setid(STREAM, "processor", "11-1")  # and the server forgets its count
    await source.open()
    source._known = ("", 0)
    read = await source.fetch_new(4, 0)
    assert read.lost is not None
    assert 1 <= read.lost.count <= 12
    assert (read.lost.first_id, read.lost.last_id) == ("11-1", "20-1")
