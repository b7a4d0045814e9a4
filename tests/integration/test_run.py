"""`processor run` as a process, from start to exit code, on real servers that come and go."""

import asyncio
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis

from processor.entrypoints.demo.servers import Postgres, Valkey

WITHIN_S = 40.0
"""Something that is awaited comes within a second or two; this is for a machine that is busy."""

PAYLOAD = {
    "device_id": "356307042441013",
    "latitude": 42.0,
    "longitude": 21.4,
    "altitude": 245,
    "angle": 180,
    "speed": 57,
    "satellites": 11,
    "priority": 0,
    "attributes": {"239": 1},
}


class Process:
    """A `processor run` under test: its log lines as they come, and its HTTP."""

    def __init__(self, environ: dict[str, str], *arguments: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "processor", "run", *arguments],
            env={
                **kept,
                "ROLES": "ingest",
                "METRICS_HOST": "127.0.0.1",
                "METRICS_PORT": "0",
                **environ,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self._coming: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._coming.put(line)
        self._coming.put(None)

    def said(self, message: str) -> dict[str, Any]:
        """The first line of this name that was not asked for yet; waits for it."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            line = self._coming.get(timeout=max(0.0, deadline - time.monotonic()))
            assert line is not None, f"it ended without {message}: {self.lines}"
            self.lines.append(json.loads(line))
            if self.lines[-1]["message"] == message:
                return self.lines[-1]

    def ended(self) -> int:
        """The exit code, with every line read."""
        code = self.process.wait(WITHIN_S)
        self._reader.join(WITHIN_S)
        while (line := self._coming.get_nowait()) is not None:
            self.lines.append(json.loads(line))
        return code

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]

    def ask(self, path: str) -> tuple[int, str]:
        port = next(line["port"] for line in self.lines if line["message"] == "started")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def becomes(self, status: int) -> dict[str, Any]:
        """Wait until /readyz has this status; its checks. /healthz is 200 all the while."""
        answer: tuple[int, str] = (0, "")

        def there() -> bool:
            nonlocal answer
            assert self.ask("/healthz") == (200, "alive\n")
            answer = self.ask("/readyz?verbose")
            return answer[0] == status

        eventually(there, lambda: f"/readyz stays {answer}")
        return dict(json.loads(answer[1])["checks"])


def eventually(holds: Callable[[], bool], what: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start processes; none of them outlives the test. On real servers, give them `rights`."""
    running: list[Process] = []
    # Names are taken there: a neighbour's process would otherwise give the second of ours another
    # name than the first had, and what the first held would not be its own.
    names = {"TMPDIR": str(tmp_path)}

    def starting(*arguments: str, **environ: str) -> Process:
        running.append(Process(names | environ, *arguments))
        return running[-1]

    yield starting
    for one in running:
        one.process.kill()
        one.process.wait()
        assert one.process.stderr is not None
        one._reader.join()
        one.process.stderr.close()


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port on which nobody listens, kept from everybody else."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def away(nobody: int) -> dict[str, str]:
    """Two servers that are not there."""
    return {
        "ROLES": "ingest",
        "REDIS_URL": f"redis://127.0.0.1:{nobody}/0",
        "POSTGRES_URL": f"postgresql://nobody@127.0.0.1:{nobody}/rally",
    }


def feed(url: str, stream: str, seconds: range) -> None:
    """Put one fix for each second on the stream, and one that is none."""
    with redis.Redis.from_url(url, protocol=2) as client:
        for second in seconds:
            at = f"2026-05-02T09:{second // 60:02d}:{second % 60:02d}.000Z"
            payload = json.dumps({**PAYLOAD, "timestamp": at})
            client.xadd(stream, {"codec": "8E", "payload": payload})
        client.xadd(stream, {"codec": "8E", "payload": "no JSON"})


def rows(url: str) -> int:
    async def count() -> int:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM positions"))
        finally:
            await connection.close()

    return asyncio.run(count())


def pending(url: str, stream: str) -> int:
    with redis.Redis.from_url(url, protocol=2) as client:
        return int(client.xpending(stream, "processor")["pending"])


# ---- without servers


def test_while_servers_are_away_it_lives_and_is_not_ready(
    start: Callable[..., Process], away: dict[str, str]
) -> None:
    process = start(**away)
    process.said("started")
    checks = process.becomes(503)
    assert not checks["stream"]["ok"]
    assert not checks["database"]["ok"]
    status, metrics = process.ask("/metrics")
    assert status == 200
    assert 'processor_role_ready{role="ingest"} 0.0' in metrics
    process.process.send_signal(signal.SIGTERM)
    assert process.ended() == 0
    assert process.messages()[-1] == "stopped"


@pytest.mark.parametrize("listener", ["METRICS", "LIVE_WS"])
def test_a_port_that_is_taken_ends_it_with_78(away: dict[str, str], listener: str) -> None:
    others = {"METRICS_HOST": "127.0.0.1", "METRICS_PORT": "0", "LIVE_WS_HOST": "127.0.0.1"}
    roles = {"ROLES": "ingest,live", "LIVE_AUTH": "open"}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = subprocess.run(
            [sys.executable, "-m", "processor", "run"],
            env={**os.environ, **away, **roles, **others, f"{listener}_PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
    assert told.returncode == 78
    assert told.stderr.startswith(f"{listener}_PORT {port} on 127.0.0.1 cannot be had")


def test_a_name_that_a_living_process_has_ends_it_with_78(
    start: Callable[..., Process], away: dict[str, str], tmp_path: Path
) -> None:
    first = start(**away, INSTANCE_ID="the-one", TMPDIR=str(tmp_path))
    assert first.said("started")["instance_id"] == "the-one"
    told = subprocess.run(
        [sys.executable, "-m", "processor", "run"],
        env={**os.environ, **away, "INSTANCE_ID": "the-one", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert told.returncode == 78
    assert "INSTANCE_ID the-one is held by another living process" in told.stderr


@pytest.mark.slow  # half a minute, as the contract has it
def test_fail_fast_gives_up_with_69(start: Callable[..., Process], away: dict[str, str]) -> None:
    process = start("--fail-fast", **away)
    process.said("started")
    assert process.ended() == 69
    sentence = process.lines[-1]["sentence"]
    assert "stream: Redis" in sentence
    assert "database: no connection" in sentence


# ---- with servers


def test_a_bug_in_the_loop_is_one_line_and_70(
    rights: Any, redis_url: str, postgres_url: str
) -> None:
    planted = (
        "from processor.core.ingest.intake import Intake\n"
        "from processor.entrypoints.cli import main\n"
        "async def broken(self): raise LookupError('planted')\n"
        "Intake.read = broken\n"
        "main()\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", planted, "run"],
        env={
            **os.environ,
            "ROLES": "ingest",
            "REDIS_URL": rights.redis(redis_url),
            "POSTGRES_URL": rights.service(postgres_url),
            "METRICS_PORT": "0",
            "REDIS_TELEMETRY_STREAM": "telemetry:unused",
        },
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert told.returncode == 70
    lines = [json.loads(line) for line in told.stderr.splitlines()]
    assert [line["message"] for line in lines].count("crashed") == 1
    assert lines[-1]["error"] == "LookupError: planted"
    assert lines[-1]["where"] == "__main__:3"


def test_two_processes_on_a_host_have_two_names_and_share_the_work(
    start: Callable[..., Process],
    rights: Any,
    redis_url: str,
    postgres_url: str,
    stream_name: str,
    tmp_path: Path,
) -> None:
    environ = {
        "REDIS_URL": rights.redis(redis_url),
        "POSTGRES_URL": rights.service(postgres_url),
        "REDIS_TELEMETRY_STREAM": stream_name,
        "TMPDIR": str(tmp_path),
    }
    processes = [start(**environ), start(**environ)]
    names = {process.said("started")["instance_id"] for process in processes}
    assert len(names) == 2
    for process in processes:
        process.becomes(200)
    feed(redis_url, stream_name, range(20))
    eventually(lambda: rows(postgres_url) == 20 and pending(redis_url, stream_name) == 0)
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        found = client.xinfo_consumers(stream_name, "processor")
    assert {each["name"].decode() for each in found} == names


def test_a_stop_ends_in_time_while_redis_hangs(
    start: Callable[..., Process], rights: Any, own_redis: Valkey, postgres_url: str
) -> None:
    process = start(
        REDIS_URL=rights.redis(own_redis.url),
        POSTGRES_URL=rights.service(postgres_url),
        SHUTDOWN_TIMEOUT_MS="3000",
    )
    process.said("started")
    process.becomes(200)
    own_redis.pause()
    checks = process.becomes(503)  # whoever notices first: the work under way, or the probe
    assert not (checks["stream"]["ok"] and checks["stream-accepts"]["ok"])
    process.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert process.ended() == 0
    assert time.monotonic() - began < 20, "the grace that compose and Kubernetes give is 30 s"
    own_redis.resume()


def test_it_migrates_and_writes_what_comes_and_a_signal_ends_it_clean(
    start: Callable[..., Process], rights: Any, redis_url: str, database_url: str, stream_name: str
) -> None:
    feed(redis_url, stream_name, range(10))
    process = start(
        REDIS_URL=rights.redis(redis_url),
        POSTGRES_URL=rights.owner(database_url),
        REDIS_TELEMETRY_STREAM=stream_name,
    )
    process.said("started")
    process.becomes(200)
    eventually(lambda: rows(database_url) == 10 and pending(redis_url, stream_name) == 0)
    status, metrics = process.ask("/metrics")
    assert status == 200
    assert 'processor_position_writes_total{status="inserted"} 10.0' in metrics
    assert 'processor_dead_letters_total{reason="payload-not-json"} 1.0' in metrics
    assert "processor_acks_total 11.0" in metrics
    assert "processor_ingest_latency_seconds_count 11.0" in metrics
    process.process.send_signal(signal.SIGINT)
    assert process.ended() == 0
    said = process.messages()
    assert said.count("entries_rejected") == 1
    assert said[-3:] == ["stopping", "ingest_stopped", "stopped"]
    assert '"latitude"' not in json.dumps(process.lines)


def test_servers_that_come_late_and_go_and_come_again_lose_nothing(
    start: Callable[..., Process], rights: Any, own_redis: Valkey, own_postgres: Postgres
) -> None:
    owner = rights.owner(own_postgres.url)  # it has yet to migrate
    own_redis.stop()
    own_postgres.stop()
    process = start(REDIS_URL=rights.redis(own_redis.url), POSTGRES_URL=owner)
    process.said("started")
    assert not process.becomes(503)["schema"]["ok"]

    own_redis.start()
    feed(own_redis.url, "telemetry:teltonika", range(5))
    checks = process.becomes(503)
    own_postgres.start()
    process.becomes(200)
    eventually(lambda: rows(own_postgres.url) == 5)

    own_postgres.stop()
    checks = process.becomes(503)
    assert not checks["database"]["ok"]
    assert checks["stream"]["ok"]
    feed(own_redis.url, "telemetry:teltonika", range(5, 20))
    own_postgres.start()
    process.becomes(200)
    eventually(lambda: rows(own_postgres.url) == 20)

    own_redis.kill()
    checks = process.becomes(503)
    assert not (checks["stream"]["ok"] and checks["stream-accepts"]["ok"])
    own_redis.start()
    feed(own_redis.url, "telemetry:teltonika", range(20, 30))
    process.becomes(200)
    eventually(lambda: rows(own_postgres.url) == 30)
    eventually(lambda: pending(own_redis.url, "telemetry:teltonika") == 0)

    process.process.send_signal(signal.SIGTERM)
    assert process.ended() == 0
    assert "crashed" not in process.messages()


def test_a_stop_is_cut_short_at_its_deadline_and_what_was_read_stays_pending(
    start: Callable[..., Process], rights: Any, own_redis: Valkey, own_postgres: Postgres
) -> None:
    process = start(
        REDIS_URL=rights.redis(own_redis.url),
        POSTGRES_URL=rights.service(own_postgres.url),
        SHUTDOWN_TIMEOUT_MS="3000",
    )
    process.said("started")
    process.becomes(200)
    own_postgres.pause()
    feed(own_redis.url, "telemetry:teltonika", range(3))
    eventually(lambda: pending(own_redis.url, "telemetry:teltonika") > 0)
    process.process.send_signal(signal.SIGTERM)
    assert process.said("stopping")["signal"] == "SIGTERM"
    assert process.ask("/readyz")[0] == 503, "unready first"
    assert process.ended() == 0
    assert "stop_cut_short" in process.messages()
    assert pending(own_redis.url, "telemetry:teltonika") >= 3
    own_postgres.resume()

    again = start(
        REDIS_URL=rights.redis(own_redis.url), POSTGRES_URL=rights.service(own_postgres.url)
    )
    again.said("started")
    eventually(lambda: rows(own_postgres.url) == 3)
    eventually(lambda: pending(own_redis.url, "telemetry:teltonika") == 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_it_at_once(
    start: Callable[..., Process],
    rights: Any,
    own_redis: Valkey,
    own_postgres: Postgres,
    number: signal.Signals,
    code: int,
) -> None:
    process = start(
        REDIS_URL=rights.redis(own_redis.url), POSTGRES_URL=rights.service(own_postgres.url)
    )
    process.said("started")
    process.becomes(200)
    own_postgres.pause()
    feed(own_redis.url, "telemetry:teltonika", range(3))
    eventually(lambda: pending(own_redis.url, "telemetry:teltonika") > 0)
    process.process.send_signal(signal.SIGTERM)
    process.said("stopping")
    process.process.send_signal(number)
    assert process.ended() == code
    own_postgres.resume()


def test_wrong_credentials_end_a_start_with_78_and_one_sentence(
    start: Callable[..., Process], rights: Any, own_redis: Valkey, postgres_url: str
) -> None:
    with redis.Redis.from_url(own_redis.url, protocol=2) as client:
        client.config_set("requirepass", "right")
    url = own_redis.url.replace("redis://", "redis://:hunter2@")
    process = start(REDIS_URL=url, POSTGRES_URL=rights.service(postgres_url))
    assert process.ended() == 78
    assert process.lines[-1]["message"] == "refused_at_start"
    assert "check user and password in REDIS_URL" in process.lines[-1]["sentence"]
    assert "hunter2" not in json.dumps(process.lines)


def test_a_stream_that_is_no_stream_ends_a_start_with_78(
    start: Callable[..., Process], rights: Any, redis_url: str, postgres_url: str, stream_name: str
) -> None:
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        client.set(stream_name, "a string")
    process = start(
        REDIS_URL=rights.redis(redis_url),
        POSTGRES_URL=rights.service(postgres_url),
        REDIS_TELEMETRY_STREAM=stream_name,
    )
    assert process.ended() == 78
    assert "the key is no stream" in process.lines[-1]["sentence"]


def test_missing_migrations_that_an_operator_wants_to_run_end_a_start_with_78(
    start: Callable[..., Process], rights: Any, redis_url: str, postgres_url: str, stream_name: str
) -> None:
    process = start(
        REDIS_URL=rights.redis(redis_url),
        POSTGRES_URL=rights.owner(postgres_url),
        REDIS_TELEMETRY_STREAM=stream_name,
        MIGRATE_ON_START="false",
    )
    assert process.ended() == 78
    assert "to apply them: processor migrate" in process.lines[-1]["sentence"]


def test_a_process_that_only_shows_says_that_its_stream_is_silent(
    start: Callable[..., Process], rights: Any, redis_url: str, postgres_url: str, stream_name: str
) -> None:
    process = start(
        ROLES="live",
        LIVE_AUTH="open",
        LIVE_WS_HOST="127.0.0.1",
        LIVE_WS_PORT="0",
        REDIS_URL=rights.redis(redis_url),
        POSTGRES_URL=rights.service(postgres_url),
        REDIS_TELEMETRY_STREAM=stream_name,
    )
    assert "never had an entry" in process.said("stream_silent")["sentence"]


def test_a_silent_stream_is_said_with_those_that_have_traffic(
    start: Callable[..., Process], rights: Any, redis_url: str, postgres_url: str, stream_name: str
) -> None:
    feed(redis_url, f"{stream_name}-busy", range(1))
    process = start(
        REDIS_URL=rights.redis(redis_url),
        POSTGRES_URL=rights.service(postgres_url),
        REDIS_TELEMETRY_STREAM=stream_name,
    )
    silent = process.said("stream_silent")
    assert silent["stream"] == stream_name
    assert silent["age_s"] is None
    assert f"{stream_name}-busy" in silent["busy"]
    assert f"{stream_name}:dlq" not in silent["busy"]
