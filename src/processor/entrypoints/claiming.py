"""What `processor claim` does: take over what dead consumers hold, and store it.

A service that runs does the same by itself, CLAIM_THRESHOLD_MS after the death. This is for when
nobody else is alive, or nobody can wait. It is ingest as it is in production, under a consumer's
name of its own, and only its source is another one: there is no second way to become a row.
"""

import asyncio
import os
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import click
from attrs import define, field

from processor.adapters.postgres import migrations
from processor.adapters.postgres.schema import require_schema
from processor.adapters.redis.backlog import Consumer, RedisBacklog
from processor.adapters.redis.takeover import RedisTakeover
from processor.adapters.system import SystemChance, SystemClock
from processor.core.errors import Refused, Unavailable
from processor.core.notices import (
    BatchWritten,
    DeadLettersSent,
    DependencyAnswered,
    DependencyRefused,
    EntriesAcknowledged,
    EntriesLost,
    Notice,
    RetryScheduled,
)
from processor.entrypoints import show
from processor.entrypoints.container import IngestRole
from processor.entrypoints.exits import Ends, Exit
from processor.entrypoints.instance import host_name
from processor.entrypoints.reading import read
from processor.entrypoints.resources import Resources, open_resources
from processor.entrypoints.settings import ClaimSettings, RunSettings

GIVE_UP_S = 10.0
"""Somebody waits. A server that restarts is back by then; one that is not needs that person."""

ABANDON_S = 1.0
"""A task that was cancelled ends within this, or is left behind: a driver may hang in it."""


class NotTaken(Ends):
    """What was named does not exist, or seems to be alive."""

    code = Exit.FAILED


