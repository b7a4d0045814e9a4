"""When old chunks are seen to, and what is said and counted; the work itself is the database's."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import attrs
import pytest

from processor.adapters.logs import configure
from processor.adapters.metrics.ingest import Metrics
from processor.adapters.postgres.retention import Dropped
from processor.core.errors import Refused, Unavailable
from processor.entrypoints.retention import AGAIN_S, EVERY_S, FIRST_AFTER_S, SAID_EVERY, OldChunks

AWAY = Unavailable("database", "connection", "away")
MAY_NOT = Refused("database", "privileges", "may not")


@attrs.define
class SteppedClock:
    """Time that passes only in sleeps, each of which lasts until a test says `step`."""

    slept: list[float] = attrs.field(factory=list)
    steps: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(0))
    resting: asyncio.Event = attrs.field(factory=asyncio.Event)

    def now(self) -> int:
        return 0

    def elapsed(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.resting.set()
        await self.steps.acquire()

    async def step(self) -> None:
        self.resting.clear()
        self.steps.release()
        async with asyncio.timeout(5):
            await self.resting.wait()


@attrs.define
class Table:
    """Answers in turn, and then that there is nothing to do."""

    drops: list[Dropped | Exception] = attrs.field(factory=list)
    compressions: list[int | Exception] = attrs.field(factory=list)
    asked: list[str] = attrs.field(factory=list)

    async def drop(self) -> Dropped:
        self.asked.append("drop")
        answer = self.drops.pop(0) if self.drops else Dropped(0, 0, events=True)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def compress(self) -> int:
        self.asked.append("compress")
        answer = self.compressions.pop(0) if self.compressions else 0
        if isinstance(answer, Exception):
            raise answer
        return answer


@attrs.define
class Tending:
    """One `OldChunks` at work, and what it said and counted."""

    table: Table
    clock: SteppedClock
    metrics: Metrics
    lines: Callable[[], Sequence[dict[str, object]]]

    async def round(self) -> list[tuple[object, object]]:
        """Let it do one round: the new lines above debug, and how many each is about."""
        before = len(self.lines())
        await self.clock.step()
        return [
            (line["message"], line.get("count", line.get("sentence")))
            for line in self.lines()[before:]
            if line["level"] != "debug"
        ]

    def counted(self, name: str) -> float:
        (line,) = [
            line
            for line in self.metrics.exposition()[0].decode().splitlines()
            if line.startswith(f"processor_chunks_{name}_total ")
        ]
        return float(line.split()[1])


Begin = Callable[..., Awaitable[Tending]]


@pytest.fixture
async def begin(capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Begin]:
    tasks = []
    said = ""

    def lines() -> Sequence[dict[str, object]]:
        nonlocal said
        said += capsys.readouterr().err
        return [json.loads(line) for line in said.splitlines()]

    async def beginning(*, drop: bool = True, compress: bool = True) -> Tending:
        configure(level="debug", pretty=False, service="processor", instance_id="test")
        table, clock, metrics = Table(), SteppedClock(), Metrics(version="1")
        tending = OldChunks(
            drop=table.drop if drop else None,
            compress=table.compress if compress else None,
            metrics=metrics,
            clock=clock,
        )
        tasks.append(asyncio.create_task(tending.tend()))
        async with asyncio.timeout(5):
            await clock.resting.wait()
        return Tending(table, clock, metrics, lines)

    yield beginning
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_nothing_is_done_at_once_and_then_it_is_done_hourly(begin: Begin) -> None:
    tending = await begin()
    assert tending.table.asked == []
    for _ in range(3):
        assert await tending.round() == []
    assert tending.table.asked == ["drop", "compress"] * 3, "what goes is not compressed first"
    assert tending.clock.slept == [FIRST_AFTER_S, EVERY_S, EVERY_S, EVERY_S]


async def test_all_that_is_old_enough_goes_piece_by_piece_and_is_counted(begin: Begin) -> None:
    tending = await begin()
    tending.table.drops = [Dropped(20, 0, events=True), Dropped(3, 0, events=True)]
    tending.table.compressions = [1, 1]
    assert await tending.round() == [("chunks_dropped", 23), ("chunks_compressed", 2)]
    assert (tending.counted("dropped"), tending.counted("compressed")) == (23, 2)


@pytest.mark.parametrize("what", ["drop", "compress"])
async def test_only_what_is_set_is_done(begin: Begin, what: str) -> None:
    tending = await begin(drop=what == "drop", compress=what == "compress")
    await tending.round()
    assert tending.table.asked == [what]


@pytest.mark.parametrize(
    ("error", "said"), [(AWAY, []), (MAY_NOT, [("old_chunks_left", "may not")])]
)
async def test_what_fails_is_tried_again_soon_and_hinders_nothing(
    begin: Begin, error: Exception, said: list[tuple[str, str]]
) -> None:
    tending = await begin()
    tending.table.drops = [Dropped(20, 0, events=True), error]
    tending.table.compressions = [1]
    assert await tending.round() == [("chunks_dropped", 20), *said, ("chunks_compressed", 1)]
    tending.table.compressions = [1, error]
    assert await tending.round() == [("chunks_compressed", 1), *said]
    await tending.round()
    assert tending.clock.slept == [FIRST_AFTER_S, AGAIN_S, AGAIN_S, EVERY_S]
    assert (tending.counted("dropped"), tending.counted("compressed")) == (20, 2)


async def test_what_fails_for_an_hour_is_said_though_a_server_is_only_away(begin: Begin) -> None:
    tending = await begin()
    for turn in range(2 * SAID_EVERY):
        tending.table.drops = [AWAY]
        said = await tending.round()
        assert [what for what, _ in said] == ["old_chunks_left"] * (turn % SAID_EVERY == 11)


async def test_that_no_event_protects_anything_is_said_once(begin: Begin) -> None:
    tending = await begin()
    said = []
    for _ in range(3):
        tending.table.drops = [Dropped(0, 0, events=False)]
        said += await tending.round()
    ((message, sentence),) = said
    assert message == "chunks_unprotected"
    assert "no table of events" in str(sentence)


async def test_what_events_keep_is_said_when_it_changes(begin: Begin) -> None:
    tending = await begin()
    said = []
    for kept in (2, 2, None, 2, 5, 0, 0):  # None: another instance was at it
        tending.table.drops = [Dropped(0, kept, events=True)]
        said += await tending.round()
    assert said == [("chunks_kept_for_events", count) for count in (2, 5, 0)]
