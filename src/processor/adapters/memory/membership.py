"""A consumer's place in its group, and the marks of its trials, beside a stream in memory."""

import asyncio
from collections.abc import Mapping, Sequence

from processor.adapters.memory.stream import Group, MemoryStream, key_of


class MemoryMembership:
    """Membership of one consumer in its group on a MemoryStream."""

    def __init__(self, stream: MemoryStream, *, group: str, consumer: str) -> None:
        self._stream = stream
        self._group_name, self._consumer = group, consumer

    async def keep(self, entry_ids: Sequence[str]) -> int:
        await asyncio.sleep(0)
        kept = 0
        for key in map(key_of, entry_ids):
            delivery = self._group().pending.get(key)
            if delivery and delivery.consumer == self._consumer and key in self._stream.fields:
                delivery.at_s = self._stream.clock.elapsed()
                kept += 1
        return kept

    async def reap(self, idle_ms: int) -> Sequence[str]:
        await asyncio.sleep(0)
        group, now_s = self._group(), self._stream.clock.elapsed()
        holding = {delivery.consumer for delivery in group.pending.values()}
        reaped = [
            name
            for name, seen_s in group.seen_s.items()
            if name != self._consumer and name not in holding and (now_s - seen_s) * 1000 >= idle_ms
        ]
        for name in reaped:
            del group.seen_s[name]
        return reaped

    def _group(self) -> Group:
        return self._stream.group(self._group_name)


class MemoryTrials:
    """Trials, marked beside a MemoryStream."""

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream

    async def marks(self, entry_ids: Sequence[str]) -> Mapping[str, int]:
        await asyncio.sleep(0)
        marks = self._stream.trials
        return {each: marks[each] for each in entry_ids if each in marks}

    async def mark(self, entry_id: str, count: int) -> None:
        await asyncio.sleep(0)
        self._stream.trials[entry_id] = count

    async def forget(self, entry_ids: Sequence[str]) -> None:
        await asyncio.sleep(0)
        for entry_id in entry_ids:
            self._stream.trials.pop(entry_id, None)
