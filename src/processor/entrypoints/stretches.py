"""What `faulty` and `forget` have in common: which fixes are meant, who asks, and what to say
where there are none."""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from attrs import frozen

from processor.adapters.postgres.tracks import StoredTracks, Stretch
from processor.entrypoints.exits import Ends, Exit
from processor.entrypoints.instance import host_name
from processor.entrypoints.instants import instant, iso
from processor.entrypoints.settings import LogSettings, PostgresSettings, RedisSettings

Command = TypeVar("Command", bound=Callable[..., Any])


@frozen
class FaultySettings:
    """What `processor faulty` uses."""

    logs: LogSettings
    postgres: PostgresSettings


@frozen
class ForgetSettings:
    """What `processor forget` uses."""

    logs: LogSettings
    redis: RedisSettings
    postgres: PostgresSettings


class NoFix(Ends):
    """There is nothing to do it to."""

    code = Exit.FAILED


_OPTIONS = (
    click.argument("device_id", metavar="DEVICE"),
    click.option(
        "--from", "since", type=instant, metavar="TIME", required=True, help="The first instant."
    ),
    click.option(
        "--to", "until", type=instant, metavar="TIME", required=True, help="The last one, included."
    ),
)


def of_a_stretch(command: Command) -> Command:
    """DEVICE --from TIME --to TIME, as `device_id`, `since`, `until`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def stretch_of(device_id: str, since: datetime, until: datetime) -> Stretch:
    """Raises UsageError where it ends before it begins."""
    if until < since:
        raise click.UsageError("--to lies before --from.")
    return Stretch(device_id, since, until)


def request_of(stretch: Stretch, asked: str, reason: str) -> dict[str, str]:
    """The fields of a recompute request of kind `fixes`, and what was asked here."""
    return {
        "kind": "fixes",
        "device_id": stretch.device_id,
        "from": stretch.since.isoformat(),
        "to": stretch.until.isoformat(),
        "requested_by": f"{whoami()} with processor {asked}",
        "requested_at": datetime.now(UTC).isoformat(),
        "reason": reason,
    }


def whoami() -> str:
    """Who sits there, as far as the machine knows."""
    try:
        return f"{getpass.getuser()}@{host_name()}"
    except (KeyError, OSError):  # a container's user may have a number and no name
        return host_name()


async def no_fix(tracks: StoredTracks, stretch: Stretch) -> NoFix:
    """To be raised where the stretch is empty: with the fixes nearest to it."""
    before, after = await tracks.nearest(stretch)
    said = f"positions has no fix of {stretch.device_id!r} from {iso(stretch.since)} to "
    said += f"{iso(stretch.until)}"
    if before is None and after is None:
        return NoFix(f"{said}, nor at any other time: the name is the IMEI, as in devices.imei")
    nearest = [f"the last one before is at {iso(before)}"] if before else []
    nearest += [f"the first one after is at {iso(after)}"] if after else []
    return NoFix(f"{said}; {', '.join(nearest)}")
