"""`processor claim` and `processor rewind` on real servers, as the service's own users."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import redis

from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.redis.connection import connect
from processor.adapters.redis.rewinding import RedisRewinder
from processor.adapters.system import SystemClock

BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
GROUP = "processor"
Told = subprocess.CompletedProcess[str]
Command = Callable[..., Told]


def payload(n: int, **members: Any) -> str:
    fixed_at = BEGAN + timedelta(seconds=n)
    position = {
        "device_id": "356307042441013",
        "timestamp": fixed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "latitude": 41.3,
        "longitude": 19.8,
        "altitude": 120,
        "angle": 90,
        "speed": 63,
        "satellites": 11,
        "priority": 0,
        "attributes": {},
    }
    return json.dumps(position | members)


class Stream:
    """A stream with its group, as somebody with all rights sees it."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name
        self.redis = redis.Redis.from_url(url, protocol=2)
        self.redis.xgroup_create(name, GROUP, "0", mkstream=True, entries_read=0)

    def add(self, *numbers: int, **members: Any) -> list[str]:
        return [
            self.redis.xadd(self.name, {"codec": "8E", "payload": payload(n, **members)}).decode()
            for n in numbers
        ]

    def hand(self, consumer: str, count: int = 1000) -> None:
        """What a consumer reads and never acknowledges."""
        self.redis.xreadgroup(GROUP, consumer, {self.name: ">"}, count=count)

    @property
    def pending(self) -> dict[str, int]:
        consumers = self.redis.xinfo_consumers(self.name, GROUP)
        return {each["name"].decode(): each["pending"] for each in consumers}

    @property
    def group(self) -> dict[str, Any]:
        (group,) = self.redis.xinfo_groups(self.name)
        return group

    def letters(self) -> list[tuple[str, str]]:
        return [
            (fields[b"origin_id"].decode(), fields[b"reason"].decode())
            for _, fields in self.redis.xrange(f"{self.name}:dlq")
        ]

    async def lag(self) -> int:
        client = connect(self.url, timeout_s=5, name="test")
        backlog = RedisBacklog(client, stream=self.name, group=GROUP, clock=SystemClock())
        measured = await backlog.measure()
        await client.aclose()
        return measured.lag


@pytest.fixture
def stream(redis_url: str, stream_name: str) -> Iterator[Stream]:
    stream = Stream(redis_url, stream_name)
    yield stream
    stream.redis.close()


