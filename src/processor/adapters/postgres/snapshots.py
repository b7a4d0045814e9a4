"""The newest fixes of an event's devices, each within the intervals in which it is the event's.

A device's fixes are read from the newest back, along the unique index (device_id, ts), until there
are enough good ones. So it matters neither how many fixes the table has, nor how old the newest
one is; of a hypertable the newest chunks alone are looked at.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from processor.adapters.postgres.business import ASSIGNED, ask
from processor.core.model import Position
from processor.core.ports import Snapshot

if TYPE_CHECKING:
    import asyncpg

# The order of Position's members, but for the attributes, which come last.
_MEMBERS = """device_id, ts, latitude, longitude, altitude, angle, speed, satellites, priority,
        codec"""


def good_fixes(
    device_id: str, ahead: str, count: str, attributes: str = "attributes", before: str = ""
) -> str:
    """The newest `count` good fixes of a device, `before` an instant if one is given; the columns
    are Position's members. The arguments are SQL."""
    return f"""
        SELECT {_MEMBERS}, convert_to({attributes}::text, 'UTF8') AS attributes
        FROM public.positions
        WHERE device_id = {device_id}{f" AND ts < {before}" if before else ""}
            AND NOT faulty AND satellites > 0 AND ts <= ingested_at + {ahead}::interval
        ORDER BY ts DESC LIMIT {count}
    """  # noqa: S608 -- put together from constants of ours


def _good(event_id: str, ahead: str, count: str, attributes: str) -> str:
    """The newest good fixes of each assignment of the event, at most `count`.

    `since` is asked of what was found, where it costs nothing: the newest before `until` are known,
    and either they are late enough or there are none. With both bounds on `ts` a planner that does
    not know them takes them to be narrow, and in a small chunk it would go along the index on ts,
    through everybody's fixes.
    """
    return f"""
        WITH assigned AS MATERIALIZED ({ASSIGNED} AND entry.event_id = {event_id}::uuid)
        SELECT fix.* FROM assigned CROSS JOIN LATERAL (
            {good_fixes("assigned.imei", ahead, count, attributes, before="assigned.until")}
        ) AS fix
        WHERE fix.ts >= assigned.since
    """  # noqa: S608 -- as above


# The faulty ones come last, with nothing but their key; they are looked for in the same way.
_NEWEST = f"""
    (SELECT DISTINCT ON (device_id) * FROM ({_good("$1", "$2", "1", "attributes")}) AS good
    ORDER BY device_id, ts DESC)
    UNION ALL
    SELECT held.device_id, held.ts, {", ".join(["NULL"] * 9)}
    FROM unnest($3::text[], $4::timestamptz[]) AS held (device_id, ts)
    CROSS JOIN LATERAL (
        SELECT ts, faulty FROM public.positions
        WHERE device_id = held.device_id AND ts <= held.ts ORDER BY ts DESC LIMIT 1
    ) AS stored
    WHERE stored.ts = held.ts AND stored.faulty
"""  # noqa: S608 -- as above

# Assignments that overlap bring a fix twice: as ranks, and by DISTINCT, it counts as one.
_TRAILS = f"""
    SELECT DISTINCT ON (device_id, ts) {_MEMBERS}, attributes
    FROM (
        SELECT *, dense_rank() OVER (PARTITION BY device_id ORDER BY ts DESC) AS place
        FROM ({_good("$1", "$2", "$3", "CASE WHEN $4 THEN attributes ELSE '{}' END")}) AS good
    ) AS ranked
    WHERE place <= $3
    ORDER BY device_id, ts
"""  # noqa: S608 -- as above


class PostgresSnapshots:
    """Snapshots on a pool. A call takes `timeout_ms` at most, waiting for a session included; a fix
    counts if it was `clock_ahead_ms` ahead, at most, of the time at which it was stored."""

    def __init__(self, pool: "asyncpg.Pool[Any]", *, timeout_ms: int, clock_ahead_ms: int) -> None:
        self._pool = pool
        self._timeout_ms = timeout_ms
        self._ahead = timedelta(milliseconds=clock_ahead_ms)

    async def newest(self, event_id: str, held: Sequence[tuple[str, datetime]]) -> Snapshot:
        device_ids, instants = [each[0] for each in held], [each[1] for each in held]
        rows = await self._ask(_NEWEST, event_id, self._ahead, device_ids, instants)
        return Snapshot(
            [Position(*row.values()) for row in rows if row["latitude"] is not None],
            frozenset((row["device_id"], row["ts"]) for row in rows if row["latitude"] is None),
        )

    async def trails(
        self, event_id: str, count: int, *, attributes: bool
    ) -> Mapping[str, Sequence[Position]]:
        assert count > 0, "a trail has a bound"
        rows = await self._ask(_TRAILS, event_id, self._ahead, count, attributes)
        trails: dict[str, list[Position]] = {}
        for row in rows:
            trails.setdefault(row["device_id"], []).append(Position(*row.values()))
        return trails

    async def _ask(self, statement: str, *arguments: object) -> "Sequence[asyncpg.Record]":
        return await ask(self._pool, statement, *arguments, timeout_ms=self._timeout_ms)
