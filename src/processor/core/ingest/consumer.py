"""The loop: fetch -> decode -> write -> observe -> acknowledge.

One reader fills a queue, a few workers empty it, a claimer adds what dead consumers left behind.
The turn of a batch is `_turn`, and reads like the contract: an entry is acknowledged when, and
only when, its record is durable in the table or in the dead letters.

Whatever fails on the way to the stream, the remedy is one and the same: open the group again and
read our own pending list before anything new. A reply that was lost may have handed us entries
that we never saw; they lie there.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence

from attrs import frozen

from processor.core.errors import Refused, Rejected, Unavailable
from processor.core.ingest.ledger import Ledger
from processor.core.ingest.patience import Patience
from processor.core.ingest.state import DeviceStates
from processor.core.ingest.writer import Writer
from processor.core.model import Entry, Position, Record
from processor.core.notices import (
    DeadLettersSent,
    DevicesObserved,
    EntriesAcknowledged,
    EntriesClaimed,
    EntriesLost,
    EntriesRead,
    EntriesRejected,
    EntriesResumed,
    GroupOpened,
    InFlight,
    IngestStopped,
    ReadFailed,
)
from processor.core.ports import (
    Chance,
    Clock,
    DeadLetter,
    DeadLetters,
    Observer,
    PositionSink,
    StreamSource,
)

Decode = Callable[[Entry, int], Position]
"""(entry, now in milliseconds since the epoch) -> position; raises Rejected."""

DECODE_COUNT = 200
"""Entries decoded in one go, half a millisecond: meanwhile a writer's answer from the database
waits, and with it the database."""

FIRST_ID = "0"
WHOLE_ROUND = "0-0"


@frozen
class Limits:
    """How much at once, and how long. Counts are entries."""

    read_count: int
    read_wait_ms: int
    write_count: int
    writers: int
    in_flight: int
    claim_idle_ms: int
    claim_interval_ms: int


class Ingest:
    """One consumer of the group, from its first read to its last acknowledgement."""

    def __init__(
        self,
        *,
        source: StreamSource,
        decode: Decode,
        sink: PositionSink,
        dead_letters: DeadLetters,
        states: DeviceStates,
        clock: Clock,
        chance: Chance,
        observer: Observer,
        limits: Limits,
    ) -> None:
        self._source = source
        self._decode = decode
        self._dead_letters = dead_letters
        self._states = states
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._limits = limits
        self._patience = Patience(clock, chance, observer)
        # Of its own: a server that takes reads and refuses dead letters has not recovered.
        self._letters_patience = Patience(clock, chance, observer)
        self._writer = Writer(sink, self._patience, clock, observer)
        self._ledger = Ledger(limits.in_flight)
        self._queue: deque[Entry] = deque()
        self._changed = asyncio.Condition()
        self._opened = asyncio.Event()
        self._reply_lost = False
        self._stopping = False
        self._drained = False

    async def run(self) -> None:
        """Work until `stop`, then finish what was read. To abandon that as well, cancel."""
        try:
            async with asyncio.TaskGroup() as tasks:
                workers = [tasks.create_task(self._work()) for _ in range(self._limits.writers)]
                sources = [tasks.create_task(self._read()), tasks.create_task(self._claim())]
                await asyncio.wait(sources)
                self._drained = True
                await self._wake()
                await asyncio.wait(workers)
        finally:
            self._observer.observe(IngestStopped(abandoned=self._ledger.in_flight))

    def stop(self) -> None:
        """Read nothing more; a read under way ends by itself, within its wait."""
        self._stopping = True
        self._opened.set()
        self._patience.stop()
        self._letters_patience.stop()

    # -- in: read, resume, claim ------------------------------------------------------------

    async def _read(self) -> None:
        while not self._stopping:
            try:
                await self._resume()
                while not self._stopping and not self._reply_lost:
                    await self._read_on()
            except (Unavailable, Refused) as error:
                self._observer.observe(ReadFailed(error.reason, error.sentence))
                await self._patience.wait_out(error)

    async def _resume(self) -> None:
        """Open the group and take up what it had given us and we never saw or never finished."""
        self._reply_lost = False
        self._observer.observe(GroupOpened(created=await self._source.open()))
        self._patience.answered("stream")
        self._opened.set()
        after_id = FIRST_ID
        while not self._stopping:
            entries = await self._source.fetch_own(after_id, await self._room())
            if not entries:
                return
            after_id = entries[-1].id
            resumed = await self._take(entries)
            if resumed:
                self._observer.observe(EntriesResumed(resumed))

    async def _read_on(self) -> None:
        room = await self._room()
        if self._stopping:
            return
        fetched = await self._source.fetch_new(room, self._limits.read_wait_ms)
        self._patience.answered("stream")
        self._observer.observe(EntriesRead(len(fetched.entries)))
        if gap := fetched.lost:
            self._observer.observe(
                EntriesLost("trimmed-unread", gap.count, gap.first_id, gap.last_id)
            )
        await self._take(fetched.entries)

    async def _claim(self) -> None:
        """At start, and from time to time, take over what dead consumers were given."""
        await self._opened.wait()
        while not self._stopping:
            try:
                await self._claim_round()
            except (Unavailable, Refused) as error:
                self._reply_lost = True  # what was claimed lies in our pending list now, unseen
                self._observer.observe(ReadFailed(error.reason, error.sentence))
            # Jitter of a fifth: instances that were started together do not claim together.
            jitter = 0.9 + 0.2 * self._chance.fraction()
            await self._patience.pause(self._limits.claim_interval_ms / 1000 * jitter)

    async def _claim_round(self) -> None:
        cursor = WHOLE_ROUND
        while not self._stopping:
            room = await self._room()
            claimed = await self._source.claim(cursor, self._limits.claim_idle_ms, room)
            if claimed.lost_ids:
                self._lost(claimed.lost_ids)
            taken = await self._take(claimed.entries)
            if taken:
                self._observer.observe(EntriesClaimed(taken))
            cursor = claimed.cursor
            if cursor == WHOLE_ROUND:
                return

    async def _room(self) -> int:
        """How many entries may be read now. Waits while too many are in flight: what is not read
        stays in the stream, where it is safe, instead of in our pending list."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ledger.room > 0 or self._stopping)
        return max(1, min(self._limits.read_count, self._ledger.room))

    async def _take(self, entries: Sequence[Entry]) -> int:
        """Queue those that are new to us; how many they were. Those without content have nothing
        left to store: they are said and acknowledged."""
        fresh = self._ledger.admit(entries)
        if not fresh:
            return 0
        whole = [entry for entry in fresh if entry.fields is not None]
        if len(whole) < len(fresh):
            trimmed = [entry.id for entry in fresh if entry.fields is None]
            self._lost(trimmed)
            self._ledger.settle(trimmed)
            await self._acknowledge(trimmed)
        self._queue.extend(whole)
        self._observer.observe(InFlight(self._ledger.in_flight))
        await self._wake()
        return len(whole)

    def _lost(self, entry_ids: Sequence[str]) -> None:
        self._observer.observe(EntriesLost("trimmed", len(entry_ids), entry_ids[0], entry_ids[-1]))

    # -- out: decode, write, observe, acknowledge -------------------------------------------

    async def _work(self) -> None:
        try:
            while entries := await self._next():
                await self._turn(entries)
        except (Unavailable, Refused):
            # Raised only while we are stopping: what is in hand stays pending for the next life.
            assert self._stopping
            await self._wake()  # whoever waits for room waits in vain

    async def _next(self) -> Sequence[Entry]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._queue or self._drained)
            count = min(len(self._queue), self._limits.write_count)
            return [self._queue.popleft() for _ in range(count)]

    async def _turn(self, entries: Sequence[Entry]) -> None:
        # 1. decode; what cannot be decoded is a dead letter at once
        records, letters = await self._decode_all(entries)
        # 2. write; rows and their change note in one transaction
        written = await self._writer.write(records)
        letters.extend(written.failed)
        # 3. observe; only what has become a row moves a device's state
        evicted = self._states.observe(written.inserted)
        self._observer.observe(DevicesObserved(len(self._states), evicted))
        # 4. acknowledge what is durable; bad records do not make their good neighbours wait
        await self._settle([r.entry.id for r in (*written.inserted, *written.duplicate)])
        if letters:
            await self._letters_patience.persist("stream", lambda: self._dead_letters.send(letters))
            self._observer.observe(DeadLettersSent(Counter(x.cause.reason for x in letters)))
            await self._settle([letter.entry.id for letter in letters])

    async def _decode_all(self, entries: Sequence[Entry]) -> tuple[list[Record], list[DeadLetter]]:
        decode, now_ms = self._decode, self._clock.now()
        records = []
        letters = []
        for start in range(0, len(entries), DECODE_COUNT):
            for entry in entries[start : start + DECODE_COUNT]:
                try:
                    records.append(Record(entry, decode(entry, now_ms)))
                except Rejected as cause:
                    letters.append(DeadLetter(entry, cause))
            await asyncio.sleep(0)
        if letters:
            self._observer.observe(
                EntriesRejected(
                    Counter(letter.cause.reason for letter in letters),
                    [f"{letter.entry.id}: {letter.cause.sentence}" for letter in letters[:3]],
                )
            )
        return records, letters

    async def _settle(self, entry_ids: Sequence[str]) -> None:
        if not entry_ids:
            return
        self._ledger.settle(entry_ids)
        await self._acknowledge(entry_ids)

    async def _acknowledge(self, entry_ids: Sequence[str]) -> None:
        await self._patience.persist("stream", lambda: self._source.acknowledge(entry_ids))
        self._ledger.release(entry_ids)
        self._observer.observe(
            EntriesAcknowledged(
                [int(entry_id.partition("-")[0]) for entry_id in entry_ids], self._clock.now()
            )
        )
        self._observer.observe(InFlight(self._ledger.in_flight))
        await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
