"""`processor claim` and `processor rewind`: what the command line says of them."""

import asyncio
import os

import click

from processor.entrypoints.instants import entry_since

DAY_MS = 86_400_000

dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")


@click.command()
@click.argument("consumer", required=False)
@click.option(
    "--idle-ms",
    type=click.IntRange(0, DAY_MS),
    help="Dead is who has asked for nothing for so long. Default: CLAIM_THRESHOLD_MS. With 0 and a "
    "CONSUMER it is you who says that it is dead.",
)
@dry_run
@as_json
def claim(*, consumer: str | None, idle_ms: int | None, dry_run: bool, as_json: bool) -> int:
    """Take over what a dead consumer holds, now, and store it.

    Without a CONSUMER: from all that are dead. It does the work by itself: no instance of the
    service need be alive, and those that are alive are not robbed. Names: processor lag.
    """
    if idle_ms == 0 and consumer is None:
        raise click.UsageError("--idle-ms 0 would rob the living: it needs a CONSUMER's name.")
    from processor.entrypoints.claiming import claim as take_over

    return asyncio.run(take_over(os.environ, consumer, idle_ms, dry_run=dry_run, as_json=as_json))


@click.command()
@click.argument("first_id", metavar="TIME", type=entry_since)
@dry_run
@as_json
def rewind(*, first_id: str, dry_run: bool, as_json: bool) -> int:
    """Read again what came since TIME: after the database was restored to an older state.

    What is in the table already stays as it is. Instances may run meanwhile. TIME is when entries
    came to the stream: 2026-05-04T10:00:00Z (or with an offset), a span back from now such as 15m,
    2h, 3d, or the id of the first entry to be read again.
    """
    from processor.entrypoints.rewinding import rewind as set_back

    return asyncio.run(set_back(os.environ, first_id, dry_run=dry_run, as_json=as_json))
