"""The servers of the bench with an event in them: its devices, and who drives them."""

import asyncio
import resource
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from bench.place import Place, opened

TABLES = Path(__file__).parents[2] / "schema" / "tables.sql"
EVENT = str(uuid.UUID(int=0x5EED))
FILES = 4_096
"""Two thousand connections and what a process has besides."""

ROWS = """
WITH organization AS (
    INSERT INTO organizations (name, slug) VALUES ('Bench', 'bench') RETURNING id
), event AS (
    INSERT INTO events (id, organization_id, name, slug, discipline, starts_at, ends_at)
    SELECT $1::uuid, id, 'Bench', 'bench', 'rally', now(), now() FROM organization RETURNING id
), class AS (
    INSERT INTO classes (event_id, code, name) SELECT id, 'T1', 'T1' FROM event RETURNING id
), driven AS (
    SELECT imei, place, gen_random_uuid() AS device_id, gen_random_uuid() AS entry_id
    FROM unnest($2::text[]) WITH ORDINALITY AS driven (imei, place)
), device AS (
    INSERT INTO devices (id, imei, model) SELECT device_id, imei, 'FMB920' FROM driven
), entry AS (
    INSERT INTO entries (id, event_id, class_id, race_number, status)
    SELECT entry_id, $1::uuid, class.id, place, 'started' FROM class, driven
)
INSERT INTO entry_devices (entry_id, device_id) SELECT entry_id, device_id FROM driven
"""


@contextmanager
def with_event(devices: Sequence[str]) -> Iterator[Place]:
    """A place where each of `devices` drives in the event EVENT. Raises SystemExit where this
    machine does not let a process have as many files as there are clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise SystemExit(f"a process may have {hard} files here (ulimit -Hn); {FILES} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    with opened() as place:
        asyncio.run(_fill(place.postgres, devices))
        yield place


async def _fill(url: str, devices: Sequence[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(TABLES.read_text())
        await connection.execute(ROWS, EVENT, list(devices))
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
