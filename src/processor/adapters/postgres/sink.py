"""Writes positions into the table: straight while the keys are new, carefully when they are not.

*Straight* hopes that no key is stored yet. The change note is known beforehand, so a small batch
goes with it in one statement and one round trip; a larger one goes by COPY. A stored key makes
the whole fail (23505), nothing is stored, and the batch is written carefully instead.

*Careful* inserts what is new and then proves the rest. Which positions were duplicates is told by
the statement that inserts; that their rows really exist is read back by another one. TimescaleDB
has lost rows in ON CONFLICT DO NOTHING without a word (its issue 7672): sent = inserted +
duplicate is therefore verified, and where it does not hold, everything is rolled back.

Which way is tried first follows from recent batches (`Conflicts`).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg

from processor.adapters.postgres import copy_format, statements
from processor.adapters.postgres.changes import NOTHING, Note, changed_spans
from processor.adapters.postgres.conflicts import Conflicts
from processor.adapters.postgres.pool import STAGED, Session, session_of
from processor.core.errors import Unavailable
from processor.core.model import PANIC, Position
from processor.core.ports import Outcome

COPY_FROM = 300
"""Positions from which a batch goes by COPY instead of one statement with arrays. A COPY has four
round trips more, so this leans towards a database across a network, which we have not measured:
on one machine COPY was ahead from 100 already (7.3 ms against 10.3 at 300)."""

BREAK_EVEN_COPY = 0.25
"""A straight COPY costs 0.7 of a staged one, and a failed one is paid besides it: measured to
break even at 25 to 30 % of batches with a conflict."""

BREAK_EVEN_ARRAYS = 0.6
"""A straight statement is one round trip, a careful write four, a failed and then careful one
five: hoping pays longer."""

UNLIMITED = "; SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0"
"""For one late fix whose key lies among more compressed rows of its device than the server would
decompress. It is a setting of the session's own, so any server takes it."""

ACQUIRE_TIMEOUT_S = 10.0
"""For a session of the pool to become free: longer than a slow write, shorter than patience."""


