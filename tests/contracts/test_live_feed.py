"""The contract of LiveFeed (core/ports), sentence by sentence, in memory and on Redis."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from processor.core.errors import Unavailable
from processor.core.model import Entry
from processor.core.ports import FeedStart

FIELDS = {b"ts": b"2026-11-23T10:00:00.000Z", b"payload": b'{"\xff":1}\r\n\x00'}
SEQUENCE_MAX = 2**64 - 1


def ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.id for entry in entries]


async def fill(server, count: int, start: int = 1) -> list[str]:
    return [await server.add(FIELDS, f"{n}-1") for n in range(start, start + count)]


async def ingesting(server, consumer="a"):
    source = server.source(consumer)
    await source.open()
    return source


async def opened(server, after_id="0-0", instance_id="host-1"):
    feed = server.feed(instance_id)
    await feed.open(after_id)
    return feed


async def rest(feed) -> list[str]:
    """All that is left to read."""
    found = []
    while entries := await feed.fetch(100, 0):
        found += ids(entries)
    return found


# ---------------------------------------------------------------------------- open, where to begin


async def test_without_a_stream_it_begins_before_the_first_of_all(server):
    feed = server.feed()
    assert await feed.open(None) == FeedStart("0-0", "0-0")
    added = await fill(server, 2)
    assert await rest(feed) == added


async def test_without_the_group_of_ingest_it_begins_before_the_first_of_all(server):
    added = await fill(server, 3)
    feed = server.feed()
    assert await feed.open(None) == FeedStart("0-0", "3-1")
    assert await rest(feed) == added


async def test_what_ingest_has_not_read_is_not_durable(server):
    added = await fill(server, 5)
    source = await ingesting(server)
    feed = server.feed()
    assert await feed.open(None) == FeedStart("0-0", "5-1")
    await source.acknowledge(ids((await source.fetch_new(2, 0)).entries))
    assert await feed.open(None) == FeedStart("2-1", "5-1")
    assert await rest(feed) == added[2:]


async def test_it_begins_before_the_oldest_entry_that_ingest_has_pending(server):
    added = await fill(server, 8)
    one, other = await ingesting(server), await ingesting(server, "b")
    await one.fetch_new(3, 0)
    await other.fetch_new(3, 0)
    await one.acknowledge([added[0], added[2], added[4]])
    feed = server.feed()
    assert await feed.open(None) == FeedStart("2-0", "8-1")
    assert await rest(feed) == added[1:]
    await one.acknowledge([added[1]])
    assert (await feed.open(None)).after_id == "4-0"
    await one.acknowledge(added[3:6])
    assert (await feed.open(None)).after_id == "6-1"
    assert await rest(feed) == added[6:]


@pytest.mark.parametrize(
    ("pending_id", "after_id"),
    [("7-0", f"6-{SEQUENCE_MAX}"), ("7-1", "7-0"), (f"7-{SEQUENCE_MAX}", f"7-{SEQUENCE_MAX - 1}")],
)
async def test_before_an_entry_is_right_before_it(server, pending_id, after_id):
    earlier = await server.add(FIELDS, f"6-{SEQUENCE_MAX}")
    await server.add(FIELDS, pending_id)
    source = await ingesting(server)
    await source.fetch_new(2, 0)
    await source.acknowledge([earlier])
    feed = server.feed()
    assert (await feed.open(None)).after_id == after_id
    assert await rest(feed) == [pending_id]


async def test_what_is_pending_counts_though_its_content_was_trimmed(server):
    added = await fill(server, 4)
    await (await ingesting(server)).fetch_new(2, 0)
    await server.trim(1)
    feed = server.feed()
    assert await feed.open(None) == FeedStart("1-0", "4-1")
    assert await rest(feed) == added[3:]


async def test_the_newest_id_is_that_of_the_last_entry_there_ever_was(server):
    await fill(server, 3)
    await server.trim(0)
    feed = server.feed()
    assert await feed.open("1-1") == FeedStart("1-1", "3-1")


@pytest.mark.parametrize("after_id", ["0-0", "2-0", "2-1", "2-5", "3-1", "9-9"])
async def test_it_begins_after_an_id_whether_there_is_such_an_entry_or_not(server, after_id):
    await fill(server, 3)
    feed = server.feed()
    assert await feed.open(after_id) == FeedStart(after_id, "3-1")
    await fill(server, 1, start=11)
    every = ["1-1", "2-1", "3-1", "11-1"]
    key = tuple(map(int, after_id.split("-")))
    assert await rest(feed) == [each for each in every if tuple(map(int, each.split("-"))) > key]


async def test_without_a_stream_it_begins_after_an_id_all_the_same(server):
    feed = server.feed()
    assert await feed.open("5-1") == FeedStart("5-1", "0-0")
    await fill(server, 7)
    assert await rest(feed) == ["6-1", "7-1"]


# --------------------------------------------------------------------------------- open, once more


async def test_open_moves_a_group_that_is_there(server):
    added = await fill(server, 6)
    feed = await opened(server)
    assert ids(await feed.fetch(4, 0)) == added[:4]
    await feed.open("1-1")
    assert await rest(feed) == added[1:]
    await feed.open("4-1")
    assert await rest(feed) == added[4:]
    await feed.open(None)
    assert await rest(feed) == added


async def test_a_group_of_a_former_life_is_set_and_never_continued(server):
    added = await fill(server, 6)
    await (await opened(server)).fetch(2, 0)
    again = server.feed()
    await again.open("5-1")
    assert await rest(again) == added[5:]


async def test_nothing_is_left_over_from_a_former_life(server):
    """Though somebody may have read, as the same instance, without NOACK."""
    await fill(server, 3)
    former = server.source("host-1", group="live-host-1")
    await former.open()
    await former.fetch_new(3, 0)
    assert (await server.groups())["live-host-1"] == 3
    feed = await opened(server, "3-1")
    assert (await server.groups())["live-host-1"] == 0
    assert await rest(feed) == []
    assert await former.fetch_own("0", 10) == []


async def test_a_read_that_waits_since_a_former_life_takes_nothing_from_this_one(server):
    former = await opened(server)
    waiting = asyncio.create_task(former.fetch(10, 2000))
    await asyncio.sleep(0.05)
    feed = await opened(server)
    added = await fill(server, 1)
    assert ids(await feed.fetch(10, 1000)) == added
    with pytest.raises(Unavailable) as caught:
        await waiting
    assert caught.value.reason == "group-missing"


# ------------------------------------------------------------------------------------------- fetch


async def test_entries_come_in_the_order_of_their_ids_each_once_and_count_bounds_a_read(server):
    added = await fill(server, 25)  # 9-1 before 10-1
    feed = await opened(server)
    reads = [ids(await feed.fetch(10, 0)) for _ in range(4)]
    assert reads == [added[:10], added[10:20], added[20:], []]


@pytest.mark.parametrize("count", [1, 3, 4, 5])
async def test_fields_are_the_bytes_that_were_written(server, count):
    fields = {**FIELDS, **{b"%d" % n: b"v%d" % n for n in range(count)}}
    entry_id = await server.add(fields)
    (entry,) = await (await opened(server)).fetch(1, 0)
    assert (entry.id, dict(entry.fields)) == (entry_id, fields)


async def test_every_instance_sees_every_entry_and_so_does_ingest(server):
    source = await ingesting(server)
    feeds = [await opened(server, instance_id=name) for name in ("host-1", "host-2")]
    added = await fill(server, 5)
    assert await rest(feeds[0]) == added
    assert ids((await source.fetch_new(10, 0)).entries) == added
    assert await rest(feeds[1]) == added


async def test_nothing_becomes_pending(server):
    await fill(server, 5)
    feed = await opened(server)
    await feed.fetch(3, 0)
    assert await server.groups() == {"live-host-1": 0}


async def test_what_was_trimmed_unread_is_passed_over(server):
    added = await fill(server, 9)
    feed = await opened(server)
    await feed.fetch(2, 0)
    await server.trim(3)
    assert await rest(feed) == added[6:]


async def test_a_wait_ends_as_soon_as_an_entry_comes(server):
    feed = await opened(server)
    assert await feed.fetch(10, 20) == []
    reading = asyncio.create_task(feed.fetch(10, 2000))
    await asyncio.sleep(0.02)
    started = asyncio.get_running_loop().time()
    entry_id = await server.add(FIELDS)
    assert ids(await reading) == [entry_id]
    assert asyncio.get_running_loop().time() - started < 1.5


async def test_a_wait_without_an_entry_ends_with_none(server):
    feed = await opened(server)
    for _ in range(2):
        started = asyncio.get_running_loop().time()
        assert await feed.fetch(10, 50) == []
        assert asyncio.get_running_loop().time() - started >= 0.045


async def test_no_wait_at_all_is_no_wait_for_ever(server):
    feed = await opened(server)
    async with asyncio.timeout(1):
        assert await feed.fetch(10, 0) == []


async def test_what_a_lost_reply_held_comes_again_after_an_open_at_the_last_id_seen(server):
    added = await fill(server, 5)
    feed = await opened(server)
    seen = ids(await feed.fetch(2, 0))
    # A second reader of the same group stands for a reply that never arrived.
    assert ids(await server.feed().fetch(2, 0)) == added[2:4]
    assert ids(await feed.fetch(10, 0)) == added[4:]
    await feed.open(seen[-1])
    assert await rest(feed) == added[2:]


# -------------------------------------------------------------------------- stream or group vanish


async def vanish(server, harm):
    await (server.flush() if harm == "flush" else server.destroy_group("live-host-1"))


@pytest.mark.parametrize("harm", ["flush", "destroy_group"])
@pytest.mark.parametrize("wait_ms", [0, 500])
async def test_a_vanished_group_is_unavailable_until_opened_again(server, harm, wait_ms):
    added = await fill(server, 2)
    feed = await opened(server)
    await rest(feed)
    await vanish(server, harm)
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            await feed.fetch(10, wait_ms)
        assert (caught.value.dependency, caught.value.reason) == ("stream", "group-missing")
    start = await feed.open(added[-1])
    assert start == FeedStart(added[-1], "0-0" if harm == "flush" else added[-1])
    more = await fill(server, 2, start=50)
    assert await rest(feed) == more


@pytest.mark.parametrize("harm", ["flush", "destroy_group"])
async def test_a_group_that_vanishes_under_a_waiting_read_is_unavailable_at_once(server, harm):
    feed = await opened(server)
    reading = asyncio.create_task(feed.fetch(10, 2000))
    await asyncio.sleep(0.05)
    await vanish(server, harm)
    async with asyncio.timeout(1.5):
        with pytest.raises(Unavailable) as caught:
            await reading
    assert caught.value.reason == "group-missing"
    await feed.open("0-0")
    added = await fill(server, 1)
    assert await rest(feed) == added


# -------------------------------------------------------------------------------------------- reap


SILENT_S = 1.0
"""The difference between the silent and the living, and so how long a reap may take to arrive."""


class Silence:
    """Whoever has not been heard since this was made is idle for `ms` at least, however slow the
    machine is; whoever was heard SILENT_S later is not."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    @property
    def ms(self) -> int:
        return int((time.monotonic() - self._began_s) * 1000) - 20  # the server's clock is another


