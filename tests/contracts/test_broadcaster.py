"""The contracts of Line and Broadcaster (core/ports): in memory, and to a browser's socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Hashable

import pytest
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from processor.adapters.memory.lines import MemoryBroadcaster, MemoryLine
from processor.adapters.websocket.transport import BrowserLine, SlowRules, WebSocketBroadcaster
from processor.core.ports import Broadcaster, Line

PATIENCE_S = 20.0


class MemoryEnd:
    """A browser in memory."""

    broadcaster: Broadcaster = MemoryBroadcaster()

    def __init__(self) -> None:
        self.memory = MemoryLine()
        self.line: Line = self.memory

    async def open(self) -> None:
        pass

    async def stop_reading(self) -> None:
        self.memory.clear = False

    async def read_on(self) -> tuple[list[bytes], int | None]:
        """All that has come, and the close code."""
        self.memory.clear = True
        return self.memory.texts, self.memory.closed

    async def aclose(self) -> None:
        pass


class SocketEnd:
    """A browser at the other end of a socket, that reads by the `websockets` library."""

    broadcaster: Broadcaster = WebSocketBroadcaster()
    FILLING = b"-" * 10_000

    def __init__(self) -> None:
        self._protocol = _Sending()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._ours, self._theirs = socket.socketpair()
        for each in (self._ours, self._theirs):
            each.setblocking(False)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await loop.create_connection(lambda: self._protocol, sock=self._ours)
        self.line: Line = self._protocol.line

    async def stop_reading(self) -> None:
        while self.line.clear:
            self.broadcaster.broadcast(self.FILLING, [self.line])

    async def read_on(self) -> tuple[list[bytes], int | None]:
        loop = asyncio.get_running_loop()
        browser = Protocol(CLIENT)
        texts: list[bytes] = []
        async with asyncio.timeout(PATIENCE_S):
            if not self._protocol.line.closed:  # a mark behind all that was sent
                while not self.line.clear:
                    browser.receive_data(await loop.sock_recv(self._theirs, 65_536))
                self.broadcaster.broadcast(b"end", [self.line])
            while True:
                for frame in browser.events_received():
                    assert isinstance(frame, Frame)
                    if frame.opcode is Opcode.CLOSE:
                        return texts, Close.parse(frame.data).code
                    if frame.data == b"end":
                        return texts, None
                    if frame.data != self.FILLING:
                        texts.append(bytes(frame.data))
                browser.receive_data(await loop.sock_recv(self._theirs, 65_536))

    async def aclose(self) -> None:
        self._protocol.line.transport.abort()
        self._theirs.close()
        await self._protocol.lost.wait()


class _Sending(asyncio.Protocol):
    """As much of a protocol as a BrowserLine needs."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)
        self.lost = asyncio.Event()
        self.line = BrowserLine(transport, SlowRules(10_000_000, 60.0), self._hang_up)

    def pause_writing(self) -> None:
        self.line.pause()

    def resume_writing(self) -> None:
        self.line.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def _hang_up(self, code: int, reason: str) -> None:
        frame = Frame(Opcode.CLOSE, Close(code, reason).serialize())
        self.line.transport.write(frame.serialize(mask=False))


End = MemoryEnd | SocketEnd


@pytest.fixture(params=[MemoryEnd, SocketEnd], ids=["memory", "websocket"])
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[list[End]]:
    """Two browsers."""
    async with contextlib.AsyncExitStack() as stack:
        found = [request.param(), request.param()]
        for each in found:
            await each.open()
            stack.push_async_callback(each.aclose)
        yield found


@pytest.fixture
def end(ends: list[End]) -> End:
    return ends[0]


def send(end: End, *texts: bytes, key: Hashable = None) -> None:
    for text in texts:
        end.broadcaster.broadcast(text, [end.line], key)


# -- Line ------------------------------------------------------------------------------------------


async def test_what_is_sent_arrives_in_the_order_of_sending(end: End) -> None:
    sent = [b"%d" % n for n in range(100)]
    for n, text in enumerate(sent):
        send(end, text, key=n if n % 2 else None)
    assert await end.read_on() == (sent, None)


async def test_what_waits_arrives_in_the_order_of_sending(end: End) -> None:
    send(end, b"0")
    await end.stop_reading()
    sent = [b"%d" % n for n in range(1, 100)]
    for n, text in enumerate(sent):
        send(end, text, key=n if n % 2 else None)
    assert await end.read_on() == ([b"0", *sent], None)


async def test_what_is_kept_under_a_key_goes_where_its_newest_value_was_kept(end: End) -> None:
    await end.stop_reading()
    send(end, b"a1", key="a")
    send(end, b"b1", key="b")
    send(end, b"c1")
    send(end, b"a2", key="a")
    send(end, b"d1", key="d")
    assert await end.read_on() == ([b"b1", b"c1", b"a2", b"d1"], None)


