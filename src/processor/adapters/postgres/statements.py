"""What the sink says to PostgreSQL, besides COPY."""

# ruff: noqa: S608 -- statements are put together from constants of ours; values are parameters.

from processor.adapters.postgres.copy_format import COLUMNS
from processor.adapters.postgres.pool import STAGED

_COLUMNS = ", ".join(COLUMNS)

# The parameters $1 to $11 are the COLUMNS, each as an array. Attributes travel as bytes, for the
# driver would want text, and become jsonb here.
_ARRAYS = f"""(
    SELECT ts, latitude, longitude, altitude, angle, speed, satellites, priority,
        device_id, codec, convert_from(attributes, 'UTF8')::jsonb AS attributes
    FROM unnest(
        $1::timestamptz[], $2::double precision[], $3::double precision[], $4::real[],
        $5::real[], $6::real[], $7::smallint[], $8::smallint[], $9::text[], $10::text[],
        $11::bytea[]
    ) AS arrays ({_COLUMNS})
)"""

# The one order in which every writer takes its locks: that of core's batches. Device ids compare
# by code point, as in Python, whatever collation the database has.
_IN_ORDER = """ORDER BY (ts AT TIME ZONE 'UTC')::date, device_id COLLATE "C", ts"""

_INSERT = f"INSERT INTO public.positions ({_COLUMNS}) SELECT {_COLUMNS} FROM"


def _note(device_ids: int, from_ts: int, to_ts: int) -> str:
    # The parameters are texts, an element a line (`ChangedSpans.as_lines`).
    devices, begins, ends = (
        f"string_to_array(${number}::text, E'\\n')" for number in (device_ids, from_ts, to_ts)
    )
    return f"""
        INSERT INTO processor.track_changes (kind, noted_at, device_ids, from_ts, to_ts)
        SELECT 'fixes', now(), {devices}, {begins}::timestamptz[], {ends}::timestamptz[]
        WHERE ${device_ids}::text <> ''
    """


def _careful(sent: str, total: str) -> str:
    # NOT IN over two columns is a hash table; the planner, knowing no sizes here, might make
    # a loop within a loop of an anti-join.
    return f"""
        WITH inserted AS (
            {_INSERT} {sent} AS sent {_IN_ORDER}
            ON CONFLICT (device_id, ts) DO NOTHING
            RETURNING device_id, ts
        )
        SELECT device_id, ts FROM {sent} AS sent
        WHERE (SELECT count(*) FROM inserted) < {total}
            AND (device_id, ts) NOT IN (SELECT device_id, ts FROM inserted)
    """


INSERT_STRAIGHT = f"""
    WITH noted AS ({_note(12, 13, 14)}),
        inserted AS ({_INSERT} {_ARRAYS} AS sent {_IN_ORDER} RETURNING 1)
    SELECT 1 / (count(*) = cardinality($1::timestamptz[]))::integer FROM inserted
"""
"""Arrays and note -> all rows and the note; or nothing: with 23505 where a key was stored, with
22012 where a row got lost on the way. It goes alone, so only failing can take it back."""

INSERT_CAREFULLY = _careful(_ARRAYS, "cardinality($1::timestamptz[])")
"""Arrays -> what was new is inserted; the answer is the keys of what was not."""

INSERT_STAGED = _careful(STAGED, "$1::bigint")
"""The same from the staging table; $1 is how many rows lie in it."""

NOTE = _note(1, 2, 3)

SETTLE = f"""
    WITH noted AS ({_note(1, 2, 3)})
    SELECT device_id, ts, priority
    FROM unnest($4::text[], $5::timestamptz[]) AS duplicate (device_id, ts)
    JOIN public.positions USING (device_id, ts)
    WHERE ts BETWEEN $6 AND $7
"""
"""The note, and keys that should be stored -> those that are, with their priority. A statement of
its own, because under READ COMMITTED its snapshot holds what others have committed meanwhile. The
bounds repeat what the join says, so that TimescaleDB leaves out the chunks beyond them."""