def environ(**settings: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | settings


def processor(*arguments: str, **settings: str) -> Told:
    return subprocess.run(
        [sys.executable, "-m", "processor", *arguments],
        env=environ(**settings),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def claim(stream: Stream, postgres_url: str, rights: Any) -> Command:
    usual = {
        "REDIS_URL": rights.redis(stream.url),
        "REDIS_TELEMETRY_STREAM": stream.name,
        "POSTGRES_URL": rights.service(postgres_url),
    }

    def run(*arguments: str, **settings: str) -> Told:
        return processor("claim", *arguments, **{**usual, **settings})

    return run


@contextmanager
def asking(stream: Stream, consumer: str) -> Iterator[None]:
    """The consumer goes on asking for something, as the living do."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.05):
            stream.redis.xreadgroup(GROUP, consumer, {stream.name: ">"}, count=1)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def rows(url: str) -> int:
    async def count() -> int:
        connection = await asyncpg.connect(url, timeout=30)
        try:
            return await connection.fetchval("SELECT count(*) FROM positions")
        finally:
            await connection.close()

    return asyncio.run(count())


# ------------------------------------------------------------------------------------------- claim


def test_what_a_dead_consumer_holds_becomes_rows_duplicates_and_dead_letters(
    claim: Command, stream: Stream, postgres_url: str
) -> None:
    stream.add(*range(700), 5, 6)
    (bad,) = stream.add(701, latitude=91)
    stream.hand("dead")
    stream.add(800)  # nobody has had this one: it is left to the service
    told = claim("dead", "--idle-ms", "0")
    assert (told.returncode, told.stderr) == (0, "")
    first, second = told.stdout.splitlines()
    assert first == ("stored 700 rows; 2 were there already; 1 became dead letters (field-range 1)")
    assert second.startswith("removed, for they hold nothing any more: dead, claim-")
    assert rows(postgres_url) == 700
    assert stream.letters() == [(bad, "field-range")]
    assert stream.pending == {}
    assert stream.group["pending"] == 0
    assert asyncio.run(stream.lag()) == 1


def test_the_living_are_not_robbed(claim: Command, stream: Stream, postgres_url: str) -> None:
    stream.add(1, 2)
    stream.hand("alive")
    told = claim("alive")
    assert told.returncode == 1
    assert told.stderr.startswith("alive asked for something ")
    assert told.stderr.endswith("If you know that it is dead: --idle-ms 0\n")
    told = claim()
    assert (told.returncode, told.stderr) == (
        0,
        "nothing to take over: nobody who is dead holds anything\n",
    )
    told = claim("--idle-ms", "0")
    assert told.returncode == 2
    assert "needs a CONSUMER's name" in told.stderr
    assert stream.pending == {"alive": 2}
    assert rows(postgres_url) == 0


def test_without_a_name_all_that_are_dead_for_long_enough(
    claim: Command, stream: Stream, postgres_url: str
) -> None:
    stream.add(*range(6))
    stream.hand("one", 2)
    stream.hand("other", 2)
    time.sleep(1.1)
    stream.hand("alive", 2)
    with asking(stream, "alive"):
        told = claim("--idle-ms", "1000", "--json", CLAIM_THRESHOLD_MS="1000")
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    assert answer["rows"] == 4
    assert answer["pending"] == {}
    assert {"one", "other"} < set(answer["removed"])
    assert stream.pending == {"alive": 2}
    assert rows(postgres_url) == 4


def test_less_than_the_threshold_needs_a_name(claim: Command) -> None:
    told = claim("--idle-ms", "59999")
    assert told.returncode == 1
    assert "CLAIM_THRESHOLD_MS (60000)" in told.stderr


def test_a_dry_run_says_who_holds_what_and_takes_nothing(claim: Command, stream: Stream) -> None:
    stream.add(1, 2, 3)
    stream.hand("one", 2)
    stream.hand("other", 1)
    stream.hand("idle", 1)
    told = claim("one", "--idle-ms", "0", "--dry-run")
    cells = {line.split("\t")[0]: line.split("\t") for line in told.stdout.splitlines()}
    assert (cells["one"][1], cells["one"][3]) == ("2", "would be taken over")
    assert (cells["other"][1], cells["other"][3]) == ("1", "left alone")
    assert cells.get("idle", ["", "0", "", "holds nothing"])[3] == "holds nothing"
    answer = json.loads(claim("one", "--idle-ms", "0", "--dry-run", "--json").stdout)
    assert [each["name"] for each in answer["consumers"] if each["taken_over"]] == ["one"]
    assert {name: count for name, count in stream.pending.items() if count} == {
        "one": 2,
        "other": 1,
    }


def test_who_is_not_there_is_said(claim: Command, stream: Stream) -> None:
    stream.add(1)
    stream.hand("one")
    told = claim("two")
    assert (told.returncode, told.stderr) == (1, "there is no consumer two; there is one\n")
    told = claim(REDIS_CONSUMER_GROUP="others")
    assert told.returncode == 1
    assert told.stderr == f"{stream.name} has no group others: it has processor\n"
    told = claim(REDIS_TELEMETRY_STREAM=f"{stream.name}-none")
    assert told.returncode == 1
    assert stream.redis.exists(f"{stream.name}-none") == 0


def test_what_was_trimmed_meanwhile_is_said_as_lost(
    claim: Command, stream: Stream, postgres_url: str
) -> None:
    stream.add(*range(10))
    stream.hand("dead")
    stream.redis.xtrim(stream.name, maxlen=4, approximate=False)
    told = claim("dead", "--idle-ms", "0")
    assert told.returncode == 0, told.stderr
    assert "stored 4 rows" in told.stdout
    assert "6 lost: trimmed from the stream before" in told.stdout
    assert stream.group["pending"] == 0


def test_suspects_are_tried_by_themselves_as_the_service_does_it(
    claim: Command, stream: Stream, postgres_url: str
) -> None:
    ids = stream.add(*range(8))
    stream.hand("dead")
    for _ in range(5):
        stream.redis.xreadgroup(GROUP, "dead", {stream.name: "0"})
    stream.redis.hset(f"{stream.name}:trials", ids[3], 3)  # it has ended the process three times
    told = claim("dead", "--idle-ms", "0")
    assert told.returncode == 0, told.stderr
    assert "stored 7 rows" in told.stdout
    assert stream.letters() == [(ids[3], "kills-the-process")]
    assert stream.redis.exists(f"{stream.name}:trials") == 0
    assert rows(postgres_url) == 7
    assert stream.group["pending"] == 0


def test_nothing_is_taken_over_while_the_database_is_away_or_not_ours(
    claim: Command, stream: Stream, postgres_url: str, own_postgres: Any
) -> None:
    stream.add(1)
    stream.hand("dead")
    told = claim("dead", "--idle-ms", "0", POSTGRES_URL=own_postgres.url)
    assert told.returncode == 78, "no migration was applied"
    assert "processor migrate" in told.stderr
    own_postgres.stop()
    told = claim("dead", "--idle-ms", "0", POSTGRES_URL=own_postgres.url)
    assert (told.returncode, told.stderr.count("\n")) == (69, 1)
    told = claim("dead", "--idle-ms", "0", POSTGRES_URL="")
    assert told.returncode == 78
    assert told.stderr.startswith("POSTGRES_URL: missing")
    assert stream.pending == {"dead": 1}


def locked(own_postgres: Any, seconds: float) -> subprocess.Popen[str]:
    """Somebody locks the table, so that writers wait."""
    code = (
        "import asyncio, asyncpg, sys\n"
        "async def main():\n"
        f"    connection = await asyncpg.connect({own_postgres.url!r})\n"
        "    async with connection.transaction():\n"
        "        await connection.execute('LOCK TABLE positions IN EXCLUSIVE MODE')\n"
        "        print('locked', flush=True)\n"
        f"        await asyncio.sleep({seconds})\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.mark.parametrize("end", ["the database is away", "Ctrl-C", "killed"])
def test_what_was_taken_and_not_stored_is_taken_again_by_the_next(
    claim: Command,
    stream: Stream,
    own_postgres: Any,
    rights: Any,
    end: str,
) -> None:
    from processor.adapters.postgres import migrations

    asyncio.run(migrations.apply(own_postgres.url))
    stream.add(*range(50))
    stream.hand("dead")
    lock = locked(own_postgres, 100)
    process = subprocess.Popen(
        [sys.executable, "-m", "processor", "claim", "dead", "--idle-ms", "0"],
        env=environ(
            REDIS_URL=rights.redis(stream.url),
            REDIS_TELEMETRY_STREAM=stream.name,
            POSTGRES_URL=own_postgres.url,
            POSTGRES_STATEMENT_TIMEOUT_MS="3000",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(name.startswith("claim-") and n == 50 for name, n in stream.pending.items()):
        assert time.monotonic() < deadline, "nothing was taken over"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    (holder,) = [name for name, count in stream.pending.items() if count]
    if end == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    elif end == "killed":
        process.kill()
    else:
        own_postgres.kill()
    stdout, stderr = process.communicate(timeout=90)
    lock.kill()
    lock.communicate()
    assert process.returncode == {"Ctrl-C": 130, "killed": -9}.get(end, 69), stderr
    if end != "killed":
        assert f"50 still pending with {holder}" in stderr
        assert f"processor claim {holder} --idle-ms 0" in stderr
        assert stdout.startswith("stored 0 rows")
    assert stream.pending[holder] == 50
    if end == "the database is away":
        own_postgres.start()
    told = claim(holder, "--idle-ms", "0", POSTGRES_URL=own_postgres.url)
    assert told.returncode == 0, told.stderr
    assert rows(own_postgres.url) == 50
    assert {name: n for name, n in stream.pending.items() if name != "dead"} == {}
    assert stream.group["pending"] == 0


# ------------------------------------------------------------------------------------------ rewind


@pytest.fixture
def rewind(stream: Stream, rights: Any) -> Command:
    usual = {"REDIS_URL": rights.redis(stream.url), "REDIS_TELEMETRY_STREAM": stream.name}

    def run(*arguments: str, **settings: str) -> Told:
        return processor("rewind", *arguments, **{**usual, **settings})

    return run


def minutes(stream: Stream, *ages: int) -> list[str]:
    """Entries that came so many minutes ago, oldest first."""
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    return [
        stream.redis.xadd(stream.name, {"k": "v"}, id=f"{now_ms - age * 60_000}-{n}").decode()
        for n, age in enumerate(ages)
    ]


def read_all(stream: Stream, count: int = 10_000) -> list[str]:
    """What the group reads next, acknowledged at once."""
    found = stream.redis.xreadgroup(GROUP, "reader", {stream.name: ">"}, count=count)
    ids = [entry_id for _, entries in found for entry_id, _ in entries]
    if ids:
        stream.redis.xack(stream.name, GROUP, *ids)
    return [entry_id.decode() for entry_id in ids]


def test_all_from_that_time_on_is_read_again_and_the_lag_is_right(
    rewind: Command, stream: Stream
) -> None:
    ids = minutes(stream, 60, 50, 40, 30, 20)
    read_all(stream)
    unread = minutes(stream, 5)
    told = rewind("45m")
    assert (told.returncode, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert lines[0] == (
        f"set group processor of {stream.name} back: 3 entries are read again, 1 were not read yet"
    )
    assert lines[1].startswith(f"the oldest entry still in the stream is {ids[0]} (20")
    assert "instances may run meanwhile" in lines[2]
    assert (stream.group["lag"], stream.group["entries-read"]) == (4, 2)
    assert asyncio.run(stream.lag()) == 4
    assert read_all(stream) == [*ids[2:], *unread]
    assert (stream.group["lag"], stream.group["entries-read"]) == (0, 6)


def test_an_id_names_the_first_entry_to_be_read_again(rewind: Command, stream: Stream) -> None:
    ids = minutes(stream, 60, 50, 40)
    read_all(stream)
    told = rewind(ids[1], "--json")
    answer = json.loads(told.stdout)
    assert (answer["again"], answer["unread"], answer["reaches_beyond"]) == (2, 0, False)
    assert answer["dry_run"] is False
    assert read_all(stream) == ids[1:]
    assert rewind("0-0").returncode == 0
    assert stream.group["lag"] == 3
    assert read_all(stream) == ids


def test_a_dry_run_changes_nothing(rewind: Command, stream: Stream) -> None:
    minutes(stream, 60, 50, 40)
    read_all(stream)
    before = stream.group
    told = rewind("55m", "--dry-run")
    assert told.stdout.startswith(f"would set group processor of {stream.name} back: 2 entries")
    assert stream.group == before


def test_a_time_that_would_skip_entries_is_refused(rewind: Command, stream: Stream) -> None:
    ids = minutes(stream, 60, 50, 40, 30)
    read_all(stream, count=2)
    before = stream.group
    for written in ("45m", "35m", ids[3], "2999-01-01T00:00:00Z"):
        told = rewind(written)
        assert (told.returncode, told.stdout) == (1, "")
        assert "would skip entries: nothing was changed" in told.stderr
    assert stream.group == before


def test_what_was_trimmed_cannot_come_back_and_that_is_said_loudly(
    rewind: Command, stream: Stream
) -> None:
    ids = minutes(stream, 60, 50, 40, 30)
    read_all(stream)
    stream.redis.xtrim(stream.name, maxlen=2, approximate=False)
    told = rewind("55m")
    assert told.returncode == 0
    assert told.stderr.startswith("GONE: what came from ")
    assert "2 entries are read again" in told.stdout
    assert (stream.group["entries-read"], asyncio.run(stream.lag())) == (2, 2)
    assert read_all(stream) == ids[2:]
    told = rewind("35m")
    assert told.stderr == "", "nothing that began after the trimmed"


def test_pending_entries_stay_with_their_consumers(rewind: Command, stream: Stream) -> None:
    minutes(stream, 60, 50, 40)
    stream.hand("a", 2)
    told = rewind("2h")
    assert "2 pending entries stay with their consumers" in told.stdout
    assert stream.pending == {"a": 2}


def test_a_stream_or_group_that_is_not_there_is_said_and_not_made(
    rewind: Command, stream: Stream
) -> None:
    minutes(stream, 60)
    for settings in (
        {"REDIS_CONSUMER_GROUP": "others"},
        {"REDIS_TELEMETRY_STREAM": f"{stream.name}-none"},
    ):
        told = rewind("2h", **settings)
        assert (told.returncode, told.stdout) == (1, "")
        assert "or does not exist: processor doctor" in told.stderr
    assert stream.redis.exists(f"{stream.name}-none") == 0
    assert stream.redis.xinfo_stream(stream.name)["groups"] == 1


async def test_counting_goes_page_by_page(stream: Stream) -> None:
    ids = [stream.redis.xadd(stream.name, {"n": n}).decode() for n in range(1, 8)]
    read_all(stream, count=6)
    client = connect(stream.url, timeout_s=5, name="test")
    for page in (1, 2, 3, 100):
        rewinder = RedisRewinder(client, stream=stream.name, group=GROUP, page=page)
        planned = await rewinder.look(ids[1])
        assert planned is not None
        assert (planned.again, planned.unread, planned.read_before) == (5, 1, 1)
    await client.aclose()


@pytest.mark.parametrize("command", [("rewind", "5m"), ("claim",)])
def test_trouble_with_the_server_ends_as_with_any_command(
    stream: Stream, postgres_url: str, command: tuple[str, ...]
) -> None:
    settings = {"REDIS_TELEMETRY_STREAM": f"{stream.name}-text", "POSTGRES_URL": postgres_url}
    stream.redis.set(f"{stream.name}-text", "text")
    told = processor(*command, REDIS_URL=stream.url, **settings)
    assert (told.returncode, told.stderr.count("\n")) == (78, 1)
    assert "the key is no stream" in told.stderr
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nobody = f"redis://127.0.0.1:{bound.getsockname()[1]}/0"
        told = processor(*command, REDIS_URL=nobody, **settings)
    assert (told.returncode, told.stderr.count("\n")) == (69, 1)
    wrong = stream.url.replace("redis://", "redis://nobody:hunter2@")
    told = processor(*command, REDIS_URL=wrong, **settings)
    assert (told.returncode, told.stderr.count("\n")) == (78, 1)
    assert "hunter2" not in told.stderr
