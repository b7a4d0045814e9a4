"""How we are connected to Redis: two kinds of line, and no default of redis-py left to chance.

redis-py 8 by itself speaks RESP3, gives a command 5 s and tries it 11 times. An XADD that is tried
again is stored twice, and a blocking read that is tried again hangs for a minute, so nothing is
retried here: whoever called knows what is safe to repeat.

`connect` gives an ordinary client, for commands that answer at once. `Wire` is one connection for
one question at a time, below redis-py's response callbacks: those cost more than reading the
entries does, and a blocking read wants a line of its own anyway.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.utils import HIREDIS_AVAILABLE

from processor.adapters.redis.errors import translate
from processor.core.errors import Refused

if HIREDIS_AVAILABLE:
    import hiredis

READ_SIZE = 256 * 1024
"""Bytes asked of the socket at once: what asyncio's transport hands over at most. A reply of 1000
entries is half a megabyte, and in redis-py's 32 KiB pieces it is copied once more often."""

POOL_SIZE = 4
"""Connections of one client. Dead letters, the backlog and an operator's command each ask one
thing at a time; a fifth waits its turn."""

CONNECT_TIMEOUT_S = 2.0
"""A server that has not taken the connection by then is away: trying again beats waiting."""

OF_THE_URL = ("host", "port", "db", "username", "password")
"""What a URL may say, besides `ssl_...`. Its other query arguments are redis-py's settings, and
those are ours to decide."""


def connect(url: str, *, timeout_s: float, name: str) -> Redis:
    """A client for commands that do not block; it connects at its first command.

    `timeout_s` bounds each command, and the wait for a free connection. `name` is what CLIENT LIST
    shows. Raises Refused if the URL is none, or if hiredis is missing.
    """
    connection_class, settings = _settings(url, timeout_s=timeout_s, name=name)
    pool = BlockingConnectionPool(
        connection_class=connection_class,
        max_connections=POOL_SIZE,
        timeout=timeout_s,
        **settings,
    )
    return Redis.from_pool(pool)


async def exchange(client: Redis, commands: Sequence[Sequence[Any]], **options: Any) -> list[Any]:
    """Ask all of it in one round trip, not in a transaction. An error that the server gives to one
    command is that command's answer; `options` are those of redis-py's answer callbacks.
    Raises Unavailable, Refused where the connection failed as a whole."""
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command, **options)
    try:
        return await pipeline.execute(raise_on_error=False)
    except (RedisError, OSError) as error:
        raise translate(error) from error


class Wire:
    """One connection, for one question at a time; made at the first question, dropped at any error
    or cancellation, so that no answer is ever taken for that of another question."""

    def __init__(self, url: str, *, timeout_s: float, name: str) -> None:
        # No timeout of redis-py's: `ask` has one deadline for all of a question, and redis-py's
        # own would cost a task for every command sent.
        kind, settings = _settings(url, timeout_s=None, name=name)
        self._connection: Connection = kind(**settings)
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()

    async def ask(
        self, *commands: Sequence[str | int], wait_ms: int = 0, tolerate: str | tuple[str, ...] = ()
    ) -> list[Any]:
        """Send the commands together, and return their raw answers.

        The server may take `timeout_s` for all of it, after the `wait_ms` for which the last one
        may block. An error that begins with `tolerate`, or one of them, counts as the answer None.
        Raises Unavailable, Refused.
        """
        # hiredis declares its argument as a tuple of one.
        packed = b"".join(hiredis.pack_command(tuple(c)) for c in commands)  # type: ignore[arg-type]
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s + wait_ms / 1000):
                    await self._connection.send_packed_command(packed, check_health=False)
                    return [await self._answer(tolerate) for _ in commands]
            except (RedisError, OSError) as error:
                await self._drop()
                raise translate(error) from error
            except BaseException:
                await self._drop()
                raise

    async def _answer(self, tolerate: str | tuple[str, ...]) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            if not str(error).startswith(tolerate):
                raise
            return None

    async def _drop(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        async with self._turn:
            await self._connection.disconnect()


def _settings(
    url: str, *, timeout_s: float | None, name: str
) -> tuple[type[Connection], dict[str, Any]]:
    if not HIREDIS_AVAILABLE:
        raise Refused(
            "stream",
            "hiredis-missing",
            "hiredis is not installed, and without it reading is ten times slower:"
            " pip install 'redis[hiredis]'",
        )
    try:
        said = dict(parse_url(url))
    except ValueError as error:
        raise Refused("stream", "url", f"REDIS_URL: {error}") from error
    kind = SSLConnection if url.startswith("rediss://") else Connection
    if "path" in said:
        raise Refused("stream", "url", "REDIS_URL: redis:// or rediss:// with a host is needed")
    settings: dict[str, Any] = {}
    if kind is SSLConnection:  # a certificate is judged unless the URL says otherwise
        settings = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    settings |= {k: v for k, v in said.items() if k in OF_THE_URL or k.startswith("ssl_")}
    return kind, settings | {
        "client_name": name,
        "driver_info": None,  # CLIENT SETINFO, for which Redis 7.0 knows no right to grant
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "retry_on_timeout": False,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_read_size": READ_SIZE,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "decode_responses": False,
    }
