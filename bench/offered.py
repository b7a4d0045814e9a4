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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hiredis
import msgspec
import psutil

from bench.drain import Failed, last_words, running
from bench.entries import Mix, entries
from bench.place import Place
from bench.subjects import Subject, Target
from bench.wire import additions, packed

TICK_S = 0.001
GRACE_S = 6.0
WARM_UP_PER_S = 2_000
"""For a second before the first load: compiled queries, a warm JIT, connections made."""
WARM_UP_WITHIN_S = 40.0

Key = tuple[int, int]


class Latency(msgspec.Struct):
    """Milliseconds. `unfinished` entries were not acknowledged in the end."""

    offered_per_s: int
    p50_ms: float
    p99_ms: float
    unfinished: int


class Follower:
    """A subject that runs, on a stream of its own, warmed up. Made by `following`."""

    def __init__(self, place: Place, target: Target, process: psutil.Process, seed: int) -> None:
        self._place = place
        self._target = target
        self._process = process
        self._seed = seed
        self._waited_ms: dict[int, list[float]] = {}
        self._unfinished: dict[int, int] = {}

    @property
    def behind(self) -> bool:
        """It could not follow the last load, and should be left alone."""
        return any(self._unfinished.values())

    def offer(self, load: int, seconds: float, grace_s: float = GRACE_S) -> None:
        """`load` records a second for so long; what is found adds to what was found before."""
        self._seed += 1
        made = entries(Mix(int(load * seconds), seed=self._seed), int(time.time() * 1000))
        waited_ms, unfinished = _offer(
            self._place, self._target, additions(self._target.stream, made), load, grace_s,
            self._process,
        )  # fmt: skip
        self._waited_ms.setdefault(load, []).extend(waited_ms)
        self._unfinished[load] = self._unfinished.get(load, 0) + unfinished

    def found(self, load: int) -> Latency | None:
        """Over everything that was offered at this load; None: nothing was."""
        waited_ms = sorted(self._waited_ms.get(load, ()))
        if not waited_ms:
            return None
        middle, slow = _quantile(waited_ms, 0.50), _quantile(waited_ms, 0.99)
        return Latency(load, middle, slow, self._unfinished[load])


@contextmanager
def following(
    place: Place, subject: Subject, batch: int | None, stream: str, seed: int
) -> Iterator[Follower]:
    """The subject on `stream`, which is made and removed here, with fixes that nobody else gets:
    `seed` and the thousand after it are its own. Raises Failed."""
    target = Target(place.redis, place.postgres, stream, "bench")
    place.wire.ask("XGROUP", "CREATE", target.stream, target.group, 0, "MKSTREAM")
    try:
        with running(subject.start(target, batch, False)) as (process, log):
            warm = Follower(place, target, process, seed)
            warm.offer(WARM_UP_PER_S, 1.0, WARM_UP_WITHIN_S)
            if warm.behind:
                raise Failed(f"it does not follow: {last_words(log)}")
            yield Follower(place, target, process, seed + 1)
    finally:
        place.wire.ask("DEL", target.stream)


def _offer(
    place: Place,
    target: Target,
    offered: Sequence[bytes],
    load: int,
    grace_s: float,
    process: psutil.Process,
) -> tuple[list[float], int]:
    """How long each waited, and how many of them, the last ones, still do."""
    look = packed("XINFO", "GROUPS", target.stream)
    look += packed("XPENDING", target.stream, target.group)
    ids: list[Key] = []
    waited_ms: list[float] = []
    begun = time.monotonic()
    deadline = begun + len(offered) / load + grace_s
    while len(waited_ms) < len(offered) and (now := time.monotonic()) < deadline:
        due = min(len(offered), int((now - begun) * load) + 1)
        new = offered[len(ids) : due]
        *added, groups, pending = place.wire.exchange(b"".join(new) + look, len(new) + 2)
        seen_ms = time.time() * 1000
        ids += [_key(reply) for reply in added]
        acknowledged_before = _frontier(groups, pending)
        while len(waited_ms) < len(ids) and ids[len(waited_ms)] < acknowledged_before:
            waited_ms.append(seen_ms - ids[len(waited_ms)][0])
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(max(0.0, TICK_S - (time.monotonic() - now)))
    unfinished = len(offered) - len(waited_ms)
    ended_ms = time.time() * 1000
    waited_ms += [ended_ms - key[0] for key in ids[len(waited_ms) :]]
    return waited_ms, unfinished


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
