"""`processor faulty` and `processor forget`, on a real table and a real stream."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from processor.adapters.postgres import migrations
from processor.entrypoints.cli import ended, processor
from processor.entrypoints.demo import sql

IMEI, OTHER = "356307042441013", "356307042441014"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

FILL = """
    INSERT INTO positions SELECT $1, $2::timestamptz + n * interval '1 minute', now(), 45, 14, 0, 0,
        0, 9, 0, '8', '{}' FROM generate_series(0, $3 - 1) AS n
"""


def at(minute: int) -> str:
    return (NOON + minute * MINUTE).isoformat().replace("+00:00", "Z")


class Desk:
    """Where an operator sits: runs commands in this process, sees table, notes and stream."""

    def __init__(self, url: str, capsys: Any, monkeypatch: Any, redis_url: str = "") -> None:
        self.url = url
        self._capsys = capsys
        monkeypatch.setenv("POSTGRES_URL", url)
        monkeypatch.setenv("REDIS_URL", redis_url)

    def runs(self, *arguments: str) -> tuple[int, str, str]:
        code = ended(lambda: processor.main(list(arguments), standalone_mode=False))
        return (int(code), *self._capsys.readouterr())

    def fill(self, device_id: str = IMEI, count: int = 10) -> None:
        sql.fetch(self.url, FILL, device_id, NOON, count)

    def minutes(self, condition: str) -> list[int]:
        """Which minutes' fixes of the device fit."""
        rows = sql.fetch(
            self.url,
            f"SELECT ts FROM positions WHERE device_id = $1 AND {condition} ORDER BY ts",
            IMEI,
        )
        return [(row["ts"] - NOON) // MINUTE for row in rows]

    def notes(self) -> list[dict[str, Any]]:
        rows = sql.fetch(self.url, "SELECT * FROM processor.track_changes ORDER BY id")
        return [{**row, "request": json.loads(row["request"])} for row in rows]


@pytest.fixture
def desk(database_url, capsys, monkeypatch) -> Desk:
    """On both databases: for the statements."""
    asyncio.run(migrations.apply(database_url))
    return Desk(database_url, capsys, monkeypatch)


@pytest.fixture
def plain_desk(postgres_url, capsys, monkeypatch) -> Desk:
    """On one: for what goes on around them."""
    asyncio.run(migrations.apply(postgres_url))
    return Desk(postgres_url, capsys, monkeypatch)


# ------------------------------------------------------------------------------------------- faulty


def test_fixes_are_flagged_and_asked_to_be_evaluated_again(desk: Desk) -> None:
    desk.fill()
    desk.fill(OTHER)
    code, said, _ = desk.runs(
        "faulty", IMEI, "--from", at(3), "--to", at(5), "--reason", " antenna loose "
    )
    assert code == 0
    assert said.startswith("flagged 3 of 3 fixes between 2026-11-20T12:03:00.000Z and 2026-11-20")
    assert desk.minutes("faulty") == [3, 4, 5], "both ends are included"
    assert sql.fetch(desk.url, "SELECT count(*) FROM positions WHERE faulty")[0][0] == 3
    (note,) = desk.notes()
    assert (note["kind"], note["device_ids"]) == ("fixes", [IMEI])
    assert (note["from_ts"], note["to_ts"]) == ([NOON + 3 * MINUTE], [NOON + 5 * MINUTE])
    assert note["request_id"] in said
    request = note["request"]
    assert {name: request[name] for name in ("kind", "device_id", "from", "to", "reason")} == {
        "kind": "fixes",
        "device_id": IMEI,
        "from": (NOON + 3 * MINUTE).isoformat(),
        "to": (NOON + 5 * MINUTE).isoformat(),
        "reason": "antenna loose",
    }
    assert request["requested_by"].endswith(" with processor faulty")
    assert datetime.fromisoformat(request["requested_at"]).tzinfo


def test_what_is_flagged_already_is_counted_and_not_asked_for_again(desk: Desk) -> None:
    desk.fill()
    flag = ("faulty", IMEI, "--to", at(5), "--reason", "x", "--json", "--from")
    assert desk.runs(*flag, at(4))[0] == 0
    told = json.loads(desk.runs(*flag, at(2))[1])
    assert (told["changed"], told["already"], told["faulty"]) == (2, 2, True)
    assert [note["to_ts"] for note in desk.notes()] == [[NOON + 5 * MINUTE], [NOON + 3 * MINUTE]]
    told = json.loads(desk.runs(*flag, at(2))[1])
    assert (told["changed"], told["already"], told["request_id"]) == (0, 4, None)
    assert len(desk.notes()) == 2


def test_a_flag_is_cleared(desk: Desk) -> None:
    desk.fill()
    desk.runs("faulty", IMEI, "--from", at(0), "--to", at(9), "--reason", "x")
    code, said, _ = desk.runs(
        "faulty", IMEI, "--from", at(7), "--to", at(30), "--clear", "--reason", "it was right"
    )
    assert code == 0
    assert said.startswith("cleared 3 of 3 fixes")
    assert desk.minutes("faulty") == [0, 1, 2, 3, 4, 5, 6]
    assert desk.notes()[1]["request"]["requested_by"].endswith(" with processor faulty --clear")


def test_a_dry_run_says_the_same_and_changes_nothing(desk: Desk) -> None:
    desk.fill()
    for clear in ([], ["--clear"]):
        span = ("faulty", IMEI, "--from", at(1), "--to", at(2), "--reason", "x", *clear)
        said = desk.runs(*span, "--dry-run")[1]
        assert not desk.notes() or clear
        done = desk.runs(*span)[1].splitlines()
        assert said.strip() == done[0].replace("flagged", "would flag").replace(
            "cleared", "would clear"
        )
    assert desk.minutes("faulty") == []
    assert len(desk.notes()) == 2


def test_flag_and_request_are_one_transaction(desk: Desk) -> None:
    desk.fill()
    sql.execute(desk.url, "ALTER TABLE processor.track_changes ADD CHECK (request IS NULL)")
    code, _, error = desk.runs("faulty", IMEI, "--from", at(1), "--to", at(2), "--reason", "x")
    assert code == 78
    assert "23514" in error
    assert desk.minutes("faulty") == []


def test_where_there_is_no_fix_the_nearest_are_named(desk: Desk) -> None:
    desk.fill(count=2)
    sql.fetch(desk.url, FILL, IMEI, NOON + 60 * MINUTE, 1)
    code, _, error = desk.runs("faulty", IMEI, "--from", at(2), "--to", at(9), "--reason", "x")
    assert code == 1
    assert "before is at 2026-11-20T12:01:00.000Z, the first one after is at" in error
    assert "2026-11-20T13:00:00.000Z" in error
    code, _, error = desk.runs("faulty", "unknown", "--from", at(2), "--to", at(9), "--reason", "x")
    assert code == 1
    assert "nor at any other time" in error
    assert desk.notes() == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--from", "2026-11-20T12:00:00", "--to", at(1), "--reason", "x"], "zone"),
        (["--from", "noon", "--to", at(1), "--reason", "x"], "no time"),
        (["--from", at(2), "--to", at(1), "--reason", "x"], "--to lies before --from"),
        (["--from", at(1), "--to", at(2), "--reason", " "], "say why"),
        (["--from", at(1), "--to", at(2)], "--reason"),
        (["--from", at(1), "--reason", "x"], "--to"),
    ],
)
def test_what_is_not_meant_so_is_bad_usage(plain_desk: Desk, wrong: list[str], said: str) -> None:
    plain_desk.fill()
    code, _, error = plain_desk.runs("faulty", IMEI, *wrong)
    assert code == 2
    assert said in error
    assert plain_desk.notes() == []


