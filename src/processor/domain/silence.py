"""What a silent tracker may hide: where a car could have been meanwhile.

Silence is a gap between two fixes, the time from an official start to the first fix, or from the
last fix to something validated later. An object is hidden by it if a car could have gone from the
fix before to the object and on to the fix after: distance a + distance b at most max speed x the
duration (design/racing.md, Geometry, Gaps).

Each gap is judged by itself: the fix between two of them says where the car was. Only around a leap
that no car can make that fix is not to be believed, so there the gaps on both sides of it are one
silence more.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter

import numpy as np
from attrs import frozen

from processor.domain.chords import KMH
from processor.domain.course import Object
from processor.domain.instants import SECOND
from processor.domain.marks import Case
from processor.domain.model import Fix, Gap, Integers
from processor.domain.plane import metres
from processor.domain.witnesses import Witness


@frozen
class Between:
    """The validated neighbours in order of an object without a mark. `follows`: the later one is a
    mark and not only the end of what may count."""

    since: int | None
    until: int | None
    follows: bool


@frozen
class Silence:
    """Between two fixes nothing is known (None: before the first, behind the last)."""

    before: Fix | None
    after: Fix | None
    since: int
    until: int

    @property
    def seconds(self) -> float:
        return (self.until - self.since) / SECOND


class Silences:
    """The silences of one device, ready to be asked which objects they hide."""

    def __init__(self, case: Case, witness: Witness) -> None:
        gaps = sorted(witness.evidence.gaps, key=lambda gap: gap.before.at)
        self._case = case
        self._track = witness.track
        self._alone = [_silence(gap, gap) for gap in gaps]
        self._around_leaps = [
            _silence(run[0], run[-1]) for run in _runs(case, gaps) if len(run) > 1
        ]

    def hiding(self, things: Sequence[Object], between: Between) -> Mapping[str, Silence]:
        """By object id, of those that could have been passed in one, the first such silence."""
        possible = [*self._within(between), *self._at_the_ends(between)]
        if not possible:
            return {}
        ends = list(dict.fromkeys(f for s in possible for f in (s.before, s.after) if f))
        places = {fix: number for number, fix in enumerate(ends)}
        before, after = (
            # Of what is not known, the last place: 0 m are added there.
            np.array([len(ends) if fix is None else places[fix] for fix in column])
            for column in ([s.before for s in possible], [s.after for s in possible])
        )
        fastest_ms = self._case.settings.max_speed_kmh / KMH
        reach_m = np.array([silence.seconds for silence in possible]) * fastest_ms
        away = self._case.distances.distances(
            [thing.id for thing in things],
            [fix.longitude for fix in ends],
            [fix.latitude for fix in ends],
        )
        found = {}
        for object_id, metres_away in away.items():
            to_end = np.append(metres_away, 0.0)
            first = _first(to_end[before] + to_end[after] <= reach_m)
            if first is not None:
                found[object_id] = possible[first]
        return found

    def _within(self, between: Between) -> Iterator[Silence]:
        """Those that begin before the later neighbour and end after the earlier one."""
        for silences in (self._alone, self._around_leaps):
            first, last = 0, len(silences)
            if between.since is not None:
                first = bisect_right(silences, between.since, key=attrgetter("until"))
            if between.until is not None:
                last = bisect_left(silences, between.until, key=attrgetter("since"))
            yield from silences[first:last]

    def _at_the_ends(self, between: Between) -> Iterator[Silence]:
        """From something known by other means to the first fix, and from the last fix to such."""
        long = int(self._case.settings.gap_seconds * SECOND)
        since, until, track = between.since, between.until, self._track
        if not len(track):
            return
        first, last = track.fix(0), track.fix(len(track) - 1)
        if since is not None and first.at > since + long and (until is None or since < until):
            yield Silence(None, first, since, first.at)
        if between.follows and until is not None and last.at < until - long:
            yield Silence(last, None, last.at, until)


def _silence(first: Gap, last: Gap) -> Silence:
    return Silence(first.before, last.after, first.before.at, last.after.at)


def _first(mask: "np.typing.NDArray[np.bool_]") -> int | None:
    found: Integers = np.flatnonzero(mask)
    return int(found[0]) if len(found) else None


def _runs(case: Case, gaps: Sequence[Gap]) -> list[list[Gap]]:
    """Gaps that follow one another with only one fix between them, which a leap makes doubtful."""
    leap = [_is_leap(case, gap) for gap in gaps]
    runs = [[gap] for gap in gaps[:1]]
    for (gap, following), doubtful in zip(pairwise(gaps), pairwise(leap), strict=True):
        if gap.after.at == following.before.at and any(doubtful):
            runs[-1].append(following)
        else:
            runs.append([following])
    return runs


def _is_leap(case: Case, gap: Gap) -> bool:
    """Whether no car goes from the one end to the other, however long the device was silent."""
    ends = [(fix.longitude, fix.latitude) for fix in (gap.before, gap.after)]
    seconds = (gap.after.at - gap.before.at) / SECOND
    return gap.speeding or metres(*ends) > case.settings.max_speed_kmh / KMH * seconds
