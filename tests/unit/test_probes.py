"""/metrics, /healthz, /readyz, asked over a real socket."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator

import pytest

from processor.adapters.probes import STALE_S, Readiness, application
from processor.core.notices import (
    DependencyAnswered,
    DependencyRefused,
    GroupOpened,
    IngestStopped,
    RetryScheduled,
)
from processor.entrypoints.serving import Serving, listen

CHECKS = {"ingest": ["stream", "stream-accepts", "ingest"], "other": ["other"]}


@pytest.fixture
def now_s() -> list[float]:
    return [0.0]


@pytest.fixture
def readiness(now_s: list[float]) -> Readiness:
    return Readiness(CHECKS, elapsed=lambda: now_s[0])


@pytest.fixture
async def port(readiness: Readiness) -> AsyncIterator[int]:
    bound = listen("127.0.0.1", 0, prefix="METRICS")
    free = bound.getsockname()[1]
    server = Serving(application(readiness, lambda: (b"up 1\n", "text/plain"), free), bound)
    running = asyncio.create_task(server.run())
    await server.listening()
    yield free
    server.stop()
    async with asyncio.timeout(5):
        await running


async def ask(port: int, path: str, method: str = "GET", host: str = "x") -> tuple[int, str]:
    """Status and body of one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(5):
        answer = (await reader.read()).decode()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    assert "server:" not in head.lower(), "nobody needs to know what we run on"
    return int(head.split(" ", 2)[1]), body


async def test_metrics_and_health_are_there_at_once(port: int) -> None:
    assert await ask(port, "/metrics") == (200, "up 1\n")
    assert await ask(port, "/healthz") == (200, "alive\n")


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/readyz?verbose"])
async def test_head_is_like_get_without_a_body(port: int, path: str) -> None:
    get = await ask(port, path)
    assert get[1]
    assert await ask(port, path, "HEAD") == (get[0], "")


@pytest.mark.parametrize("path", ["/", "/healthz/", "/metrics/x", "//healthz", "/HEALTHZ"])
async def test_anything_else_is_not_found(port: int, path: str) -> None:
    status, body = await ask(port, path)
    assert (status, "http" in body) == (404, False)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_not_allowed(port: int, method: str) -> None:
    assert (await ask(port, "/healthz", method))[0] == 405


@pytest.mark.parametrize("host", ["evil/readyz?role=other#", "a@b", "[::1"])
async def test_what_the_client_calls_the_host_changes_nothing(port: int, host: str) -> None:
    assert (await ask(port, "/healthz", host=host))[0] == 200
    assert (await ask(port, "/readyz", host=host))[0] == 503


async def test_ready_when_every_check_of_the_role_holds(port: int, readiness: Readiness) -> None:
    assert await ask(port, "/readyz?role=ingest") == (503, "not ready\n")
    readiness.note("stream", ok=True)
    readiness.note("stream-accepts", ok=True)
    assert (await ask(port, "/readyz?role=ingest"))[0] == 503
    readiness.observe(GroupOpened(created=False))
    assert await ask(port, "/readyz?role=ingest") == (200, "ready\n")
    assert (await ask(port, "/readyz"))[0] == 503, "the other role is not"
    readiness.note("other", ok=True)
    assert await ask(port, "/readyz") == (200, "ready\n")


async def test_a_role_of_another_process_is_not_found(port: int) -> None:
    assert (await ask(port, "/readyz?role=live"))[0] == 404


async def test_verbose_lists_each_check_and_the_port(port: int, readiness: Readiness) -> None:
    readiness.note("stream", ok=False, said="no connection")
    status, body = await ask(port, "/readyz?role=ingest&verbose")
    assert status == 503
    assert json.loads(body) == {
        "ready": False,
        "port": port,
        "checks": {
            "stream": {"ok": False, "said": "no connection"},
            "stream-accepts": {"ok": False, "said": "not yet"},
            "ingest": {"ok": False, "said": "not yet"},
        },
    }


def test_a_check_that_nobody_renews_is_not_believed(
    readiness: Readiness, now_s: list[float]
) -> None:
    readiness.note("other", ok=True)
    now_s[0] = STALE_S
    assert readiness.ready("other")
    now_s[0] = STALE_S + 0.1
    assert not readiness.ready("other")


def test_a_refusal_lasts_until_the_dependency_answers(
    readiness: Readiness, now_s: list[float]
) -> None:
    for check in CHECKS["ingest"]:
        readiness.note(check, ok=True, lasting=True)
    assert readiness.ready("ingest")
    readiness.observe(DependencyRefused("stream", "credentials", "wrong password", 30.0))
    now_s[0] = 3_600.0
    assert not readiness.ready("ingest")
    assert readiness.checks("ingest")["stream-accepts"].said == "wrong password"
    readiness.observe(DependencyAnswered("stream"))
    assert readiness.ready("ingest")
    readiness.observe(IngestStopped(0))
    assert not readiness.ready("ingest")


def test_work_that_has_to_wait_is_not_ready_though_the_server_answers(readiness: Readiness) -> None:
    for check in CHECKS["ingest"]:
        readiness.note(check, ok=True, lasting=True)
    readiness.observe(RetryScheduled("stream", "read-only", "a lost race", 0.0))
    assert readiness.ready("ingest"), "at once is no wait"
    readiness.observe(RetryScheduled("stream", "full", "OOM: no letters are taken", 30.0))
    readiness.note("stream", ok=True, said="answers")
    assert not readiness.ready("ingest")
    readiness.observe(DependencyAnswered("stream"))
    assert readiness.ready("ingest")


def test_a_port_that_is_taken_is_said_with_what_to_do() -> None:
    with listen("127.0.0.1", 0, prefix="METRICS") as first:
        taken = first.getsockname()[1]
        with pytest.raises(OSError, match=f"METRICS_PORT {taken} on 127.0.0.1 cannot be had"):
            listen("127.0.0.1", taken, prefix="METRICS")


def test_a_host_that_is_not_ours_is_said() -> None:
    with pytest.raises(OSError, match="METRICS_"):
        listen("host.invalid", 0, prefix="METRICS")


async def test_signals_are_left_alone(port: int) -> None:
    assert await ask(port, "/healthz") == (200, "alive\n")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
