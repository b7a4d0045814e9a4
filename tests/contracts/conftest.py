"""A stream server to be judged, in memory and real, under one set of words."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from redis.asyncio import Redis

from processor.adapters.memory.stream import (
    MemoryBacklog,
    MemoryDeadLetters,
    MemoryStream,
    MemoryStreamSource,
)
from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.redis.connection import Wire, connect
from processor.adapters.redis.dead_letters import RedisDeadLetters
from processor.adapters.redis.source import RedisStreamSource
from processor.core.ports import Backlog, DeadLetters, StreamSource

WAIT_MS = 2000


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

    def source(self, consumer: str = "a") -> StreamSource:
        return MemoryStreamSource(self.stream, group="processor", consumer=consumer)

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

    async def destroy_group(self) -> None:
        self.stream.destroy_group("processor")

    async def letters(self) -> Sequence[Sequence[tuple[bytes, bytes]]]:
        return list(self.stream.letters)

    async def aclose(self) -> None:
        pass


class RedisServer:
    """Everything on a real server, under names of this test's own."""

    def __init__(self, url: str, stream: str) -> None:
        self.clock = SetClock()
        self._url, self._stream = url, stream
        self._client = connect(url, timeout_s=5, name="contract")
        self._raw = Redis.from_url(url, protocol=2)
        self._sources: list[RedisStreamSource] = []

    def source(self, consumer: str = "a") -> StreamSource:
        source = RedisStreamSource(
            self._url, stream=self._stream, group="processor", consumer=consumer, wait_ms=WAIT_MS
        )
        self._sources.append(source)
        return source

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
        await self._raw.delete(self._stream, f"{self._stream}:dlq")

    async def destroy_group(self) -> None:
        await self._raw.xgroup_destroy(self._stream, "processor")

    async def letters(self) -> Sequence[Sequence[tuple[bytes, bytes]]]:
        # Not by xrange(), which makes a dict of it: a name may stand there twice.
        wire = Wire(self._url, timeout_s=5, name="letters")
        (answer,) = await wire.ask(("XRANGE", f"{self._stream}:dlq", "-", "+"))
        await wire.aclose()
        return [list(zip(flat[::2], flat[1::2], strict=True)) for _, flat in answer]

    async def aclose(self) -> None:
        for source in self._sources:
            await source.aclose()
        await self._client.aclose()
        await self._raw.aclose()


StreamServer = MemoryServer | RedisServer


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def server(request: pytest.FixtureRequest, stream_name: str) -> AsyncIterator[StreamServer]:
    if request.param == "memory":
        found: StreamServer = MemoryServer()
    else:
        found = RedisServer(request.getfixturevalue("redis_url"), stream_name)
    yield found
    await found.aclose()
