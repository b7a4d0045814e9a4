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
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, NamedTuple

from attrs import frozen

from processor.core.errors import Reason, Refused, Rejected, Unavailable
from processor.core.ingest.desk import Desk
from processor.core.ingest.intake import Intake, IntakeLimits
from processor.core.ingest.patience import Once, Patience, Persists
from processor.core.ingest.recall import Recall
from processor.core.ingest.state import DeviceStates
from processor.core.ingest.writer import Writer
from processor.core.model import Entry, Position, Record
from processor.core.notices import (
    DeadLettersSent,
    DevicesObserved,
    EntriesRejected,
    IngestStopped,
    SuspectsCounted,
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

WITHIN_S = 5.0
"""How long a suspect waits for the batches under way. One that is held up for longer, by a record
that the database does not get done with, is not waited for: the others go on."""

TAKEN_BACK_WITHIN_S = 0.2
"""Who cuts a trial short waits a quarter of a second for it to end (GOODBYE_S in run.py)."""

CONDEMNED = (
    f"tried by itself {FATAL_TRIALS} times, and each time the process died before the trial ended"
)


_marks = attrgetter("marks")


@frozen
class Limits:
    """How much at once, and how long. Counts are entries; `dead_letter_after` deliveries."""

    intake: IntakeLimits
    write_count: int
    writers: int
    in_flight: int
    dead_letter_after: int


class Suspect(NamedTuple):
    """An entry that was handed out so often, and how many trials of it began and never ended."""

    entry: Entry
    marks: int


@frozen
class Ways:
    """What differs between a batch and a trial: a batch waits for what is away, a trial does not;
    the letters of a batch are buried beside it; and before a suspect is settled it is cleared."""

    writer: Writer
    bury: Callable[[Sequence[DeadLetter]], Awaitable[None]]
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
        self._patience, self._burying, self._trying = (
            Patience(clock, chance, observer) for _ in range(3)
        )
        self._at_once = once = Once(self._trying)
        self._patiently = Ways(
            Writer(sink, self._patience, clock, observer), self._bury_later, self._settle
        )
        self._once = Ways(Writer(sink, once, clock, observer), self._bury_at_once, self._clear)
        # Bounded by what may be in flight.
        self._unburied: asyncio.Queue[Sequence[DeadLetter]] = asyncio.Queue()
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
            trials=trials,
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

                def begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
                    return tasks.create_task(self._to_its_end(work))

                workers = [begin(self._work()) for _ in range(self._limits.writers)]
                workers.append(begin(self._try_suspects()))
                burying = begin(self._bury_all())
                beside = [begin(intake.keep()), begin(self._recall.run())]
                await asyncio.wait([begin(intake.read()), begin(intake.claim())])
                await desk.drain()
                await asyncio.wait(workers)
                self._unburied.put_nowait([])
                await asyncio.wait([burying])
                for task in beside:
                    task.cancel()
        finally:
            self._observer.observe(IngestStopped(abandoned=desk.in_flight))

    def stop(self) -> None:
        """Read nothing more, and try no suspect any more."""
        self._stopping = True
        self._intake.stop()
        self._desk.stop()
        for patience in (self._patience, self._burying, self._trying):
            patience.stop()

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        """What is away raises only while we are stopping: what is in hand stays pending then, for
        the next life. Whoever waits for room, and gets none from us any more, has to know."""
        try:
            await work
        except (Unavailable, Refused):
            assert self._stopping
        finally:
            await self._desk.wake()

    async def _work(self) -> None:
        while True:
            async with self._desk.batch(self._limits.write_count) as entries:
                if not entries:
                    return
                await self._turn(entries, self._patiently)

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
            await ways.bury(letters)

    async def _bury_later(self, letters: Sequence[DeadLetter]) -> None:
        """Beside the batches: a server that takes no letters holds up no good record."""
        self._unburied.put_nowait(letters)

    async def _bury_all(self) -> None:
        """Until an empty handful says that there will be no more."""
        while await self._bury_next():
            pass  # and holds none of them while it waits

    async def _bury_next(self) -> bool:
        letters = await self._unburied.get()
        if letters:
            await self._bury(letters, self._burying)
            await self._settle([letter.entry.id for letter in letters])
        return bool(letters)

    async def _bury_at_once(self, letters: Sequence[DeadLetter]) -> None:
        await self._bury(letters, self._at_once)
        await self._clear([letter.entry.id for letter in letters])

    async def _bury(self, letters: Sequence[DeadLetter], patience: Persists) -> None:
        await patience.persist("stream", lambda: self._dead_letters.send(letters))
        self._observer.observe(DeadLettersSent(Counter(x.cause.reason for x in letters)))

    async def _settle(self, entry_ids: Sequence[str]) -> None:
        await self._desk.settle(entry_ids, self._patience)

    # -- suspects, one at a time --------------------------------------------------------------

    async def _try_suspects(self) -> None:
        """Give each suspect its trial, in turns with the batches of everybody else.

        Those with a mark come last: it may be them, and the others become rows meanwhile. And no
        entry is tried first in life after life, to be blamed for whatever ends our lives."""
        waiting: deque[Suspect] = deque()
        while not self._stopping:
            came = await self._desk.suspects(wait=not waiting)
            waiting = deque(sorted([*waiting, *await self._known(came)], key=_marks))
            began_s = self._clock.elapsed()
            failed = await self._try_some(waiting)
            if failed:
                await self._trying.wait_out(failed)
            elif waiting:
                # The others get as much time as they were kept waiting.
                await self._trying.pause(max(TOGETHER_S, self._clock.elapsed() - began_s))

    async def _known(self, entries: Sequence[Entry]) -> Sequence[Suspect]:
        """What is known of them: how many trials of each have begun and not ended."""
        ids = [entry.id for entry in entries]
        marks = await self._patience.persist("stream", lambda: self._trials.marks(ids))
        return [Suspect(entry, marks.get(entry.id, 0)) for entry in entries]

    async def _try_some(self, waiting: deque[Suspect]) -> Unavailable | Refused | None:
        """Try suspects for a while; what was at fault if it was something else. None is begun while
        we are stopping, for a trial that is cut short looks like one that killed us."""
        async with self._desk.alone(WITHIN_S) as alone:
            until_s = self._clock.elapsed() + ALONE_S
            while alone and waiting and not self._stopping and self._clock.elapsed() < until_s:
                self._observer.observe(SuspectsCounted(len(waiting)))
                try:
                    await self._try(waiting[0])
                except (Unavailable, Refused) as error:
                    waiting.rotate(-1)
                    return error
                waiting.popleft()
        self._observer.observe(SuspectsCounted(len(waiting)))
        return None

    async def _try(self, suspect: Suspect) -> None:
        """Try one entry by itself. Raises Unavailable or Refused where something else was at fault:
        then this was no trial. Nothing is waited for here, for all others wait for this."""
        entry, begun = suspect
        if begun >= FATAL_TRIALS:
            cause = Rejected(Reason.KILLS_THE_PROCESS, CONDEMNED)
            await self._bury_at_once([DeadLetter(entry, cause)])
            self._observer.observe(TrialEnded(entry.id, "condemned"))
            return
        try:
            await self._trials.mark(entry.id, begun + 1)
            await self._turn([entry], self._once)
        except (Unavailable, Refused):
            await self._take_back(suspect)
            self._observer.observe(TrialEnded(entry.id, "unavailable"))
            raise
        except asyncio.CancelledError:  # cut short, by somebody who could wait no longer
            await self._take_back(suspect)
            raise
        self._observer.observe(TrialEnded(entry.id, "passed"))

    async def _take_back(self, suspect: Suspect) -> None:
        """This was no trial. A mark that cannot be taken back now stands for the next one, too: it
        is set before that begins."""
        entry, begun = suspect
        with suppress(Unavailable, Refused, TimeoutError):
            async with asyncio.timeout(TAKEN_BACK_WITHIN_S):
                if begun:
                    await self._trials.mark(entry.id, begun)
                else:
                    await self._trials.forget([entry.id])

    async def _clear(self, entry_ids: Sequence[str]) -> None:
        """Forget the marks first: of an entry that is settled nobody would ever do it."""
        if entry_ids:
            await self._patience.persist("stream", lambda: self._trials.forget(entry_ids))
            await self._settle(entry_ids)

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
