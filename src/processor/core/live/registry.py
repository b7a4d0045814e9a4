"""Who is subscribed to what, and what each of them must not be sent again.

A subscription is *joined* before the database is asked for its snapshot and *answered* when the
snapshot is sent: in between nothing is sent to it and nothing is missed, because the snapshot is
put together with what was read from the stream meanwhile (newest.py).

The database may be ahead of the stream: then the snapshot holds fixes that the stream will bring
later. `floors` are their instants, per device; what is not newer stays away from this subscription
alone. A floor falls when the stream has reached it. Those of devices that are parked stay, and cost
nothing: who has floors is looked up by the device that moved.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from attrs import define, field

from processor.core.live.messages import Subscribe
from processor.core.ports import Line

Piece = tuple[int, bytes]
"""A fix as text, and its instant in milliseconds since the epoch."""

Moved = dict[tuple[str, bool], Piece]
"""By (device, is it panic?): the newest of each, in the order of their last move. Panic has a place
of its own, so that an ordinary fix never takes it."""


def note(moved: Moved, device_id: str, *, panic: bool, piece: Piece) -> None:
    """The newest comes last, so that a device's fixes leave in their order."""
    moved.pop((device_id, panic), None)
    moved[device_id, panic] = piece


def owe(owed: Moved, moved: Moved) -> int:
    """Add to what is owed; how much of it gave way to something newer. For many slow lines at
    once, and so without a step for each device."""
    replaced = owed.keys() & moved.keys()
    for key in replaced:
        del owed[key]
    owed.update(moved)
    return len(replaced)


@define(eq=False)
class Subscription:
    """One line's wish for one topic. `owed` is what a batch subscription could not be sent yet."""

    line: Line
    topic: "Topic"
    asked: Subscribe
    floors: dict[str, int] = field(factory=dict)
    owed: Moved = field(factory=dict)

    def passes(self, device_id: str, ts: int) -> bool:
        """Is this newer than what the snapshot said of the device?"""
        floor = self.floors.get(device_id)
        if floor is None:
            return True
        if ts >= floor:  # the stream has come as far as the snapshot
            del self.floors[device_id]
        return ts > floor


@define(eq=False)
class Topic:
    """An event that somebody watches. `single` and `batch` hold the answered subscriptions, apart
    by whether they want attributes, for those get another text; `moved` is what moved since the
    last tick, for whom a batch is made; `floored` are the subscriptions with a floor, by device."""

    event_id: str
    joined: dict[Line, Subscription] = field(factory=dict)
    single: list[dict[Line, Subscription]] = field(factory=lambda: [{}, {}])
    batch: list[dict[Line, Subscription]] = field(factory=lambda: [{}, {}])
    moved: list[Moved] = field(factory=lambda: [{}, {}])
    floored: dict[str, set[Subscription]] = field(factory=dict)

    def audience(self, subscription: Subscription) -> dict[Line, Subscription]:
        """Where this subscription stands once it is answered."""
        kind = self.batch if subscription.asked.frames == "batch" else self.single
        return kind[subscription.asked.attributes]

    def takers(
        self, subscriptions: Mapping[Line, Subscription], device_id: str, ts: int
    ) -> Collection[Line]:
        """The lines among `subscriptions` to which this fix is news."""
        if device_id not in self.floored:
            return subscriptions
        lines = [line for line, each in subscriptions.items() if each.passes(device_id, ts)]
        self.forget_floors([device_id])
        return lines

    def held_back(self, device_ids: Iterable[str]) -> set[Subscription]:
        """The subscriptions to which a fix of one of these devices may be no news."""
        return set().union(*(self.floored.get(device_id, ()) for device_id in device_ids))

    def forget_floors(self, device_ids: Iterable[str]) -> None:
        """Of these devices those that have fallen."""
        for device_id in device_ids:
            if device_id in self.floored:
                left = {each for each in self.floored[device_id] if device_id in each.floors}
                if left:
                    self.floored[device_id] = left
                else:
                    del self.floored[device_id]


class Registry:
    """All subscriptions of this instance, by event and by line."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}
        self._lines: dict[Line, dict[str, Subscription]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Topic]:
        return iter(list(self._topics.values()))

    def get(self, event_id: str) -> Topic | None:
        """The topic, if anybody watches it."""
        return self._topics.get(event_id)

    def of(self, line: Line) -> list[Subscription]:
        return list(self._lines.get(line, {}).values())

    def join(self, line: Line, event_id: str, asked: Subscribe) -> Subscription:
        """A subscription that is not answered yet; it takes the place of an older one."""
        self.leave(line, event_id)
        topic = self._topics.setdefault(event_id, Topic(event_id))
        subscription = Subscription(line, topic, asked)
        topic.joined[line] = subscription
        self._lines.setdefault(line, {})[event_id] = subscription
        self._count += 1
        return subscription

    def is_joined(self, subscription: Subscription) -> bool:
        """Is it still wanted, or did the line leave, or ask anew, meanwhile?"""
        return subscription.topic.joined.get(subscription.line) is subscription

    def answer(self, subscription: Subscription, shown: Mapping[str, int]) -> None:
        """From now on it is sent what moves. `shown` are the instants in its snapshot which the
        stream has not reached; of a batch subscription also those that the next tick repeats."""
        topic = subscription.topic
        subscription.floors = dict(shown)
        for device_id in shown:
            topic.floored.setdefault(device_id, set()).add(subscription)
        topic.audience(subscription)[subscription.line] = subscription

    def leave(self, line: Line, event_id: str) -> bool:
        """Was it subscribed?"""
        subscription = self._lines.get(line, {}).pop(event_id, None)
        if subscription is None:
            return False
        self._count -= 1
        topic = subscription.topic
        del topic.joined[line]
        topic.audience(subscription).pop(line, None)
        device_ids, subscription.floors = subscription.floors.keys(), {}
        topic.forget_floors(device_ids)
        if not topic.joined:
            del self._topics[event_id]
        return True

    def hang_up(self, line: Line) -> None:
        """The line is gone, and all that it wanted."""
        for event_id in list(self._lines.get(line, ())):
            self.leave(line, event_id)
        self._lines.pop(line, None)
