"""The producer's side of the stream, for replays: XADD as the producer does it."""

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from processor.adapters.redis.connection import exchange
from processor.adapters.redis.errors import translate


async def produce(
    client: Redis, stream: str, entries: Sequence[Mapping[str, str]], *, maxlen: int
) -> None:
    """Append entries in their order, in one round trip; the stream is trimmed to about `maxlen`.

    Not tried again: a lost answer would put everything there twice. Raises Unavailable, Refused.
    """
    head = ("XADD", stream, "MAXLEN", "~", maxlen, "*")
    commands = [(*head, *(part for pair in each.items() for part in pair)) for each in entries]
    for answer in await exchange(client, commands):
        if isinstance(answer, Exception):
            raise translate(answer) from answer
