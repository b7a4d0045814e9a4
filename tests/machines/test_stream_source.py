"""StreamSource against a model that fits on a screen: whatever is added, read, lost, claimed,
trimmed and destroyed, in any order, nothing vanishes that was not trimmed, and nothing comes twice
that was acknowledged. In memory with many examples, on a real server with a few."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from processor.adapters.memory.stream import MemoryStream, MemoryStreamSource
from processor.adapters.redis.source import RedisStreamSource
from processor.adapters.system import SystemClock
from processor.core.errors import Unavailable
from processor.core.model import Entry
from processor.core.ports import StreamSource

T = TypeVar("T")

GROUP = "processor"
CONSUMERS = st.sampled_from("ab")
COUNTS = st.integers(1, 4)


class StreamSourceMachine(RuleBasedStateMachine):
    """The model: `stream` holds what is there, `unread` what the group has not been given (each
    with its content or without), `pending` who holds what, `times` how often each of those was
    handed out. Ids are numbers here."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.sources: dict[str, StreamSource] = {}
        self.numbers = itertools.count(1)
        self.stream: list[int] = []
        self.unread: list[int] = []
        self.pending: dict[int, str] = {}
        self.times: Counter[int] = Counter()
        self.group = False
        # Whether each source must see a loss at its next read, or only may.
        self.looks: dict[str, bool] = {}

    # ---- what the two backends do in their own ways

    def connect(self, consumer: str) -> StreamSource:
        raise NotImplementedError

    def do_add(self, number: int) -> None:
        raise NotImplementedError

    def do_trim(self, maxlen: int) -> None:
        raise NotImplementedError

    def do_destroy(self) -> None:
        raise NotImplementedError

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    # ---- rules

    @initialize()
    def begin(self) -> None:
        self.sources = {consumer: self.connect(consumer) for consumer in "ab"}

    @rule(consumer=CONSUMERS)
    def open(self, consumer: str) -> None:
        assert self.run(self.sources[consumer].open()) is not self.group
        if not self.group:
            self.group, self.unread = True, list(self.stream)
        self.looks[consumer] = True

    @rule(count=st.integers(1, 5))
    def add(self, count: int) -> None:
        for number in itertools.islice(self.numbers, count):
            self.do_add(number)
            self.stream.append(number)
            self.unread.append(number)

    @rule(maxlen=st.integers(0, 6))
    def trim(self, maxlen: int) -> None:
        self.do_trim(maxlen)
        del self.stream[: max(0, len(self.stream) - maxlen)]

    @rule(consumer=CONSUMERS, count=COUNTS)
    def fetch_new(self, consumer: str, count: int) -> None:
        if not self.group:
            return self.expect_missing(self.sources[consumer].fetch_new(count, 0))
        fetched = self.run(self.sources[consumer].fetch_new(count, 0))
        there = [number for number in self.unread if number in self.stream]
        expected, lost = there[:count], len(self.unread) - len(there)
        assert [number_of(entry.id) for entry in fetched.entries] == expected
        assert all(entry.fields == content(number_of(entry.id)) for entry in fetched.entries)
        if not expected or not lost:
            assert fetched.lost is None
        elif self.looks.get(consumer, True):
            assert fetched.lost is not None
        if fetched.lost is not None:
            assert fetched.lost.count == lost
            assert number_of(fetched.lost.last_id) == expected[0]
            assert number_of(fetched.lost.first_id) < self.unread[0]
        self.hand_out(fetched.entries)
        if expected:
            self.unread = there[count:]
        self.pending |= dict.fromkeys(expected, consumer)
        # After a read that was not full a source may take it that it reads at the tail.
        self.looks[consumer] = len(expected) == count
        return None

    @rule(consumer=CONSUMERS, count=COUNTS, after=st.integers(0, 10))
    def fetch_own(self, consumer: str, count: int, after: int) -> None:
        if not self.group:
            return self.expect_missing(self.sources[consumer].fetch_own("0", count))
        entries = self.run(self.sources[consumer].fetch_own(id_of(after), count))
        mine = sorted(n for n, who in self.pending.items() if who == consumer and n > after)
        assert [number_of(entry.id) for entry in entries] == mine[:count]
        self.hand_out(entries)
        for entry in entries:
            number = number_of(entry.id)
            assert entry.fields == (content(number) if number in self.stream else None)
        return None

    @rule(consumer=CONSUMERS, count=COUNTS)
    def claim(self, consumer: str, count: int) -> None:
        if not self.group:
            return self.expect_missing(self.sources[consumer].claim("0-0", 0, count))
        cursor, found, lost = "0-0", [], []
        for _ in range(len(self.pending) + 1):
            claimed = self.run(self.sources[consumer].claim(cursor, 0, count))
            assert len(claimed.entries) <= count
            self.hand_out(claimed.entries)
            found += [number_of(entry.id) for entry in claimed.entries]
            lost += [number_of(entry_id) for entry_id in claimed.lost_ids]
            cursor = claimed.cursor
            if cursor == "0-0":
                break
        assert cursor == "0-0"
        assert found == sorted(n for n in self.pending if n in self.stream)
        assert lost == sorted(n for n in self.pending if n not in self.stream)
        self.pending = dict.fromkeys(found, consumer)
        return None

    @rule(consumer=CONSUMERS, numbers=st.lists(st.integers(1, 30), max_size=6, unique=True))
    def acknowledge(self, consumer: str, numbers: list[int]) -> None:
        done = self.run(self.sources[consumer].acknowledge([id_of(n) for n in numbers]))
        assert done == len([n for n in numbers if self.pending.pop(n, None)])

    @precondition(lambda self: self.group)
    @rule()
    def destroy_group(self) -> None:
        self.do_destroy()
        self.group, self.unread, self.pending, self.times = False, [], {}, Counter()

    @rule(consumer=CONSUMERS)
    def live_again(self, consumer: str) -> None:
        """A new process under the same name."""
        self.run(self.sources[consumer].aclose())
        self.sources[consumer] = self.connect(consumer)
        self.looks[consumer] = True

    @invariant()
    def nothing_is_both_unread_and_pending(self) -> None:
        assert not set(self.unread) & set(self.pending)

    def hand_out(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.times[number_of(entry.id)] += entry.fields is not None
            assert entry.deliveries == self.times[number_of(entry.id)]

    def expect_missing(self, call: Coroutine[Any, Any, Any]) -> None:
        with pytest.raises(Unavailable) as caught:
            self.run(call)
        assert caught.value.reason == "group-missing"

    def teardown(self) -> None:
        for source in self.sources.values():
            self.run(source.aclose())
        self.runner.close()


def id_of(number: int) -> str:
    return f"{number}-1"


def number_of(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])


