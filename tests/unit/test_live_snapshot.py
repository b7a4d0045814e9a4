"""What a subscriber is shown first: the newer of what is stored and what live has read."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from processor.adapters.memory.lines import MemoryBroadcaster, MemoryLine
from processor.core.live.delivery import Delivery, DeviceMap
from processor.core.live.messages import Fix, Subscribe, Subscribed, topic_of
from processor.core.live.newest import NewestFixes
from processor.core.live.registry import Registry
from processor.core.live.snapshot import SnapshotMaker, Stored
from processor.core.model import Position
from processor.core.ports import Assignment, Snapshot

EVENT, OTHER = "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "00000000-0000-4000-8000-000000000000"
AT = datetime(2026, 6, 7, 8, tzinfo=UTC)
AT_MS = 1_780_819_200_000
NOW_MS = AT_MS + 60_000


def fix(seconds: float, device_id: str = "1", **values: Any) -> Position:
    at = AT + timedelta(seconds=seconds)
    usual = Position(device_id, at, 41.5, 19.25, 3.0, 271.0, 63.5, 9, 0, "8E", b'{"239":1}')
    return msgspec.structs.replace(usual, **values)


class Scene:
    """Devices 1 and 2 drive in the event."""

    def __init__(self) -> None:
        self.newest = NewestFixes(10, 60_000)
        self.registry = Registry()
        self.delivery = Delivery(self.registry, MemoryBroadcaster())
        self.delivery.swap(
            DeviceMap({"1": [Assignment(EVENT)], "2": [Assignment(EVENT)]}), lambda _: None
        )
        self.maker = SnapshotMaker(self.newest, self.delivery)

    def read(self, *fixes: Position) -> None:
        """From the stream."""
        for each in fixes:
            self.newest.learn(each, NOW_MS)
            self.delivery.deliver(each, 0)

    def made(
        self, stored: Stored | Sequence[Position], **asked: Any
    ) -> tuple[Subscribed, dict[str, int]]:
        if not isinstance(stored, Stored):
            stored = Stored(Snapshot(stored))
        command = Subscribe(topic_of(EVENT), **asked)
        subscription = self.registry.join(MemoryLine(), EVENT, command)
        return self.maker.made(subscription, stored, NOW_MS)


def seconds(fixes: Sequence[Fix]) -> dict[str, float]:
    return {each.device_id: (each.ts - AT_MS) / 1000 for each in fixes}


def test_each_device_is_shown_where_it_was_last_be_that_stored_or_read() -> None:
    scene = Scene()
    scene.read(fix(5), fix(3, "2"))
    answer, _ = scene.made([fix(4), fix(9, "2")], id="7")
    assert seconds(answer.snapshot) == {"1": 5, "2": 9}
    assert (answer.topic, answer.id, answer.server_time) == (topic_of(EVENT), "7", NOW_MS)
    assert answer.trails is msgspec.UNSET


def test_what_only_one_of_the_two_knows_is_shown() -> None:
    scene = Scene()
    scene.read(fix(5))
    answer, _ = scene.made([fix(4, "2")])
    assert seconds(answer.snapshot) == {"1": 5, "2": 4}


def test_where_the_database_said_nothing_live_shows_what_it_knows() -> None:
    scene = Scene()
    scene.read(fix(5))
    answer, floors = scene.made(Stored(fault="no answer in time"))
    assert seconds(answer.snapshot) == {"1": 5}
    assert floors == {}


def test_attributes_are_shown_only_where_they_were_asked_for() -> None:
    scene = Scene()
    scene.read(fix(5))
    shown = [scene.made([], attributes=asked)[0].snapshot[0].attributes for asked in (True, False)]
    assert shown == [msgspec.Raw(b'{"239":1}'), msgspec.UNSET]


def test_a_floor_lies_where_the_database_is_ahead_of_the_stream_and_only_there() -> None:
    scene = Scene()
    scene.read(fix(5), fix(3, "2"))
    _, floors = scene.made([fix(5), fix(9, "2")])
    assert floors == {"2": AT_MS + 9000}
    _, floors = Scene().made([fix(4)])
    assert floors == {"1": AT_MS + 4000}, "the stream may still bring it, or what is older"


def test_a_batch_is_not_sent_again_what_moved_before_it_was_answered() -> None:
    scene = Scene()
    scene.registry.answer(
        scene.registry.join(MemoryLine(), EVENT, Subscribe(topic_of(EVENT), frames="batch")), {}
    )
    scene.read(fix(5))
    assert scene.made([fix(4)], frames="batch")[1] == {"1": AT_MS + 5000}
    assert scene.made([fix(4)], frames="single")[1] == {}
    assert scene.made([fix(4)], frames="batch", attributes=True)[1] == {}, "nobody gets that text"
    list(scene.delivery.tick())
    assert scene.made([fix(4)], frames="batch")[1] == {}


def test_a_fix_outside_of_its_interval_is_neither_shown_nor_asked_about() -> None:
    scene = Scene()
    scene.delivery.swap(
        DeviceMap(
            {"1": [Assignment(EVENT, None, AT), Assignment(OTHER, AT)], "2": [Assignment(OTHER)]}
        ),
        lambda _: None,
    )
    scene.read(fix(5), fix(5, "2"))
    assert scene.maker.held(EVENT) == []
    assert seconds(scene.made([fix(-1)])[0].snapshot) == {"1": -1}


def test_the_database_is_asked_about_the_fixes_that_live_would_show() -> None:
    scene = Scene()
    scene.read(fix(4), fix(5), fix(3, "2"), fix(9, "nobody's"))
    assert sorted(scene.maker.held(EVENT)) == [fix(5).key, fix(3, "2").key]


def test_a_faulty_fix_is_not_shown_and_the_last_good_one_is() -> None:
    scene = Scene()
    scene.read(fix(5), fix(5, "2"))
    faulty = frozenset({fix(5).key, fix(5, "2").key})
    answer, floors = scene.made(Stored(Snapshot([fix(4)], faulty)))
    assert seconds(answer.snapshot) == {"1": 4}
    assert floors == {}, "the stream has gone beyond it"
    assert scene.maker.held(EVENT) == [], "it is known for good"
    assert seconds(scene.made([fix(4)])[0].snapshot) == {"1": 4}


def test_a_fix_that_was_read_while_the_database_was_asked_outlives_a_faulty_one() -> None:
    scene = Scene()
    scene.read(fix(5))
    held = scene.maker.held(EVENT)
    scene.read(fix(6))
    answer, _ = scene.made(Stored(Snapshot([fix(4)], frozenset(held))))
    assert seconds(answer.snapshot) == {"1": 6}


# -- trails ------------------------------------------------------------------------------------


def trail(answer: Subscribed, device_id: str = "1") -> list[float]:
    assert answer.trails is not msgspec.UNSET
    return [(each.ts - AT_MS) / 1000 for each in answer.trails[device_id]]


def test_a_trail_ends_where_the_snapshot_shows_the_device() -> None:
    scene = Scene()
    scene.read(fix(5), fix(3, "2"))
    past = {"1": [fix(2), fix(3), fix(4)], "2": [fix(3, "2"), fix(4, "2")]}
    answer, _ = scene.made(Stored(Snapshot([fix(4), fix(4, "2")]), past), history=10)
    assert trail(answer) == [2, 3, 4, 5]
    assert trail(answer, "2") == [3, 4]


def test_a_trail_has_as_many_fixes_as_were_asked_for_at_most() -> None:
    scene = Scene()
    scene.read(fix(5))
    stored = Stored(Snapshot([fix(4)]), {"1": [fix(3), fix(4)]})
    assert trail(scene.made(stored, history=2)[0]) == [4, 5]
    assert trail(scene.made(stored, history=1)[0]) == [5]


def test_without_trails_from_the_database_a_trail_is_the_newest_fix() -> None:
    scene = Scene()
    scene.read(fix(5))
    answer, _ = scene.made(Stored(fault="away"), history=10)
    assert trail(answer) == [5]


def test_a_trail_has_attributes_where_they_were_asked_for() -> None:
    stored = Stored(Snapshot([fix(4)]), {"1": [fix(3), fix(4)]})
    answer, _ = Scene().made(stored, history=2, attributes=True)
    assert answer.trails is not msgspec.UNSET
    bags = [bytes(each.attributes) for each in answer.trails["1"] if each.attributes]
    assert bags == [b'{"239":1}'] * 2


@pytest.mark.parametrize(
    ("devices", "wanted", "count"), [(50, 200, 200), (100, 200, 100), (100, 7, 7), (11_000, 2, 1)]
)
def test_all_trails_together_have_ten_thousand_fixes_at_most_or_one_for_each_device(
    devices: int, wanted: int, count: int
) -> None:
    scene = Scene()
    names = [str(n) for n in range(devices)]
    past = {name: [fix(n, name) for n in range(wanted)] for name in names}
    stored = Stored(Snapshot([fix(wanted - 1, name) for name in names]), past)
    answer, _ = scene.made(stored, history=wanted)
    assert {len(trail(answer, name)) for name in names} == {count}
    scene.delivery.swap(DeviceMap({name: [Assignment(EVENT)] for name in names}), lambda _: None)
    asked = Subscribe(topic_of(EVENT), history=wanted)
    assert scene.maker.trail_count(EVENT, asked) == count, "more is not asked for"
