"""Browsers that mean harm, beside one that does not: it notices nothing, and they are gone soon.

The loop must not be held up by any of them: `pulse` counts the seconds that the loop's thread works
from one turn to the next.
"""

import asyncio
import contextlib
import gc
import logging
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from processor.adapters.websocket.protocol import ENOUGH_WAITS, FrontDoor, LiveProtocol
from processor.adapters.websocket.server import OVER_THE_RATE_S
from processor.adapters.websocket.transport import BrowserLine
from processor.core.live.outbox import Outbox

pytestmark = pytest.mark.slow  # half of them wait for something to be given up

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

HELD_UP_S = 0.05
"""The most that the loop may be held up."""

LATE_S = 2.0
"""How late a good browser may be told: on an idle machine it is a millisecond."""


@pytest.fixture(autouse=True)
def no_library_complains(caplog: pytest.LogCaptureFixture) -> Any:
    """Nothing that a client does is an error of ours."""
    yield
    records = caplog.get_records("call") + caplog.get_records("teardown")
    assert [each.getMessage() for each in records if each.levelno >= logging.ERROR] == []


class Good:
    """A browser that reads all it is sent, while `device` moves every few milliseconds."""

    def __init__(self, house: Any, browser: Any, device: int) -> None:
        self._house, self._browser, self._device = house, browser, device
        self.sent: list[int] = []
        self.got: list[int] = []
        self.late_s = 0.0
        self._at_s: dict[int, float] = {}
        self._tasks = [asyncio.create_task(each) for each in (self._drive(), self._read())]

    async def _drive(self) -> None:
        while True:
            second = len(self.sent) + 1
            self._at_s[second] = time.monotonic()
            self.sent.append(second)
            self._house.move(self._device, second)
            await asyncio.sleep(0.005)

    async def _read(self) -> None:
        while True:
            told = await self._browser.told()
            if told["deviceId"] == f"d{self._device}":
                second = told["ts"] // 1000 - 1_780_819_200
                self.got.append(second)
                self.late_s = max(self.late_s, time.monotonic() - self._at_s[second])

    async def noticed_nothing(self) -> None:
        driving, reading = self._tasks
        driving.cancel()
        await self._house.until(lambda: self.got == self.sent or reading.done(), "all has come")
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        assert self.got == self.sent
        assert len(self.sent) > 1
        assert self.late_s < LATE_S


@pytest.fixture
async def good() -> AsyncIterator[Callable[..., Any]]:
    """`await good(house)`: somebody who watches beside; the device of the highest number is his."""
    found: list[Good] = []

    async def watch(house: Any, devices: int = 1) -> Good:
        house.devices(devices)
        browser = await house.watch(cookie=house.user("friend"))
        found.append(each := Good(house, browser, devices - 1))
        return each

    yield watch
    for each in found:
        for task in each._tasks:
            task.cancel()


def line_of(house: Any, user: str = "driver") -> BrowserLine:
    (line,) = (each.line for each in house.clients.connected() if each.user_id == user)
    return line


async def crowd(house: Any, line: BrowserLine, *, devices: int, pad: int = 0) -> None:
    """Devices move, turn by turn, until the line is closed."""
    second = 0
    deadline_s = time.monotonic() + 20
    while not line.closed:
        assert time.monotonic() < deadline_s, "it should have been closed"
        second += 1
        for device in range(devices):
            house.move(device, second, pad=pad)
        await asyncio.sleep(0)


class WatchedOutbox(Outbox):
    """An Outbox that remembers how big it was."""

    biggest = 0

    def put(self, text: bytes, key: Any = None) -> None:
        super().put(text, key)
        self.biggest = max(self.biggest, self.size)


# -- who does not read -----------------------------------------------------------------------------


async def test_whoever_never_reads_is_closed_as_stalled(live, good, pulse) -> None:
    house = await live(LIVE_WS_STALL_TIMEOUT_MS="300", times={"goodbye_s": 0.2})
    friend = await good(house, devices=6)
    deaf = await house.watch(receives=4096)
    line = line_of(house)
    await crowd(house, line, devices=5)
    assert line._outbox.size == 0, "what is kept for the gone is let go"
    assert line.transport.get_write_buffer_size() < ENOUGH_WAITS + 1_000
    await house.until(lambda: house.codes == [4499], "it is gone")
    await house.until(lambda: len(house.state.connections) == 1, "its transport is cut")
    await friend.noticed_nothing()
    assert pulse.longest_s < HELD_UP_S
    assert await deaf.at_end()


