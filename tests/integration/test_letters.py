"""`processor dlq` on a real server, as the service's own user: what it shows, and what it moves."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.redis.connection import connect
from processor.adapters.redis.letters import RedisLetters
from processor.adapters.system import SystemClock
from processor.core.errors import Unavailable
from processor.entrypoints.dlq import choosing, moving

NOW = datetime.now(UTC)
Pairs = list[tuple[bytes, bytes]]


class Box:
    """The stream and its dead letters, as somebody with all rights sees them."""

    def __init__(self, url: str, stream: str) -> None:
        self.stream, self.key = stream, f"{stream}:dlq"
        self.redis = redis.Redis.from_url(url, protocol=2)
        self._raw = self.redis.connection_pool.get_connection()

    def ask(self, *command: Any) -> Any:
        """Below redis-py's callbacks, which make a dict of an entry."""
        self._raw.send_command(*command)
        return self._raw.read_response()

    def put(
        self,
        origin_id: str = "5-1",
        fields: Mapping[bytes, bytes] | Pairs | None = None,
        *,
        reason: str = "field-range",
        error: str = "latitude: 91.5 is beyond -90..90",
        failed_at: datetime = NOW,
        letter_id: str = "*",
        deliveries: int = 1,
    ) -> str:
        """A letter as the service writes it; its id."""
        original = {b"codec": b"8E", b"payload": b"{}"} if fields is None else fields
        pairs = original if isinstance(original, list) else list(original.items())
        flat = [part for pair in pairs for part in pair]
        at = failed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        ours = ["origin_id", origin_id, "reason", reason, "error", error]
        ours += ["deliveries", deliveries, "instance_id", "here", "failed_at", at]
        return self.ask("XADD", self.key, letter_id, *flat, *ours).decode()

    def entries(self, key: str | None = None) -> list[tuple[str, Pairs]]:
        answer = self.ask("XRANGE", key or self.stream, "-", "+")
        return [
            (entry_id.decode(), list(zip(flat[::2], flat[1::2], strict=True)))
            for entry_id, flat in answer
        ]

    @property
    def origins(self) -> list[str]:
        return [dict(fields)[b"origin_id"].decode() for _, fields in self.entries(self.key)]

    def close(self) -> None:
        self._raw.disconnect()
        self.redis.close()


@pytest.fixture
def box(redis_url: str, stream_name: str) -> Iterator[Box]:
    box = Box(redis_url, stream_name)
    yield box
    box.close()


@pytest.fixture
def stream(box: Box) -> str:
    """The stream exists, with a group that has read it all."""
    box.redis.xgroup_create(box.stream, "processor", "0", mkstream=True)
    return box.stream


Told = subprocess.CompletedProcess[str]
Dlq = Callable[..., Told]


def environ(redis_url: str, stream_name: str, **settings: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "REDIS_URL": redis_url, "REDIS_TELEMETRY_STREAM": stream_name, **settings}


