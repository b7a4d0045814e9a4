"""What the questions to Directus look like on the wire, and how a peer may misbehave.

A real Directus cannot be made to misbehave, so the peer is a socket that sends what it is told.
"""

import asyncio
import gc
import gzip
import logging
import re
import ssl
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest

import processor
from processor.adapters.directus.client import KEPT_S, MOST_BYTES, DirectusClient
from processor.adapters.directus.cookies import hash_of, to_send
from processor.adapters.directus.errors import FAILURES, REASONS, TROUBLES, translate
from processor.adapters.directus.verifier import DirectusAuthVerifier
from processor.adapters.system import SystemClock
from processor.core.errors import Refused, Unavailable
from processor.core.ports import Access

EVENT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
SECRET = "eyJhbGciOi.very.secret"
COOKIE = f"directus_session_token={SECRET}"
USER = "11111111-2222-3333-4444-555555555555"
ME = b'{"data":{"id":"%s"}}' % USER.encode()
ITEM = b'{"data":{"id":"%s"}}' % EVENT.encode()
TIMEOUT_S = 0.3
FOR_EVER_S = 30.0
"""Whoever waits that long, on however busy a machine, does not stop by himself."""

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Peer:
    """Something that listens where Directus should. `says` is sent for each request as it is."""

    def __init__(self) -> None:
        self.says: bytes | Answering = http(200, ME)
        self.url = ""
        self.heard: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heard.append(await reader.readuntil(b"\r\n\r\n"))
                if isinstance(self.says, bytes):
                    writer.write(self.says)
                    await writer.drain()
                else:
                    await self.says(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def lines(self) -> list[str]:
        """Of the one request that was heard."""
        (request,) = self.heard
        return request.decode("latin-1").split("\r\n")


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    found = Peer()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield found
    server.close()  # and not wait: some of its visitors are never answered


@pytest.fixture
async def client(peer: Peer) -> AsyncIterator[DirectusClient]:
    found = DirectusClient(peer.url, connections=8)
    yield found
    await found.aclose()


async def reason_of(question: Awaitable[object]) -> str:
    with pytest.raises(Unavailable) as caught:
        await question
    said = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert SECRET not in said
    assert EVENT not in said
    assert USER not in said
    assert caught.value.dependency == "directus"
    return caught.value.reason


# ------------------------------------------------------------------------------------- questions


async def test_who_somebody_is_is_asked_with_the_header_as_it_came(peer, client) -> None:
    cookie = f'theme=dark; {COOKIE}; odd="a, b";x=1'
    assert await client.identify(cookie, 5) == USER
    lines = peer.lines()
    assert lines[0] == "GET /users/me HTTP/1.1"
    assert [line for line in lines if line.lower().startswith("cookie:")] == [f"Cookie: {cookie}"]
    assert "Accept-Encoding: identity" in lines


async def test_whether_an_event_may_be_read_is_asked_with_it_too(peer, client) -> None:
    peer.says = http(200, ITEM)
    assert await client.may_read(COOKIE, EVENT, 5) is Access.GRANTED
    assert peer.lines()[0] == f"GET /items/events/{EVENT}?fields=id HTTP/1.1"
    assert f"Cookie: {COOKIE}" in peer.lines()


@pytest.mark.parametrize("path", ["/api", "/api/", "/deep/er/", "/"])
async def test_directus_may_live_under_a_path(peer, path: str) -> None:
    client = DirectusClient(peer.url + path, connections=1)
    await client.identify(COOKIE, 5)
    assert peer.lines()[0] == f"GET {path.rstrip('/')}/users/me HTTP/1.1"
    await client.aclose()


async def test_whether_it_is_there_is_asked_without_a_cookie(peer, client) -> None:
    peer.says = http(404, b"no such page")
    await client.ask()
    assert peer.lines()[0] == "GET /server/ping HTTP/1.1"
    assert "cookie" not in peer.heard[0].decode().lower()


async def test_a_connection_is_used_again_whatever_was_answered(peer, client) -> None:
    for status in (200, 401, 403):
        peer.says = http(status, ME)
        await client.identify(COOKIE, 5)
    assert peer.connections == 1
    assert KEPT_S < 5, "Node's own patience"


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(peer, client) -> None:
    async def answer_and_close(reader, writer) -> None:
        writer.write(http(200, ME))
        await writer.drain()
        writer.close()

    peer.says = answer_and_close
    for _ in range(3):
        assert await client.identify(COOKIE, 5) == USER
        await asyncio.sleep(0.01)


async def test_nothing_connects_before_it_is_asked() -> None:
    client = DirectusClient("http://127.0.0.1:1", connections=1)
    assert await reason_of(client.ask()) == "connection"
    await client.aclose()
    never_asked = DirectusClient("http://127.0.0.1:1", connections=1)
    await never_asked.aclose()


async def test_proxies_of_the_environment_are_not_for_us(peer, client, monkeypatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await client.identify(COOKIE, 5) == USER


async def test_no_cookie_of_an_answer_is_sent_with_another_request(peer, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    client = DirectusClient(peer.url.replace("127.0.0.1", "localhost"), connections=1)
    set_cookies = ("Set-Cookie: other=1; Path=/", f"Set-Cookie: ill egal=\x01{SECRET}")
    peer.says = http(200, ME, *set_cookies)
    for _ in range(2):
        await client.identify(COOKIE, 5)
    assert len(peer.heard) == 2
    assert not any(b"other" in request for request in peer.heard)
    assert SECRET not in caplog.text
    await client.aclose()


async def test_only_a_uuid_gets_into_the_path(peer, client) -> None:
    for event_id in ("..", "../users", f"{EVENT}?access_token=x", f"{EVENT}\r\nX: y", ""):
        with pytest.raises(AssertionError):
            await client.may_read(COOKIE, event_id, 5)
    assert peer.heard == []


@pytest.mark.parametrize(
    "url", ["", "directus", "ftp://h", "http://", "http://h:x", "http://h?x=1", "http://h/#x"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="DIRECTUS_BASE_URL"):
        DirectusClient(url, connections=1)


# --------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"", b"no JSON", b'{"errors":[]}', ME])
async def test_401_and_403_are_nobody(peer, client, status: int, body: bytes) -> None:
    peer.says = http(status, body)
    assert await client.identify(COOKIE, 5) is None


@pytest.mark.parametrize("body", [b'{"data":null}', b' {"data" : null, "more": [1]} '])
async def test_data_that_is_null_is_nobody(peer, client, body: bytes) -> None:
    peer.says = http(200, body)
    assert await client.identify(COOKIE, 5) is None


async def test_a_user_may_be_told_with_whatever_else_and_as_whatever_type(peer, client) -> None:
    body = b'{"data":{"id":"%s","email":"\xc3\xa9","tags":[{}]}}' % USER.encode()
    peer.says = http(200, body, "Content-Type: text/plain")
    assert await client.identify(COOKIE, 5) == USER


@pytest.mark.parametrize(
    ("status", "access"),
    [(401, Access.ENDED), (403, Access.FORBIDDEN), (404, Access.NOT_FOUND)],
)
async def test_a_refusal_needs_no_words(peer, client, status: int, access: Access) -> None:
    peer.says = http(status, b"<html>")
    assert await client.may_read(COOKIE, EVENT, 5) is access


UNDECIDED = {
    201: "unexpected-status",
    204: "unexpected-status",
    301: "redirect",
    302: "redirect",
    304: "unexpected-status",
    307: "redirect",
    400: "unexpected-status",
    418: "unexpected-status",
    429: "rate-limited",
    500: "server-error",
    502: "server-error",
    503: "server-error",
    599: "server-error",
}


@pytest.mark.parametrize("status", UNDECIDED)
async def test_any_other_status_decides_nothing(peer, client, status: int) -> None:
    body = b"" if status in {204, 304} else ME
    peer.says = http(status, body, "Location: /elsewhere", "Retry-After: 1")
    assert await reason_of(client.identify(COOKIE, 5)) == UNDECIDED[status]
    assert await reason_of(client.may_read(COOKIE, EVENT, 5)) == UNDECIDED[status]
    assert not any(b"elsewhere" in request for request in peer.heard)


async def test_404_says_that_there_is_no_event_but_not_that_there_is_no_user(peer, client) -> None:
    peer.says = http(404)
    assert await reason_of(client.identify(COOKIE, 5)) == "unexpected-status"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"<html>Down for maintenance</html>",
        b"null",
        b"[]",
        b"{}",
        b'{"data":5}',
        b'{"data":[]}',
        b'{"data":"x"}',
        b'{"errors":[]}',
        b'{"data":{"id":"\xff"}}',
        b"[" * 60_000,
        b'{"data":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    ],
)
async def test_a_body_that_is_none_of_directus_decides_nothing(peer, client, body) -> None:
    peer.says = http(200, body)
    assert await reason_of(client.identify(COOKIE, 5)) == "malformed"
    if b"id" not in body and b'"a"' not in body:
        assert await reason_of(client.may_read(COOKIE, EVENT, 5)) == "malformed"


@pytest.mark.parametrize("data", [b"{}", b'{"id":null}', b'{"id":5}', b'{"id":""}'])
async def test_a_user_without_an_id_is_none(peer, client, data: bytes) -> None:
    peer.says = http(200, b'{"data":%s}' % data)
    assert await reason_of(client.identify(COOKIE, 5)) == "malformed"


async def test_an_event_of_null_is_not_granted(peer, client) -> None:
    peer.says = http(200, b'{"data":null}')
    assert await reason_of(client.may_read(COOKIE, EVENT, 5)) == "malformed"


# ------------------------------------------------------------------------------------ misbehaviour


@pytest.mark.parametrize("status", [200, 401, 403])
async def test_an_answer_has_a_bound(peer, client, status: int) -> None:
    exactly = b'{"data":{"id":"x"}}'.ljust(MOST_BYTES)
    peer.says = http(200, exactly)
    assert await client.identify(COOKIE, 5) == "x"
    peer.says = http(status, exactly + b" ")
    assert await reason_of(client.identify(COOKIE, 5)) == "too-large"

    async def endlessly(reader, writer) -> None:
        writer.write(b"HTTP/1.1 %d OK\r\n\r\n" % status)
        while True:
            writer.write(b" " * 10_000)
            await writer.drain()

    peer.says = endlessly
    assert await reason_of(client.identify(COOKIE, 5)) == "too-large"


@pytest.mark.parametrize(
    "what",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + ME,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
    ids=["nothing", "headers", "body", "chunk"],
)
async def test_an_answer_that_is_cut_is_none(peer, client, what: bytes) -> None:
    async def cut(reader, writer) -> None:
        writer.write(what)
        await writer.drain()
        writer.close()

    peer.says = cut
    assert await reason_of(client.identify(COOKIE, 5)) == "connection"
    assert await reason_of(client.may_read(COOKIE, EVENT, 5)) == "connection"


async def test_an_answer_that_ends_with_the_connection_is_one(peer, client) -> None:
    async def without_length(reader, writer) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + ME)
        await writer.drain()
        writer.close()

    peer.says = without_length
    assert await client.identify(COOKIE, 5) == USER


@pytest.mark.parametrize(
    "what",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=["nothing", "headers", "body", "promises"],
)
async def test_who_does_not_finish_is_not_waited_for(peer, client, what: bytes) -> None:
    async def drip(reader, writer) -> None:
        writer.write(what)
        while True:
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(what[-1:] if what.endswith(b"{") else b"")

    peer.says = drip
    async with asyncio.timeout(FOR_EVER_S):
        assert await reason_of(client.identify(COOKIE, TIMEOUT_S)) == "timeout"
        assert await reason_of(client.may_read(COOKIE, EVENT, TIMEOUT_S)) == "timeout"


@pytest.mark.parametrize(
    "what",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ],
    ids=["ssh", "status", "length", "header", "headers", "tls"],
)
async def test_what_is_not_http_is_no_answer(peer, client, what: bytes) -> None:
    async def say_and_close(reader, writer) -> None:
        writer.write(what)
        await writer.drain()
        writer.close()

    peer.says = say_and_close
    assert await reason_of(client.identify(COOKIE, 5)) in {"malformed", "connection"}


async def test_a_chunk_that_is_none_is_no_answer(peer, client) -> None:
    peer.says = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    assert await reason_of(client.identify(COOKIE, 5)) in {"malformed", "connection"}


async def test_a_compressed_answer_that_was_not_asked_for_does_not_swell(peer, client) -> None:
    peer.says = http(200, gzip.compress(ME), "Content-Encoding: gzip")
    assert await reason_of(client.identify(COOKIE, 5)) == "malformed"


async def test_https_where_there_is_none_is_no_connection(peer) -> None:
    peer.says = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    client = DirectusClient(peer.url.replace("http://", "https://"), connections=1)
    assert await reason_of(client.identify(COOKIE, 1)) in {"connection", "timeout"}
    await client.aclose()


async def test_a_host_that_nobody_knows_is_named_so(client) -> None:
    unknown = DirectusClient("http://directus.invalid", connections=1)
    with pytest.raises(Unavailable, match="host's name is not known") as caught:
        await unknown.ask()
    assert caught.value.reason == "connection"
    await unknown.aclose()


async def test_a_port_where_nobody_listens_is_named_so() -> None:
    nobody = DirectusClient("http://127.0.0.1:1", connections=1)
    with pytest.raises(Unavailable, match="no connection to Directus: Connection refused"):
        await nobody.ask()
    await nobody.aclose()


@pytest.mark.parametrize(("status", "there"), [(200, True), (401, True), (404, True), (503, False)])
async def test_anything_below_500_is_there(peer, client, status: int, there: bool) -> None:
    peer.says = http(status, b"pong")
    if there:
        await client.ask()
    else:
        assert await reason_of(client.ask()) == "server-error"


# --------------------------------------------------------------------------------------- reasons


def test_every_reason_in_the_source_is_in_the_table() -> None:
    said = set()
    for path in (Path(processor.__file__).parent / "adapters" / "directus").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        said |= set(re.findall(r'unavailable\(\s*"([a-z-]+)"', text))
        said |= set(re.findall(r'"([a-z-]+)" if flight\.began_s is None else', text))
        said |= set(re.findall(r'is None else "([a-z-]+)"\)', text))
    assert said == REASONS == set(TROUBLES)


def kinds() -> Iterator[type[Exception]]:
    """Everything that aiohttp may raise, and what the system may raise below it."""
    yield from (
        OSError,
        TimeoutError,
        ConnectionResetError,
        BrokenPipeError,
        ssl.SSLError,
        EOFError,
    )
    for each in (*vars(aiohttp).values(), *vars(aiohttp.http_exceptions).values()):
        if isinstance(each, type) and issubclass(each, FAILURES):
            yield each


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=str), ids=lambda kind: kind.__name__)
def test_the_translation_is_total(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "something")
    if issubclass(kind, aiohttp.ClientConnectorError):
        error._os_error = OSError(104, "Connection reset by peer")
    assert translate(error).reason in REASONS