class PostgresPositionSink:
    """`PositionSink` on a pool from `open_pool`. Calls may overlap, up to the pool's size.

    `track_changes` False leaves the change notes out, where nobody evaluates them. Batches of
    `copy_from` positions and more go by COPY.
    """

    def __init__(
        self, pool: "asyncpg.Pool[Any]", *, track_changes: bool, copy_from: int = COPY_FROM
    ) -> None:
        self._pool = pool
        self._track_changes = track_changes
        self._copy_from = copy_from
        self._by_copy = Conflicts(BREAK_EVEN_COPY)
        self._by_arrays = Conflicts(BREAK_EVEN_ARRAYS)
        self._writes: set[asyncio.Task[Sequence[Outcome]]] = set()

    async def store(self, positions: Sequence[Position]) -> Sequence[Outcome]:
        """See the port. A call that is cancelled goes on in the background, bounded by its
        timeouts, until it has stored all or nothing: cancelling inside a COPY can hang."""
        if not positions:
            return []
        write = asyncio.create_task(self._write(positions))
        self._writes.add(write)
        write.add_done_callback(self._ended)
        return await asyncio.shield(write)

    def _ended(self, write: "asyncio.Task[Sequence[Outcome]]") -> None:
        self._writes.discard(write)
        if not write.cancelled():
            write.exception()  # asked for, lest asyncio complain where the caller was cancelled

    async def _write(self, positions: Sequence[Position]) -> Sequence[Outcome]:
        by_copy = len(positions) >= self._copy_from
        conflicts = self._by_copy if by_copy else self._by_arrays
        async with session_of(self._pool, timeout_s=ACQUIRE_TIMEOUT_S) as session:
            try:
                return await self._write_either_way(session, positions, by_copy, conflicts)
            except asyncpg.ConfigurationLimitExceededError:
                if len(positions) > 1:
                    raise  # fewer at once, of fewer devices and days, may stay below the limit
                if session.is_in_transaction():
                    await session.execute("ROLLBACK")
                return await self._write_carefully(
                    session, positions, by_copy=False, beforehand=UNLIMITED
                )

    async def _write_either_way(
        self, session: Session, positions: Sequence[Position], by_copy: bool, conflicts: Conflicts
    ) -> Sequence[Outcome]:
        if not conflicts.likely:
            straight = self._copy if by_copy else self._insert
            if await straight(session, positions):
                conflicts.learn(met=False)
                return [Outcome.INSERTED] * len(positions)
            conflicts.learn(met=True)
            return await self._write_carefully(session, positions, by_copy)
        outcomes = await self._write_carefully(session, positions, by_copy)
        conflicts.learn(met=any(outcome is not Outcome.INSERTED for outcome in outcomes))
        return outcomes

    # Straight: True if all are stored, False if a key was stored before and so nothing is.

    async def _copy(self, session: Session, positions: Sequence[Position]) -> bool:
        rows, note = copy_format.rows(positions), self._note(positions)
        try:
            async with _transaction(session, session.opening.plain):
                tag = await _copy_into(session, "public.positions", rows)
                _verify(tag, positions)
                await self._take_note(session, note)
        except asyncpg.UniqueViolationError:
            await session.execute("ROLLBACK")
            return False
        return True

    async def _insert(self, session: Session, positions: Sequence[Position]) -> bool:
        arguments = *_arrays(positions), *self._note(positions)
        try:
            if session.opening.direct:
                await session.execute(statements.INSERT_STRAIGHT, *arguments)
            else:
                async with _transaction(session, session.opening.plain):
                    await session.execute(statements.INSERT_STRAIGHT, *arguments)
        except (asyncpg.UniqueViolationError, asyncpg.DivisionByZeroError):
            if session.is_in_transaction():
                await session.execute("ROLLBACK")
            return False
        return True

    async def _write_carefully(
        self, session: Session, positions: Sequence[Position], by_copy: bool, beforehand: str = ""
    ) -> Sequence[Outcome]:
        opening = session.opening.staging if by_copy else session.opening.plain
        rows = copy_format.rows(positions) if by_copy else b""
        async with _transaction(session, opening + beforehand):
            if by_copy:
                tag = await _copy_into(session, STAGED, rows)
                _verify(tag, positions)
                met = await session.fetch(statements.INSERT_STAGED, len(positions))
            else:
                met = await session.fetch(statements.INSERT_CAREFULLY, *_arrays(positions))
            return await self._settle(session, positions, {(row[0], row[1]) for row in met})

    async def _settle(
        self,
        session: Session,
        positions: Sequence[Position],
        duplicates: set[tuple[str, datetime]],
    ) -> Sequence[Outcome]:
        """Note what was inserted and prove that the duplicates are there."""
        if not duplicates:
            await self._take_note(session, self._note(positions))
            return [Outcome.INSERTED] * len(positions)
        inserted: list[Position] = []
        met: list[int] = []
        for place, position in enumerate(positions):
            if (position.device_id, position.fixed_at) in duplicates:
                met.append(place)
            else:
                inserted.append(position)
        instants = [fixed_at for _, fixed_at in duplicates]
        stored = await session.fetch(
            statements.SETTLE,
            *self._note(inserted),
            [device_id for device_id, _ in duplicates],
            instants,
            min(instants),
            max(instants),
        )
        priorities = {(row[0], row[1]): row[2] for row in stored}
        if len(priorities) != len(met):
            raise _missing(len(positions), len(inserted), len(priorities))
        outcomes = [Outcome.INSERTED] * len(positions)
        for place in met:
            position = positions[place]
            if position.priority == PANIC and priorities[position.key] < PANIC:
                outcomes[place] = Outcome.CONFLICT
            else:
                outcomes[place] = Outcome.DUPLICATE
        return outcomes

    async def _take_note(self, session: Session, note: Note) -> None:
        if self._track_changes:
            await session.execute(statements.NOTE, *note)

    def _note(self, inserted: Sequence[Position]) -> Note:
        return changed_spans(inserted).as_lines() if self._track_changes else NOTHING


def _arrays(positions: Sequence[Position]) -> Sequence[Sequence[object]]:
    """Column by column, in the order of `copy_format.COLUMNS`."""
    return (
        [position.fixed_at for position in positions],
        [position.latitude for position in positions],
        [position.longitude for position in positions],
        [position.altitude for position in positions],
        [position.angle for position in positions],
        [position.speed for position in positions],
        [position.satellites for position in positions],
        [position.priority for position in positions],
        [position.device_id for position in positions],
        [position.codec for position in positions],
        [position.attributes for position in positions],
    )


async def _copy_into(session: Session, table: str, rows: bytes) -> str:
    schema_name, _, table_name = table.partition(".")
    return await session.copy_to_table(
        table_name,
        schema_name=schema_name,
        columns=copy_format.COLUMNS,
        # A view, since bytes would be taken for the name of a file; the stubs know no buffers.
        source=memoryview(rows),  # type: ignore[arg-type]
        format="binary",
    )


def _verify(tag: str, sent: Sequence[Position]) -> None:
    """That the command tag, `COPY n`, counts every row: a trigger that somebody has put on the
    table may drop rows without a word."""
    count = int(tag.rpartition(" ")[2])
    if count != len(sent):
        raise _missing(len(sent), count, 0)


def _missing(sent: int, inserted: int, found: int) -> Unavailable:
    return Unavailable(
        "database",
        "rows-missing",
        f"{sent} rows were sent, {inserted} inserted and {found} found stored already: the rest "
        "is missing, so nothing of it counts; look for triggers on positions",
        Unavailable.Pause.LONG,
    )


@asynccontextmanager
async def _transaction(session: Session, opening: str) -> AsyncIterator[None]:
    """COMMIT on the way out. On an error nothing is said: the pool rolls an open transaction back
    when it takes the session in again, and a broken one is not asked any more."""
    await session.execute(opening)
    yield
    await session.execute("COMMIT")
