"""The desk: what was read and is not acknowledged, and whose turn it is.

Entries come onto it as far as there is room, are taken off in batches by the workers, and leave it
when the stream was told that they are durable. An entry that was handed out too often is put aside
as a suspect: something in the group ends its process each time, and it may be this one. A suspect
has the desk to itself, so that no neighbour is blamed for what it does, nor it for theirs.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from attrs import frozen

from processor.core.ingest.ledger import Ledger
from processor.core.ingest.patience import Patience
from processor.core.model import Entry
from processor.core.notices import EntriesAcknowledged, InFlight, SuspectsCounted
from processor.core.ports import Clock, Observer, StreamSource


@frozen
class Laid:
    """Of entries that came: how many there is something to do with, and those whose content is
    gone, which are settled but not yet acknowledged."""

    count: int
    trimmed: Sequence[str]


class Desk:
    """Between the source and the workers. `suspect_after`: deliveries that make a suspect."""

    def __init__(
        self,
        source: StreamSource,
        *,
        in_flight: int,
        suspect_after: int,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._source = source
        self._suspect_after = suspect_after
        self._clock = clock
        self._observer = observer
        self._ledger = Ledger(in_flight)
        self._queue: deque[Entry] = deque()
        self._suspects: deque[Entry] = deque()
        self._changed = asyncio.Condition()
        self._at_work = 0
        self._alone = False
        self._stopping = False
        self._drained = False

    @property
    def in_flight(self) -> int:
        return self._ledger.in_flight

    @property
    def has_suspects(self) -> bool:
        return bool(self._suspects)

    # -- in ---------------------------------------------------------------------------------

    async def room(self) -> int:
        """How many entries may be read now, 1 at least once we are stopping. Waits while too many
        are in flight: what is not read stays in the stream, where it is safe, instead of in our
        pending list."""
        await self._wait(lambda: self._ledger.room > 0 or self._stopping)
        return max(1, self._ledger.room)

    async def lay(self, entries: Sequence[Entry]) -> Laid:
        """Take those that are new to us."""
        fresh = self._ledger.admit(entries, self._clock.elapsed())
        if not fresh:
            return Laid(0, ())
        trimmed = [entry.id for entry in fresh if entry.fields is None]
        self._ledger.settle(trimmed)
        suspects = 0
        for entry in fresh:
            if entry.fields is None:
                continue
            if entry.deliveries >= self._suspect_after:
                self._suspects.append(entry)
                suspects += 1
            else:
                self._queue.append(entry)
        if suspects:
            self._observer.observe(SuspectsCounted(len(self._suspects)))
        self._observer.observe(InFlight(self._ledger.in_flight))
        await self._wake()
        return Laid(len(fresh) - len(trimmed), trimmed)

    def working_since(self, before_s: float) -> Sequence[str]:
        """What has been here since before that time and is not durable yet."""
        return self._ledger.working_since(before_s)

    # -- whose turn it is -------------------------------------------------------------------

    @asynccontextmanager
    async def batch(self, count: int) -> AsyncIterator[Sequence[Entry]]:
        """The next entries to work on, `count` at most, for as long as the context lasts; none if
        there will be none any more."""
        await self._wait(lambda: (self._queue or self._drained) and not self._alone)
        entries = [self._queue.popleft() for _ in range(min(len(self._queue), count))]
        self._at_work += 1
        try:
            yield entries
        finally:
            self._at_work -= 1
            await self._wake()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Until the context ends no batch is worked on. Waits for a suspect, and until those under
        way are done; not once we are stopping."""
        await self._wait(lambda: self._suspects or self._stopping)
        self._alone = True
        try:
            await self._wait(lambda: not self._at_work or self._stopping)
            yield
        finally:
            self._alone = False
            await self._wake()

    def next_suspect(self) -> Entry | None:
        """Who is tried next; none while we are stopping, for a trial that is cut short looks like
        one that killed us."""
        if not self._suspects or self._stopping:
            return None
        suspect = self._suspects.popleft()
        self._observer.observe(SuspectsCounted(len(self._suspects)))
        return suspect

    def put_back(self, suspect: Entry) -> None:
        """It was not tried to the end: behind the others, to be tried again."""
        self._suspects.append(suspect)
        self._observer.observe(SuspectsCounted(len(self._suspects)))

    # -- out --------------------------------------------------------------------------------

    async def settle(self, entry_ids: Sequence[str], patience: Patience) -> None:
        """These are durable: acknowledge them."""
        if entry_ids:
            self._ledger.settle(entry_ids)
            await self.acknowledge(entry_ids, patience)

    async def acknowledge(self, entry_ids: Sequence[str], patience: Patience) -> None:
        """Tell the stream of what is settled, until it has heard it."""
        if not entry_ids:
            return
        await patience.persist("stream", lambda: self._source.acknowledge(entry_ids))
        self._ledger.release(entry_ids)
        self._observer.observe(
            EntriesAcknowledged(
                [int(entry_id.partition("-")[0]) for entry_id in entry_ids], self._clock.now()
            )
        )
        self._observer.observe(InFlight(self._ledger.in_flight))
        await self._wake()

    # -- the end ----------------------------------------------------------------------------

    def stop(self) -> None:
        """Nobody waits for room, nor for a suspect, any more."""
        self._stopping = True

    async def drain(self) -> None:
        """Nothing comes onto it any more: whoever finds it empty goes home."""
        self._drained = True
        await self._wake()

    async def _wait(self, until: Callable[[], object]) -> None:
        async with self._changed:
            await self._changed.wait_for(until)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