def test_a_certificate_that_is_not_trusted_is_named_so() -> None:
    found = translate(aiohttp.ClientConnectorCertificateError(None, ssl.SSLCertVerificationError()))
    assert (found.reason, found.pause) == ("certificate", Unavailable.Pause.LONG)


# --------------------------------------------------------------------------------------- cookies


NAME = "directus_session_token"


def same(*headers: str) -> bool:
    return len({hash_of(header, NAME) for header in headers}) == 1


def test_the_key_is_the_session_whatever_other_cookies_are_there() -> None:
    assert same(
        f"{NAME}=abc",
        f"a=1; {NAME}=abc",
        f"{NAME}=abc; a=2",
        f" \t{NAME}=abc ;b",
        f"x{NAME}=other; {NAME}=abc; {NAME}2=other",
        f"{NAME.upper()}=other;{NAME}=abc",
    )
    assert not same(f"{NAME}=abc", f"{NAME}=abd")
    assert not same(f"{NAME}=a=b", f"{NAME}=a=c")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a=1", "a=2"),
        (f"{NAME}=abc; {NAME}=x", f"{NAME}=abc; {NAME}=y"),
        (f"{NAME}=abc; {NAME}=x", f"{NAME}=abc"),
        (f"{NAME}=; a=1", f"{NAME}=; a=2"),
        (f"{NAME}; a=1", f"{NAME}; a=2"),
        (f"x{NAME}=abc; a=1", f"x{NAME}=abc; a=2"),
    ],
)
def test_without_one_clear_session_the_whole_header_counts(one: str, other: str) -> None:
    assert not same(one, other)


