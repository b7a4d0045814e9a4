"""Old chunks of positions, dropped or compressed as the settings say. Migration 0002 does the work.

It does it as the owner of the table, so that the service needs no ownership, and decides in the
transaction that drops what must stay: the chunks of an event that is not closed. Each call is a
piece of the work, for a lock is held until its end.

Whether the server can do it at all is asked at start: an ordinary table has no chunks, and only
TimescaleDB's community build compresses. The settings are refused there, and not forgotten.
"""

from datetime import timedelta
from typing import Any

import asyncpg
from attrs import frozen

from processor.adapters.postgres.pool import connection_to
from processor.core.errors import Refused

CHUNKS_AT_ONCE = 20
"""Chunks dropped in one transaction. Each takes some ten locks until its end, and the server has
room for 6400 by default, for everybody."""

DROP_WITHIN_S = 60.0
"""Dropping is some milliseconds a chunk; it waits for no lock longer than a second."""

COMPRESS_WITHIN_S = 1_800.0
"""A chunk at a time: a day of a thousand devices, 86 million rows, is minutes of work."""

QUESTION_WITHIN_S = 15.0

DROP = "processor.drop_old_chunks(interval, integer, text)"
COMPRESS = "processor.compress_old_chunks(interval, integer)"


@frozen
class Dropped:
    """`kept` are the chunks that are old enough and belong to an event that is not closed; None
    where another instance was at it. `events` says whether there is a table of events at all."""

    chunks: int
    kept: int | None
    events: bool


async def drop_old_chunks(url: str, *, after: timedelta, who: str) -> Dropped:
    """Drop some chunks that ended `after` ago, the oldest first, and write down that `who` did.

    To be called until it drops none. Raises Unavailable, Refused.
    """
    row = await _ask(
        url,
        "SELECT dropped, kept, to_regclass('public.events') IS NOT NULL AS events"
        " FROM processor.drop_old_chunks($1, $2, $3)",
        after,
        CHUNKS_AT_ONCE,
        who,
        within_s=DROP_WITHIN_S,
    )
    return Dropped(row["dropped"], row["kept"], row["events"])


async def compress_old_chunks(url: str, *, after: timedelta) -> int:
    """Compress one chunk that ended `after` ago, the oldest; how many it were. As above."""
    row = await _ask(
        url,
        "SELECT compressed FROM processor.compress_old_chunks($1, 1)",
        after,
        within_s=COMPRESS_WITHIN_S,
    )
    return int(row["compressed"])


async def _ask(url: str, question: str, *values: object, within_s: float) -> asyncpg.Record:
    async with connection_to(url, timeout_s=within_s) as connection, connection.transaction():
        await connection.execute(f"SET LOCAL statement_timeout = '{within_s:.0f}s'")
        row: asyncpg.Record | None = await connection.fetchrow(question, *values)
    assert row is not None, "a function with OUT parameters has one row"
    return row


async def require_chunks(url: str, *, drop: bool, compress: bool) -> None:
    """Refused, with what to do about it, where the server or our role cannot do what is set.

    Raises Unavailable, too.
    """
    wanted = {
        "POSITIONS_DROP_AFTER": (drop, DROP),
        "POSITIONS_COMPRESS_AFTER": (compress, COMPRESS),
    }
    functions = {setting: function for setting, (is_set, function) in wanted.items() if is_set}
    if not functions:
        return
    async with connection_to(url, timeout_s=QUESTION_WITHIN_S) as connection:
        for setting, function in functions.items():
            if refusal := await _refusal(connection, setting, function):
                raise refusal


async def _refusal(
    connection: "asyncpg.Connection[Any]", setting: str, function: str
) -> Refused | None:
    license_ = await connection.fetchval("SELECT current_setting('timescaledb.license', true)")
    hypertable = license_ is not None and await connection.fetchval(
        "SELECT to_regclass('timescaledb_information.hypertables') IS NOT NULL"
    )
    if hypertable:
        hypertable = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM timescaledb_information.hypertables"
            " WHERE (hypertable_schema, hypertable_name) = ('public', 'positions'))"
        )
    if not hypertable:
        return Refused(
            "database",
            "timescale-missing",
            f"{setting} needs the chunks of TimescaleDB, and positions is an ordinary table: "
            "install TimescaleDB and run processor migrate --convert, or leave the setting empty",
        )
    if function == COMPRESS and license_ != "timescale":
        return Refused(
            "database",
            "timescale-license",
            f"{setting} needs TimescaleDB's community build, and this server has the one under "
            f"the {license_} license, which cannot compress: install the community build, or "
            "leave the setting empty",
        )
    row = await connection.fetchrow(
        "SELECT has_function_privilege(oid, 'EXECUTE') AS may,"
        " pg_has_role(proowner, (SELECT relowner FROM pg_class"
        " WHERE oid = to_regclass('public.positions')), 'USAGE') AS owns,"
        " proowner::regrole::text AS owner, current_user::text AS me"
        " FROM pg_proc WHERE oid = to_regprocedure($1)",
        function,
    )
    if row is None:
        return Refused(
            "database", "schema", f"{function} is missing, and its migration is on record"
        )
    if not row["may"]:
        return Refused(
            "database",
            "privileges",
            f"{setting} needs a right that {row['me']} lacks: "
            f"GRANT EXECUTE ON FUNCTION {function} TO {row['me']}",
        )
    if not row["owns"]:
        return Refused(
            "database",
            "privileges",
            f"{setting} needs a function that runs as the owner of positions, and it belongs to "
            f"{row['owner']}: ALTER FUNCTION {function} OWNER TO the owner of positions",
        )
    return None
