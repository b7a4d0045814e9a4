"""The telemetry stream, read by one instance for its own browsers: all of it, and nothing pending.

A group of the instance's own, read with NOACK, so that Redis remembers how far it has come and
nothing else. Whoever reads remembers that, too, and after any error sets the group back there.

Setting it means to destroy it and to make it anew, and not XGROUP SETID. SETID leaves what may be
pending from a former life; and it leaves a read that waits on a connection which only the server
believes in: that one would be handed the next entry, and nobody would have it. Destroying the
group ends such a read (measured on Redis 7.0 and Valkey 9), but only as a command of its own: in a
MULTI or a script the group is back before the server looks at who waits for it.
"""

from collections.abc import Sequence
from typing import Any

from processor.adapters.redis.connection import Wire
from processor.adapters.redis.entries import entries_of
from processor.adapters.redis.source import ANSWER_WITHIN_S
from processor.adapters.redis.standing import FIRST, GroupStanding, StreamStanding, before
from processor.core.model import Entry
from processor.core.ports import FeedStart

MISSING = ("no such key", "NOGROUP", "The XGROUP subcommand requires the key to exist")
"""How XINFO, XPENDING and XGROUP DESTROY say that there is no such stream or group."""

REAP = """
local function told(flat)
    local by_name = {}
    for place = 1, #flat, 2 do by_name[flat[place]] = flat[place + 1] end
    return by_name
end
local stream, prefix, own, idle_ms = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local groups = redis.pcall('XINFO', 'GROUPS', stream)
if groups.err then
    if string.find(groups.err, 'no such key', 1, true) then return {} end
    return groups
end
local reaped = {}
for _, group in ipairs(groups) do
    local name = told(group).name
    if string.sub(name, 1, #prefix) == prefix and name ~= own then
        local consumers = redis.call('XINFO', 'CONSUMERS', stream, name)
        local dead = #consumers > 0
        for _, consumer in ipairs(consumers) do
            dead = dead and told(consumer).idle >= idle_ms
        end
        if dead then
            redis.call('XGROUP', 'DESTROY', stream, name)
            reaped[#reaped + 1] = name
        end
    end
end
return reaped
"""
"""In one piece, so that no instance comes back to life between the look and the deed."""


class RedisLiveFeed:
    """LiveFeed by the group `{group_prefix}-{instance_id}`, whose one consumer is the instance.

    Sign of life: before Redis 7.2 a read that waits in vain leaves its consumer's idle time as it
    was, and on a stream that is silent for a night the living would reap one another. So after a
    read that brought nothing the next one first looks at what is pending: nothing is, but on every
    version that counts as having been there.
    """

    def __init__(
        self,
        url: str,
        *,
        stream: str,
        group_prefix: str,
        instance_id: str,
        ingest_group: str,
        wait_ms: int,
    ) -> None:
        """`wait_ms` bounds what `fetch` may be asked to wait. Raises Refused."""
        self._stream, self._ingest_group = stream, ingest_group
        self._prefix = f"{group_prefix}-"
        self._group, self._consumer = self._prefix + instance_id, instance_id
        self._wait_ms = wait_ms
        name = f"processor-{instance_id}".replace(" ", "-")
        self._wire = Wire(url, timeout_s=ANSWER_WITHIN_S, name=f"{name}-live")
        self._in_vain = False

    async def open(self, after_id: str | None) -> FeedStart:
        if after_id is None:
            after_id = await self._surely_durable()
        about, *_ = await self._wire.ask(
            ("XINFO", "STREAM", self._stream),
            ("XGROUP", "DESTROY", self._stream, self._group),
            ("XGROUP", "CREATE", self._stream, self._group, after_id, "MKSTREAM"),
            # With its consumer, for a group without one is reaped by nobody.
            ("XGROUP", "CREATECONSUMER", self._stream, self._group, self._consumer),
            tolerate=MISSING,
        )
        return FeedStart(after_id, StreamStanding.read(about).last_id if about else FIRST)

    async def fetch(self, count: int, wait_ms: int) -> Sequence[Entry]:
        assert count > 0, "a read has a bound"
        wait_ms = min(wait_ms, self._wait_ms)
        # BLOCK 0 would wait for ever.
        block = ("BLOCK", wait_ms) if wait_ms > 0 else ()
        sign_of_life = (self._read_group(1, "0"),) if self._in_vain else ()
        read = self._read_group(count, ">", *block)
        *_, answer = await self._wire.ask(*sign_of_life, read, wait_ms=wait_ms)
        self._in_vain = not answer
        return entries_of(answer[0][1]) if answer else []

    async def reap(self, idle_ms: int) -> Sequence[str]:
        """Waits behind a read that waits, for there is one wire: a few seconds in five minutes."""
        (names,) = await self._wire.ask(
            ("EVAL", REAP, 1, self._stream, self._prefix, self._group, idle_ms)
        )
        return [name.decode(errors="backslashreplace") for name in names]

    async def close(self) -> None:
        await self._wire.ask(("XGROUP", "DESTROY", self._stream, self._group), tolerate=MISSING)

    async def aclose(self) -> None:
        """Close the wire. The group stays, unless `close` came before."""
        await self._wire.aclose()

    async def _surely_durable(self) -> str:
        """The group before its pending list, and not the other way round: what ingest reads between
        the two looks would be delivered and not seen to be pending. So it is seen to be pending at
        worst, and we read a little too much."""
        about_groups, pending = await self._wire.ask(
            ("XINFO", "GROUPS", self._stream),
            ("XPENDING", self._stream, self._ingest_group),
            tolerate=MISSING,
        )
        groups: list[GroupStanding] = GroupStanding.read_all(about_groups or ())
        ingest = next((group for group in groups if group.name == self._ingest_group), None)
        if ingest is None or pending is None:
            return FIRST
        _, oldest, *_ = pending
        return before(oldest.decode()) if oldest else ingest.last_delivered_id

    def _read_group(self, count: int, after_id: str, *block: str | int) -> tuple[Any, ...]:
        who = ("GROUP", self._group, self._consumer)
        place = ("STREAMS", self._stream, after_id)
        return "XREADGROUP", *who, "COUNT", count, *block, "NOACK", *place
