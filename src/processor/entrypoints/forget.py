"""`processor forget DEVICE`: erase a person's track, and say what cannot be reached.

Redis comes first, the table last. An entry that is erased from the stream is not read any more; one
that was read before is written within seconds, and finds its way into the table before the command
gets there, or is found when it is run again.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from typing import Any

import attrs
import click
from attrs import define

from processor.adapters.logs import configure, say
from processor.adapters.postgres.tracks import StoredTracks, Stretch
from processor.adapters.redis.traces import RedisTraces, Traces
from processor.core.errors import Refused
from processor.entrypoints import show
from processor.entrypoints.exits import Exit
from processor.entrypoints.instance import host_name
from processor.entrypoints.instants import iso
from processor.entrypoints.reading import read
from processor.entrypoints.stretches import (
    ForgetSettings,
    no_fix,
    of_a_stretch,
    request_of,
    stretch_of,
    whoami,
)

ANSWER_WITHIN_S = 10.0
"""A page of a thousand entries takes milliseconds; over a slow line, seconds."""

OUT_OF_REACH = (
    "backups, replicas that lag, and the write-ahead log, until they are rotated",
    "the place of the rows on the disk, until VACUUM has passed and it was written over",
    "exports, and whoever reads the stream with a group of their own",
    "browsers that were shown the track",
    "each instance's memory of the device's last fix, until a newer one comes or it is restarted",
    "results computed from the track, until they are evaluated again; what was published stays",
    "the tracker's own memory: what it sends later is stored as any fix is",
)
"""Where the track may be, out of our reach."""


@define
class Erasable:
    """What there is of the track: rows of positions, and traces in Redis."""

    fixes: int
    traces: Traces

    @property
    def counts(self) -> "Counts":
        return Counts(self.fixes, len(self.traces.entries), len(self.traces.letters))


@define
class Counts:
    """What is, or was, erased."""

    positions: int = 0
    stream: int = 0
    dead_letters: int = 0


@click.command()
@of_a_stretch
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be erased.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def forget(*, yes: bool, dry_run: bool, as_json: bool, **span: Any) -> int:
    """Erase a person's track: for ever, and not only flag it.

    DEVICE is the device_id of its positions, the IMEI. Its fixes from --from to --to, both
    included, are erased from the table, from the stream and from its dead letters, and racing is
    asked to evaluate again what is left. Who wore the device when, entry_devices tells. TIME is
    2026-05-04T10:00:00Z (or with an offset), or a span back from now such as 15m, 2h, 3d. Needs
    the owner's rights on positions: POSTGRES_URL names the owner for this command. Exit 1 if there
    is nothing to erase.
    """
    stretch = stretch_of(**span)
    if not (yes or dry_run or sys.stdin.isatty()):
        raise click.UsageError("Nobody is there to be asked; --yes erases without asking.")
    settings = read(ForgetSettings, os.environ)
    erased = Counts()
    try:
        there = asyncio.run(_forget(settings, stretch, erased, yes=yes, dry_run=dry_run))
    finally:
        if erased != Counts():
            _leave_a_line(settings, erased)
    told, undated = there.counts if dry_run else erased, there.traces.undated
    if as_json:
        about = {"device_id": stretch.device_id, "dry_run": dry_run, **attrs.asdict(told)}
        show.json({**about, "undated": undated, "out_of_reach": OUT_OF_REACH})
        return Exit.DONE
    what, stream = "would erase" if dry_run else "erased", settings.redis.stream
    click.echo(f"{what} {told.positions} rows of positions")
    click.echo(f"{what} {told.stream} entries of {stream}")
    click.echo(f"{what} {told.dead_letters} of its dead letters")
    if undated:
        see = f"processor dlq list --device {stretch.device_id}"
        click.echo(f"left {len(undated)} of the device that do not say when: {see}")
    if not dry_run:
        click.echo("run it again in a minute: what was being written meanwhile is found then")
    if told.stream:
        click.echo(
            "what of it was not stored yet is counted as lost (entries_lost_total): no fault"
        )
    click.echo("out of reach:")
    for place in OUT_OF_REACH:
        click.echo(f"  {place}")
    return Exit.DONE


async def _forget(
    settings: ForgetSettings, stretch: Stretch, erased: Counts, *, yes: bool, dry_run: bool
) -> Erasable:
    """What there is, or was; `erased` says how far it came."""
    tracks = StoredTracks(settings.postgres.url)
    async with AsyncExitStack() as stack:
        traces = RedisTraces(
            settings.redis.url, stream=settings.redis.stream, timeout_s=ANSWER_WITHIN_S
        )
        stack.push_async_callback(traces.aclose)
        may, role = await tracks.may_erase()
        if not (may or dry_run):
            raise Refused(
                "database",
                "privileges",
                f"{role} may not delete positions, and nothing was erased: run processor forget "
                "with a POSTGRES_URL of the owner of the table",
            )
        with show.working("looking through table, stream and dead letters"):
            found = await tracks.look(stretch)
            left = await traces.find(stretch.device_id, stretch.since, stretch.until)
        there = Erasable(found.fixes, left)
        if there.counts == Counts() and not left.undated:
            raise await no_fix(tracks, stretch)
        if not dry_run:
            if not yes:
                _ask(settings, stretch, there.counts)
            erased.stream, erased.dead_letters = await traces.remove(left)
            request = request_of(stretch, "forget", "a track was erased")
            erased.positions = (await tracks.erase(stretch, request=request)).fixes
        return there


def _ask(settings: ForgetSettings, stretch: Stretch, counts: Counts) -> None:
    """Raises Abort for a no."""
    click.confirm(
        f"Erase for ever what {stretch.device_id} sent from {iso(stretch.since)} to "
        f"{iso(stretch.until)}: {counts.positions} rows of positions, {counts.stream} entries "
        f"of {settings.redis.stream}, {counts.dead_letters} dead letters?",
        abort=True,
    )


def _leave_a_line(settings: ForgetSettings, erased: Counts) -> None:
    """For the log of the machine: that a track was erased and by whom, but not whose and where."""
    configure(
        level=settings.logs.level,
        pretty=settings.logs.format == "pretty",
        service="processor",
        instance_id=settings.logs.instance_id or host_name(),
    )
    say("warning", "track_erased", by=whoami(), **attrs.asdict(erased))
