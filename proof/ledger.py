"""The sum at the end: of everything that was sent, what has become?

The stream itself says what was sent. A producer that lost a reply cannot know whether it was heard
and says it again; the stream knows, and each of its entries must be accounted for: by a row, as a
repeat of one, or by a dead letter. All columns of every row are compared, and every field of every
letter. What does not fit is a fault, with a sentence; the sum has no other way to be wrong.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import redis
from attrs import field, frozen

from proof.records import Key, Record, Row

OURS = (b"origin_id", b"reason", b"error", b"deliveries", b"instance_id", b"failed_at")
CONDEMNED = "kills-the-process"
PAGE = 5000  # entries of one XRANGE

Fields = Mapping[bytes, bytes]


@frozen
class Letter:
    """A dead letter: of which entry, why, and the fields it keeps of it."""

    origin_id: str
    reason: str
    fields: Fields


@frozen
class Found:
    """How things stand, in stream and database. `notes` are the spans of the change notes."""

    entries: Sequence[tuple[str, Fields]]
    rows: Sequence[tuple[Key, Row]]
    letters: Sequence[Letter]
    notes: Sequence[tuple[str, datetime, datetime]]
    pending: int
    lag: int
    flawed: int = 0
    """Rows whose other columns (ingested_at, faulty, decoded_attributes) are not as written."""


@frozen
class Sum:
    """Counts of entries, but for `rows`. `lost`: neither row nor letter. `twice`: stored more than
    once, or never sent. `wrong`: stored, and not as it had to be."""

    records: int
    rows: int
    duplicates: int
    letters: Mapping[str, int]
    repeated_letters: int
    lost: int
    twice: int
    wrong: int
    pending: int
    lag: int
    faults: Sequence[str] = field(factory=list)

    @property
    def right(self) -> bool:
        return not self.faults


def judge(sent: Iterable[Record], confirmed: Iterable[Record], found: Found) -> Sum:
    """`sent` is everything that was handed over, `confirmed` that of which the server said so."""
    expected = {_text(record.fields): record for record in sent}
    entries = {entry_id: expected.get(_text(fields)) for entry_id, fields in found.entries}
    faults = _Faults()
    for entry_id, record in entries.items():
        if record is None:
            faults.add("twice", f"entry {entry_id} is in the stream and nobody sent it")
    there = {_text(fields) for _, fields in found.entries}
    for record in confirmed:
        if _text(record.fields) not in there:
            faults.add("lost", f"a confirmed entry is not in the stream any more: {record.key}")

    dead = {entry_id: r.reason for entry_id, r in entries.items() if r is not None and r.reason}
    letters = _judge_letters(found, dead, faults)

    good = {r.key: r.row for r in entries.values() if r is not None and r.key and r.row}
    rows = Counter(key for key, _ in found.rows)
    for key, count in rows.items():
        if count > 1:
            faults.add("twice", f"{key} is {count} rows", count - 1)
        if key not in good:
            faults.add("twice", f"{key} is a row and was never sent as a good record")
    for key in good.keys() - rows.keys():
        faults.add("lost", f"{key} is no row")
    for key, row in found.rows:
        if key in good and row != good[key]:
            faults.add("wrong", f"{key} is {row} and has to be {good[key]}")
    if found.flawed:
        faults.add("wrong", f"{found.flawed} rows have other columns than written", found.flawed)
    for key in _not_noted(rows, found.notes):
        faults.add("lost", f"no change note tells of {key}")
    for what, count in (("pending", found.pending), ("unread", found.lag)):
        if count:
            faults.add("", f"{count} entries are still {what}")
    return Sum(
        records=len(entries),
        rows=len(found.rows),
        duplicates=sum(r is not None and r.row is not None for r in entries.values())
        - len(rows.keys() & good.keys()),
        letters=letters,
        repeated_letters=len(found.letters) - letters.total(),
        lost=faults.counts["lost"],
        twice=faults.counts["twice"],
        wrong=faults.counts["wrong"],
        pending=found.pending,
        lag=found.lag,
        faults=faults.sentences,
    )


def _judge_letters(found: Found, dead: Mapping[str, str], faults: "_Faults") -> Counter[str]:
    """The letters by reason, each origin once: a crash between a letter and its acknowledgement
    leaves it twice, and that is as agreed."""
    sent = dict(found.entries)
    seen: dict[str, str] = {}
    for letter in found.letters:
        origin = letter.origin_id
        if letter.reason == CONDEMNED:
            faults.add(
                "lost", f"CONDEMNED: {origin} is said to kill the process, and nothing here does"
            )
        elif origin not in dead:
            faults.add("wrong", f"{origin} is a dead letter ({letter.reason}) and is good")
        elif letter.reason != dead[origin]:
            faults.add("wrong", f"{origin} is dead of {letter.reason}, not of {dead[origin]}")
        if origin in sent and letter.fields != sent[origin]:
            faults.add("wrong", f"the letter of {origin} has other fields than the entry")
        if seen.setdefault(origin, letter.reason) != letter.reason:
            faults.add("wrong", f"{origin} has two reasons: {seen[origin]} and {letter.reason}")
    for origin in dead.keys() - seen.keys():
        faults.add("lost", f"{origin} had to be a dead letter ({dead[origin]}) and is none")
    return Counter(seen.values())


def _not_noted(keys: Iterable[Key], notes: Iterable[tuple[str, datetime, datetime]]) -> list[Key]:
    """Keys that no change note covers: racing would never hear of them."""
    spans: dict[str, list[tuple[datetime, datetime]]] = {}
    for device_id, begin, end in sorted(notes):
        merged = spans.setdefault(device_id, [])
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    missing = []
    for device_id, at in keys:
        known = spans.get(device_id, [])
        place = bisect_right(known, at, key=lambda span: span[0]) - 1
        if place < 0 or known[place][1] < at:
            missing.append((device_id, at))
    return missing


class _Faults:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.sentences: list[str] = []

    def add(self, kind: str, sentence: str, count: int = 1) -> None:
        self.counts[kind] += count
        self.sentences.append(sentence)


def _text(fields: Fields) -> bytes:
    return b"\0".join(part for name in sorted(fields) for part in (name, fields[name]))


# -- looking -------------------------------------------------------------------------------------


def settled(client: "redis.Redis", stream: str, group: str = "processor") -> bool:
    """Is everything read and acknowledged?"""
    about: Any = client.xinfo_groups(stream)
    last = client.xinfo_stream(stream)["last-generated-id"]
    return any(
        each["name"] == group.encode() and not each["pending"] and each["last-delivered-id"] == last
        for each in about
    )


def acknowledged_up_to(client: "redis.Redis", stream: str, group: str) -> tuple[int, int]:
    """The id up to which every entry was read and acknowledged."""
    # In this order: whatever was delivered at the first look is pending at the second, or done.
    about: Any = client.xinfo_groups(stream)
    delivered = next(each["last-delivered-id"] for each in about if each["name"] == group.encode())
    pending: Any = client.xpending(stream, group)
    if not pending["pending"]:
        return order(delivered)
    milliseconds, sequence = order(pending["min"])
    return min(order(delivered), (milliseconds, sequence - 1))


def order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)


async def look(
    redis_url: str, postgres_url: str, stream: str, *, since: datetime, group: str = "processor"
) -> Found:
    """Everything there is. Rows stored before `since`, or after now, are flawed."""
    with redis.Redis.from_url(redis_url, protocol=2, socket_timeout=30) as client:
        entries = [(entry_id.decode(), fields) for entry_id, fields in _pages(client, stream)]
        letters = [_letter(fields) for _, fields in _pages(client, f"{stream}:dlq")]
        about: Any = client.xinfo_groups(stream)
        delivered = next(g["last-delivered-id"] for g in about if g["name"] == group.encode())
        waiting: Any = client.xpending(stream, group)
        pending = waiting["pending"]
    connection = await asyncpg.connect(postgres_url, timeout=30)
    try:
        rows = await connection.fetch(
            "SELECT device_id, ts, latitude, longitude, altitude, angle, speed, satellites,"
            " priority, codec, attributes, ingested_at, faulty, decoded_attributes FROM positions"
        )
        notes = await connection.fetch(
            "SELECT unnest(device_ids), unnest(from_ts), unnest(to_ts)"
            " FROM processor.track_changes WHERE kind = 'fixes'"
        )
    finally:
        await connection.close()
    now = datetime.now(UTC)
    return Found(
        entries=entries,
        rows=[((row[0], row[1]), (*row[2:10], _sorted(row[10]))) for row in rows],
        letters=letters,
        notes=[tuple(note) for note in notes],
        pending=pending,
        lag=sum(order(entry_id.encode()) > order(delivered) for entry_id, _ in entries),
        flawed=sum(
            row["faulty"]
            or row["decoded_attributes"] is not None
            or not since <= row["ingested_at"] <= now
            for row in rows
        ),
    )


def _pages(client: "redis.Redis", stream: str) -> Iterable[tuple[bytes, Fields]]:
    after = "-"
    while True:
        page: Any = client.xrange(stream, min=after, count=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = f"({page[-1][0].decode()}"


def _letter(fields: Fields) -> Letter:
    return Letter(
        fields[b"origin_id"].decode(),
        fields[b"reason"].decode(),
        {name: value for name, value in fields.items() if name not in OURS},
    )


def _sorted(attributes: str) -> str:
    return json.dumps(json.loads(attributes), sort_keys=True)
