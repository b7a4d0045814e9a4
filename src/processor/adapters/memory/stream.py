"""The telemetry stream in memory: the twin of adapters/redis, judged by the same contract suites.

`MemoryStream` is the server: the stream, its groups, their pending lists and the dead letters. It
has no time and no chance of its own (ids and idle times come from the clock it is given, waiting
is the event loop's), so a simulation in virtual time decides everything. Whatever happens often
costs a dictionary look-up or a bisection: a simulation does it a million times.

It loses nothing that Redis keeps, and counts exactly what Redis may have to estimate.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from attrs import define, field

from processor.core.errors import Unavailable
from processor.core.model import Entry
from processor.core.notices import BacklogMeasured
from processor.core.ports import Claimed, Clock, DeadLetter, Fetched, Gap

Key = tuple[int, int]
"""An id as numbers: milliseconds and sequence. As texts, `9-1` would come after `10-1`."""

FIRST: Key = (0, 0)

AT_THE_TAIL_S = 1.0
"""As in adapters/redis: a group whose oldest unread entry is younger reads at the tail."""


@define
class _Delivery:
    """Who was handed an entry last, when (by `elapsed`), and how often anybody was."""

    consumer: str
    at_s: float
    times: int = 1


@define
class Group:
    """`read` is the place in the stream's whole history up to which the group has come.

    `pending` is what counts; `order` holds its keys sorted, and some that are settled already:
    they are swept out when they are the most. `seen_s` says of each consumer when it asked last.
    """

    last_delivered: Key = FIRST
    read: int = 0
    pending: dict[Key, _Delivery] = field(factory=dict)
    order: list[Key] = field(factory=list)
    seen_s: dict[str, float] = field(factory=dict)

    def hand_out(self, key: Key, consumer: str, at_s: float) -> None:
        self.pending[key] = _Delivery(consumer, at_s)
        place = bisect_left(self.order, key)
        if place == len(self.order) or self.order[place] != key:
            self.order.insert(place, key)

    def settle(self, key: Key) -> bool:
        if self.pending.pop(key, None) is None:
            return False
        if len(self.order) > 64 and len(self.order) > 2 * len(self.pending):
            self.order = [key for key in self.order if key in self.pending]
        return True

    def pending_from(self, place: int) -> Iterator[tuple[Key, _Delivery]]:
        for key in self.order[place:]:
            delivery = self.pending.get(key)
            if delivery is not None:
                yield key, delivery


class MemoryStream:
    """What a server holds under one stream's name. Everything here takes effect at once.

    `add` is the producer's; `trim`, `flush`, `destroy_group` and `rewind` are what befalls a
    server. `name` matters only where a backlog looks for other streams.
    """

    def __init__(self, clock: Clock, name: str = "telemetry:memory") -> None:
        self.name = name
        self.clock = clock
        self.letters: deque[list[tuple[bytes, bytes]]] = deque()
        self.trials: dict[str, int] = {}
        # In the order in which they came: a set's order would differ from run to run.
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._begin()

    def _begin(self) -> None:
        self.exists = False
        self.added = 0
        self.last: Key = FIRST
        self.keys: list[Key] = []
        self.fields: dict[Key, Mapping[bytes, bytes]] = {}
        self.groups: dict[str, Group] = {}

    def add(self, fields: Mapping[bytes, bytes], entry_id: str | None = None) -> str:
        """Its id: by the clock, but always greater than the last one, as Redis does it."""
        if entry_id is not None:
            key = key_of(entry_id)
            assert key > self.last, f"{entry_id} is not greater than the last id"
        elif (now := self.clock.now()) > self.last[0]:
            key = now, 0
        else:
            key = self.last[0], self.last[1] + 1
        self.exists = True
        self.added += 1
        self.last = key
        self.keys.append(key)
        self.fields[key] = fields
        self.wake()
        return id_of(key)

    def trim(self, maxlen: int) -> int:
        """Forget all but the newest `maxlen`, read or not. How many were forgotten."""
        surplus = max(0, len(self.keys) - maxlen)
        for key in self.keys[:surplus]:
            del self.fields[key]
        del self.keys[:surplus]
        return surplus

    def flush(self) -> None:
        """Everything is gone: stream, groups, dead letters, marks of trials."""
        self.letters.clear()
        self.trials.clear()
        self._begin()
        self.wake()

    def make_group(self, name: str, after: Key) -> None:
        """Anew, whatever there was of that name: it will read what comes after that id."""
        self.destroy_group(name)
        self.exists = True
        read = self.removed + bisect_right(self.keys, after)
        self.groups[name] = Group(last_delivered=after, read=read)

    def destroy_group(self, name: str) -> None:
        """With it goes the memory of what was pending."""
        self.groups.pop(name, None)
        self.wake()

    def rewind(self, name: str, to_id: str) -> None:
        """The group will read what comes after `to_id` again, as after some fail-overs."""
        group = self.groups[name]
        group.last_delivered = key_of(to_id)
        group.read = self.removed + bisect_right(self.keys, group.last_delivered)

    def group(self, name: str) -> Group:
        """Raises Unavailable where there is none, as every question to a server does."""
        found = self.groups.get(name)
        if found is None:
            raise Unavailable("stream", "group-missing", f"there is no group {name}")
        return found

    def settled(self, group: str) -> bool:
        """Does `group` exist, with nothing unread and nothing pending?"""
        found = self.groups.get(group)
        return found is not None and not found.pending and not self.unread(found)

    def dead_letters(self) -> list[dict[bytes, bytes]]:
        """Oldest first. Of a name that occurs twice in a letter, the last."""
        return [dict(letter) for letter in self.letters]

    @property
    def removed(self) -> int:
        """How many entries there were that are no more."""
        return self.added - len(self.keys)

    def unread(self, group: Group) -> int:
        return len(self.keys) - bisect_right(self.keys, group.last_delivered)

    def entry(self, key: Key, deliveries: int = 1) -> Entry:
        return Entry(id_of(key), self.fields.get(key), deliveries)

    def wake(self) -> None:
        for waiting in self._waiting:
            _finish(waiting)
        self._waiting.clear()

    async def change(self, until_s: float) -> None:
        """Wait for the next entry, or for the loss of a group; no longer than to that loop time."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = None
        alarm = asyncio.get_running_loop().call_at(until_s, _finish, waiting)
        try:
            await waiting
        finally:
            alarm.cancel()
            self._waiting.pop(waiting, None)