async def test_dead_instances_are_reaped_and_nobody_else(server):
    await fill(server, 1)
    ingest = await ingesting(server)
    await ingest.fetch_new(1, 0)
    stranger = server.source("x", group="alive-host-9")  # another prefix
    await stranger.open()
    await stranger.fetch_new(1, 0)
    feeds = {name: await opened(server, instance_id=name) for name in ("a", "b", "c", "d")}
    silent = Silence()
    await asyncio.sleep(SILENT_S)
    await feeds["d"].fetch(1, 0)
    assert await feeds["a"].reap(60_000) == []
    assert sorted(await feeds["a"].reap(silent.ms)) == ["live-b", "live-c"]
    assert set(await server.groups()) == {"processor", "alive-host-9", "live-a", "live-d"}
    assert await feeds["a"].reap(silent.ms) == []


async def test_a_group_is_reaped_only_if_all_its_consumers_are_idle(server):
    await fill(server, 1)
    feed = await opened(server, instance_id="a")
    await opened(server, instance_id="b")
    silent = Silence()
    await asyncio.sleep(SILENT_S)
    other = server.source("another", group="live-b")
    await other.fetch_new(1, 0)
    assert await feed.reap(silent.ms) == []
    silent = Silence()
    await asyncio.sleep(SILENT_S)
    assert await feed.reap(silent.ms) == ["live-b"]


