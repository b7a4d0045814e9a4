"""`processor run`: the supervisor of one process, from its settings to its exit code.

The order at start: settings, name, logs, port, probes, connections, migrations, work. So whatever
is wrong with us is found before anything else is touched, and from the first second on /healthz
answers and /readyz says what is missing. A server that is away is waited for; one that refuses us
ends the process, because at a start somebody is looking.

The order at a stop: unready first, so that nobody sends us anything more; then read nothing more,
finish what was read, acknowledge what is durable. What is not finished by the deadline stays
pending in the stream, for the next life or for another instance. A second signal ends at once.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from types import FrameType
from typing import Any, TypeVar

from processor import __version__
from processor.adapters.logs import configure, say
from processor.adapters.postgres import migrations
from processor.adapters.postgres.schema import require_schema
from processor.adapters.probes import ProbeServer, application, listen
from processor.core.errors import Refused, Unavailable
from processor.core.ingest.patience import Patience
from processor.core.notices import GroupOpened
from processor.entrypoints import watch
from processor.entrypoints.container import IngestRole
from processor.entrypoints.exits import Exit, Unreachable, WrongSetup
from processor.entrypoints.instance import NoLockDirectory, claimed, host_name
from processor.entrypoints.reading import read
from processor.entrypoints.resources import open_resources
from processor.entrypoints.settings import RunSettings, doubts

FAIL_FAST_S = 30.0
"""As long as a server of a compose file takes to start, and no longer than people wait."""

COLLECT_AFTER = (50_000, 20, 50)
"""New objects before the collector looks for cycles. A read of 1000 entries makes thousands of
lists and dicts that live for milliseconds and form none; Python's default, 700, looks at all that
is in flight again and again (measured once, noisily: a sixth of the client's CPU)."""

ABANDON_S = 1.0
"""A task that was cancelled ends within this, or is left behind: a driver may hang in it."""

T = TypeVar("T")


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
        try:
            bound = listen(settings.process.http_host, settings.process.http_port)
        except OSError as error:
            raise WrongSetup(str(error)) from error
        stack.enter_context(bound)
        gc.freeze()  # what was imported stays: there is no use in looking at it again
        gc.set_threshold(*COLLECT_AFTER)
        return asyncio.run(_supervised(settings, instance_id, bound, fail_fast=fail_fast))


async def _supervised(
    settings: RunSettings, instance_id: str, bound: socket.socket, *, fail_fast: bool
) -> int:
    try:
        async with AsyncExitStack() as stack:
            service = await _assemble(settings, instance_id, bound, stack, fail_fast=fail_fast)
            await service.run()
    except Refused as refused:
        say("error", "refused_at_start", reason=refused.reason, sentence=refused.sentence)
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
    stack: AsyncExitStack,
    *,
    fail_fast: bool,
) -> "Service":
    resources = await open_resources(settings, instance_id, stack)
    role = IngestRole(
        settings=settings,
        instance_id=instance_id,
        consumer=settings.ingest.consumer or instance_id,
        redis=resources.redis,
        pool=resources.pool,
    )
    stack.push_async_callback(role.source().aclose)
    clock, metrics, readiness = role.clock(), role.metrics(), role.readiness()
    metrics.watch_role("ingest", lambda: readiness.ready("ingest"))
    port = bound.getsockname()[1]
    http = ProbeServer(application(readiness, metrics.exposition, port), bound)
    beside = [
        watch.watch_dependency(
            "stream", resources.ask_stream, readiness=readiness, metrics=metrics, clock=clock
        ),
        watch.watch_dependency(
            "database", resources.ask_database, readiness=readiness, metrics=metrics, clock=clock
        ),
        watch.watch_backlog(
            role.backlog(),
            stream=settings.redis.stream,
            silence_s=settings.ingest.silence_ms / 1000,
            observer=role.observer(),
            clock=clock,
        ),
        watch.drop_old_notes(resources.drop_old_changes, metrics, clock),
        watch.watch_loop(metrics, clock),
    ]
    return Service(settings, role, http, beside, resources.pool.terminate, fail_fast=fail_fast)


def _migration_warns(sentence: str) -> None:
    say("warning", "migration_warns", sentence=sentence)


