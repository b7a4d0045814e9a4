"""What `processor rewind` does: set the group back, and say what that means before and after."""

from collections.abc import Mapping
from datetime import UTC, datetime

import attrs
import click

from processor.adapters.redis.connection import connect
from processor.adapters.redis.rewinding import RedisRewinder, Rewinding
from processor.adapters.redis.standing import milliseconds
from processor.entrypoints import show
from processor.entrypoints.exits import Ends, Exit
from processor.entrypoints.instants import iso
from processor.entrypoints.reading import read
from processor.entrypoints.settings import RedisSettings, StreamSettings

ANSWER_WITHIN_S = 10.0
"""A server that is busy reading a restored dump answers late."""

WITHIN_THE_CALENDAR_MS = 253_402_300_799_999


class NotSetBack(Ends):
    """Nothing was changed."""

    code = Exit.FAILED


async def rewind(environ: Mapping[str, str], first_id: str, *, dry_run: bool, as_json: bool) -> int:
    """Raises NotSetBack where there is no group, or where entries would be skipped."""
    settings = read(StreamSettings, environ).redis
    stream, group = settings.stream, settings.group
    client = connect(settings.url, timeout_s=ANSWER_WITHIN_S, name="processor-rewind")
    try:
        rewinder = RedisRewinder(client, stream=stream, group=group)
        with show.working("counting entries"):
            planned = await rewinder.look(first_id)
        if planned is None:
            raise NotSetBack(f"{stream} has no group {group}, or does not exist: processor doctor")
        if planned.forward:
            raise NotSetBack(
                f"group {group} has read up to {_place(planned.last_delivered_id)}, and to go on "
                f"from {_place(first_id)} would skip entries: nothing was changed"
            )
        if planned.again and not dry_run:
            await rewinder.rewind(planned)
    finally:
        await client.aclose()
    if as_json:
        told = attrs.asdict(planned) | {"reaches_beyond": planned.reaches_beyond}
        show.json({"dry_run": dry_run, "stream": stream, "group": group, **told})
    else:
        _tell(planned, settings, dry_run=dry_run)
    return Exit.DONE


def _tell(planned: Rewinding, settings: RedisSettings, *, dry_run: bool) -> None:
    stream, group = settings.stream, settings.group
    if not planned.again:
        click.echo(f"there is nothing in {stream} since then that {group} has read")
    else:
        set_back = f"{'would set' if dry_run else 'set'} group {group} of {stream} back"
        click.echo(
            f"{set_back}: {planned.again} entries {'would be' if dry_run else 'are'} read again, "
            f"{planned.unread} were not read yet"
        )
    if planned.oldest_id is not None:
        click.echo(f"the oldest entry still in the stream is {_place(planned.oldest_id)}")
    if planned.reaches_beyond:
        gone = f"GONE: what came from {_place(planned.first_id)} until then was trimmed"
        maybe = "" if planned.removed else ", if anything did come"
        click.secho(f"{gone}{maybe}, and nothing brings it back from here", fg="red", err=True)
    if planned.pending:
        click.echo(f"{planned.pending} pending entries stay with their consumers")
    if planned.again:
        click.echo("what is in the table already stays as it is; instances may run meanwhile")


def _place(entry_id: str) -> str:
    """An id, and when that was."""
    at_ms = milliseconds(entry_id)
    if at_ms > WITHIN_THE_CALENDAR_MS:
        return entry_id
    return f"{entry_id} ({iso(datetime.fromtimestamp(at_ms / 1000, UTC))})"
