"""Reading back what is not known: in its turn, beside the work, and only ever forward. Virtual
time."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from processor.adapters.faulty import Fault, faulty
from processor.adapters.memory.positions import MemoryTable
from processor.adapters.memory.states import MemoryStateStore
from processor.adapters.memory.stream import MemoryStream
from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.errors import Refused, Unavailable
from processor.core.ingest.recall import (
    ASKED_AT_ONCE,
    REST,
    REST_AFTER_FAILURE_S,
    ROOM,
    Recall,
)
from processor.core.ingest.state import DeviceStates
from processor.core.model import Entry, Position, Record
from processor.core.notices import (
    DevicesRecalled,
    IngestStopped,
    Notice,
    RecallFailed,
    RecallSkipped,
)
from tests.wiring import ingest_on_memory

EPOCH_MS = 1_780_000_000_000
NOW = datetime.fromtimestamp(EPOCH_MS / 1000, UTC)


def fix(device_id: str, at_s: float = 0) -> Position:
    at = NOW + timedelta(seconds=at_s)
    return Position(device_id, at, 41.3, 19.8, 10, 90, 50, 9, 0, "8E", b"{}")


class Scene:
    """States, a table, and a store that takes its time or fails as the test says."""

    def __init__(self, loop: VirtualLoop, cap: int) -> None:
        self.clock = VirtualClock(loop, EPOCH_MS)
        self.table = MemoryTable()
        self.states = DeviceStates(cap, 60_000)
        self.fault = Fault()
        self.answer_takes_s = 0.0
        self.asked: list[tuple[float, Sequence[str]]] = []
        self.seen: list[Notice] = []
        self._store = MemoryStateStore(self.table, clock_ahead_ms=60_000)
        store = faulty(self, lambda _: self.fault, self.clock)
        self.recall = Recall(store, self.states, self.clock, self)

    async def newest(self, device_ids: Sequence[str]) -> Mapping[str, Position]:
        self.asked.append((self.clock.elapsed(), device_ids))
        answer = await self._store.newest(device_ids)
        await self.clock.sleep(self.answer_takes_s)  # meanwhile it grows old
        return answer

    def observe(self, notice: Notice) -> None:
        self.seen.append(notice)

    def store(self, *fixes: Position) -> None:
        self.table.rows.update({each.key: each for each in fixes})

    def hear(self, *fixes: Position) -> None:
        """As the loop does after a write."""
        self.store(*fixes)
        records = [Record(Entry(f"{EPOCH_MS}-0", {}), each) for each in fixes]
        self.recall.want(self.states.observe(records).unknown)

    def last(self, device_id: str) -> float | None:
        """Seconds from NOW to its last fix; None where there is none."""
        state = self.states.get(device_id)
        return state and state.last_seen and (state.last_seen - NOW).total_seconds()


def played(play: Callable[[Scene], Coroutine[Any, Any, None]], cap: int = 10_000) -> Scene:
    loop = VirtualLoop(Random(1))

    async def main() -> Scene:
        scene = Scene(loop, cap)
        running = asyncio.create_task(scene.recall.run())
        await play(scene)
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        return scene

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


def test_a_device_heard_of_for_the_first_time_is_where_the_database_has_it() -> None:
    async def play(scene: Scene) -> None:
        scene.store(fix("late", 50))
        scene.hear(fix("late", -600), fix("new", 1))
        assert (scene.last("late"), scene.last("new")) == (-600, 1), "learned of at once"
        await scene.clock.sleep(1)
        assert (scene.last("late"), scene.last("new")) == (50, 1)

    scene = played(play)
    assert [asked for _, asked in scene.asked] == [["late", "new"]], "one question for all"
    assert scene.seen == [DevicesRecalled(found=2, none=0)]


def test_a_device_of_which_only_bad_fixes_are_known_is_counted_as_none() -> None:
    async def play(scene: Scene) -> None:
        scene.hear(fix("a"))
        scene.table.faulty.add(fix("a").key)
        await scene.clock.sleep(1)
        assert scene.last("a") == 0, "what was observed is not taken back"

    assert played(play).seen == [DevicesRecalled(found=0, none=1)]


def test_a_known_device_is_not_asked_for() -> None:
    async def play(scene: Scene) -> None:
        for second in range(5):
            scene.hear(fix("a", second))
            await scene.clock.sleep(1)

    assert len(played(play).asked) == 1


def test_what_comes_while_a_question_is_under_way_wins_over_an_older_answer() -> None:
    async def play(scene: Scene) -> None:
        scene.store(fix("a", 30))
        scene.answer_takes_s = 60
        scene.hear(fix("a", 0))
        await scene.clock.sleep(1)
        scene.hear(fix("a", 40))
        await scene.clock.sleep(100)
        assert scene.last("a") == 40

    played(play)


def test_who_was_forgotten_meanwhile_is_not_brought_back() -> None:
    async def play(scene: Scene) -> None:
        scene.fault = Fault(delay_s=60)
        scene.hear(fix("a"))
        await scene.clock.sleep(1)
        scene.hear(fix("b"), fix("c"))
        await scene.clock.sleep(1000)
        assert scene.last("a") is None
        assert len(scene.states) == 2

    played(play, cap=2)


def test_devices_gather_while_a_question_is_under_way_and_no_one_asks_again_at_once() -> None:
    async def play(scene: Scene) -> None:
        scene.fault = Fault(delay_s=1)
        for number in range(50):
            scene.hear(fix(f"d{number}"))
            await scene.clock.sleep(0.1)
        await scene.clock.sleep(60)

    scene = played(play)
    times_s = [at_s for at_s, _ in scene.asked]
    assert [len(asked) for _, asked in scene.asked] == [1, 49]
    assert times_s[1] - times_s[0] == pytest.approx(1 + REST)


def test_a_question_has_a_bound_and_those_who_came_first_are_asked_first() -> None:
    device_ids = [f"d{number}" for number in range(2 * ASKED_AT_ONCE + 5)]

    async def play(scene: Scene) -> None:
        scene.hear(*map(fix, device_ids))
        await scene.clock.sleep(60)

    scene = played(play)
    assert [len(asked) for _, asked in scene.asked] == [ASKED_AT_ONCE, ASKED_AT_ONCE, 5]
    assert [each for _, asked in scene.asked for each in asked] == device_ids


def test_those_who_were_forgotten_make_room_and_each_device_is_counted_once() -> None:
    async def play(scene: Scene) -> None:
        scene.fault = Fault(delay_s=1)
        for number in range(60):
            scene.store(fix(f"d{number}", 30))
            scene.hear(fix(f"d{number}"))
            assert len(scene.recall._waiting) <= ROOM * 3
        await scene.clock.sleep(600)
        assert [scene.last(f"d{number}") for number in (57, 58, 59)] == [30, 30, 30]

    scene = played(play, cap=3)
    skipped = sum(each.devices for each in scene.seen if isinstance(each, RecallSkipped))
    found = sum(each.found for each in scene.seen if isinstance(each, DevicesRecalled))
    assert (skipped, found) == (57, 3)
    assert all(len(asked) <= 3 for _, asked in scene.asked)


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("database", "timeout", "PostgreSQL did not answer in time"),
        Refused("database", "privileges", "permission denied for table positions"),
    ],
)
def test_a_failure_is_counted_and_followed_by_a_rest_and_not_by_a_storm(error: Any) -> None:
    async def play(scene: Scene) -> None:
        scene.store(fix("a", 50), fix("b", 50))
        scene.fault = Fault(delay_s=1, before=error)
        scene.hear(fix("a"))
        await scene.clock.sleep(1.5)
        scene.fault = Fault()
        scene.hear(fix("b"))
        await scene.clock.sleep(60)
        assert (scene.last("a"), scene.last("b")) == (0, 50)
        assert [(at_s, list(asked)) for at_s, asked in scene.asked] == [
            (pytest.approx(1 + REST_AFTER_FAILURE_S), ["b"])
        ]

    seen = played(play).seen
    assert seen == [
        RecallFailed(1, error.reason, error.sentence),
        DevicesRecalled(found=1, none=0),
    ]


# ---- in the loop

HOUR_S = 3600.0
AWAY = Unavailable("database", "timeout", "PostgreSQL did not answer in time")
PAYLOAD = (
    b'{"device_id":"%d","timestamp":"2026-05-28T20:26:%02d.000Z","latitude":1,"longitude":1,'
    b'"altitude":1,"angle":1,"speed":1,"satellites":1,"priority":0,"attributes":{}}'
)


@pytest.mark.parametrize("fault", [Fault(HOUR_S), Fault(before=AWAY), Fault(HOUR_S, before=AWAY)])
def test_a_store_that_hangs_or_fails_delays_no_write_no_acknowledgement_and_no_stop(
    fault: Fault,
) -> None:
    async def main(loop: VirtualLoop) -> None:
        clock, table, seen = VirtualClock(loop, EPOCH_MS), MemoryTable(), list[Notice]()

        class Ear:
            def observe(self, notice: Notice) -> None:
                seen.append(notice)

            def fraction(self) -> float:
                return 0.5

        def suffer(name: str, part: Any) -> Any:
            return faulty(part, lambda _: fault, clock) if name == "state_store" else part

        stream, ear = MemoryStream(clock), Ear()
        role = ingest_on_memory(
            stream,
            table,
            consumer="a",
            clock=clock,
            chance=ear,
            observer=ear,
            suffer=suffer,
        )
        running = asyncio.create_task(role.ingest().run())
        for number in range(40):
            stream.add({b"codec": b"8", b"payload": PAYLOAD % (number, number)})
            await clock.sleep(0.5)
            assert len(table.rows) == number + 1, "written within half a second"
            assert stream.settled("processor")
        assert len(role.states()) == 40
        asked_s = clock.elapsed()
        role.ingest().stop()
        await running
        assert clock.elapsed() - asked_s < 3, "a read under way, and nothing else"
        assert seen[-1] == IngestStopped(abandoned=0)
        if fault.before and not fault.delay_s:
            assert 1 <= sum(isinstance(each, RecallFailed) for each in seen) <= 3

    loop = VirtualLoop(Random(1))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main(loop))
