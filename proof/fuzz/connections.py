"""Target: a browser's bytes, into the WebSocket's protocol and all that is above it.

uvicorn's protocols with what ours add, Starlette, the live server on memory adapters: on one end of
a socket pair, on a real event loop. An input is pieces, parted by two RS (0x1e 0x1e) and each sent
at once. If it begins with `H`, what follows is HTTP from the first byte on; else there is a
handshake that is accepted, and the first letter of each piece says how the rest is framed:

    T text   B binary   P ping   Q pong   C close   F text that goes on   K its end
    any other letter: the bytes as they are

Whatever comes: nothing is raised, nothing is logged as an error, what is answered is HTTP and then
whole frames with a close code of ours, and when the browser is gone nothing of it stays.
"""

import asyncio
import contextlib
import json
import logging
import re
import socket
import time
from copy import deepcopy
from functools import partial

import uvicorn
from uvicorn.server import ServerState

from processor.adapters.memory.auth import MemoryAuthVerifier
from processor.adapters.memory.live import Entered, MemoryRally, MemorySnapshots
from processor.adapters.memory.positions import MemoryTable
from processor.adapters.system import SystemChance, SystemClock
from processor.adapters.websocket.protocol import DoorRules, FrontDoor, LiveProtocol
from processor.adapters.websocket.server import LiveServer
from processor.adapters.websocket.transport import SlowRules, WebSocketBroadcaster
from processor.core.live.admission import Admission, House
from processor.core.live.clients import Clients
from processor.core.live.delivery import Delivery, DeviceMap
from processor.core.live.newest import NewestFixes
from processor.core.live.rechecks import Rechecks
from processor.core.live.registry import Registry
from processor.core.live.session import SessionLimits
from processor.core.live.snapshot import SnapshotMaker
from processor.core.notices import LineClosed, Notice
from proof.fuzz import Broken
from proof.fuzz.seeds import EVENT

NAME = "connections"

PARTED = b"\x1e\x1e"
FRAME_BYTES_MAX = 16_384
INPUT_BYTES_MAX = 262_144
"""A flood is the business of tests/unit/test_live_abuse.py; here it is the odd byte."""

ORIGIN = "https://rally.example"
HEAD = (
    "GET /ws-live HTTP/1.1\r\nHost: rally.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    f"Origin: {ORIGIN}\r\nCookie: s=ann\r\n\r\n"
).encode()

BODY = (
    b"POST /ws-live HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n"
)

WHOLE_HEAD = re.compile(rb"H[A-Z]+ [!-~]+ HTTP/1\.[01]\r\n.*\r\n\r\n", re.DOTALL)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SUBSCRIBE = f'{{"type":"subscribe","topic":"event:{EVENT}","id":"1"}}'.encode()

STATUSES = {101, 400, 401, 403, 404, 405, 426, 429, 431, 500, 503}
CODES = {1000, 1002, 1003, 1005, 1007, 1009, 1011, 1012, 1013, 4400, 4401, 4403, 4429, 4499}

CPU_S = 0.25
"""For a connection of 256 KiB at most, with its tasks: parsing in Python takes microseconds a
frame, and a quarter of a megabyte holds ten thousand small ones in one read of 4 KiB each."""

GONE_WITHIN_S = 5.0
"""Of real time, on a busy machine: it takes a millisecond."""

LOOKED_EACH_S = 0.0002
"""How often is looked whether it is gone: each look is counted as the connection's own time."""

