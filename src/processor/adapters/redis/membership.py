"""Our place among the consumers of the group, kept and cleared up by scripts on the server.

To look and to act have to be one step. XCLAIM takes an entry back from whoever claimed it since we
looked, and forgets one whose content is gone; XGROUP DELCONSUMER forgets whatever the consumer was
given since. Within a script nobody comes in between.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from processor.adapters.redis.connection import exchange
from processor.adapters.redis.errors import translate

CHUNK = 500
"""Entries kept by one script: the server serves nobody else meanwhile (some milliseconds)."""

LAST = "18446744073709551615-18446744073709551614"
"""No entry has a greater id, but for the one that XREADGROUP takes for `>`."""

# JUSTID, so that it is no delivery.
_KEEP = """
local kept = 0
for place = 3, #ARGV do
  local id = ARGV[place]
  local ours = #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2]) > 0
  if ours and #redis.call('XRANGE', KEYS[1], id, id) > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
    kept = kept + 1
  end
end
return kept
"""

_REAP = """
local reaped = {}
for _, told in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for place = 1, #told, 2 do consumer[told[place]] = told[place + 1] end
  if consumer.name ~= ARGV[2] and consumer.pending == 0
      and consumer.idle >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    table.insert(reaped, consumer.name)
  end
end
return reaped
"""


class RedisMembership:
    """Membership of one consumer in its group."""

    def __init__(self, client: Redis, *, stream: str, group: str, consumer: str) -> None:
        self._client = client
        self._stream, self._group, self._consumer = stream, group, consumer

    async def keep(self, entry_ids: Sequence[str]) -> int:
        kept = 0
        for start in range(0, len(entry_ids), CHUNK):
            kept += await self._run(_KEEP, *entry_ids[start : start + CHUNK])
        return kept

    async def reap(self, idle_ms: int) -> Sequence[str]:
        """Begins with a sign of our own life: before Redis 7.2 a read that waits in vain leaves its
        consumer's idle time as it was. Nothing is pending after the last of all ids, but to ask for
        it counts as having been there."""
        who = ("XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", 1)
        await self._ask(*who, "STREAMS", self._stream, LAST)
        names = await self._run(_REAP, idle_ms)
        return [name.decode(errors="backslashreplace") for name in names]

    async def _run(self, script: str, *arguments: str | int) -> Any:
        who = (self._stream, self._group, self._consumer)
        return await self._ask("EVAL", script, 1, *who, *arguments)

    async def _ask(self, *command: str | int) -> Any:
        (answer,) = await exchange(self._client, [command])
        if isinstance(answer, Exception):
            raise translate(answer) from answer
        return answer
