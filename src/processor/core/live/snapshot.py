"""What a subscriber is shown first: of each device the newer of what the database has and what live
has read from the stream, for either may be ahead of the other.

Pure, and in one breath: between `made` and the subscription's first frame nothing is awaited, so
that what is shown and what follows fit together without a gap.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import field, frozen

from processor.core.live.delivery import Delivery
from processor.core.live.messages import Fix, Subscribe, Subscribed, epoch_ms, fix_of
from processor.core.live.newest import NewestFixes
from processor.core.live.registry import Subscription
from processor.core.model import Position
from processor.core.ports import Snapshot

TRAIL_FIXES_MAX = 10_000
"""Fixes of all trails in one answer: a megabyte, and some ten milliseconds to put together. Fifty
devices have their whole trail, five hundred a tenth of it."""

TRAIL_FIXES_WITH_ATTRIBUTES_MAX = 2_000
"""A bag makes a fix six times as long."""


@frozen
class Stored:
    """What the database said. Where it said nothing, `fault` is why."""

    newest: Snapshot = field(factory=lambda: Snapshot(()))
    trails: Mapping[str, Sequence[Position]] | None = None
    fault: str | None = None


class SnapshotMaker:
    """Puts snapshots together from what is known and what is stored."""

    def __init__(self, newest: NewestFixes, delivery: Delivery) -> None:
        self._newest = newest
        self._delivery = delivery

    def held(self, event_id: str) -> list[tuple[str, datetime]]:
        """The fixes that live would show, for the database to say whether they are faulty."""
        return [(position.device_id, position.fixed_at) for position in self._known(event_id)]

    def trail_count(self, event_id: str, asked: Subscribe) -> int:
        """How many fixes of each device's trail to ask for."""
        return _trail_count(len(self._delivery.devices.devices_of(event_id)), asked)

    def made(
        self, subscription: Subscription, stored: Stored, now_ms: int
    ) -> tuple[Subscribed, dict[str, int]]:
        """The answer, and the instants in it below which nothing may follow (registry.py)."""
        asked, event_id = subscription.asked, subscription.topic.event_id
        fixes = self._merged(event_id, stored.newest)
        snapshot = [fix_of(each, attributes=asked.attributes) for each in fixes.values()]
        answer = Subscribed(asked.topic, snapshot, now_ms, asked.id)
        if asked.history:
            trails = _trails(fixes, stored.trails or {}, asked)
            answer = Subscribed(asked.topic, snapshot, now_ms, asked.id, trails)
        return answer, self._floors(subscription, fixes)

    def _known(self, event_id: str) -> list[Position]:
        """What live knows of the event's devices, where the fix is the event's."""
        devices = self._delivery.devices
        known = map(self._newest.get, devices.devices_of(event_id))
        return [each for each in known if each and event_id in devices.events_of(each)]

    def _merged(self, event_id: str, stored: Snapshot) -> dict[str, Position]:
        for device_id, fixed_at in stored.faulty:
            self._newest.disown(device_id, fixed_at)
        fixes = {position.device_id: position for position in stored.fixes}
        for position in self._known(event_id):
            found = fixes.get(position.device_id)
            if found is None or found.fixed_at < position.fixed_at:
                fixes[position.device_id] = position
        return fixes

    def _floors(self, subscription: Subscription, fixes: Mapping[str, Position]) -> dict[str, int]:
        floors = {}
        for device_id, position in fixes.items():
            known = self._newest.instant(device_id)
            # The stream is still to bring it; or the first map of devices will (delivery.py).
            if known is None or known < position.fixed_at or not self._delivery.mapped:
                floors[device_id] = epoch_ms(position.fixed_at)
        if subscription.asked.frames == "batch":  # the next batch would repeat it
            for device_id, _ in subscription.topic.moved[subscription.asked.attributes]:
                if device_id in fixes:
                    floors[device_id] = epoch_ms(fixes[device_id].fixed_at)
        return floors


def _trail_count(devices: int, asked: Subscribe) -> int:
    """How many fixes of each device's trail fit into an answer."""
    most = TRAIL_FIXES_WITH_ATTRIBUTES_MAX if asked.attributes else TRAIL_FIXES_MAX
    return min(asked.history, max(1, most // max(1, devices)))


def _trails(
    fixes: Mapping[str, Position], stored: Mapping[str, Sequence[Position]], asked: Subscribe
) -> dict[str, list[Fix]]:
    """Of each device what is stored before its newest fix, and that one."""
    count = _trail_count(len(fixes), asked)
    trails = {}
    for device_id, newest in fixes.items():
        before = [each for each in stored.get(device_id, ()) if each.fixed_at < newest.fixed_at]
        trail = [*before, newest][-count:]
        trails[device_id] = [fix_of(each, attributes=asked.attributes) for each in trail]
    return trails
