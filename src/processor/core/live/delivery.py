"""From a fix to the lines that want it.

The text of a fix is made once for a topic, whoever watches; the same bytes go to every line. A line
that has no room keeps the newest of each device (outbox.py); one that wants batches is owed them
until it has room.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

from processor.core.live.messages import epoch_ms, fix_text, position_text, positions_text
from processor.core.live.registry import (
    Moved,
    Registry,
    Subscription,
    Topic,
    note,
    owe,
)
from processor.core.model import PANIC, Position
from processor.core.ports import Assignment, Broadcaster, Line

WITHOUT, WITH = 0, 1
"""Attributes: the two texts that a fix may have."""

LINES_AT_ONCE = 250
"""Lines that get a batch before everybody else has a turn: some milliseconds, even if all of them
are slow and owed five hundred devices."""


class DeviceMap:
    """Which device drives in which event: looked up by device for each fix, by event for a
    snapshot. Made anew at every refresh and swapped whole."""

    def __init__(self, assignments: Mapping[str, Sequence[Assignment]]) -> None:
        self._by_device = assignments
        self._by_event: dict[str, list[str]] = defaultdict(list)
        for device_id, each in assignments.items():
            for event_id in dict.fromkeys(one.event_id for one in each):
                self._by_event[event_id].append(device_id)

    def __len__(self) -> int:
        return len(self._by_device)

    @property
    def events(self) -> int:
        return len(self._by_event)

    def events_of(self, position: Position) -> Sequence[str]:
        """The events in which the device was driving at the instant of the fix."""
        assignments = self._by_device.get(position.device_id)
        if not assignments:
            return ()
        held = [each.event_id for each in assignments if each.holds(position.fixed_at)]
        return held if len(held) < 2 else list(dict.fromkeys(held))

    def devices_of(self, event_id: str) -> Sequence[str]:
        """All that drive in the event at any time."""
        return self._by_event.get(event_id, ())


class Delivery:
    """`mapped` once there was a map of devices."""

    def __init__(self, registry: Registry, broadcaster: Broadcaster) -> None:
        self._registry = registry
        self._broadcaster = broadcaster
        self._batched_ms: list[int] = []
        self._conflated = 0
        self.devices = DeviceMap({})
        self.mapped = False

    def swap(self, devices: DeviceMap, newest: Callable[[str], Position | None]) -> None:
        """A new map. With the first one, whoever subscribed before it is sent what had come: of
        each device the `newest`, unless it was in the snapshot."""
        self.devices = devices
        if not self.mapped:
            self.mapped = True
            for topic in self._registry:
                for position in map(newest, devices.devices_of(topic.event_id)):
                    if position and topic.event_id in devices.events_of(position):
                        self._send(topic, position)

    def deliver(self, position: Position, received_ms: int) -> int | None:
        """Send a fix, the newest of its device, to whoever watches one of its events: to how many
        lines. What goes in batches counts at the tick. None: the device drives in no event.
        `received_ms` is when the stream took it."""
        event_ids = self.devices.events_of(position)
        if not event_ids:
            return None
        frames = 0
        for topic in map(self._registry.get, event_ids):
            if topic is not None:
                frames += self._send(topic, position)
                if topic.batch[WITHOUT] or topic.batch[WITH]:
                    self._batched_ms.append(received_ms)
        return frames

    def _send(self, topic: Topic, position: Position) -> int:
        device_id, ts = position.device_id, epoch_ms(position.fixed_at)
        panic = position.priority == PANIC
        frames = 0
        for attributes in (WITHOUT, WITH):
            single, batch = topic.single[attributes], topic.batch[attributes]
            if not single and not batch:
                continue
            fix = fix_text(position, attributes=attributes == WITH)
            if single:
                lines = topic.takers(single, device_id, ts)
                text = position_text(topic.event_id, fix)
                self._broadcaster.broadcast(text, lines, (topic.event_id, device_id, panic))
                frames += len(lines)
            if batch:
                note(topic.moved[attributes], device_id, panic=panic, piece=(ts, fix))
        return frames

    def tick(self) -> Iterator[int]:
        """Send each batch subscription what moved since the last tick: frames, some lines at a
        time, so that whoever calls may rest in between."""
        for topic in self._registry:
            for attributes in (WITHOUT, WITH):
                moved, topic.moved[attributes] = topic.moved[attributes], {}
                yield from self._send_moved(topic, moved, topic.batch[attributes])

    def batched(self) -> tuple[Sequence[int], int]:
        """When the stream had taken the fixes of the last tick, and how many of what was owed to
        slow lines gave way to them."""
        told = self._batched_ms, self._conflated
        self._batched_ms, self._conflated = [], 0
        return told

    def _send_moved(
        self, topic: Topic, moved: Moved, audience: Mapping[Line, Subscription]
    ) -> Iterator[int]:
        text = positions_text(topic.event_id, [fix for _, fix in moved.values()])
        held_back = topic.held_back(device_id for device_id, _ in moved)
        subscriptions = list(audience.values())
        for start in range(0, len(subscriptions), LINES_AT_ONCE):
            even = []
            frames = 0
            for each in subscriptions[start : start + LINES_AT_ONCE]:
                if audience.get(each.line) is not each:
                    continue  # it left, or asked anew, while others had their turn
                if each.owed or each in held_back or not each.line.clear:
                    frames += self._catch_up(topic, moved, each, held_back)
                elif moved:
                    even.append(each.line)
            self._broadcaster.broadcast(text, even)
            yield frames + len(even)
        topic.forget_floors(device_id for device_id, _ in moved)

    def _catch_up(
        self, topic: Topic, moved: Moved, late: Subscription, held_back: Set[Subscription]
    ) -> int:
        """One that cannot have what all others get: it is owed, and sent when there is room."""
        if late in held_back:
            moved = {key: piece for key, piece in moved.items() if late.passes(key[0], piece[0])}
        self._conflated += owe(late.owed, moved)
        if not late.owed or not late.line.clear:
            return 0
        text = positions_text(topic.event_id, [fix for _, fix in late.owed.values()])
        late.owed = {}
        self._broadcaster.broadcast(text, [late.line])
        return 1
