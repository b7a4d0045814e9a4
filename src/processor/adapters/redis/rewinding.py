"""Setting the group back, so that it reads again what it had read.

XGROUP SETID forgets how many entries the group has read unless it is told, and then nobody's lag is
right any more. So they are counted first: by a script, page by page, because only the number
crosses the line, and a page keeps the server from others for a millisecond.
"""

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from redis.asyncio import Redis

from processor.adapters.redis.connection import exchange
from processor.adapters.redis.errors import translate
from processor.adapters.redis.standing import (
    FIRST,
    GroupStanding,
    StreamStanding,
    before,
    order,
)

PAGE = 1000

_COUNT = """
local page = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
return {#page, #page > 0 and page[#page][1] or ''}
"""


@frozen
class Rewinding:
    """What setting the group back to just before `first_id` means.

    `again` entries will be read again and `unread` ones for the first time. `oldest_id` is the
    oldest entry in the stream, None while it is empty; `removed` says how many older ones there
    were (None: the server does not count). `pending` ones are untouched.
    """

    first_id: str
    last_delivered_id: str
    again: int
    unread: int
    pending: int
    oldest_id: str | None
    removed: int | None
    read_before: int | None

    @property
    def back_to(self) -> str:
        """What becomes the last id that was delivered."""
        return FIRST if order(self.first_id) <= (0, 1) else before(self.first_id)

    @property
    def forward(self) -> bool:
        """Would it skip entries instead, now or later?"""
        return order(self.back_to) > order(self.last_delivered_id)

    @property
    def reaches_beyond(self) -> bool:
        """Does it begin before the oldest entry, where there may have been others?"""
        oldest = self.oldest_id
        beyond = oldest is None or order(self.first_id) < order(oldest)
        return beyond and self.removed != 0


class RedisRewinder:
    """Of one group on one stream. Every method raises Unavailable and Refused."""

    def __init__(self, client: Redis, *, stream: str, group: str, page: int = PAGE) -> None:
        self._client = client
        self._stream, self._group = stream, group
        self._page = page

    async def look(self, first_id: str) -> Rewinding | None:
        """None where stream or group does not exist."""
        stream, groups = await self._ask(
            ("XINFO", "STREAM", self._stream), ("XINFO", "GROUPS", self._stream)
        )
        if stream is None:
            return None
        standing = StreamStanding.read(stream)
        ours = [each for each in GroupStanding.read_all(groups) if each.name == self._group]
        if not ours:
            return None
        last_id = ours[0].last_delivered_id
        again = await self._count(first_id, last_id)
        # Up to the entry that was the last when we looked: what comes meanwhile changes nothing.
        unread = await self._count(f"({last_id}", standing.last_id)
        read_before = None
        if standing.added is not None:
            read_before = max(0, standing.added - again - unread)
        return Rewinding(
            first_id=first_id,
            last_delivered_id=last_id,
            again=again,
            unread=unread,
            pending=ours[0].pending,
            oldest_id=standing.first_id,
            removed=standing.removed,
            read_before=read_before,
        )

    async def rewind(self, planned: Rewinding) -> None:
        """Set the group back. Pending entries stay with their consumers."""
        assert not planned.forward, "a rewind goes back"
        counted: tuple[str | int, ...] = ()
        if planned.read_before is not None:
            counted = ("ENTRIESREAD", planned.read_before)
        await self._ask(("XGROUP", "SETID", self._stream, self._group, planned.back_to, *counted))

    async def _count(self, first_id: str, last_id: str) -> int:
        count = 0
        while True:
            command = ("EVAL", _COUNT, 1, self._stream, first_id, last_id, self._page)
            ((found, newest),) = await self._ask(command)
            count += int(found)
            if found < self._page:
                return count
            first_id = f"({newest.decode()}"

    async def _ask(self, *commands: Sequence[str | int]) -> list[Any]:
        """The raw answers; None where stream or group does not exist."""
        answers = await exchange(self._client, commands)
        for place, answer in enumerate(answers):
            if isinstance(answer, Exception):
                verdict = translate(answer)
                if verdict.reason != "group-missing":
                    raise verdict from answer
                answers[place] = None
        return answers
