"""The contract of Backlog (core/ports, BacklogMeasured), in memory and on Redis."""

import pytest

from processor.core.errors import Reason, Rejected
from processor.core.model import Entry
from processor.core.notices import BacklogMeasured
from processor.core.ports import DeadLetter

T0_S = 1_700_000_000
"""When the first entry came; entry n came n seconds later."""

NOTHING = BacklogMeasured(
    lag=0, lag_s=0.0, pending=0, dead_letters=0, last_entry_age_s=None, headroom_s=None
)


async def fill(server, start: int, stop: int) -> None:
    for n in range(start, stop):
        await server.add({b"k": b"v"}, f"{(T0_S + n) * 1000}-0")


def at(server, second: int):
    server.clock.now_ms = (T0_S + second) * 1000
    return server.backlog()


async def opened(server, consumer="a"):
    source = server.source(consumer)
    await source.open()
    return source


async def test_a_stream_that_does_not_exist_has_no_lag(server):
    assert await server.backlog().measure() == NOTHING


async def test_a_stream_without_an_entry_never_had_one(server):
    await opened(server)
    assert await server.backlog().measure() == NOTHING


async def test_a_group_that_does_not_exist_has_no_lag(server):
    await fill(server, 0, 5)
    measured = await at(server, 10).measure()
    assert (measured.lag, measured.lag_s, measured.pending) == (0, 0.0, 0)
    assert measured.last_entry_age_s == 6.0


async def test_lag_counts_what_no_consumer_has_had(server):
    await fill(server, 0, 10)
    source = await opened(server)
    backlog = at(server, 12)
    measured = await backlog.measure()
    assert (measured.lag, measured.lag_s, measured.pending) == (10, 12.0, 0)
    await source.fetch_new(4, 0)
    measured = await backlog.measure()
    assert (measured.lag, measured.lag_s, measured.pending) == (6, 8.0, 4)
    await source.fetch_new(10, 0)
    measured = await backlog.measure()
    assert (measured.lag, measured.lag_s, measured.pending) == (0, 0.0, 10)


async def test_pending_is_what_was_not_acknowledged_by_any_consumer(server):
    await fill(server, 0, 10)
    one, other = await opened(server), await opened(server, "b")
    entries = (await one.fetch_new(3, 0)).entries
    await other.fetch_new(3, 0)
    await one.acknowledge([entry.id for entry in entries[:2]])
    assert (await at(server, 10).measure()).pending == 4


async def test_measuring_changes_nothing(server):
    await fill(server, 0, 5)
    source = await opened(server)
    backlog = at(server, 10)
    assert await backlog.measure() == await backlog.measure()
    assert len((await source.fetch_new(10, 0)).entries) == 5


async def test_what_was_trimmed_is_no_lag(server):
    await fill(server, 0, 20)
    source = await opened(server)
    await source.fetch_new(5, 0)
    await server.trim(8)  # the oldest left is 12
    measured = await at(server, 30).measure()
    assert (measured.lag, measured.lag_s) == (8, 18.0)
    await source.fetch_new(3, 0)
    measured = await at(server, 30).measure()
    assert (measured.lag, measured.lag_s) == (5, 15.0)


async def test_a_stream_trimmed_to_nothing_has_no_lag_and_had_an_entry(server):
    await fill(server, 0, 5)
    await opened(server)
    await server.trim(0)
    measured = await at(server, 10).measure()
    assert (measured.lag, measured.lag_s, measured.last_entry_age_s) == (0, 0.0, 6.0)


async def test_no_age_is_negative_where_the_servers_clock_is_ahead(server):
    await fill(server, 0, 5)
    await opened(server)
    measured = await at(server, -100).measure()
    assert (measured.lag, measured.lag_s, measured.last_entry_age_s) == (5, 0.0, 0.0)


async def test_dead_letters_are_counted(server):
    letter = DeadLetter(Entry("1-1", {b"k": b"v"}), Rejected(Reason.TOO_LARGE, "attributes"))
    await server.dead_letters().send([letter] * 3)
    assert (await server.backlog().measure()).dead_letters == 3


# --------------------------------------------------------------------------------------- headroom


async def test_headroom_is_how_long_trimming_needs_to_the_oldest_unread_entry(server):
    await fill(server, 0, 120)
    await server.trim(100)  # 20 .. 119 are left
    source = await opened(server)
    await source.fetch_new(60, 0)  # 80 .. 119 are not read: 40 in 40 s
    measured = await at(server, 120).measure()
    assert (measured.lag, measured.lag_s) == (40, 40.0)
    # 60 more entries push out what was read; one comes each second.
    assert measured.headroom_s == pytest.approx(60.0)


async def test_headroom_is_gone_when_trimming_has_come_to_the_group(server):
    await fill(server, 0, 50)
    await opened(server)
    await server.trim(10)
    assert (await at(server, 50).measure()).headroom_s == 0.0


async def test_headroom_is_not_known_at_the_tail(server):
    await fill(server, 0, 50)
    await server.trim(20)
    source = await opened(server)
    await source.fetch_new(19, 0)
    measured = await at(server, 49).measure()  # one is unread, and has just come
    assert (measured.lag, measured.headroom_s) == (1, None)
    await source.fetch_new(19, 0)
    assert (await at(server, 500).measure()).headroom_s is None


async def test_headroom_is_not_known_while_nothing_was_ever_trimmed(server):
    await fill(server, 0, 50)
    await opened(server)
    assert (await at(server, 100).measure()).headroom_s is None


# ----------------------------------------------------------------------------------- busy streams


async def test_busy_streams_are_the_others_that_had_an_entry_lately(server):
    await fill(server, 0, 5)  # ours is busy, too, and is not named
    busy = [
        await server.add_elsewhere("b", f"{(T0_S + 95) * 1000}-0"),
        await server.add_elsewhere("a", f"{(T0_S + 100) * 1000}-0"),
    ]
    await server.add_elsewhere("quiet", f"{(T0_S + 10) * 1000}-0")
    await server.add_elsewhere("b:dlq", f"{(T0_S + 99) * 1000}-0")
    assert await busy_streams(server, 100) == sorted(busy)
    assert await busy_streams(server, 10_000) == []


async def test_no_other_stream_is_no_error(server):
    await fill(server, 0, 5)
    assert await busy_streams(server, 5) == []


async def busy_streams(server, second: int) -> list[str]:
    """A server that was given to the suite may hold streams of others."""
    found = await at(server, second).busy_streams(30)
    return [name for name in found if server.knows(name)]
