"""Where it is measured: two servers, one database of the bench's own, one stream.

Both servers come from the wheels, PostgreSQL with fsync and synchronous_commit on. With
`TEST_REDIS_URL` or `TEST_POSTGRES_URL` set, those are used, and the bench keeps to names of its own
there that it removes. How much CPU a PostgreSQL used is known only where it runs as our child.
"""

import asyncio
import os
import secrets
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from bench.wire import Wire
from processor.adapters.postgres import migrations
from processor.entrypoints.demo.servers import Postgres, Valkey

FINGERPRINT = """
SELECT count(*), sum(hashtextextended(concat_ws('|', device_id, extract(epoch FROM ts), latitude,
    longitude, altitude, angle, speed, satellites, priority, codec, attributes), 0))::text
FROM positions
"""


class Place:
    """The servers and how to look at them. Made by `opened`."""

    def __init__(self, redis: str, postgres: str, postmaster: int | None) -> None:
        self.redis = redis
        self.postgres = postgres
        self.wire = Wire(redis)
        self._postmaster = psutil.Process(postmaster) if postmaster else None

    def redis_cpu(self) -> float:
        """Seconds that the server has used, by its own account: user and system, all threads."""
        lines = self.wire.ask("INFO", "cpu").decode().split()
        return sum(
            float(line.partition(":")[2])
            for line in lines
            if line.startswith(("used_cpu_sys:", "used_cpu_user:"))
        )

    def postgres_cpu(self) -> float | None:
        """Seconds that the server has used, backends that have ended included."""
        if self._postmaster is None:
            return None
        return cpu(self._postmaster)

    def emptied(self) -> None:
        """No rows, and nothing of a former run left to be written to the disk."""
        self._run("TRUNCATE positions, processor.track_changes", "CHECKPOINT")

    def fingerprint(self) -> tuple[int, str | None]:
        """How many rows there are, and a sum over their content."""

        async def ask() -> tuple[int, str | None]:
            connection = await asyncpg.connect(self.postgres)
            try:
                count, content = await connection.fetchrow(FINGERPRINT)
            finally:
                await connection.close()
            return count, content

        return asyncio.run(ask())

    def versions(self) -> dict[str, str]:
        """Servers, and the settings of theirs that a figure may hang on."""

        async def ask() -> dict[str, str]:
            connection = await asyncpg.connect(self.postgres)
            try:
                names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
                return {name: await connection.fetchval(f"SHOW {name}") for name in names}
            finally:
                await connection.close()

        shown = asyncio.run(ask())
        lines = self.wire.ask("INFO", "server").decode().splitlines()
        said = dict(line.partition(":")[::2] for line in lines)
        name = "Valkey" if "valkey_version" in said else "Redis"
        return {
            "stream": f"{name} {said.get('valkey_version') or said.get('redis_version')}",
            "database": f"PostgreSQL {shown.pop('server_version')}",
            **shown,
        }

    def _run(self, *statements: str) -> None:
        _execute(self.postgres, *statements)


def cpu(process: psutil.Process) -> float:
    """Seconds that a process and its children, the ended ones included, have used."""
    own = process.cpu_times()
    total: float = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile: in the parent's next sum
        total += times.user + times.system
    return total


@contextmanager
def opened() -> Iterator[Place]:
    """The servers up, a fresh database with the tables of the service."""
    with ExitStack() as stack:
        redis = os.environ.get("TEST_REDIS_URL") or stack.enter_context(Valkey()).url
        postmaster = None
        server = os.environ.get("TEST_POSTGRES_URL")
        if not server:
            embedded = stack.enter_context(Postgres(durable=True))
            server, postmaster = embedded.url, embedded.pid
        name = f"rally_bench_{secrets.token_hex(4)}"
        url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        _execute(server, f"CREATE DATABASE {name}")
        stack.callback(_execute, server, f"DROP DATABASE {name} WITH (FORCE)")
        _wait(migrations.apply(url))
        place = Place(redis, url, postmaster)
        stack.callback(place.wire.close)
        yield place


def _execute(url: str, *statements: str) -> None:
    async def run(statements: Sequence[str]) -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    _wait(run(statements))


def _wait(work: Coroutine[Any, Any, Any]) -> None:
    asyncio.run(work)
