"""A stop of every role within its budget, with browsers connected and any of the servers hung."""

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis
from websockets.asyncio.client import ClientConnection, connect

from processor.entrypoints.demo.process import Server
from processor.entrypoints.demo.servers import Postgres, Valkey

BUDGET_S = 3.0
OVERDUE_S = 1.0
"""What a stop may take beyond its budget (entrypoints/run.py)."""

BUSY_S = 1.0
"""Until a process that has ended was noticed, on a machine that has other work."""

WITHIN_S = 30.0
STREAM = "telemetry:teltonika"


class Stopping:
    """A service with both roles, browsers on it, and a stop that is timed."""

    def __init__(self, service: Any, eventually: Any) -> None:
        self.service = service
        self._eventually = eventually
        self.readers: list[ClientConnection] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Stopping":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def connect(self, count: int) -> None:
        """That many browsers that read, and one that never does, not even that it is sent away."""
        port = self.service.live_port
        for _ in range(count):
            opening = connect(f"ws://127.0.0.1:{port}/ws-live", compression=None, proxy=None)
            self.readers.append(await self._stack.enter_async_context(opening))
        deaf = self._stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        deaf.sendall(
            b"GET /ws-live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert deaf.recv(64).startswith(b"HTTP/1.1 101")

        def all_there() -> bool:
            return bool(self.service.metric("processor_live_connections") == count + 1)

        await asyncio.to_thread(self._eventually, all_there, "everybody is connected")

    async def stop(self) -> tuple[int, float]:
        """SIGTERM: the exit code, and after how many seconds. /readyz is 503 at once."""
        process = self.service.process
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        unready = asyncio.create_task(asyncio.to_thread(self._unready))
        code = await asyncio.to_thread(process.wait, WITHIN_S)
        took_s = time.monotonic() - began_s
        await unready
        return code, took_s

    def _unready(self) -> None:
        """Until it has noticed that it is asked to stop, it is ready; it never is again."""
        said = []
        while (status := self.service.status("/readyz")) != 0:
            said.append(status)
        assert 503 in said
        assert said == sorted(said), "once unready, always unready"

    async def goodbyes(self) -> list[int | None]:
        for reader in self.readers:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WITHIN_S):
                    await reader.wait_closed()
        return [reader.close_code for reader in self.readers]

    def said(self) -> list[str]:
        return [line["message"] for line in self.service.log]


@pytest.fixture
async def stopping(
    service: Any, eventually: Any, own_redis: Valkey, own_postgres: Postgres
) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(**settings: str) -> Stopping:
            ours = {
                "ROLES": "ingest,live",
                "LIVE_AUTH": "open",
                "LIVE_WS_ALLOW_NO_ORIGIN": "true",
                "SHUTDOWN_TIMEOUT_MS": str(int(BUDGET_S * 1000)),
                "LIVE_WS_DRAIN_TIMEOUT_MS": "1000",
            }
            running = service("a", own_redis.url, own_postgres.url, STREAM, **(ours | settings))
            await asyncio.to_thread(running.ready)
            return await stack.enter_async_context(Stopping(running, eventually))

        yield start


@pytest.fixture
def hangs(own_redis: Valkey, own_postgres: Postgres) -> Any:
    """Let a server hang by its name; it goes on after the test."""
    paused: list[Server] = []

    def hang(name: str) -> None:
        paused.append({"redis": own_redis, "postgres": own_postgres}[name])
        paused[-1].pause()

    yield hang
    for each in paused:
        each.resume()


@pytest.mark.parametrize("drain_ms", ["1000", "60000"])
async def test_with_all_well_everybody_is_sent_away_and_nothing_is_cut_short(
    stopping: Any, drain_ms: str
) -> None:
    """The drain takes half of the budget at most, whatever it is set to."""
    waits = {"BATCH_BLOCK_MS": "100", "LIVE_BROADCAST_BATCH_BLOCK_MS": "100"}
    stop = await stopping(LIVE_WS_DRAIN_TIMEOUT_MS=drain_ms, **waits)
    await stop.connect(5)
    code, took_s = await stop.stop()
    assert (code, await stop.goodbyes()) == (0, [1012] * 5)
    assert took_s < BUDGET_S
    assert stop.said()[-1] == "stopped"
    assert "stop_cut_short" not in stop.said()


