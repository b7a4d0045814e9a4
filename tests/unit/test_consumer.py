"""The loop where one thing fails and another must not be taken for its recovery. Virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from processor.adapters.faulty import Fault, faulty
from processor.adapters.memory.positions import MemoryPositionSink, MemoryTable
from processor.adapters.memory.stream import MemoryDeadLetters, MemoryStream, MemoryStreamSource
from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.decode import Decoder
from processor.core.errors import Unavailable
from processor.core.ingest.consumer import Ingest, Limits
from processor.core.ingest.state import DeviceStates
from processor.core.notices import DependencyAnswered, IngestStopped, Notice, RetryScheduled

EPOCH_MS = 1_780_000_000_000
GOOD = (
    b'{"device_id":"1","timestamp":"2026-05-28T20:26:%02d.000Z","latitude":1,"longitude":1,'
    b'"altitude":1,"angle":1,"speed":1,"satellites":1,"priority":0,"attributes":{}}'
)


class Scene:
    """One instance on memory adapters, whose database and dead letters can be taken away."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.clock = VirtualClock(loop, EPOCH_MS)
        self.stream = MemoryStream(self.clock)
        self.table = MemoryTable()
        self.seen: list[Notice] = []
        self.away: set[str] = set()
        self.ingest = Ingest(
            source=MemoryStreamSource(self.stream, group="processor", consumer="a"),
            decode=Decoder().decode,
            sink=faulty(MemoryPositionSink(self.table), self.fault("database"), self.clock),
            dead_letters=faulty(MemoryDeadLetters(self.stream), self.fault("stream"), self.clock),
            states=DeviceStates(10, 60_000),
            clock=self.clock,
            chance=self,
            observer=self,
            limits=Limits(
                read_count=10,
                read_wait_ms=2000,
                write_count=10,
                writers=2,
                in_flight=20,
                claim_idle_ms=60_000,
                claim_interval_ms=30_000,
            ),
        )

    def fault(self, dependency: Any) -> Callable[[str], Fault]:
        def plan(call: str) -> Fault:
            if dependency in self.away:
                return Fault(before=Unavailable(dependency, "connection", f"{call}: away"))
            return Fault()

        return plan

    def fraction(self) -> float:
        return 0.5

    def observe(self, notice: Notice) -> None:
        self.seen.append(notice)

    def add(self, payload: bytes) -> None:
        self.stream.add({b"codec": b"8", b"payload": payload})


def played(play: Callable[[Scene], Coroutine[Any, Any, None]]) -> Scene:
    loop = VirtualLoop(Random(1))

    async def main() -> Scene:
        scene = Scene(loop)
        await play(scene)
        return scene

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


def test_a_stop_does_not_wait_for_room_that_nobody_will_make() -> None:
    async def play(scene: Scene) -> None:
        scene.away.add("database")
        for n in range(40):
            scene.add(GOOD % n)
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(60)
        asked_at = scene.clock.elapsed()
        scene.ingest.stop()
        await running
        assert scene.clock.elapsed() - asked_at < 3

    scene = played(play)
    assert scene.seen[-1] == IngestStopped(abandoned=20)
    assert not scene.table.rows


def test_a_stream_that_refuses_dead_letters_has_not_recovered_because_it_can_be_read() -> None:
    async def play(scene: Scene) -> None:
        scene.away.add("stream")
        running = asyncio.create_task(scene.ingest.run())
        scene.add(b"{")
        await scene.clock.sleep(1)
        for n in range(20):
            scene.add(GOOD % n)
            await scene.clock.sleep(5)
        about_the_stream = [
            notice
            for notice in scene.seen
            if isinstance(notice, RetryScheduled | DependencyAnswered)
            and notice.dependency == "stream"
        ]
        assert isinstance(about_the_stream[0], DependencyAnswered)
        assert all(isinstance(notice, RetryScheduled) for notice in about_the_stream[1:])
        assert len(scene.table.rows) == 20, "the good ones do not wait"
        scene.away.clear()
        await scene.clock.sleep(20)
        assert DependencyAnswered("stream") in scene.seen[len(about_the_stream) :]
        assert len(scene.stream.dead_letters()) == 1
        scene.ingest.stop()
        await running

    played(play)


@pytest.mark.parametrize("trimmed", [1, 5])
def test_what_was_trimmed_while_pending_is_said_and_acknowledged(trimmed: int) -> None:
    async def play(scene: Scene) -> None:
        first = MemoryStreamSource(scene.stream, group="processor", consumer="a")
        await first.open()
        for n in range(5):
            scene.add(GOOD % n)
        await first.fetch_new(10, 0)
        scene.stream.trim(5 - trimmed)
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(5)
        assert scene.stream.settled("processor")
        assert len(scene.table.rows) == 5 - trimmed
        lost = [n for n in scene.seen if type(n).__name__ == "EntriesLost"]
        assert [(n.reason, n.count) for n in lost] == [("trimmed", trimmed)]  # type: ignore[union-attr]
        scene.ingest.stop()
        await running

    played(play)
