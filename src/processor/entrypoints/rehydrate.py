"""`processor rehydrate DEVICE`: what the state of a device would be, read back from the database.

It asks as the service does for a device that it does not know. And it counts the device's rows,
with those that are no place where it was, so that whoever wonders sees why a fix is not the last.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import attrs
import click
import msgspec
from attrs import frozen

from processor.adapters.postgres.pool import open_reading_pool
from processor.adapters.postgres.states import Census, PostgresStateStore
from processor.core.model import Position
from processor.entrypoints import show
from processor.entrypoints.exits import Ends, Exit
from processor.entrypoints.reading import read
from processor.entrypoints.settings import IngestSettings, LogSettings, PostgresSettings

ANSWER_WITHIN_MS = 30_000
"""Somebody sits and waits; to count a device's rows takes seconds where there are millions."""

_CLOCK_AHEAD = attrs.fields(IngestSettings).clock_ahead_ms


@frozen
class ClockSettings:
    """All that is used of ingest's settings: whether the others are right is not asked here."""

    clock_ahead_ms: int = attrs.field(
        default=_CLOCK_AHEAD.default, kw_only=True, metadata=_CLOCK_AHEAD.metadata
    )


@frozen
class RehydrateSettings:
    """What `processor rehydrate` uses."""

    logs: LogSettings
    postgres: PostgresSettings
    clock: ClockSettings


class UnknownDevice(Ends):
    """The database has no row of it."""

    code = Exit.FAILED


@click.command()
@click.argument("device")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def rehydrate(device: str, as_json: bool) -> int:
    """Show what the database knows of a device: its last position, and its rows.

    DEVICE is the device_id of its positions, the IMEI. Exit 1 if there is no row of it.
    """
    settings = read(RehydrateSettings, os.environ)
    with show.working("reading the rows of the device"):
        position, census = asyncio.run(_look(settings, device))
    if not census.stored:
        raise UnknownDevice(
            f"positions has no row of {device!r}: the name is the IMEI, as in devices.imei"
        )
    if as_json:
        show.json(_as_data(device, position, census))
    else:
        rows = _as_rows(device, position, census)
        show.table(f"state of {device}, from the database", ("", ""), rows)
    return Exit.DONE


async def _look(settings: RehydrateSettings, device: str) -> tuple[Position | None, Census]:
    # Any: asyncpg's stubs know nothing of a pool as a context manager.
    pool: Any = open_reading_pool(
        settings.postgres.url,
        size=1,
        statement_timeout_ms=ANSWER_WITHIN_MS,
        statement_cache=settings.postgres.statement_cache,
        name="processor-rehydrate",
    )
    async with pool:
        store = PostgresStateStore(
            pool, timeout_ms=ANSWER_WITHIN_MS, clock_ahead_ms=settings.clock.clock_ahead_ms
        )
        census = await store.census(device)
        return (await store.newest([device])).get(device), census


def _as_data(device: str, position: Position | None, census: Census) -> dict[str, Any]:
    return {
        "device_id": device,
        "last_seen": position and position.fixed_at.isoformat(),
        "last_position": position
        and {
            "latitude": position.latitude,
            "longitude": position.longitude,
            "altitude_m": position.altitude,
            "angle_degrees": position.angle,
            "speed_kmh": position.speed,
            "satellites": position.satellites,
            "priority": position.priority,
            "codec": position.codec,
            "attributes": msgspec.Raw(position.attributes),
        },
        "rows": attrs.asdict(census),
    }


def _as_rows(device: str, position: Position | None, census: Census) -> Sequence[tuple[str, str]]:
    """Without the attributes, of which there may be two hundred."""
    state = [("last_seen", "none: no row is a good fix")]
    if position is not None:
        state = [
            ("last_seen", position.fixed_at.isoformat()),
            ("latitude", f"{position.latitude}°"),
            ("longitude", f"{position.longitude}°"),
            ("altitude", f"{position.altitude:g} m"),
            ("angle", f"{position.angle:g}°"),
            ("speed", f"{position.speed:g} km/h"),
            ("satellites", str(position.satellites)),
            ("priority", str(position.priority)),
            ("codec", ascii(position.codec)),  # whatever it is, it drives no terminal
        ]
    return [
        ("device", device),
        *state,
        ("rows", str(census.stored)),
        ("faulty", str(census.faulty)),
        ("without satellites", str(census.without_satellites)),
        ("from a clock ahead", str(census.clock_ahead)),
    ]