@pytest.mark.parametrize("servers", [["redis"], ["postgres"], ["redis", "postgres"]])
async def test_a_server_that_hangs_makes_no_stop_longer_than_its_budget(
    stopping: Any, hangs: Any, servers: list[str], own_redis: Valkey
) -> None:
    stop = await stopping()
    await stop.connect(3)
    if servers == ["postgres"]:
        hangs("postgres")
        feed(own_redis.url, 50)  # and so writers hang, and what is read back
        await asyncio.sleep(1.0)
    else:
        for each in servers:
            hangs(each)
    code, took_s = await stop.stop()
    assert (code, await stop.goodbyes()) == (0, [1012] * 3)
    assert took_s < BUDGET_S + OVERDUE_S + BUSY_S
    assert stop.said()[-1] == "stopped"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_during_the_drain_ends_it_at_once(
    stopping: Any, eventually: Any, number: signal.Signals, code: int
) -> None:
    stop = await stopping(SHUTDOWN_TIMEOUT_MS="60000", LIVE_WS_DRAIN_TIMEOUT_MS="30000")
    await stop.connect(2)
    process = stop.service.process
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(eventually, lambda: "stopping" in stop.said(), "it has begun to stop")
    began_s = time.monotonic()
    process.send_signal(number)
    assert await asyncio.to_thread(process.wait, WITHIN_S) == code
    assert time.monotonic() - began_s < BUSY_S


async def test_directus_that_hangs_makes_no_stop_longer(
    service: Any, eventually: Any, redis_url: str, stream_name: str, own_directus: Any, rally: Any
) -> None:
    cookie = rally.directus.log_in(rally.member)
    settings = {
        "ROLES": "live",
        "DIRECTUS_BASE_URL": own_directus.url,
        "DIRECTUS_RECHECK_MS": "1000",
        "LIVE_WS_ALLOW_NO_ORIGIN": "true",
        "SHUTDOWN_TIMEOUT_MS": str(int(BUDGET_S * 1000)),
        "LIVE_WS_DRAIN_TIMEOUT_MS": "1000",
    }
    running = service("a", redis_url, own_directus.database_url, stream_name, **settings)
    await asyncio.to_thread(running.ready)
    url = f"ws://127.0.0.1:{running.live_port}/ws-live"
    headers = {"Cookie": cookie}
    async with (
        Stopping(running, eventually) as stop,
        connect(url, additional_headers=headers, compression=None, proxy=None) as browser,
    ):
        stop.readers.append(browser)
        own_directus.pause()
        try:
            subscribe = {"type": "subscribe", "topic": f"event:{rally.event}", "id": "1"}
            await browser.send(json.dumps(subscribe))  # which is asked of Directus now
            waiting = asyncio.create_task(
                connect(url, additional_headers={"Cookie": "directus_session_token=x"}).__aenter__()
            )
            await asyncio.sleep(1.5)  # rechecks are under way, too
            code, took_s = await stop.stop()
            assert (code, await stop.goodbyes()) == (0, [1012])
            assert took_s < BUDGET_S + OVERDUE_S + BUSY_S
            with pytest.raises(Exception):  # noqa: B017 - 503, or hung up on: it is not let in
                await waiting
        finally:
            own_directus.resume()


def feed(url: str, count: int) -> None:
    with redis.Redis.from_url(url, protocol=2) as client:
        for n in range(count):
            payload = {
                "device_id": f"35630704244{n % 10:04d}",
                "timestamp": f"2026-05-02T09:14:{n:02d}.000Z",
                "latitude": 42.0,
                "longitude": 21.4,
                "altitude": 245,
                "angle": 180,
                "speed": 57,
                "satellites": 11,
                "priority": 0,
                "attributes": {"239": 1},
            }
            client.xadd(STREAM, {"codec": "8E", "payload": json.dumps(payload)})
