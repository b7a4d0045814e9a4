"""A process of a simulated world: production wiring, which may be stopped, killed, and troubled.

Whatever a process does, it does through its ports. A process that is stopped (SIGSTOP) comes to a
halt at each of them while the world goes on, and finds its answers when it continues; one that was
killed may use none any more.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dependency_injector import providers

from processor.adapters.faulty import Fault, faulty
from processor.core.decode import Decoder
from processor.core.errors import Refused, Rejected, Unavailable
from processor.core.ingest.consumer import Ingest
from processor.core.model import Entry, Position
from processor.core.notices import EntriesLost, InFlight, Notice, TrialEnded
from processor.core.ports import Clock
from tests.simulation.traffic import DEADLY
from tests.wiring import ingest_on_memory

if TYPE_CHECKING:
    from tests.simulation.world import World


class Killed(BaseException):
    """What a fault in a C library does to a process."""


class Process:
    """One instance, from its start to its end. It is an Observer of itself."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.inserted: Counter[str] = Counter()
        self.said: list[Notice] = []
        self.lost = 0
        self.connected = True
        """False: the line is dead, and whoever reads from it next is told so."""
        self.trying: str | None = None
        self._running = asyncio.Event()
        self._running.set()
        self._dead = False
        self._decoder = Decoder()
        random = world.random
        self.in_flight_cap = random.choice([1, 20, 500])
        self.read_count = random.choice([1, 7, 50])
        self.devices = random.choice([2, 4, 100])
        role = ingest_on_memory(
            world.stream,
            world.table,
            consumer=name,
            clock=_OwnClock(self, world.clock),
            chance=world.luck,
            observer=self,
            limits={
                "read_count": self.read_count,
                "read_wait_ms": random.choice([200, 2000]),
                "write_count": random.choice([1, 5, 50]),
                "writers": random.choice([1, 2, 3]),
                "in_flight": self.in_flight_cap,
                "devices": self.devices,
                "claim_idle_ms": world.claim_idle_ms,
                "claim_interval_ms": 3000,
                "dead_letter_after": world.dead_letter_after,
            },
            suffer=self._suffer,
        )
        role.decoder.override(providers.Object(self))
        self.states = role.states()
        self.ingest: Ingest = role.ingest()
        self.task = asyncio.create_task(self._live())

    # -- what may be done to it ---------------------------------------------------------------

    def stop(self) -> None:
        """SIGSTOP: time goes on, the process does not."""
        self._running.clear()

    def go_on(self) -> None:
        """SIGCONT."""
        self._running.set()

    async def kill(self) -> None:
        """SIGKILL, wherever it is."""
        self._dead = True
        self.world.died(self)
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def quit(self) -> None:
        """SIGTERM, to a process for which everything is fine."""
        self.ingest.stop()
        await self.task

    async def _live(self) -> None:
        try:
            await self.ingest.run()
        except* Killed:
            self.world.died(self)

    # -- what it does ----------------------------------------------------------------------------

    def decode(self, entry: Entry, now_ms: int) -> Position:
        if entry.fields is not None and DEADLY in entry.fields[b"payload"]:
            self._dead = True
            raise Killed
        return self._decoder.decode(entry, now_ms)

    def observe(self, notice: Notice) -> None:
        self.said.append(notice)
        match notice:
            case InFlight(count):
                # Whoever reads and whoever claims may find the same room.
                bound = self.in_flight_cap + min(self.read_count, self.in_flight_cap)
                assert count <= bound, f"{count} in flight, {bound} allowed"
                assert len(self.states) <= self.devices
            case EntriesLost(_, count):
                self.lost += count
            case TrialEnded(entry_id, result):
                self.world.happened[f"trial {result}"] += 1
                if result == "unavailable":
                    self.world.interrupted.add(entry_id)
            case _:
                pass

    def _suffer(self, name: str, part: Any) -> Any:
        world = self.world
        if name == "sink":
            part, plan = world.judge.sink(part, self), world.database_fault
        elif name == "state_store":
            plan = world.recall_fault
        elif name == "trials":
            part, plan = world.judge.trials(part, self), world.room_fault
        elif name == "dead_letters":
            part, plan = world.judge.dead_letters(part), world.room_fault
        else:
            part = world.judge.source(part, self) if name == "source" else part
            plan = self._read_fault
        return _Held(self, faulty(part, plan, world.clock))

    def _read_fault(self, call: str) -> Fault:
        if not self.connected and call.startswith("fetch"):
            self.connected = True
            return Fault(before=Unavailable("stream", "connection", "reset by peer"))
        return self.world.stream_fault(call)

    async def its_turn(self) -> None:
        """Waits while the process is stopped. The dead have no turn any more."""
        await self._running.wait()
        if self._dead:
            await asyncio.Future()


class _Held:
    """A port of a process: nothing is asked while it is stopped, and no answer is heard."""

    def __init__(self, process: Process, port: Any) -> None:
        self._process = process
        self._port = port

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._process.its_turn()
            try:
                answer = await method(*args, **kwargs)
            except (Unavailable, Refused, Rejected):
                await self._process.its_turn()
                raise
            await self._process.its_turn()
            return answer

        return call


class _OwnClock:
    """The world's clock, as a process that may be stopped has it."""

    def __init__(self, process: Process, clock: Clock) -> None:
        self._process = process
        self._clock = clock
        self.now = clock.now
        self.elapsed = clock.elapsed

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await self._process.its_turn()