def test_the_service_role_may_flag_and_not_erase(desk: Desk, redis_url: str, monkeypatch) -> None:
    desk.fill()
    parts = urlsplit(desk.url)
    role = f"service_{parts.path[-12:]}"
    sql.execute(
        desk.url,
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA processor TO {role};"
        f"GRANT SELECT, INSERT, UPDATE (faulty, decoded_attributes) ON positions TO {role};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON processor.track_changes TO {role};"
        f"GRANT USAGE ON SEQUENCE processor.track_changes_id_seq TO {role}",
    )
    try:
        url = parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()
        monkeypatch.setenv("POSTGRES_URL", url)
        monkeypatch.setenv("REDIS_URL", redis_url)
        span = (IMEI, "--from", at(1), "--to", at(2))
        assert desk.runs("faulty", *span, "--reason", "x")[0] == 0
        assert desk.minutes("faulty") == [1, 2]
        code, _, error = desk.runs("forget", *span, "--yes")
        assert code == 78
        assert f"{role} may not delete positions, and nothing was erased" in error
        assert len(desk.minutes("true")) == 10
    finally:
        sql.execute(desk.url, f"DROP OWNED BY {role}; DROP ROLE {role}")


# ------------------------------------------------------------------------------------------- forget


def entry(device_id: str, timestamp: str) -> dict[str, str]:
    payload = {"device_id": device_id, "timestamp": timestamp, "latitude": 45.0}
    return {"ts": timestamp, "device_id": device_id, "codec": "8", "payload": json.dumps(payload)}