def test_the_key_does_not_tell_the_cookie() -> None:
    assert len(hash_of(COOKIE, NAME)) == 32
    assert SECRET.encode() not in hash_of(COOKIE, NAME)


async def test_bytes_go_out_as_they_came(peer, client) -> None:
    raw = b"name=J\xc3\xb6rg; " + COOKIE.encode()
    sent = to_send(raw.decode("latin-1"))
    assert sent is not None
    await client.identify(sent, 5)
    assert b"\r\nCookie: " + raw + b"\r\n" in peer.heard[0]


@pytest.mark.parametrize(
    "cookie",
    ["", " \t", "a=1\r\nX-Other: 1", "a=1\n", "a=\x00", "a=\x7f", "a=\u20ac", "a=\udc80", "a=\xff"],
)
def test_a_header_that_no_browser_sends_is_nobodys(cookie: str) -> None:
    assert to_send(cookie) is None


# -------------------------------------------------------------------------------------- verifier


@pytest.fixture
def told() -> list[tuple[str, str, float]]:
    return []


def verifier_at(
    peer: Peer, told: list[tuple[str, str, float]], *, auth_s: float, authz_s: float
) -> DirectusAuthVerifier:
    return DirectusAuthVerifier(
        DirectusClient(peer.url, connections=8),
        session_cookie=NAME,
        auth_timeout_ms=round(auth_s * 1000),
        authz_timeout_ms=round(authz_s * 1000),
        recheck_ms=60_000,
        max_concurrency=8,
        max_rps=20,
        clock=SystemClock(),
        tell=lambda *what: told.append(what),
    )


