"""The tables of Directus that say which device drives in which event, and how they are asked.

Directus decides their schema. So a question that fails because something is not there is answered
by a Refused that names it, and what is optional is never missed: see `ASSIGNED`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from processor.adapters.postgres.pool import Session, session_of
from processor.core.errors import Refused, Rejected

_UUID = ("uuid",)
_TEXT = ("text", "character varying")
_INSTANT = ("timestamp with time zone", "timestamp without time zone")

NEEDED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "public.devices": {"id": _UUID, "imei": _TEXT},
    "public.entries": {"id": _UUID, "event_id": _UUID},
    "public.entry_devices": {"entry_id": _UUID, "device_id": _UUID},
}
"""Columns without which nothing can be said, and the types that they may have."""

OPTIONAL: Mapping[str, Mapping[str, Sequence[str]]] = {
    "public.entry_devices": {"valid_from": _INSTANT, "valid_to": _INSTANT}
}

BEGINNING, END = "0001-01-02 00:00+00", "9999-12-31 00:00+00"
"""As early and as late as an interval is taken to reach, where it has no such end, or an infinite
one, or a year that Python has no date for. No fix is near either."""

ASSIGNED = f"""
    SELECT device.imei, entry.event_id, assigned.since, assigned.until
    FROM (SELECT NULL::timestamptz AS valid_from, NULL::timestamptz AS valid_to) AS missing
    CROSS JOIN LATERAL (
        SELECT entry_id, device_id,
            greatest(valid_from::timestamptz, '{BEGINNING}') AS since,
            least(valid_to::timestamptz, '{END}') AS until
        FROM public.entry_devices
    ) AS assigned
    JOIN public.entries AS entry ON entry.id = assigned.entry_id
    JOIN public.devices AS device ON device.id = assigned.device_id
    WHERE assigned.since < assigned.until
"""  # noqa: S608 -- put together from constants of ours
"""Every assignment of a device to an event, half open: [since, until).

devices.imei is the device_id of a position, and devices.id that of an entry_device. Where
entry_devices has no `valid_from` or `valid_to`, the name means that of `missing`, which is NULL: in
SQL a name that a subquery's own tables do not have is looked for outside. The server looks again
whenever the table was altered, so that a column which appears, or goes, is noticed at once.
"""

_COLUMNS = """
    SELECT attname, format_type(atttypid, NULL) AS type FROM pg_attribute
    WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped
"""

_SCHEMA_MAY_DIFFER = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,  # uuid = text, and the like
    asyncpg.DatatypeMismatchError,
    asyncpg.CannotCoerceError,
    asyncpg.DataError,  # a text that is no instant
)


async def ask(
    pool: "asyncpg.Pool[Any]", statement: str, *arguments: object, timeout_ms: int
) -> Sequence[asyncpg.Record]:
    """The rows of one statement. All of it, with the wait for a session, takes `timeout_ms` at
    most. Raises Unavailable; Refused, naming what is missing in the business tables."""
    deadline_s = asyncio.get_running_loop().time() + timeout_ms / 1000
    try:
        async with session_of(pool, timeout_s=timeout_ms / 1000) as session:
            try:
                return await _ask(session, statement, arguments, deadline_s)
            except _SCHEMA_MAY_DIFFER as error:
                await session.execute("ROLLBACK", timeout=_left_s(deadline_s))
                faults = await _faults(session, deadline_s)
                if not faults:  # not in their tables, or no longer
                    raise
                raise Refused("database", "business-schema", "; ".join(faults)) from error
    except Rejected as error:  # there is no record here that could be at fault
        raise Refused("database", "unexpected", error.sentence) from error


async def check(pool: "asyncpg.Pool[Any]", *, timeout_ms: int) -> None:
    """Look at the columns themselves: a wrong type need not fail any question, an IMEI that is a
    number fits no position. Raises as `ask`."""
    deadline_s = asyncio.get_running_loop().time() + timeout_ms / 1000
    try:
        async with session_of(pool, timeout_s=timeout_ms / 1000) as session:
            faults = await _faults(session, deadline_s)
    except Rejected as error:
        raise Refused("database", "unexpected", error.sentence) from error
    if faults:
        raise Refused("database", "business-schema", "; ".join(faults))


async def _faults(session: Session, deadline_s: float) -> Sequence[str]:
    """What does not fit in the business tables, a sentence each."""
    faults = []
    for table, columns in NEEDED.items():
        rows = await _ask(session, _COLUMNS, (table,), deadline_s)
        found = {row["attname"]: row["type"] for row in rows}
        if not found:
            faults.append(f"{table} is missing")
            continue
        there = {k: v for k, v in OPTIONAL.get(table, {}).items() if k in found}
        for name, types in {**columns, **there}.items():
            if name not in found:
                faults.append(f"{table}.{name} is missing")
            elif found[name] not in types:
                faults.append(f"{table}.{name} is {found[name]}, and should be {types[0]}")
    return faults


async def _ask(
    session: Session, statement: str, arguments: Sequence[object], deadline_s: float
) -> Sequence[asyncpg.Record]:
    """In a transaction, for the sake of its time limit: a server that is only hung up on goes on
    working. It gives up a little before we do, and the session stays a good one."""
    within_ms = max(1, int(_left_s(deadline_s) * 900))
    opening = f"{session.opening.plain}; SET LOCAL statement_timeout = {within_ms}"
    await session.execute(opening, timeout=_left_s(deadline_s))
    rows = await session.fetch(statement, *arguments, timeout=_left_s(deadline_s))
    await session.execute("COMMIT", timeout=_left_s(deadline_s))
    return rows


def _left_s(deadline_s: float) -> float:
    """Until then. Never 0, which the driver takes for a deadline that was missed before it began,
    a thing it does not expect."""
    return max(0.001, deadline_s - asyncio.get_running_loop().time())
