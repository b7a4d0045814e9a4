"""The marks of trials in Redis: the hash `{stream}:trials`, from entry id to trials not ended.

They lie beside the stream and not in the process, because they are about what ends the process.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from processor.adapters.redis.connection import exchange
from processor.adapters.redis.errors import translate

SUFFIX = ":trials"

CHUNK = 1000
"""Marks asked for, or forgotten, at once."""


class RedisTrials:
    """Trials of the entries of one stream."""

    def __init__(self, client: Redis, *, stream: str) -> None:
        self._client = client
        self._key = stream + SUFFIX

    async def marks(self, entry_ids: Sequence[str]) -> Mapping[str, int]:
        marks: dict[str, int] = {}
        for start in range(0, len(entry_ids), CHUNK):
            chunk = entry_ids[start : start + CHUNK]
            found = await self._ask(*(("HGET", self._key, each) for each in chunk))
            marks |= {each: int(mark) for each, mark in zip(chunk, found, strict=True) if mark}
        return marks

    async def mark(self, entry_id: str, count: int) -> None:
        await self._ask(("HSET", self._key, entry_id, count))

    async def forget(self, entry_ids: Sequence[str]) -> None:
        for start in range(0, len(entry_ids), CHUNK):
            await self._ask(("HDEL", self._key, *entry_ids[start : start + CHUNK]))

    async def _ask(self, *commands: Sequence[str | int]) -> list[Any]:
        answers = await exchange(self._client, commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise translate(answer) from answer
        return answers