async def test_what_has_left_is_not_taken_back_by_its_key(end: End) -> None:
    send(end, b"a1", key="a")
    await end.stop_reading()
    send(end, b"a2", key="a")
    assert await end.read_on() == ([b"a1", b"a2"], None)
    send(end, b"a3", key="a")
    assert (await end.read_on())[0][-1:] == [b"a3"]


@pytest.mark.parametrize("reads", [True, False])
async def test_what_was_sent_before_a_close_arrives_before_it(end: End, reads: bool) -> None:
    if not reads:
        await end.stop_reading()
    send(end, b"1", key="a")
    send(end, b"2")
    end.line.close(1012, "restarting")
    assert await end.read_on() == ([b"1", b"2"], 1012)


async def test_closing_twice_does_nothing(end: End) -> None:
    end.line.close(4401, "the session has ended")
    end.line.close(1012, "restarting")
    assert await end.read_on() == ([], 4401)


@pytest.mark.parametrize("reads", [True, False])
async def test_what_is_sent_to_a_closed_line_goes_nowhere(end: End, reads: bool) -> None:
    if not reads:
        await end.stop_reading()
    end.line.close(4401, "the session has ended")
    send(end, b"1")
    send(end, b"2", key="a")
    assert await end.read_on() == ([], 4401)


async def test_sending_to_somebody_who_does_not_read_raises_nothing_and_waits_for_nobody(
    end: End,
) -> None:
    await end.stop_reading()
    send(end, *[b"x" * 1000] * 1000)
    send(end, b"last", key="a")
    assert not end.line.clear
    texts, _ = await end.read_on()
    assert texts[-1] == b"last"
    assert len(texts) == 1001


async def test_a_line_is_clear_while_there_is_room(end: End) -> None:
    assert end.line.clear
    await end.stop_reading()
    assert not end.line.clear
    await end.read_on()
    assert end.line.clear


@pytest.mark.parametrize("code", [1003, 1009, 1011, 1012, 1013, 4400, 4401, 4403, 4429, 4499])
async def test_a_code_is_a_close_code_of_websockets(end: End, code: int) -> None:
    end.line.close(code, "é" * 200)
    assert await end.read_on() == ([], code)


# -- Broadcaster -----------------------------------------------------------------------------------


async def test_each_of_the_lines_is_sent_the_text(ends: list[End]) -> None:
    ends[0].broadcaster.broadcast(b"1", [end.line for end in ends])
    ends[0].broadcaster.broadcast(b"2", (end.line for end in ends[1:]))
    ends[0].broadcaster.broadcast(b"3", [])
    assert [await end.read_on() for end in ends] == [([b"1"], None), ([b"1", b"2"], None)]


async def test_the_same_text_twice_is_sent_twice(end: End) -> None:
    send(end, b"1", b"1")
    send(end, b"1", b"1", key="a")
    assert await end.read_on() == ([b"1"] * 4, None)


async def test_the_same_text_twice_without_room_is_sent_once_under_one_key(end: End) -> None:
    await end.stop_reading()
    send(end, b"1", b"1")
    send(end, b"2", b"2", key="a")
    assert await end.read_on() == ([b"1", b"1", b"2"], None)


async def test_keys_are_each_line_s_own(ends: list[End]) -> None:
    for end in ends:
        await end.stop_reading()
    send(ends[0], b"1", key="a")
    send(ends[1], b"2", key="a")
    assert [(await end.read_on())[0] for end in ends] == [[b"1"], [b"2"]]


async def test_without_a_key_nothing_ever_takes_its_place(end: End) -> None:
    await end.stop_reading()
    send(end, b"1")
    send(end, b"2", b"3", key=1)
    send(end, b"4", b"5", key="a")
    send(end, b"6")
    assert await end.read_on() == ([b"1", b"3", b"5", b"6"], None)


@pytest.mark.parametrize("how", ["closed", "full"])
async def test_a_line_that_is_closed_or_full_is_no_affair_of_the_others(
    ends: list[End], how: str
) -> None:
    bad, good = ends
    if how == "closed":
        bad.line.close(4401, "the session has ended")
    else:
        await bad.stop_reading()
    for n in range(100):
        bad.broadcaster.broadcast(b"%d" % n, [bad.line, good.line])
    sent = [b"%d" % n for n in range(100)]
    assert await good.read_on() == (sent, None)
    assert (await bad.read_on())[0] == ([] if how == "closed" else sent)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
async def test_a_text_is_one_whole_message_of_utf8(end: End, size: int) -> None:
    text = ("é" * size).encode()[: size - size % 2] + b"x" * (size % 2)
    send(end, text)
    assert await end.read_on() == ([text], None)
