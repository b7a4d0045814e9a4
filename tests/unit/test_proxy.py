"""The proxy fails as it is told to and not otherwise: before a server that echoes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from proof.proxy import Proxy

SOON_S = 0.15
"""What does not arrive within this will not arrive: everything is on this machine."""
BIG = bytes(range(256)) * 4096

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """What came, and from how many connections that are still open."""

    def __init__(self) -> None:
        self.heard = b""
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while data := await reader.read(65536):
                self.heard += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.transport.abort()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest_asyncio.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with Proxy(*server.sockets[0].getsockname()) as proxy:
        yield proxy
    server.close()
    async with asyncio.timeout(5):
        while echo.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def connect(proxy: Proxy) -> AsyncIterator[Callable[[], Awaitable[Line]]]:
    writers = []

    async def one() -> Line:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(writer)
        return reader, writer

    yield one
    for writer in writers:
        writer.transport.abort()


async def silent(reader: asyncio.StreamReader) -> bool:
    """Neither bytes nor an end."""
    try:
        await asyncio.wait_for(reader.read(1), SOON_S)
    except TimeoutError:
        return True
    return False


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What still comes before the end, which comes soon."""
    received = b""
    try:
        while piece := await asyncio.wait_for(reader.read(65536), 5):
            received += piece
    except ConnectionError:
        pass
    return received


async def asks(line: Line, question: bytes) -> bytes:
    reader, writer = line
    writer.write(question)
    return await asyncio.wait_for(reader.readexactly(len(question)), 5)


async def test_it_passes_everything_both_ways_and_the_end(connect, echo):
    reader, writer = await connect()
    answer = asyncio.create_task(reader.read(-1))
    writer.write(BIG)
    await writer.drain()
    writer.write_eof()
    assert await asyncio.wait_for(answer, 5) == BIG
    assert echo.heard == BIG


async def test_a_url_leads_through_it():
    proxy = Proxy.before("postgresql://me:secret@127.0.0.1:5432/rally?sslmode=disable")
    proxy.port = 7
    through = proxy.through("postgresql://me:secret@127.0.0.1:5432/rally?sslmode=disable")
    assert through == "postgresql://me:secret@127.0.0.1:7/rally?sslmode=disable"
    assert proxy.through("redis://localhost:6379/0") == "redis://127.0.0.1:7/0"


@pytest.mark.parametrize("way", ["requests", "replies"])
async def test_a_delay_holds_each_piece_and_only_while_it_is_set(connect, proxy, way):
    line, loop = await connect(), asyncio.get_running_loop()
    await asks(line, b"one")
    getattr(proxy, way).delay_s = 0.2
    began = loop.time()
    await asks(line, b"two")
    assert loop.time() - began >= 0.2
    getattr(proxy, way).delay_s = 3600
    proxy.mend()
    await asks(line, b"three")


async def test_a_slow_way_takes_as_long_as_its_bytes_need(connect, proxy):
    line, loop = await connect(), asyncio.get_running_loop()
    proxy.replies.bytes_per_s = 50_000
    began = loop.time()
    await asks(line, bytes(10_000))
    assert loop.time() - began >= 0.15


async def test_what_is_cut_ends_on_both_sides_and_new_connections_are_well(connect, proxy, echo):
    line = await connect()
    await asks(line, b"one")
    proxy.cut()
    assert await ended(line[0]) == b""
    await asks(await connect(), b"two")
    assert echo.open == 1


async def test_refused_is_refused_while_open_connections_stay(connect, proxy):
    line = await connect()
    await asks(line, b"one")
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await connect()
    await asks(line, b"two")
    await proxy.accept()
    await asks(await connect(), b"three")


async def test_half_open_takes_everything_says_nothing_and_ends_nothing(connect, proxy, echo):
    old = await connect()
    await asks(old, b"one")
    proxy.half_open()
    new = await connect()
    for reader, writer in (old, new):
        writer.write(b"lost")
        assert await silent(reader)
    assert echo.heard == b"one"
    proxy.mend()
    old[1].write(b"lost, too")
    assert await silent(old[0])
    old[1].close()
    await asks(await connect(), b"two")
    assert echo.heard == b"onetwo"
    assert echo.open == 3, "the server has not heard of any end"


async def test_a_swallowed_reply_is_that_of_the_next_request_with_the_pattern(connect, proxy, echo):
    first, second = await connect(), await connect()
    lost = proxy.swallow_reply_to(b"XACK")
    assert await asks(first, b"XREADGROUP") == b"XREADGROUP"
    assert not lost.happened.is_set()
    second[1].write(b"XA")
    assert await second[0].readexactly(2) == b"XA"
    second[1].write(b"CK")
    await asyncio.wait_for(lost.happened.wait(), 5)
    assert echo.heard == b"XREADGROUPXACK", "it takes effect"
    assert await silent(second[0])
    assert await asks(first, b"XACK") == b"XACK", "it strikes once, and one connection"
    second[1].close()
    async with asyncio.timeout(5):
        while echo.open != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("after", [1, 70_000, len(BIG) - 1])
async def test_a_reply_is_cut_in_its_middle(connect, proxy, after):
    reader, writer = await connect()
    await asks((reader, writer), b"a reply before")
    lost = proxy.cut_reply_to(BIG[:16], after)
    received = asyncio.create_task(ended(reader))
    writer.write(BIG)
    assert await received == BIG[:after]
    assert lost.happened.is_set()
    await asks(await connect(), BIG[:16])


async def test_half_open_at_a_request_swallows_it_and_all_that_follows(connect, proxy, echo):
    line, other = await connect(), await connect()
    await asks(line, b"BEGIN")
    lost = proxy.half_open_at(b"COMMIT")
    line[1].write(b"COMMIT")
    await asyncio.wait_for(lost.happened.wait(), 5)
    line[1].write(b"and more")
    assert await silent(line[0])
    line[1].close()
    await asks(other, b"well")
    assert echo.heard == b"BEGINwell"
    assert echo.open == 2


async def test_swallowed_replies_let_requests_through(connect, proxy, echo):
    reader, writer = await connect()
    proxy.replies.swallows = True
    writer.write(b"done")
    assert await silent(reader)
    assert echo.heard == b"done"
    proxy.mend()
    writer.write(b"done again")
    assert await silent(reader), "what is lost stays lost"
    assert await asks(await connect(), b"well") == b"well"


async def test_a_server_that_is_away_sends_its_clients_away():
    async with Proxy("127.0.0.1", 1) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await ended(reader) == b""
        writer.close()
