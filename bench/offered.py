"""How long a record waits, from its entry id to its acknowledgement, at a given offered load.

One loop offers the load and looks at the group about once a millisecond, through one connection;
what it sees is what anybody outside can see, and it is the same for every subject. An entry counts
as acknowledged at the first look at which it is no longer pending *and no entry before it is*. So
the figures err upwards: by the millisecond that an entry id cuts off, by the time to the next look,
and, where batches overlap, by the wait for an older batch.

Entries that are not acknowledged `GRACE_S` after the load has ended count as waiting until then;
such a subject has fallen behind, and its figures are lower bounds.
"""

import time
from collections.abc import Sequence
from typing import Any

import hiredis
import msgspec
import psutil

from bench.drain import Failed, last_words, running
from bench.place import Place
from bench.subjects import Subject, Target
from bench.wire import packed

TICK_S = 0.001
GRACE_S = 6.0
WARM_UP = 2_000
"""Entries before the first load: compiled queries, a warm JIT, connections made."""
WARM_UP_WITHIN_S = 40.0

Key = tuple[int, int]


class Latency(msgspec.Struct):
    """Milliseconds. `unfinished` entries were not acknowledged in the end."""

    offered_per_s: int
    p50_ms: float
    p99_ms: float
    unfinished: int


def follow(
    place: Place,
    subject: Subject,
    batch: int | None,
    target: Target,
    additions: Sequence[bytes],
    loads: Sequence[int],
    seconds: float,
) -> list[Latency]:
    """The subject under each of `loads` (records/s) in turn. `additions` are packed XADDs to the
    target's stream, which is made and removed here. Raises Failed."""
    place.emptied()
    wire = place.wire
    wire.ask("XGROUP", "CREATE", target.stream, target.group, 0, "MKSTREAM")
    found = []
    taken = WARM_UP
    try:
        with running(subject.start(target, batch, False)) as (process, log):
            warm = _offer(place, target, additions[:WARM_UP], 2_000, WARM_UP_WITHIN_S, process)
            if warm.unfinished:
                raise Failed(f"it does not follow: {last_words(log)}")
            for load in loads:
                chunk = additions[taken : taken + int(load * seconds)]
                taken += len(chunk)
                found.append(_offer(place, target, chunk, load, GRACE_S, process))
                if found[-1].unfinished:
                    break
    finally:
        wire.ask("DEL", target.stream)
    return found


def needed(loads: Sequence[int], seconds: float) -> int:
    """How many entries `follow` takes."""
    return WARM_UP + sum(int(load * seconds) for load in loads)


def _offer(
    place: Place,
    target: Target,
    additions: Sequence[bytes],
    load: int,
    grace_s: float,
    process: psutil.Process,
) -> Latency:
    look = packed("XINFO", "GROUPS", target.stream)
    look += packed("XPENDING", target.stream, target.group)
    ids: list[Key] = []
    waited_ms: list[float] = []
    begun = time.monotonic()
    deadline = begun + len(additions) / load + grace_s
    while len(waited_ms) < len(additions) and (now := time.monotonic()) < deadline:
        due = min(len(additions), int((now - begun) * load) + 1)
        new = additions[len(ids) : due]
        *added, groups, pending = place.wire.exchange(b"".join(new) + look, len(new) + 2)
        seen_ms = time.time() * 1000
        ids += [_key(reply) for reply in added]
        acknowledged_before = _frontier(groups, pending)
        while len(waited_ms) < len(ids) and ids[len(waited_ms)] < acknowledged_before:
            waited_ms.append(seen_ms - ids[len(waited_ms)][0])
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(max(0.0, TICK_S - (time.monotonic() - now)))
    unfinished = len(additions) - len(waited_ms)
    ended_ms = time.time() * 1000
    waited_ms += [ended_ms - key[0] for key in ids[len(waited_ms) :]]
    waited_ms.sort()
    return Latency(load, _quantile(waited_ms, 0.50), _quantile(waited_ms, 0.99), unfinished)


def _frontier(groups: Any, pending: Any) -> Key:
    """All entries with smaller ids are acknowledged. Of the two replies `groups` is the older: what
    it says was delivered and is not pending afterwards must have been acknowledged."""
    for reply in (groups, pending):
        if isinstance(reply, hiredis.ReplyError):
            raise Failed(str(reply))
    if pending[0]:
        return _key(pending[1])
    delivered = groups[0][groups[0].index(b"last-delivered-id") + 1]
    first, second = _key(delivered)
    return first, second + 1


def _key(entry_id: Any) -> Key:
    if isinstance(entry_id, hiredis.ReplyError):
        raise Failed(str(entry_id))
    first, _, second = entry_id.partition(b"-")
    return int(first), int(second)


def _quantile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]
