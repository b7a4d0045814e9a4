"""The loop where one thing fails and another must not be taken for its recovery. Virtual time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from dependency_injector import providers

from processor.adapters.faulty import Fault, faulty
from processor.adapters.memory.membership import MemoryMembership
from processor.adapters.memory.positions import MemoryPositionSink, MemoryTable
from processor.adapters.memory.stream import MemoryStream, MemoryStreamSource
from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.decode import Decoder
from processor.core.errors import Unavailable
from processor.core.ingest.consumer import Ingest
from processor.core.model import Entry, Position
from processor.core.notices import (
    ConsumersReaped,
    DependencyAnswered,
    EntriesKept,
    InFlight,
    IngestStopped,
    Notice,
    RetryScheduled,
    SuspectsCounted,
    TrialEnded,
)
from processor.core.ports import Claimed, Fetched, Outcome
from tests.wiring import ingest_on_memory

EPOCH_MS = 1_780_000_000_000
GOOD = (
    b'{"device_id":"1","timestamp":"2026-05-28T20:26:%02d.000Z","latitude":1,"longitude":1,'
    b'"altitude":1,"angle":1,"speed":1,"satellites":1,"priority":0,"attributes":{}}'
)
KILLER = GOOD.replace(b"{}}", b'{"9":"kills"}}')


class Killed(BaseException):
    """What a SIGKILL, a fault in a C library or the kernel's memory killer does to a process."""


