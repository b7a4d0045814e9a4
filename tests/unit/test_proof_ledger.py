"""The kill ledger's sum is right where all is well, and wrong for every way in which it is not."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from processor.core.decode import Decoder
from processor.core.errors import Rejected
from processor.core.model import Entry
from proof.ledger import CONDEMNED, Found, Letter, judge
from proof.records import PANIC, UNDECODABLE, Trackers

NOW = datetime(2026, 5, 2, 9, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.fixture(scope="module")
def sent():
    trackers = Trackers(random.Random(7), lambda: NOW)
    before = trackers.some(500, [])
    return before + trackers.some(500, [r for r in before if r.first and r.row[6] < PANIC])


@pytest.fixture(scope="module")
def found(sent):
    """How it has to be."""
    entries = [(f"{number}-0", record.fields) for number, record in enumerate(sent)]
    return Found(
        entries=entries,
        rows=list({record.key: record.row for record in sent if record.row}.items()),
        letters=[
            Letter(entry_id, record.reason, record.fields)
            for (entry_id, _), record in zip(entries, sent, strict=True)
            if record.reason
        ],
        notes=list({(*r.key, r.key[1]): None for r in sent if r.first}),
        pending=0,
        lag=0,
    )


def test_the_records_are_what_they_say(sent):
    """Every good one is decoded to the row that it is expected to be, every bad one is refused."""
    reasons = Counter()
    for record in sent:
        entry = Entry("1-0", dict(record.fields))
        if record.reason in (None, "conflict", "refused-by-database"):
            position = Decoder().decode(entry, NOW_MS)
            if record.first:
                assert position.key == record.key
                assert (position.latitude, position.codec) == (record.row[0], record.row[7])
        else:
            with pytest.raises(Rejected) as cause:
                Decoder().decode(entry, NOW_MS)
            assert cause.value.reason == record.reason
            reasons[record.reason] += 1
    assert reasons.keys() == {reason for reason, _ in UNDECODABLE}
    assert {record.reason for record in sent} >= {None, "conflict", "refused-by-database"}
    assert len({record.key[1].date() for record in sent if record.key}) >= 3


def test_the_same_seed_makes_the_same_records():
    first, second = (Trackers(random.Random(3), lambda: NOW).some(200, []) for _ in range(2))
    assert first == second != Trackers(random.Random(4), lambda: NOW).some(200, [])


def test_where_all_is_well_the_sum_adds_up(sent, found):
    total = judge(sent, sent, found)
    assert total.right, total.faults[:3]
    assert (total.lost, total.twice, total.wrong, total.repeated_letters) == (0, 0, 0, 0)
    assert total.records == 1000
    assert total.rows + total.duplicates + total.letters.total() == 1000
    assert min(total.rows, total.duplicates, total.letters["conflict"]) > 0


def test_a_letter_that_is_there_twice_is_as_agreed(sent, found):
    total = judge(sent, sent, evolve(found, letters=[*found.letters, found.letters[0]]))
    assert total.right
    assert total.repeated_letters == 1


def a_row_less(found):
    return evolve(found, rows=found.rows[1:])


def a_row_twice(found):
    return evolve(found, rows=[*found.rows, found.rows[0]])


def a_row_that_nobody_sent(found):
    (device_id, at), row = found.rows[0]
    return evolve(found, rows=[*found.rows, ((device_id, at + timedelta(days=1)), row)])


def with_column(place, value):
    def changed(found):
        key, row = found.rows[0]
        return evolve(
            found, rows=[(key, (*row[:place], value, *row[place + 1 :])), *found.rows[1:]]
        )

    changed.__name__ = f"column {place} is another"
    return changed


def a_flagged_row(found):
    return evolve(found, flawed=1)


def a_letter_less(found):
    return evolve(found, letters=found.letters[1:])


def another_reason(found):
    first = found.letters[0]
    return evolve(found, letters=[evolve(first, reason="too-small"), *found.letters[1:]])


def a_letter_without_its_payload(found):
    return evolve(found, letters=[evolve(found.letters[0], fields={}), *found.letters[1:]])


def a_letter_of_a_good_record(found):
    dead = {letter.origin_id for letter in found.letters}
    entry_id, fields = next(entry for entry in found.entries if entry[0] not in dead)
    letter = Letter(entry_id, "refused-by-database", fields)
    return evolve(found, letters=[*found.letters, letter])


def a_condemned_record(found):
    dead = {letter.origin_id for letter in found.letters}
    entry_id, fields = next(entry for entry in found.entries if entry[0] not in dead)
    return evolve(found, letters=[*found.letters, Letter(entry_id, CONDEMNED, fields)])


def no_note(found):
    return evolve(found, notes=found.notes[1:])


def something_pending(found):
    return evolve(found, pending=1)


def something_unread(found):
    return evolve(found, lag=1)


def an_entry_that_redis_lost(found):
    dead = {letter.origin_id for letter in found.letters}
    return evolve(found, entries=[entry for entry in found.entries if entry[0] != min(dead)])


@pytest.mark.parametrize(
    "harm",
    [
        a_row_less,
        a_row_twice,
        a_row_that_nobody_sent,
        *(with_column(place, -1) for place in range(9)),
        a_flagged_row,
        a_letter_less,
        another_reason,
        a_letter_without_its_payload,
        a_letter_of_a_good_record,
        a_condemned_record,
        no_note,
        something_pending,
        something_unread,
        an_entry_that_redis_lost,
    ],
    ids=lambda harm: harm.__name__.replace("_", " "),
)
def test_whatever_is_wrong_is_found(sent, found, harm):
    total = judge(sent, sent, harm(found))
    assert not total.right


def test_a_condemned_good_record_is_said_aloud(sent, found):
    total = judge(sent, sent, a_condemned_record(found))
    assert any(sentence.startswith("CONDEMNED") for sentence in total.faults)
    assert total.lost >= 1
