"""`processor rehydrate` as a process: what it shows of a device, and how it ends."""

import asyncio
import json
import os
import socket
import subprocess
import sys

import asyncpg
import pytest

from processor.adapters.postgres import migrations

FILL = """
    INSERT INTO positions (device_id, ts, ingested_at, latitude, longitude, altitude, angle, speed,
        satellites, priority, codec, attributes, faulty)
    SELECT device, noon + at, noon, 45.123456789, -14.25, 312.5, 87, 54, satellites, 0, '8E',
        '{"16": "12345678901234567890", "66": 12.5}', faulty
    FROM (VALUES ('car', interval '0', 9, false), ('car', '1 second', 0, false),
        ('car', '2 seconds', 9, true), ('car', '30 seconds', 9, true),
        ('car', '2 minutes', 9, false), ('blind', '0', 0, false), ('other', '0', 9, false))
        AS row (device, at, satellites, faulty),
        (VALUES (timestamptz '2026-11-23 12:00+00')) AS clock (noon)
"""


def rehydrate(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command with nothing in its environment but what is given."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "processor", "rehydrate", *arguments],
        env={**kept, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def filled_url(database_url: str) -> str:
    async def fill() -> None:
        await migrations.apply(database_url)
        connection = await asyncpg.connect(database_url)
        await connection.execute(FILL)
        await connection.close()

    asyncio.run(fill())
    return database_url


def test_it_shows_the_last_position_and_why_no_other_row_is_it(filled_url: str) -> None:
    told = rehydrate("car", "--json", POSTGRES_URL=filled_url)
    assert (told.returncode, told.stderr) == (0, "")
    assert json.loads(told.stdout) == {
        "device_id": "car",
        "last_seen": "2026-11-23T12:00:00+00:00",
        "last_position": {
            "latitude": 45.123456789,
            "longitude": -14.25,
            "altitude_m": 312.5,
            "angle_degrees": 87,
            "speed_kmh": 54,
            "satellites": 9,
            "priority": 0,
            "codec": "8E",
            "attributes": {"16": "12345678901234567890", "66": 12.5},
        },
        "rows": {"stored": 5, "faulty": 2, "without_satellites": 1, "clock_ahead": 1},
    }


def test_a_clock_may_be_allowed_to_run_further_ahead(filled_url: str) -> None:
    told = rehydrate("car", POSTGRES_URL=filled_url, CLOCK_AHEAD_MS="120000", BATCH_SIZE="wrong")
    assert (told.returncode, told.stderr) == (0, ""), "BATCH_SIZE is none of its business"
    rows = dict(line.split("\t") for line in told.stdout.splitlines())
    assert rows["last_seen"] == "2026-11-23T12:02:00+00:00"
    assert rows["latitude"] == "45.123456789°"
    assert rows["speed"] == "54 km/h"
    assert rows["from a clock ahead"] == "0"


def test_a_device_without_a_good_fix_has_rows_and_no_position(filled_url: str) -> None:
    plain = rehydrate("blind", POSTGRES_URL=filled_url)
    assert plain.returncode == 0
    assert "last_seen\tnone: no row is a good fix\n" in plain.stdout
    told = json.loads(rehydrate("blind", "--json", POSTGRES_URL=filled_url).stdout)
    assert (told["last_seen"], told["last_position"]) == (None, None)
    assert told["rows"]["without_satellites"] == 1


def test_an_unknown_device_is_one_sentence_and_exit_1(filled_url: str) -> None:
    told = rehydrate("nobody", "--json", POSTGRES_URL=filled_url)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("positions has no row of 'nobody'")
    assert told.stderr.count("\n") == 1


@pytest.mark.postgres
def test_a_database_without_our_table_is_exit_78(postgres_url: str) -> None:
    told = rehydrate("car", POSTGRES_URL=postgres_url)
    assert told.returncode == 78
    assert "processor migrate" in told.stderr


def test_a_server_that_is_away_is_exit_69_and_no_settings_are_exit_78() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"postgresql://u:hunter2@127.0.0.1:{bound.getsockname()[1]}/rally"
        away = rehydrate("car", POSTGRES_URL=url)
    assert away.returncode == 69
    assert "hunter2" not in away.stderr
    unset = rehydrate("car")
    assert unset.returncode == 78
    assert unset.stderr.startswith("POSTGRES_URL: missing")
    assert rehydrate().returncode == 2
