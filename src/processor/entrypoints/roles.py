"""What the supervisor knows of a role: how it gets ready, works, stops, and is given up."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from processor.adapters.logs import say
from processor.adapters.postgres import migrations
from processor.adapters.postgres.retention import require_chunks
from processor.adapters.postgres.schema import require_schema
from processor.adapters.websocket.protocol import DoorRules, FrontDoor, LiveProtocol
from processor.adapters.websocket.transport import SlowRules
from processor.core.errors import Dependency, Refused, Unavailable
from processor.core.ingest.patience import Patience
from processor.core.live.delivery import DeviceMap
from processor.core.notices import DeviceMapFailed, DeviceMapRead, GroupOpened
from processor.core.refreshed import Refreshed
from processor.entrypoints.container import IngestRole, LiveRole, Process
from processor.entrypoints.serving import Serving
from processor.entrypoints.settings import RunSettings

T = TypeVar("T")

RECHECKERS = 4
"""Rechecks under way at once: half of what Directus is asked at all, so that one which answers
slowly does not hold up the others."""

PASSERS_BY = 100
"""Connections beyond the WebSockets: pages being loaded, handshakes, probes."""

LISTENING_WITHIN_S = 30.0
"""The socket listens already, so this takes a turn of the loop, on a drowning machine some more."""


class Role(Protocol):
    """One role of the process."""

    async def prepare(self) -> None:
        """Wait for what it needs. Raises Refused where a person has to mend something."""
        ...

    async def run(self) -> None:
        """Work until `stop`, then finish. Cancelled, it leaves at once."""
        ...

    def stop(self) -> None: ...


async def patiently(patience: Patience, call: Callable[[], Awaitable[T]]) -> T:
    """The answer, waited for while the server is away. A refusal passes."""
    failed: Dependency | None = None
    while True:
        try:
            answer = await call()
        except Unavailable as error:
            failed = error.dependency
            await patience.wait_out(error)
        else:
            if failed:
                patience.answered(failed)
            return answer


class Ingesting:
    """The role `ingest`: group and schema first, then the loop."""

    def __init__(self, settings: RunSettings, process: Process, role: IngestRole) -> None:
        self._settings = settings
        self._process = process
        self._role = role

    async def prepare(self) -> None:
        readiness = self._process.readiness()
        for check in ("stream-accepts", "database-accepts"):
            readiness.note(check, ok=True, lasting=True)
        try:
            async with asyncio.TaskGroup() as tasks:
                opened = tasks.create_task(self._patiently(self._role.source().open))
                tasks.create_task(self._schema())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # one refusal is enough to mend first
        if opened.result():
            self._process.observer().observe(GroupOpened(created=True))

    async def run(self) -> None:
        await self._role.ingest().run()

    def stop(self) -> None:
        self._role.ingest().stop()

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
        ingest = self._settings.ingest
        drop, compress = ingest.drop_after is not None, ingest.compress_after is not None
        await self._patiently(lambda: require_chunks(url, drop=drop, compress=compress))
        self._process.readiness().note("schema", ok=True, said="up to date", lasting=True)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        return await patiently(self._process.patience(), call)


def _migration_warns(sentence: str) -> None:
    say("warning", "migration_warns", sentence=sentence)


class Showing:
    """The role `live`: the fan-out, the door, the map of devices, the rechecks."""

    def __init__(
        self, settings: RunSettings, process: Process, role: LiveRole, bound: socket.socket
    ) -> None:
        live = settings.live
        self._settings = settings
        self._process = process
        self._role = role
        # The other half of a stop is for the read under way and for destroying our group.
        self._drain_ms = min(live.drain_ms, settings.process.shutdown_ms // 2)
        self._asked = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._http = Serving(
            role.server().application,
            bound,
            http=partial(FrontDoor, DoorRules(live.connections + PASSERS_BY)),
            ws=partial(LiveProtocol, SlowRules(live.threshold_bytes, live.stall_ms / 1000)),
            ws_max_size=live.frame_bytes,
            ws_ping_interval=live.ping_ms / 1000,
            ws_ping_timeout=live.pong_ms / 1000,
            ws_per_message_deflate=False,  # the same bytes for everybody
        )

    async def prepare(self) -> None:
        """Serve from the beginning: until the stream was read, whoever comes is told to wait."""
        self._process.readiness().note("live-stream-accepts", ok=True, lasting=True)
        self._serving = asyncio.create_task(self._http.run())
        try:
            await asyncio.wait_for(self._http.listening(), LISTENING_WITHIN_S)
            say("info", "live_listening", port=self._http.port)
            await patiently(self._process.patience(), lambda: self._role.feed().open(None))
        except BaseException:
            await self._close()
            raise

    async def run(self) -> None:
        fanout = self._role.fanout()
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(fanout.run())
                beside = [
                    tasks.create_task(self._device_map().run()),
                    tasks.create_task(self._role.rechecks().watch()),
                    tasks.create_task(self._served()),
                ]
                beside += [
                    tasks.create_task(self._role.rechecks().run()) for _ in range(RECHECKERS)
                ]
                await self._asked.wait()
                await self._role.server().drain(self._drain_ms)
                fanout.stop()
                await reading
                for task in beside:
                    task.cancel()
        finally:
            await self._close()

    async def _served(self) -> None:
        """A server that ends by itself ends the role."""
        assert self._serving is not None
        await asyncio.wait([self._serving])
        if not self._asked.is_set():
            self._serving.result()
            raise AssertionError("the live server has ended by itself")

    async def _close(self) -> None:
        assert self._serving is not None
        self._http.stop()
        await asyncio.wait([self._serving], timeout=LISTENING_WITHIN_S)

    def stop(self) -> None:
        self._role.admission().close()
        self._asked.set()

    def _device_map(self) -> Refreshed[DeviceMap]:
        observer, delivery = self._role.observer(), self._role.delivery()
        topic_map, admission = self._role.topic_map(), self._role.admission()
        newest = self._role.newest()

        async def read() -> DeviceMap:
            return DeviceMap(await topic_map.read())

        def swapped(devices: DeviceMap) -> None:
            delivery.swap(devices, newest.get)
            admission.has("devices")
            observer.observe(DeviceMapRead(len(devices), devices.events))

        def failed(error: Unavailable | Refused) -> None:
            admission.has("devices")  # it was asked for: live goes on with what it can know
            observer.observe(DeviceMapFailed(error.reason, error.sentence))

        return Refreshed(
            DeviceMap({}),
            read,
            every_ms=self._settings.live.map_ms,
            clock=self._process.clock(),
            chance=self._process.chance(),
            swapped=swapped,
            failed=failed,
        )
