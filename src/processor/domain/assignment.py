"""Which pass counts for which object: the best in-order assignment.

The objects are to be passed in order, the track passed some of them, some several times, some too
early. Of all ways to give passes to objects so that the instants never go back, the one that
validates the most objects counts; of equals the *earliest*: the one whose instants, read in the
order of the course, are the smallest tuple, compared from the first instant on; of those still
equal the one that holds the earlier objects. So turning back for a waypoint is free, and passing a
later one's disc on the way out harms nobody (design/racing.md, Timing, Order).

A stay may begin before the object in front of it is validated: while it lasts it counts from then.

How it is found: `latest[i][k]` is the latest instant from which k of the objects i, i + 1, .. can
still be validated. From the last object to the first this takes one look per object and k. Then the
assignment is read off forwards: at each step the earliest instant that leaves enough for the rest.
n objects with p stays each take n * n * log p steps; nothing is approximated.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from attrs import frozen

from processor.domain.model import Pass

EVER = -(2**62)
"""Before all instants: an open beginning."""
NEVER = 2**62
"""After all instants: an open end."""


@frozen
class Stay:
    """A pass as presence at its object, from `since` to `until` (both included); of a gate they are
    the same instant."""

    since: int
    until: int
    used: Pass


@frozen
class Held:
    """What validates an object: the instant that counts and the pass it was taken from."""

    at: int
    used: Pass


def assign(
    stays: Sequence[Sequence[Stay]], since: int = EVER, until: int = NEVER
) -> tuple[Held | None, ...]:
    """For each object what validates it, None where nothing does.

    `stays`: of each object in order its stays, in the order of time and without overlap (so they
    are of one device). `since`, `until`: instants that the assignment does not leave.
    """
    latest = _latest(stays, until)
    possible = (k for k, limit in enumerate(latest[0]) if limit is not None and limit >= since)
    left = max(possible, default=0)
    held: list[Held | None] = [None] * len(stays)
    now, begin = since, 0
    while left:
        now, chosen = min(_next_steps(stays, latest, begin, now, left))
        stay = _earliest(stays[chosen], now)
        assert stay is not None
        held[chosen] = Held(now, stay.used)
        begin, left = chosen + 1, left - 1
    return tuple(held)


def _latest(stays: Sequence[Sequence[Stay]], until: int) -> list[list[int | None]]:
    """`latest[i][k]` as in the theory above; None where k of them cannot be validated at all."""
    latest: list[list[int | None]] = [[until]]
    for own in reversed(stays):
        behind = latest[-1]
        with_this = [None, *(_latest_before(own, instant) for instant in behind)]
        without_it = [*behind, None]
        latest.append([_later(a, b) for a, b in zip(with_this, without_it, strict=True)])
    latest.reverse()
    return latest


def _latest_before(own: Sequence[Stay], instant: int | None) -> int | None:
    """The latest instant at which one of these stays still counts, not after the given one."""
    if instant is None:
        return None
    index = bisect_right(own, instant, key=lambda stay: stay.since)
    return min(own[index - 1].until, instant) if index else None


def _later(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return max(a, b)


def _earliest(own: Sequence[Stay], now: int) -> Stay | None:
    """The first of these stays that is not over."""
    index = bisect_left(own, now, key=lambda stay: stay.until)
    return own[index] if index < len(own) else None


def _next_steps(
    stays: Sequence[Sequence[Stay]],
    latest: Sequence[Sequence[int | None]],
    begin: int,
    now: int,
    left: int,
) -> Iterator[tuple[int, int]]:
    """Instant and index of each object that may be validated next, such that the rest can still be.

    Of one object the first stay that is not over is the best, and of two objects at one instant the
    earlier: whatever can follow the other can follow it.
    """
    for index in range(begin, len(stays)):
        stay = _earliest(stays[index], now)
        rest = latest[index + 1]
        if stay is None or left > len(rest):
            continue
        at, limit = max(now, stay.since), rest[left - 1]
        if limit is not None and at <= limit:
            yield at, index
