"""A device's track, folded piece by piece.

What was found before a settled fix can no longer change (the window law). So between two pieces
little is kept: the fixes since the last settled one and the visits that are open there; what comes
after it is found again with every piece. Folding in pieces and looking at the whole give the same,
which is the fold law.
"""

from typing import TypeVar

import numpy as np
from attrs import define, field

from processor.domain.crossings import Ground, Known, Scan, told
from processor.domain.model import Crossing, Pass, Track
from processor.domain.visits import Visit

T = TypeVar("T")


@define
class Fold:
    """What is kept of one device's track. `take` adds a piece; `passes` and `crossings` say what
    the whole track has, as of now."""

    ground: Ground
    device_id: str
    _tail: Track | None = None
    _known: Known = field(factory=Known)
    _firm_visits: dict[str, list[Visit]] = field(factory=dict)
    _firm_crosses: dict[str, list[Crossing]] = field(factory=dict)
    _loose_visits: dict[str, list[Visit]] = field(factory=dict)
    _loose_crosses: dict[str, list[Crossing]] = field(factory=dict)

    @property
    def held(self) -> int:
        """How many fixes are kept."""
        return 0 if self._tail is None else len(self._tail)

    def take(self, piece: Track) -> None:
        """Add a piece of the track. Every fix of it must be later than all those before."""
        assert piece.device_id == self.device_id, "a fold is of one device"
        if not len(piece):
            return
        track = piece if self._tail is None else _joined(self._tail, piece)
        scan = self.ground.scan(track, self._known)
        settled = self._last_settled(scan)
        until = int(track.at[settled])
        self._sort_out(scan, until)
        self._tail = track.cut(settled, len(track))

    def crossings(self) -> tuple[Crossing, ...]:
        """The crossings of the whole track so far."""
        return self._told()[0]

    def passes(self) -> dict[str, tuple[Pass, ...]]:
        """The passes of the whole track so far, by object."""
        return self._told()[1]

    def _told(self) -> tuple[tuple[Crossing, ...], dict[str, tuple[Pass, ...]]]:
        return told(
            self.device_id,
            _together(self._firm_visits, self._loose_visits),
            _together(self._firm_crosses, self._loose_crosses),
        )

    def _last_settled(self, scan: Scan) -> int:
        """The last settled fix; the first of all where none is, from which everything is kept."""
        for fix in range(len(scan.drive.track) - 1, 0, -1):
            if self.ground.settled(scan, fix):
                return fix
        return 0

    def _sort_out(self, scan: Scan, until: int) -> None:
        """Put what was over by the instant of the settled fix among the firm, and remember what was
        open then."""
        open_then: dict[str, Visit] = {}
        self._loose_visits, self._loose_crosses = {}, {}
        for name, found in scan.visits.items():
            for visit in found:
                if visit.exit is not None and visit.exit.after <= until:
                    self._firm_visits.setdefault(name, []).append(visit)
                    continue
                self._loose_visits.setdefault(name, []).append(visit)
                if _began(visit) <= until:
                    open_then[name] = Visit(visit.since, visit.enter)
        for name, crosses in scan.crosses.items():
            for cross in crosses:
                over = self._firm_crosses if cross.after <= until else self._loose_crosses
                over.setdefault(name, []).append(cross)
        began = self._known.began or until > int(scan.drive.track.at[0])
        self._known = Known(open_then if began else {}, began)


def _began(visit: Visit) -> int:
    """The first fix that lay inside."""
    return visit.since if visit.enter is None else visit.enter.after


def _together(firm: dict[str, list[T]], loose: dict[str, list[T]]) -> dict[str, list[T]]:
    return {name: [*firm.get(name, ()), *loose.get(name, ())] for name in (*firm, *loose)}


def _joined(tail: Track, piece: Track) -> Track:
    assert tail.at[-1] < piece.at[0], "the pieces of a track follow one another"
    return Track(
        tail.device_id,
        np.concatenate((tail.at, piece.at)),
        np.concatenate((tail.latitude, piece.latitude)),
        np.concatenate((tail.longitude, piece.longitude)),
        np.concatenate((tail.speed_kmh, piece.speed_kmh)),
        np.concatenate((tail.hdop, piece.hdop)),
    )
