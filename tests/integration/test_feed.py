"""`processor feed` as a person calls it, onto a real stream."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path

import pytest
import redis

from processor.core.decode import Decoder
from processor.core.errors import Rejected
from processor.core.model import Entry

Feed = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def drive() -> Iterator[Path]:
    folder = files("processor.entrypoints.demo") / "tracks"
    with as_file(folder / "around-visnjan-with-car.gpx") as path:
        yield path


@pytest.fixture
def feed(redis_url: str, stream_name: str) -> Iterator[Feed]:
    """Starts `processor feed`; settings may be changed, and None takes one away."""
    started = []

    def start(*arguments: object, **settings: str | None) -> subprocess.Popen[str]:
        wanted = {"REDIS_URL": redis_url, "REDIS_TELEMETRY_STREAM": stream_name} | settings
        environ = {name: value for name, value in os.environ.items() if name not in wanted}
        process = subprocess.Popen(
            [sys.executable, "-m", "processor", "feed", *map(str, arguments)],
            env=environ | {name: value for name, value in wanted.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def entries(server: redis.Redis, stream: str) -> list[Entry]:
    return [Entry(key.decode(), fields) for key, fields in server.xrange(stream)]


def test_a_drive_arrives_as_the_producer_would_have_sent_it(
    feed: Feed, drive: Path, server: redis.Redis, stream_name: str
) -> None:
    options = ["--speed=0", "--shift-to-now", "--duplicates=0.05", "--late=0.01", "--disorder=3"]
    code, stdout, stderr = ended(feed(drive, *options, "--json", "--device", "777"))
    assert (code, stderr) == (0, "")
    told = json.loads(stdout)
    assert (told["live"], told["late"], told["stream"]) == (102, 2, stream_name)
    arrived = entries(server, stream_name)
    assert len(arrived) == told["entries"] == 104 + told["duplicates"]
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    positions = [Decoder().decode(each, now_ms) for each in arrived]
    assert len({position.key for position in positions}) == 104
    assert {position.device_id for position in positions} == {"777"}
    age_ms = [now_ms - position.fixed_at.timestamp() * 1000 for position in positions]
    assert 0 <= min(age_ms) < 60_000
    for each in arrived:
        fields = each.fields
        assert fields is not None
        assert list(fields) == [b"ts", b"device_id", b"codec", b"payload"]
        assert json.loads(fields[b"payload"])["timestamp"].encode() == fields[b"ts"]


def test_payloads_arrive_untouched_bad_ones_too(
    feed: Feed, tmp_path: Path, server: redis.Redis, stream_name: str
) -> None:
    lines = [
        '{"device_id":"č", "timestamp":"2026-05-04T10:00:00Z","n":0.1000000000000000055}',
        '{"device_id":"1","timestamp":"2026-05-04T10:00:01Z","speed":"fast"}',
    ]
    path = tmp_path / "payloads.ndjson"
    path.write_text("\n".join(lines), encoding="utf-8")
    code, stdout, _ = ended(feed(path, "--speed", 1000))
    assert code == 0
    assert f"sent 2 entries to {stream_name}" in stdout
    arrived = entries(server, stream_name)
    assert [(each.fields or {})[b"payload"].decode() for each in arrived] == lines
    with pytest.raises(Rejected, match="latitude"):
        Decoder().decode(arrived[1], 1_800_000_000_000)


def test_another_stream_is_named_on_the_command_line(
    feed: Feed, drive: Path, server: redis.Redis, stream_name: str
) -> None:
    other = f"{stream_name}:other"
    assert ended(feed(drive, "--speed", 0, "--stream", other))[0] == 0
    assert (server.xlen(other), server.exists(stream_name)) == (104, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_loop_ends_cleanly_when_asked(
    feed: Feed, drive: Path, server: redis.Redis, stream_name: str, number: int
) -> None:
    process = feed(drive, "--loop", "--speed", 300, "--json")
    deadline = time.monotonic() + 30
    while server.xlen(stream_name) <= 104:  # into the second pass
        assert time.monotonic() < deadline, "the second pass never came"
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    code, stdout, _ = ended(process)
    assert code == 0
    told = json.loads(stdout)
    arrived = entries(server, stream_name)
    assert told["entries"] == len(arrived)
    keys = {(each.fields or {})[b"ts"] for each in arrived}
    assert len(keys) == len(arrived)  # a pass is not a copy of the one before


def test_a_wrong_file_leaves_nothing_on_the_stream(
    feed: Feed, drive: Path, tmp_path: Path, server: redis.Redis, stream_name: str
) -> None:
    wrong = tmp_path / "wrong.gpx"
    wrong.write_bytes(drive.read_bytes()[:-20])
    code, stdout, stderr = ended(feed(drive, wrong, "--speed", 0))
    assert (code, stdout) == (1, "")
    assert f"{wrong}, line 1" in stderr
    assert len(stderr.splitlines()) == 1
    assert not server.exists(stream_name)


def test_how_it_ends_otherwise(feed: Feed, drive: Path, tmp_path: Path) -> None:
    code, _, stderr = ended(feed(tmp_path / "nowhere.gpx"))
    assert code == 2
    assert "nowhere.gpx" in stderr
    assert ended(feed(drive, "--speed", -1))[0] == 2
    assert ended(feed(drive, "--late", "nan"))[0] == 2
    assert ended(feed(drive, "--device", "x" * 65))[0] == 2
    code, _, stderr = ended(feed(drive, REDIS_URL=None))
    assert code == 78
    assert "REDIS_URL: missing" in stderr
    code, _, stderr = ended(feed(drive, REDIS_URL="redis://127.0.0.1:1/0"))
    assert code == 69
    assert len(stderr.splitlines()) == 1


def test_a_key_that_is_no_stream_is_said(
    feed: Feed, drive: Path, server: redis.Redis, stream_name: str
) -> None:
    server.set(stream_name, "text")
    code, _, stderr = ended(feed(drive, "--speed", 0))
    assert code == 78
    assert "REDIS_TELEMETRY_STREAM" in stderr
