"""The telemetry stream, read from Redis as one consumer of a consumer group.

`XREADGROUP >` is a write: it moves the group on and makes entries pending, before we have the
answer. So a read is never repeated and never given up halfway while its connection lives on; after
any error the connection is dropped, and what an unread answer held comes back by `fetch_own`.

Two wires, because a blocking read holds its own: acknowledging never waits behind it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from processor.adapters.redis.connection import Wire
from processor.adapters.redis.entries import entries_of, with_deliveries
from processor.adapters.redis.standing import FIRST, GroupStanding, StreamStanding, order
from processor.core.model import Entry
from processor.core.ports import Claimed, Fetched, Gap

ANSWER_WITHIN_S = 2.0
"""What a server may take for a command, beyond the time for which it was asked to block. One that
is stopped, or behind a dead network, is noticed after this."""

PAUSE_S = 1.0
"""After a longer pause between two reads we may have fallen behind; in a shorter one no stream is
added to and trimmed past us (a million entries in a second)."""

ACK_CHUNK = 1000
"""Ids in one XACK: the server serves nobody else meanwhile (about half a millisecond)."""

NOT_KNOWN = ("", 0)
"""No entry has this id."""


class RedisStreamSource:
    """StreamSource on a Redis stream.

    Trimmed unread: whenever we are behind (at first, after an error, a full read or a pause) a
    read is preceded, in the same breath, by a look at stream and group. Nothing is left of what
    the group had read, and more was removed than it had read: the difference was lost. Its bounds
    are the last id the group had, and the first that is left (both not lost themselves). A stream
    that was trimmed before the group was created has lost it nothing: `open` tells the server how
    many. Where the server does not count (before Redis 7, or after XGROUP SETID) the number is
    estimated from how thick the entries lie, and is never less than 1.
    """

    def __init__(self, url: str, *, stream: str, group: str, consumer: str, wait_ms: int) -> None:
        """`wait_ms` bounds what `fetch_new` may be asked to wait. Raises Refused."""
        self._stream, self._group, self._consumer = stream, group, consumer
        self._wait_ms = wait_ms
        name = f"processor-{consumer}".replace(" ", "-")
        self._reading = Wire(url, timeout_s=ANSWER_WITHIN_S, name=f"{name}-reads")
        self._telling = Wire(url, timeout_s=ANSWER_WITHIN_S, name=f"{name}-acknowledges")
        self._behind = True
        self._read_at = 0.0
        # The last entry of a read that was looked at, and how many the stream had had up to it.
        self._known = NOT_KNOWN

    async def open(self) -> bool:
        self._behind = True
        (answer,) = await self._reading.ask(
            ("XINFO", "STREAM", self._stream), tolerate="no such key"
        )
        removed = StreamStanding.read(answer).removed if answer else 0
        counted = () if removed is None else ("ENTRIESREAD", removed)
        create = ("XGROUP", "CREATE", self._stream, self._group, "0", "MKSTREAM", *counted)
        (created,) = await self._reading.ask(create, tolerate="BUSYGROUP")
        return created is not None

    async def fetch_new(self, count: int, wait_ms: int) -> Fetched:
        assert count > 0, "a read has a bound"
        wait_ms = min(wait_ms, self._wait_ms)
        # BLOCK 0 would wait for ever.
        block = ("BLOCK", wait_ms) if wait_ms > 0 else ()
        read = self._read_group(count, ">", *block)
        loop = asyncio.get_running_loop()
        looking = self._behind or loop.time() - self._read_at > PAUSE_S
        look = (("XINFO", "STREAM", self._stream), ("XINFO", "GROUPS", self._stream))
        self._behind = True  # until an answer says otherwise
        *seen, answer = await self._reading.ask(*(look if looking else ()), read, wait_ms=wait_ms)
        self._read_at = loop.time()
        entries = entries_of(answer[0][1]) if answer else []
        lost = self._lost(*seen, entries=entries) if looking else None
        if not looking:
            self._known = NOT_KNOWN
        # Where nothing was handed out, a gap is still ahead of the group: it is counted when the
        # group moves on.
        self._behind = len(entries) == count or (lost is not None and not entries)
        return Fetched(entries, lost if entries else None)

    async def fetch_own(self, after_id: str, count: int) -> Sequence[Entry]:
        assert count > 0, "a read has a bound"
        # In the same breath how often each was handed out, this time included.
        who = (self._stream, self._group, f"({after_id}", "+", count, self._consumer)
        answer, held = await self._reading.ask(
            self._read_group(count, after_id), ("XPENDING", *who)
        )
        return with_deliveries(entries_of(answer[0][1]), held) if answer else []

    async def claim(self, cursor: str, min_idle_ms: int, count: int) -> Claimed:
        """XAUTOCLAIM looks at ten times `count` at most. Entries whose content is gone it has taken
        out of the pending list already; before Redis 7 it hands them to us without saying their
        ids, and they come back by `fetch_own`."""
        assert count > 0, "a claim has a bound"
        stream, group, consumer = self._stream, self._group, self._consumer
        command = ("XAUTOCLAIM", stream, group, consumer, min_idle_ms, cursor, "COUNT", count)
        (answer,) = await self._telling.ask(command)
        next_cursor, pairs, *deleted = answer
        entries = entries_of([pair for pair in pairs if pair is not None])
        held = await self._telling.ask(
            *(("XPENDING", stream, group, each.id, each.id, 1, consumer) for each in entries)
        )
        return Claimed(
            entries=with_deliveries(entries, [each for answer in held for each in answer]),
            cursor=next_cursor.decode(),
            lost_ids=[entry_id.decode() for entry_id in deleted[0]] if deleted else (),
        )

    async def acknowledge(self, entry_ids: Sequence[str]) -> int:
        if not entry_ids:
            return 0
        chunks = (
            entry_ids[start : start + ACK_CHUNK] for start in range(0, len(entry_ids), ACK_CHUNK)
        )
        answers = await self._telling.ask(
            *(("XACK", self._stream, self._group, *chunk) for chunk in chunks)
        )
        return sum(answers)

    async def aclose(self) -> None:
        """Close both wires. What was handed out and not acknowledged stays pending."""
        await self._reading.aclose()
        await self._telling.aclose()

    def _read_group(self, count: int, after_id: str, *block: str | int) -> tuple[str | int, ...]:
        who = ("GROUP", self._group, self._consumer)
        return "XREADGROUP", *who, "COUNT", count, *block, "STREAMS", self._stream, after_id

    def _lost(self, about_stream: Any, about_groups: Any, *, entries: list[Entry]) -> Gap | None:
        """What was gone between the group's last entry and `entries`, read right then."""
        stream = StreamStanding.read(about_stream)
        group = next(g for g in GroupStanding.read_all(about_groups) if g.name == self._group)
        last_id = group.last_delivered_id
        # Redis 7.0 does not count what it skips: our own count is better while we read alone.
        known_id, known = self._known
        had = known if known_id == last_id else group.read
        passed = stream.has_passed(last_id)
        count = 0
        if passed and stream.removed is not None and had is not None:
            count = stream.removed - had
        elif passed and last_id not in (FIRST, stream.last_id):
            count = max(1, stream.estimate_between(last_id, stream.first_id or stream.last_id))
        before = stream.removed if passed else had
        # Where nothing was unread we were blocked, and others may have read since we looked.
        at_once = stream.first_id is not None and order(stream.last_id) > order(last_id)
        if entries and at_once and before is not None:
            self._known = entries[-1].id, before + len(entries)
        if count <= 0:
            return None
        return Gap(count, last_id, entries[0].id if entries else stream.last_id)
