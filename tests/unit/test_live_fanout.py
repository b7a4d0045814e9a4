"""The loop of the live side where the stream is not what it was, and at its end. Virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec

from processor.adapters.faulty import Fault, faulty
from processor.adapters.memory.lines import MemoryBroadcaster, MemoryLine
from processor.adapters.memory.live import MemoryLiveFeed
from processor.adapters.memory.stream import MemoryStream, MemoryStreamSource
from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.decode import Decoder
from processor.core.errors import Unavailable
from processor.core.live.admission import Admission, House
from processor.core.live.delivery import Delivery, DeviceMap
from processor.core.live.fanout import REAP_IDLE_MS, Fanout, FanoutLimits
from processor.core.live.messages import Subscribe, topic_of
from processor.core.live.newest import NewestFixes
from processor.core.live.registry import Registry
from processor.core.notices import (
    FeedFailed,
    FixesFannedOut,
    GroupsReaped,
    LiveStarted,
    LiveStopped,
    Notice,
)
from processor.core.ports import Assignment

EVENT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
AT = datetime(2026, 6, 7, 8, tzinfo=UTC)
EPOCH_MS = 1_780_819_200_000


class Scene:
    """One instance, and a line that watches device 1 from before the start."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.clock = VirtualClock(loop, EPOCH_MS)
        self.stream = MemoryStream(self.clock)
        self.ingest = MemoryStreamSource(self.stream, group="processor", consumer="a")
        self.admission = Admission(House((), True, False, False, False, 10, 10))
        self.admission.has("devices")
        self.newest = NewestFixes(10, 60_000)
        self.line = MemoryLine()
        self.seen: list[Notice] = []
        self.faults: dict[str, Fault] = {}
        registry = Registry()
        registry.answer(registry.join(self.line, EVENT, Subscribe(topic_of(EVENT))), {})
        delivery = Delivery(registry, MemoryBroadcaster())
        delivery.swap(DeviceMap({"1": [Assignment(EVENT)]}), lambda _: None)
        self.fanout = Fanout(
            feed=faulty(self.feed("a"), lambda call: self.faults.get(call, Fault()), self.clock),
            admission=self.admission,
            decode=Decoder().decode,
            newest=self.newest,
            delivery=delivery,
            clock=self.clock,
            chance=self,
            observer=self,
            limits=FanoutLimits(read_count=2, read_wait_ms=1000, batch_ms=100),
        )

    def feed(self, name: str) -> MemoryLiveFeed:
        return MemoryLiveFeed(
            self.stream, group_prefix="live", instance_id=name, ingest_group="processor"
        )

    def fraction(self) -> float:
        return 0.5

    def observe(self, notice: Notice) -> None:
        self.seen.append(notice)

    def of_kind(self, kind: type[Any]) -> list[Any]:
        return [notice for notice in self.seen if isinstance(notice, kind)]

    def add(self, seconds: int, entry_id: str | None = None, **members: Any) -> None:
        payload = {
            "device_id": "1",
            "timestamp": (AT + timedelta(seconds=seconds)).isoformat(),
            "latitude": 41.5,
            "longitude": 19.25,
            "altitude": 0,
            "angle": 0,
            "speed": 0,
            "satellites": 9,
            "priority": 0,
            "attributes": {},
        } | members
        self.stream.add({b"payload": msgspec.json.encode(payload), b"codec": b"8"}, entry_id)

    @property
    def sent(self) -> list[int]:
        return [(msgspec.json.decode(text)["ts"] - EPOCH_MS) // 1000 for text in self.line.texts]


def played(play: Callable[[Scene], Coroutine[Any, Any, None]]) -> Scene:
    loop = VirtualLoop(Random(1))

    async def main() -> Scene:
        scene = Scene(loop)
        await play(scene)
        return scene

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


def test_what_may_not_be_durable_is_learned_and_not_sent_and_only_then_the_door_is_opened() -> None:
    async def play(scene: Scene) -> None:
        await scene.ingest.open()
        for seconds in range(5):
            scene.add(seconds)
        fetched = await scene.ingest.fetch_new(4, 0)
        await scene.ingest.acknowledge([fetched.entries[0].id])
        running = asyncio.create_task(scene.fanout.run())
        assert not scene.admission.open
        await scene.clock.sleep(0.5)
        assert scene.admission.open
        assert scene.sent == []
        scene.add(9)
        await scene.clock.sleep(0.5)
        assert scene.sent == [9]
        scene.fanout.stop()
        await running

    scene = played(play)
    assert scene.of_kind(LiveStarted) == [LiveStarted(known=1)]
    assert sum(len(each.received_ms) for each in scene.of_kind(FixesFannedOut)) == 1


def test_what_was_trimmed_before_it_was_read_does_not_keep_the_door_shut() -> None:
    async def play(scene: Scene) -> None:
        scene.add(1)
        scene.stream.trim(0)
        running = asyncio.create_task(scene.fanout.run())
        await scene.clock.sleep(1.5)
        assert scene.admission.open
        scene.fanout.stop()
        await running

    played(play)


def test_a_stream_whose_ids_begin_anew_is_read_from_a_minute_before_its_end() -> None:
    async def play(scene: Scene) -> None:
        running = asyncio.create_task(scene.fanout.run())
        await scene.clock.sleep(0.5)
        scene.add(1)
        await scene.clock.sleep(0.5)
        scene.stream.flush()
        scene.add(2, f"{EPOCH_MS + 100}-0")  # brought back from an older copy
        scene.add(1, f"{EPOCH_MS + 100}-1")
        await scene.clock.sleep(5)
        assert scene.sent == [1, 2]
        scene.fanout.stop()
        await running

    played(play)


def test_after_an_error_it_goes_on_after_the_last_entry_that_it_fanned_out() -> None:
    async def play(scene: Scene) -> None:
        running = asyncio.create_task(scene.fanout.run())
        await scene.clock.sleep(0.5)
        lost = Unavailable("stream", "connection", "the reply was lost")
        scene.faults = {"fetch": Fault(after=lost)}
        scene.add(1)
        await scene.clock.sleep(0.5)
        scene.faults = {}
        scene.add(2)
        await scene.clock.sleep(5)
        assert scene.sent == [1, 2]
        scene.fanout.stop()
        await running

    assert played(play).of_kind(FeedFailed)


def test_unused_fixes_and_orphans_are_counted_by_why() -> None:
    async def play(scene: Scene) -> None:
        running = asyncio.create_task(scene.fanout.run())
        await scene.clock.sleep(0.5)
        scene.add(1)
        scene.add(1)
        scene.add(600)
        scene.add(2, satellites=0)
        scene.add(2, device_id="nobody's")
        scene.stream.add({b"payload": b"{", b"codec": b"8"})
        await scene.clock.sleep(1)
        scene.fanout.stop()
        await running

    batches = played(play).of_kind(FixesFannedOut)
    unused: dict[str, int] = {}
    for each in batches:
        for reason, count in each.unused.items():
            unused[reason] = unused.get(reason, 0) + count
    assert unused == {"older": 1, "ahead": 1, "no-fix": 1, "rejected": 1}
    assert sum(each.orphans for each in batches) == 1
    assert sum(each.frames for each in batches) == 1


def test_a_stop_takes_no_longer_than_the_read_under_way_and_leaves_no_group() -> None:
    async def play(scene: Scene) -> None:
        running = asyncio.create_task(scene.fanout.run())
        await scene.clock.sleep(0.5)
        assert "live-a" in scene.stream.groups
        scene.fanout.stop()
        await running
        assert scene.clock.elapsed() <= 0.5 + 1
        assert scene.stream.groups == {}

    assert played(play).seen[-1] == LiveStopped()


def test_a_group_that_cannot_be_destroyed_at_a_stop_is_said_and_left_to_others() -> None:
    async def play(scene: Scene) -> None:
        running = asyncio.create_task(scene.fanout.run())
        await scene.clock.sleep(0.5)
        scene.faults = {"close": Fault(before=Unavailable("stream", "connection", "away"))}
        scene.fanout.stop()
        await running

    assert played(play).seen[-2:] == [FeedFailed("closing", "connection", "away"), LiveStopped()]


def test_the_groups_of_instances_that_died_are_destroyed() -> None:
    async def play(scene: Scene) -> None:
        await scene.feed("dead").open(None)
        running = asyncio.create_task(scene.fanout.run())
        await scene.clock.sleep(REAP_IDLE_MS / 1000 + 400)
        assert list(scene.stream.groups) == ["live-a"]
        scene.fanout.stop()
        await running

    assert played(play).of_kind(GroupsReaped) == [GroupsReaped(["live-dead"])]