@pytest.fixture
def stream(redis_url: str, stream_name: str, monkeypatch) -> Iterator["redis.Redis[bytes]"]:
    monkeypatch.setenv("REDIS_TELEMETRY_STREAM", stream_name)
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        yield client


def full(desk: Desk, redis_url: str, stream, stream_name: str, monkeypatch) -> Desk:
    """With three minutes of two devices in the table, the stream and the dead letters."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    for device_id in (IMEI, OTHER):
        desk.fill(device_id, 3)
        for minute in range(3):
            for key in (stream_name, f"{stream_name}:dlq"):
                stream.xadd(key, entry(device_id, at(minute)))
    return desk


@pytest.fixture
def full_desk(plain_desk: Desk, redis_url: str, stream, stream_name: str, monkeypatch) -> Desk:
    return full(plain_desk, redis_url, stream, stream_name, monkeypatch)


def left(stream, key: str) -> list[tuple[str, int]]:
    """Whose and of which minute the entries are that are still there."""
    payloads = [json.loads(fields[b"payload"]) for _, fields in stream.xrange(key)]
    return sorted(
        (each["device_id"], (datetime.fromisoformat(each["timestamp"]) - NOON) // MINUTE)
        for each in payloads
    )


def test_a_track_is_erased_wherever_we_reach(
    desk: Desk, redis_url: str, stream, stream_name: str, monkeypatch
) -> None:
    full_desk = full(desk, redis_url, stream, stream_name, monkeypatch)
    code, said, log = full_desk.runs("forget", IMEI, "--from", at(1), "--to", at(2), "--yes")
    assert code == 0
    assert said.splitlines()[:3] == [
        "erased 2 rows of positions",
        f"erased 2 entries of {stream_name}",
        "erased 2 of its dead letters",
    ]
    for place in ("backups", "browsers", "exports"):
        assert place in said
    assert full_desk.minutes("true") == [0]
    assert sql.fetch(full_desk.url, "SELECT count(*) FROM positions")[0][0] == 4
    rest = [(IMEI, 0), (OTHER, 0), (OTHER, 1), (OTHER, 2)]
    assert left(stream, stream_name) == left(stream, f"{stream_name}:dlq") == rest
    (note,) = full_desk.notes()
    assert (note["kind"], note["device_ids"]) == ("fixes", [IMEI])
    assert (note["from_ts"], note["to_ts"]) == ([NOON + MINUTE], [NOON + 2 * MINUTE])
    line = json.loads(log.splitlines()[-1])
    assert (line["message"], line["positions"], line["stream"]) == ("track_erased", 2, 2)
    assert IMEI not in log, "who was erased is in no log"
    code, _, error = full_desk.runs("forget", IMEI, "--from", at(1), "--to", at(2), "--yes")
    assert code == 1, "nothing is left to erase"
    assert "the last one before is at" in error


def test_what_only_the_stream_has_is_erased_too(full_desk: Desk, stream, stream_name: str) -> None:
    sql.execute(full_desk.url, "TRUNCATE positions")
    span = ("forget", IMEI, "--from", at(0), "--to", at(2), "--yes", "--json")
    told = json.loads(full_desk.runs(*span)[1])
    assert (told["positions"], told["stream"], told["dead_letters"]) == (0, 3, 3)
    assert {device for device, _ in left(stream, stream_name)} == {OTHER}
    assert full_desk.notes() == [], "racing has nothing to evaluate again"


def test_a_dry_run_erases_nothing(full_desk: Desk, stream, stream_name: str) -> None:
    span = ("forget", IMEI, "--from", at(0), "--to", at(2), "--dry-run", "--json")
    code, said, log = full_desk.runs(*span)
    told = json.loads(said)
    assert (code, told["dry_run"]) == (0, True)
    assert (told["positions"], told["stream"], told["dead_letters"]) == (3, 3, 3)
    assert len(full_desk.minutes("true")) == 3
    assert len(left(stream, stream_name)) == len(left(stream, f"{stream_name}:dlq")) == 6
    assert "track_erased" not in log


def test_a_dead_letter_that_does_not_say_when_is_left_and_said(
    full_desk: Desk, stream, stream_name: str
) -> None:
    letters = f"{stream_name}:dlq"
    undated = [
        stream.xadd(letters, {"payload": payload}).decode()
        for payload in (
            json.dumps({"device_id": IMEI}),
            json.dumps({"device_id": IMEI, "timestamp": "2026-11-20T12:01:00"}),
            f'{{"device_id": "{IMEI}", "timestamp": "{at(1)}"',
        )
    ]
    stream.xadd(letters, {"payload": json.dumps({"device_id": OTHER})})
    stream.xadd(letters, {"payload": "garbage"})
    stream.xadd(letters, {"no": "payload"})
    span = ("forget", IMEI, "--from", at(0), "--to", at(2), "--yes", "--json")
    told = json.loads(full_desk.runs(*span)[1])
    assert (told["dead_letters"], told["undated"]) == (3, undated)
    assert stream.xlen(letters) == 9


def test_the_whole_stream_is_looked_through_and_what_looks_alike_stays(
    plain_desk: Desk, redis_url: str, stream, stream_name: str, monkeypatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    pipeline = stream.pipeline()
    for number in range(2_500):
        pipeline.xadd(stream_name, entry(OTHER if number % 5 else IMEI, at(0)))
    pipeline.xadd(stream_name, {"payload": entry(IMEI, at(0))["payload"]})
    pipeline.xadd(stream_name, entry("1" + IMEI, at(0)))
    pipeline.xadd(stream_name, {**entry(OTHER, at(0)), "device_id": IMEI})
    pipeline.xadd(
        stream_name,
        {"payload": f'{{"device_id":"\\u0033{IMEI[1:]}","timestamp":"{at(0)}"}}'},
    )
    pipeline.execute()
    span = ("forget", IMEI, "--from", at(0), "--to", at(0), "--yes", "--json")
    assert json.loads(plain_desk.runs(*span)[1])["stream"] == 502
    kept = left(stream, stream_name)
    assert kept == [("1" + IMEI, 0)] + [(OTHER, 0)] * 2_001


def test_nobody_there_to_be_asked_is_bad_usage(full_desk: Desk, monkeypatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        code, _, error = full_desk.runs("forget", IMEI, "--from", at(0), "--to", at(2))
    assert code == 2
    assert "--yes" in error
    assert len(full_desk.minutes("true")) == 3


@pytest.mark.parametrize(("answer", "code", "rows"), [("y", 0, 0), ("n", 130, 3), ("", 130, 3)])
def test_at_a_terminal_it_asks(full_desk: Desk, answer: str, code: int, rows: int) -> None:
    leader, follower = pty.openpty()
    try:
        running = subprocess.Popen(
            [sys.executable, "-m", "processor", "forget", IMEI, "--from", at(0), "--to", at(2)],
            stdin=follower,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.write(leader, f"{answer}\n".encode())
        said, _ = running.communicate(timeout=60)
    finally:
        os.close(leader)
        os.close(follower)
    assert "Erase for ever what" in said
    assert "3 rows of positions, 3 entries of telemetry:test-" in said
    assert running.returncode == code
    assert len(full_desk.minutes("true")) == rows


def test_redis_that_is_away_leaves_everything_as_it_is(full_desk: Desk, monkeypatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    code, _, _ = full_desk.runs("forget", IMEI, "--from", at(0), "--to", at(2), "--yes")
    assert code == 69
    assert len(full_desk.minutes("true")) == 3


def test_what_was_erased_before_a_failure_is_logged(full_desk: Desk, stream, stream_name) -> None:
    sql.execute(full_desk.url, "ALTER TABLE processor.track_changes ADD CHECK (request IS NULL)")
    code, _, log = full_desk.runs("forget", IMEI, "--from", at(0), "--to", at(2), "--yes")
    assert code == 78
    line = json.loads(log.splitlines()[0])
    assert (line["message"], line["positions"], line["stream"]) == ("track_erased", 0, 3)
    assert len(full_desk.minutes("true")) == 3, "rows and request are one transaction"
