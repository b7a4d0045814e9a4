"""SQL for code that is not async: the servers of the demo, and tests."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import asyncpg

TIMEOUT_S = 60.0  # for a whole schema on a busy machine; most take milliseconds

T = TypeVar("T")


def execute(url: str, script: str) -> None:
    """Run statements, separated by semicolons, that bring nothing back."""
    _connected(url, lambda connection: connection.execute(script, timeout=TIMEOUT_S))


def fetch(url: str, statement: str, *values: object) -> Sequence[Any]:
    """The rows of one statement, whose parameters are $1, $2 and so on."""
    return _connected(url, lambda link: link.fetch(statement, *values, timeout=TIMEOUT_S))


def _connected(url: str, work: "Callable[[asyncpg.Connection[Any]], Awaitable[T]]") -> T:
    async def connect_and_work() -> T:
        connection = await asyncpg.connect(url, timeout=TIMEOUT_S)
        try:
            return await work(connection)
        finally:
            await connection.close()

    # In a thread of its own, for the caller may be inside a running loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(connect_and_work())).result()
