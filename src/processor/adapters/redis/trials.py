"""The marks of trials in Redis: the hash `{stream}:trials`, from entry id to trials not ended.

They lie beside the stream and not in the process, because they are about what ends the process.
"""

from typing import Any

from redis.asyncio import Redis

from processor.adapters.redis.connection import exchange
from processor.adapters.redis.errors import translate

SUFFIX = ":trials"


class RedisTrials:
    """Trials of the entries of one stream."""

    def __init__(self, client: Redis, *, stream: str) -> None:
        self._client = client
        self._key = stream + SUFFIX

    async def marks(self, entry_id: str) -> int:
        return int(await self._ask("HGET", self._key, entry_id) or 0)

    async def mark(self, entry_id: str, count: int) -> None:
        if count:
            await self._ask("HSET", self._key, entry_id, count)
        else:
            await self._ask("HDEL", self._key, entry_id)

    async def _ask(self, *command: str | int) -> Any:
        (answer,) = await exchange(self._client, [command])
        if isinstance(answer, Exception):
            raise translate(answer) from answer
        return answer
