"""The contract of StreamSource (core/ports), sentence by sentence, in memory and on Redis."""

import asyncio
from collections.abc import Sequence

import pytest

from processor.core.errors import Unavailable
from processor.core.model import Entry
from processor.core.ports import Gap

FIELDS = {b"ts": b"2026-11-23T10:00:00.000Z", b"payload": b'{"\xff":1}\r\n\x00'}


def ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.id for entry in entries]


async def opened(server, consumer="a"):
    source = server.source(consumer)
    await source.open()
    return source


async def fill(server, count: int, start: int = 1) -> list[str]:
    return [await server.add(FIELDS, f"{n}-1") for n in range(start, start + count)]


# ------------------------------------------------------------------------------------------- open


async def test_open_creates_stream_and_group_and_says_so(server):
    source = server.source()
    assert await source.open() is True
    assert (await source.fetch_new(10, 0)).entries == []


async def test_open_begins_at_the_very_first_entry(server):
    added = await fill(server, 3)
    source = await opened(server)
    assert ids((await source.fetch_new(10, 0)).entries) == added


async def test_open_leaves_a_group_that_exists_as_it_is(server):
    added = await fill(server, 4)
    source = await opened(server)
    await source.fetch_new(2, 0)
    assert await source.open() is False
    assert await server.source("b").open() is False
    assert ids((await source.fetch_new(10, 0)).entries) == added[2:]
    assert ids(await source.fetch_own("0", 10)) == added


# -------------------------------------------------------------------------------------- fetch_new


async def test_fields_are_the_bytes_that_were_written(server):
    entry_id = await server.add(FIELDS)
    source = await opened(server)
    (entry,) = (await source.fetch_new(1, 0)).entries
    assert (entry.id, dict(entry.fields)) == (entry_id, FIELDS)
    assert list(entry.fields) == list(FIELDS)
    (again,) = await source.fetch_own("0", 1)
    assert (again.id, again.fields) == (entry.id, entry.fields)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 20])
async def test_any_number_of_fields_arrives(server, count):
    fields = {b"%d" % n: b"v%d" % n for n in range(count)}
    await server.add(fields)
    source = await opened(server)
    (entry,) = (await source.fetch_new(1, 0)).entries
    assert entry.fields == fields


async def test_entries_come_in_the_order_of_their_ids_and_count_bounds_a_read(server):
    added = await fill(server, 25)  # 9-1 before 10-1
    source = await opened(server)
    reads = [ids((await source.fetch_new(10, 0)).entries) for _ in range(4)]
    assert reads == [added[:10], added[10:20], added[20:], []]


async def test_each_entry_is_handed_to_one_consumer_only(server):
    added = await fill(server, 10)
    one, other = await opened(server), await opened(server, "b")
    mine = ids((await one.fetch_new(4, 0)).entries)
    theirs = ids((await other.fetch_new(100, 0)).entries)
    assert mine + theirs == added
    assert ids(await one.fetch_own("0", 100)) == mine
    assert ids(await other.fetch_own("0", 100)) == theirs


async def test_a_wait_ends_as_soon_as_an_entry_comes(server):
    source = await opened(server)
    reading = asyncio.create_task(source.fetch_new(10, 2000))
    await asyncio.sleep(0.02)
    started = asyncio.get_running_loop().time()
    entry_id = await server.add(FIELDS)
    assert ids((await reading).entries) == [entry_id]
    assert asyncio.get_running_loop().time() - started < 1.5


async def test_a_wait_without_an_entry_ends_with_none(server):
    source = await opened(server)
    started = asyncio.get_running_loop().time()
    assert (await source.fetch_new(10, 50)).entries == []
    assert asyncio.get_running_loop().time() - started >= 0.045


async def test_no_wait_at_all_is_no_wait_for_ever(server):
    source = await opened(server)
    async with asyncio.timeout(1):
        assert (await source.fetch_new(10, 0)).entries == []


async def test_two_consumers_who_wait_share_what_comes(server):
    one, other = await opened(server), await opened(server, "b")
    readings = [asyncio.create_task(source.fetch_new(10, 300)) for source in (one, other)]
    await asyncio.sleep(0.02)
    added = await fill(server, 1) + await fill(server, 1, start=2)
    found = [entry_id for reading in readings for entry_id in ids((await reading).entries)]
    found += ids((await one.fetch_new(10, 0)).entries)
    assert sorted(found) == added


async def test_acknowledging_does_not_wait_behind_a_read_that_waits(server):
    await fill(server, 1)
    source = await opened(server)
    (entry,) = (await source.fetch_new(10, 0)).entries
    reading = asyncio.create_task(source.fetch_new(10, 1500))
    await asyncio.sleep(0.02)
    assert await source.acknowledge([entry.id]) == 1
    assert (await source.claim("0-0", 0, 10)).entries == []
    assert not reading.done()
    await fill(server, 1, start=2)
    await reading


# -------------------------------------------------------------------------------- trimmed unread