async def test_what_waits_for_whoever_does_not_read_is_bounded(live, good, pulse) -> None:
    most = 20_000
    house = await live(
        LIVE_WS_BACKPRESSURE_THRESHOLD_BYTES=str(most),
        LIVE_WS_STALL_TIMEOUT_MS="600000",
        times={"goodbye_s": 0.2},
    )
    friend = await good(house, devices=301)
    deaf = await house.watch(receives=4096)
    line = line_of(house)
    line._outbox = outbox = WatchedOutbox()
    await crowd(house, line, devices=300)
    assert most < outbox.biggest < most + 1_000
    await house.until(lambda: house.codes == [4499], "it is gone")
    await house.until(lambda: len(house.state.connections) == 1, "its transport is cut")
    await friend.noticed_nothing()
    assert pulse.longest_s < HELD_UP_S
    assert await deaf.at_end()


async def test_whoever_begins_to_read_is_told_why_it_was_closed(live) -> None:
    house = await live(LIVE_WS_STALL_TIMEOUT_MS="100", times={"goodbye_s": 20})
    house.devices(5)
    deaf = await house.watch(receives=4096)
    await crowd(house, line_of(house), devices=5)
    assert await deaf.goodbye() == 4499
    assert not deaf.was_reset


async def test_a_slow_reader_stays_and_gets_the_newest_of_each_in_order(live, good) -> None:
    """It takes less in a stall's time than the kernel gives back to a sender at once."""
    devices, stall_s = 50, 0.25
    house = await live(LIVE_WS_STALL_TIMEOUT_MS=str(int(stall_s * 1000)))
    friend = await good(house, devices=devices + 1)
    slow = await house.watch(receives=2048)
    line = line_of(house)
    second = 0
    panics: dict[int, int] = {}
    until_s = time.monotonic() + 6 * stall_s
    while time.monotonic() < until_s or line.clear:
        second += 1
        for device in range(devices):
            panic = second % 40 == device
            if panic:
                panics[device] = second
            house.move(device, second, panic=panic)
        await slow.read_some(512)
        await asyncio.sleep(0.002)
        assert not line.closed, "it reads"
    assert line.conflated > 0, "it was slower than what moves"

    await slow.send(PING, b"the end")  # not answered: there is no room
    seen: dict[str, list[int]] = defaultdict(list)
    done = {f"d{device}" for device in range(devices)}
    while done:
        told = await slow.told()
        seen[told["deviceId"]].append(told["ts"] // 1000 - 1_780_819_200)
        if seen[told["deviceId"]][-1] == second:
            done.discard(told["deviceId"])
    for seconds in seen.values():
        assert seconds == sorted(set(seconds)), "each is newer than the one before"
    for device, newest in panics.items():
        assert newest in seen[f"d{device}"], "a panic is replaced by a newer one only"
    await house.until(lambda: line.clear, "there is room again")
    house.move(0, second + 1)
    while (await slow.told())["ts"] // 1000 - 1_780_819_200 != second + 1:
        pass
    await friend.noticed_nothing()


# -- floods ----------------------------------------------------------------------------------------


def flooding(browser: Any, kind: str) -> bytes:
    """A few hundred kilobytes of it."""
    frame = browser.frame
    small, subscribe = frame(TEXT, b"{}"), b'{"type":"subscribe","topic":"x"}'
    return {
        "bad messages": small * 20_000,
        "messages": frame(TEXT, subscribe) * 5_000,
        "binary messages": frame(BINARY, b"") * 30_000,
        "pings": frame(PING) * 50_000,
        "long pings": frame(PING, b"x" * 125) * 2_000,
        "pongs": frame(PONG) * 50_000,
        "pieces": frame(TEXT, b"{", fin=False) + frame(CONT, b" ", fin=False) * 40_000,
        "empty pieces": frame(TEXT, fin=False) + frame(CONT, fin=False) * 50_000,
        "messages in pieces": (frame(TEXT, b"{", fin=False) + frame(CONT, b"}")) * 20_000,
        "endless goodbyes": frame(CLOSE) * 50_000,
        "what is no frame": b"\x81\x00" * 100_000,
        "too long": frame(TEXT, b"x" * 300_000),
    }[kind]


FLOODS = {
    "bad messages": {4400},
    "messages": {4429},
    "binary messages": {1003},
    "pings": {4429},
    "long pings": {4429},
    "pongs": {4429},
    "pieces": {4429},
    "empty pieces": {4429},
    "messages in pieces": {4429, 4400},
    "endless goodbyes": {1005},
    "what is no frame": {1002},
    "too long": {1009},
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_ends_its_connection_and_holds_up_nobody(
    live, good, pulse, flood, kind
) -> None:
    house = await live(
        LIVE_WS_MESSAGE_RATE="1", LIVE_WS_MESSAGE_BURST="1", times={"goodbye_s": 0.3}
    )
    friend = await good(house)
    floods = []
    for _ in range(3):
        browser = await house.connect()
        await house.until(lambda: len(house.clients) > 1, "it is connected")
        floods.append(flood(browser.link, flooding(browser, kind)))
    flying = asyncio.create_task(time_flies(house))  # it is told once a second, ten times
    await house.until(lambda: len(house.codes) == 3, "the floods are over")
    for each in floods:
        await each.over()
    flying.cancel()
    assert set(house.codes) <= FLOODS[kind]
    await house.until(lambda: len(house.state.connections) == 1, "their transports are cut")
    await friend.noticed_nothing()
    assert pulse.longest_s < HELD_UP_S


async def time_flies(house: Any) -> None:
    while True:
        house.clock.forward(0.25)
        await asyncio.sleep(0.005)


async def test_a_flood_of_messages_is_read_no_faster_than_it_may_be_sent(live, flood) -> None:
    house = await live(LIVE_WS_MESSAGE_RATE="1", LIVE_WS_MESSAGE_BURST="1")
    browser = await house.connect()
    began_s = house.clock.elapsed()
    one = browser.frame(TEXT, b'{"type":"subscribe","topic":"x"}')
    pouring = flood(browser.link, one * 1_000)
    await house.until(lambda: house.clock.elapsed() - began_s > 0.5, "half a second")
    assert 0 < house.clock.sleeps <= (house.clock.elapsed() - began_s) / OVER_THE_RATE_S + 1
    queued = [each.queue.qsize() for each in house.state.connections]
    assert all(size < 4096 / len(one) + 2 for size in queued), "the rest waits in its machine"
    await pouring.stop()


async def test_a_flood_of_handshakes_leaves_nothing_behind(live, good, pulse) -> None:
    house = await live(LIVE_WS_MAX_CONNECTIONS_PER_USER="3")
    friend = await good(house)
    cookies = ["session=good", "session=forged", "", "session=good"]
    statuses = set()
    for _ in range(25):
        calls = [house.ask(cookie=cookie) for cookie in cookies]
        statuses |= {answer.status for answer in await asyncio.gather(*calls)}
        for browser in house.browsers[1:]:
            browser.hang_up()
        del house.browsers[1:]
    assert statuses <= {101, 401, 429}
    await house.until(lambda: house.places == (1, 0), "only the good one has a place")
    await friend.noticed_nothing()
    assert pulse.longest_s < HELD_UP_S


# -- who only holds a place ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [b"", b"G", b"GET /ws-live HTTP/1.1\r\nHost: x\r\n"],
    ids=["nothing", "a letter", "half a head"],
)
@pytest.mark.parametrize("before", [0, 2])
async def test_whoever_does_not_finish_a_request_is_cut(live, said, before) -> None:
    house = await live(times={"head_s": 0.2, "visit_s": 0.2 if before and not said else 60})
    browser = await house.call()
    for _ in range(before):
        assert (await browser.ask(path="/", Upgrade=None)).status == 404
    await browser.write(said)
    assert await browser.at_end()
    await house.until_empty()


async def test_a_head_has_its_time_however_often_a_byte_of_it_comes(live) -> None:
    house = await live(times={"head_s": 0.3})
    browser = await house.call()
    with contextlib.suppress(ConnectionError):
        while True:
            await browser.write(b"x")
            await asyncio.sleep(0.02)
    await house.until_empty()


async def test_a_head_in_time_is_served_for_longer_than_a_head_may_take(live) -> None:
    house = await live(times={"head_s": 0.1, "visit_s": 0.1})
    house.verifier.go_on.clear()
    browser = await house.call()
    await browser.write(browser.request())
    await house.until(lambda: house.places == (0, 1), "asking")
    await asyncio.sleep(0.3)
    house.verifier.go_on.set()
    assert (await browser.answer()).status == 101
    await browser.send(PING)
    assert (await browser.hear()).opcode == PONG


async def test_between_two_requests_there_is_more_time_than_for_a_head(live) -> None:
    house = await live(times={"head_s": 0.1})
    browser = await house.call()
    for _ in range(3):
        assert (await browser.ask(path="/", Upgrade=None)).status == 404
        await asyncio.sleep(0.25)
    assert (await browser.ask()).status == 101


async def test_a_visit_by_http_ends_whether_it_reads_or_not(live) -> None:
    async def much(request: Request) -> PlainTextResponse:
        return PlainTextResponse(b"x" * 8_000_000)

    house = await live(times={"visit_s": 0.4}, routes=[Route("/", much)])
    deaf = await house.call(receives=4096)
    await deaf.write(deaf.request(path="/", Upgrade=None))
    await house.until_empty()
    with contextlib.suppress(ConnectionError):
        assert await deaf.at_end()


async def test_where_the_house_is_full_the_longest_silent_makes_room_for_whoever_speaks(
    live,
) -> None:
    house = await live(LIVE_WS_MAX_CONNECTIONS="1")  # and a hundred passers-by
    first = await house.connect()
    silent = [await house.call() for _ in range(100)]
    await house.until(lambda: len(house.state.connections) == 101, "the house is full")
    late = [await house.call() for _ in range(5)]
    for each in silent[:5]:
        assert await each.at_end()
    assert (await house.ask(cookie=None)).status == 401
    await first.send(PING, b"mine")
    assert (await first.hear()).payload == b"mine"
    assert len(house.state.connections) <= 101
    assert len(late) == 5


@pytest.mark.parametrize("then", ["nothing", "messages", "half a frame", "half closed"])
async def test_whoever_does_not_answer_our_goodbye_is_cut(live, then) -> None:
    house = await live(times={"goodbye_s": 0.2})
    browser = await house.connect()
    (client,) = house.clients.connected()
    client.line.close(4401, "the session has ended")
    await house.until(lambda: not len(house.clients), "it is none of ours any more")
    assert house.places == (0, 0)
    if then == "messages":
        await browser.write(browser.frame(TEXT, b"{}") * 10)
    elif then == "half a frame":
        await browser.write(b"\x88")
    elif then == "half closed":
        browser.link.shutdown(socket.SHUT_WR)
    await house.until_empty()
    assert await browser.sent_away() == 4401
    assert house.codes == [4401]


async def test_half_a_connection_is_none(live) -> None:
    house = await live()
    browser = await house.watch()
    browser.link.shutdown(socket.SHUT_WR)
    await house.until_empty()
    assert await browser.at_end()


@pytest.mark.parametrize("how", ["half closed", "goodbye", "half closed in the handshake"])
async def test_whoever_leaves_without_reading_is_cut(live, how) -> None:
    house = await live(times={"goodbye_s": 0.2}, LIVE_WS_STALL_TIMEOUT_MS="600000")
    house.devices(1)
    if how == "half closed in the handshake":
        house.verifier.go_on.clear()
        browser = await house.call()
        await browser.write(browser.request())
        await house.until(lambda: house.places == (0, 1), "asking")
        browser.link.shutdown(socket.SHUT_WR)
        await house.until(lambda: not house.state.connections, "it is gone")
        house.verifier.go_on.set()
    else:
        browser = await house.watch(receives=4096)
        line, second = line_of(house), 0
        while line.clear:
            house.move(0, second := second + 1)
        if how == "half closed":
            browser.link.shutdown(socket.SHUT_WR)
        else:
            await browser.close()
    await house.until_empty()


@pytest.mark.parametrize("reads", [True, False])
async def test_a_connection_that_breaks_while_it_is_sent_to_ends_quietly(
    live, caplog, reads
) -> None:
    house = await live()
    house.devices(1)
    for _ in range(5):
        browser = await house.watch(receives=4096)
        line, second = line_of(house), 0
        while line.clear and not reads:
            house.move(0, second := second + 1)
        browser.hang_up(reset=True)
        for _ in range(200):
            house.move(0, second := second + 1)
        await house.until_empty()
    assert [record.getMessage() for record in caplog.records] == []


# -- nothing is left -------------------------------------------------------------------------------


def alive(kind: type) -> int:
    return sum(isinstance(each, kind) for each in gc.get_objects())


async def test_after_two_hundred_visits_nothing_is_left(live) -> None:
    house = await live(LIVE_WS_MAX_CONNECTIONS_PER_USER="100")
    house.devices(1)
    loop = asyncio.get_running_loop()
    await house.watch()
    house.browsers.pop().hang_up()
    await house.until_empty()
    tasks = len(asyncio.all_tasks())

    async def visit(number: int) -> None:
        browser = await house.watch()
        how = number % 5
        if how == 0:
            await browser.close()
            assert await browser.at_end()
        elif how == 1:
            browser.link.shutdown(socket.SHUT_WR)
            assert await browser.at_end()
        elif how == 2:
            await browser.write(b"\xff\xff")
            assert await browser.goodbye() == 1002
        elif how == 3:
            await browser.send(BINARY)
            assert await browser.goodbye() == 1003
        browser.hang_up(reset=how == 4)
        house.browsers.remove(browser)

    for first in range(0, 200, 20):
        await asyncio.gather(*(visit(first + n) for n in range(20)))
        house.move(0, first + 1)
    await house.until_empty()
    assert len(house.codes) == 201
    assert len(asyncio.all_tasks()) == tasks
    timers = [each for each in loop._scheduled if not each.cancelled()]
    assert len(timers) < 10, timers
    gc.collect()
    assert (alive(FrontDoor), alive(LiveProtocol)) == (0, 0)
