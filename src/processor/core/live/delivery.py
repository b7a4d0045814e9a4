"""From a fix to the lines that want it.

The text of a fix is made once for a topic, whoever watches; the same bytes go to every line. A line
that has no room keeps the newest of each device (outbox.py); one that wants batches is owed them
until it has room.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from processor.core.live.messages import epoch_ms, fix_text, position_text, positions_text
from processor.core.live.registry import Moved, Registry, Subscription, Topic, note
from processor.core.model import PANIC, Position
from processor.core.ports import Assignment, Broadcaster, Line

WITHOUT, WITH = 0, 1
"""Attributes: the two texts that a fix may have."""


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
    """`devices` may be swapped at any time."""

    def __init__(self, registry: Registry, broadcaster: Broadcaster) -> None:
        self._registry = registry
        self._broadcaster = broadcaster
        self.devices = DeviceMap({})

    def deliver(self, position: Position) -> int | None:
        """Send a fix, the newest of its device, to whoever watches one of its events: to how many
        lines. What goes in batches counts at the tick. None: the device drives in no event."""
        event_ids = self.devices.events_of(position)
        if not event_ids:
            return None
        topics = map(self._registry.get, event_ids)
        return sum(self._send(topic, position) for topic in topics if topic is not None)

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
        """Send each batch subscription what moved since the last tick: frames, topic by topic, so
        that whoever calls may rest in between."""
        for topic in self._registry:
            for attributes in (WITHOUT, WITH):
                audience, moved = topic.batch[attributes], topic.moved[attributes]
                topic.moved[attributes] = {}
                held_back = topic.held_back(device_id for device_id, _ in moved)
                behind = [
                    each
                    for each in audience.values()
                    if each.owed or each in held_back or not each.line.clear
                ]
                if moved or behind:
                    yield self._send_moved(topic, moved, audience, behind)

    def _send_moved(
        self,
        topic: Topic,
        moved: Moved,
        audience: Mapping[Line, Subscription],
        behind: Sequence[Subscription],
    ) -> int:
        frames = 0
        if moved and len(behind) < len(audience):
            text = positions_text(topic.event_id, [fix for _, fix in moved.values()])
            late = set(behind)
            even = [each.line for each in audience.values() if each not in late]
            self._broadcaster.broadcast(text, even)
            frames += len(even)
        for each in behind:
            for (device_id, panic), piece in moved.items():
                if each.passes(device_id, piece[0]):
                    note(each.owed, device_id, panic=panic, piece=piece)
            if each.owed and each.line.clear:
                text = positions_text(topic.event_id, [fix for _, fix in each.owed.values()])
                each.owed = {}
                self._broadcaster.broadcast(text, [each.line])
                frames += 1
        topic.forget_floors(device_id for device_id, _ in moved)
        return frames
