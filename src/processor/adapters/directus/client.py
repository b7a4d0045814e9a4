"""The questions that we ask Directus, and what its answers mean.

Directus decides; we carry its visitor's `Cookie` header to it and read the status. A status that is
no decision, or a body that is none of Directus's (the page of a proxy, with status 200), decides
nothing: it is Unavailable.

HTTP is aiohttp's. It has been kept by a team for ten years, parses in C, and does on its own none
of what would harm here once it is told so: no proxy of the environment, no redirect, no cookie kept
from one user's answer for another's request, no compressed body that swells.
"""

import asyncio
import re
from collections.abc import Callable, Container
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from processor.adapters.directus.errors import FAILURES, of_status, translate, unavailable
from processor.core.errors import Refused
from processor.core.ports import Access

MOST_BYTES = 64 * 1024
"""Of an answer. A user with every field filled in takes a few thousand."""

KEPT_S = 4.0
"""How long a connection is kept idle: Node closes it after 5 s, and a request that meets its end
would have to be sent again."""

PROBE_TIMEOUT_S = 3.0
"""Readiness is asked every 5 s and must not queue up behind itself."""

HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "rally-processor",
}

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

ACCESS = {
    200: Access.GRANTED,
    401: Access.ENDED,
    403: Access.FORBIDDEN,
    404: Access.NOT_FOUND,
}


class _User(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(min_length=1)]


class _Me(msgspec.Struct):
    """`data: null` is what a Directus says that lets the public ask."""

    data: _User | None


class _Event(msgspec.Struct):
    """An object, whatever it holds."""


class _Item(msgspec.Struct):
    data: _Event


T = TypeVar("T")

_me = msgspec.json.Decoder(_Me).decode
_item = msgspec.json.Decoder(_Item).decode


class DirectusClient:
    """Directus over HTTP, with `connections` at most; it connects when it is first asked.

    A cookie is one that `cookies.to_send` has passed. `timeout_s` bounds all of a call, from
    connecting to the answer's last byte.
    Raises Refused if `base_url` is none. Every question raises Unavailable.
    """

    def __init__(self, base_url: str, *, connections: int) -> None:
        self._base = _checked(base_url)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def identify(self, cookie: str, timeout_s: float) -> str | None:
        """The id of the user whose session it is; None if it is nobody's."""
        status, body = await self._get("/users/me", timeout_s, {200, 401, 403}, cookie)
        if status != 200:
            return None
        me = _read(_me, body)
        if me is None:
            raise unavailable("malformed", "that is no user")
        return me.data.id if me.data else None

    async def may_read(self, cookie: str, event_id: str, timeout_s: float) -> Access:
        """What Directus says of the event, which is a UUID: nothing else gets into a path."""
        assert UUID.fullmatch(event_id), "only a UUID names an event"
        path = f"/items/events/{event_id}?fields=id"
        status, body = await self._get(path, timeout_s, ACCESS, cookie)
        if status == 200 and _read(_item, body) is None:
            raise unavailable("malformed", "that is no event")
        return ACCESS[status]

    async def ask(self) -> None:
        """Return if Directus is there: if anything below 500 comes back."""
        await self._get("/server/ping", PROBE_TIMEOUT_S, range(500))

    async def _get(
        self, path: str, timeout_s: float, answers: Container[int], cookie: str | None = None
    ) -> tuple[int, bytes]:
        """Status and body, where the status is one of `answers`."""
        headers = {"Cookie": cookie} if cookie is not None else None
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._open().get(
                    self._base + path, headers=headers, allow_redirects=False
                ) as response,
            ):
                if response.status in answers:
                    body = await _bounded(response.content)
                    if body is not None:
                        return response.status, body
                    failure = unavailable("too-large")
                else:
                    failure = of_status(response.status)
        except FAILURES as error:
            failure = translate(error)
        # Out here, so that the driver's error, which holds the cookie, is not this one's context.
        raise failure

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # One more than the calls that may be under way, for `ask`.
            connector = aiohttp.TCPConnector(limit=self._connections + 1, keepalive_timeout=KEPT_S)
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers=HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),  # `_get` has one deadline for all of it
                trust_env=False,
                auto_decompress=False,
            )
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


def _checked(base_url: str) -> str:
    """Without its last slash. It may have a path, behind a proxy that serves Directus under one."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise Refused(
            "directus", "url", "DIRECTUS_BASE_URL: http:// or https:// with a host is needed"
        )
    return base_url.rstrip("/")


def _read(decode: Callable[[bytes], T], body: bytes) -> T | None:
    """None where it is not what was asked for; what it is instead is nobody's to see."""
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


async def _bounded(content: aiohttp.StreamReader) -> bytes | None:
    """The whole body; None if it is too long."""
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)