class Signals:
    """The first SIGTERM or SIGINT asks us to stop, the second ends the process on the spot.

    Handlers of the signal module and not of the loop: they run, too, while the loop is stuck.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.first: int | None = None
        self._loop = asyncio.get_running_loop()

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._came)

    def _came(self, number: int, _: FrameType | None) -> None:
        if self.first is not None:
            os._exit(Exit.signalled(number))  # nothing is lost: each log line is flushed by itself
        self.first = number
        self._loop.call_soon_threadsafe(self.asked.set)


class Service:
    """The tasks of one process, and how they end together."""

    def __init__(
        self,
        settings: RunSettings,
        role: IngestRole,
        http: ProbeServer,
        beside: Sequence[Coroutine[Any, Any, None]],
        hang_up: Callable[[], None],
        *,
        fail_fast: bool,
    ) -> None:
        self._settings = settings
        self._role = role
        self._http = http
        self._beside = beside
        self._hang_up = hang_up
        self._fail_fast = fail_fast
        self._working = False

    async def run(self) -> None:
        """Work until a signal comes. Raises Refused or Unreachable if the start fails."""
        signals = Signals()
        signals.install()
        serving = asyncio.create_task(self._http.run())
        beside = [asyncio.create_task(task) for task in self._beside]
        work = asyncio.create_task(self._work())
        asked = asyncio.create_task(signals.asked.wait())
        try:
            await asyncio.wait([work, asked, serving, *beside], return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                await self._stop(work, signals)
            for task in (work, serving, *beside):
                if task.done() and not task.cancelled():
                    task.result()  # raises what ended it
            assert asked.done(), "a task that goes on for ever has ended"
        finally:
            await self._end(serving, [work, asked, *beside])

    async def _work(self) -> None:
        await asyncio.wait_for(self._http.listening(), FAIL_FAST_S)
        process = self._settings.process
        readiness = self._role.readiness()
        readiness.note("running", ok=True, lasting=True)
        for check in ("stream-accepts", "database-accepts"):
            readiness.note(check, ok=True, lasting=True)
        say("info", "started", version=__version__, port=self._http.port, roles=list(process.roles))
        await self._prepare()
        self._working = True
        await self._role.ingest().run()

    async def _prepare(self) -> None:
        """Both servers answer and accept us, and the schema is there. Waits while one is away."""
        deadline_s = FAIL_FAST_S if self._fail_fast else None
        try:
            async with asyncio.timeout(deadline_s), asyncio.TaskGroup() as tasks:
                opened = tasks.create_task(self._patiently(self._role.source().open))
                tasks.create_task(self._schema())
        except TimeoutError:
            fails = [
                f"{name}: {check.said}"
                for name, check in self._role.readiness().checks().items()
                if not check.ok and name in ("stream", "database")
            ]
            raise Unreachable(f"not reachable within {deadline_s} s: {'; '.join(fails)}") from None
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # one refusal is enough to mend first
        if opened.result():
            self._role.observer().observe(GroupOpened(created=True))

    async def _schema(self) -> None:
        url = self._settings.postgres.url
        if self._settings.process.migrate:
            for name in await self._patiently(lambda: migrations.apply(url, say=_migration_warns)):
                say("info", "migration_applied", name=name)
        elif missing := await self._patiently(lambda: migrations.missing(url)):
            names = ", ".join(missing)
            raise Refused(
                "database",
                "schema",
                f"migrations are missing ({names}), and MIGRATE_ON_START is false; "
                "to apply them: processor migrate",
            )
        await self._patiently(lambda: require_schema(url))
        self._role.readiness().note("schema", ok=True, said="up to date", lasting=True)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer, waited for while the server is away. A refusal passes."""
        patience: Patience = self._role.patience()
        failed: Unavailable | None = None
        while True:
            try:
                answer = await call()
            except Unavailable as error:
                failed = error
                await patience.wait_out(error)
            else:
                if failed:
                    patience.answered(failed.dependency)
                return answer

    async def _stop(self, work: "asyncio.Task[None]", signals: Signals) -> None:
        self._role.readiness().note("running", ok=False, said="stopping", lasting=True)
        name = signal.Signals(signals.first or signal.SIGTERM).name
        say("info", "stopping", signal=name)
        if not self._working:
            work.cancel()
            return
        self._role.ingest().stop()
        deadline_s = self._settings.process.shutdown_ms / 1000
        _, late = await asyncio.wait([work], timeout=deadline_s)
        if late:
            say("warning", "stop_cut_short", after_s=deadline_s)
            self._hang_up()  # a write that is under way would not notice being cancelled
            work.cancel()
            await asyncio.wait([work], timeout=ABANDON_S)

    async def _end(
        self, serving: "asyncio.Task[None]", others: Sequence["asyncio.Task[Any]"]
    ) -> None:
        self._http.stop()
        for task in others:
            task.cancel()
        await asyncio.wait([serving, *others], timeout=ABANDON_S + 2.0)
        for task in (serving, *others):
            if task.done() and not task.cancelled():
                task.exception()  # looked at: what ended us was raised already
