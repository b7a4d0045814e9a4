"""Whether the database is the one we write to: columns, types, indexes, extension.

Asked at start, where a mismatch is a refusal, and by `processor doctor`, which prints it. A table
that differs is not mended here: migrations only add, and somebody has had a reason.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from processor.adapters.postgres.pool import connection_to
from processor.core.errors import Refused

OLDEST_TIMESCALE = (2, 18, 1)
QUESTION_TIMEOUT_S = 15

# Type, as format_type() spells it, and whether it is NOT NULL.
TABLES: Mapping[str, Mapping[str, tuple[str, bool]]] = {
    "public.positions": {
        "device_id": ("text", True),
        "ts": ("timestamp with time zone", True),
        "ingested_at": ("timestamp with time zone", True),
        "latitude": ("double precision", True),
        "longitude": ("double precision", True),
        "altitude": ("real", True),
        "angle": ("real", True),
        "speed": ("real", True),
        "satellites": ("smallint", True),
        "priority": ("smallint", True),
        "codec": ("text", True),
        "attributes": ("jsonb", True),
        "faulty": ("boolean", True),
        "decoded_attributes": ("jsonb", False),
    },
    "processor.track_changes": {
        "id": ("bigint", True),
        "kind": ("text", True),
        "noted_at": ("timestamp with time zone", True),
        "device_ids": ("text[]", False),
        "from_ts": ("timestamp with time zone[]", False),
        "to_ts": ("timestamp with time zone[]", False),
        "request": ("jsonb", False),
        "request_id": ("text", False),
    },
    "processor.retention": {
        "from_ts": ("timestamp with time zone", True),
        "before_ts": ("timestamp with time zone", True),
        "dropped_at": ("timestamp with time zone", True),
        "dropped_by": ("text", True),
        "chunks": ("integer", True),
    },
}

WITHOUT_DEFAULT = {"public.positions": {"attributes"}}
# What we leave to the table to fill in: without a default each row would be refused, and each
# refused row be taken for a bad record.
WITH_DEFAULT = {"public.positions": {"ingested_at", "faulty"}, "processor.track_changes": {"id"}}
UNIQUE = {
    "public.positions": "(device_id, ts)",
    "processor.track_changes": "(request_id)",
    "processor.retention": "(from_ts, before_ts)",
}

_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull, atthasdef,
        attidentity <> '' AS identity
    FROM pg_attribute
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
"""

_INDEXES = """
    SELECT indisunique, substring(pg_get_indexdef(indexrelid) FROM ' USING \\w+ (\\(.*)') AS columns
    FROM pg_index WHERE indrelid = to_regclass($1) AND indisvalid
"""


async def check_schema(url: str) -> Sequence[str]:
    """What does not fit, a sentence each; empty where all is well. Raises Unavailable, Refused."""
    async with connection_to(url, timeout_s=QUESTION_TIMEOUT_S) as connection:
        faults = []
        for table, columns in TABLES.items():
            found = await connection.fetch(_COLUMNS, table)
            if not found:
                faults.append(f"{table} is missing, and its migration is on record as applied")
                continue
            faults += _column_faults(table, columns, {row["attname"]: row for row in found})
            faults += _index_faults(table, await connection.fetch(_INDEXES, table))
        if fault := timescale_fault(await timescale_version(connection)):
            faults.append(fault)
        return faults


async def require_schema(url: str) -> None:
    """Refused with all that does not fit; Unavailable. Nothing to say where all is well."""
    if faults := await check_schema(url):
        raise Refused("database", "schema", "; ".join(faults))


async def timescale_version(connection: "asyncpg.Connection[Any]") -> str | None:
    """The TimescaleDB of this database, or None."""
    version: str | None = await connection.fetchval(
        "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
    )
    return version


def timescale_fault(version: str | None) -> str | None:
    """Why we do not write through this version, or None if we do."""
    if version is None:
        return None
    numbers = tuple(int(part) for part in version.partition("-")[0].split(".") if part.isdigit())
    if numbers >= OLDEST_TIMESCALE:
        return None
    oldest = ".".join(map(str, OLDEST_TIMESCALE))
    return (
        f"TimescaleDB {version} loses rows: its ON CONFLICT DO NOTHING into a compressed chunk "
        f"stops at the first conflict (timescaledb #7672); update it to {oldest} or newer"
    )


def _column_faults(
    table: str, columns: Mapping[str, tuple[str, bool]], found: Mapping[str, Any]
) -> Sequence[str]:
    faults = []
    for name, (type_, required) in columns.items():
        row = found.get(name)
        if row is None:
            faults.append(f"{table}.{name} is missing")
        elif row["type"] != type_:
            faults.append(f"{table}.{name} is {row['type']}, and should be {type_}")
        elif row["attnotnull"] != required:
            faults.append(f"{table}.{name} should {'not ' if required else ''}allow NULL")
        elif row["atthasdef"] and name in WITHOUT_DEFAULT.get(table, ()):
            faults.append(f"{table}.{name} should have no default")
        elif name in WITH_DEFAULT.get(table, ()) and not (row["atthasdef"] or row["identity"]):
            faults.append(f"{table}.{name} should have a default")
    faults += [
        f"{table}.{name} is not ours, allows no NULL and has no default: no row could be written"
        for name, row in found.items()
        if name not in columns and row["attnotnull"] and not (row["atthasdef"] or row["identity"])
    ]
    return faults


def _index_faults(table: str, indexes: Sequence[Any]) -> Sequence[str]:
    if any(row["indisunique"] and row["columns"] == UNIQUE[table] for row in indexes):
        return []
    return [f"{table} has no unique index on {UNIQUE[table]}"]
