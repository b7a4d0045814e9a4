"""A simulated world: one stream, one table, some processes, and bad luck drawn from a seed.

What may happen in it is `MENU`. A storm of faults on the lines goes on beside that, until the world
heals: from then on everything has to come to rest by itself.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from copy import deepcopy
from datetime import UTC, datetime
from random import Random
from typing import Any

from attrs import frozen

from processor.adapters.faulty import Fault
from processor.adapters.memory.positions import MemoryTable
from processor.adapters.memory.stream import MemoryStream, id_of
from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.errors import Refused, TooMuch, Unavailable
from processor.core.notices import Notice
from tests.simulation.judge import Judge
from tests.simulation.process import Process
from tests.simulation.traffic import DEVICES, Traffic, Written
from tests.wiring import GROUP

EPOCH_MS = int(datetime(2026, 6, 7, 8, tzinfo=UTC).timestamp() * 1000)
NEVER_MS = 86_400_000
HEALED_WITHIN_S = 3600
STOPPED_WITHIN_S = 60
RECALLED_WITHIN_S = 60
LONG_AGO_MS = EPOCH_MS - 10**9


class Luck:
    """The Chance of everybody in a world."""

    def __init__(self, random: Random) -> None:
        self.fraction = random.random


class World:
    """`written` is what the producer knows, `endangered` those entries that the stream has lost:
    whoever had not read them cannot store them; `interrupted` those with a trial that was none.
    `happened` counts what went wrong, by its name."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.random = random = Random(seed)
        self.luck = Luck(random)
        self.clock = VirtualClock(loop, EPOCH_MS)
        self.stream = MemoryStream(self.clock)
        self.table = MemoryTable(clock=self.clock)
        self.judge = Judge(self)
        self.traffic = Traffic(random, deadly=random.random() < 0.4)
        self.happened: Counter[str] = Counter()
        self.written: dict[str, Written] = {}
        self.endangered: set[str] = set()
        self.interrupted: set[str] = set()
        self.deadly_trials: Counter[str] = Counter()
        self.processes: dict[str, Process] = {}
        self.ended: list[Process] = []
        self.storm = True
        self.fault_rate = random.choice([0.0, 0.02, 0.1, 0.3])
        # Some worlds never claim: there, what a lost reply hid must come back by itself.
        self.claim_idle_ms = random.choice([5_000, 5_000, NEVER_MS])
        self.dead_letter_after = random.choice([2, 3, 5])
        self.away: set[str] = set()
        self._kept: Any = None

    # -- the lines ------------------------------------------------------------------------------

    def stream_fault(self, call: str) -> Fault:
        if "stream" in self.away:
            return Fault(before=Unavailable("stream", "connection", "Redis is away"))
        return self._fault(Unavailable("stream", "connection", f"{call}: the reply was lost"))

    def room_fault(self, call: str) -> Fault:
        """What a full server refuses: to store anything new. It still forgets, and acknowledges."""
        if "room" in self.away and call in ("send", "mark"):
            full = Unavailable("stream", "full", "OOM", Unavailable.Pause.LONG)
            return Fault(before=full)
        return self.stream_fault(call)

    def database_fault(self, call: str) -> Fault:
        if "database" in self.away:
            return Fault(before=Unavailable("database", "connection", "the database is away"))
        kinds = [
            Unavailable("database", "connection", "the reply was lost"),
            Unavailable("database", "deadlock", "deadlock", Unavailable.Pause.NONE),
            TooMuch("database", "timeout", "canceled on statement timeout"),
            Refused("database", "password", "password authentication failed"),
        ]
        return self._fault(self.random.choice(kinds))

    def recall_fault(self, call: str) -> Fault:
        fault = self.database_fault(call)
        if self.storm and self.random.random() < self.fault_rate:
            self.happened["a slow recall"] += 1
            return Fault(3600.0, before=fault.before)
        return fault

    def _fault(self, error: Exception) -> Fault:
        if not self.storm:
            return Fault()
        delay_s = self.random.choice([0.0, 0.0, 0.001, 0.05, self.random.expovariate(1.0)])
        if self.random.random() >= self.fault_rate:
            return Fault(delay_s)
        lost = isinstance(error, Unavailable) and error.reason == "connection"
        if lost and self.random.random() < 0.5:
            self.happened["a reply lost after its effect"] += 1
            return Fault(delay_s, after=error)
        self.happened["a call refused"] += 1
        return Fault(delay_s, before=error)

    # -- the producer ---------------------------------------------------------------------------

    async def produce(self, count: int) -> None:
        for n in range(count):
            if self.random.random() < 0.3:
                await self.clock.sleep(self.random.expovariate(2.0))
            self.write(self.traffic.next(n, self.clock.now()))

    def write(self, written: Written) -> None:
        self.written[self.stream.add(written.fields)] = written

    # -- the supervisors --------------------------------------------------------------------------

    def start(self, name: str) -> None:
        self.processes[name] = Process(self, name)

    def died(self, process: Process) -> None:
        """By whatever it was; if it was busy with a trial, the trial has not ended."""
        self.ended.append(process)
        if process.trying is not None:
            self.deadly_trials[process.trying] += 1

    async def look_after(self) -> None:
        """Start again whatever ended by itself, for ever."""
        while True:
            await self.clock.sleep(self.random.uniform(0.1, 5))
            for name, process in list(self.processes.items()):
                if process.task.done():
                    process.task.result()  # a bug ends the simulation
                    self.happened["a death by poison"] += 1
                    self.start(name)

    # -- what befalls it --------------------------------------------------------------------------

    async def befall(self) -> None:
        for _ in range(self.random.randrange(6)):
            await self.clock.sleep(self.random.expovariate(0.5))
            calamity = self.random.choice(MENU)
            self.happened[calamity.name] += 1
            await calamity.strike(self)

    async def kill(self) -> None:
        name = self.random.choice(sorted(self.processes))
        await self.processes.pop(name).kill()
        # Where nobody claims, and where nobody else is left, somebody starts it again.
        alone = not self.processes or self.claim_idle_ms == NEVER_MS
        if alone or self.random.random() < 0.7:
            await self.clock.sleep(self.random.uniform(0, 3))
            self.start(name)

    async def quit(self) -> None:
        """A clean stop, under whatever else goes on: it ends in time where no call takes long."""
        name = self.random.choice(sorted(self.processes))
        process = self.processes.pop(name)
        process.ingest.stop()
        await asyncio.wait([process.task], timeout=STOPPED_WITHIN_S)
        assert process.task.done(), f"{name} does not stop"
        self.ended.append(process)
        process.task.result()
        self.start(name)

    async def freeze(self) -> None:
        process = self.processes[self.random.choice(sorted(self.processes))]
        process.stop()
        await self.clock.sleep(self.random.uniform(0.1, 60))
        process.go_on()

    async def flush(self) -> None:
        """Everything is gone, also what was promised to be kept of the dead letters."""
        self.endangered |= self.written.keys()
        self._kept = None
        self.stream.flush()
        await self.clock.sleep(0.01)  # no two entries have one id

    async def trim(self) -> None:
        """The producer's own bound has come to what is not settled yet."""
        there = set(self.stream.keys)
        self.stream.trim(self.random.randrange(0, 20))
        self.endangered |= {id_of(key) for key in there.difference(self.stream.keys)}

    async def destroy_group(self) -> None:
        self.stream.destroy_group(GROUP)

    async def fail_over(self) -> None:
        """A replica takes over, who knows of the group what it knew a while ago."""
        self._kept = deepcopy(self.stream.groups.get(GROUP))
        await self.clock.sleep(self.random.uniform(0.1, 10))
        if self._kept is not None and GROUP in self.stream.groups:
            self.stream.groups[GROUP] = self._kept
            self.stream.wake()
        for process in self.processes.values():
            process.connected = False
        await _without("stream", 10)(self)

    async def step_the_clock(self) -> None:
        self.clock.step(self.random.choice([-5_000, 5_000]))

    @property
    def said(self) -> list[Notice]:
        """What was said in it, process by process."""
        everybody = [*self.ended, *self.processes.values()]
        return [notice for process in everybody for notice in process.said]

    # -- from its beginning to its end -----------------------------------------------------------

    async def live(self) -> None:
        """Raises AssertionError where something is wrong."""
        for name in self.random.choice(["a", "ab", "abc"]):
            self.start(name)
        supervisor = asyncio.create_task(self.look_after())
        producing = asyncio.create_task(self.produce(self.random.randrange(5, 120)))
        try:
            await self.befall()
            await producing
            await self._heal(supervisor)
            self.judge.everything_has_its_place()
            await self._judge_states()
        finally:
            supervisor.cancel()
            producing.cancel()

    async def _heal(self, supervisor: "asyncio.Task[None]") -> None:
        self.storm = False
        healed_at = self.clock.elapsed()
        while not self._at_rest():
            if supervisor.done():
                supervisor.result()
            await self.clock.sleep(1)
            late = self.clock.elapsed() - healed_at >= HEALED_WITHIN_S
            assert not late, "an hour after healing: work is left"

    def _at_rest(self) -> bool:
        return self.stream.settled(GROUP)

    async def _judge_states(self) -> None:
        """All stop, and one starts that knows nothing: a first fix of each device, an old one, must
        bring back what all rows together say, and what follows move it forward alone."""
        for name in sorted(self.processes):
            process = self.processes.pop(name)
            self.ended.append(process)
            await process.quit()
        self.start("judge")
        for fixed_ms in (LONG_AGO_MS, LONG_AGO_MS - 10**9, self.clock.now()):
            for n, device_id in enumerate(DEVICES):
                if fixed_ms < EPOCH_MS or self.random.random() < 0.5:
                    self.write(self.traffic.fix(device_id, fixed_ms - n, n))
            await self.clock.sleep(RECALLED_WITHIN_S)
        assert self._at_rest()
        judge = self.processes["judge"]
        self.judge.the_states_are_right(judge)
        await judge.quit()


@frozen
class Calamity:
    name: str
    strike: Callable[[World], Awaitable[None]]


def _without(dependency: str, most_s: float) -> Callable[[World], Awaitable[None]]:
    async def strike(world: World) -> None:
        world.away.add(dependency)
        await world.clock.sleep(world.random.uniform(0.1, most_s))
        world.away.discard(dependency)

    return strike


MENU = [
    Calamity("a kill", World.kill),
    Calamity("a kill", World.kill),
    Calamity("a kill", World.kill),
    Calamity("a clean stop", World.quit),
    Calamity("a process stopped for a while", World.freeze),
    Calamity("the database away", _without("database", 120)),
    Calamity("Redis away", _without("stream", 60)),
    Calamity("no room in Redis", _without("room", 120)),
    Calamity("the group destroyed", World.destroy_group),
    Calamity("a fail-over", World.fail_over),
    Calamity("everything flushed", World.flush),
    Calamity("trimmed", World.trim),
    Calamity("the clock set", World.step_the_clock),
]


def simulate(seed: int) -> World:
    """The world of this seed, lived to its end. Raises what went wrong."""
    loop = VirtualLoop(Random(seed))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:

        async def live() -> World:
            world = World(seed, loop)
            await world.live()
            return world

        return runner.run(live())
