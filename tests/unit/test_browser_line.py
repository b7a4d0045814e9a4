"""The sending side of one browser, below any protocol: frames, what waits, who stalls."""

import asyncio
import contextlib
import socket
from collections.abc import Hashable, Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from processor.adapters.memory.virtual_time import VirtualLoop
from processor.adapters.websocket.transport import (
    REASON_BYTES_MAX,
    BrowserLine,
    SlowRules,
    WebSocketBroadcaster,
    framed,
)
from processor.core.live.outbox import Outbox

ROOM = 100
MOST = 200
STALL_S = 5.0


# -- frames ----------------------------------------------------------------------------------------


@given(
    st.one_of(
        st.text(max_size=200),
        st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 70_000]).map(lambda size: "x" * size),
    )
)
def test_a_framed_text_is_what_the_websockets_library_makes_and_reads(text: str) -> None:
    data = text.encode()
    frame = framed(data)
    assert frame == Frame(Opcode.TEXT, data).serialize(mask=False)
    assert read(frame) == (Opcode.TEXT, data, True)


def read(frame: bytes) -> tuple[Opcode, bytes, bool]:
    """What the library's parser makes of it."""
    reader = StreamReader()
    reader.feed_data(frame)
    try:
        next(Frame.parse(reader.read_exact, mask=False))
    except StopIteration as done:
        found = done.value
        return found.opcode, bytes(found.data), found.fin
    raise AssertionError("there should be more")


# -- what waits ------------------------------------------------------------------------------------


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.sampled_from(["a", 1, 2, (1, 2), None]), st.binary(min_size=1, max_size=9)
            ),
            st.just("take"),
        )
    )
)
def test_an_outbox_is_a_queue_in_which_a_key_stands_once_where_its_newest_text_came(steps) -> None:
    outbox = Outbox()
    model: list[tuple[Hashable, bytes]] = []
    conflated = 0
    for step in steps:
        if step == "take":
            if model:
                assert outbox.take() == model.pop(0)[1]
            continue
        key, text = step
        if key is not None and (old := [each for each in model if each[0] == key]):
            model.remove(old[0])
            conflated += 1
        model.append((key, text))
        outbox.put(text, key)
        assert outbox.size == sum(len(text) for _, text in model)
        assert (len(outbox), outbox.conflated) == (len(model), conflated)
    assert [outbox.take() for _ in range(len(outbox))] == [text for _, text in model]
    assert outbox.size == 0


def test_a_cleared_outbox_is_empty_and_remembers_what_it_conflated() -> None:
    outbox = Outbox()
    outbox.put(b"1", "a")
    outbox.put(b"2", "a")
    outbox.put(b"3")
    outbox.clear()
    assert (len(outbox), outbox.size, outbox.conflated) == (0, 0, 1)


# -- a line ----------------------------------------------------------------------------------------


class Pipe(asyncio.Transport):
    """A transport as asyncio's with a limit of 0: what the kernel has no room for (it has ROOM)
    waits, and while anything waits the line is paused. The socket beneath it is jammed, so that all
    that a line writes comes here."""

    def __init__(self) -> None:
        super().__init__()
        self.line: BrowserLine
        self.written: list[bytes] = []
        self.waits = self._in_kernel = 0
        self.socket, self._other = socket.socketpair()
        self.socket.setblocking(False)
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.socket.send(bytes(size))

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"socket": self.socket}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return self.waits

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.waits += len(data)
        self._let_in()
        if self.waits and self.line.clear:
            self.line.pause()

    def take(self, size: int) -> None:
        """The browser reads."""
        waited = self.waits
        self._in_kernel = max(0, self._in_kernel - size)
        self._let_in()
        if waited and not self.waits:
            self.line.resume()

    def close(self) -> None:
        self.socket.close()
        self._other.close()

    def _let_in(self) -> None:
        size = min(self.waits, ROOM - self._in_kernel)
        self.waits -= size
        self._in_kernel += size


