"""What is watched beside the work: dependencies, silence, the pulse of the loop."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import attrs
import pytest

from processor.adapters.memory.stream import MemoryBacklog, MemoryStream, MemoryStreamSource
from processor.adapters.metrics.ingest import Metrics
from processor.adapters.probes import Readiness
from processor.core.errors import Refused, Unavailable
from processor.core.notices import BacklogMeasured, Notice, StreamSilent
from processor.entrypoints.watch import (
    OLD_EVERY,
    collect_cycles,
    drop_old_notes,
    watch_backlog,
    watch_dependency,
    watch_loop,
)

START_MS = 1_800_000_000_000


@attrs.define
class SteppedClock:
    """Time that passes only in sleeps, which a test lets happen one by one."""

    elapsed_s: float = 0.0
    slept: list[float] = attrs.field(factory=list)
    late_s: float = 0.0
    steps: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(0))
    resting: asyncio.Event = attrs.field(factory=asyncio.Event)

    def now(self) -> int:
        return START_MS + int(self.elapsed_s * 1000)

    def elapsed(self) -> float:
        return self.elapsed_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.resting.set()
        await self.steps.acquire()
        self.elapsed_s += seconds + self.late_s

    async def step(self) -> None:
        """Let one sleep end, and wait until the next one has begun."""
        self.resting.clear()
        self.steps.release()
        async with asyncio.timeout(5):
            await self.resting.wait()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


Begin = Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]


@pytest.fixture
async def begin(clock: SteppedClock) -> AsyncIterator[Begin]:
    """Start something that goes on for ever, and wait until it sleeps for the first time."""
    tasks = []

    async def beginning(watching: Coroutine[Any, Any, None]) -> None:
        tasks.append(asyncio.create_task(watching))
        async with asyncio.timeout(5):
            await clock.resting.wait()

    yield beginning
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_dependency_is_ready_while_it_answers(clock: SteppedClock, begin: Begin) -> None:
    readiness = Readiness({"ingest": ["database"]}, elapsed=clock.elapsed)
    metrics = Metrics(version="1")
    fault: list[Exception] = []

    async def ask() -> None:
        for each in fault:
            raise each

    await begin(
        watch_dependency("database", ask, readiness=readiness, metrics=metrics, clock=clock)
    )
    assert readiness.ready()
    assert b'dependency_up{dependency="database"} 1.0' in metrics.exposition()[0]
    for error in (
        Unavailable("database", "connection", "away"),
        Refused("database", "credentials", "wrong password"),
        TimeoutError(),
    ):
        fault[:] = [error]
        await clock.step()
        assert not readiness.ready()
        assert b'dependency_up{dependency="database"} 0.0' in metrics.exposition()[0]
    assert readiness.checks()["database"].said == "no answer within 3 s"
    fault.clear()
    await clock.step()
    assert readiness.ready()
    assert set(clock.slept) == {5.0}


@attrs.define
class Ear:
    heard: list[Notice] = attrs.field(factory=list)

    def observe(self, notice: Notice) -> None:
        self.heard.append(notice)

    def silences(self) -> Sequence[StreamSilent]:
        return [notice for notice in self.heard if isinstance(notice, StreamSilent)]


async def test_silence_is_said_at_once_then_once_a_minute_and_no_more_after_an_entry(
    clock: SteppedClock, begin: Begin
) -> None:
    ours, busy = MemoryStream(clock, "telemetry:ours"), MemoryStream(clock, "telemetry:busy")
    busy.add({b"a": b"b"})
    await MemoryStreamSource(ours, group="processor", consumer="a").open()
    backlog = MemoryBacklog(ours, group="processor", family=[ours, busy])
    ear = Ear()
    await begin(watch_backlog(backlog, stream=ours.name, silence_s=30.0, observer=ear, clock=clock))
    assert ear.silences() == [StreamSilent("telemetry:ours", None, ["telemetry:busy"])]
    for _ in range(12):
        assert len(ear.silences()) == 1
        await clock.step()
    assert len(ear.silences()) == 2, "after a minute, once more"
    assert ear.silences()[1].busy == [], "the other fell silent, too"
    ours.add({b"a": b"b"})
    for _ in range(5):
        await clock.step()
        assert len(ear.silences()) == 2
    await clock.step()
    assert [each.age_s for each in ear.silences()[2:]] == [30.0], "and at once when it begins again"
    measured = [notice for notice in ear.heard if isinstance(notice, BacklogMeasured)]
    assert len(measured) == len(clock.slept)


async def test_while_the_server_is_away_nothing_is_measured_and_nothing_ends(
    clock: SteppedClock, begin: Begin
) -> None:
    @attrs.define
    class Away:
        times: int = 0

        async def measure(self) -> BacklogMeasured:
            self.times += 1
            if self.times < 3:
                raise Unavailable("stream", "connection", "away")
            return BacklogMeasured(0, 0.0, 0, 0, 1.0, None)

        async def busy_streams(self, within_s: float) -> Sequence[str]:
            return []

    ear = Ear()
    await begin(watch_backlog(Away(), stream="x", silence_s=30.0, observer=ear, clock=clock))
    await clock.step()
    assert ear.heard == []
    await clock.step()
    assert len(ear.heard) == 1


async def test_old_notes_are_dropped_piece_by_piece_at_start_and_hourly_and_counted(
    clock: SteppedClock, begin: Begin
) -> None:
    metrics = Metrics(version="1")
    pieces: list[int | Exception] = [1000, 7, 0]

    async def drop() -> int:
        piece = pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def counted() -> bool:
        return b"track_changes_dropped_total 1007.0" in metrics.exposition()[0]

    await begin(drop_old_notes(drop, metrics, clock))
    assert counted()
    assert pieces == []
    for failure in (
        Unavailable("database", "connection", "away"),
        Refused("database", "schema", "no table yet"),
        Refused("database", "privileges", "may not"),
    ):
        pieces.append(failure)
        await clock.step()
        assert pieces == [], "tried, and not given up"
    assert counted()
    assert set(clock.slept) == {3_600.0}


async def test_a_late_timer_is_a_stall_of_the_loop(clock: SteppedClock, begin: Begin) -> None:
    metrics = Metrics(version="1")
    clock.late_s = 0.3
    await begin(watch_loop(metrics, clock))
    await clock.step()
    body = metrics.exposition()[0].decode()
    assert 'processor_event_loop_lag_seconds_bucket{le="0.25"} 0.0' in body
    assert 'processor_event_loop_lag_seconds_bucket{le="0.5"} 1.0' in body


async def test_what_holds_itself_is_let_go_after_a_while(clock: SteppedClock, begin: Begin) -> None:
    class Knot:
        def __init__(self) -> None:
            self.itself = self

    await begin(collect_cycles(clock))
    gc.disable()
    try:
        young = weakref.ref(Knot())
        await clock.step()
        assert young() is None
        survivor = Knot()
        gc.collect(1)
        old = weakref.ref(survivor)
        del survivor
        for _ in range(OLD_EVERY):
            await clock.step()
        assert old() is None
    finally:
        gc.enable()