async def test_entries_trimmed_before_they_were_read_are_counted_once(server):
    await fill(server, 10)
    source = await opened(server)
    assert (await source.fetch_new(2, 0)).lost is None
    await server.trim(3)  # 1..7 are gone, 3..7 unread
    read = await source.fetch_new(2, 0)
    assert read.lost == Gap(count=5, first_id="2-1", last_id="8-1")
    assert ids(read.entries) == ["8-1", "9-1"]
    again = await source.fetch_new(2, 0)
    assert (again.lost, ids(again.entries)) == (None, ["10-1"])


async def test_each_loss_is_counted_by_itself(server):
    await fill(server, 20)
    source = await opened(server)
    await server.trim(16)
    assert (await source.fetch_new(2, 0)).lost == Gap(4, "0-0", "5-1")
    await server.trim(4)
    assert (await source.fetch_new(2, 0)).lost == Gap(10, "6-1", "17-1")
    assert (await source.fetch_new(2, 0)).lost is None


async def test_trimming_exactly_what_was_read_loses_nothing(server):
    await fill(server, 10)
    source = await opened(server)
    await source.fetch_new(4, 0)
    await server.trim(6)
    read = await source.fetch_new(4, 0)
    assert (read.lost, len(read.entries)) == (None, 4)


async def test_what_was_trimmed_before_the_group_was_there_is_no_loss_of_it(server):
    added = await fill(server, 10)
    await server.trim(4)
    source = await opened(server)
    read = await source.fetch_new(10, 0)
    assert (read.lost, ids(read.entries)) == (None, added[6:])


async def test_a_stream_trimmed_to_nothing_is_a_loss_when_the_group_moves_on(server):
    await fill(server, 5)
    source = await opened(server)
    await source.fetch_new(2, 0)
    await server.trim(0)
    assert (await source.fetch_new(2, 0)).lost is None
    await fill(server, 1, start=6)
    read = await source.fetch_new(2, 0)
    assert (read.lost, ids(read.entries)) == (Gap(3, "2-1", "6-1"), ["6-1"])
    assert (await source.fetch_new(2, 0)).lost is None


async def test_a_loss_between_two_lives_is_counted(server):
    await fill(server, 3)
    await (await opened(server)).fetch_new(10, 0)
    await fill(server, 10, start=4)
    await server.trim(4)
    source = await opened(server)
    assert (await source.fetch_new(10, 0)).lost == Gap(6, "3-1", "10-1")


async def test_one_loss_is_counted_by_one_consumer(server):
    await fill(server, 12)
    one, other = await opened(server), await opened(server, "b")
    await server.trim(8)
    reads = [await source.fetch_new(2, 0) for source in (one, other, one, other)]
    assert [read.lost.count if read.lost else 0 for read in reads] == [4, 0, 0, 0]


# -------------------------------------------------------------------------------------- fetch_own


async def test_fetch_own_hands_out_again_until_acknowledged(server):
    added = await fill(server, 5)
    source = await opened(server)
    await source.fetch_new(4, 0)
    assert ids(await source.fetch_own("0", 10)) == added[:4]
    await source.acknowledge(added[:2])
    assert ids(await source.fetch_own("0", 10)) == added[2:4]
    assert ids(await source.fetch_own("0", 10)) == added[2:4]


async def test_fetch_own_goes_on_after_an_id_and_is_bounded(server):
    added = await fill(server, 12)
    source = await opened(server)
    await source.fetch_new(12, 0)
    assert ids(await source.fetch_own("0", 5)) == added[:5]
    assert ids(await source.fetch_own(added[4], 5)) == added[5:10]
    assert ids(await source.fetch_own(added[9], 5)) == added[10:]
    assert await source.fetch_own(added[11], 5) == []


async def test_a_pending_entry_whose_content_was_trimmed_has_no_fields(server):
    added = await fill(server, 4)
    source = await opened(server)
    await source.fetch_new(4, 0)
    await server.trim(1)
    own = await source.fetch_own("0", 10)
    assert ids(own) == added
    assert [entry.fields is None for entry in own] == [True, True, True, False]
    assert await source.acknowledge(added) == 4
    assert await source.fetch_own("0", 10) == []


async def test_each_time_it_is_handed_out_an_entry_has_one_delivery_more(server):
    added = await fill(server, 4)
    one, other = await opened(server), await opened(server, "b")
    assert [entry.deliveries for entry in (await one.fetch_new(3, 0)).entries] == [1, 1, 1]
    assert [entry.deliveries for entry in await one.fetch_own("0", 10)] == [2, 2, 2]
    assert [entry.deliveries for entry in await one.fetch_own(added[1], 10)] == [3]
    await other.fetch_new(1, 0)
    claimed = (await other.claim("0-0", 0, 10)).entries
    assert [(entry.id, entry.deliveries) for entry in claimed] == list(
        zip(added, [3, 3, 4, 2], strict=True)
    )
    await server.trim(1)
    # What has no content any more is not counted again.
    assert [entry.deliveries for entry in await other.fetch_own("0", 10)] == [3, 3, 4, 3]


# ------------------------------------------------------------------------------------------ claim


