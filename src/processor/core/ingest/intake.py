"""The intake: from the stream onto the desk, and keeping the stream's books of us in order.

A reader brings what is new, a claimer what dead consumers left behind. Whatever fails on the way
to the stream, the remedy is one and the same: open the group again and read our own pending list
before anything new. A reply that was lost may have handed us entries that we never saw; they lie
there. What takes long is said to be ours still, and consumers that died are removed once they hold
nothing.
"""

import asyncio
from collections.abc import Sequence

from attrs import frozen

from processor.core.errors import Refused, Unavailable
from processor.core.ingest.desk import Desk
from processor.core.ingest.patience import Patience
from processor.core.model import Entry
from processor.core.notices import (
    ConsumersReaped,
    EntriesClaimed,
    EntriesKept,
    EntriesLost,
    EntriesRead,
    EntriesResumed,
    GroupOpened,
    ReadFailed,
)
from processor.core.ports import Chance, Clock, Membership, Observer, StreamSource, Trials

FIRST_ID = "0"
WHOLE_ROUND = "0-0"

KEPT_EVERY = 3
"""So often within the time after which an entry may be taken over it is said to be ours: the first
time when a third to two thirds of it have passed."""

REAPED_AFTER = 10
"""So many times that time a consumer that holds nothing must have been silent to be removed: the
living ask the stream for something many times in it."""


@frozen
class IntakeLimits:
    """How much at once, and how long. Counts are entries."""

    read_count: int
    read_wait_ms: int
    claim_idle_ms: int
    claim_interval_ms: int


class Portion:
    """How many entries are asked for at once: halved when an answer does not come in time, for on a
    slow line it may be too long to come at all; doubled again when so many have come."""

    DOUBLED_AFTER = 20

    def __init__(self, most: int) -> None:
        self.count = self._most = most
        self._came = 0

    def halve(self) -> None:
        self.count = max(1, self.count // 2)
        self._came = 0

    def came(self) -> None:
        self._came += 1
        if self._came >= self.DOUBLED_AFTER:
            self.count = min(self._most, 2 * self.count)
            self._came = 0


class Intake:
    """One consumer of the group, as far as the desk."""

    def __init__(
        self,
        *,
        source: StreamSource,
        membership: Membership,
        trials: Trials,
        desk: Desk,
        patience: Patience,
        clock: Clock,
        chance: Chance,
        observer: Observer,
        limits: IntakeLimits,
    ) -> None:
        self._source = source
        self._membership = membership
        self._trials = trials
        self._desk = desk
        self._patience = patience
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._limits = limits
        self._portion = Portion(limits.read_count)
        self._opened = asyncio.Event()
        # Claiming and resuming see the same pending entries: what is lost is said once.
        self._pending = asyncio.Lock()
        self._reply_lost = False
        self._stopping = False

    def stop(self) -> None:
        """Read nothing more; a read under way ends by itself, within its wait."""
        self._stopping = True
        self._opened.set()

    async def read(self) -> None:
        """Bring what is new, until we are asked to stop."""
        while not self._stopping:
            try:
                await self._resume()
                while not self._stopping and not self._reply_lost:
                    await self._read_on()
            except (Unavailable, Refused) as error:
                self._failed(error)
                await self._patience.wait_out(error)

    async def _resume(self) -> None:
        """Open the group and take up what it had given us and we never saw or never finished."""
        self._reply_lost = False
        self._observer.observe(GroupOpened(created=await self._source.open()))
        self._patience.answered("stream")
        self._opened.set()
        after_id = FIRST_ID
        while not self._stopping:
            room = await self._room()
            if not room:
                return
            async with self._pending:
                entries = await self._source.fetch_own(after_id, room)
                if not entries:
                    return
                resumed = await self._lay(entries)
            self._portion.came()
            after_id = entries[-1].id
            if resumed:
                self._observer.observe(EntriesResumed(resumed))

    async def _read_on(self) -> None:
        room = await self._room()
        if not room:
            return
        fetched = await self._source.fetch_new(room, self._limits.read_wait_ms)
        self._patience.answered("stream")
        self._observer.observe(EntriesRead(len(fetched.entries)))
        if fetched.entries:
            self._portion.came()
        if gap := fetched.lost:
            self._observer.observe(
                EntriesLost("trimmed-unread", gap.count, gap.first_id, gap.last_id)
            )
        await self._lay(fetched.entries)

    async def claim(self) -> None:
        """At start, and from time to time, take over what dead consumers were given, and remove
        those of them that hold nothing any more."""
        await self._opened.wait()
        while not self._stopping:
            try:
                await self._claim_round()
                await self._reap()
            except (Unavailable, Refused) as error:
                self._reply_lost = True  # what was claimed lies in our pending list now, unseen
                self._failed(error)
            # Jitter of a fifth: instances that were started together do not claim together.
            jitter = 0.9 + 0.2 * self._chance.fraction()
            await self._patience.pause(self._limits.claim_interval_ms / 1000 * jitter)

    async def _claim_round(self) -> None:
        cursor = WHOLE_ROUND
        while not self._stopping:
            room = await self._room()
            if not room:
                return
            async with self._pending:
                claimed = await self._source.claim(cursor, self._limits.claim_idle_ms, room)
                # Those that lie here already have their content, though the stream has not.
                gone = [Entry(entry_id, None) for entry_id in claimed.lost_ids]
                taken = await self._lay([*gone, *claimed.entries])
            if taken:
                self._observer.observe(EntriesClaimed(taken))
            cursor = claimed.cursor
            if cursor == WHOLE_ROUND:
                return

    async def _reap(self) -> None:
        names = await self._membership.reap(REAPED_AFTER * self._limits.claim_idle_ms)
        if names:
            self._observer.observe(ConsumersReaped(list(names)))

    async def keep(self) -> None:
        """Say from time to time what is ours still, until cancelled: nobody else is to take over
        what a slow database, or a full server, holds up here."""
        every_s = self._limits.claim_idle_ms / 1000 / KEPT_EVERY
        await self._opened.wait()
        while True:
            await self._clock.sleep(every_s)
            entry_ids = self._desk.working_since(self._clock.elapsed() - every_s)
            if not entry_ids:
                continue
            try:
                self._observer.observe(EntriesKept(await self._membership.keep(entry_ids)))
            except (Unavailable, Refused) as error:
                await self._patience.wait_out(error)

    def _failed(self, error: Unavailable | Refused) -> None:
        self._observer.observe(ReadFailed(error.reason, error.sentence))
        if error.reason == "timeout":
            self._portion.halve()

    async def _room(self) -> int:
        return min(self._portion.count, await self._desk.room())

    async def _lay(self, entries: Sequence[Entry]) -> int:
        """Put those on the desk that are new to us; how many they were. Those without content have
        nothing left to store: they are said and acknowledged."""
        laid = await self._desk.lay(entries)
        if laid.trimmed:
            self._lost(laid.trimmed)
            await self._patience.persist("stream", lambda: self._trials.forget(laid.trimmed))
            await self._desk.acknowledge(laid.trimmed, self._patience)
        return laid.count

    def _lost(self, entry_ids: Sequence[str]) -> None:
        self._observer.observe(EntriesLost("trimmed", len(entry_ids), entry_ids[0], entry_ids[-1]))
