"""What is done with old positions while the service runs: chunks are dropped, and compressed.

About once an hour, by every instance; of those that meet, one does it and the others pass by. What
could not be done is done the next time: nothing waits for it, and a disk fills slowly.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

from processor.adapters.logs import say
from processor.adapters.metrics.ingest import Metrics
from processor.adapters.postgres.retention import Dropped, compress_old_chunks, drop_old_chunks
from processor.core.errors import Refused, Unavailable
from processor.core.ports import Clock
from processor.entrypoints.settings import RunSettings

FIRST_AFTER_S = 60.0
"""A start has the schema to see to, and maybe hours of entries that wait; yet an instance that is
restarted often shall come to it, too."""

EVERY_S = 3_600.0
"""A chunk is a day: an hour more or less is nothing to it."""

AGAIN_S = 300.0
"""After a failure: a lock that was held, or a server that was away, is free or back by then."""

SAID_EVERY = 12
"""Failures in a row, an hour of them: a disk that fills has to be said."""

Drop = Callable[[], Awaitable[Dropped]]
"""Drops some chunks; raises Unavailable or Refused."""

Compress = Callable[[], Awaitable[int]]
"""Compresses some chunks and tells how many; raises Unavailable or Refused."""


class OldChunks:
    """`drop` and `compress` are None where the setting is empty."""

    def __init__(
        self, *, drop: Drop | None, compress: Compress | None, metrics: Metrics, clock: Clock
    ) -> None:
        self._drop = drop
        self._compress = compress
        self._metrics = metrics
        self._clock = clock
        self._failures: Counter[Callable[[], Awaitable[None]]] = Counter()
        self._unprotected_said = False
        self._kept_said = 0

    @classmethod
    def of(
        cls, settings: RunSettings, instance_id: str, metrics: Metrics, clock: Clock
    ) -> "OldChunks | None":
        """What the settings ask for, None if nothing."""
        url, ingest = settings.postgres.url, settings.ingest
        drop: Drop | None = None
        compress: Compress | None = None
        if ingest.drop_after:
            drop = partial(drop_old_chunks, url, after=ingest.drop_after, who=instance_id)
        if ingest.compress_after:
            compress = partial(compress_old_chunks, url, after=ingest.compress_after)
        if drop or compress:
            return cls(drop=drop, compress=compress, metrics=metrics, clock=clock)
        return None

    async def tend(self) -> None:
        """Drop and compress what is old enough, from time to time, for ever."""
        await self._clock.sleep(FIRST_AFTER_S)
        while True:
            # What is to be dropped need not be compressed first; and one may fail, not the other.
            done = [await self._tried(each) for each in (self._drop_all, self._compress_all)]
            await self._clock.sleep(EVERY_S if all(done) else AGAIN_S)

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except Unavailable as error:
            self._failures[work] += 1
            level = "debug" if self._failures[work] % SAID_EVERY else "warning"
            say(level, "old_chunks_left", reason=error.reason, sentence=error.sentence)
            return False
        except Refused as error:
            say("warning", "old_chunks_left", reason=error.reason, sentence=error.sentence)
            return False
        self._failures[work] = 0
        return True

    async def _drop_all(self) -> None:
        if self._drop is None:
            return
        count = 0
        try:
            while (dropped := await self._drop()).chunks:
                self._metrics.chunks_dropped(dropped.chunks)
                count += dropped.chunks
        finally:
            if count:
                say("info", "chunks_dropped", count=count)
        self._say_protection(dropped)

    def _say_protection(self, dropped: Dropped) -> None:
        if not dropped.events and not self._unprotected_said:
            self._unprotected_said = True
            say(
                "warning",
                "chunks_unprotected",
                sentence="there is no table of events, so chunks are dropped by their age alone",
            )
        if dropped.kept is not None and dropped.kept != self._kept_said:
            self._kept_said = dropped.kept
            say("info", "chunks_kept_for_events", count=dropped.kept)

    async def _compress_all(self) -> None:
        if self._compress is None:
            return
        count = 0
        try:
            while compressed := await self._compress():
                self._metrics.chunks_compressed(compressed)
                count += compressed
        finally:
            if count:
                say("info", "chunks_compressed", count=count)