@pytest.fixture
async def verifier(peer: Peer, told) -> AsyncIterator[DirectusAuthVerifier]:
    found = verifier_at(peer, told, auth_s=5, authz_s=5)
    yield found
    await found.aclose()


async def test_nobody_is_asked_about_a_header_that_is_none(peer, verifier, told) -> None:
    for cookie in ("", "a=\r\n"):
        assert await verifier.identify(cookie) is None
        assert await verifier.may_read(cookie, EVENT) is Access.ENDED
    assert peer.heard == []
    assert told == []


async def test_each_call_is_told_once(peer, verifier, told) -> None:
    began_s = time.monotonic()
    for _ in range(3):
        assert await verifier.identify(COOKIE) == USER
        assert await verifier.may_read(COOKIE, EVENT) is Access.GRANTED
    peer.says = http(403)
    assert await verifier.identify("other=1") is None
    assert await verifier.may_read("other=1", EVENT) is Access.FORBIDDEN
    peer.says = http(500)
    assert await reason_of(verifier.identify("another=1")) == "server-error"
    assert await reason_of(verifier.may_read("another=1", EVENT)) == "server-error"
    assert [what[:2] for what in told] == [
        (question, result)
        for result in ("success", "unauthorized", "error")
        for question in ("identify", "may-read")
    ]
    took_s = [seconds for _, _, seconds in told]
    assert min(took_s) > 0
    assert sum(took_s) <= time.monotonic() - began_s
    assert len(peer.heard) == 6