class Bench:
    """A line on a Pipe, in virtual time."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(Random(1))
        self.pipe = Pipe()
        self.goodbyes: list[tuple[int, str]] = []
        self.line = self.loop.run_until_complete(self._made())
        self.pipe.line = self.line
        self._broadcaster = WebSocketBroadcaster()

    async def _made(self) -> BrowserLine:
        rules = SlowRules(MOST, STALL_S)
        return BrowserLine(self.pipe, rules, lambda *goodbye: self.goodbyes.append(goodbye))

    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def send(self, text: bytes, key: Hashable = None) -> None:
        self._broadcaster.broadcast(text, [self.line], key)

    def fill(self) -> None:
        """Until there is no room."""
        while self.line.clear:
            self.send(b"-" * 60)

    def close(self) -> None:
        self.loop.close()
        self.pipe.close()

    @property
    def texts(self) -> list[bytes]:
        """What was written and is no filling."""
        return [frame[2:] for frame in self.pipe.written if frame[2:3] != b"-"]

    @property
    def timers(self) -> int:
        return sum(not each.cancelled() for each in self.loop._scheduled)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with contextlib.closing(Bench()) as found:
        yield found


def test_what_is_sent_while_there_is_room_is_written_at_once(bench: Bench) -> None:
    bench.send(b"1", "a")
    bench.send(b"2", "a")
    assert (bench.texts, bench.line.clear, bench.line.conflated) == ([b"1", b"2"], True, 0)


def test_what_is_sent_without_room_waits_and_goes_when_there_is_room(bench: Bench) -> None:
    bench.fill()
    bench.send(b"1", "a")
    bench.send(b"2", "b")
    bench.send(b"3", "a")
    assert bench.texts == []
    bench.pipe.take(bench.pipe.waits - 1)
    assert bench.texts == [], "a byte of the old is still there"
    bench.pipe.take(1)
    assert bench.texts == [b"2"], "and now of the new"
    bench.pipe.take(ROOM)
    assert (bench.texts, bench.line.clear, bench.line.conflated) == ([b"2", b"3"], True, 1)


def test_what_waited_may_fill_it_again_and_the_rest_waits_on(bench: Bench) -> None:
    bench.fill()
    for n in range(11):
        bench.send(b"%2d" % n + b"." * 14)
    bench.pipe.take(ROOM)
    assert 0 < len(bench.texts) < 11
    assert not bench.line.clear
    bench.send(b"11")
    while not bench.line.clear:
        bench.pipe.take(1)
    assert [int(text[:2]) for text in bench.texts] == list(range(12))


def test_a_goodbye_comes_after_what_waited(bench: Bench) -> None:
    bench.fill()
    bench.send(b"1")
    bench.line.close(1012, "restarting")
    assert (bench.texts, bench.goodbyes) == ([b"1"], [(1012, "restarting")])
    bench.send(b"2")
    bench.pipe.take(1_000)
    assert bench.texts == [b"1"], "and nothing after it"
    assert (bench.line.clear, bench.line.closed) == (False, True)


def test_a_goodbye_to_who_is_too_slow_comes_at_once(bench: Bench) -> None:
    bench.fill()
    bench.send(b"1")
    bench.line.close(4499, "too slow")
    assert (bench.texts, bench.goodbyes) == ([], [(4499, "too slow")])


def test_a_line_is_closed_once(bench: Bench) -> None:
    bench.line.close(4401, "first")
    bench.line.close(1012, "second")
    bench.line.gone()
    bench.line.close(1012, "third")
    assert bench.goodbyes == [(4401, "first")]


def test_who_is_gone_is_told_nothing(bench: Bench) -> None:
    bench.fill()
    bench.send(b"1")
    bench.line.gone()
    bench.line.close(1012, "restarting")
    bench.pipe.take(1_000)
    bench.send(b"2")
    bench.wait(10 * STALL_S)
    assert (bench.texts, bench.goodbyes, bench.line.clear) == ([], [], False)


def test_more_than_is_kept_closes(bench: Bench) -> None:
    bench.fill()
    bench.send(b"x" * 98)  # and two bytes of head
    bench.send(b"x" * 98)
    assert bench.goodbyes == []
    bench.send(b"")
    assert [code for code, _ in bench.goodbyes] == [4499]


def test_the_same_key_again_and_again_is_never_too_much(bench: Bench) -> None:
    bench.fill()
    for n in range(1_000):
        bench.send(b"%4d" % n + b"x" * 50, "a")
    assert (bench.goodbyes, bench.line.conflated) == ([], 999)


def test_who_reads_nothing_for_a_while_has_stalled(bench: Bench) -> None:
    bench.fill()
    bench.wait(STALL_S - 0.1)
    assert bench.goodbyes == []
    bench.wait(0.2)
    assert [code for code, _ in bench.goodbyes] == [4499]


def test_who_reads_a_byte_in_time_has_not_stalled(bench: Bench) -> None:
    bench.fill()
    for _ in range(bench.pipe.waits - 1):
        bench.wait(STALL_S - 0.1)
        bench.pipe.take(1)
    assert bench.goodbyes == []
    bench.wait(2 * STALL_S)
    assert [code for code, _ in bench.goodbyes] == [4499]


def test_a_byte_that_the_kernel_is_rid_of_is_read_though_nothing_more_went_to_it(
    bench: Bench,
) -> None:
    bench.fill()
    waited = bench.pipe.waits
    for _ in range(3):
        bench.wait(STALL_S - 0.1)
        bench.pipe._other.recv(40_000)
    assert (bench.goodbyes, bench.pipe.waits) == ([], waited)
    bench.wait(2 * STALL_S)
    assert [code for code, _ in bench.goodbyes] == [4499]


def test_room_ends_the_watch_and_no_room_begins_another(bench: Bench) -> None:
    bench.fill()
    bench.wait(STALL_S - 0.1)
    bench.pipe.take(1_000)
    bench.wait(10 * STALL_S)
    assert bench.goodbyes == []
    bench.fill()
    bench.wait(STALL_S - 0.1)
    assert bench.goodbyes == []
    bench.wait(0.2)
    assert [code for code, _ in bench.goodbyes] == [4499]


@pytest.mark.parametrize("waits", [0, ROOM])
def test_nothing_watches_who_was_told_goodbye(bench: Bench, waits: int) -> None:
    bench.fill()
    bench.send(b"x" * waits)  # which fills it again in the middle of the goodbye
    bench.line.close(1012, "restarting")
    bench.wait(10 * STALL_S)
    assert (bench.goodbyes, bench.timers) == ([(1012, "restarting")], 0)


@given(st.text(max_size=300))
def test_a_reason_is_cut_to_what_a_close_frame_holds(reason: str) -> None:
    with contextlib.closing(Bench()) as bench:
        bench.line.close(4400, reason)
        ((_, told),) = bench.goodbyes
    assert reason.startswith(told)
    assert len(told.encode()) <= REASON_BYTES_MAX
    assert told == reason or len(told.encode()) > REASON_BYTES_MAX - 4


class LineMachine(RuleBasedStateMachine):
    """Devices move, the browser reads as it likes, and somebody may hang up."""

    @initialize()
    def begin(self) -> None:
        self.bench = Bench()
        self.count = 0
        self.unkeyed: list[int] = []
        self.newest: dict[str, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.close()

    def _next(self) -> bytes:
        self.count += 1
        return b"%d:" % self.count

    @precondition(lambda self: not self.bench.goodbyes)
    @rule(key=st.sampled_from("abc"), size=st.integers(0, 30))
    def move(self, key: str, size: int) -> None:
        self.bench.send(self._next() + key.encode() + b"x" * size, key)
        self.newest[key] = self.count

    @precondition(lambda self: not self.bench.goodbyes)
    @rule(size=st.integers(0, 30))
    def answer(self, size: int) -> None:
        self.bench.send(self._next() + b"!" + b"x" * size)
        self.unkeyed.append(self.count)

    @rule(size=st.integers(1, 200))
    def read(self, size: int) -> None:
        self.bench.pipe.take(size)

    @rule(part=st.floats(0.1, 0.9))
    def wait(self, part: float) -> None:
        self.bench.wait(part * STALL_S)
        self.bench.pipe.take(1)

    @rule()
    def hang_up(self) -> None:
        self.bench.line.close(1012, "restarting")

    @precondition(lambda self: self.bench.goodbyes)
    @rule(key=st.sampled_from(["a", None]))
    def send_in_vain(self, key: Hashable) -> None:
        before = len(self.bench.pipe.written)
        self.bench.send(b"0:too late", key)
        assert len(self.bench.pipe.written) == before

    @invariant()
    def what_is_written_is_in_order_and_complete(self) -> None:
        if not hasattr(self, "bench"):
            return
        texts, line, goodbyes = self.bench.texts, self.bench.line, self.bench.goodbyes
        numbers = [int(text.partition(b":")[0]) for text in texts]
        assert numbers == sorted(set(numbers))
        answers = [number for number, text in zip(numbers, texts, strict=True) if b":!" in text]
        assert answers == self.unkeyed[: len(answers)], "none is missing in between"
        if line.clear or (1012, "restarting") in goodbyes:
            assert answers == self.unkeyed
            assert set(self.newest.values()) <= set(numbers)
        assert line.closed == bool(goodbyes)
        assert len(goodbyes) <= 1
        assert line._outbox.size <= MOST
        if not line.closed:
            assert line.clear == (not self.bench.pipe.waits)


TestLine = LineMachine.TestCase
