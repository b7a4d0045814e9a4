"""Our tables, made by numbered SQL files: in order, each once, each in a transaction of its own.

An advisory lock that ends with the transaction lets two instances start together: the second
finds the file applied when its turn comes. What was applied is recorded with a checksum, because
a file that changed after it was applied describes a table that no database has.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import asyncpg
from attrs import frozen

from processor.adapters.postgres.pool import connection_to
from processor.adapters.postgres.schema import timescale_fault, timescale_version
from processor.core.errors import Refused

LOCK = 0x70726F63
"""The advisory lock's number: `proc` in ASCII, to be recognised in pg_locks."""

LOCK_TIMEOUT_S = 300
"""Another instance may be building an index meanwhile; after five minutes somebody should look."""

FILE_TIMEOUT_S = 3600
"""An index over a season's positions takes minutes, making a hypertable of them more."""

QUESTION_TIMEOUT_S = 15
"""For reading what was applied."""

# An operator may have made the schema for a role that may not; IF NOT EXISTS would still refuse.
_SCHEMA = """
    DO $$ BEGIN
        IF to_regnamespace('processor') IS NULL THEN CREATE SCHEMA processor; END IF;
    END $$
"""

_RECORDS = """
    CREATE TABLE IF NOT EXISTS processor.schema_migrations (
        name       text PRIMARY KEY,
        checksum   text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    );
"""

_CONVERT = """
    SELECT create_hypertable('public.positions', by_range('ts', INTERVAL '1 day'),
        create_default_indexes => false, migrate_data => true)
"""


@frozen
class Migration:
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> Sequence[Migration]:
    """All that this version brings, in order: from the wheel, or from the source checkout."""
    folder = files("processor") / "migrations"
    if not folder.is_dir():
        folder = Path(__file__).parents[4] / "migrations"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [
        Migration(entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8"))
        for entry in sorted(found, key=lambda entry: entry.name)
    ]


async def missing(url: str, wanted: Sequence[Migration] | None = None) -> Sequence[str]:
    """Names of migrations that this database has not had. Changes nothing.

    Raises Refused if one that it had has changed since; Unavailable.
    """
    async with connection_to(url, timeout_s=QUESTION_TIMEOUT_S) as connection:
        applied = await _applied(connection)
    return [each.name for each in _missing(migrations() if wanted is None else wanted, applied)]


async def apply(
    url: str,
    *,
    say: Callable[[str], None] | None = None,
    wanted: Sequence[Migration] | None = None,
) -> Sequence[str]:
    """Apply what is missing and name it. What a migration warns of is passed to `say`.

    Raises Refused if an applied file has changed since, if the role may not, or if TimescaleDB is
    too old to be trusted; Unavailable.
    """
    wanted = migrations() if wanted is None else wanted
    if not await missing(url, wanted):
        return []
    await _make_extension(url)
    async with connection_to(url, timeout_s=FILE_TIMEOUT_S) as connection:
        if fault := timescale_fault(await timescale_version(connection)):
            raise Refused("database", "timescale-version", fault)

        def heard(_: object, message: Any) -> None:
            if say and message.severity == "WARNING":
                say(message.message)

        connection.add_log_listener(heard)
        names = []
        for migration in wanted:
            async with connection.transaction():
                await _lock(connection)
                await connection.execute(_SCHEMA)
                await connection.execute(_RECORDS)
                # The second of two instances finds here what the first one did.
                if not _missing([migration], await _applied(connection)):
                    continue
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO processor.schema_migrations (name, checksum) VALUES ($1, $2)",
                    migration.name,
                    migration.checksum,
                )
            names.append(migration.name)
    return names


async def convert(url: str) -> bool:
    """Make the ordinary table a hypertable, with its data; False if it was one already.

    Writers wait meanwhile, and time out, and try again. Raises Refused without TimescaleDB.
    """
    await _make_extension(url)
    async with connection_to(url, timeout_s=FILE_TIMEOUT_S) as connection:
        version = await timescale_version(connection)
        if version is None:
            raise Refused(
                "database",
                "timescale-missing",
                "this database has no TimescaleDB and cannot make it: install it on the server, "
                "name it in shared_preload_libraries, and CREATE EXTENSION timescaledb",
            )
        if fault := timescale_fault(version):
            raise Refused("database", "timescale-version", fault)
        async with connection.transaction():
            await _lock(connection)
            if await connection.fetchval(
                "SELECT EXISTS (SELECT FROM timescaledb_information.hypertables WHERE"
                " (hypertable_schema, hypertable_name) = ('public', 'positions'))"
            ):
                return False
            await connection.execute(_CONVERT)
    return True


async def _lock(connection: "asyncpg.Connection[Any]") -> None:
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
    await connection.execute(f"SET LOCAL statement_timeout = '{FILE_TIMEOUT_S}s'")
    await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")


async def _applied(connection: "asyncpg.Connection[Any]") -> dict[str, str]:
    if await connection.fetchval("SELECT to_regclass('processor.schema_migrations')") is None:
        return {}
    rows = await connection.fetch("SELECT name, checksum FROM processor.schema_migrations")
    return {row["name"]: row["checksum"] for row in rows}


def _missing(wanted: Sequence[Migration], applied: dict[str, str]) -> Sequence[Migration]:
    for migration in wanted:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise Refused(
                "database",
                "migration-changed",
                f"migration {migration.name} has changed since it was applied here: put the file "
                "back as it was, and make the change a new migration",
            )
    return [migration for migration in wanted if migration.name not in applied]


async def _make_extension(url: str) -> None:
    """CREATE EXTENSION timescaledb where it is installed, loaded and permitted.

    Tried on a connection of its own, for a server that has not loaded the library at its start
    answers by ending the session. Where it fails, the table is an ordinary one, and 0001 says so.
    """
    async with connection_to(url, timeout_s=QUESTION_TIMEOUT_S) as connection:
        offered = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_available_extensions"
            " WHERE name = 'timescaledb' AND installed_version IS NULL)"
        )
        if not offered:
            return
        with suppress(asyncpg.PostgresError):
            await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
