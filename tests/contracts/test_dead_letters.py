"""The contract of DeadLetters (core/ports and contracts), in memory and on Redis."""

import pytest

from processor.core.errors import Reason, Rejected
from processor.core.model import Entry
from processor.core.ports import DeadLetter

OURS = [b"origin_id", b"reason", b"error", b"deliveries", b"instance_id", b"failed_at"]


def letter(entry_id: str = "5-1", fields=None) -> DeadLetter:
    cause = Rejected(Reason.FIELD_RANGE, "latitude: 91.5 is beyond -90..90")
    return DeadLetter(Entry(entry_id, {b"payload": b"{}"} if fields is None else fields), cause)


async def test_a_letter_is_the_original_fields_and_then_ours(server):
    server.clock.now_ms = 1_800_000_000_123
    original = {b"ts": b"x", b"payload": b"\xff\x00\r\n", b"": b"", b"codec": b"8E"}
    await server.dead_letters().send([letter("5-1", original)])
    (stored,) = await server.letters()
    assert stored == [
        *original.items(),
        (b"origin_id", b"5-1"),
        (b"reason", b"field-range"),
        (b"error", b"latitude: 91.5 is beyond -90..90"),
        (b"deliveries", b"1"),
        (b"instance_id", b"here"),
        (b"failed_at", b"2027-01-15T08:00:00.123Z"),
    ]


async def test_an_original_field_with_a_name_of_ours_stays_untouched(server):
    original = {b"reason": b"theirs", b"payload": b"p", b"error": b""}
    await server.dead_letters().send([letter(fields=original)])
    (stored,) = await server.letters()
    assert stored[:3] == list(original.items())
    assert [name for name, _ in stored[3:]] == OURS
    assert dict(stored)[b"reason"] == b"field-range"


async def test_letters_are_stored_in_the_order_given(server):
    names = [f"{n}-0" for n in range(1, 251)]
    await server.dead_letters().send([letter(name) for name in names])
    assert [dict(stored)[b"origin_id"].decode() for stored in await server.letters()] == names


async def test_the_same_letter_twice_is_stored_twice_and_recognisable(server):
    letters = server.dead_letters()
    await letters.send([letter("7-7")])
    await letters.send([letter("7-7")])
    stored = await server.letters()
    assert [dict(found)[b"origin_id"] for found in stored] == [b"7-7", b"7-7"]


async def test_no_letters_are_no_work(server):
    await server.dead_letters().send([])
    assert await server.letters() == []


async def test_deliveries_are_those_of_the_pending_entry(server):
    source = server.source()
    await source.open()
    await server.add({b"k": b"v"}, "5-1")
    await server.add({b"k": b"v"}, "6-1")
    await source.fetch_new(10, 0)
    await source.fetch_own("5-1", 10)
    await source.claim("0-0", 0, 10)
    await server.dead_letters().send([letter("5-1"), letter("6-1"), letter("9-9")])
    stored = [dict(found)[b"deliveries"] for found in await server.letters()]
    assert stored == [b"2", b"3", b"1"]


async def test_a_letter_leaves_its_entry_pending(server):
    source = server.source()
    await source.open()
    await server.add({b"k": b"v"}, "5-1")
    await source.fetch_new(10, 0)
    await server.dead_letters().send([letter("5-1")])
    assert await source.acknowledge(["5-1"]) == 1


async def test_the_number_of_letters_is_bounded(server):
    letters = server.dead_letters(maxlen=100)
    await letters.send([letter(f"{n}-0") for n in range(1, 501)])
    stored = [dict(found)[b"origin_id"].decode() for found in await server.letters()]
    # Approximately: a server trims by whole nodes of its tree, of a hundred entries at most.
    assert 100 <= len(stored) <= 200
    assert stored[-1] == "500-0"


@pytest.mark.parametrize("reason", Reason)
async def test_every_reason_is_written_by_its_name(server, reason):
    entry = Entry("1-1", {b"payload": b""})
    await server.dead_letters().send([DeadLetter(entry, Rejected(reason, "é\n"))])
    (stored,) = await server.letters()
    assert dict(stored)[b"reason"].decode() == reason.value
    assert dict(stored)[b"error"].decode() == "é\n"
