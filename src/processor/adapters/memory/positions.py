"""The table of positions in memory: the rows, the change notes, and what PostgreSQL would refuse.

It refuses what the real columns refuse, so that finding the guilty record of a batch can be
tested, and simulated, without a server. It is judged by the same contract suite.
"""

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from attrs import Factory, define, frozen

from processor.core.errors import Reason, Rejected
from processor.core.model import PANIC, Position
from processor.core.ports import Clock, Outcome

Key = tuple[str, datetime]

NUMERIC_DIGITS_MAX = 131_072
"""Before the decimal point; jsonb holds its numbers as PostgreSQL's numeric."""


@frozen
class ChangeNote:
    """Rows of these devices were inserted, between these instants (device -> first, last)."""

    spans: dict[str, tuple[datetime, datetime]]


@define
class MemoryTable:
    """What is durable: rows by their key, and one note per write that inserted anything. `faulty`
    are the keys of rows that an operator has marked. Without a `clock` a row has no ingested_at,
    and counts as stored in time."""

    rows: dict[Key, Position] = Factory(dict)
    notes: list[ChangeNote] = Factory(list)
    faulty: set[Key] = Factory(set)
    clock: Clock | None = None
    ingested_ms: dict[Key, int] = Factory(dict)

    def is_good(self, fix: Position, clock_ahead_ms: int) -> bool:
        """Is it a place where the device was: not faulty, not without satellites, not from a clock
        that was further ahead than that?"""
        if fix.satellites == 0 or fix.key in self.faulty:
            return False
        ingested_ms = self.ingested_ms.get(fix.key)
        if ingested_ms is None:
            return True
        ahead = timedelta(milliseconds=clock_ahead_ms)
        return fix.fixed_at <= datetime.fromtimestamp(ingested_ms / 1000, UTC) + ahead


class MemoryPositionSink:
    """`PositionSink` on a MemoryTable. Writes never overlap: each is done within one turn of the
    event loop, so that it cannot be cancelled half-way."""

    def __init__(self, table: MemoryTable) -> None:
        self._table = table

    async def store(self, positions: Sequence[Position]) -> Sequence[Outcome]:
        for position in positions:
            _refuse_what_does_not_fit(position)
        rows = self._table.rows
        outcomes = []
        spans: dict[str, tuple[datetime, datetime]] = {}
        for position in positions:
            stored = rows.get(position.key)
            if stored is None:
                rows[position.key] = position
                if self._table.clock is not None:
                    self._table.ingested_ms[position.key] = self._table.clock.now()
                outcomes.append(Outcome.INSERTED)
                at = position.fixed_at
                first, last = spans.get(position.device_id, (at, at))
                spans[position.device_id] = min(first, at), max(last, at)
            elif position.priority == PANIC and stored.priority < PANIC:
                outcomes.append(Outcome.CONFLICT)
            else:
                outcomes.append(Outcome.DUPLICATE)
        if spans:
            self._table.notes.append(ChangeNote(spans))
        return outcomes


def _refuse_what_does_not_fit(position: Position) -> None:
    """Raises Rejected, with the SQLSTATE that PostgreSQL has for it."""
    for text in (position.device_id, position.codec):
        _refuse_text(text)
    try:
        struct.pack("!hh", position.satellites, position.priority)
        struct.pack("!fff", position.altitude, position.angle, position.speed)
    except (struct.error, OverflowError) as error:
        raise _rejected("22003", str(error)) from error
    try:
        bag = json.loads(
            position.attributes, parse_constant=_refuse_constant, parse_float=_refuse_huge
        )
    except UnicodeDecodeError as error:
        raise _rejected("22021", "attributes are not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise _rejected("22P02", f"attributes are not JSON: {error}") from error
    _refuse_texts_within(bag)


def _refuse_texts_within(value: object) -> None:
    match value:
        case str():
            _refuse_text(value)
        case list():
            for element in value:
                _refuse_texts_within(element)
        case dict():
            for name, element in value.items():
                _refuse_text(name)
                _refuse_texts_within(element)


def _refuse_text(text: str) -> None:
    if "\0" in text:
        raise _rejected("22P05", "text cannot hold NUL")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _rejected("22021", "text cannot hold a lone surrogate") from error


def _refuse_huge(number: str) -> Decimal:
    if (value := Decimal(number)).adjusted() >= NUMERIC_DIGITS_MAX:
        raise _rejected("22003", "value overflows numeric format")
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _rejected(sqlstate: str, sentence: str) -> Rejected:
    return Rejected(Reason.REFUSED_BY_DATABASE, f"SQLSTATE {sqlstate}: {sentence}")
