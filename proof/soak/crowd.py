"""The browsers: they come, and every kind of them goes in its own way."""

import asyncio
import contextlib
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from proof.fuzz import conversations
from proof.fuzz.mutators import mutate

ORIGIN = "https://rally.example"
FOREIGN = "https://elsewhere.example"
STAY_S = 1.0, 30.0
GARBAGE_MAX = 4_000
SMALL_BUFFER = 4_096

KINDS = {"watcher": 10, "leaper": 4, "deaf": 1, "babbler": 2, "stranger": 2, "silent": 1}
"""How many of each among twenty. A watcher hangs up; a leaper breaks off; a deaf one never reads; a
babbler talks nonsense; a stranger is turned away for its origin; a silent one says nothing."""

FAILURES = (OSError, WebSocketException, InvalidHandshake, TimeoutError)


class Crowd(threading.Thread):
    """Keeps `size` browsers coming and going on the port, until it is told to end."""

    def __init__(self, port: int, events: Sequence[str], size: int, seed: int) -> None:
        super().__init__(name="crowd", daemon=True)
        self._port, self._events, self._size = port, events, size
        self._chance = random.Random(seed)
        self._nonsense = conversations.seeds()
        self._ending = threading.Event()
        self.visits: Counter[str] = Counter()
        self.refused = 0
        self.frames = 0

    def run(self) -> None:
        asyncio.run(self._run())

    def end(self) -> None:
        self._ending.set()
        self.join()

    async def _run(self) -> None:
        seats = [asyncio.create_task(self._seat()) for _ in range(self._size)]
        while not self._ending.is_set():
            await asyncio.sleep(0.1)
            for seat in seats:
                if seat.done():
                    seat.result()  # a bug of ours
        for seat in seats:
            seat.cancel()
        await asyncio.gather(*seats, return_exceptions=True)

    async def _seat(self) -> None:
        kinds = [kind for kind, count in KINDS.items() for _ in range(count)]
        while True:
            kind = self._chance.choice(kinds)
            self.visits[kind] += 1
            try:
                await getattr(self, f"_{kind}")()
            except FAILURES:
                self.refused += 1
                await asyncio.sleep(self._chance.uniform(0.1, 1.0))

    def _connect(self, origin: str = ORIGIN) -> connect:
        return connect(
            f"ws://127.0.0.1:{self._port}/ws-live", origin=origin, compression=None, proxy=None
        )

    def _stay_s(self) -> float:
        return self._chance.uniform(*STAY_S)

    async def _subscribe(self, browser: ClientConnection) -> None:
        message = {
            "type": "subscribe",
            "topic": f"event:{self._chance.choice(self._events)}",
            "id": "1",
            "frames": self._chance.choice(("single", "batch")),
            "attributes": self._chance.random() < 0.3,
            "history": self._chance.choice((0, 0, 20)),
        }
        await browser.send(json.dumps(message))

    async def _watch(self, browser: ClientConnection) -> None:
        await self._subscribe(browser)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._stay_s()):
                async for _ in browser:
                    self.frames += 1

    async def _watcher(self) -> None:
        async with self._connect() as browser:
            await self._watch(browser)

    async def _leaper(self) -> None:
        browser = await self._connect()
        try:
            await self._watch(browser)
        finally:
            browser.transport.abort()

    async def _deaf(self) -> None:
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        link.setblocking(False)
        await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", self._port))
        browser = await connect(
            f"ws://127.0.0.1:{self._port}/ws-live", sock=link, origin=ORIGIN, compression=None,
            max_queue=1,
        )  # fmt: skip
        try:
            await self._subscribe(browser)
            browser.transport.pause_reading()
            await asyncio.sleep(self._stay_s())
        finally:
            browser.transport.abort()

    async def _babbler(self) -> None:
        async with self._connect() as browser:
            for _ in range(self._chance.randint(1, 30)):
                data = mutate(self._chance.choice(self._nonsense), self._nonsense, self._chance)
                await browser.send(data[:GARBAGE_MAX].decode(errors="replace"))
                await asyncio.sleep(self._chance.uniform(0, 0.3))

    async def _stranger(self) -> None:
        async with self._connect(FOREIGN):
            raise AssertionError("a stranger was let in")

    async def _silent(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._stay_s()):
                await reader.read()
        writer.close()
