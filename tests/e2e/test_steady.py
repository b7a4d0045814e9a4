"""What the process holds after many came and went is what it held before: `make soak` in short."""

import asyncio
import json
from typing import Any

import psutil
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

ORIGIN = "https://rally.example"
EVENT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
VISITS, AT_ONCE, RESTARTS = 200, 20, 5
BEYOND_DESCRIPTORS, BEYOND_THREADS = 3, 2
"""A scrape and a probe that are just under way; threads of the default executor."""


async def visit(port: int, number: int) -> None:
    """Every third breaks off, every third is closed for what it says, the others say goodbye."""
    browser = await connect(f"ws://127.0.0.1:{port}/ws-live", origin=ORIGIN, proxy=None)
    try:
        await browser.send(json.dumps({"type": "subscribe", "topic": f"event:{EVENT}"}))
        await browser.recv()
        if number % 3 == 0:
            browser.transport.abort()
        elif number % 3 == 1:
            for _ in range(3):
                await browser.send("rubbish")
            await browser.wait_closed()
    except WebSocketException:
        pass  # it was faster
    finally:
        await browser.close()


async def crowd(port: int, count: int) -> None:
    for begin in range(0, count, AT_ONCE):
        await asyncio.gather(*(visit(port, begin + n) for n in range(min(AT_ONCE, count))))


def test_descriptors_and_threads_come_back(
    service: Any, producer: Any, eventually: Any, own_redis: Any, postgres_url: str
) -> None:
    source = producer(own_redis.url)
    running = service(
        "a",
        own_redis.url,
        postgres_url,
        source.stream,
        ROLES="ingest,live",
        LIVE_AUTH="open",
        LIVE_WS_ALLOWED_ORIGINS=ORIGIN,
        LIVE_WS_MAX_CONNECTIONS_PER_USER="1000",
    ).ready()
    process = psutil.Process(running.process.pid)

    def held() -> tuple[int, int]:
        return process.num_fds(), process.num_threads()

    def nobody_is_here() -> bool:
        return running.metric("processor_live_connections") == 0

    for n in range(50):
        source.add(source.payload(n))
    asyncio.run(crowd(running.live_port, AT_ONCE))
    eventually(nobody_is_here, "the first crowd is gone")
    descriptors, threads = held()

    asyncio.run(crowd(running.live_port, VISITS))
    for turn in range(RESTARTS):
        own_redis.stop()
        own_redis.start()
        source.add(source.payload(100 + turn))
        eventually(source.settled, "it is connected again")
    eventually(nobody_is_here, "the crowd is gone")

    def is_as_before() -> bool:
        now = held()
        return now[0] <= descriptors + BEYOND_DESCRIPTORS and now[1] <= threads + BEYOND_THREADS

    eventually(is_as_before, f"{descriptors} descriptors, {threads} threads; now {held()}")
