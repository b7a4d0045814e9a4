"""Where bad records go in Redis: the stream `{stream}:dlq`.

A letter is stored when the server has answered its XADD with an id, and only then is its entry
acknowledged. The two are not one MULTI: a MULTI whose XADD fails would acknowledge all the same,
and on a cluster the two keys may lie on different nodes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from processor.adapters.redis.connection import exchange
from processor.adapters.redis.errors import translate
from processor.core.errors import Refused, Unavailable
from processor.core.ports import Clock, DeadLetter

CHUNK = 100
"""Letters sent before their answers are awaited: a few megabytes of the largest entries."""

SUFFIX = ":dlq"


class RedisDeadLetters:
    """DeadLetters in `{stream}:dlq`, bounded to about `maxlen`.

    A letter is the original fields in their order, then ours: `origin_id`, `reason`, `error`,
    `deliveries`, `instance_id`, `failed_at`. A stream entry may hold a name twice, so an original
    field of such a name stays untouched, too: ours is the last one.
    """

    def __init__(
        self,
        client: Redis,
        *,
        stream: str,
        group: str,
        instance_id: str,
        maxlen: int,
        clock: Clock,
    ) -> None:
        self._client = client
        self._stream, self._group = stream, group
        self._instance_id = instance_id
        self._maxlen = maxlen
        self._clock = clock

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        for start in range(0, len(letters), CHUNK):
            await self._send(letters[start : start + CHUNK])

    async def _send(self, letters: Sequence[DeadLetter]) -> None:
        pending = await exchange(
            self._client,
            [
                ("XPENDING", self._stream, self._group, letter.entry.id, letter.entry.id, 1)
                for letter in letters
            ],
            parse_detail=True,
        )
        head = ("XADD", self._stream + SUFFIX, "MAXLEN", "~", self._maxlen, "*")
        answers = await exchange(
            self._client,
            [
                (*head, *self._fields(letter, _deliveries(answer)))
                for letter, answer in zip(letters, pending, strict=True)
            ],
        )
        for answer in answers:
            if isinstance(answer, Exception):
                raise _unconfirmed(answer)

    def _fields(self, letter: DeadLetter, deliveries: int) -> list[bytes | str | int]:
        failed_at = datetime.fromtimestamp(self._clock.now() / 1000, UTC)
        original = letter.entry.fields or {}
        ours: dict[str, str | int] = {
            "origin_id": letter.entry.id,
            "reason": letter.cause.reason.value,
            "error": letter.cause.sentence,
            "deliveries": deliveries,
            "instance_id": self._instance_id,
            "failed_at": failed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        return [part for fields in (original, ours) for pair in fields.items() for part in pair]


def _deliveries(answer: Any) -> int:
    """From XPENDING; 1 where entry or group is not there: it was handed out, after all."""
    if isinstance(answer, Exception):
        verdict = translate(answer)
        if verdict.reason != "group-missing":
            raise verdict from answer
        return 1
    return int(answer[0]["times_delivered"]) if answer else 1


def _unconfirmed(error: Exception) -> Unavailable | Refused:
    """As ever, but a server that takes no letters now (full, or a replica) is given time: nothing
    is lost meanwhile, the entry stays pending."""
    verdict = translate(error)
    if isinstance(verdict, Unavailable) and verdict.reason in ("full", "read-only"):
        return Unavailable("stream", verdict.reason, verdict.sentence, Unavailable.Pause.LONG)
    return verdict
