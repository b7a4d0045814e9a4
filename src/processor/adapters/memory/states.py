"""What the table knows of a device, in memory: the twin of adapters/postgres/states.py."""

import asyncio
from collections.abc import Mapping, Sequence

from processor.adapters.memory.positions import MemoryTable
from processor.core.model import Position


class MemoryStateStore:
    """StateStore on a MemoryTable."""

    def __init__(self, table: MemoryTable, *, clock_ahead_ms: int) -> None:
        self._table = table
        self._clock_ahead_ms = clock_ahead_ms

    async def newest(self, device_ids: Sequence[str]) -> Mapping[str, Position]:
        await asyncio.sleep(0)
        wanted = set(device_ids)
        newest: dict[str, Position] = {}
        for fix in self._table.rows.values():
            if fix.device_id not in wanted or not self._table.is_good(fix, self._clock_ahead_ms):
                continue
            best = newest.get(fix.device_id)
            if best is None or best.fixed_at < fix.fixed_at:
                newest[fix.device_id] = fix
        return newest