ANSWERED_WITHIN_TURNS = 40
"""Of the loop after the last byte. What comes later (to whoever is over the rate) is not judged."""


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = bytes(4)) -> bytes:
    """A browser's frame. With a mask of zeros a changed byte changes what is said."""
    size = len(payload)
    head = bytes([fin << 7 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65_536:
        head += bytes([0xFE]) + size.to_bytes(2, "big")
    else:
        head += bytes([0xFF]) + size.to_bytes(8, "big")
    return head + mask + payload


FRAMED = {
    b"T": TEXT, b"B": BINARY, b"P": PING, b"Q": PONG, b"C": CLOSE, b"F": TEXT, b"K": 0
}  # fmt: skip


def pieces_of(data: bytes) -> list[bytes]:
    """What is sent, piece by piece."""
    if data.startswith(b"H"):
        return data[1:].split(PARTED)
    pieces = []
    for piece in data.split(PARTED):
        opcode = FRAMED.get(piece[:1])
        framed = opcode is not None
        pieces.append(frame(opcode, piece[1:], fin=piece[:1] != b"F") if framed else piece[1:])
    return pieces


def seeds() -> list[bytes]:
    subscribe = b"T" + SUBSCRIBE
    raw = frame(TEXT, SUBSCRIBE)
    said = [
        [subscribe],
        [subscribe, b"Px", b"C\x03\xe8bye"],
        [b"F" + SUBSCRIBE[:9], b"K" + SUBSCRIBE[9:]],
        [b"F" + SUBSCRIBE[:9], b"P", b"K" + SUBSCRIBE[9:]],
        [b"K" + SUBSCRIBE],
        [b"B\0\1"],
        [b"T\xff\xfe"],
        [b"T" + b"x" * (FRAME_BYTES_MAX + 1)],
        [b"C"],
        [b"C\x03"],
        [b"C\x03\xed", subscribe],  # a code that must not be sent
        [b'T{"type":"nothing"}'] * 4,
        [subscribe] * 30,
        [b"P"] * 60,
        [b"Q" + b"y" * 125],
        [b"P" + b"y" * 126],
        [b"R" + raw[:1], b"R" + raw[1:7], b"R" + raw[7:]],
        [b"R" + frame(3, b"reserved")],
        [b"R\xc1" + raw[1:]],  # a reserved bit
        [b"R" + raw[:1] + bytes([raw[1] & 0x7F]) + SUBSCRIBE],  # not masked
        [b"R" + raw[:1] + b"\xff" + b"\x7f" * 8],  # half a universe long
    ]
    asked = [
        HEAD,
        HEAD + raw,
        HEAD.replace(b"Cookie: s=ann\r\n", b""),
        HEAD.replace(b"rally.example\r\nCookie", b"other.example\r\nCookie"),
        HEAD.replace(b"/ws-live", b"/elsewhere"),
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"),
        HEAD.replace(b"Version: 13", b"Version: 12"),
        HEAD.replace(b"Host: rally.example\r\n", b""),
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3,
        BODY,
        b"\x16\x03\x01\x02\0\x01\0",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
    return [PARTED.join(each) for each in said] + [b"H" + each for each in asked]


_house: "LiveHouse | None" = None


def check(data: bytes) -> str:
    """The outcome: the close code or the HTTP status. Raises Broken."""
    return _ran(data)[0]


def signature(data: bytes) -> str:
    """The outcome with the kinds of all that was answered before it."""
    outcome, kinds = _ran(data)
    return f"{outcome} {sorted(set(kinds))}"


def weigh(data: bytes) -> None:
    """The kernel's and the transport's buffers are no part of Python's memory, and what is held is
    bounded by FRAME_BYTES_MAX: that nothing stays is judged each time."""


def close() -> None:
    """End the loop that all inputs share."""
    global _house
    if _house is not None:
        _house.loop.close()
        _house = None


def _ran(data: bytes) -> tuple[str, list[str]]:
    global _house
    if _house is None:
        _house = LiveHouse()
    return _house.loop.run_until_complete(_house.visit(data[:INPUT_BYTES_MAX]))


class LiveHouse(logging.Handler):
    """The server, wired by hand: memory instead of Directus and PostgreSQL. It hears what uvicorn,
    `websockets` and asyncio log as errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self._complaints.append(str(context)))
        self._complaints: list[str] = []
        self._codes: list[int] = []
        for name in ("uvicorn.error", "websockets.server", "asyncio"):
            logging.getLogger(name).addHandler(self)
        verifier, self._registry = MemoryAuthVerifier(), Registry()
        verifier.login("s=ann", "ann")
        verifier.grant("ann", EVENT)
        broadcaster, clock = WebSocketBroadcaster(), SystemClock()
        rally = MemoryRally({"d": "1"}, {"e": EVENT}, [Entered("e", "d")])
        delivery = Delivery(self._registry, broadcaster)
        delivery.swap(DeviceMap(rally.assignments()), lambda _: None)
        self._clients = Clients(
            registry=self._registry,
            maker=SnapshotMaker(NewestFixes(10, 60_000), delivery),
            snapshots=MemorySnapshots(MemoryTable(), rally, clock_ahead_ms=60_000),
            verifier=verifier,
            broadcaster=broadcaster,
            clock=clock,
            observer=self,
            limits=SessionLimits(rate=10, burst=20, subscriptions=20),
            snapshot_timeout_ms=1500,
        )
        self._admission = Admission(
            House(
                origins={ORIGIN},
                allow_no_origin=False,
                own_page=False,
                cookie_needed=True,
                loopback_only=False,
                most=5,
                most_per_user=5,
            )
        )
        self._admission.missing.clear()
        self._nobody = deepcopy(self._admission)
        server = LiveServer(
            admission=self._admission,
            clients=self._clients,
            rechecks=Rechecks(
                self._clients, every_ms=60_000, clock=clock, chance=SystemChance(), observer=self
            ),
            verifier=verifier,
            clock=clock,
            observer=self,
        )
        self._state = ServerState()
        config = uvicorn.Config(
            server.application,
            log_config=None,
            access_log=False,
            lifespan="off",
            http=partial(FrontDoor, DoorRules(5)),
            ws=partial(LiveProtocol, SlowRules(1 << 20, 5.0, 0.5)),
            ws_max_size=FRAME_BYTES_MAX,
            ws_per_message_deflate=False,
        )
        config.load()
        self._protocol = partial(
            config.http_protocol_class, config=config, server_state=self._state, app_state={}
        )

    def observe(self, notice: Notice) -> None:
        if isinstance(notice, LineClosed):
            self._codes.append(notice.code)

    def emit(self, record: logging.LogRecord) -> None:
        self._complaints.append(self.format(record))

    async def visit(self, data: bytes) -> tuple[str, list[str]]:
        """One connection from its beginning to its end: its outcome, and all that was answered."""
        self._complaints.clear()
        self._codes.clear()
        began_s = time.process_time()
        theirs, ours = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        await self.loop.connect_accepted_socket(self._protocol, ours)
        with theirs:
            got = b""
            if not data.startswith(b"H"):
                await self._send(theirs, HEAD)
                while b"\r\n\r\n" not in got:
                    async with asyncio.timeout(GONE_WITHIN_S):
                        got += await self.loop.sock_recv(theirs, 65_536)
            for piece in pieces_of(data):
                await self._send(theirs, piece)
                await asyncio.sleep(0)
            got += await self._answers(theirs)
        await self._gone()
        took_s = time.process_time() - began_s
        if took_s > CPU_S:
            raise Broken(f"a connection took {took_s:.3f} s of the processor")
        if self._complaints:
            raise Broken(f"somebody complained: {self._complaints[0][-4000:]}")
        outcome, kinds = self._judged(got)
        if outcome == "silence" and WHOLE_HEAD.match(data):
            raise Broken("a whole request, and no answer")
        return outcome, kinds

    async def _send(self, theirs: socket.socket, piece: bytes) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(GONE_WITHIN_S):
                await self.loop.sock_sendall(theirs, piece)

    async def _answers(self, theirs: socket.socket) -> bytes:
        """What is answered within so many turns of the loop: memory answers in fewer."""
        got = b""
        for _ in range(ANSWERED_WITHIN_TURNS):
            await asyncio.sleep(0)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                if not (some := theirs.recv(65_536)):
                    break
                got += some
        return got

    async def _gone(self) -> None:
        deadline_s = time.monotonic() + GONE_WITHIN_S
        while self._left():
            if time.monotonic() > deadline_s:
                raise Broken(f"the browser is gone, and there still are {self._left()}")
            await asyncio.sleep(LOOKED_EACH_S)

    def _left(self) -> list[str]:
        """What is still here of those who were connected."""
        left = {
            "connections": len(self._state.connections),
            "tasks": len(self._state.tasks),
            "clients": len(self._clients),
            "subscriptions": len(self._registry) + len(list(self._registry)),
            "places": self._admission != self._nobody,
        }
        return [name for name, count in left.items() if count]

    def _judged(self, got: bytes) -> tuple[str, list[str]]:
        kinds: list[str] = []
        outcome = "silence"
        while found := re.match(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n", got, re.DOTALL):
            status = int(found[1])
            if status not in STATUSES:
                raise Broken(f"an HTTP answer {status}")
            length = re.search(rb"(?i)^content-length: (\d+)\r?$", found[2], re.MULTILINE)
            got = got[found.end() + (int(length[1]) if length else 0) :]
            kinds.append(outcome := f"HTTP {status}")
            if status == 101:
                outcome, more = self._frames(got)
                return outcome, kinds + more
        if got and not kinds:
            raise Broken(f"an answer that is no HTTP: {got[:100]!r}")
        return outcome, kinds

    def _frames(self, got: bytes) -> tuple[str, list[str]]:
        kinds: list[str] = []
        outcome = "open"
        while len(got) >= 2:
            size, start = got[1], 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(got[2:start], "big")
            if len(got) < start + size:
                break
            opcode, payload, got = got[0], got[start : start + size], got[start + size :]
            if outcome != "open" and opcode != 0x80 | PONG:  # a ping is answered until the end
                raise Broken(f"a frame after the goodbye: {opcode:#x} {payload[:100]!r}")
            if opcode == 0x80 | CLOSE:
                code = int.from_bytes(payload[:2], "big") or 1005
                payload[2:].decode()
                outcome = f"closed {code if code in CODES else 'as it wished'}"
            elif opcode == 0x80 | TEXT:
                told = json.loads(payload.decode())
                kinds.append(str(told.get("code") or told["type"]))
            elif opcode not in (0x80 | PING, 0x80 | PONG):
                raise Broken(f"a frame that is none of a server's: {opcode:#x}")
        return outcome, kinds
