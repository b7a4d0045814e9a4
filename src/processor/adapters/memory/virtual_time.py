"""Time that passes only when everybody waits, and a loop whose order is drawn from a seed.

An hour of timeouts takes milliseconds, and what is ready at the same instant runs in an order
that the seed decides: each seed is one interleaving of the program, and it can be had again.
"""

import asyncio
import selectors
from collections.abc import Mapping
from random import Random
from typing import Any


class _NoSelector(selectors.BaseSelector):
    """Waits for nothing: in a simulation there is no file and no socket to wait for."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time. Seconds, from 0."""

    _ready: Any  # asyncio's own queues: there is no public way to reorder what is ready
    _scheduled: Any

    def __init__(self, random: Random) -> None:
        super().__init__(_NoSelector())
        self._random = random
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if len(self._ready) > 1:
            # A TaskGroup cancels its tasks in the order of a set, which is one of addresses.
            ready = sorted(self._ready, key=_age)
            self._random.shuffle(ready)
            self._ready.clear()
            self._ready.extend(ready)
        elif not self._ready:
            if not self._scheduled:
                raise AssertionError("everybody waits for ever: nothing is ready or scheduled")
            self._now = max(self._now, self._scheduled[0].when())
        super()._run_once()  # type: ignore[misc]


def _age(handle: asyncio.Handle) -> int:
    """Of the task that a handle goes on with, by the number that asyncio gives each; 0 for none."""
    task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]  # noqa: SLF001
    if not isinstance(task, asyncio.Task):
        return 0
    return int(task.get_name().rpartition("-")[2])


class VirtualClock:
    """The Clock port in a VirtualLoop. The wall clock starts at `epoch_ms` and can be stepped."""

    def __init__(self, loop: VirtualLoop, epoch_ms: int) -> None:
        self._loop = loop
        self._epoch_ms = epoch_ms

    def now(self) -> int:
        return self._epoch_ms + int(self._loop.time() * 1000)

    def elapsed(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def step(self, milliseconds: int) -> None:
        """Somebody set the wall clock."""
        self._epoch_ms += milliseconds
