"""`processor feed`: put recorded tracks on a stream, as if trackers were driving them now.

The files are read to the end before anything is sent, so that a mistake in the last line does not
leave half a rally on the stream. What is sent, when and in which order is a plan (see `Tape`);
here it is only waited and sent.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from math import isnan
from pathlib import Path

import click
from attrs import evolve, frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from processor.adapters.files.producer import MAXLEN, Payload, iso_string, recorded
from processor.adapters.files.tape import BETWEEN_PASSES, Cue, Kind, Tape
from processor.adapters.files.tracks import WrongFile, is_gpx
from processor.core.decode import AHEAD_MAX
from processor.entrypoints import show
from processor.entrypoints.exits import Exit

DEVICE = "356307042441013"
PAYLOADS_MAX = MAXLEN  # more would trim its own beginning
CHUNK = 500  # entries in a round trip: a quarter of a megabyte
SOON_S = 0.002  # what is due within this goes along: the timer is not much finer
ANSWER_WITHIN_S = 10.0


@click.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, max=1e6),
    default=1.0,
    show_default=True,
    help="Speed-up factor; 0 is as fast as possible.",
)
@click.option("--loop", is_flag=True, help="Again and again, each pass behind the last in time.")
@click.option(
    "--device",
    default=DEVICE,
    show_default=True,
    help="Device of the first GPX track; further files count up from it.",
)
@click.option(
    "--duplicates",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the entries that are sent again, such as 0.05.",
)
@click.option(
    "--late",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the fixes that are uploaded late, newest first, such as 0.01.",
)
@click.option(
    "--disorder",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="How many places an entry may go astray.",
)
@click.option("--shift-to-now", is_flag=True, help="Move the times of the fixes to now.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same choices.")
@click.option("--stream", help="Instead of REDIS_TELEMETRY_STREAM.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of sentences.")
def feed(
    files: Sequence[Path],
    speed: float,
    loop: bool,
    device: str,
    duplicates: float,
    late: float,
    disorder: int,
    shift_to_now: bool,
    seed: int,
    stream: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Put recorded tracks on the stream, in the producer's format.

    FILEs are GPX tracks, or NDJSON with one upstream payload a line. Ctrl-C ends it cleanly.
    """
    if not (1 <= len(device) <= 64 and device.isprintable()):
        raise click.BadParameter("1 to 64 printable characters", param_hint="--device")
    if any(map(isnan, (speed, duplicates, late))):  # which is in every range, for click
        raise click.BadParameter("--speed, --duplicates and --late are numbers, not NaN")
    chance = random.Random(seed)  # noqa: S311 - to be repeatable is the point
    try:
        tape = tape_of(files, device=device, chance=chance)
        tape = tape.moved_to(datetime.now(UTC), speed) if shift_to_now else tape
    except WrongFile as error:
        click.echo(str(error), err=True)
        return Exit.FAILED
    except OverflowError:
        click.echo("the times of the tracks lie too far apart to be moved to now", err=True)
        return Exit.FAILED
    plan = partial(
        Tape.plan, speed=speed, duplicates=duplicates, late=late, disorder=disorder, chance=chance
    )
    if dry_run:
        kinds = Counter(cue.kind for cue in plan(tape))
        _tell(tape, kinds, tape.lasts_s(speed), stream, dry_run=True, as_json=as_json)
        return Exit.DONE
    url, usual_stream = _settings()
    stream = stream or usual_stream
    total = None if loop else len(tape.payloads) * (1 + duplicates)
    with _progress() as progress:
        task = progress.add_task(stream, total=total)
        cues = _passes(tape, plan, speed) if loop else plan(tape)
        kinds, seconds = asyncio.run(
            _feed(cues, url, stream, lambda count: progress.advance(task, count))
        )
    _tell(tape, kinds, seconds, stream, dry_run=False, as_json=as_json)
    return Exit.DONE


def tape_of(files: Sequence[Path], *, device: str, chance: random.Random) -> Tape:
    """All that the files hold, on one tape. Raises WrongFile."""
    payloads: list[Payload] = []
    tracks = 0
    for path in files:
        for payload in recorded(path, device_id=_counted(device, tracks), chance=chance):
            payloads.append(payload)
            if len(payloads) > PAYLOADS_MAX:
                raise WrongFile(path, "", f"with it there are more than {PAYLOADS_MAX} fixes")
        tracks += is_gpx(path)
    return Tape(payloads)


