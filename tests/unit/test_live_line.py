"""A browser's Line on real sockets: past the transport, and never past what waits in it."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from processor.adapters.websocket.transport import (
    BrowserLine,
    SlowRules,
    WebSocketBroadcaster,
    framed,
)

RULES = SlowRules(most_bytes=1_000_000, stall_s=60)
PING = b"\x89\x04ping"


class Protocol(asyncio.Protocol):
    """As adapters/websocket/protocol.py has it, without a protocol."""

    line: BrowserLine

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)
        self.line = BrowserLine(transport, RULES, lambda code, reason: None)

    def pause_writing(self) -> None:
        self.line.pause()

    def resume_writing(self) -> None:
        self.line.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.line.gone()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    for each in (ours, theirs):
        each.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


async def line_on(ours: socket.socket) -> BrowserLine:
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(Protocol, sock=ours)
    return protocol.line


async def end(line: BrowserLine) -> None:
    line.transport.abort()
    await asyncio.sleep(0.01)


async def everything(theirs: socket.socket) -> bytes:
    read = bytearray()
    loop = asyncio.get_running_loop()
    while True:
        try:
            read += await asyncio.wait_for(loop.sock_recv(theirs, 1_000), 0.2)
        except TimeoutError:
            return bytes(read)


def messages(read: bytes) -> list[bytes]:
    """The payloads of frames that are all whole."""
    found = []
    while read:
        size, start = read[1], 2
        if size == 126:
            size, start = int.from_bytes(read[2:4], "big"), 4
        assert len(read) >= start + size
        assert read[0] in (0x81, 0x89), "cut in the middle of another"
        found.append(read[start : start + size])
        read = read[start + size :]
    return found


async def test_what_waits_in_the_transport_is_not_overtaken(pair) -> None:
    ours, theirs = pair
    line = await line_on(ours)
    read = b""
    for number in range(400):
        WebSocketBroadcaster().broadcast(b"%04d" % number + bytes(number), [line])
        if number % 7 == 0:  # the protocol writes by the transport, whatever waits there
            line.transport.write(PING)
        if number % 50 == 0:  # there is room again, of which the transport is not told yet
            with suppress(BlockingIOError):
                read += theirs.recv(2_000)
    assert not line.clear
    read += await everything(theirs)
    assert line.clear
    found = messages(read)
    assert found.count(b"ping") == 58
    assert [int(each[:4]) for each in found if each != b"ping"] == list(range(400))
    await end(line)


async def test_a_line_that_is_gone_writes_to_nobody(pair) -> None:
    ours, theirs = pair
    line = await line_on(ours)
    await end(line)
    assert line.closed
    next_one, other = socket.socketpair()  # it may get the same number
    with next_one, other:
        other.setblocking(False)
        WebSocketBroadcaster().broadcast(b"not for you", [line])
        line.send(framed(b"not for you"))
        with pytest.raises(BlockingIOError):
            other.recv(100)
    assert theirs.recv(100) == b""