async def claim(
    environ: Mapping[str, str],
    named: str | None,
    idle_ms: int | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Raises NotTaken; Unavailable and Refused where nothing was taken over yet."""
    settings = read(ClaimSettings, environ)
    threshold_ms = settings.ingest.claim_idle_ms
    least_ms = threshold_ms if idle_ms is None else idle_ms
    if named is None and least_ms < threshold_ms:
        raise NotTaken(
            f"--idle-ms below CLAIM_THRESHOLD_MS ({threshold_ms}) would take from the living, who "
            "say only now and then that they are: it needs a CONSUMER's name"
        )
    # Pids repeat from container to container, and host names may, too.
    name = f"claim-{host_name()}-{os.getpid()}-{secrets.token_hex(3)}"
    async with AsyncExitStack() as stack:
        resources = await open_resources(settings.as_run, name, stack)
        consumers = await _consumers(settings, resources)
        holders = _holders(consumers, named, least_ms)
        if dry_run or not holders:
            _tell_holders(consumers, holders, settings.redis.stream, as_json=as_json)
            return Exit.DONE
        await _require_schema(settings.postgres.url)
        source = RedisTakeover(
            settings.redis.url,
            stream=settings.redis.stream,
            group=settings.redis.group,
            consumer=name,
            holders=[each.name for each in holders],
            idle_ms=least_ms,
        )
        stack.push_async_callback(source.aclose)
        with show.bar(settings.redis.stream, sum(each.pending for each in holders)) as tell:
            tally = Tally(tell)
            interrupted = await _work(settings.as_run, resources, source, name, tally)
        told = {
            "rows": tally.rows,
            "duplicates": tally.duplicates,
            "dead_letters": dict(tally.dead_letters),
            "lost": tally.lost,
        }
        try:
            pending, removed = await source.held(), await source.remove_empty()
        except (Unavailable, Refused) as error:
            _tell_done(told | {"pending": None, "removed": []}, name, as_json=as_json)
            raise error from None
        _tell_done(told | {"pending": pending, "removed": removed}, name, as_json=as_json)
        return _judged(tally, pending, interrupted=interrupted)


async def _consumers(settings: ClaimSettings, resources: Resources) -> Sequence[Consumer]:
    """Those of the group, which has to exist: it is never made here."""
    stream, group = settings.redis.stream, settings.redis.group
    backlog = RedisBacklog(resources.redis, stream=stream, group=group, clock=SystemClock())
    groups = [each.name for each in await backlog.groups()]
    if group not in groups:
        there = f"it has {', '.join(groups)}" if groups else "it has none, or does not exist"
        raise NotTaken(f"{stream} has no group {group}: {there}")
    return await backlog.consumers()


def _holders(consumers: Sequence[Consumer], named: str | None, least_ms: int) -> Sequence[Consumer]:
    """Those to take over from: they hold something, and have asked for nothing for so long."""
    dead = [each for each in consumers if each.pending and each.idle_s * 1000 >= least_ms]
    if named is None:
        return dead
    found = next((each for each in consumers if each.name == named), None)
    if found is None:
        names = ", ".join(each.name for each in consumers) or "nobody"
        raise NotTaken(f"there is no consumer {named}; there is {names}")
    if found.pending and found not in dead:
        raise NotTaken(
            f"{named} asked for something {show.span(found.idle_s)} ago and seems to be alive: "
            "what it holds stays with it. If you know that it is dead: --idle-ms 0"
        )
    return [each for each in dead if each is found]


async def _require_schema(url: str) -> None:
    """Before anything is taken over: could it be stored? Raises Unavailable, Refused."""
    if missing := await migrations.missing(url):
        names = ", ".join(missing)
        raise Refused("database", "schema", f"migrations are missing ({names}): processor migrate")
    await require_schema(url)


@define(eq=False)
class Tally:
    """The Observer that counts what becomes of the entries, and knows what is away."""

    _tell: Callable[[int], object]
    rows: int = 0
    duplicates: int = 0
    lost: int = 0
    dead_letters: Counter[str] = field(factory=Counter)
    trouble: RetryScheduled | DependencyRefused | None = None
    _give_up_at_s: float | None = None
    _changed: asyncio.Event = field(factory=asyncio.Event)

    def observe(self, notice: Notice) -> None:
        match notice:
            case BatchWritten():
                self.rows += notice.inserted
                self.duplicates += notice.duplicate
            case DeadLettersSent(counts):
                self.dead_letters.update({reason.value: n for reason, n in counts.items()})
            case EntriesLost():
                self.lost += notice.count
            case EntriesAcknowledged(received_ms):
                self._tell(len(received_ms))
            case RetryScheduled() | DependencyRefused():
                if self.trouble is None:
                    self._give_up_at_s = asyncio.get_running_loop().time() + GIVE_UP_S
                self.trouble = notice
                self._changed.set()
            case DependencyAnswered(dependency):
                if self.trouble and self.trouble.dependency == dependency:
                    self.trouble = self._give_up_at_s = None
                    self._changed.set()

    async def hopeless(self) -> None:
        """Return when a server refuses us, or has been away for GIVE_UP_S."""
        while not isinstance(self.trouble, DependencyRefused):
            self._changed.clear()
            try:
                async with asyncio.timeout_at(self._give_up_at_s):
                    await self._changed.wait()
            except TimeoutError:
                return


async def _work(
    settings: RunSettings, resources: Resources, source: RedisTakeover, name: str, tally: Tally
) -> bool:
    """Run ingest until all is done, or nothing goes any more; True if Ctrl-C ended it."""
    ingest = IngestRole(
        settings=settings,
        instance_id=name,
        consumer=name,
        redis=resources.redis,
        pool=resources.pool,
        recall_pool=resources.recall_pool,
        clock=SystemClock(),
        chance=SystemChance(),
        observer=tally,
        source=source,
    ).ingest()
    work: asyncio.Task[None] = asyncio.create_task(ingest.run())
    ends = [asyncio.create_task(source.done.wait()), asyncio.create_task(tally.hopeless())]
    interrupted = False
    try:
        await asyncio.wait([work, *ends], return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        interrupted = True
    ingest.stop()
    for each in ends:
        each.cancel()
    await asyncio.wait([work], timeout=settings.process.shutdown_ms / 1000)
    if not work.done():
        resources.hang_up()  # a write that is under way would not notice being cancelled
        work.cancel()
        await asyncio.wait([work], timeout=ABANDON_S)
    if work.done() and not work.cancelled():
        work.result()  # a bug is raised
    return interrupted


def _tell_holders(
    consumers: Sequence[Consumer], holders: Sequence[Consumer], stream: str, *, as_json: bool
) -> None:
    if as_json:
        told = [
            {
                "name": each.name,
                "pending": each.pending,
                "idle_s": round(each.idle_s, 3),
                "taken_over": each in holders,
            }
            for each in consumers
        ]
        show.json({"dry_run": True, "stream": stream, "consumers": told})
        return
    rows = []
    for each in consumers:
        fate = "would be taken over" if each in holders else "left alone"
        cells = (each.name, str(each.pending), show.span(each.idle_s))
        rows.append((*cells, fate if each.pending else "holds nothing"))
    show.table(stream, ("consumer", "pending", "idle", "claim"), rows)
    if not holders:
        click.echo("nothing to take over: nobody who is dead holds anything", err=True)


def _tell_done(told: Mapping[str, Any], name: str, *, as_json: bool) -> None:
    if as_json:
        show.json({"consumer": name, **told})
        return
    letters = told["dead_letters"]
    reasons = ", ".join(f"{reason} {count}" for reason, count in letters.items())
    lost = f", {told['lost']} lost: trimmed from the stream before" if told["lost"] else ""
    click.echo(
        f"stored {told['rows']} rows; {told['duplicates']} were there already; "
        f"{sum(letters.values())} became dead letters{f' ({reasons})' if reasons else ''}{lost}"
    )
    if told["removed"]:
        click.echo(f"removed, for they hold nothing any more: {', '.join(told['removed'])}")
    if told["pending"] is None:
        click.echo(f"what was taken over and is not stored is pending with {name}", err=True)
    for consumer, count in (told["pending"] or {}).items():
        again = f"; to go on: processor claim {name} --idle-ms 0" if consumer == name else ""
        click.echo(f"{count} still pending with {consumer}{again}", err=True)


def _judged(tally: Tally, pending: Mapping[str, int], *, interrupted: bool) -> int:
    """The exit code; raises what ended the work too early."""
    if not pending:
        return Exit.DONE
    if interrupted:
        return Exit.signalled(2)
    if isinstance(tally.trouble, DependencyRefused):
        raise Refused(tally.trouble.dependency, tally.trouble.reason, tally.trouble.sentence)
    if tally.trouble:
        raise Unavailable(tally.trouble.dependency, tally.trouble.reason, tally.trouble.sentence)
    return Exit.FAILED
