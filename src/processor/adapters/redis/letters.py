"""Dead letters as an operator meets them: read back, put on the stream again, removed.

A letter may be there twice: its writer crashed between storing it and acknowledging its entry.
`origin_id` tells; so whoever works on letters works on all letters of an origin. The same holds
here the other way round: a letter is removed only when the server has answered the XADD of its
fields with an id, and a crash in between leaves it to be requeued twice, which the table absorbs.

Letters are read below redis-py's answer callbacks: those make a dict of an entry, and an entry may
hold a name twice.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Self

import msgspec
from attrs import field, frozen

from processor.adapters.redis.connection import Wire, connect, exchange
from processor.adapters.redis.dead_letters import CHUNK, SUFFIX
from processor.adapters.redis.errors import translate
from processor.adapters.redis.standing import StreamStanding, milliseconds
from processor.core.errors import Refused, Unavailable

PAGE = 500
"""Letters in one answer: a quarter of a megabyte, some forty where each holds the largest bag."""

OURS = (b"origin_id", b"reason", b"error", b"deliveries", b"instance_id", b"failed_at")
"""The last six fields of a letter, in their order."""

FOREIGN = "not-a-letter"
"""The reason of an entry that somebody else put among the letters."""


class _Whose(msgspec.Struct):
    device_id: str


@frozen
class Letter:
    """`fields` are the original's, untouched and in their order; a name may occur twice. One that
    is no letter of ours has the reason FOREIGN, itself as its origin, and all of it in `fields`."""

    id: str
    origin_id: str
    reason: str
    error: str
    deliveries: int
    instance_id: str
    failed_at: datetime | None
    fields: Sequence[tuple[bytes, bytes]] = field(repr=False)

    @classmethod
    def read(cls, pair: Sequence[Any]) -> Self:
        """From raw `[id, [name, value, name, value, ..]]`."""
        entry_id, flat = pair[0].decode(), pair[1]
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        original, ours = pairs[: -len(OURS)], pairs[-len(OURS) :]
        if tuple(name for name, _ in ours) != OURS:
            said = "the last six fields of this entry are not those of a dead letter"
            return cls(entry_id, entry_id, FOREIGN, said, 0, "", None, pairs)
        origin_id, reason, error, deliveries, instance_id, failed_at = (
            text(value) for _, value in ours
        )
        return cls(
            id=entry_id,
            origin_id=origin_id,
            reason=reason,
            error=error,
            deliveries=int(deliveries) if deliveries.isdecimal() else 0,
            instance_id=instance_id,
            failed_at=_instant(failed_at),
            fields=original,
        )

    @property
    def device_id(self) -> str | None:
        """As the payload has it, else the field beside it; None where nobody says."""
        by_name = dict(self.fields)
        try:
            return msgspec.json.decode(by_name.get(b"payload", b""), type=_Whose).device_id
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            beside = by_name.get(b"device_id")
            return None if beside is None else text(beside)

    @property
    def can_return(self) -> bool:
        """Is there something to put on the stream again?"""
        return self.reason != FOREIGN and bool(self.fields)


@frozen
class Requeued:
    """The letters that were put on the stream again, and what stopped the rest, if anything."""

    letters: Sequence[Letter]
    fault: Unavailable | Refused | None = None


class RedisLetters:
    """The letters of one stream. Every method raises Unavailable and Refused."""

    def __init__(self, url: str, *, stream: str, timeout_s: float, page: int = PAGE) -> None:
        self._stream, self.key = stream, stream + SUFFIX
        self._page = page
        name = "processor-dlq"
        self._reading = Wire(url, timeout_s=timeout_s, name=name)
        self._client = connect(url, timeout_s=timeout_s, name=name)

    async def aclose(self) -> None:
        await self._reading.aclose()
        await self._client.aclose()

    async def count(self) -> int:
        (answer,) = await self._reading.ask(("XLEN", self.key))
        return int(answer)

    async def stream(self) -> StreamStanding | None:
        """How the stream stands that the letters come from; None where it does not exist."""
        (answer,) = await self._reading.ask(
            ("XINFO", "STREAM", self._stream), tolerate="no such key"
        )
        return StreamStanding.read(answer) if answer else None

    async def walk(
        self, *, since_ms: int = 0, until_ms: int | None = None, newest_first: bool = False
    ) -> AsyncIterator[Sequence[Letter]]:
        """Pages of the letters that were stored in that time by the server's clock; pages and
        letters from old to new, or the other way round. Never more than a page is held."""
        low, high = f"{since_ms}-0", "+" if until_ms is None else str(until_ms)
        while True:
            bounds = ("XREVRANGE", self.key, high, low)
            if not newest_first:
                bounds = ("XRANGE", self.key, low, high)
            (answer,) = await self._reading.ask((*bounds, "COUNT", self._page))
            if not answer:
                return
            letters = [Letter.read(pair) for pair in answer]
            if newest_first:
                high = f"({letters[-1].id}"
            else:
                low = f"({letters[-1].id}"
            yield letters

    async def named(self, letter_ids: Sequence[str]) -> Sequence[Letter]:
        """The letters of these ids, as far as they are there."""
        found = []
        for start in range(0, len(letter_ids), CHUNK):
            answers = await self._reading.ask(
                *(("XRANGE", self.key, each, each) for each in letter_ids[start : start + CHUNK])
            )
            found += [Letter.read(pair) for answer in answers for pair in answer]
        return found

    async def requeue(self, letters: Sequence[Letter]) -> Requeued:
        """Put what was in these letters on the stream again, as new entries, and remove those for
        which the server has answered with an id. A stream that does not exist is not made."""
        done: list[Letter] = []
        for start in range(0, len(letters), CHUNK):
            chunk = letters[start : start + CHUNK]
            head = ("XADD", self._stream, "NOMKSTREAM", "*")
            try:
                answers = await exchange(
                    self._client, [(*head, *chain.from_iterable(each.fields)) for each in chunk]
                )
                told = list(zip(chunk, answers, strict=True))
                stored = [letter for letter, answer in told if isinstance(answer, bytes)]
                done += stored
                await self.remove([letter.id for letter in stored])
            except (Unavailable, Refused) as fault:
                return Requeued(done, fault)
            if len(stored) < len(chunk):
                error = next(answer for _, answer in told if not isinstance(answer, bytes))
                return Requeued(done, translate(error) if error else self._vanished())
        return Requeued(done)

    async def remove(self, letter_ids: Sequence[str]) -> int:
        """Remove these letters; how many of them were there."""
        removed = 0
        for start in range(0, len(letter_ids), PAGE):
            chunk = letter_ids[start : start + PAGE]
            (answer,) = await exchange(self._client, [("XDEL", self.key, *chunk)])
            if isinstance(answer, Exception):
                raise translate(answer) from answer
            removed += answer
        return removed

    def _vanished(self) -> Unavailable:
        return Unavailable("stream", "group-missing", f"Redis: {self._stream} does not exist")


def began_ms(letter: Letter) -> int:
    """No letter of this one's origin is older, by the server's clock, than its entry."""
    try:
        return min(milliseconds(letter.origin_id), milliseconds(letter.id))
    except ValueError:  # whoever wrote that as an origin was not we
        return milliseconds(letter.id)


def text(value: bytes) -> str:
    """What is no UTF-8 is shown escaped."""
    return value.decode(errors="backslashreplace")


def _instant(value: str) -> datetime | None:
    """None for what is no instant, or none of a known zone."""
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo else None
