"""From a fix to the lines that want it: one by one, and in batches."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from processor.adapters.memory.lines import MemoryBroadcaster, MemoryLine
from processor.core.live.delivery import LINES_AT_ONCE, Delivery, DeviceMap
from processor.core.live.messages import Subscribe, topic_of
from processor.core.live.registry import Registry, Subscription
from processor.core.model import PANIC, Position
from processor.core.ports import Assignment

A, B = "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "00000000-0000-4000-8000-000000000000"
AT = datetime(2026, 6, 7, 8, tzinfo=UTC)
AT_MS = 1_780_819_200_000

Sent = list[tuple[str, int]]


def fix(seconds: int, device_id: str = "1", **values: Any) -> Position:
    at = AT + timedelta(seconds=seconds)
    usual = Position(device_id, at, 41.5, 19.25, 3.0, 271.0, 63.5, 9, 0, "8E", b'{"239":1}')
    return msgspec.structs.replace(usual, **values)


def panic(seconds: int, device_id: str = "1") -> Position:
    return fix(seconds, device_id, priority=PANIC)


class Scene:
    """Devices 1 and 2 drive in event A, device 2 also in B."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.delivery = Delivery(self.registry, MemoryBroadcaster())
        self.delivery.swap(
            DeviceMap({"1": [Assignment(A)], "2": [Assignment(A), Assignment(B)]}), lambda _: None
        )

    def watched(
        self, line: MemoryLine, floors: dict[str, int] | None = None, **asked: Any
    ) -> Subscription:
        event_id = asked.pop("event_id", A)
        subscription = self.registry.join(line, event_id, Subscribe(topic_of(event_id), **asked))
        self.registry.answer(subscription, floors or {})
        return subscription

    def tick(self) -> int:
        return sum(self.delivery.tick())


def told(line: MemoryLine) -> list[Any]:
    return [json.loads(text) for text in line.texts]


