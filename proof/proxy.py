"""A TCP proxy between a client and a real server that fails as networks fail, when it is told to.

    async with Proxy("127.0.0.1", 6379) as proxy:
        ...  # the client connects to proxy.port
        lost = proxy.swallow_reply_to(b"XACK")
        await lost.happened.wait()  # the server has done it, and the client will not hear of it

A whole way (`requests`, `replies`) can be delayed, slowed down or swallowed, for every connection
and from the next piece on. Connections can be cut, refused, or left half-open: taken and kept, with
neither FIN nor RST, and every byte swallowed. And a fault can be armed for the next request whose
bytes contain a pattern, so that it strikes one XREADGROUP or one COMMIT and nothing before it.

A connection that has lost bytes is lost: `mend` is for those that come after. An armed fault
takes the next bytes of a reply for the answer to its request, which holds for clients that ask one
question at a time on a connection, as ours do.

It lives in the event loop of whoever uses it; meanwhile nothing there may block.
"""

import asyncio
from typing import Literal, Self
from urllib.parse import urlsplit

from attrs import define, field

PIECE = 64 * 1024  # bytes taken from a socket at once
BEATS_PER_S = 20  # in how many gulps a second a slow way carries: smooth enough, and cheap
PATTERN_MAX = 64  # bytes remembered of a request, for a pattern that two pieces share
HOST = "127.0.0.1"

What = Literal["swallow", "cut", "half-open"]


@define(eq=False)
class Way:
    """One direction, of every connection. A piece is what one read of a socket gave."""

    delay_s: float = 0.0
    """How long each piece waits."""
    bytes_per_s: float | None = None
    """None: as fast as it goes."""
    swallows: bool = False
    """Nothing arrives any more, and the connection stays open."""


@define(eq=False)
class Armed:
    """A fault that waits for its request. `happened` is set when it has done its harm: when bytes
    of the reply were there and did not arrive, or the request itself was swallowed."""

    pattern: bytes
    what: What
    after_bytes: int = 0
    happened: asyncio.Event = field(factory=asyncio.Event)


class Proxy:
    """Between its `port` and the server at `host` and `port`. An async context manager."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.requests, self.replies = Way(), Way()
        self._server_address = host, port
        self._listening: asyncio.Server | None = None
        self._half_open = False
        self._armed: list[Armed] = []
        self._links: dict[asyncio.Task[None], _Link] = {}

    @classmethod
    def before(cls, url: str) -> Self:
        """In front of the server that a URL names."""
        parts = urlsplit(url)
        assert parts.port is not None, "the URL names the port"
        return cls(parts.hostname or HOST, parts.port)

    def through(self, url: str) -> str:
        """The same URL with the way through here."""
        parts = urlsplit(url)
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return parts._replace(netloc=f"{user}{HOST}:{self.port}").geturl()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        tasks = list(self._links)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what can go wrong ----------------------------------------------------------------------

    async def refuse(self) -> None:
        """From now on nobody listens here; connections that are open stay so."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def accept(self) -> None:
        """Listen (again), on the same port."""
        assert self._listening is None, "it is listening"
        self._listening = await asyncio.start_server(self._connected, HOST, self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Close every connection, on both sides, whatever was under way."""
        for link in self._links.values():
            link.cut()

    def half_open(self) -> None:
        """From now on every connection, also a new one, is taken, kept and swallowed."""
        self._half_open = True

    def mend(self) -> None:
        """All is well for connections that come now. Those that lost bytes stay as they are."""
        self._half_open = False
        self._armed.clear()
        self.requests, self.replies = Way(), Way()

    def swallow_reply_to(self, pattern: bytes) -> Armed:
        """The next request with these bytes takes effect; no reply comes on its connection."""
        return self._arm(Armed(pattern, "swallow"))

    def cut_reply_to(self, pattern: bytes, after_bytes: int) -> Armed:
        """The next request with these bytes takes effect; of the reply `after_bytes` arrive, then
        both sides are closed."""
        return self._arm(Armed(pattern, "cut", after_bytes))

    def half_open_at(self, pattern: bytes) -> Armed:
        """The next request with these bytes, and all that follows on its connection, is swallowed,
        and both sides believe that it stands."""
        return self._arm(Armed(pattern, "half-open"))

    def _arm(self, fault: Armed) -> Armed:
        assert 0 < len(fault.pattern) <= PATTERN_MAX
        self._armed.append(fault)
        return fault

    # -- how it works ---------------------------------------------------------------------------

    def swallows(self, way: Way) -> bool:
        return self._half_open or way.swallows

    def struck_by(self, seen: bytes) -> Armed | None:
        """The armed fault that waits for these bytes; it strikes once."""
        found = next((fault for fault in self._armed if fault.pattern in seen), None)
        if found is not None:
            self._armed.remove(found)
        return found

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, reader, writer)
        task = asyncio.create_task(link.run(*self._server_address))
        self._links[task] = link
        task.add_done_callback(lambda done: self._links.pop(done, None))


class _Link:
    """One client and its connection to the server. A way that has swallowed anything is lost: it
    takes whatever comes and passes on nothing, not even the end."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._from_client, self._writers = reader, [writer]
        self._fate: Armed | None = None  # of the replies from now on
        self._requests_lost = self._replies_lost = False

    async def run(self, host: str, port: int) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(host, port)
            self._writers.append(to_server)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._ask(to_server))
                ways.create_task(self._answer(from_server))
        except* OSError:
            pass  # the server is away, or one of the two is gone in the middle of a piece
        finally:
            self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _ask(self, server: asyncio.StreamWriter) -> None:
        seen = b""
        while piece := await _read(self._from_client):
            seen = seen[-PATTERN_MAX:] + piece
            if (fault := self._proxy.struck_by(seen)) is not None:
                # Before it is sent on, so that no reply is faster than its fate.
                self._fate, seen = fault, b""
                if fault.what == "half-open":
                    self._requests_lost = self._replies_lost = True
                    fault.happened.set()
            self._requests_lost |= self._proxy.swallows(self._proxy.requests)
            if not self._requests_lost:
                await _carry(piece, self._proxy.requests, server)
        if not self._requests_lost:
            server.write_eof()

    async def _answer(self, server: asyncio.StreamReader) -> None:
        client = self._writers[0]
        passed = 0
        while piece := await _read(server):
            self._replies_lost |= self._proxy.swallows(self._proxy.replies)
            if self._replies_lost:
                continue
            allowed = piece if self._fate is None else piece[: self._fate.after_bytes - passed]
            await _carry(allowed, self._proxy.replies, client)
            if self._fate is not None:
                passed += len(allowed)
                if len(allowed) < len(piece):
                    self._replies_lost = True
                    self._fate.happened.set()
                    if self._fate.what == "cut":
                        self._requests_lost = True
                        client.write_eof()  # not abort: what has passed still arrives
                        self._writers[1].transport.abort()
        if not self._replies_lost:
            client.write_eof()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """A piece; nothing at the end, be it a clean one or not."""
    try:
        return await reader.read(PIECE)
    except ConnectionError:
        return b""


async def _carry(piece: bytes, way: Way, to: asyncio.StreamWriter) -> None:
    if way.delay_s:
        await asyncio.sleep(way.delay_s)
    while piece:
        gulp = len(piece) if way.bytes_per_s is None else max(1, int(way.bytes_per_s / BEATS_PER_S))
        to.write(piece[:gulp])
        await to.drain()
        piece = piece[gulp:]
        if way.bytes_per_s is not None:
            await asyncio.sleep(gulp / way.bytes_per_s)
