"""Which device drives in which event, as Directus has it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from processor.adapters.postgres.business import ASSIGNED, BEGINNING, END, ask, check
from processor.core.ports import Assignment

if TYPE_CHECKING:
    import asyncpg

# Distinct: two entries of an event may share a device at the same time.
_READ = f"""
    SELECT DISTINCT imei, event_id::text,
        nullif(since, '{BEGINNING}') AS valid_from, nullif(until, '{END}') AS valid_to
    FROM ({ASSIGNED}) AS assigned
"""  # noqa: S608 -- put together from constants of ours


class PostgresTopicMap:
    """TopicMap on a pool. The tables are looked at before each read, and each of the two takes
    `timeout_ms` at most, waiting for a session included."""

    def __init__(self, pool: "asyncpg.Pool[Any]", *, timeout_ms: int) -> None:
        self._pool = pool
        self._timeout_ms = timeout_ms

    async def read(self) -> Mapping[str, Sequence[Assignment]]:
        await check(self._pool, timeout_ms=self._timeout_ms)
        assignments: dict[str, list[Assignment]] = {}
        for device_id, *assignment in await ask(self._pool, _READ, timeout_ms=self._timeout_ms):
            assignments.setdefault(device_id, []).append(Assignment(*assignment))
        return assignments
