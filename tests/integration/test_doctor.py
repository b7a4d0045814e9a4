"""`processor doctor` on each fault that it can name, `lag` and `migrate`, on real servers."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis

from processor.adapters.postgres import migrations
from processor.entrypoints.demo.servers import Postgres, Valkey

Findings = dict[str, dict[str, str]]
FSYNC = {"fsync", "full_page_writes"}


def processor(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "processor", *arguments],
        env={**kept, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def sql(url: str, *statements: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())


@pytest.fixture
def client(own_redis: Valkey) -> Any:
    with redis.Redis.from_url(own_redis.url, protocol=2) as client:
        yield client


@pytest.fixture
def environ(own_redis: Valkey, client: Any, postgres_url: str) -> dict[str, str]:
    """Two servers on which everything fits: schema, group, and an entry of this moment."""
    asyncio.run(migrations.apply(postgres_url))
    client.xgroup_create("telemetry:teltonika", "processor", "0", mkstream=True)
    client.xadd("telemetry:teltonika", {"codec": "8", "payload": "{}"})
    client.xreadgroup("processor", "a-1", {"telemetry:teltonika": ">"})
    return {"REDIS_URL": own_redis.url, "POSTGRES_URL": postgres_url}


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port on which nobody listens, kept from everybody else."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def examine(environ: dict[str, str], **changes: str) -> Findings:
    """What the doctor finds, with the promises that hold of every answer checked.

    Without what it says of fsync: the tests' shared PostgreSQL is run without, and it notices.
    """
    told = processor("doctor", "--json", **{**environ, **changes})
    answer = json.loads(told.stdout)
    findings = {each["check"]: each for each in answer["findings"]}
    assert len(findings) == len(answer["findings"]), "one row per check"
    verdicts = {each["verdict"] for each in answer["findings"]}
    assert answer["ok"] == ("fail" not in verdicts)
    assert told.returncode == (0 if answer["ok"] else 1)
    for each in answer["findings"]:
        assert each["verdict"] == "ok" or each["next"], f"nothing to type next: {each}"
    return {name: each for name, each in findings.items() if name not in FSYNC}


def failed(findings: Findings) -> set[str]:
    return {name for name, each in findings.items() if each["verdict"] == "fail"}


def test_where_everything_fits_nothing_fails(
    environ: dict[str, str], own_postgres: Postgres
) -> None:
    asyncio.run(migrations.apply(own_postgres.url))
    environ["POSTGRES_URL"] = own_postgres.url
    assert processor("doctor", **environ).returncode == 0
    findings = examine(environ)
    warned = {name for name, each in findings.items() if each["verdict"] == "warn"}
    assert warned == {"timescaledb"}, "an ordinary PostgreSQL, and that is said"


def test_a_pipe_gets_a_line_per_finding_and_no_colours(environ: dict[str, str]) -> None:
    told = processor("doctor", **environ)
    assert "\x1b" not in told.stdout
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    assert {len(row) for row in rows} == {3}
    assert ["ok", "migrations", "all applied, none changed"] in rows


def test_the_wrong_stream_is_found_and_the_busy_ones_are_named(
    environ: dict[str, str], client: Any
) -> None:
    client.xadd("telemetry:empty:dlq", {"a": "b"})
    findings = examine(environ, REDIS_TELEMETRY_STREAM="telemetry:teltonica")
    assert failed(findings) == {"stream"}
    assert "telemetry:teltonica has never had an entry" in findings["stream"]["found"]
    assert "telemetry:teltonika has traffic" in findings["stream"]["found"]
    assert findings["stream"]["next"] == "export REDIS_TELEMETRY_STREAM=telemetry:teltonika"
    assert findings["group"]["verdict"] == "warn"


def test_a_stream_that_fell_silent_is_found(environ: dict[str, str], client: Any) -> None:
    client.xadd("telemetry:old", {"a": "b"}, id="1000-0")
    findings = examine(environ, REDIS_TELEMETRY_STREAM="telemetry:old")
    assert "telemetry:old silent for" in findings["stream"]["found"]


def test_silence_everywhere_is_the_producers(environ: dict[str, str], client: Any) -> None:
    client.delete("telemetry:teltonika")
    findings = examine(environ)
    assert not failed(findings)
    assert "is the producer running" in findings["stream"]["next"]


def test_each_server_that_is_away_is_said_and_the_other_is_checked_all_the_same(
    environ: dict[str, str], own_redis: Valkey
) -> None:
    gone = urlsplit(environ["POSTGRES_URL"])._replace(path="/no_such_database").geturl()
    findings = examine(environ, POSTGRES_URL=gone)
    assert failed(findings) == {"postgres"}
    assert findings["stream"]["verdict"] == "ok"
    own_redis.stop()
    findings = examine(environ)
    assert failed(findings) == {"redis"}
    assert findings["schema"]["verdict"] == "ok"
    findings = examine(environ, POSTGRES_URL=gone)
    assert failed(findings) == {"redis", "postgres"}


def test_a_database_server_that_is_away_is_said(
    environ: dict[str, str], own_postgres: Postgres
) -> None:
    own_postgres.stop()
    findings = examine(environ, POSTGRES_URL=own_postgres.url)
    assert failed(findings) == {"postgres"}
    assert "start it, or correct POSTGRES_URL" in findings["postgres"]["next"]


def test_wrong_passwords_are_said_and_not_shown(environ: dict[str, str], client: Any) -> None:
    client.config_set("requirepass", "right")
    wrong = environ["REDIS_URL"].replace("redis://", "redis://:hunter2@")
    told = processor("doctor", "--json", **{**environ, "REDIS_URL": wrong})
    assert told.returncode == 1
    assert "hunter2" not in told.stdout + told.stderr
    findings = examine(environ, REDIS_URL=wrong)
    assert findings["redis"]["next"] == "redis-cli -u $REDIS_URL PING (check REDIS_URL)"
    findings = examine(environ, REDIS_URL=wrong.replace("hunter2", "right"))
    assert not failed(findings)


@pytest.mark.parametrize(
    ("settings", "check", "verdict"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "redis eviction", "fail"),
        ({"maxmemory-policy": "volatile-ttl"}, "redis eviction", "ok"),
        ({"appendonly": "no"}, "redis persistence", "warn"),
    ],
)
def test_how_redis_keeps_things_is_judged(
    environ: dict[str, str], client: Any, settings: dict[str, str], check: str, verdict: str
) -> None:
    for name, value in settings.items():
        client.config_set(name, value)
    assert examine(environ)[check]["verdict"] == verdict


def test_what_redis_may_not_tell_is_a_warning(environ: dict[str, str], client: Any) -> None:
    client.execute_command("ACL", "SETUSER", "shy", "on", ">pw", "~*", "+@all", "-config")
    shy = environ["REDIS_URL"].replace("redis://", "redis://shy:pw@")
    findings = examine(environ, REDIS_URL=shy)
    assert not failed(findings)
    assert findings["redis eviction"]["verdict"] == "warn"


def test_a_missing_group_is_a_warning_for_the_start_makes_it(
    environ: dict[str, str], client: Any
) -> None:
    client.xgroup_destroy("telemetry:teltonika", "processor")
    findings = examine(environ)
    assert not failed(findings)
    assert findings["group"]["next"] == "processor run"


def test_a_group_that_is_about_to_lose_entries_fails(environ: dict[str, str], client: Any) -> None:
    name = "telemetry:hasty"
    now_ms = int(client.time()[0]) * 1000
    client.xgroup_create(name, "processor", "0", mkstream=True)
    for number in range(100):
        client.xadd(name, {"a": "b"}, id=f"{now_ms - 100_000 + number * 1000}-0")
    client.xreadgroup("processor", "a-1", {name: ">"}, count=30)
    client.xtrim(name, maxlen=90, approximate=False)
    findings = examine(environ, REDIS_TELEMETRY_STREAM=name)
    assert failed(findings) == {"group"}
    assert "trimming reaches it in" in findings["group"]["found"]


def test_dead_letters_are_counted(environ: dict[str, str], client: Any) -> None:
    client.xadd("telemetry:teltonika:dlq", {"origin_id": "1-0"})
    findings = examine(environ)
    assert findings["dead letters"]["verdict"] == "warn"
    assert findings["dead letters"]["found"] == "1 in telemetry:teltonika:dlq"


def test_a_database_without_our_tables_is_sent_to_migrate(
    environ: dict[str, str], postgres_url: str
) -> None:
    sql(postgres_url, "DROP SCHEMA processor CASCADE", "DROP TABLE positions")
    findings = examine(environ)
    assert findings["migrations"]["next"] == "processor migrate"
    assert failed(findings) == {"migrations"}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("ALTER TABLE positions DROP COLUMN speed", "positions.speed is missing"),
        ("ALTER TABLE positions ALTER speed TYPE numeric", "positions.speed is numeric"),
        ("DROP INDEX positions_device_id_ts_key", "no unique index on (device_id, ts)"),
        (
            "ALTER TABLE positions ALTER codec DROP NOT NULL",
            "positions.codec should not allow NULL",
        ),
    ],
)
def test_a_table_that_differs_is_said(
    environ: dict[str, str], postgres_url: str, statement: str, found: str
) -> None:
    sql(postgres_url, statement)
    findings = examine(environ)
    assert failed(findings) == {"schema"}
    assert found in findings["schema"]["found"]


def test_a_migration_that_has_changed_since_is_said(
    environ: dict[str, str], postgres_url: str
) -> None:
    sql(postgres_url, "UPDATE processor.schema_migrations SET checksum = 'another'")
    findings = examine(environ)
    assert failed(findings) == {"migrations"}
    assert "has changed since it was applied" in findings["migrations"]["found"]


def test_a_database_that_does_not_fsync_fails(
    environ: dict[str, str], own_postgres: Postgres
) -> None:
    asyncio.run(migrations.apply(own_postgres.url))
    sql(
        own_postgres.url,
        "ALTER SYSTEM SET fsync = off",
        "ALTER SYSTEM SET synchronous_commit = off",
    )
    own_postgres.stop()
    own_postgres.start()
    told = processor("doctor", **{**environ, "POSTGRES_URL": own_postgres.url})
    assert told.returncode == 1
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    assert [check for verdict, check, _ in rows if verdict == "fail"] == ["fsync"]
    assert ["warn", "synchronous_commit"] in [row[:2] for row in rows]


def test_timescaledb_is_seen_and_an_ordinary_table_on_it_is_said(
    environ: dict[str, str], timescale_url: str
) -> None:
    asyncio.run(migrations.apply(timescale_url))
    findings = examine(environ, POSTGRES_URL=timescale_url)
    assert findings["timescaledb"]["verdict"] == "ok"
    sql(
        timescale_url,
        "ALTER TABLE positions RENAME TO hyper",
        "CREATE TABLE positions (LIKE hyper INCLUDING ALL)",
    )
    findings = examine(environ, POSTGRES_URL=timescale_url)
    assert not failed(findings)
    assert findings["timescaledb"]["next"] == "processor migrate --convert"
    assert "positions is no hypertable" in findings["timescaledb"]["found"]
    converted = processor("migrate", "--convert", POSTGRES_URL=timescale_url)
    assert (converted.returncode, converted.stderr) == (0, "")
    findings = examine(environ, POSTGRES_URL=timescale_url)
    assert findings["timescaledb"]["verdict"] == "ok"


# ---- lag


def test_lag_tells_each_group_and_consumer(environ: dict[str, str], client: Any) -> None:
    for _ in range(4):
        client.xadd("telemetry:teltonika", {"codec": "8", "payload": "{}"})
    client.xgroup_create("telemetry:teltonika", "other", "0")
    told = processor("lag", "--json", REDIS_URL=environ["REDIS_URL"])
    assert told.returncode == 0
    answer = json.loads(told.stdout)
    assert answer["stream"] == "telemetry:teltonika"
    groups = {group["name"]: group for group in answer["groups"]}
    assert groups["processor"]["lag_entries"] == 4
    assert groups["processor"]["lag_seconds"] >= 0
    assert groups["processor"]["pending"] == 1
    (consumer,) = groups["processor"]["consumers"]
    assert (consumer["name"], consumer["pending"]) == ("a-1", 1)
    assert groups["other"]["lag_entries"] == 5
    assert groups["other"]["consumers"] == []
    plain = processor("lag", REDIS_URL=environ["REDIS_URL"]).stdout.splitlines()
    assert [line.split("\t")[:3] for line in plain] == [
        ["other", "", "0"],
        ["processor", "", "1"],
        ["processor", "a-1", "1"],
    ]


def test_lag_of_a_stream_that_is_not_there_points_to_the_doctor(environ: dict[str, str]) -> None:
    url = environ["REDIS_URL"]
    told = processor("lag", REDIS_URL=url, REDIS_TELEMETRY_STREAM="telemetry:none")
    assert told.returncode == 0
    assert "processor doctor" in told.stdout


# ---- migrate


def test_migrate_says_then_does_then_has_nothing_to_do(database_url: str) -> None:
    check = processor("migrate", "--check", POSTGRES_URL=database_url)
    assert check.returncode == 1
    names = check.stdout.split()
    assert names == [each.name for each in migrations.migrations()]
    done = processor("migrate", POSTGRES_URL=database_url)
    assert done.returncode == 0
    assert done.stdout == "".join(f"applied {name}\n" for name in names)
    again = processor("migrate", "--check", POSTGRES_URL=database_url)
    assert (again.returncode, again.stdout) == (0, "the schema is up to date\n")


def test_convert_without_timescaledb_is_refused_with_what_to_do(postgres_url: str) -> None:
    told = processor("migrate", "--convert", POSTGRES_URL=postgres_url)
    assert told.returncode == 78
    assert "install it on the server" in told.stderr


def test_without_a_directus_nothing_is_said_of_it(environ: dict[str, str]) -> None:
    assert not {"directus", "devices"} & examine(environ).keys()


@pytest.mark.parametrize("there", [True, False])
def test_what_the_live_channel_needs_is_looked_at(
    environ: dict[str, str], rally: Any, there: bool, nobody: int
) -> None:
    asyncio.run(migrations.apply(rally.directus.database_url))
    url = rally.directus.url if there else f"http://127.0.0.1:{nobody}"
    findings = examine(environ, POSTGRES_URL=rally.directus.database_url, DIRECTUS_BASE_URL=url)
    assert findings["directus"]["verdict"] == ("ok" if there else "fail")
    assert findings["devices"]["verdict"] == "ok"
    assert re.fullmatch(r"\d+ devices in \d+ events", findings["devices"]["found"])


def test_an_empty_map_and_missing_tables_are_found(
    environ: dict[str, str], business_url: str, rally: Any
) -> None:
    findings = examine(environ, DIRECTUS_BASE_URL=rally.directus.url)
    assert findings["devices"]["verdict"] == "fail"
    assert "entry_devices" in findings["devices"]["found"]
    asyncio.run(migrations.apply(business_url))
    findings = examine(environ, POSTGRES_URL=business_url, DIRECTUS_BASE_URL=rally.directus.url)
    assert findings["devices"]["verdict"] == "warn"
