"""`processor run`: the supervisor of one process, from its settings to its exit code.

The order at start: settings, name, logs, port, probes, connections, migrations, work. So whatever
is wrong with us is found before anything else is touched, and from the first second on /healthz
answers and /readyz says what is missing. A server that is away is waited for; one that refuses us
ends the process, because at a start somebody is looking.

The order at a stop: unready first, so that nobody sends us anything more; then read nothing more,
finish what was read, acknowledge what is durable, say goodbye. What is not finished by the deadline
stays pending in the stream, for the next life or for another instance (see ending.py, too).
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import Any

from processor import __version__
from processor.adapters.logs import configure, say
from processor.adapters.probes import application
from processor.core.errors import Dependency, Refused
from processor.entrypoints import crashes, watch
from processor.entrypoints.container import IngestRole, LiveRole, Process
from processor.entrypoints.ending import Ending
from processor.entrypoints.exits import Exit, Unreachable, WrongSetup
from processor.entrypoints.instance import NoLockDirectory, claimed, host_name
from processor.entrypoints.reading import read
from processor.entrypoints.resources import open_resources
from processor.entrypoints.retention import OldChunks
from processor.entrypoints.roles import Ingesting, Role, Showing
from processor.entrypoints.serving import MOST_CONNECTIONS, WAITING, Serving, listen
from processor.entrypoints.settings import RunSettings, doubts

FAIL_FAST_S = 30.0
"""As long as a server of a compose file takes to start, and no longer than people wait."""

COLLECT_AFTER = (50_000, 20, 50)
"""New objects before the collector looks for cycles by itself (see `watch.collect_cycles`). A read
of 1000 entries makes thousands of lists and dicts that live for milliseconds and form none, and
Python's default, 700, looks at all that is in flight again and again (measured once, noisily: a
sixth of the client's CPU)."""

GOODBYE_S = 1.0
"""What a stop keeps of its time, a quarter of it at most, for what comes after the work: tasks that
were cancelled end, connections are closed. What takes longer is left behind: a driver may hang."""

OVERDUE_S = 1.0
"""Beyond its time, a stop is not waited for any longer than that."""


def run(environ: Mapping[str, str], *, fail_fast: bool) -> int:
    """Serve until a signal comes; the exit code.

    Raises WrongSetup for the settings, the name or the port: nothing was started then.
    """
    settings = read(RunSettings, environ)
    with ExitStack() as stack:
        unlocked = None
        try:
            instance_id = stack.enter_context(claimed(settings.logs.instance_id))
        except NoLockDirectory as error:
            # A read-only container without /tmp: its host name is its own, and nobody shares it.
            instance_id, unlocked = settings.logs.instance_id or host_name(), error
        terminal = sys.stderr.isatty()
        configure(
            level=settings.logs.level,
            pretty=(settings.logs.format or ("pretty" if terminal else "json")) == "pretty",
            colour=terminal and not environ.get("NO_COLOR"),
            service="processor",
            instance_id=instance_id,
        )
        for sentence in [*doubts(settings, environ), *([str(unlocked)] if unlocked else [])]:
            say("warning", "setting_doubtful", sentence=sentence)
        process, live = settings.process, settings.live
        live_bound = None
        try:
            bound = listen(process.http_host, process.http_port, prefix="METRICS")
            stack.enter_context(bound)
            if "live" in process.roles:
                live_bound = listen(live.host, live.port, prefix="LIVE_WS", waiting=WAITING)
                stack.enter_context(live_bound)
        except OSError as error:
            raise WrongSetup(str(error)) from error
        crashes.install()
        gc.freeze()  # what was imported stays: there is no use in looking at it again
        gc.set_threshold(*COLLECT_AFTER)
        return asyncio.run(
            _supervised(settings, instance_id, bound, live_bound, fail_fast=fail_fast)
        )


async def _supervised(
    settings: RunSettings,
    instance_id: str,
    bound: socket.socket,
    live_bound: socket.socket | None,
    *,
    fail_fast: bool,
) -> int:
    crashes.watch(asyncio.get_running_loop())
    ending = Ending(settings.process.shutdown_ms / 1000 + OVERDUE_S)
    ending.install()
    return ending.with_code(
        await _served(settings, instance_id, bound, live_bound, ending, fail_fast=fail_fast)
    )


async def _served(
    settings: RunSettings,
    instance_id: str,
    bound: socket.socket,
    live_bound: socket.socket | None,
    ending: Ending,
    *,
    fail_fast: bool,
) -> int:
    stack = AsyncExitStack()
    try:
        try:
            service = await _assemble(
                settings, instance_id, bound, live_bound, stack, fail_fast=fail_fast
            )
            await service.run(ending)
        finally:
            # In a task, so that a peer which hangs in one goodbye costs the others none of theirs.
            await asyncio.wait([asyncio.create_task(stack.aclose())], timeout=GOODBYE_S / 2)
    except Refused as refused:
        say("error", "refused_at_start", reason=refused.reason, sentence=refused.sentence)
        return Exit.WRONG_SETUP
    except WrongSetup as wrong:
        say("error", "refused_at_start", reason="settings", sentence=str(wrong))
        return Exit.WRONG_SETUP
    except Unreachable as unreachable:
        say("error", "unreachable", sentence=str(unreachable))
        return Exit.UNREACHABLE
    except Exception as error:  # a bug: one line, and let the supervisor start us again
        say("error", "crashed", error)
        return Exit.INTERNAL
    say("info", "stopped")
    return Exit.DONE


