"""What is over is gone at once, and does not wait for the collector of garbage.

The collector looks seldom, and that is meant (entrypoints/run.py). So a circle of references, made
for each bad record or each browser, would keep what hangs on it for minutes: the whole batch, the
whole connection.
"""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Any

import pytest

from processor.adapters.memory.positions import MemoryTable
from processor.adapters.memory.stream import MemoryStream
from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.errors import Rejected
from processor.core.notices import Notice
from tests.wiring import ingest_on_memory


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Nobody:
    """Observer and Chance."""

    def observe(self, notice: Notice) -> None:
        pass

    def fraction(self) -> float:
        return 0.5


BAD = [
    b"", b"{", b'{"device_id":1}', b'{"x":"\\u0000"}', b"[" * 20_000, b'{"device_id":"\xff"}',
    b'{"device_id":"1","timestamp":"2026-02-30T00:00:00Z"}',
]  # fmt: skip


@pytest.mark.parametrize("payload", BAD, ids=lambda payload: repr(payload[:30]))
def test_a_bad_record_leaves_nothing_behind(payload: bytes) -> None:
    loop = VirtualLoop(Random(1))

    async def scene() -> tuple[int, int]:
        clock, nobody = VirtualClock(loop, 1_780_000_000_000), Nobody()
        stream = MemoryStream(clock)
        role = ingest_on_memory(
            stream, MemoryTable(), consumer="a", clock=clock, chance=nobody, observer=nobody
        )
        ingest = role.ingest()
        await role.source().open()
        working = asyncio.create_task(ingest.run())
        for _ in range(5):
            stream.add({b"codec": b"8", b"payload": payload})
        await asyncio.sleep(30)
        # One is still the loop's own, in the names of the last turn.
        left = sum(isinstance(each, Rejected) for each in gc.get_objects())
        ingest.stop()
        await working
        return left, len(stream.dead_letters())

    left, dead = loop.run_until_complete(scene())
    loop.close()
    assert dead == 5
    assert left == 0


async def bids_goodbye(browser: Any) -> None:
    await browser.close()
    await browser.at_end()


async def breaks_off(browser: Any) -> None:
    browser.hang_up(reset=True)


async def sends_rubbish(browser: Any) -> None:
    await browser.write(b"\xff\xff\xff\xff")
    await browser.at_end()


async def is_sent_away(browser: Any) -> None:
    for _ in range(3):
        await browser.say({})
    await browser.goodbye()


@pytest.mark.parametrize("ends", [bids_goodbye, breaks_off, sends_rubbish, is_sent_away])
async def test_a_browser_that_is_gone_leaves_nothing_behind(
    live: Callable[..., Awaitable[Any]], ends: Callable[[Any], Awaitable[None]]
) -> None:
    house = await live()
    browser = await house.watch()
    parts = [weakref.ref(part) for each in house.state.connections for part in (each, each.conn)]
    assert len(parts) == 2
    await ends(browser)
    browser.hang_up()
    await house.until_empty()
    await house.until(lambda: all(part() is None for part in parts), "nothing holds it")