@pytest.fixture
def dlq(redis_url: str, stream_name: str, rights: Any) -> Dlq:
    def run(*arguments: str, **settings: str) -> Told:
        return subprocess.run(
            [sys.executable, "-m", "processor", "dlq", *arguments],
            env=environ(rights.redis(redis_url), stream_name, **settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def listed(told: Told) -> list[dict[str, Any]]:
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)["letters"]


# -------------------------------------------------------------------------------------------- list


def test_an_empty_box_is_said(dlq: Dlq, box: Box) -> None:
    told = dlq("list")
    assert (told.returncode, told.stdout) == (0, "")
    assert told.stderr == f"{box.key} holds no dead letter\n"
    answer = json.loads(dlq("list", "--json").stdout)
    assert answer == {"letters": [], "stream": box.key, "there": 0, "reasons": {}}


def test_a_letter_that_a_crash_left_twice_is_one_row(dlq: Dlq, box: Box) -> None:
    payload = b'{"device_id":"356307042441013","latitude":91.5,"note":"in the payload"}'
    first = box.put("5-1", {b"device_id": b"other", b"payload": payload})
    box.put("6-1", {b"device_id": b"outside", b"payload": b"{"}, reason="payload-not-json")
    again = box.put("5-1", {b"device_id": b"other", b"payload": payload}, deliveries=2)
    told = dlq("list")
    assert told.returncode == 0
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    assert [(row[1], row[2], row[3], row[4], row[5]) for row in rows] == [
        ("6-1", "payload-not-json", "outside", "1", "1"),
        ("5-1", "field-range", "356307042441013", "2", "2"),
    ]
    assert rows[1][0] == again != first
    assert rows[1][7] == "latitude: 91.5 is beyond -90..90"
    assert "payload-not-json 1" in told.stderr
    assert "field-range 1" in told.stderr
    assert "in the payload" not in told.stdout


def test_filters_hold_together_and_bounds_are_of_the_failure(dlq: Dlq, box: Box) -> None:
    hour = timedelta(hours=1)
    for n, (reason, device, age) in enumerate(
        [
            ("field-range", "a", 3 * hour),
            ("field-range", "b", 2 * hour),
            ("conflict", "a", 2 * hour),
            ("too-large", "a", 1 * hour),
        ]
    ):
        payload = json.dumps({"device_id": device}).encode()
        box.put(f"{n}-1", {b"payload": payload}, reason=reason, failed_at=NOW - age)

    def origins(*filters: str) -> list[str]:
        return [row["origin_id"] for row in listed(dlq("list", "--json", *filters))]

    assert origins() == ["0-1", "1-1", "2-1", "3-1"]
    assert origins("--reason", "field-range", "--reason", "conflict") == ["0-1", "1-1", "2-1"]
    assert origins("--device", "a", "--reason", "field-range") == ["0-1"]
    assert origins("--since", "150m") == ["1-1", "2-1", "3-1"]
    assert origins("--since", "150m", "--until", "90m") == ["1-1", "2-1"]
    exactly = (NOW - 2 * hour).isoformat(timespec="milliseconds")
    at = datetime.fromisoformat(exactly).isoformat()
    assert origins("--since", at) == ["1-1", "2-1", "3-1"], "from then on"
    assert origins("--until", at) == ["0-1"], "before"
    assert origins("--device", "nobody") == []
    assert "none of the 4 dead letters" in dlq("list", "--device", "nobody").stderr


def test_the_newest_are_shown_and_it_is_said_that_there_are_more(dlq: Dlq, box: Box) -> None:
    for n in range(1, 8):
        box.put(f"{n}-0")
    told = dlq("list", "--limit", "3")
    assert [line.split("\t")[1] for line in told.stdout.splitlines()] == ["5-0", "6-0", "7-0"]
    assert "the newest 3 (--limit 0 for all)" in told.stderr
    assert "holds 7 letters" in told.stderr
    assert len(dlq("list", "--limit", "0").stdout.splitlines()) == 7


def test_what_a_device_sent_commands_no_terminal(dlq: Dlq, box: Box) -> None:
    evil = "name\x1b]0;owned\x07\ttab\nline\u202e"
    box.put(fields={b"payload": json.dumps({"device_id": evil}).encode()}, error=evil)
    told = dlq("list")
    (line,) = told.stdout.splitlines()
    assert len(line.split("\t")) == 8
    assert line.isprintable() or set(line) - set("\t") <= {c for c in line if c.isprintable()}
    assert "\\x1b]0;owned" in line
    (row,) = listed(dlq("list", "--json"))
    assert row["device_id"] == evil, "JSON says it as it is"


def on_a_terminal(arguments: list[str], env: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "processor", *arguments],
        env={**env, "TERM": "xterm", "COLUMNS": "80"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        told = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while piece := os.read(ours, 65_536):
                told += piece
        os.close(ours)
    assert process.returncode == 0, told
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.decode())


def test_at_a_terminal_a_letter_fits_80_columns(box: Box, redis_url: str, stream_name: str) -> None:
    payload = b'{"device_id":"356307042441013"}'
    for origin_id in ("1753350000000-0", "1753350000000-1"):
        box.put(origin_id, {b"payload": payload}, reason="refused-by-database", error="E" * 200)
    text = on_a_terminal(["dlq", "list"], environ(redis_url, stream_name))
    lines = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    rows = [line for line in lines if "refused-by-database" in line or "EEE" in line]
    assert len(rows) == 5, "two for each letter, and the sum"
    assert max(map(len, rows)) <= 80
    assert rows[1].startswith("1753350000000-0")
    assert rows[1].endswith("…")
    assert "refused-by-database 2" in rows[-1], "beneath"


# -------------------------------------------------------------------------------------------- show


def test_show_prints_what_came_untouched_and_what_to_do_next(dlq: Dlq, box: Box) -> None:
    payload = b'{"device_id":"7","latitude":91.50,"latitude":1e999,"n":0.1000000000000000055}'
    original = [(b"reason", b"theirs"), (b"reason", b"twice"), (b"payload", payload)]
    original += [(b"raw", b"\xff\x00")]
    letter_id = box.put("5-1", original)
    told = dlq("show", letter_id)
    assert told.returncode == 0, told.stderr
    lines = [line.strip() for line in told.stdout.splitlines()]
    assert lines[0] == f"letter {letter_id}, entry 5-1"
    assert lines[1].split() == ["reason", "theirs"]
    assert lines[2].split() == ["reason", "twice"]
    assert '"latitude": 91.50,' in lines
    assert '"latitude": 1e999,' in lines, "laid out, and nothing changed"
    assert '"n": 0.1000000000000000055' in lines
    assert any(line.split() == ["raw", "\\xff\\x00"] for line in lines)
    assert any(line.split() == ["reason", "field-range"] for line in lines)
    assert lines[-3] == "no row can be made of what was sent: mend whoever sends it, or drop it"
    assert lines[-2].endswith("processor dlq requeue 5-1")
    assert lines[-1].endswith("processor dlq drop 5-1")
    assert dlq("show", "5-1").stdout == told.stdout, "the entry's id means the same"
    (shown,) = json.loads(dlq("show", "5-1", "--json").stdout)["letters"]
    assert shown["fields"] == [
        {"name": "reason", "value": "theirs"},
        {"name": "reason", "value": "twice"},
        {"name": "payload", "value": payload.decode()},
        {"name": "raw", "value_b64": "/wA="},
    ]


def test_show_finds_all_letters_of_an_entry(dlq: Dlq, box: Box) -> None:
    first, again = box.put("5-1"), box.put("5-1", reason="conflict")
    box.put("6-1")
    assert [each["id"] for each in json.loads(dlq("show", first, "--json").stdout)["letters"]] == [
        first,
        again,
    ]


def test_show_says_what_to_do_about_its_reason(dlq: Dlq, box: Box) -> None:
    for n, (reason, said) in enumerate(
        [("conflict", "safety"), ("kills-the-process", "bug"), ("refused-by-database", "database")]
    ):
        box.put(f"{n}-1", reason=reason)
        assert said in dlq("show", f"{n}-1").stdout.splitlines()[-3]
    foreign = box.ask("XADD", box.key, "*", "payload", "{}").decode()
    told = dlq("show", foreign).stdout
    assert "somebody else put it here" in told
    assert "requeue" not in told


def test_show_of_nothing_says_so(dlq: Dlq, box: Box) -> None:
    box.put("5-1")
    told = dlq("show", "9-9")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == "9-9: no dead letter has this id, or is of this entry\n"


def test_an_entry_whose_id_lies_after_its_letter_is_found(dlq: Dlq, box: Box) -> None:
    """Ids can be given by hand, and then an origin need not be older than its letter."""
    far = f"{int(NOW.timestamp() * 1000) + 86_400_000}-0"
    letter_id = box.put(far)
    assert json.loads(dlq("show", far, "--json").stdout)["letters"][0]["id"] == letter_id


# ----------------------------------------------------------------------------------------- requeue


def test_what_came_goes_back_as_it_came(dlq: Dlq, box: Box, stream: str) -> None:
    original = [(b"reason", b"theirs"), (b"reason", b"twice"), (b"payload", b"\xff\x00\r\n")]
    original += [(b"failed_at", b""), (b"", b"empty name")]
    letter_id = box.put("5-1", original)
    told = dlq("requeue", letter_id)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == f"requeued 1 ({stream}): field-range 1\n"
    (entry,) = box.entries()
    assert entry[1] == original
    assert box.entries(box.key) == []


def test_an_origin_goes_back_once_and_all_its_letters_are_removed(
    dlq: Dlq, box: Box, stream: str
) -> None:
    for origin_id in ("5-1", "6-1", "5-1", "7-1", "5-1", "6-1"):
        box.put(origin_id, {b"n": origin_id.encode()})
    told = dlq("requeue", "5-1", "6-1", "--json")
    assert json.loads(told.stdout) == {
        "dry_run": False,
        "requeued": 2,
        "reasons": {"field-range": 2},
        "place": stream,
        "left": 0,
        "missing": [],
    }
    assert [fields for _, fields in box.entries()] == [[(b"n", b"5-1")], [(b"n", b"6-1")]]
    assert box.origins == ["7-1"]


def test_requeue_by_filter_takes_the_copies_outside_of_it_along(
    dlq: Dlq, box: Box, stream: str
) -> None:
    box.put("5-1", failed_at=NOW - timedelta(hours=9))
    box.put("5-1", failed_at=NOW)
    box.put("6-1", failed_at=NOW - timedelta(hours=9))
    assert dlq("requeue", "--since", "1h").returncode == 0
    assert len(box.entries()) == 1
    assert box.origins == ["6-1"]


def test_old_ones_go_back_first(dlq: Dlq, box: Box, stream: str) -> None:
    for n in range(1, 1202):  # more than two pages
        box.put(f"{n}-0", {b"n": str(n).encode()})
    assert dlq("requeue", "--all").returncode == 0
    assert [int(fields[0][1]) for _, fields in box.entries()] == list(range(1, 1202))
    assert box.entries(box.key) == []


def test_a_dry_run_moves_nothing(dlq: Dlq, box: Box, stream: str) -> None:
    box.put("5-1")
    box.put("6-1", reason="conflict")
    for verb, place in (("requeue", stream), ("drop", box.key)):
        told = dlq(verb, "--all", "--dry-run")
        assert told.stdout.startswith(f"would {verb} 2 ({place}): ")
        assert told.returncode == 0
    assert box.origins == ["5-1", "6-1"]
    assert box.entries() == []


def test_ids_that_are_not_there_are_said_and_the_others_done(
    dlq: Dlq, box: Box, stream: str
) -> None:
    box.put("5-1")
    told = dlq("requeue", "9-9", "5-1", "8-8")
    assert told.returncode == 1
    assert told.stdout.startswith("requeued 1 ")
    assert [line.partition(":")[0] for line in told.stderr.splitlines()] == ["9-9", "8-8"]
    assert box.origins == []


def test_a_stream_that_does_not_exist_is_not_made(dlq: Dlq, box: Box) -> None:
    box.put("5-1")
    for options in ([], ["--dry-run"]):
        told = dlq("requeue", "--all", *options)
        assert told.returncode == 1
        assert told.stderr == (
            f"{box.stream} does not exist, and requeueing does not make it: "
            "is REDIS_TELEMETRY_STREAM right?\n"
        )
    assert box.redis.exists(box.stream) == 0
    assert box.origins == ["5-1"]


def test_what_is_no_letter_stays_and_is_said(dlq: Dlq, box: Box, stream: str) -> None:
    box.ask("XADD", box.key, "*", "payload", "{}", "note", "put here by hand")
    box.put("5-1")
    assert [row["reason"] for row in listed(dlq("list", "--json"))] == [
        "not-a-letter",
        "field-range",
    ]
    told = dlq("requeue", "--all", "--dry-run")
    assert (told.returncode, told.stdout) == (1, f"would requeue 1 ({stream}): field-range 1\n")
    assert "1 would stay" in told.stderr
    told = dlq("requeue", "--all")
    assert told.returncode == 1
    assert "1 stayed" in told.stderr
    assert len(box.entries()) == 1
    assert dlq("drop", "--reason", "not-a-letter").returncode == 0
    assert box.entries(box.key) == []


class Opened:
    """The letters by small pages, and the pace of requeueing, in this process."""

    def __init__(
        self, url: str, stream: str, *, page: int = 3, kind: type[RedisLetters] = RedisLetters
    ) -> None:
        self.letters = kind(url, stream=stream, timeout_s=5, page=page)
        self._client = connect(url, timeout_s=5, name="test")
        backlog = RedisBacklog(self._client, stream=stream, group="processor", clock=SystemClock())
        self.pace = moving.Pace(self.letters, backlog, stream=stream, group="processor")
        self.done = moving.Done()

    async def requeue(self, tell: Callable[[int], object] = lambda count: None) -> None:
        chosen = await choosing.choose(self.letters, choosing.Wanted())
        await moving.Requeueing(self.letters, self.pace).do(chosen, self.done, tell)

    async def aclose(self) -> None:
        await self.letters.aclose()
        await self._client.aclose()


@pytest.fixture
async def opened(redis_url: str, box: Box) -> AsyncIterator[Opened]:
    opened = Opened(redis_url, box.stream)
    yield opened
    await opened.aclose()


async def test_what_fails_again_is_not_requeued_in_circles(
    box: Box, stream: str, opened: Opened
) -> None:
    """The refused come back as new letters while the command is at work."""
    for n in range(1, 8):
        box.put(f"{n}-0")

    def refused(count: int) -> None:
        for entry_id, _ in box.entries()[-count:]:
            box.put(entry_id)

    await opened.requeue(refused)
    assert opened.done.count == 7
    assert box.origins == [entry_id for entry_id, _ in box.entries()]
    assert len(box.origins) == 7


async def test_a_walk_never_asks_for_more_than_a_page(
    box: Box, opened: Opened, redis_url: str
) -> None:
    for n in range(1, 11):
        box.put(f"{n}-0")
    for newest_first in (False, True):
        pages = [page async for page in opened.letters.walk(newest_first=newest_first)]
        assert [len(page) for page in pages] == [3, 3, 3, 1]
        met = [letter.origin_id for page in pages for letter in page]
        assert met == sorted(met, key=lambda each: int(each[:-2]), reverse=newest_first)
    with redis.Redis.from_url(redis_url) as watcher, watcher.monitor() as monitor:
        await choosing.choose(opened.letters, choosing.Wanted(), limit=4)
        box.redis.echo("end")
        asked = list(iter(lambda: monitor.next_command()["command"], "ECHO end"))
    counts = [command.split()[-2:] for command in asked if "RANGE" in command]
    assert counts == [["COUNT", "3"]] * 5, "four pages of letters, and the end"


async def test_what_was_chosen_is_found_again_over_several_pages(box: Box, opened: Opened) -> None:
    for n in range(1, 8):
        box.put(f"{n}-0")
    chosen = await choosing.choose(opened.letters, choosing.Wanted())
    found = [each.origin_id async for each in choosing.letters_of(opened.letters, chosen)]
    assert found == [f"{n}-0" for n in range(1, 8)]
    nothing = choosing.Chosen()
    assert [each async for each in choosing.letters_of(opened.letters, nothing)] == []


async def test_a_list_of_the_newest_reads_no_more_than_it_has_to(
    box: Box, opened: Opened, redis_url: str
) -> None:
    """And all the same counts letters of an entry that a crash left far apart."""
    now_ms = int(NOW.timestamp() * 1000)
    for n in range(300):
        box.put(f"{now_ms + n}-0", letter_id=f"{now_ms + n}-1")
    box.put(f"{now_ms + 280}-0", letter_id=f"{now_ms + 300}-1")
    chosen = await choosing.choose(opened.letters, choosing.Wanted(), limit=2)
    assert chosen.copies == {f"{now_ms + 280}-0": 2, f"{now_ms + 299}-0": 1}
    pages = 0

    class Counting(RedisLetters):
        async def walk(self, **bounds: Any) -> AsyncIterator[Any]:
            nonlocal pages
            async for page in super().walk(**bounds):
                pages += 1
                yield page

    counting = Counting(redis_url, stream=box.stream, timeout_s=5, page=3)
    await choosing.choose(counting, choosing.Wanted(), limit=2)
    await counting.aclose()
    assert pages <= 8


# --------------------------------------------------------------- faults, and a stream that trims


async def test_a_crash_between_storing_and_removing_leaves_it_to_be_requeued_again(
    box: Box, stream: str, redis_url: str, opened: Opened
) -> None:
    class Crashed(Exception):
        pass

    class Crashing(RedisLetters):
        async def remove(self, letter_ids: Sequence[str]) -> int:
            if letter_ids:
                raise Crashed
            return 0

    box.put("5-1", {b"n": b"1"})
    crashing = Opened(redis_url, stream, kind=Crashing)
    with pytest.raises(Crashed):
        await crashing.requeue()
    await crashing.aclose()
    assert box.origins == ["5-1"], "never removed before it is on the stream"
    assert [fields for _, fields in box.entries()] == [[(b"n", b"1")]]
    await opened.requeue()
    assert len(box.entries()) == 2, "twice, which the table absorbs"
    assert box.origins == []


async def test_a_server_that_takes_nothing_more_ends_it_and_what_was_done_is_known(
    own_redis: Any,
) -> None:
    box = Box(own_redis.url, "telemetry:full")
    box.redis.xgroup_create(box.stream, "processor", "0", mkstream=True)
    for n in range(1, 8):
        box.put(f"{n}-0", {b"n": str(n).encode()})
    opened = Opened(own_redis.url, box.stream)

    def fill(count: int) -> None:
        box.redis.config_set("maxmemory", 1)

    with pytest.raises(Unavailable) as caught:
        await opened.requeue(fill)
    assert caught.value.reason == "full"
    assert opened.done.count == 3
    assert box.origins == [f"{n}-0" for n in range(4, 8)]
    box.redis.config_set("maxmemory", 0)
    await opened.requeue()
    assert [fields for _, fields in box.entries()] == [
        [(b"n", str(n).encode())] for n in range(1, 8)
    ]
    await opened.aclose()
    box.close()


def test_a_full_server_ends_the_command_and_takes_no_letter(own_redis: Any) -> None:
    box = Box(own_redis.url, "telemetry:full")
    box.redis.xgroup_create(box.stream, "processor", "0", mkstream=True)
    box.put("5-1")
    box.redis.config_set("maxmemory", 1)
    told = subprocess.run(
        [sys.executable, "-m", "processor", "dlq", "requeue", "--all"],
        env=environ(own_redis.url, box.stream),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.returncode, told.stdout) == (69, "")
    assert "raise maxmemory" in told.stderr
    assert told.stderr.count("\n") == 1
    assert box.origins == ["5-1"]
    box.close()


async def test_a_stream_that_vanishes_meanwhile_is_not_made_again(box: Box, opened: Opened) -> None:
    box.put("5-1")
    ((letter,),) = [page async for page in opened.letters.walk()]
    returned = await opened.letters.requeue([letter])
    assert (returned.letters, str(returned.fault)) == (
        [],
        f"Redis: {box.stream} does not exist",
    )
    assert box.redis.exists(box.stream) == 0
    assert box.origins == ["5-1"]


def behind_on_a_trimmed_stream(box: Box, read: int) -> None:
    """A stream that is trimmed to 1000 entries, of which the group has read so many."""
    for n in range(1_200):
        box.redis.xadd(box.stream, {"n": n})
    box.redis.xtrim(box.stream, maxlen=1_000, approximate=False)
    box.redis.xreadgroup("processor", "a", {box.stream: ">"}, count=read)


def test_interrupted_it_says_how_far_it_came(
    box: Box, stream: str, redis_url: str, stream_name: str
) -> None:
    behind_on_a_trimmed_stream(box, read=300)
    for n in range(1, 251):
        box.put(f"{n}-0")
    process = subprocess.Popen(
        [sys.executable, "-m", "processor", "dlq", "requeue", "--all"],
        env=environ(redis_url, stream_name),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(box.origins) > 50:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert stderr.strip() == "done with 200 of 250 before that; repeat it for the rest"
    assert len(box.origins) == 50


async def test_requeueing_waits_for_a_group_that_is_behind_on_a_stream_that_is_trimmed(
    box: Box, stream: str, opened: Opened
) -> None:
    behind_on_a_trimmed_stream(box, read=1)
    box.redis.xgroup_setid(stream, "processor", "0", entries_read=200)

    def read(count: int) -> None:
        box.ask("XREADGROUP", "GROUP", "processor", "a", "COUNT", count, "STREAMS", stream, ">")

    with pytest.raises(moving.Stuck, match="1000 of them are unread"):
        await opened.pace.room(look_again_s=0.001, stuck_s=0.01)
    waiting = asyncio.create_task(opened.pace.room(look_again_s=0.001))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    read(300)
    assert await waiting == 200, "nine tenths of 1000, less 700"
    for n in range(1, 251):
        box.put(f"{n}-0")
    work = asyncio.create_task(opened.requeue(lambda count: None))
    while len(box.origins) > 50:  # noqa: ASYNC110 - what is watched is the server
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert (len(box.origins), work.done()) == (50, False), "200 fit, and the rest waits"
    read(700)
    await work
    assert (box.origins, opened.done.count) == ([], 250)


async def test_a_stream_that_was_never_trimmed_has_room(
    box: Box, stream: str, opened: Opened
) -> None:
    box.redis.xadd(stream, {"n": 1})
    assert await opened.pace.room() == 899_999


async def test_without_a_group_all_of_the_stream_is_unread(box: Box, opened: Opened) -> None:
    for n in range(10):
        box.redis.xadd(box.stream, {"n": n})
    assert await opened.pace.room() == 899_990


# -------------------------------------------------------------------------------------------- drop


def test_drop_removes_all_letters_and_says_them_by_reason(dlq: Dlq, box: Box) -> None:
    for reason, origin_id in (("conflict", "5-1"), ("conflict", "6-1"), ("too-large", "7-1")):
        box.put(origin_id, reason=reason)
    box.put("5-1", reason="conflict")
    told = dlq("drop", "--reason", "conflict")
    assert (told.returncode, told.stdout) == (0, f"dropped 2 ({box.key}): conflict 2\n")
    assert box.origins == ["7-1"]
    told = dlq("drop", "7-1", "9-9", "--json")
    assert told.returncode == 1
    assert json.loads(told.stdout)["missing"] == ["9-9"]
    assert json.loads(told.stdout)["dropped"] == 1
    assert box.origins == []


# ---------------------------------------------------------------------------------------- trouble


def test_a_key_that_is_no_stream_is_a_wrong_setup(dlq: Dlq, box: Box) -> None:
    box.redis.set(box.key, "text")
    for arguments in (["list"], ["show", "5-1"], ["drop", "--all"], ["drop", "5-1"]):
        told = dlq(*arguments)
        assert told.returncode == 78, told
        assert "the key is no stream" in told.stderr
        assert told.stderr.count("\n") == 1


def test_wrong_credentials_are_a_wrong_setup(dlq: Dlq, box: Box, redis_url: str) -> None:
    wrong = redis_url.replace("redis://", "redis://nobody:nothing@")
    told = dlq("list", REDIS_URL=wrong)
    assert (told.returncode, told.stderr.count("\n")) == (78, 1)
    assert "nothing" not in told.stderr
