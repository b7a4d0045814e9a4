"""The loop: fetch -> decode -> write -> observe -> acknowledge.

The intake lays entries on the desk, a few workers clear it. The turn of a batch is `_turn`, and
reads like the contract: an entry is acknowledged when, and only when, its record is durable in the
table or in the dead letters.

An entry that was handed out again and again may be what ends the process each time. It is tried by
itself, and the trial is marked before it begins, where the mark outlives us: an entry whose trials
begin and never end is set aside. The number of deliveries alone proves nothing, because whatever
lies beside a culprit, or waits for a database that is away, is handed out as often.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from processor.core.errors import Reason, Refused, Rejected, Unavailable
from processor.core.ingest.desk import Desk
from processor.core.ingest.intake import Intake, IntakeLimits
from processor.core.ingest.patience import Once, Patience
from processor.core.ingest.recall import Recall
from processor.core.ingest.state import DeviceStates
from processor.core.ingest.writer import Writer
from processor.core.model import Entry, Position, Record
from processor.core.notices import (
    DeadLettersSent,
    DevicesObserved,
    EntriesRejected,
    IngestStopped,
    TrialEnded,
)
from processor.core.ports import (
    Chance,
    Clock,
    DeadLetter,
    DeadLetters,
    Membership,
    Observer,
    PositionSink,
    StreamSource,
    Trials,
)

Decode = Callable[[Entry, int], Position]
"""(entry, now in milliseconds since the epoch) -> position; raises Rejected."""

DECODE_COUNT = 200
"""Entries decoded in one go, half a millisecond: meanwhile a writer's answer from the database
waits, and with it the database."""

FATAL_TRIALS = 3
"""So many trials of one entry that began and never ended are no accident any more."""

ALONE_S = TOGETHER_S = 0.25
"""After a crash there may be ten thousand suspects, some milliseconds each. Their trials and the
batches of everybody else take turns of this length."""

CONDEMNED = (
    f"tried by itself {FATAL_TRIALS} times, and each time the process died before the trial ended"
)


@frozen
class Limits:
    """How much at once, and how long. Counts are entries; `dead_letter_after` deliveries."""

    intake: IntakeLimits
    write_count: int
    writers: int
    in_flight: int
    dead_letter_after: int


@frozen
class Ways:
    """What differs between a batch and a trial: a batch waits for what is away, a trial does not;
    and before a suspect is acknowledged it is cleared."""

    writer: Writer
    letters: Patience
    settle: Callable[[Sequence[str]], Awaitable[None]]


class Ingest:
    """One consumer of the group, from its first read to its last acknowledgement."""

    def __init__(
        self,
        *,
        source: StreamSource,
        membership: Membership,
        trials: Trials,
        decode: Decode,
        sink: PositionSink,
        dead_letters: DeadLetters,
        states: DeviceStates,
        recall: Recall,
        clock: Clock,
        chance: Chance,
        observer: Observer,
        limits: Limits,
    ) -> None:
        self._trials = trials
        self._decode = decode
        self._dead_letters = dead_letters
        self._states = states
        self._recall = recall
        self._clock = clock
        self._observer = observer
        self._limits = limits
        # One for each thing that may fail by itself: a server that takes reads and refuses dead
        # letters has not recovered, and one that takes batches may refuse a suspect.
        self._patience, letters, self._trying = (
            Patience(clock, chance, observer) for _ in range(3)
        )
        self._patiences = (self._patience, letters, self._trying)
        once = Once(self._trying)
        self._patiently = Ways(Writer(sink, self._patience, clock, observer), letters, self._settle)
        self._once = Ways(Writer(sink, once, clock, observer), once, self._clear)
        self._desk = Desk(
            source,
            in_flight=limits.in_flight,
            suspect_after=limits.dead_letter_after,
            clock=clock,
            observer=observer,
        )
        self._intake = Intake(
            source=source,
            membership=membership,
            desk=self._desk,
            patience=self._patience,
            clock=clock,
            chance=chance,
            observer=observer,
            limits=limits.intake,
        )
        self._stopping = False

    async def run(self) -> None:
        """Work until `stop`, then finish what was read. To abandon that as well, cancel."""
        intake, desk = self._intake, self._desk
        try:
            async with asyncio.TaskGroup() as tasks:
                workers = [tasks.create_task(self._work()) for _ in range(self._limits.writers)]
                workers.append(tasks.create_task(self._try_suspects()))
                sources = [tasks.create_task(intake.read()), tasks.create_task(intake.claim())]
                keeping = tasks.create_task(intake.keep())
                recalling = tasks.create_task(self._recall.run())
                await asyncio.wait(sources)
                await desk.drain()
                await asyncio.wait(workers)
                keeping.cancel()
                recalling.cancel()
        finally:
            self._observer.observe(IngestStopped(abandoned=desk.in_flight))

    def stop(self) -> None:
        """Read nothing more, and try no suspect any more."""
        self._stopping = True
        self._intake.stop()
        self._desk.stop()
        for patience in self._patiences:
            patience.stop()

    async def _work(self) -> None:
        try:
            while True:
                async with self._desk.batch(self._limits.write_count) as entries:
                    if not entries:
                        return
                    await self._turn(entries, self._patiently)
        except (Unavailable, Refused):
            # Raised only while we are stopping: what is in hand stays pending for the next life.
            assert self._stopping

    async def _turn(self, entries: Sequence[Entry], ways: Ways) -> None:
        # 1. decode; what cannot be decoded is a dead letter at once
        records, letters = await self._decode_all(entries)
        # 2. write; rows and their change note in one transaction
        written = await ways.writer.write(records)
        letters.extend(written.failed)
        # 3. observe; only what has become a row moves a device's state. Whoever was not known is
        # looked up beside the work, and nothing here waits for it
        observed = self._states.observe(written.inserted)
        self._observer.observe(DevicesObserved(len(self._states), observed.evicted))
        self._recall.want(observed.unknown)
        # 4. acknowledge what is durable; bad records do not make their good neighbours wait
        durable = [record.entry.id for record in (*written.inserted, *written.duplicate)]
        await ways.settle(durable)
        if letters:
            await self._bury(letters, ways)

    async def _bury(self, letters: Sequence[DeadLetter], ways: Ways) -> None:
        await ways.letters.persist("stream", lambda: self._dead_letters.send(letters))
        self._observer.observe(DeadLettersSent(Counter(x.cause.reason for x in letters)))
        await ways.settle([letter.entry.id for letter in letters])

    async def _settle(self, entry_ids: Sequence[str]) -> None:
        await self._desk.settle(entry_ids, self._patience)

    # -- suspects, one at a time --------------------------------------------------------------

    async def _try_suspects(self) -> None:
        """Give each suspect its trial, in turns with the batches of everybody else."""
        while not self._stopping:
            failed: Unavailable | Refused | None = None
            async with self._desk.alone():
                until_s = self._clock.elapsed() + ALONE_S
                while not failed and (suspect := self._desk.next_suspect()):
                    try:
                        await self._try(suspect)
                    except (Unavailable, Refused) as error:
                        failed = error
                        self._desk.put_back(suspect)
                    if self._clock.elapsed() >= until_s:
                        break
            if failed:
                await self._trying.wait_out(failed)
            elif self._desk.has_suspects:
                await self._trying.pause(TOGETHER_S)

    async def _try(self, suspect: Entry) -> None:
        """Try one entry by itself. Raises Unavailable or Refused where something else was at fault:
        then this was no trial."""
        begun = await self._patience.persist("stream", lambda: self._trials.marks(suspect.id))
        if begun >= FATAL_TRIALS:
            cause = Rejected(Reason.KILLS_THE_PROCESS, CONDEMNED)
            await self._bury([DeadLetter(suspect, cause)], self._once)
            self._observer.observe(TrialEnded(suspect.id, "condemned"))
            return
        await self._mark(suspect.id, begun + 1)
        try:
            await self._turn([suspect], self._once)
        except (Unavailable, Refused):
            await self._mark(suspect.id, begun)
            self._observer.observe(TrialEnded(suspect.id, "unavailable"))
            raise
        self._observer.observe(TrialEnded(suspect.id, "passed"))

    async def _clear(self, entry_ids: Sequence[str]) -> None:
        """Forget the marks first: of an entry that is settled nobody would ever do it."""
        for entry_id in entry_ids:
            await self._mark(entry_id, 0)
        await self._settle(entry_ids)

    async def _mark(self, entry_id: str, count: int) -> None:
        await self._patience.persist("stream", lambda: self._trials.mark(entry_id, count))

    # -- decoding -----------------------------------------------------------------------------

    async def _decode_all(self, entries: Sequence[Entry]) -> tuple[list[Record], list[DeadLetter]]:
        decode, now_ms = self._decode, self._clock.now()
        records = []
        letters = []
        for start in range(0, len(entries), DECODE_COUNT):
            for entry in entries[start : start + DECODE_COUNT]:
                try:
                    records.append(Record(entry, decode(entry, now_ms)))
                except Rejected as cause:
                    # Told anew: the one that was raised leads by its traceback to this frame, and
                    # so to all entries, in a circle that only the collector would break.
                    letters.append(DeadLetter(entry, Rejected(cause.reason, cause.sentence)))
            await asyncio.sleep(0)
        if letters:
            self._observer.observe(
                EntriesRejected(
                    Counter(letter.cause.reason for letter in letters),
                    [f"{letter.entry.id}: {letter.cause.sentence}" for letter in letters[:3]],
                )
            )
        return records, letters