class MemoryStreamSource:
    """StreamSource on a MemoryStream."""

    def __init__(self, stream: MemoryStream, *, group: str, consumer: str) -> None:
        self._stream = stream
        self._group_name, self._consumer = group, consumer

    async def open(self) -> bool:
        await asyncio.sleep(0)
        if self._group_name in self._stream.groups:
            return False
        self._stream.exists = True
        # What was trimmed before the group was there is no loss of the group's.
        self._stream.groups[self._group_name] = Group(read=self._stream.removed)
        return True

    async def fetch_new(self, count: int, wait_ms: int) -> Fetched:
        assert count > 0, "a read has a bound"
        until_s = asyncio.get_running_loop().time() + wait_ms / 1000
        await asyncio.sleep(0)
        while self._stream.unread(self._group()) == 0:
            if asyncio.get_running_loop().time() >= until_s:
                return Fetched([])
            await self._stream.change(until_s)
        return self._take(count)

    def _take(self, count: int) -> Fetched:
        stream, group = self._stream, self._group()
        start = bisect_right(stream.keys, group.last_delivered)
        keys = stream.keys[start : start + count]
        lost = None
        if stream.removed > group.read:
            missed = stream.removed - group.read
            lost = Gap(missed, id_of(group.last_delivered), id_of(keys[0]))
        now_s = stream.clock.elapsed()
        for key in keys:
            group.hand_out(key, self._consumer, now_s)
        group.last_delivered = keys[-1]
        group.read = stream.removed + start + len(keys)
        return Fetched([stream.entry(key) for key in keys], lost)

    async def fetch_own(self, after_id: str, count: int) -> Sequence[Entry]:
        assert count > 0, "a read has a bound"
        await asyncio.sleep(0)
        group = self._group()
        found = []
        now_s = self._stream.clock.elapsed()
        for key, delivery in group.pending_from(bisect_right(group.order, key_of(after_id))):
            if delivery.consumer != self._consumer:
                continue
            if key in self._stream.fields:
                delivery.at_s = now_s
                delivery.times += 1
            found.append(self._stream.entry(key, delivery.times))
            if len(found) == count:
                break
        return found

    async def claim(self, cursor: str, min_idle_ms: int, count: int) -> Claimed:
        assert count > 0, "a claim has a bound"
        await asyncio.sleep(0)
        group = self._group()
        now_s = self._stream.clock.elapsed()
        entries: list[Entry] = []
        lost_ids: list[str] = []
        # Redis, too, ends a claim after ten times as many looks as it may claim.
        looks = 10 * count
        for key, delivery in group.pending_from(bisect_left(group.order, key_of(cursor))):
            if looks == 0 or len(entries) + len(lost_ids) == count:
                return Claimed(entries, id_of(key), lost_ids)
            looks -= 1
            if key not in self._stream.fields:
                group.settle(key)
                lost_ids.append(id_of(key))
            elif (now_s - delivery.at_s) * 1000 >= min_idle_ms:
                delivery.consumer, delivery.at_s = self._consumer, now_s
                delivery.times += 1
                entries.append(self._stream.entry(key, delivery.times))
        return Claimed(entries, id_of(FIRST), lost_ids)

    async def acknowledge(self, entry_ids: Sequence[str]) -> int:
        await asyncio.sleep(0)
        group = self._stream.groups.get(self._group_name)
        if group is None:
            return 0
        return sum(group.settle(key_of(entry_id)) for entry_id in entry_ids)

    async def aclose(self) -> None:
        """As that of the real one; nothing is open here."""

    def _group(self) -> Group:
        group = self._stream.group(self._group_name)
        group.seen_s[self._consumer] = self._stream.clock.elapsed()
        return group


