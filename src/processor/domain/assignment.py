"""Which pass counts for which object: the best in-order assignment.

The objects are to be passed in order, the track passed some of them, some several times, some too
early. Of all ways to give passes to objects so that the instants never go back, the one that
validates the most objects counts; of equals the *earliest*: the one whose instants, read in the
order of the course, are the smallest tuple, compared from the first instant on; of those still
equal the one that holds the earlier objects. So turning back for a waypoint is free, and passing a
later one's disc on the way out harms nobody (design/racing.md, Timing, Order).

A stay may begin before the object in front of it is validated: while it lasts it counts from then.

How it is found. Let `latest` be a sorted list whose k-th entry from the end is the latest instant
from which k of the objects looked at can still be validated; so as many entries lie at or after an
instant as objects can be validated from it. Looking at one more object *in front* of those, a stay
of it from a to b adds the entry b and takes away the last entry before a: from an instant up to b
one object more is possible, unless it has to be waited for until a, after what is taken away. (It
is the list of patience sorting; for gates, where a is b, it is exactly that.)

Then the assignment is read off forwards: at each step the earliest instant that leaves enough for
the rest. `behind` says how much a stay leaves when it counts from its own beginning; of one that
was under way before, the entries say it, each of which was there for a range of objects. For n
objects with p stays each all this takes n * p * log(n * p) steps, and n looks at a column of n * p
numbers; nothing is approximated.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

import numpy as np
from attrs import field, frozen

from processor.domain.model import Integers, Pass

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


@frozen(order=True)
class _Place:
    """A stay among those of the bounds: `since` and `until` do not leave them, `index` is its
    object's. `behind`: how many objects after its own can be validated from `since`."""

    since: int
    index: int
    until: int = field(order=False)
    used: Pass = field(order=False)
    behind: int = field(order=False)


def assign(
    stays: Sequence[Sequence[Stay]], since: int = EVER, until: int = NEVER
) -> tuple[Held | None, ...]:
    """For each object what validates it, None where nothing does.

    `stays`: of each object in order its stays, in the order of time and without overlap (so they
    are of one device). `since`, `until`: instants that the assignment does not leave.
    """
    places, reach = _look_back(stays, since, until)
    held: list[Held | None] = [None] * len(stays)
    for at, place in _read_forwards(places, reach, since):
        held[place.index] = Held(at, place.used)
    return tuple(held)


# -- from the last object to the first -------------------------------------------------------------


@frozen(eq=False)
class _Reach:
    """All entries that `latest` ever had. An entry was there for the objects from number `first` to
    `last` on: it came with object `last`, and `first` is the one before which it went (0: never).
    """

    latest: Integers
    first: Integers
    last: Integers

    def from_instant(self, at: int, index: int) -> int:
        """How many of the objects from number `index` on can be validated from an instant on."""
        there = (self.latest >= at) & (self.first <= index) & (index <= self.last)
        return int(np.count_nonzero(there))


def _look_back(
    stays: Sequence[Sequence[Stay]], since: int, until: int
) -> tuple[list[_Place], _Reach]:
    places: list[_Place] = []
    latest: list[int] = []
    numbers: list[int] = []  # of the entries of `latest`, in its order
    entries: list[int] = []
    first: list[int] = []
    last: list[int] = []
    for index in range(len(stays) - 1, -1, -1):
        own = [
            (max(stay.since, since), min(stay.until, until), stay.used)
            for stay in stays[index]
            if stay.since <= until and stay.until >= since
        ]
        for begins, ends, used in own:
            behind = len(latest) - bisect_left(latest, begins)
            places.append(_Place(begins, index, ends, used, behind))
        for begins, ends, _ in own:
            lost = bisect_left(latest, begins) - 1
            if lost >= 0:
                first[numbers[lost]] = index + 1
                del latest[lost], numbers[lost]
            added = bisect_left(latest, ends)
            latest.insert(added, ends)
            numbers.insert(added, len(entries))
            entries.append(ends)
            first.append(0)
            last.append(index)
    columns = (np.array(column, dtype=np.int64) for column in (entries, first, last))
    return places, _Reach(*columns)


# -- from the first object to the last -------------------------------------------------------------


def _read_forwards(
    places: Sequence[_Place], reach: _Reach, since: int
) -> Iterator[tuple[int, _Place]]:
    """The instants that count, in order, each with the place that it is taken from.

    Nothing is earlier than a stay that is under way, and of those the earliest object is the only
    one to ask: if it leaves too little for the rest, later ones leave no more.
    """
    to_come = sorted(places, reverse=True)  # the next one last
    under_way: list[tuple[int, int, _Place]] = []  # by object
    begin, now = 0, since
    begins_with: dict[int, list[_Place]] = {}
    for place in to_come:
        begins_with.setdefault(place.behind, []).append(place)
    for rest in range(reach.from_instant(since, 0) - 1, -1, -1):
        while to_come and to_come[-1].since <= now:
            place = to_come.pop()
            heappush(under_way, (place.index, place.since, place))
        while under_way and (under_way[0][0] < begin or under_way[0][2].until < now):
            heappop(under_way)
        if under_way and reach.from_instant(now, under_way[0][0] + 1) >= rest:
            chosen = under_way[0][2]
        else:
            ahead = reversed(begins_with[rest])
            chosen = next(p for p in ahead if p.since >= now and p.index >= begin)
        begin, now = chosen.index + 1, max(now, chosen.since)
        yield now, chosen