async def test_claim_takes_over_what_any_consumer_let_lie(server):
    added = await fill(server, 6)
    dead, living = await opened(server), await opened(server, "b")
    await dead.fetch_new(3, 0)
    await living.fetch_new(3, 0)
    claimed = await living.claim("0-0", 0, 10)
    assert (ids(claimed.entries), claimed.cursor) == (added, "0-0")
    assert all(dict(entry.fields) == FIELDS for entry in claimed.entries)
    assert await dead.fetch_own("0", 10) == []
    assert ids(await living.fetch_own("0", 10)) == added


async def test_claim_leaves_what_is_not_idle_long_enough(server):
    added = await fill(server, 3)
    one, other = await opened(server), await opened(server, "b")
    await one.fetch_new(3, 0)
    assert (await other.claim("0-0", 60_000, 10)).entries == []
    assert ids(await one.fetch_own("0", 10)) == added


async def test_claim_is_idle_time_since_the_last_delivery(server):
    added = await fill(server, 2)
    one, other = await opened(server), await opened(server, "b")
    await one.fetch_new(2, 0)
    await asyncio.sleep(0.15)
    await one.fetch_own(added[0], 10)  # the second was handed out again just now
    assert ids((await other.claim("0-0", 100, 10)).entries) == added[:1]


async def test_claim_goes_on_from_its_cursor(server):
    added = await fill(server, 25)
    dead, living = await opened(server), await opened(server, "b")
    await dead.fetch_new(25, 0)
    found, cursor, rounds = [], "0-0", 0
    while rounds == 0 or cursor != "0-0":
        claimed = await living.claim(cursor, 0, 10)
        assert len(claimed.entries) <= 10
        found += ids(claimed.entries)
        cursor, rounds = claimed.cursor, rounds + 1
    assert (found, rounds) == (added, 3)


async def test_claim_tells_which_were_trimmed(server):
    added = await fill(server, 5)
    dead, living = await opened(server), await opened(server, "b")
    await dead.fetch_new(5, 0)
    await server.trim(2)
    claimed = await living.claim("0-0", 0, 10)
    assert (ids(claimed.entries), list(claimed.lost_ids)) == (added[3:], added[:3])
    # They are settled: nothing is left to acknowledge or to hand out.
    assert await living.acknowledge(added) == 2


async def test_an_acknowledged_entry_is_claimed_by_nobody(server):
    added = await fill(server, 3)
    dead, living = await opened(server), await opened(server, "b")
    await dead.fetch_new(3, 0)
    await dead.acknowledge(added[:2])
    assert ids((await living.claim("0-0", 0, 10)).entries) == added[2:]


# ------------------------------------------------------------------------------------ acknowledge


async def test_acknowledging_twice_or_what_is_not_pending_does_nothing(server):
    added = await fill(server, 3)
    source = await opened(server)
    await source.fetch_new(2, 0)
    assert await source.acknowledge(added) == 2
    assert await source.acknowledge(added) == 0
    assert await source.acknowledge(["99-99"]) == 0
    assert await source.acknowledge([]) == 0
    assert ids((await source.fetch_new(10, 0)).entries) == added[2:]


async def test_any_consumer_may_acknowledge_and_any_number_at_once(server):
    added = await fill(server, 2500)
    one, other = await opened(server), await opened(server, "b")
    await one.fetch_new(2500, 0)
    assert await other.acknowledge(added) == 2500
    assert await one.fetch_own("0", 10) == []


# -------------------------------------------------------------------------- stream or group vanish

CALLS = {
    "fetch_new": lambda source: source.fetch_new(10, 0),
    "fetch_new-waiting": lambda source: source.fetch_new(10, 1000),
    "fetch_own": lambda source: source.fetch_own("0", 10),
    "claim": lambda source: source.claim("0-0", 0, 10),
}


@pytest.mark.parametrize("harm", ["flush", "destroy_group"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_vanished_group_is_unavailable_until_opened_again(server, harm, call):
    await fill(server, 2)
    source = await opened(server)
    await source.fetch_new(10, 0)
    await source.fetch_new(10, 0)  # at the tail
    await getattr(server, harm)()
    with pytest.raises(Unavailable) as caught:
        await CALLS[call](source)
    assert (caught.value.dependency, caught.value.reason) == ("stream", "group-missing")
    assert await source.acknowledge(["1-1"]) == 0
    assert await source.open() is True
    added = await fill(server, 2, start=50)
    assert ids((await source.fetch_new(10, 0)).entries)[-2:] == added
    assert len(await source.fetch_own("0", 10)) == (2 if harm == "flush" else 4)


@pytest.mark.parametrize("harm", ["flush", "destroy_group"])
async def test_a_group_that_vanishes_under_a_waiting_read_is_unavailable_at_once(server, harm):
    source = await opened(server)
    reading = asyncio.create_task(source.fetch_new(10, 2000))
    await asyncio.sleep(0.05)
    await getattr(server, harm)()
    async with asyncio.timeout(1.5):
        with pytest.raises(Unavailable) as caught:
            await reading
    assert caught.value.reason == "group-missing"
    await source.open()
    added = await fill(server, 1)
    assert ids((await source.fetch_new(10, 0)).entries) == added