def content(number: int) -> dict[bytes, bytes]:
    return {b"n": str(number).encode()}


class MemoryMachine(StreamSourceMachine):
    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryStream(SystemClock())

    def connect(self, consumer: str) -> StreamSource:
        return MemoryStreamSource(self.memory, group=GROUP, consumer=consumer)

    def do_add(self, number: int) -> None:
        self.memory.add(content(number), id_of(number))

    def do_trim(self, maxlen: int) -> None:
        self.memory.trim(maxlen)

    def do_destroy(self) -> None:
        self.memory.destroy_group(GROUP)


def test_memory():
    run_state_machine_as_test(
        MemoryMachine, settings=settings(max_examples=300, stateful_step_count=50)
    )


def test_redis(redis_url, stream_name):
    examples = itertools.count()

    class RedisMachine(StreamSourceMachine):
        def __init__(self) -> None:
            super().__init__()
            self.name = f"{stream_name}-{next(examples)}"
            self.client = Redis.from_url(redis_url, protocol=2)

        def connect(self, consumer: str) -> StreamSource:
            return RedisStreamSource(
                redis_url, stream=self.name, group=GROUP, consumer=consumer, wait_ms=100
            )

        def do_add(self, number: int) -> None:
            self.run(self.client.xadd(self.name, content(number), id=id_of(number)))

        def do_trim(self, maxlen: int) -> None:
            self.run(self.client.xtrim(self.name, maxlen=maxlen, approximate=False))

        def do_destroy(self) -> None:
            self.run(self.client.xgroup_destroy(self.name, GROUP))

        def teardown(self) -> None:
            self.run(self.client.delete(self.name))
            self.run(self.client.aclose())
            super().teardown()

    run_state_machine_as_test(
        RedisMachine, settings=settings(max_examples=40, stateful_step_count=40)
    )
