"""What `processor doctor` looks at for the live channel: Directus, and its tables.

Only where DIRECTUS_BASE_URL is set: who runs no live channel needs neither.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from processor.adapters.directus.client import DirectusClient
from processor.adapters.postgres.pool import open_reading_pool
from processor.adapters.postgres.topic_map import PostgresTopicMap
from processor.core.errors import Refused, Unavailable
from processor.entrypoints.findings import PSQL, Finding
from processor.entrypoints.reading import masked
from processor.entrypoints.settings import DoctorSettings

ANSWER_WITHIN_MS = 5_000
"""Somebody sits and waits for the answer."""

PING = "curl -i $DIRECTUS_BASE_URL/server/ping"


async def examine_live(settings: DoctorSettings) -> list[Finding]:
    """A row for Directus and one for what it says of devices and events."""
    url = settings.directus.url
    if url is None:
        return []
    return [await _examine_directus(url), await _examine_tables(settings)]


async def _examine_directus(url: str) -> Finding:
    try:
        client = DirectusClient(url, connections=1)
        try:
            await client.ask()
        finally:
            await client.aclose()
    except Unavailable as error:
        look = f"{PING} (start it, or correct DIRECTUS_BASE_URL)"
        return Finding("directus", "fail", f"{masked(url)}: {error.sentence}", look)
    except Refused as error:
        return Finding("directus", "fail", error.sentence, "export DIRECTUS_BASE_URL=http://...")
    return Finding("directus", "ok", f"{masked(url)} answers")


async def _examine_tables(settings: DoctorSettings) -> Finding:
    try:
        async with AsyncExitStack() as stack:
            pool: Any = open_reading_pool(
                settings.postgres.url,
                size=1,
                statement_timeout_ms=ANSWER_WITHIN_MS,
                statement_cache=settings.postgres.statement_cache,
            )
            await stack.enter_async_context(pool)
            devices = await PostgresTopicMap(pool, timeout_ms=ANSWER_WITHIN_MS).read()
    except Refused as error:
        look = "npx directus schema apply schema/snapshot.yaml (see schema/README.md)"
        return Finding("devices", "fail", error.sentence, look)
    except Unavailable as error:
        return Finding("devices", "fail", error.sentence, f"{PSQL} -c 'TABLE entry_devices'")
    return judge_devices(devices)


def judge_devices(devices: Mapping[str, Sequence[Any]]) -> Finding:
    """Does anybody drive anywhere?"""
    if not devices:
        found = "no device drives in any event: a live map stays empty"
        return Finding("devices", "warn", found, f"{PSQL} -c 'TABLE entry_devices'")
    events = {each.event_id for several in devices.values() for each in several}
    return Finding("devices", "ok", f"{len(devices)} devices in {len(events)} events")
