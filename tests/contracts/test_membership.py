"""The contracts of Membership and Trials (core/ports), in memory and on Redis."""

import asyncio
from collections.abc import Sequence

import pytest

from processor.core.errors import Unavailable
from processor.core.model import Entry
from processor.core.ports import StreamSource

FIELDS = {b"payload": b"{}"}


async def holding(server, consumer: str, count: int) -> tuple[StreamSource, list[str]]:
    """A consumer who was given `count` entries, and their ids."""
    source = server.source(consumer)
    await source.open()
    for _ in range(count):
        await server.add(FIELDS)
    return source, ids((await source.fetch_new(count, 0)).entries)


def ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.id for entry in entries]


# ------------------------------------------------------------------------------------------- keep


async def test_what_is_kept_is_not_idle_and_nobody_takes_it_over(server):
    source, held = await holding(server, "a", 3)
    other = server.source("b")
    await asyncio.sleep(0.15)
    assert await server.membership("a").keep(held[:2]) == 2
    assert ids((await other.claim("0-0", 100, 10)).entries) == held[2:]
    assert ids(await source.fetch_own("0", 10)) == held[:2]


async def test_keeping_twice_is_keeping_and_is_no_delivery(server):
    source, held = await holding(server, "a", 2)
    membership = server.membership("a")
    assert await membership.keep(held) == 2
    assert await membership.keep(held) == 2
    assert [entry.deliveries for entry in await source.fetch_own("0", 10)] == [2, 2]


async def test_what_is_another_s_by_now_stays_the_other_s(server):
    source, held = await holding(server, "a", 3)
    other = server.source("b")
    await other.claim("0-0", 0, 1)
    assert await server.membership("a").keep(held) == 2
    assert ids(await other.fetch_own("0", 10)) == held[:1]
    assert ids(await source.fetch_own("0", 10)) == held[1:]


async def test_what_was_acknowledged_or_never_handed_out_is_not_kept(server):
    source, held = await holding(server, "a", 2)
    unread = await server.add(FIELDS)
    await source.acknowledge(held[:1])
    assert await server.membership("a").keep([*held, unread, "99-99"]) == 1
    assert ids((await source.fetch_new(10, 0)).entries) == [unread]


async def test_what_has_no_content_any_more_stays_pending(server):
    source, held = await holding(server, "a", 3)
    await server.trim(1)
    assert await server.membership("a").keep(held) == 1
    assert ids(await source.fetch_own("0", 10)) == held


async def test_any_number_is_kept_at_once(server):
    source, held = await holding(server, "a", 1200)
    assert await server.membership("a").keep(held) == 1200
    assert await server.membership("a").keep([]) == 0
    assert len(await source.fetch_own("0", 2000)) == 1200


# ------------------------------------------------------------------------------------------- reap


async def test_who_holds_nothing_and_has_been_silent_is_removed(server):
    source, held = await holding(server, "dead", 1)
    await source.acknowledge(held)
    await asyncio.sleep(0.15)
    await holding(server, "a", 1)
    assert await server.membership("a").reap(100) == ["dead"]
    assert await server.membership("a").reap(0) == []


async def test_who_holds_something_stays_however_long_it_has_been_silent(server):
    dead, held = await holding(server, "dead", 2)
    await dead.acknowledge(held[:1])
    assert await server.membership("a").reap(0) == []
    assert ids((await server.source("a").claim("0-0", 0, 10)).entries) == held[1:]


async def test_who_asked_lately_stays(server):
    living, held = await holding(server, "living", 1)
    await living.acknowledge(held)
    assert await server.membership("a").reap(60_000) == []


async def test_nobody_removes_itself(server):
    source, held = await holding(server, "a", 1)
    await source.acknowledge(held)
    assert await server.membership("a").reap(0) == []


async def test_reaping_hands_out_nothing(server):
    source, held = await holding(server, "a", 1)
    unread = await server.add(FIELDS)
    await server.membership("a").reap(0)
    assert [(each.id, each.deliveries) for each in await source.fetch_own("0", 10)] == [
        (held[0], 2)
    ]
    assert ids((await source.fetch_new(10, 0)).entries) == [unread]


async def test_who_was_removed_and_lives_after_all_goes_on(server):
    living, held = await holding(server, "living", 1)
    await living.acknowledge(held)
    assert await server.membership("a").reap(0) == ["living"]
    added = await server.add(FIELDS)
    assert ids((await living.fetch_new(10, 0)).entries) == [added]
    assert ids(await living.fetch_own("0", 10)) == [added]


@pytest.mark.parametrize("harm", ["flush", "destroy_group"])
async def test_without_stream_or_group_it_is_unavailable(server, harm):
    _, held = await holding(server, "a", 1)
    await getattr(server, harm)()
    for call in (server.membership("a").keep(held), server.membership("a").reap(0)):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.reason == "group-missing"


# ----------------------------------------------------------------------------------------- trials


async def test_a_mark_is_remembered_by_whoever_comes_next(server):
    assert await server.trials().marks(["5-1"]) == {}
    await server.trials().mark("5-1", 1)
    await server.trials().mark("6-1", 3)
    assert await server.trials().marks(["5-1", "6-1", "7-1"]) == {"5-1": 1, "6-1": 3}
    assert await server.trials().marks([]) == {}


async def test_marking_the_same_number_twice_is_marking_it_once(server):
    trials = server.trials()
    await trials.mark("5-1", 2)
    await trials.mark("5-1", 2)
    assert await trials.marks(["5-1"]) == {"5-1": 2}
    await trials.mark("5-1", 1)
    assert await trials.marks(["5-1"]) == {"5-1": 1}


async def test_what_is_forgotten_has_no_mark(server):
    trials = server.trials()
    await trials.mark("5-1", 2)
    await trials.mark("8-1", 1)
    await trials.forget(["5-1", "6-1"])
    await trials.forget(["5-1"])
    await trials.forget([])
    assert await trials.marks(["5-1", "6-1", "8-1"]) == {"8-1": 1}


async def test_of_any_number_the_marks_are_told(server):
    trials = server.trials()
    for number in (1, 1500, 2300):
        await trials.mark(f"{number}-1", number % 3 + 1)
    ids = [f"{number}-1" for number in range(2400)]
    assert await trials.marks(ids) == {"1-1": 2, "1500-1": 1, "2300-1": 3}
    await trials.forget(ids)
    assert await trials.marks(ids) == {}