async def test_each_question_has_its_own_patience(peer, told) -> None:
    async def silence(reader, writer) -> None:
        await asyncio.sleep(3600)

    peer.says = silence
    hasty_s, patient_s = 0.2, 2 * FOR_EVER_S
    for auth_s, authz_s in ((hasty_s, patient_s), (patient_s, hasty_s)):
        verifier = verifier_at(peer, told, auth_s=auth_s, authz_s=authz_s)
        hasty = (
            verifier.identify if auth_s == hasty_s else partial(verifier.may_read, event_id=EVENT)
        )
        began_s = time.monotonic()
        async with asyncio.timeout(FOR_EVER_S):
            assert await reason_of(hasty(COOKIE)) == "timeout"
        assert time.monotonic() - began_s > 0.99 * hasty_s
        await verifier.aclose()


async def test_nothing_shows_the_cookie(peer, verifier, caplog, capsys) -> None:
    caplog.set_level(logging.DEBUG)

    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader, writer) -> None:
        asked.set()
        await go_on.wait()
        writer.write(http(200, ITEM))

    peer.says = slow
    asking = asyncio.create_task(verifier.may_read(COOKIE, EVENT))
    await asked.wait()
    shown = f"{verifier!r} {vars(verifier)} {vars(verifier._rights)} {asyncio.all_tasks()}"
    go_on.set()
    assert await asking is Access.GRANTED
    shown += f"{vars(verifier._rights)['_kept'].values()}"
    await verifier.aclose()
    gc.collect()
    captured = capsys.readouterr()
    assert SECRET not in shown + caplog.text + captured.out + captured.err


async def test_the_end_is_told_to_whoever_waits(peer, verifier) -> None:
    async def silence(reader, writer) -> None:
        await asyncio.sleep(3600)

    peer.says = silence
    asking = asyncio.create_task(verifier.identify(COOKIE, recheck=True))
    await asyncio.sleep(0.05)
    await verifier.aclose()
    assert await reason_of(asking) == "closing"
    assert await reason_of(verifier.may_read(COOKIE, EVENT)) == "closing"
