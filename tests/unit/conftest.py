"""The live channel on a loopback port, wired as the service wires it, and browsers made by hand.

`live` starts one: `await live(LIVE_WS_MESSAGE_RATE="1")`. The container is the real one, with
memory adapters where it would ask a server; sockets, uvicorn and all above it are real. A Browser
writes its frames itself, so that it can write wrong ones.
"""

import asyncio
import contextlib
import gc
import json
import os
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from dependency_injector import providers

from processor.adapters.memory.auth import MemoryAuthVerifier
from processor.adapters.memory.live import MemoryRally, MemorySnapshots
from processor.adapters.memory.positions import MemoryTable
from processor.adapters.system import SystemChance
from processor.core.live.delivery import DeviceMap
from processor.core.model import Position
from processor.core.notices import LineClosed, Notice
from processor.core.ports import Access, Assignment, Snapshot
from processor.entrypoints.container import LiveRole
from processor.entrypoints.reading import read
from processor.entrypoints.roles import Showing
from processor.entrypoints.serving import listen
from processor.entrypoints.settings import RunSettings

PATIENCE_S = 20.0  # how long a test waits for what must happen; on an idle machine it takes 50 ms

ORIGIN = "https://rally.example"
SESSION = "session=good"
USER = "driver"
EVENT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # both of RFC 6455, 1.3
EPOCH = datetime(2026, 6, 7, 8, tzinfo=UTC)

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

ENVIRON = {
    "REDIS_URL": "redis://localhost:1/0",
    "POSTGRES_URL": "postgresql://localhost:1/rally",
    "DIRECTUS_BASE_URL": "http://localhost:1",
    "METRICS_HOST": "127.0.0.1",
    "LIVE_WS_HOST": "127.0.0.1",
    "LIVE_WS_ALLOWED_ORIGINS": ORIGIN,
}


@cache
def settings_of(environ: tuple[tuple[str, str], ...]) -> RunSettings:
    return read(RunSettings, {**ENVIRON, **dict(environ)})


class HandClock:
    """The Clock port. Time passes as it does, and by `forward`. `sleeps` counts."""

    def __init__(self) -> None:
        self._forward_s = 0.0
        self.sleeps = 0

    def forward(self, seconds: float) -> None:
        self._forward_s += seconds

    def now(self) -> int:
        return int((EPOCH.timestamp() + self._forward_s) * 1000)

    def elapsed(self) -> float:
        return time.monotonic() + self._forward_s

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await asyncio.sleep(seconds)


class Verifier:
    """AuthVerifier on a MemoryAuthVerifier: it remembers what it was asked, waits while it is held,
    and has a bug where it is told to."""

    def __init__(self) -> None:
        self.memory = MemoryAuthVerifier()
        self.asked: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.bug: str | None = None

    async def identify(self, cookie: str, *, recheck: bool = False) -> str | None:
        await self._wait(cookie)
        return await self.memory.identify(cookie, recheck=recheck)

    async def may_read(self, cookie: str, event_id: str, *, recheck: bool = False) -> Access:
        await self._wait(event_id)
        return await self.memory.may_read(cookie, event_id, recheck=recheck)

    async def _wait(self, about: str) -> None:
        self.asked.append(about)
        await self.go_on.wait()
        if about == self.bug:
            raise ZeroDivisionError(about)


class HeldSnapshots:
    """Snapshots that wait while they are held."""

    def __init__(self) -> None:
        self._memory = MemorySnapshots(MemoryTable(), MemoryRally(), clock_ahead_ms=0)
        self.asked: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def newest(self, event_id: str, held: Any) -> Snapshot:
        self.asked.append(event_id)
        await self.go_on.wait()
        return await self._memory.newest(event_id, held)

    async def trails(self, event_id: str, count: int, *, attributes: bool) -> Mapping[str, Any]:
        await self.go_on.wait()
        return await self._memory.trails(event_id, count, attributes=attributes)


@attrs.frozen
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@attrs.frozen
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True