class MemoryDeadLetters:
    """DeadLetters of a MemoryStream, the newest `maxlen` of them."""

    def __init__(
        self,
        stream: MemoryStream,
        *,
        group: str = "processor",
        instance_id: str = "memory",
        maxlen: int = 1_000_000,
    ) -> None:
        self._stream = stream
        self._group, self._instance_id = group, instance_id
        self._maxlen = maxlen

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        await asyncio.sleep(0)
        for letter in letters:
            self._stream.letters.append(self._fields(letter))
            if len(self._stream.letters) > self._maxlen:
                self._stream.letters.popleft()

    def _fields(self, letter: DeadLetter) -> list[tuple[bytes, bytes]]:
        group = self._stream.groups.get(self._group)
        delivery = group.pending.get(key_of(letter.entry.id)) if group else None
        failed_at = datetime.fromtimestamp(self._stream.clock.now() / 1000, UTC)
        ours = {
            "origin_id": letter.entry.id,
            "reason": letter.cause.reason.value,
            "error": letter.cause.sentence,
            "deliveries": str(delivery.times if delivery else 1),
            "instance_id": self._instance_id,
            "failed_at": failed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        original = letter.entry.fields or {}
        return [*original.items(), *((k.encode(), v.encode()) for k, v in ours.items())]


class MemoryBacklog:
    """Backlog of one group; `family` are the other streams that a server might hold."""

    def __init__(
        self, stream: MemoryStream, *, group: str, family: Sequence[MemoryStream] = ()
    ) -> None:
        self._stream, self._group = stream, group
        self._family = family

    async def measure(self) -> BacklogMeasured:
        await asyncio.sleep(0)
        stream = self._stream
        group = stream.groups.get(self._group)
        lag = stream.unread(group) if group else 0
        lag_s = self._age_s(stream.keys[-lag]) if lag else 0.0
        headroom_s = None
        if lag and lag_s >= AT_THE_TAIL_S and stream.removed:
            headroom_s = (len(stream.keys) - lag) * lag_s / lag
        return BacklogMeasured(
            lag=lag,
            lag_s=lag_s,
            pending=len(group.pending) if group else 0,
            dead_letters=len(stream.letters),
            last_entry_age_s=None if stream.last == FIRST else self._age_s(stream.last),
            headroom_s=headroom_s,
        )

    async def busy_streams(self, within_s: float) -> Sequence[str]:
        await asyncio.sleep(0)
        return sorted(
            stream.name
            for stream in self._family
            if stream is not self._stream
            and stream.name.startswith("telemetry:")
            and not stream.name.endswith(":dlq")
            and stream.last != FIRST
            and self._age_s(stream.last) <= within_s
        )

    def _age_s(self, key: Key) -> float:
        return max(0.0, (self._stream.clock.now() - key[0]) / 1000)


def key_of(entry_id: str) -> Key:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def id_of(key: Key) -> str:
    return f"{key[0]}-{key[1]}"


def _finish(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