async def test_a_group_without_consumers_is_not_reaped(server):
    feed = await opened(server, instance_id="a")
    await server.source("b", group="live-b").open()
    assert await feed.reap(0) == []


async def test_a_group_is_made_together_with_its_consumer(server):
    """So that an instance that dies before its first read can be reaped."""
    feed = await opened(server, instance_id="a")
    await opened(server, instance_id="b")
    assert await feed.reap(0) == ["live-b"]


async def test_an_instance_that_reads_in_vain_is_alive(server):
    feed = await opened(server, instance_id="a")
    other = await opened(server, instance_id="b")
    for _ in range(6):
        assert await other.fetch(10, 80) == []
    assert await feed.reap(300) == []


async def test_an_instance_that_was_reaped_and_wakes_up_opens_its_group_and_goes_on(server):
    added = await fill(server, 2)
    sleeper = await opened(server, instance_id="b")
    assert ids(await sleeper.fetch(1, 0)) == added[:1]
    assert await (await opened(server, instance_id="a")).reap(0) == ["live-b"]
    with pytest.raises(Unavailable):
        await sleeper.fetch(1, 0)
    await sleeper.open(added[0])
    assert await rest(sleeper) == added[1:]


async def test_without_a_stream_there_is_nothing_to_reap(server):
    assert await server.feed().reap(0) == []
    feed = await opened(server)
    await server.flush()
    assert await feed.reap(0) == []


# ------------------------------------------------------------------------------------------- close


async def test_close_leaves_nothing_behind(server):
    await ingesting(server)
    feed = await opened(server)
    await opened(server, instance_id="host-2")
    await feed.close()
    assert set(await server.groups()) == {"processor", "live-host-2"}


async def test_close_of_a_group_that_is_gone_does_nothing(server):
    await server.feed().close()  # there is not even a stream
    feed = await opened(server)
    await feed.close()
    await feed.close()
    await server.flush()
    await feed.close()
    await feed.open("0-0")
    added = await fill(server, 1)
    assert await rest(feed) == added