def singles(line: MemoryLine) -> Sent:
    return [(each["deviceId"], (each["ts"] - AT_MS) // 1000) for each in told(line)]


def batches(line: MemoryLine) -> list[Sent]:
    return [
        [(fix["deviceId"], (fix["ts"] - AT_MS) // 1000) for fix in each["positions"]]
        for each in told(line)
    ]


# -- the map -----------------------------------------------------------------------------------


def test_a_device_belongs_to_an_event_from_the_first_instant_and_before_the_last() -> None:
    devices = DeviceMap({"1": [Assignment(A, AT, AT + timedelta(seconds=5))]})
    assert [list(devices.events_of(fix(seconds))) for seconds in (-1, 0, 4, 5)] == [
        [],
        [A],
        [A],
        [],
    ]
    assert devices.devices_of(A) == ["1"]
    assert devices.devices_of(B) == ()


def test_assignments_that_overlap_are_one_event_and_one_device() -> None:
    devices = DeviceMap({"1": [Assignment(A), Assignment(A, AT), Assignment(B)]})
    assert devices.events_of(fix(1)) == [A, B]
    assert devices.devices_of(A) == ["1"]
    assert (len(devices), devices.events) == (1, 2)


# -- one by one --------------------------------------------------------------------------------


def test_a_fix_goes_to_whoever_watches_one_of_its_events() -> None:
    scene, of_a, of_b, of_both = Scene(), MemoryLine(), MemoryLine(), MemoryLine()
    scene.watched(of_a)
    scene.watched(of_b, event_id=B)
    scene.watched(of_both)
    scene.watched(of_both, event_id=B)
    assert scene.delivery.deliver(fix(1), 0) == 2
    assert scene.delivery.deliver(fix(2, "2"), 0) == 4
    assert singles(of_a) == [("1", 1), ("2", 2)]
    assert singles(of_b) == [("2", 2)]
    assert [each["topic"] for each in told(of_both)] == [topic_of(A), topic_of(A), topic_of(B)]


def test_a_device_in_no_event_is_an_orphan_and_an_event_that_nobody_watches_is_not() -> None:
    scene = Scene()
    assert scene.delivery.deliver(fix(1, "3"), 0) is None
    assert scene.delivery.deliver(fix(1), 0) == 0


def test_a_fix_outside_of_its_interval_is_an_orphan() -> None:
    scene, line = Scene(), MemoryLine()
    scene.watched(line)
    scene.delivery.swap(DeviceMap({"1": [Assignment(A, None, AT)]}), lambda _: None)
    assert scene.delivery.deliver(fix(1), 0) is None
    assert told(line) == []


def test_attributes_go_only_to_those_who_asked_for_them() -> None:
    scene, plain, full = Scene(), MemoryLine(), MemoryLine()
    scene.watched(plain)
    scene.watched(full, attributes=True)
    scene.delivery.deliver(fix(1), 0)
    assert ["attributes" in each for each in told(plain) + told(full)] == [False, True]


def test_a_slow_line_has_the_newest_of_each_device_in_the_order_of_the_newest() -> None:
    scene, line = Scene(), MemoryLine()
    scene.watched(line)
    line.clear = False
    for each in (fix(1), fix(2, "2"), fix(3)):
        scene.delivery.deliver(each, 0)
    line.clear = True
    assert singles(line) == [("2", 2), ("1", 3)]


def test_panic_is_neither_replaced_nor_overtaken_by_what_follows() -> None:
    scene, line = Scene(), MemoryLine()
    scene.watched(line)
    line.clear = False
    for each in (fix(1), panic(2), fix(3), fix(4)):
        scene.delivery.deliver(each, 0)
    line.clear = True
    assert singles(line) == [("1", 2), ("1", 4)]


def test_panic_gives_way_to_newer_panic_of_the_device() -> None:
    scene, line = Scene(), MemoryLine()
    scene.watched(line)
    line.clear = False
    for each in (panic(1), panic(2, "2"), panic(3)):
        scene.delivery.deliver(each, 0)
    line.clear = True
    assert singles(line) == [("2", 2), ("1", 3)]


def test_a_slow_line_keeps_the_events_of_a_device_apart() -> None:
    scene, line = Scene(), MemoryLine()
    scene.watched(line)
    scene.watched(line, event_id=B)
    line.clear = False
    scene.delivery.deliver(fix(1, "2"), 0)
    line.clear = True
    assert [each["topic"] for each in told(line)] == [topic_of(A), topic_of(B)]


# -- in batches --------------------------------------------------------------------------------


def test_a_tick_sends_the_newest_of_each_device_that_moved_since_the_last_one() -> None:
    scene, line = Scene(), MemoryLine()
    scene.watched(line, frames="batch")
    for each in (fix(1), fix(2, "2"), fix(3)):
        scene.delivery.deliver(each, 0)
    assert told(line) == []
    assert scene.tick() == 1
    assert scene.tick() == 0, "nothing moved"
    scene.delivery.deliver(fix(4), 0)
    scene.tick()
    assert batches(line) == [[("2", 2), ("1", 3)], [("1", 4)]]


def test_a_batch_has_panic_beside_the_newest_and_a_devices_fixes_in_their_order() -> None:
    scene, line = Scene(), MemoryLine()
    scene.watched(line, frames="batch")
    for each in (fix(1), panic(2), fix(3), panic(4), fix(5)):
        scene.delivery.deliver(each, 0)
    scene.tick()
    assert batches(line) == [[("1", 4), ("1", 5)]]


def test_batches_are_made_with_and_without_attributes() -> None:
    scene, plain, full = Scene(), MemoryLine(), MemoryLine()
    scene.watched(plain, frames="batch")
    scene.watched(full, frames="batch", attributes=True)
    scene.delivery.deliver(fix(1), 0)
    assert scene.tick() == 2
    frames = told(plain) + told(full)
    assert ["attributes" in each["positions"][0] for each in frames] == [False, True]


def test_a_slow_line_is_owed_its_batch_until_it_has_room_and_the_others_are_not() -> None:
    scene, slow, quick = Scene(), MemoryLine(), MemoryLine()
    scene.watched(slow, frames="batch")
    scene.watched(quick, frames="batch")
    slow.clear = False
    for each in (fix(1), panic(2), fix(3, "2")):
        scene.delivery.deliver(each, 0)
    assert scene.tick() == 1
    scene.delivery.deliver(fix(4), 0)
    assert scene.tick() == 1
    slow.clear = True
    assert told(slow) == [], "nothing was put into its queue"
    assert scene.tick() == 1
    assert batches(slow) == [[("1", 2), ("2", 3), ("1", 4)]]
    assert batches(quick) == [[("1", 1), ("1", 2), ("2", 3)], [("1", 4)]]
    scene.delivery.deliver(fix(5), 0)
    scene.tick()
    assert batches(slow)[1:] == [[("1", 5)]]


def test_whoever_joins_between_two_ticks_is_not_sent_again_what_the_snapshot_had() -> None:
    scene, early, late = Scene(), MemoryLine(), MemoryLine()
    scene.watched(early, frames="batch")
    scene.delivery.deliver(fix(1), 0)
    scene.delivery.deliver(fix(2, "2"), 0)
    scene.watched(late, {"1": AT_MS + 1000, "2": AT_MS + 2000}, frames="batch")
    scene.delivery.deliver(fix(3), 0)
    scene.tick()
    assert batches(early) == [[("2", 2), ("1", 3)]]
    assert batches(late) == [[("1", 3)]]
    scene.delivery.deliver(fix(4, "2"), 0)
    scene.tick()
    assert batches(late)[1:] == [[("2", 4)]]


def test_a_batch_keeps_back_what_the_database_had_before_the_stream() -> None:
    scene, line = Scene(), MemoryLine()
    subscription = scene.watched(line, {"1": AT_MS + 3000}, frames="batch")
    for seconds in (2, 3, 4):
        scene.delivery.deliver(fix(seconds), 0)
        scene.tick()
    assert batches(line) == [[("1", 4)]]
    assert subscription.floors == {}


def test_a_floor_of_a_parked_device_makes_nobody_a_batch_of_his_own() -> None:
    scene, parked, other = Scene(), MemoryLine(), MemoryLine()
    scene.watched(parked, {"2": AT_MS + 9000}, frames="batch")
    scene.watched(other, frames="batch")
    scene.delivery.deliver(fix(1), 0)
    scene.tick()
    assert parked.texts[0] is other.texts[0], "one text, made once"


def test_what_is_owed_goes_with_its_subscription() -> None:
    scene, line = Scene(), MemoryLine()
    scene.watched(line, frames="batch")
    line.clear = False
    scene.delivery.deliver(fix(1), 0)
    scene.tick()
    scene.watched(line, frames="batch")  # asked anew: the snapshot has it
    line.clear = True
    assert scene.tick() == 0


def test_a_tick_can_be_interrupted_by_whoever_leaves() -> None:
    scene, first, second = Scene(), MemoryLine(), MemoryLine()
    scene.watched(first, frames="batch")
    scene.watched(second, event_id=B, frames="batch")
    scene.delivery.deliver(fix(1, "2"), 0)
    ticking = scene.delivery.tick()
    assert next(ticking) == 1
    scene.registry.hang_up(first)
    scene.registry.hang_up(second)
    assert sum(ticking) == 0
    assert [len(told(first)), len(told(second))] == [1, 0]


# -- the first map, and turns for others -------------------------------------------------------


def test_who_subscribed_before_the_first_map_is_sent_what_had_come_and_nothing_twice() -> None:
    registry = Registry()
    delivery = Delivery(registry, MemoryBroadcaster())
    late, shown = MemoryLine(), MemoryLine()
    for line, floors in ((late, {}), (shown, {"1": AT_MS + 5_000})):
        wish = registry.join(line, A, Subscribe(topic_of(A)))
        registry.answer(wish, floors)
    known = {"1": fix(5), "2": fix(3, "2")}
    devices = DeviceMap({"1": [Assignment(A)], "2": [Assignment(B)]})
    for _ in range(2):
        delivery.swap(devices, known.get)
    assert singles(late) == [("1", 5)]
    assert singles(shown) == [], "its snapshot had it from the database"
    delivery.deliver(fix(6), 0)
    assert singles(shown) == [("1", 6)]


def test_a_tick_gives_others_a_turn_and_who_asked_anew_meanwhile_gets_nothing_twice() -> None:
    scene = Scene()
    lines = [MemoryLine() for _ in range(2 * LINES_AT_ONCE + 1)]
    for line in lines:
        line.clear = False
        scene.watched(line, frames="batch")
    scene.delivery.deliver(fix(1), 0)
    ticking = scene.delivery.tick()
    assert next(ticking) == 0, "all are slow, and owed"
    scene.registry.leave(lines[-1], A)
    scene.watched(lines[-2], frames="batch")  # with a snapshot that has it
    assert list(ticking) == [0, 0]
    for line in lines:
        line.clear = True
    scene.tick()
    assert [len(line.texts) for line in lines[-3:]] == [1, 0, 0]


def test_what_gives_way_in_a_slow_batch_is_counted_and_when_the_fixes_came_is_told() -> None:
    scene, line = Scene(), MemoryLine()
    scene.watched(line, frames="batch")
    line.clear = False
    for seconds in (1, 2, 3):
        scene.delivery.deliver(fix(seconds), 1_000 + seconds)
        scene.tick()
    assert scene.delivery.batched() == ([1_001, 1_002, 1_003], 2)
    assert scene.delivery.batched() == ([], 0)
