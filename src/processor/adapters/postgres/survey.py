"""One look at a database, for `processor doctor`: what it is, and what our table is like there."""

from collections.abc import Mapping

import asyncpg
from attrs import frozen

from processor.adapters.postgres.errors import FAILURES, translate

ANSWER_WITHIN_S = 5.0
"""Somebody sits and waits for the answer; a catalogue query takes milliseconds."""


@frozen
class Column:
    type: str
    required: bool


@frozen
class Survey:
    """`timescale` is the extension's version, None where it is not installed. `columns` are those
    of the table `positions` that our search path finds, empty where there is none."""

    version: str
    version_number: int
    settings: Mapping[str, str]
    standby: bool
    timescale: str | None
    hypertable: bool
    columns: Mapping[str, Column]
    key_is_unique: bool


async def survey(url: str) -> Survey:
    """Raises Unavailable, Refused."""
    try:
        connection = await asyncpg.connect(
            url, timeout=ANSWER_WITHIN_S, command_timeout=ANSWER_WITHIN_S, statement_cache_size=0
        )
        try:
            return await _surveyed(connection)
        finally:
            await connection.close(timeout=ANSWER_WITHIN_S)
    except FAILURES as error:
        raise translate(error) from error


async def _surveyed(connection: "asyncpg.Connection[asyncpg.Record]") -> Survey:
    server = await connection.fetchrow(
        """SELECT current_setting('server_version') AS version,
            current_setting('server_version_num')::int AS number,
            current_setting('fsync') AS fsync,
            current_setting('full_page_writes') AS full_page_writes,
            pg_is_in_recovery() AS standby,
            (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescale"""
    )
    assert server is not None
    columns = await connection.fetch(
        """SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS required
        FROM pg_attribute
        WHERE attrelid = to_regclass('positions') AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum"""
    )
    key_is_unique = await connection.fetchval(
        """SELECT EXISTS (
            SELECT FROM pg_index
            WHERE indrelid = to_regclass('positions') AND indisunique AND indisvalid
                AND indpred IS NULL AND indexprs IS NULL
                AND (SELECT array_agg(attname::text ORDER BY attname)
                     FROM pg_attribute
                     WHERE attrelid = indrelid AND attnum = ANY (indkey::int2[]))
                    = ARRAY['device_id', 'ts'])"""
    )
    hypertable = False
    if server["timescale"] is not None:
        hypertable = await connection.fetchval(
            """SELECT EXISTS (
                SELECT FROM timescaledb_information.hypertables
                WHERE to_regclass(format('%I.%I', hypertable_schema, hypertable_name))
                    = to_regclass('positions'))"""
        )
    return Survey(
        version=server["version"],
        version_number=server["number"],
        settings={name: server[name] for name in ("fsync", "full_page_writes")},
        standby=server["standby"],
        timescale=server["timescale"],
        hypertable=hypertable,
        columns={row["name"]: Column(row["type"], row["required"]) for row in columns},
        key_is_unique=key_is_unique,
    )
