"""What other consumers hold, handed out as if it were our own: the source of `processor claim`.

For the loop of ingest this is a consumer that comes back after a crash: `fetch_own` hands out what
it already has, then, portion by portion, what others have; nothing new is ever read. The errand
is done when all of that is acknowledged. An answer that is lost loses nothing: what it held is
ours by then, and the loop asks for its own again from the beginning.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from processor.adapters.redis.connection import Wire
from processor.adapters.redis.entries import entries_of
from processor.adapters.redis.source import ANSWER_WITHIN_S, RedisStreamSource
from processor.core.errors import Refused
from processor.core.model import Entry
from processor.core.ports import Claimed, Fetched

FIRST_ID = "0"
WHOLE_ROUND = "0-0"

# Looking and removing in one step: removing one that was given something since would lose it.
_REMOVE_EMPTY = """
local removed = {}
for place = 2, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[place]) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[place])
    table.insert(removed, ARGV[place])
  end
end
return removed
"""


class RedisTakeover:
    """StreamSource of one errand: the entries that `holders` were given `idle_ms` ago.

    `done` is set when there are no more and all are acknowledged. The group is never created:
    where it is gone, so is what was pending in it.
    """

    def __init__(
        self,
        url: str,
        *,
        stream: str,
        group: str,
        consumer: str,
        holders: Sequence[str],
        idle_ms: int,
    ) -> None:
        self._stream, self._group, self._consumer = stream, group, consumer
        self._own = RedisStreamSource(url, stream=stream, group=group, consumer=consumer, wait_ms=0)
        self._wire = Wire(url, timeout_s=ANSWER_WITHIN_S, name=f"processor-{consumer}")
        self._holders = holders
        self._idle_ms = idle_ms
        self._handed: set[str] = set()
        self._acknowledged = asyncio.Event()
        self.done = asyncio.Event()
        self._begin()

    def _begin(self) -> None:
        self._own_after: str | None = FIRST_ID
        self._waiting = list(self._holders)
        self._from = "-"
        self._all_handed = False
        self._acknowledged.clear()

    async def open(self) -> bool:
        (answer,) = await self._wire.ask(
            ("XPENDING", self._stream, self._group), tolerate="NOGROUP"
        )
        if answer is None:
            raise Refused(
                "stream", "group-missing", f"Redis: {self._stream} has no group {self._group}"
            )
        return False

    async def fetch_new(self, count: int, wait_ms: int) -> Fetched:
        """Nothing; it only waits for the last acknowledgement."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_ms / 1000):
                await self._acknowledged.wait()
                self.done.set()
        await asyncio.sleep(0)  # whoever waits for `done` has to get a turn
        return Fetched([])

    async def fetch_own(self, after_id: str, count: int) -> Sequence[Entry]:
        """In the order of ids for one holder after the other; `after_id` only tells a beginning."""
        if after_id == FIRST_ID:
            self._begin()
        entries: Sequence[Entry] = ()
        if self._own_after is not None:
            entries = await self._own.fetch_own(self._own_after, count)
            self._own_after = entries[-1].id if entries else None
        while not entries and self._waiting:
            entries = await self._portion(count)
        self._handed.update(entry.id for entry in entries)
        self._all_handed = not entries
        self._look()
        return entries

    async def claim(self, cursor: str, min_idle_ms: int, count: int) -> Claimed:
        """Nothing: taking over is what `fetch_own` does here."""
        return Claimed((), WHOLE_ROUND)

    async def acknowledge(self, entry_ids: Sequence[str]) -> int:
        count = await self._own.acknowledge(entry_ids)
        self._handed.difference_update(entry_ids)
        self._look()
        return count

    async def held(self) -> Mapping[str, int]:
        """How many entries are still pending with each of the holders and with us, if any."""
        names = [*self._holders, self._consumer]
        (answer,) = await self._wire.ask(("XPENDING", self._stream, self._group))
        pending = {each[0].decode(): int(each[1]) for each in answer[3] or ()}
        return {name: pending[name] for name in names if name in pending}

    async def remove_empty(self) -> Sequence[str]:
        """Remove those of the holders, and us, that hold nothing any more; who was removed."""
        script = ("EVAL", _REMOVE_EMPTY, 1, self._stream, self._group)
        (answer,) = await self._wire.ask((*script, *self._holders, self._consumer))
        return [name.decode() for name in answer]

    async def aclose(self) -> None:
        await self._own.aclose()
        await self._wire.aclose()

    async def _portion(self, count: int) -> Sequence[Entry]:
        """The next entries of the holder whose turn it is; when it has no more, none."""
        idle: tuple[str | int, ...] = ("IDLE", self._idle_ms) if self._idle_ms else ()
        who = (self._stream, self._group)
        (held,) = await self._wire.ask(
            ("XPENDING", *who, *idle, self._from, "+", count, self._waiting[0])
        )
        if not held:
            del self._waiting[0]
            self._from = "-"
            return ()
        times = {each[0].decode(): each[3] + 1 for each in held}
        ids = list(times)
        (taken,) = await self._wire.ask(("XCLAIM", *who, self._consumer, self._idle_ms, *ids))
        self._from = f"({ids[-1]}"
        entries = {entry.id: entry for entry in entries_of([each for each in taken if each])}
        gone = await self._gone([each for each in ids if each not in entries])
        entries |= {each: Entry(each, None) for each in gone}
        return [Entry(each, entries[each].fields, times[each]) for each in ids if each in entries]

    async def _gone(self, ids: Sequence[str]) -> Sequence[str]:
        """Those whose content was trimmed: the server has forgotten them, or, before Redis 7, left
        them pending with us. The others somebody has acknowledged, or is at work on again."""
        looks: list[tuple[str | int, ...]] = []
        for each in ids:
            looks.append(("XRANGE", self._stream, each, each))
            looks.append(("XPENDING", self._stream, self._group, each, each, 1))
        answers: list[Any] = await self._wire.ask(*looks) if looks else []
        return [
            each
            for each, there, pending in zip(ids, answers[::2], answers[1::2], strict=True)
            if not there and all(held[1].decode() == self._consumer for held in pending)
        ]

    def _look(self) -> None:
        if self._all_handed and not self._handed:
            self._acknowledged.set()
