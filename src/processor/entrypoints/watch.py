"""What goes on beside the work: is everything out there, is there traffic, does the loop turn?

The lesson of the silent seven hours is in here. A stream without entries looks healthy to whoever
only asks whether reading works, so silence is said, together with the streams that do have traffic.
And whoever passes by regularly also takes out what is too old.
"""

import asyncio
import gc
import itertools
from collections.abc import Awaitable, Callable

from processor.adapters.logs import say
from processor.adapters.metrics.ingest import Metrics
from processor.adapters.probes import Readiness
from processor.core.errors import Dependency, Refused, Unavailable
from processor.core.notices import StreamSilent
from processor.core.ports import Backlog, Clock, Observer

PERIOD_S = 5.0
"""A load balancer that asks every few seconds wants an answer no older than that."""

ANSWER_WITHIN_S = 3.0
"""A server that takes longer for `PING` or `SELECT 1` cannot be worked with."""

REPEAT_S = 60.0
"""Silence that lasts is said once a minute."""

DROP_EVERY_S = 3_600.0
"""What is dropped after a day may as well be dropped after a day and an hour."""

COLLECT_EVERY_S, OLD_EVERY = 30.0, 20
"""Half a minute of reconnecting holds some megabytes; the old are looked at every ten minutes."""

BEAT_S = 0.25
"""A stall shorter than this may fall between two beats; over a minute, none of a size does."""

Ask = Callable[[], Awaitable[None]]
"""Asks a server something that costs it nothing; raises Unavailable or Refused."""


async def watch_dependency(
    dependency: Dependency, ask: Ask, *, readiness: Readiness, metrics: Metrics, clock: Clock
) -> None:
    """Ask from time to time, for ever, and note the answer.

    A change is logged, too: while there is no work to do, nobody else would notice.
    """
    known: bool | None = None
    while True:
        fault = await _fault(ask)
        up = fault is None
        readiness.note(dependency, ok=up, said=fault or "answers")
        metrics.probed(dependency, up=up)
        if fault and known is not False:
            say("warning", "dependency_away", dependency=dependency, sentence=fault)
        elif up and known is False:
            say("info", "dependency_back", dependency=dependency)
        known = up
        await clock.sleep(PERIOD_S)


async def _fault(ask: Ask) -> str | None:
    """What is wrong with a server, None if it answers."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await ask()
    except (Unavailable, Refused) as error:
        return error.sentence
    except TimeoutError:
        return f"no answer within {ANSWER_WITHIN_S:.0f} s"
    return None


async def watch_backlog(
    backlog: Backlog, *, stream: str, silence_s: float, observer: Observer, clock: Clock
) -> None:
    """Measure lag and the rest from time to time, for ever, and say it when the stream is silent.

    While the server is away nothing is measured: that it is away is said elsewhere.
    """
    said_s: float | None = None
    while True:
        try:
            measured = await backlog.measure()
            observer.observe(measured)
            age_s = measured.last_entry_age_s
            if age_s is not None and age_s < silence_s:
                said_s = None
            elif said_s is None or clock.elapsed() - said_s >= REPEAT_S:
                busy = await backlog.busy_streams(silence_s)
                observer.observe(StreamSilent(stream, age_s, list(busy)))
                said_s = clock.elapsed()
        except (Unavailable, Refused):
            pass
        await clock.sleep(PERIOD_S)


async def drop_old_notes(
    drop: Callable[[], Awaitable[int]], metrics: Metrics, clock: Clock
) -> None:
    """Drop change notes that are too old, at start and from time to time, for ever, and count them.

    `drop` drops some of them and tells how many; raises Unavailable or Refused. One that fails is
    tried again the next time: nothing waits for it.
    """
    while True:
        count = 0
        try:
            while dropped := await drop():
                metrics.notes_dropped(dropped)
                count += dropped
        except Unavailable as error:
            say("debug", "track_changes_not_dropped", sentence=error.sentence)
        except Refused as error:
            # Before the very first migration there is no table; the service has said that by then.
            level = "debug" if error.reason == "schema" else "warning"
            say(level, "track_changes_not_dropped", sentence=error.sentence)
        if count:
            say("info", "track_changes_dropped", count=count)
        await clock.sleep(DROP_EVERY_S)


async def watch_loop(metrics: Metrics, clock: Clock) -> None:
    """Feel the pulse of the event loop, for ever: a timer that comes late was kept waiting."""
    while True:
        due_s = clock.elapsed() + BEAT_S
        await clock.sleep(BEAT_S)
        metrics.loop_late(max(0.0, clock.elapsed() - due_s))


async def collect_cycles(clock: Clock) -> None:
    """Let go from time to time of what holds itself: failed connections and closed ones, mostly.

    The collector comes by itself only after many new objects (COLLECT_AFTER in run.py), and on a
    quiet night that is never. The young are some thousands: milliseconds.
    """
    for round_ in itertools.count(1):
        await clock.sleep(COLLECT_EVERY_S)
        gc.collect(2 if round_ % OLD_EVERY == 0 else 1)