class Browser:
    """A TCP connection that may become a WebSocket. Whatever it waits for fails after PATIENCE_S.
    `was_reset` tells an end by RST from one by FIN, `heard` are all frames that came."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.heard: list[Frame] = []
        self.was_reset = False
        self._loop = asyncio.get_running_loop()
        self._got = bytearray()

    # -- bytes

    async def write(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._loop.sock_sendall(self.link, data)

    async def read_some(self, count: int = 65_536) -> bool:
        """Take what is there, or wait for it; False at the end."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                data = await self._loop.sock_recv(self.link, count)
        except ConnectionResetError:
            self.was_reset = True
            data = b""
        self._got += data
        return bool(data)

    async def read(self, count: int) -> bytes | None:
        while len(self._got) < count:
            if not await self.read_some():
                return None
        data = bytes(self._got[:count])
        del self._got[:count]
        return data

    async def at_end(self) -> bool:
        """Read to the end and throw it away."""
        while await self.read_some():
            self._got.clear()
        return True

    def hang_up(self, *, reset: bool = False) -> None:
        if reset:
            self.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.link.close()

    # -- HTTP

    @staticmethod
    def request(
        method: str = "GET",
        path: str = "/ws-live",
        *,
        version: str = "1.1",
        cookie: str | None = SESSION,
        origin: str | None = ORIGIN,
        **changed: str | None,
    ) -> bytes:
        """The head of a handshake; `changed` headers are left out where None."""
        headers: dict[str, str | None] = {
            "Host": "rally.example",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": KEY,
            "Sec-WebSocket-Version": "13",
            "Origin": origin,
            "Cookie": cookie,
        }
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join([f"{method} {path} HTTP/{version}", *lines, "", ""]).encode("latin-1")

    async def ask(self, *args: Any, **kwargs: Any) -> Answer:
        await self.write(self.request(*args, **kwargs))
        return await self.answer()

    async def answer(self) -> Answer:
        while b"\r\n\r\n" not in self._got:
            assert await self.read_some(), f"no answer: {bytes(self._got)!r}"
        head, _, rest = bytes(self._got).partition(b"\r\n\r\n")
        self._got[:] = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        body = await self.read(int(headers.get("content-length", "0")))
        assert body is not None
        return Answer(int(first.split(" ")[1]), headers, body)

    # -- WebSocket, out

    @staticmethod
    def frame(
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        reserved: int = 0,
        masked: bool = True,
        size: int | None = None,
        length_bytes: int | None = None,
    ) -> bytes:
        """One frame. `size` is what it says of its size, in `length_bytes` (0, 2, 8) more bytes."""
        size = len(payload) if size is None else size
        if length_bytes is None:
            length_bytes = 0 if size < 126 else 2 if size < 65_536 else 8
        mask_bit = 0x80 if masked else 0
        head = bytes([fin << 7 | reserved << 4 | opcode])
        head += bytes([mask_bit | {0: size, 2: 126, 8: 127}[length_bytes]])
        head += size.to_bytes(length_bytes, "big") if length_bytes else b""
        if not masked:
            return head + payload
        mask = os.urandom(4)
        padded = payload + bytes(-len(payload) % 4)
        whole = int.from_bytes(padded, "big") ^ int.from_bytes(mask * (len(padded) // 4), "big")
        return head + mask + whole.to_bytes(len(padded), "big")[: len(payload)]

    async def send(self, opcode: int, payload: bytes = b"", **how: Any) -> None:
        await self.write(self.frame(opcode, payload, **how))

    async def say(self, message: Any) -> None:
        await self.send(
            TEXT, message if isinstance(message, bytes) else json.dumps(message).encode()
        )

    async def subscribe(self, event: str = EVENT, **members: Any) -> None:
        await self.say({"type": "subscribe", "topic": f"event:{event}", **members})

    async def unsubscribe(self, event: str = EVENT, **members: Any) -> None:
        await self.say({"type": "unsubscribe", "topic": f"event:{event}", **members})

    async def close(self, code: int | None = 1000, reason: bytes = b"") -> None:
        await self.send(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)

    # -- WebSocket, in

    async def hear(self) -> Frame | None:
        """The next frame; None at the end of the stream."""
        head = await self.read(2)
        if head is None:
            return None
        assert head[0] & 0x70 == 0, "reserved bits"
        assert head[1] & 0x80 == 0, "a server masks nothing"
        size = head[1] & 0x7F
        if size > 125:
            length = await self.read(2 if size == 126 else 8)
            size = int.from_bytes(length or b"", "big")
        payload = await self.read(size) if size else b""
        if payload is None:
            return None
        self.heard.append(frame := Frame(head[0] & 0x0F, payload, bool(head[0] & 0x80)))
        return frame

    async def told(self) -> dict[str, Any]:
        """The next message."""
        frame = await self.hear()
        assert frame is not None, "the connection has ended"
        assert (frame.opcode, frame.fin) == (TEXT, True), frame
        message: dict[str, Any] = json.loads(frame.payload)
        return message

    async def sent_away(self) -> int | None:
        """The code of the close frame to come, whatever comes before; None if there is none."""
        while frame := await self.hear():
            if frame.opcode == CLOSE:
                code, reason = frame.payload[:2], frame.payload[2:]
                reason.decode()
                return int.from_bytes(code, "big") if code else 1005
        return None

    async def goodbye(self) -> int | None:
        """As `sent_away`, answered as a browser does; then the server ends the connection."""
        code = await self.sent_away()
        with contextlib.suppress(ConnectionError):
            await self.close(code if code and code != 1005 else None)
        await self.at_end()
        return code


class Live:
    """The role live, serving."""

    def __init__(self, environ: Mapping[str, str], times: Mapping[str, Any], routes: Any) -> None:
        settings = settings_of(tuple(sorted(environ.items())))
        self.clock, self.verifier, self.snapshots = HandClock(), Verifier(), HeldSnapshots()
        self.verifier.memory.login(SESSION, USER)
        self.verifier.memory.grant(USER, EVENT)
        self.notices: list[Notice] = []
        self.browsers: list[Browser] = []
        nothing = object()
        self.role = role = LiveRole(
            settings=settings,
            instance_id="a-1",
            pool=nothing,
            clock=self.clock,
            chance=SystemChance(),
            logs=nothing,
            metrics=nothing,
            readiness=nothing,
        )
        role.observer.override(
            providers.Object(SimpleNamespace(observe=lambda notice: self.notices.append(notice)))
        )
        role.verifier.override(providers.Object(self.verifier))
        role.snapshots.override(providers.Object(self.snapshots))
        role.server.add_kwargs(routes=routes)
        self.admission, self.clients, self.registry = (
            role.admission(),
            role.clients(),
            role.registry(),
        )
        self.admission.missing.clear()
        self._bound = listen("127.0.0.1", 0, prefix="LIVE_WS", waiting=1024)
        self.port: int = self._bound.getsockname()[1]
        # Nothing but the times is otherwise than in the service.
        self._http = Showing(settings, nothing, role, self._bound)._http
        config = self._http._server.config
        for name in ("http", "ws"):
            protocol, rules = config.__dict__[name].func, config.__dict__[name].args[0]
            known = {field.name for field in attrs.fields(type(rules))} & times.keys()
            rules = attrs.evolve(rules, **{each: times[each] for each in known})
            setattr(config, name, partial(protocol, rules))
        self._running = asyncio.create_task(self._http.run())

    @property
    def state(self) -> Any:
        return self._http._server.server_state

    @property
    def places(self) -> tuple[int, int]:
        """Taken places, and those that are being asked for."""
        return self.admission._inside.total(), self.admission._asking

    @property
    def codes(self) -> list[int]:
        return [notice.code for notice in self.notices if isinstance(notice, LineClosed)]

    @property
    def is_empty(self) -> bool:
        return not (
            any(self.places)
            or len(self.clients)
            or len(self.registry)
            or self.registry._lines
            or self.registry._topics
            or self.state.connections
            or self.state.tasks
        )

    async def listening(self) -> None:
        await self._http.listening()

    async def call(self, *, receives: int | None = None) -> Browser:
        """A TCP connection; `receives` bounds what the kernel takes for a browser that is slow."""
        link = socket.socket()
        link.setblocking(False)
        if receives is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", self.port))
        self.browsers.append(browser := Browser(link))
        return browser

    async def ask(self, *args: Any, **kwargs: Any) -> Answer:
        """One handshake on a connection of its own."""
        return await (await self.call()).ask(*args, **kwargs)

    async def connect(self, *, receives: int | None = None, **kwargs: Any) -> Browser:
        """A WebSocket."""
        browser = await self.call(receives=receives)
        answer = await browser.ask(**kwargs)
        assert (answer.status, answer.headers.get("sec-websocket-accept")) == (101, ACCEPT), answer
        return browser

    async def watch(self, **kwargs: Any) -> Browser:
        """A WebSocket that has subscribed to EVENT."""
        browser = await self.connect(**kwargs)
        await browser.subscribe()
        assert (await browser.told())["type"] == "subscribed"
        return browser

    def user(self, name: str) -> str:
        """The cookie of one more user, who may read EVENT."""
        self.verifier.memory.login(cookie := f"session={name}", name)
        self.verifier.memory.grant(name, EVENT)
        return cookie

    def devices(self, count: int) -> None:
        everywhere = [Assignment(EVENT)]
        self.role.delivery().swap(
            DeviceMap({f"d{n}": everywhere for n in range(count)}), lambda _: None
        )

    def move(self, device: int, second: float, *, panic: bool = False, pad: int = 0) -> None:
        """A fix comes in from the stream; `pad` makes its frame that much longer."""
        at = EPOCH + timedelta(seconds=second)
        attributes = b'{"p":"%b"}' % (b"x" * pad)
        position = Position(
            f"d{device}", at, 1.0, 2.0, 0.0, 0.0, 0.0, 9, 2 if panic else 0, "8E", attributes
        )
        self.role.newest().learn(position, self.clock.now() + 10**9)
        self.role.delivery().deliver(position, 0)

    async def until(self, what: Callable[[], Any], why: str) -> None:
        """Wait for something that no event tells."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:.0f} s: {why}"
            await asyncio.sleep(0.002)

    async def until_empty(self) -> None:
        await self.until(lambda: self.is_empty, f"empty: {vars(self.state)} {self.places}")

    async def stop(self) -> None:
        for browser in self.browsers:
            browser.hang_up()
        self.verifier.go_on.set()
        self.snapshots.go_on.set()
        try:
            await self.until_empty()
        finally:
            # uvicorn's own end takes a quarter of a second; `stop_serving` is for the test of it.
            self._running.cancel()
            for server in self._http._server.servers:
                server.close()
            self._bound.close()

    async def stop_serving(self) -> None:
        self._http.stop()
        async with asyncio.timeout(PATIENCE_S):
            await self._running


class Pulse:
    """How long the loop is held up by what runs in it: seconds of its thread's own work from one
    turn to the next, so that neither a busy machine nor another thread is counted."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def beat(self) -> None:
        gc.collect()
        while True:
            before_s = time.thread_time()
            await asyncio.sleep(0)
            self.longest_s = max(self.longest_s, time.thread_time() - before_s)
            await asyncio.sleep(0.001)


class Flood:
    """A thread that writes the same bytes to a socket as fast as they are taken, until it is closed
    or `stop`. `sent` counts bytes."""

    def __init__(self, link: socket.socket, data: bytes) -> None:
        self._link = link.dup()
        self._link.setblocking(True)
        self._link.settimeout(0.05)
        self._data = data
        self._stopping = False
        self.sent = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        at = 0
        while not self._stopping:
            try:
                sent = self._link.send(memoryview(self._data)[at:])
            except TimeoutError:
                continue
            except OSError:
                break
            self.sent += sent
            at = (at + sent) % len(self._data)
        self._link.close()

    async def over(self) -> None:
        """The other end takes no more, or we `stop`."""
        await asyncio.to_thread(self._thread.join)

    async def stop(self) -> None:
        self._stopping = True
        await self.over()


@pytest.fixture
async def live() -> AsyncIterator[Callable[..., Awaitable[Live]]]:
    """Starts a live channel: settings by their variables, `times` of the rules, `routes` more."""
    started: list[Live] = []

    async def start(*, routes: Any = (), times: Mapping[str, Any] = {}, **environ: str) -> Live:
        started.append(found := Live(environ, times, routes))
        await found.listening()
        return found

    yield start
    for each in started:
        await each.stop()


@pytest.fixture
def live_once() -> Callable[[], contextlib.AbstractAsyncContextManager[Live]]:
    """A live channel for one example of many."""

    @contextlib.asynccontextmanager
    async def start() -> AsyncIterator[Live]:
        found = Live({}, {}, ())
        await found.listening()
        try:
            yield found
        finally:
            await found.stop()

    return start


@pytest.fixture
async def pulse() -> AsyncIterator[Pulse]:
    """Feels the loop for as long as the test runs."""
    found = Pulse()
    beating = asyncio.create_task(found.beat())
    yield found
    beating.cancel()


@pytest.fixture
def flood() -> type[Flood]:
    return Flood
