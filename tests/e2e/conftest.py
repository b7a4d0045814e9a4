"""The whole program as its user starts it, and what its user can see of it from outside."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import redis

from processor.entrypoints.demo.process import free_port

PATIENCE_S = 60.0  # how long a test waits for what must happen; on an idle machine it takes 1 s


def eventually(what: Callable[[], Any], why: str) -> Any:
    """Ask until the answer is true; fail with `why` after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := what()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {why}"
        time.sleep(0.02)
    return answer


class Service:
    """`processor run` in a process of its own."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, str]) -> None:
        self.port, self.live_port = free_port(), free_port()
        self.name = name
        self._log = folder / f"{name}.log"
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "processor", "run"],
                env={
                    **inherited,
                    # Where the lock of the name is: another test's service may have it, too.
                    "TMPDIR": str(folder),
                    "INSTANCE_ID": name,
                    "ROLES": "ingest",
                    "METRICS_HOST": "127.0.0.1",
                    "METRICS_PORT": str(self.port),
                    "LIVE_WS_HOST": "127.0.0.1",
                    "LIVE_WS_PORT": str(self.live_port),
                    **settings,
                },
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def told(self) -> str:
        """All that it has written, in all its lives."""
        return self._log.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def status(self, path: str) -> int:
        return self.get(path)[0]

    def ready(self) -> "Service":
        def answer() -> bool:
            assert self.process.poll() is None, self._log.read_text()
            return self.status("/readyz") == 200

        eventually(answer, f"{self.name} is ready; its log: {self._log.read_text()[-2000:]}")
        return self

    def metric(self, sample: str) -> float:
        """The value of one sample, such as `processor_acks_total`."""
        for line in self.get("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        raise AssertionError(f"no sample {sample}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def service(tmp_path: Path, rights: Any) -> Iterator[Callable[..., Service]]:
    """Start one: service("name", redis_url, postgres_url, stream, SETTING="value").

    It gets the rights of deploy/ and no more, on the servers that those URLs name.
    """
    running: list[Service] = []

    def start(
        name: str, redis_url: str, postgres_url: str, stream: str, **settings: str
    ) -> Service:
        addresses = {
            "REDIS_URL": rights.redis(redis_url),
            "POSTGRES_URL": rights.service(postgres_url),
            "REDIS_TELEMETRY_STREAM": stream,
        }
        running.append(Service(tmp_path, name, addresses | settings))
        return running[-1]

    yield start
    for process in (each.process for each in running):
        if process.poll() is None:
            process.kill()
            process.wait()


class Producer:
    """What the ingestion service does, and what a look at the stream tells."""

    def __init__(self, url: str, stream: str) -> None:
        self.stream = stream
        self.redis = redis.Redis.from_url(url, protocol=2)
        self.began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)

    def payload(self, n: int, **members: Any) -> dict[str, Any]:
        fixed_at = self.began + timedelta(seconds=n // 10)
        return {
            "device_id": f"35630704244{n % 10:04d}",
            "timestamp": fixed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "latitude": 41.3 + n * 1e-5,
            "longitude": 19.8,
            "altitude": 120,
            "angle": 90,
            "speed": 63,
            "satellites": 11,
            "priority": 0,
            "attributes": {"239": 1, "66": 12811},
        } | members

    def add(self, payload: Mapping[str, Any] | bytes, codec: str = "8E") -> str:
        text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return self.add_fields({"ts": "", "device_id": "", "codec": codec, "payload": text})

    def add_fields(self, fields: Mapping[str, Any]) -> str:
        return self.redis.xadd(self.stream, dict(fields)).decode()

    def settled(self) -> bool:
        """Is everything read and acknowledged?"""
        groups = self.redis.xinfo_groups(self.stream)
        last = self.redis.xinfo_stream(self.stream)["last-generated-id"]
        return bool(groups) and all(
            group["pending"] == 0 and group["last-delivered-id"] == last for group in groups
        )

    def pending(self) -> int:
        return self.redis.xpending(self.stream, "processor")["pending"]

    def dead_letters(self) -> list[dict[str, str]]:
        return [
            {key.decode(): value.decode(errors="replace") for key, value in fields.items()}
            for _, fields in self.redis.xrange(f"{self.stream}:dlq")
        ]


@pytest.fixture
def producer(stream_name: str) -> Iterator[Callable[[str], Producer]]:
    made: list[Producer] = []

    def make(url: str) -> Producer:
        made.append(Producer(url, stream_name))
        return made[-1]

    yield make
    for each in made:
        each.redis.close()


async def query(url: str, sql: str, *arguments: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url, timeout=30)
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()


@pytest.fixture(name="query")
def query_fixture() -> Callable[..., Any]:
    return query


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[[Callable[[], Any], str], Any]:
    return eventually


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser(chromium: dict[str, Any]) -> AsyncIterator[Any]:
    """A running Chromium; tests that use it run in the module's loop, as it does."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**chromium)
        yield browser
        await browser.close()
