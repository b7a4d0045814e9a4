"""What live reads, in memory: the stream by a group of its own, and an event's devices and fixes.

The twins of adapters/redis/live_feed.py, adapters/postgres/topic_map.py and snapshots.py, judged by
the same suites.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice

import msgspec
from attrs import Factory, define, frozen

from processor.adapters.memory.positions import MemoryTable
from processor.adapters.memory.stream import FIRST, Key, MemoryStream, id_of, key_of
from processor.core.errors import Refused, Unavailable
from processor.core.model import Entry, Position
from processor.core.ports import Assignment, FeedStart, Snapshot

SEQUENCE_MAX = 2**64 - 1


class MemoryLiveFeed:
    """LiveFeed on a MemoryStream, by the group `{group_prefix}-{instance_id}`."""

    def __init__(
        self, stream: MemoryStream, *, group_prefix: str, instance_id: str, ingest_group: str
    ) -> None:
        self._stream = stream
        self._prefix = f"{group_prefix}-"
        self._group, self._consumer = self._prefix + instance_id, instance_id
        self._ingest_group = ingest_group

    async def open(self, after_id: str | None) -> FeedStart:
        await asyncio.sleep(0)
        after = self._surely_durable() if after_id is None else key_of(after_id)
        newest_id = id_of(self._stream.last)
        self._stream.make_group(self._group, after)
        self._show_life()
        return FeedStart(id_of(after), newest_id)

    async def fetch(self, count: int, wait_ms: int) -> Sequence[Entry]:
        assert count > 0, "a read has a bound"
        stream = self._stream
        until_s = asyncio.get_running_loop().time() + wait_ms / 1000
        await asyncio.sleep(0)
        self._show_life()
        group = stream.groups[self._group]
        while stream.unread(group) == 0:
            if asyncio.get_running_loop().time() >= until_s:
                return []
            await stream.change(until_s)
            # A group of the same name that was made meanwhile is not the one that we wait for.
            if stream.groups.get(self._group) is not group:
                raise self._missing()
        keys = stream.keys[-stream.unread(group) :][:count]
        group.last_delivered = keys[-1]
        group.read = stream.added - stream.unread(group)
        return [stream.entry(key) for key in keys]

    async def reap(self, idle_ms: int) -> Sequence[str]:
        await asyncio.sleep(0)
        since_s = self._stream.clock.elapsed() - idle_ms / 1000
        dead = [
            name
            for name, group in self._stream.groups.items()
            if name.startswith(self._prefix)
            and name != self._group
            and group.seen_s
            and max(group.seen_s.values()) <= since_s
        ]
        for name in dead:
            self._stream.destroy_group(name)
        return dead

    async def close(self) -> None:
        await asyncio.sleep(0)
        self._stream.destroy_group(self._group)

    async def aclose(self) -> None:
        """As that of the real one; nothing is open here."""

    def _surely_durable(self) -> Key:
        ingest = self._stream.groups.get(self._ingest_group)
        if ingest is None:
            return FIRST
        return _before(min(ingest.pending)) if ingest.pending else ingest.last_delivered

    def _show_life(self) -> None:
        group = self._stream.groups.get(self._group)
        if group is None:
            raise self._missing()
        group.seen_s[self._consumer] = self._stream.clock.elapsed()

    def _missing(self) -> Unavailable:
        return Unavailable("stream", "group-missing", f"there is no group {self._group}")


@frozen
class Entered:
    """A row of entry_devices: a device (by its id, not its IMEI) drives for an entry."""

    entry_id: str
    device_id: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@define
class MemoryRally:
    """The business tables, as far as live reads them. `imeis` are devices by id, `events` the
    event of each entry by id. `missing` are tables and columns that somebody has taken away, by
    name as in `public.devices.imei`."""

    imeis: dict[str, str] = Factory(dict)
    events: dict[str, str] = Factory(dict)
    entered: list[Entered] = Factory(list)
    missing: set[str] = Factory(set)

    def assignments(self) -> Mapping[str, Sequence[Assignment]]:
        """By IMEI. Raises Refused where something that is needed is missing."""
        lacking = self.missing - {
            "public.entry_devices.valid_from",
            "public.entry_devices.valid_to",
        }
        if lacking:
            sentence = "; ".join(f"{name} is missing" for name in sorted(lacking))
            raise Refused("database", "business-schema", sentence)
        found: dict[str, dict[Assignment, None]] = {}
        for each in self.entered:
            since, until = (
                None if f"public.entry_devices.{column}" in self.missing else instant
                for column, instant in (
                    ("valid_from", each.valid_from),
                    ("valid_to", each.valid_to),
                )
            )
            if since is None or until is None or since < until:
                assignment = Assignment(self.events[each.entry_id], since, until)
                found.setdefault(self.imeis[each.device_id], {})[assignment] = None
        return {device_id: list(each) for device_id, each in found.items()}


class MemoryTopicMap:
    """TopicMap on a MemoryRally."""

    def __init__(self, rally: MemoryRally) -> None:
        self._rally = rally

    async def read(self) -> Mapping[str, Sequence[Assignment]]:
        await asyncio.sleep(0)
        return self._rally.assignments()


class MemorySnapshots:
    """Snapshots on a MemoryTable and a MemoryRally."""

    def __init__(self, table: MemoryTable, rally: MemoryRally, *, clock_ahead_ms: int) -> None:
        self._table = table
        self._rally = rally
        self._clock_ahead_ms = clock_ahead_ms

    async def newest(self, event_id: str, held: Sequence[tuple[str, datetime]]) -> Snapshot:
        await asyncio.sleep(0)
        newest = [fixes[0] for fixes in self._newest_first(event_id).values()]
        rows, faulty = self._table.rows, self._table.faulty
        return Snapshot(newest, frozenset(key for key in held if key in rows and key in faulty))

    async def trails(
        self, event_id: str, count: int, *, attributes: bool
    ) -> Mapping[str, Sequence[Position]]:
        assert count > 0, "a trail has a bound"
        await asyncio.sleep(0)
        return {
            device_id: [
                fix if attributes else msgspec.structs.replace(fix, attributes=b"{}")
                for fix in reversed(list(islice(fixes, count)))
            ]
            for device_id, fixes in self._newest_first(event_id).items()
        }

    def _newest_first(self, event_id: str) -> dict[str, list[Position]]:
        """The good fixes of the event, by device; a device that has none is not there."""
        assignments = self._rally.assignments()
        found: dict[str, list[Position]] = {}
        for fix in sorted(self._table.rows.values(), key=lambda fix: fix.fixed_at, reverse=True):
            if self._table.is_good(fix, self._clock_ahead_ms) and any(
                each.event_id == event_id and each.holds(fix.fixed_at)
                for each in assignments.get(fix.device_id, ())
            ):
                found.setdefault(fix.device_id, []).append(fix)
        return found


def _before(key: Key) -> Key:
    at_ms, sequence = key
    return (at_ms, sequence - 1) if sequence else (at_ms - 1, SEQUENCE_MAX)