class Scene:
    """One stream and table, instances on them, and servers that can be taken away."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.clock = VirtualClock(loop, EPOCH_MS)
        self.stream = MemoryStream(self.clock)
        self.table = MemoryTable()
        self.seen: list[Notice] = []
        self.away: set[str] = set()
        self.decoder = Decoder()
        self.write_s = 0.0
        self.endless: set[int] = set()
        self.writing: set[int] = set()
        self.writings: list[set[int]] = []
        self.ingest = self.instance()

    def instance(self, consumer: str = "a", **parts: Any) -> Ingest:
        role = ingest_on_memory(
            self.stream,
            self.table,
            consumer=consumer,
            clock=self.clock,
            chance=self,
            observer=self,
            limits={"read_count": 10, "write_count": 10, "writers": 2, "in_flight": 20},
            suffer=self.suffer,
        )
        role.decoder.override(self)
        for name, part in parts.items():
            role.providers[name].override(providers.Object(part))
        return role.ingest()

    async def store(self, positions: Sequence[Position]) -> Sequence[Outcome]:
        """The sink, which tells what was under way together."""
        self.writing |= {position.fixed_at.second for position in positions}
        self.writings.append(self.writing)
        endless = self.endless & {position.fixed_at.second for position in positions}
        await self.clock.sleep(10**6 if endless else self.write_s)
        self.writing = self.writing - {position.fixed_at.second for position in positions}
        return await MemoryPositionSink(self.table).store(positions)

    def suffer(self, name: str, part: Any) -> Any:
        if name == "sink":
            part = self
        dependency = {"sink": "database", "dead_letters": "letters"}.get(name, "stream")

        def plan(call: str) -> Fault:
            if dependency in self.away or call in self.away:
                away: Any = "database" if dependency == "database" else "stream"
                return Fault(before=Unavailable(away, "connection", f"{call}: away"))
            return Fault()

        return faulty(part, plan, self.clock)

    def decode(self, entry: Entry, now_ms: int) -> Position:
        if entry.fields and b"kills" in entry.fields[b"payload"]:
            raise Killed
        return self.decoder.decode(entry, now_ms)

    def fraction(self) -> float:
        return 0.5

    def observe(self, notice: Notice) -> None:
        self.seen.append(notice)

    def add(self, payload: bytes) -> str:
        return self.stream.add({b"codec": b"8", b"payload": payload})

    async def lives(self) -> int:
        """Start the process again and again until one life settles everything; how many it took."""
        for life in range(1, 100):
            running = asyncio.create_task(_surviving(self.instance()))
            while not running.done():
                await self.clock.sleep(0.2)
                if self.stream.settled("processor"):
                    running.cancel()
                    return life
        raise AssertionError("a hundred lives were not enough")

    async def handed_out(self, *, times: int, to: str = "a") -> None:
        """Everything in the stream is pending, and was delivered so often."""
        source = MemoryStreamSource(self.stream, group="processor", consumer=to)
        await source.open()
        await source.fetch_new(100, 0)
        for _ in range(times - 1):
            await source.fetch_own("0", 100)


async def _surviving(ingest: Ingest) -> None:
    try:
        await ingest.run()
    except* Killed:
        pass


def played(play: Callable[[Scene], Coroutine[Any, Any, None]]) -> Scene:
    loop = VirtualLoop(Random(1))

    async def main() -> Scene:
        scene = Scene(loop)
        await play(scene)
        return scene

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


def test_a_stop_does_not_wait_for_room_that_nobody_will_make() -> None:
    async def play(scene: Scene) -> None:
        scene.away.add("database")
        for n in range(40):
            scene.add(GOOD % n)
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(60)
        asked_at = scene.clock.elapsed()
        scene.ingest.stop()
        await running
        assert scene.clock.elapsed() - asked_at < 3

    scene = played(play)
    assert scene.seen[-1] == IngestStopped(abandoned=20)
    assert not scene.table.rows


def test_a_stream_that_refuses_dead_letters_has_not_recovered_because_it_can_be_read() -> None:
    async def play(scene: Scene) -> None:
        scene.away.add("letters")
        running = asyncio.create_task(scene.ingest.run())
        scene.add(b"{")
        await scene.clock.sleep(1)
        for n in range(20):
            scene.add(GOOD % n)
            await scene.clock.sleep(5)
        about_the_stream = [
            notice
            for notice in scene.seen
            if isinstance(notice, RetryScheduled | DependencyAnswered)
            and notice.dependency == "stream"
        ]
        assert isinstance(about_the_stream[0], DependencyAnswered)
        assert all(isinstance(notice, RetryScheduled) for notice in about_the_stream[1:])
        assert len(scene.table.rows) == 20, "the good ones do not wait"
        scene.away.clear()
        await scene.clock.sleep(20)
        assert DependencyAnswered("stream") in scene.seen[len(about_the_stream) :]
        assert len(scene.stream.dead_letters()) == 1
        scene.ingest.stop()
        await running

    played(play)


@pytest.mark.parametrize("trimmed", [1, 5])
def test_what_was_trimmed_while_pending_is_said_and_acknowledged(trimmed: int) -> None:
    async def play(scene: Scene) -> None:
        first = MemoryStreamSource(scene.stream, group="processor", consumer="a")
        await first.open()
        for n in range(5):
            scene.add(GOOD % n)
        await first.fetch_new(10, 0)
        scene.stream.trim(5 - trimmed)
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(5)
        assert scene.stream.settled("processor")
        assert len(scene.table.rows) == 5 - trimmed
        lost = [n for n in scene.seen if type(n).__name__ == "EntriesLost"]
        assert [(n.reason, n.count) for n in lost] == [("trimmed", trimmed)]  # type: ignore[union-attr]
        scene.ingest.stop()
        await running
        assert scene.seen[-1] == IngestStopped(abandoned=0), "they take no room any more"

    played(play)


# -- suspects, one at a time ----------------------------------------------------------------------


@pytest.mark.parametrize("killers", [1, 2])
def test_an_entry_that_kills_the_process_is_found_and_its_neighbours_become_rows(
    killers: int,
) -> None:
    async def play(scene: Scene) -> None:
        for n in range(12):
            scene.add(GOOD % n)
        guilty = [scene.add(KILLER % (20 + n)) for n in range(killers)]
        for n in range(12, 20):
            scene.add(GOOD % n)
        # 4 lives in which it was one of many, 3 in which it was tried by itself, and for each
        # further one 3 more; the last life settles everything.
        assert await scene.lives() == 4 + 3 * killers + 1
        assert len(scene.table.rows) == 20
        letters = scene.stream.dead_letters()
        assert [letter[b"origin_id"].decode() for letter in letters] == guilty
        assert {letter[b"reason"] for letter in letters} == {b"kills-the-process"}
        assert scene.stream.trials == {}
        ended = [notice for notice in scene.seen if isinstance(notice, TrialEnded)]
        assert [each.entry_id for each in ended if each.result == "condemned"] == guilty

    played(play)


def test_deliveries_alone_condemn_nobody() -> None:
    async def play(scene: Scene) -> None:
        for n in range(30):
            scene.add(GOOD % n)
        scene.add(b"{")
        await scene.handed_out(times=50)
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(60)
        assert scene.stream.settled("processor")
        assert len(scene.table.rows) == 30
        assert [letter[b"reason"] for letter in scene.stream.dead_letters()] == [
            b"payload-not-json"
        ]
        assert scene.stream.trials == {}
        scene.ingest.stop()
        await running

    played(play)


def test_a_trial_that_ends_because_a_server_is_away_counts_for_nothing() -> None:
    async def play(scene: Scene) -> None:
        suspect = scene.add(GOOD % 1)
        await scene.handed_out(times=5)
        scene.away.add("database")
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(3600)
        ended = [n.result for n in scene.seen if isinstance(n, TrialEnded)]
        assert len(ended) > 3
        assert set(ended) == {"unavailable"}
        assert scene.stream.trials == {}, f"{suspect} is not to blame"
        scene.away.clear()
        await scene.clock.sleep(20)
        assert len(scene.table.rows) == 1
        assert not scene.stream.dead_letters()
        scene.ingest.stop()
        await running

    played(play)


def test_a_suspect_whose_letter_cannot_be_stored_holds_up_nobody() -> None:
    async def play(scene: Scene) -> None:
        scene.add(b"{")
        await scene.handed_out(times=5)
        scene.away.add("letters")
        running = asyncio.create_task(scene.ingest.run())
        for n in range(20):
            scene.add(GOOD % n)
            await scene.clock.sleep(5)
        assert len(scene.table.rows) == 20
        scene.away.clear()
        await scene.clock.sleep(40)
        assert len(scene.stream.dead_letters()) == 1
        assert scene.stream.settled("processor")
        scene.ingest.stop()
        await running

    played(play)


def test_a_suspect_is_tried_alone_and_batches_get_their_turns_between() -> None:
    async def play(scene: Scene) -> None:
        for n in range(15):
            scene.add(GOOD % n)
        await scene.handed_out(times=5)
        scene.write_s = 0.1
        running = asyncio.create_task(scene.ingest.run())
        for n in range(15, 60):
            scene.add(GOOD % n)
            scene.write_s = 0.1 + 0.07 * (n % 5)  # writes of all lengths, so that none keep step
            await scene.clock.sleep(0.02)
        await scene.clock.sleep(20)
        assert scene.stream.settled("processor")
        seconds = [fixed_at.second for _, fixed_at in scene.table.rows]
        assert sorted(seconds) == list(range(60))
        trials = [writing for writing in scene.writings if min(writing) < 15]
        assert [sorted(writing) for writing in trials] == [[n] for n in range(15)], "no company"
        assert seconds.index(15) < seconds.index(14), "nobody waits for the last suspect"
        scene.ingest.stop()
        await running

    played(play)


def test_whose_trial_did_not_end_before_is_tried_last() -> None:
    async def play(scene: Scene) -> None:
        ids = [scene.add(GOOD % n) for n in range(6)]
        scene.stream.trials |= {ids[0]: 2, ids[3]: 1}
        await scene.handed_out(times=5)
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(5)
        assert [fixed_at.second for _, fixed_at in scene.table.rows] == [1, 2, 4, 5, 3, 0]
        assert scene.stream.trials == {}
        counts = [notice.count for notice in scene.seen if isinstance(notice, SuspectsCounted)]
        assert counts == [6, 5, 4, 3, 2, 1, 0]
        scene.ingest.stop()
        await running

    played(play)


def test_a_stop_leaves_suspects_untried_and_pending() -> None:
    async def play(scene: Scene) -> None:
        for n in range(15):
            scene.add(GOOD % n)
        await scene.handed_out(times=5)
        scene.away.add("database")
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(60)
        asked_at = scene.clock.elapsed()
        scene.away.clear()
        scene.ingest.stop()
        await running
        assert scene.clock.elapsed() - asked_at < 3
        assert scene.seen[-1] == IngestStopped(abandoned=15)
        assert scene.stream.trials == {}

    played(play)


def test_a_stop_among_trials_lets_the_one_under_way_end_and_begins_no_other() -> None:
    async def play(scene: Scene) -> None:
        for n in range(15):
            scene.add(GOOD % n)
        await scene.handed_out(times=5)
        scene.write_s = 0.1
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(0.05)
        scene.ingest.stop()
        await running
        assert len(scene.table.rows) == 1
        assert scene.seen[-1] == IngestStopped(abandoned=14)
        assert scene.stream.trials == {}

    played(play)


def test_a_full_server_that_takes_neither_marks_nor_letters_holds_up_no_good_record() -> None:
    """XACK and XREADGROUP still work under maxmemory, and so does HDEL; HSET and XADD do not."""

    async def play(scene: Scene) -> None:
        for n in range(3):
            scene.add(GOOD % n)
        await scene.handed_out(times=5)
        for _ in range(5):
            scene.add(b"{")
        scene.away |= {"letters", "mark"}
        running = asyncio.create_task(scene.ingest.run())
        for n in range(3, 23):
            scene.add(GOOD % n)
            await scene.clock.sleep(5)
        assert sorted(fixed_at.second for _, fixed_at in scene.table.rows) == list(range(3, 23))
        scene.away.clear()
        await scene.clock.sleep(60)
        assert scene.stream.settled("processor")
        assert len(scene.table.rows) == 23
        assert len(scene.stream.dead_letters()) == 5
        scene.ingest.stop()
        await running

    played(play)


def test_one_record_that_the_database_never_gets_done_with_stops_no_batch_for_a_suspect() -> None:
    async def play(scene: Scene) -> None:
        scene.add(GOOD % 0)
        await scene.handed_out(times=5, to="dead")  # and claimed when the other is under way
        scene.endless = {30}
        scene.add(GOOD % 30)
        running = asyncio.create_task(scene.ingest.run())
        for n in range(1, 20):
            await scene.clock.sleep(5)
            scene.add(GOOD % n)
        await scene.clock.sleep(30)
        rows = {fixed_at.second for _, fixed_at in scene.table.rows}
        assert rows == set(range(1, 20)), "all but the suspect and the endless one"
        running.cancel()

    played(play)


def test_a_stop_ends_though_suspects_take_up_all_the_room() -> None:
    async def play(scene: Scene) -> None:
        for n in range(40):
            scene.add(GOOD % n)
        await scene.handed_out(times=5)
        scene.away.add("database")
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(60)
        scene.ingest.stop()
        async with asyncio.timeout(5):
            await running
        assert scene.seen[-1] == IngestStopped(abandoned=20)

    played(play)


def test_a_trial_that_is_cut_short_takes_its_mark_back() -> None:
    async def play(scene: Scene) -> None:
        scene.add(GOOD % 30)
        await scene.handed_out(times=5)
        scene.endless = {30}
        for _ in range(4):
            running = asyncio.create_task(scene.instance().run())
            await scene.clock.sleep(10)
            assert scene.stream.trials, "no trial is under way"
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            assert scene.stream.trials == {}
        assert not scene.stream.dead_letters()

    played(play)


def test_what_was_trimmed_leaves_no_mark() -> None:
    async def play(scene: Scene) -> None:
        scene.stream.trials[scene.add(GOOD % 0)] = 2
        await scene.handed_out(times=5)
        scene.stream.trim(0)
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(5)
        assert scene.stream.settled("processor")
        assert scene.stream.trials == {}
        scene.ingest.stop()
        await running

    played(play)


# -- what is ours, and who is gone ----------------------------------------------------------------


def test_what_a_slow_database_holds_up_is_not_taken_over() -> None:
    async def play(scene: Scene) -> None:
        for n in range(15):
            scene.add(GOOD % n)
        scene.away.add("database")
        running = asyncio.create_task(scene.ingest.run())
        other = MemoryStreamSource(scene.stream, group="processor", consumer="b")
        for _ in range(30):
            await scene.clock.sleep(60)
            assert not (await other.claim("0-0", 60_000, 100)).entries
        kept = [notice.count for notice in scene.seen if isinstance(notice, EntriesKept)]
        assert set(kept) == {15}
        scene.away.clear()
        await scene.clock.sleep(30)
        assert len(scene.table.rows) == 15
        assert sum(isinstance(notice, EntriesKept) for notice in scene.seen) <= len(kept) + 1
        scene.ingest.stop()
        await running

    played(play)


def test_what_is_taken_over_counts_in_the_cap() -> None:
    async def play(scene: Scene) -> None:
        for n in range(50):
            scene.add(GOOD % n)
        await scene.handed_out(times=1, to="dead")
        scene.away.add("database")
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(600)
        assert max(n.count for n in scene.seen if isinstance(n, InFlight)) == 20
        scene.away.clear()
        await scene.clock.sleep(600)
        assert len(scene.table.rows) == 50
        scene.ingest.stop()
        await running

    played(play)


def test_the_dead_are_removed_once_what_they_held_is_settled() -> None:
    async def play(scene: Scene) -> None:
        for n in range(3):
            scene.add(GOOD % n)
        await scene.handed_out(times=1, to="dead")
        running = asyncio.create_task(scene.ingest.run())
        await scene.clock.sleep(590)
        assert len(scene.table.rows) == 3
        assert "dead" in scene.stream.groups["processor"].seen_s
        await scene.clock.sleep(60)
        assert ConsumersReaped(["dead"]) in scene.seen
        assert list(scene.stream.groups["processor"].seen_s) == ["a"]
        assert await MemoryMembership(scene.stream, group="processor", consumer="b").reap(0) == [
            "a"
        ]
        scene.ingest.stop()
        await running

    played(play)


# -- a slow line ----------------------------------------------------------------------------------


class SlowLine:
    """A source whose answers of more than `most` entries do not come in time, though their entries
    are pending by then."""

    def __init__(self, source: MemoryStreamSource, most: int) -> None:
        self._source = source
        self.most = most
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def fetch_new(self, count: int, wait_ms: int) -> Fetched:
        self.asked.append(count)
        return self.in_time(await self._source.fetch_new(count, wait_ms))

    async def fetch_own(self, after_id: str, count: int) -> Sequence[Entry]:
        self.asked.append(count)
        return self.in_time(Fetched(await self._source.fetch_own(after_id, count))).entries

    async def claim(self, cursor: str, min_idle_ms: int, count: int) -> Claimed:
        claimed = await self._source.claim(cursor, min_idle_ms, count)
        self.in_time(Fetched(claimed.entries))
        return claimed

    def in_time(self, fetched: Fetched) -> Fetched:
        if len(fetched.entries) > self.most:
            raise Unavailable("stream", "timeout", "Redis: no answer in time")
        return fetched


def test_on_a_slow_line_less_is_asked_for_at_once_until_it_is_faster_again() -> None:
    async def play(scene: Scene) -> None:
        line = SlowLine(MemoryStreamSource(scene.stream, group="processor", consumer="a"), most=3)
        ingest = scene.instance(source=line)
        for n in range(30):
            scene.add(GOOD % n)
        running = asyncio.create_task(ingest.run())
        await scene.clock.sleep(60)
        assert len(scene.table.rows) == 30
        assert line.asked[:4] == [10, 10, 5, 2]  # the first one finds nothing of its own
        line.most = 10
        for n in range(30, 60):
            scene.add(GOOD % n)
            await scene.clock.sleep(1)
        for _ in range(50):
            scene.add(GOOD % 59)
            await scene.clock.sleep(1)
        assert line.asked[-1] == 10
        ingest.stop()
        await running

    played(play)


def test_on_a_slow_line_less_is_taken_over_at_once_too() -> None:
    async def play(scene: Scene) -> None:
        for n in range(30):
            scene.add(GOOD % n)
        await scene.handed_out(times=1, to="dead")
        await scene.clock.sleep(61)
        line = SlowLine(MemoryStreamSource(scene.stream, group="processor", consumer="a"), most=3)
        running = asyncio.create_task(scene.instance(source=line).run())
        await scene.clock.sleep(120)
        assert len(scene.table.rows) == 30
        assert line.asked[:3] == [10, 10, 5], "nothing of its own, nothing new, then what it took"
        running.cancel()

    played(play)
