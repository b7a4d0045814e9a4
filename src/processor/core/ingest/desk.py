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
from processor.core.notices import EntriesAcknowledged, InFlight
from processor.core.ports import Clock, Observer, StreamSource

LOOK_S = 0.005
"""How often whoever wants the desk for itself looks whether it has it: a batch takes longer."""


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
        self._suspects: list[Entry] = []
        self._changed = asyncio.Condition()
        self._at_work = 0
        self._alone = False
        self._stopping = False
        self._drained = False

    @property
    def in_flight(self) -> int:
        return self._ledger.in_flight

    # -- in ---------------------------------------------------------------------------------

    async def room(self) -> int:
        """How many entries may be read now; none once we are stopping. Waits while too many are in
        flight: what is not read stays in the stream, where it is safe, instead of in our pending
        list."""
        await self._wait(lambda: self._ledger.room > 0 or self._stopping)
        return 0 if self._stopping else self._ledger.room

    async def lay(self, entries: Sequence[Entry]) -> Laid:
        """Take those that are new to us."""
        fresh = self._ledger.admit(entries, self._clock.elapsed())
        if not fresh:
            return Laid(0, ())
        trimmed = [entry.id for entry in fresh if entry.fields is None]
        self._ledger.settle(trimmed)
        for entry in fresh:
            if entry.fields is not None:
                suspect = entry.deliveries >= self._suspect_after
                (self._suspects if suspect else self._queue).append(entry)
        self._observer.observe(InFlight(self._ledger.in_flight))
        await self.wake()
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
            await self.wake()

    async def suspects(self, *, wait: bool) -> Sequence[Entry]:
        """Those that came since they were asked for last. If `wait`, waits for some; none once we
        are stopping."""
        if wait:
            await self._wait(lambda: self._suspects or self._stopping)
        suspects, self._suspects = self._suspects, []
        return suspects

    @asynccontextmanager
    async def alone(self, within_s: float) -> AsyncIterator[bool]:
        """Until the context ends no batch is worked on. Waits for those under way, but no longer
        than that: False if somebody is still at work, held up by whatever it may be."""
        self._alone = True
        try:
            yield await self._everybody_done(within_s)
        finally:
            self._alone = False
            await self.wake()

    async def _everybody_done(self, within_s: float) -> bool:
        until_s = self._clock.elapsed() + within_s
        while self._at_work and not self._stopping and self._clock.elapsed() < until_s:
            await self._clock.sleep(LOOK_S)
        return not self._at_work

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
        await self.wake()

    # -- the end ----------------------------------------------------------------------------

    def stop(self) -> None:
        """Nobody waits for room, nor for a suspect, any more."""
        self._stopping = True

    async def drain(self) -> None:
        """Nothing comes onto it any more: whoever finds it empty goes home."""
        self._drained = True
        await self.wake()

    async def _wait(self, until: Callable[[], object]) -> None:
        async with self._changed:
            await self._changed.wait_for(until)

    async def wake(self) -> None:
        """Let everybody look again whether what they wait for has come."""
        async with self._changed:
            self._changed.notify_all()
