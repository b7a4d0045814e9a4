"""Who is subscribed to what, and the floors under which nothing is sent."""

from processor.adapters.memory.lines import MemoryLine
from processor.core.live.messages import Subscribe, topic_of
from processor.core.live.registry import Registry, Subscription, Topic

EVENT, OTHER = "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "00000000-0000-4000-8000-000000000000"


class Scene:
    def __init__(self) -> None:
        self.registry = Registry()
        self.line = MemoryLine()

    def joined(
        self, line: MemoryLine | None = None, event_id: str = EVENT, **asked: object
    ) -> Subscription:
        command = Subscribe(topic_of(event_id), **asked)  # type: ignore[arg-type]
        return self.registry.join(line or self.line, event_id, command)

    def answered(
        self,
        line: MemoryLine | None = None,
        floors: dict[str, int] | None = None,
        **asked: object,
    ) -> Subscription:
        subscription = self.joined(line, **asked)
        self.registry.answer(subscription, floors or {})
        return subscription

    @property
    def topic(self) -> Topic:
        topic = self.registry.get(EVENT)
        assert topic is not None
        return topic

    def takers(self, device_id: str, ts: int) -> list[object]:
        return list(self.topic.takers(self.topic.single[0], device_id, ts))


def test_a_subscription_is_sent_nothing_before_it_is_answered() -> None:
    scene = Scene()
    subscription = scene.joined()
    assert scene.registry.is_joined(subscription)
    assert scene.takers("1", 5) == []
    scene.registry.answer(subscription, {})
    assert scene.takers("1", 5) == [scene.line]


def test_audiences_are_apart_by_frames_and_attributes() -> None:
    scene = Scene()
    kinds = [
        scene.answered(MemoryLine(), frames=frames, attributes=attributes)
        for frames in ("single", "batch")
        for attributes in (False, True)
    ]
    audiences = [*scene.topic.single, *scene.topic.batch]
    assert [list(each.values()) for each in audiences] == [[kind] for kind in kinds]


def test_whoever_subscribes_anew_has_one_subscription_the_new_one() -> None:
    scene = Scene()
    old = scene.answered(floors={"1": 5})
    new = scene.joined(frames="batch")
    assert not scene.registry.is_joined(old)
    assert scene.registry.is_joined(new)
    assert len(scene.registry) == 1
    assert scene.takers("1", 9) == [], "until the new one is answered, nothing is sent"
    scene.registry.answer(new, {})
    assert list(scene.topic.batch[0]) == [scene.line]
    assert scene.takers("1", 9) == []
    assert scene.registry.of(scene.line) == [new]


def test_leaving_ends_one_topic_and_hanging_up_all() -> None:
    scene = Scene()
    first, second = scene.answered(), scene.joined(event_id=OTHER)
    assert scene.registry.leave(scene.line, EVENT)
    assert not scene.registry.leave(scene.line, EVENT)
    assert not scene.registry.is_joined(first)
    assert scene.registry.get(EVENT) is None
    assert scene.registry.of(scene.line) == [second]
    scene.registry.hang_up(scene.line)
    scene.registry.hang_up(scene.line)
    assert len(scene.registry) == 0
    assert list(scene.registry) == []
    assert scene.registry.of(scene.line) == []


def test_a_topic_stays_as_long_as_anybody_watches_it() -> None:
    scene = Scene()
    other = MemoryLine()
    scene.answered()
    scene.joined(other)
    scene.registry.leave(scene.line, EVENT)
    assert scene.registry.get(EVENT) is not None
    scene.registry.leave(other, EVENT)
    assert scene.registry.get(EVENT) is None


def test_a_floor_keeps_from_its_line_what_the_snapshot_had_and_from_no_other() -> None:
    scene, other = Scene(), MemoryLine()
    scene.answered(floors={"1": 5})
    scene.answered(other)
    assert scene.takers("1", 4) == [other]
    assert scene.takers("2", 4) == [scene.line, other]
    assert scene.takers("1", 5) == [other]


def test_a_floor_falls_when_the_stream_has_reached_it_and_not_before() -> None:
    scene = Scene()
    subscription = scene.answered(floors={"1": 5, "2": 7})
    assert scene.takers("1", 4) == []
    assert subscription.floors == {"1": 5, "2": 7}
    assert scene.takers("1", 5) == []
    assert subscription.floors == {"2": 7}
    assert scene.takers("2", 8) == [scene.line], "and what is beyond it is sent"
    assert subscription.floors == {}
    assert scene.topic.floored == {}


def test_the_floors_of_parked_devices_are_in_nobodys_way() -> None:
    scene = Scene()
    subscription = scene.answered(floors={"parked": 5})
    assert scene.topic.held_back(["1", "2"]) == set()
    assert scene.topic.held_back(["1", "parked"]) == {subscription}
    assert scene.topic.takers(scene.topic.single[0], "1", 5) is scene.topic.single[0]


def test_whoever_leaves_takes_his_floors_with_him() -> None:
    scene, other = Scene(), MemoryLine()
    scene.answered(floors={"1": 5})
    stays = scene.answered(other, floors={"1": 6})
    scene.registry.leave(scene.line, EVENT)
    assert scene.topic.floored == {"1": {stays}}


def test_whoever_leaves_is_in_no_audience_and_hanging_up_leaves_nothing() -> None:
    scene, other = Scene(), MemoryLine()
    for frames in ("single", "batch"):
        scene.answered(frames=frames)
        scene.answered(other, frames=frames)
        scene.registry.leave(scene.line, EVENT)
        audience = getattr(scene.topic, frames)[0]
        assert list(audience) == [other]
    assert scene.topic.event_id == EVENT
    scene.registry.hang_up(scene.line)
    scene.registry.hang_up(other)
    assert scene.registry._lines == {}, "a line that is gone is kept by nobody"
