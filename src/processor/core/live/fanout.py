"""The loop of the live side: fetch -> decode -> learn -> deliver.

Every instance reads all of the stream, by a group of its own and without pending entries: what is
sent to browsers needs no acknowledgement, for the next fix is newer. What is remembered is the last
id that was fanned out. After any error the group is set back there, so that no reply that was lost
is a gap.

At first it reads without sending what may not be durable yet: the newest fix of a device must be
known from the stream or from the database, or a snapshot would have a hole. Only then is the door
opened.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from attrs import frozen

from processor.core.errors import Refused, Rejected, Unavailable
from processor.core.ingest.patience import Patience
from processor.core.live.admission import Admission
from processor.core.live.delivery import Delivery
from processor.core.live.newest import NewestFixes, Use
from processor.core.model import Entry, Position
from processor.core.notices import (
    BatchesSent,
    FeedFailed,
    FeedOpened,
    FixesFannedOut,
    GroupsReaped,
    LiveStarted,
    LiveStopped,
)
from processor.core.ports import Chance, Clock, LiveFeed, Observer

Decode = Callable[[Entry, int], Position]

ENTRIES_AT_ONCE = 100
FRAMES_AT_ONCE = 300
"""What is decoded, or sent, before everybody else has a turn: one to three milliseconds. The frames
of one fix are never parted: where two thousand watch, they are twenty."""

READ_AGAIN_MS = 60_000
"""How much of a stream that lost its end is read again: its entries since it came back, and not the
hours before. What was read already is not newer than itself, and goes no further."""

REAP_IDLE_MS = 600_000
"""An instance reads every few seconds; one that has not for ten minutes is dead."""

REAP_EVERY_S = 300.0

REJECTED = "rejected"


@frozen
class FanoutLimits:
    """Entries per read, how long a read waits, and how long a batch gathers."""

    read_count: int
    read_wait_ms: int
    batch_ms: int


class Fanout:
    """One instance's reading of the stream, from its start position to its last frame."""

    def __init__(
        self,
        *,
        feed: LiveFeed,
        admission: Admission,
        decode: Decode,
        newest: NewestFixes,
        delivery: Delivery,
        clock: Clock,
        chance: Chance,
        observer: Observer,
        limits: FanoutLimits,
    ) -> None:
        self._feed = feed
        self._admission = admission
        self._decode = decode
        self._newest = newest
        self._delivery = delivery
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._limits = limits
        self._patience = Patience(clock, chance, observer)
        self._last_id: str | None = None
        self._quiet_until: str | None = None
        self._started = False
        self._stopping = False

    async def run(self) -> None:
        """Work until `stop`; then the group is destroyed. Cancelled, it leaves the group to be
        reaped by another instance."""
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(self._tick()), tasks.create_task(self._reap())]
            await self._read()
            for task in beside:
                task.cancel()
        try:
            await self._feed.close()
        except (Unavailable, Refused) as error:
            self._observer.observe(FeedFailed("closing", error.reason, error.sentence))
        self._observer.observe(LiveStopped())

    def stop(self) -> None:
        """Read nothing more; a read under way ends by itself, within its wait."""
        self._stopping = True
        self._patience.stop()

    # -- in: the stream ----------------------------------------------------------------------

    async def _read(self) -> None:
        while not self._stopping:
            try:
                await self._open()
                while not self._stopping:
                    await self._read_on()
            except (Unavailable, Refused) as error:
                self._observer.observe(FeedFailed("reading", error.reason, error.sentence))
                await self._patience.wait_out(error)

    async def _open(self) -> None:
        start = await self._feed.open(self._last_id)
        if self._last_id is not None and _order(start.newest_id) < _order(self._last_id):
            # The stream has lost its end: a fail-over to a copy that lags, or it was flushed and
            # began anew. Ids below ours would be waited for in vain.
            start = await self._feed.open(_before(start.newest_id))
        self._patience.answered("stream")
        self._last_id = start.after_id
        if self._quiet_until is None:
            self._quiet_until = start.newest_id
        self._observer.observe(FeedOpened(start.after_id, self._quiet_until))
        self._start_once_past_the_quiet(start.after_id)

    async def _read_on(self) -> None:
        entries = await self._feed.fetch(self._limits.read_count, self._limits.read_wait_ms)
        self._patience.answered("stream")
        if entries:
            await self._take(entries)
            self._last_id = entries[-1].id
            self._start_once_past_the_quiet(entries[-1].id)
        elif not self._started:  # what should have come was trimmed
            self._start()

    def _start_once_past_the_quiet(self, entry_id: str) -> None:
        assert self._quiet_until is not None
        if not self._started and _order(entry_id) >= _order(self._quiet_until):
            self._start()

    def _start(self) -> None:
        self._started = True
        self._admission.has("stream")
        self._observer.observe(LiveStarted(len(self._newest)))

    # -- out: to whoever watches -------------------------------------------------------------

    async def _take(self, entries: Sequence[Entry]) -> None:
        decode, learn, now_ms = self._decode, self._newest.learn, self._clock.now()
        unused: Counter[str] = Counter()
        received_ms: list[int] = []
        frames = rested_at = orphans = 0
        for index, entry in enumerate(entries):
            if index % ENTRIES_AT_ONCE == 0 or frames - rested_at >= FRAMES_AT_ONCE:
                rested_at = frames
                await asyncio.sleep(0)
            try:
                position = decode(entry, now_ms)
            except Rejected:
                unused[REJECTED] += 1  # said and kept by ingest, which reads it, too
                continue
            use = learn(position, entry.received_ms)
            if use is not Use.NEW:
                unused[use.value] += 1
            elif self._started or not self._still_quiet(entry.id):
                sent = self._delivery.deliver(position, entry.received_ms)
                if sent is None:
                    orphans += 1
                elif sent:
                    frames += sent
                    received_ms.append(entry.received_ms)
        self._observer.observe(
            FixesFannedOut(received_ms, self._clock.now(), frames, orphans, unused)
        )

    def _still_quiet(self, entry_id: str) -> bool:
        assert self._quiet_until is not None
        return _order(entry_id) <= _order(self._quiet_until)

    async def _tick(self) -> None:
        every_s = self._limits.batch_ms / 1000
        while True:
            due_s = self._clock.elapsed() + every_s
            frames = 0
            for sent in self._delivery.tick():
                frames += sent
                await asyncio.sleep(0)
            received_ms, conflated = self._delivery.batched()
            if frames or conflated:
                now_ms = self._clock.now()
                self._observer.observe(BatchesSent(received_ms, now_ms, frames, conflated))
            await self._clock.sleep(max(0.0, due_s - self._clock.elapsed()))

    async def _reap(self) -> None:
        while True:
            # Jitter of a fifth: instances that were started together do not look together.
            await self._clock.sleep(REAP_EVERY_S * (0.9 + 0.2 * self._chance.fraction()))
            try:
                names = await self._feed.reap(REAP_IDLE_MS)
            except (Unavailable, Refused) as error:
                self._observer.observe(FeedFailed("reaping", error.reason, error.sentence))
            else:
                if names:
                    self._observer.observe(GroupsReaped(names))


def _before(entry_id: str) -> str:
    return f"{max(0, _order(entry_id)[0] - READ_AGAIN_MS)}-0"


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)