def _counted(device: str, number: int) -> str:
    if number == 0:
        return device
    if device.isascii() and device.isdecimal():
        return str(int(device) + number).zfill(len(device))
    return f"{device}-{number + 1}"


def _passes(tape: Tape, plan: Callable[[Tape], Iterator[Cue]], speed: float) -> Iterator[Cue]:
    """Pass after pass, until fixes would lie so far ahead of the clock that they are rejected."""
    start_s = 0.0
    while True:
        for cue in plan(tape):
            yield evolve(cue, offset_s=start_s + cue.offset_s)
        length = tape.ends_at - tape.starts_at + BETWEEN_PASSES
        if tape.ends_at + length > datetime.now(UTC) + AHEAD_MAX:
            click.echo(
                "the next pass would lie more than 24 hours ahead of the clock, "
                "and be rejected: this was the last one",
                err=True,
            )
            return
        start_s += length.total_seconds() / speed if speed else 0.0
        tape = tape.moved(length)


Send = Callable[[Sequence[Mapping[str, str]]], Awaitable[None]]
"""Appends entries to the stream."""


async def play(
    cues: Iterable[Cue], send: Send, *, stop: asyncio.Event, sent: Callable[[int], object]
) -> Counter[Kind]:
    """Send each cue when it is due, until there are no more or `stop` is set; `sent` hears how many
    went each time. How many of each kind were sent. What is due together goes together."""
    now = asyncio.get_running_loop().time
    started = now()
    kinds: Counter[Kind] = Counter()
    due: list[Cue] = []

    async def flush() -> None:
        await send([cue.payload.fields() for cue in due])
        kinds.update(cue.kind for cue in due)
        sent(len(due))
        due.clear()

    for cue in cues:
        if due and (len(due) == CHUNK or cue.offset_s - (now() - started) > SOON_S):
            await flush()
        if (wait_s := cue.offset_s - (now() - started)) > SOON_S:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await stop.wait()
        if stop.is_set():
            return kinds
        due.append(cue)
    if due:
        await flush()
    return kinds


async def _feed(
    cues: Iterable[Cue], url: str, stream: str, sent: Callable[[int], object]
) -> tuple[Counter[Kind], float]:
    from processor.adapters.redis.connection import connect
    from processor.adapters.redis.producing import produce

    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def asked_to_stop() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):  # a second one ends it at once
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_stop)
    client = connect(url, timeout_s=ANSWER_WITHIN_S, name="processor-feed")
    started = loop.time()
    try:
        kinds = await play(
            cues, lambda each: produce(client, stream, each, maxlen=MAXLEN), stop=stop, sent=sent
        )
    finally:
        await client.aclose()
    return kinds, loop.time() - started


def _settings() -> tuple[str, str]:
    """URL and stream. Read only now, for a dry run needs no server and none of its libraries."""
    from processor.entrypoints.reading import read
    from processor.entrypoints.settings import RedisSettings

    @frozen
    class FeedSettings:
        redis: RedisSettings

    settings = read(FeedSettings, os.environ)
    return settings.redis.url, settings.redis.stream


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _tell(
    tape: Tape,
    kinds: Counter[Kind],
    seconds: float,
    stream: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    told = {
        "dry_run": dry_run,
        "stream": stream,
        "entries": kinds.total(),
        "live": kinds["live"],
        "late": kinds["late"],
        "duplicates": kinds["duplicate"],
        "seconds": round(seconds, 3),
        "devices": len(tape.devices),
        "first_fix": iso_string(tape.starts_at),
        "last_fix": iso_string(tape.ends_at),
    }
    if as_json:
        show.json(told)
        return
    click.echo(
        f"{'would send' if dry_run else 'sent'} {told['entries']} entries"
        f"{f' to {stream}' if stream else ''} in {show.span(seconds)}: "
        f"{told['live']} live, {told['late']} late, {told['duplicates']} duplicates; "
        f"devices: {told['devices']}, fixes from {told['first_fix']} to {told['last_fix']}"
    )