async def _assemble(
    settings: RunSettings,
    instance_id: str,
    bound: socket.socket,
    live_bound: socket.socket | None,
    stack: AsyncExitStack,
    *,
    fail_fast: bool,
) -> "Service":
    resources = await open_resources(settings, instance_id, stack)
    process = Process(settings=settings, redis=resources.redis)
    clock, metrics, readiness = process.clock(), process.metrics(), process.readiness()
    roles: list[Role] = []
    asks: dict[Dependency, watch.Ask] = {
        "stream": resources.ask_stream,
        "database": resources.ask_database,
    }
    # Whoever reads the stream, be it for browsers only, has to notice that nothing comes.
    backlog = watch.watch_backlog(
        process.backlog(),
        stream=settings.redis.stream,
        silence_s=settings.ingest.silence_ms / 1000,
        observer=process.observer(),
        clock=clock,
    )
    beside = [watch.watch_loop(metrics, clock), watch.collect_cycles(clock), backlog]
    if resources.pool is not None:
        ingest = IngestRole(
            settings=settings,
            instance_id=instance_id,
            consumer=settings.ingest.consumer or instance_id,
            redis=resources.redis,
            pool=resources.pool,
            recall_pool=resources.recall_pool,
            clock=process.clock,
            chance=process.chance,
            observer=process.observer,
        )
        stack.push_async_callback(ingest.source().aclose)
        roles.append(Ingesting(settings, process, ingest))
        beside.append(watch.drop_old_notes(resources.drop_old_changes, metrics, clock))
        if old_chunks := OldChunks.of(settings, instance_id, metrics, clock):
            beside.append(old_chunks.tend())
    if live_bound is not None:
        live = LiveRole(
            settings=settings,
            instance_id=instance_id,
            pool=resources.live_pool,
            clock=process.clock,
            chance=process.chance,
            logs=process.logs,
            metrics=process.metrics,
            readiness=process.readiness,
        )
        stack.push_async_callback(live.feed().aclose)
        if settings.asks_directus:
            stack.push_async_callback(live.directus().aclose)
            asks["directus"] = live.directus().ask
        roles.append(Showing(settings, process, live, live_bound))
    for role in settings.process.roles:
        metrics.watch_role(role, partial(readiness.ready, role))
    beside += [
        watch.watch_dependency(name, ask, readiness=readiness, metrics=metrics, clock=clock)
        for name, ask in asks.items()
    ]
    probes = application(readiness, metrics.exposition, bound.getsockname()[1])
    http = Serving(probes, bound, limit_concurrency=MOST_CONNECTIONS)
    return Service(settings, process, roles, http, beside, resources.hang_up, fail_fast=fail_fast)


class Service:
    """The tasks of one process, and how they end together."""

    def __init__(
        self,
        settings: RunSettings,
        process: Process,
        roles: Sequence[Role],
        http: Serving,
        beside: Sequence[Coroutine[Any, Any, None]],
        hang_up: Callable[[], None],
        *,
        fail_fast: bool,
    ) -> None:
        self._settings = settings
        self._process = process
        self._roles = roles
        self._http = http
        self._beside = beside
        self._hang_up = hang_up
        self._fail_fast = fail_fast
        self._working: list[Role] = []

    async def run(self, ending: Ending) -> None:
        """Work until a signal comes. Raises Refused or Unreachable if the start fails."""
        serving = asyncio.create_task(self._http.run())
        await asyncio.wait_for(self._http.listening(), FAIL_FAST_S)
        self._process.readiness().note("running", ok=True, lasting=True)
        roles = list(self._settings.process.roles)
        say("info", "started", version=__version__, port=self._http.port, roles=roles)
        beside = [asyncio.create_task(task) for task in self._beside]
        works = {asyncio.create_task(self._work(role)): role for role in self._roles}
        asked = asyncio.create_task(ending.asked.wait())
        ends = [*works, asked, serving, *beside]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                await self._stop(works, ending)
            for task in (*works, serving, *beside):
                if task.done() and not task.cancelled():
                    task.result()  # raises what ended it
            assert asked.done(), "a task that goes on for ever has ended"
        finally:
            await self._end(serving, [*works, asked, *beside])

    async def _work(self, role: Role) -> None:
        deadline_s = FAIL_FAST_S if self._fail_fast else None
        try:
            async with asyncio.timeout(deadline_s):
                await role.prepare()
        except TimeoutError:
            fails = [
                f"{name}: {check.said}"
                for name, check in self._process.readiness().checks().items()
                if not check.ok and name in ("stream", "database")
            ]
            raise Unreachable(f"not reachable within {deadline_s} s: {'; '.join(fails)}") from None
        self._working.append(role)
        await role.run()

    async def _stop(self, works: "Mapping[asyncio.Task[None], Role]", ending: Ending) -> None:
        self._process.readiness().note("running", ok=False, said="stopping", lasting=True)
        name = signal.Signals(ending.first or signal.SIGTERM).name
        say("info", "stopping", signal=name)
        for work, role in works.items():
            if role in self._working:
                role.stop()
            else:
                work.cancel()
        deadline_s = self._settings.process.shutdown_ms / 1000
        deadline_s -= min(GOODBYE_S, deadline_s / 4)
        _, late = await asyncio.wait(works, timeout=deadline_s)
        if late:
            say("warning", "stop_cut_short", after_s=deadline_s)
            self._hang_up()  # a write that is under way would not notice being cancelled
            for work in late:
                work.cancel()
            await asyncio.wait(late, timeout=GOODBYE_S / 4)

    async def _end(
        self, serving: "asyncio.Task[None]", others: Sequence["asyncio.Task[Any]"]
    ) -> None:
        self._http.stop()
        for task in others:
            task.cancel()
        await asyncio.wait([serving, *others], timeout=GOODBYE_S / 2)
        for task in (serving, *others):
            if task.done() and not task.cancelled():
                task.exception()  # looked at: what ended us was raised already
