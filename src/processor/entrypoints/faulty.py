"""`processor faulty DEVICE`: flag fixes, or clear the flag, and have them evaluated again."""

import asyncio
import os
from typing import Any

import click

from processor.adapters.postgres.tracks import Changed, Found, StoredTracks, Stretch
from processor.entrypoints import show
from processor.entrypoints.exits import Exit
from processor.entrypoints.instants import iso
from processor.entrypoints.reading import read
from processor.entrypoints.stretches import (
    FaultySettings,
    no_fix,
    of_a_stretch,
    request_of,
    stretch_of,
)


@click.command()
@of_a_stretch
@click.option("--clear", is_flag=True, help="Take the flag away instead.")
@click.option("--reason", required=True, help="Why; kept with the request.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def faulty(*, clear: bool, reason: str, dry_run: bool, as_json: bool, **span: Any) -> int:
    """Flag fixes as faulty and have them evaluated again, in one transaction.

    DEVICE is the device_id of its positions, the IMEI. Meant are its fixes from --from to --to,
    both included, that are stored now; one that comes later is not flagged. A faulty fix counts
    nowhere: not in results, not on the map, not as a device's last position. TIME is
    2026-05-04T10:00:00Z (or with an offset), or a span back from now such as 15m, 2h, 3d. Exit 1
    if there is no such fix.
    """
    stretch = stretch_of(**span)
    if not reason.strip():
        raise click.BadParameter("say why.", param_hint="--reason")
    settings = read(FaultySettings, os.environ)
    tracks = StoredTracks(settings.postgres.url)
    request = request_of(stretch, "faulty --clear" if clear else "faulty", reason.strip())
    with show.working("looking at the fixes"):
        found, changed = asyncio.run(
            _flag(tracks, stretch, clear=clear, request=request, dry_run=dry_run)
        )
    already = found.fixes - changed.fixes
    if as_json:
        show.json(
            {
                "device_id": stretch.device_id,
                "first": iso(found.first),
                "last": iso(found.last),
                "faulty": not clear,
                "dry_run": dry_run,
                "changed": changed.fixes,
                "already": already,
                "request_id": changed.request_id,
            }
        )
        return Exit.DONE
    verb = ("clear", "cleared") if clear else ("flag", "flagged")
    what = f"would {verb[0]}" if dry_run else verb[1]
    click.echo(
        f"{what} {changed.fixes} of {found.fixes} fixes between {iso(found.first)} and "
        f"{iso(found.last)}; {already} were so already"
    )
    if changed.request_id:
        click.echo(f"asked for them to be evaluated again: {changed.request_id}")
    return Exit.DONE


async def _flag(
    tracks: StoredTracks, stretch: Stretch, *, clear: bool, request: dict[str, str], dry_run: bool
) -> tuple[Found, Changed]:
    found = await tracks.look(stretch)
    if not found.fixes:
        raise await no_fix(tracks, stretch)
    if dry_run:
        return found, Changed(found.faulty if clear else found.fixes - found.faulty, None)
    return found, await tracks.flag(stretch, faulty=not clear, request=request)
