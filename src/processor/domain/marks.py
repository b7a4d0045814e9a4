"""The places of a segment in their order, and what one device (or several) put into them.

A segment driven once is: its start, its ordered objects, its finish. Each further lap adds the
objects and the finish again; the finish of a lap is the start of the next. So a *slot* is a place
in that list, a *mark* an instant that fills it, and a *reading* the marks of all slots.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from attrs import frozen

from processor.domain.course import Entry, Object, Place, Segment, Stage, StartRule
from processor.domain.decisions import Decisions
from processor.domain.model import Crossing, Floats, Nearest, Pass, Track
from processor.domain.rules import Settings
from processor.domain.rulings import Ruling
from processor.domain.timesheet import SegmentSheet
from processor.domain.windows import Window


class Distances(Protocol):
    """What timing asks of the ground (crossings.py has it)."""

    def nearest(
        self, object_ids: Sequence[str], track: Track, since: int | None, until: int | None
    ) -> Mapping[str, Nearest]:
        """Where the track came nearest to the edge of each object between two instants, over its
        chords, gaps excluded; nothing without a fix there."""
        ...

    def distance(self, object_id: str, place: Place) -> float:
        """Metres from the object's edge, 0 inside; of a gate from the line between its posts."""
        ...

    def distances(
        self, object_ids: Sequence[str], longitude: Sequence[float], latitude: Sequence[float]
    ) -> Mapping[str, Floats]:
        """The same from many places, by object id."""
        ...


class Role(StrEnum):
    START = "start"
    OBJECT = "object"
    FINISH = "finish"


@frozen
class Slot:
    """One place in the order of a segment. `object` is None of a start or finish that the segment
    does not have."""

    role: Role
    object: Object | None
    lap: int


def slots(segment: Segment) -> tuple[Slot, ...]:
    """Start, then lap by lap the ordered objects and the finish."""
    found = [Slot(Role.START, segment.object(segment.start), 1)]
    for lap in range(1, segment.laps + 1):
        found += [Slot(Role.OBJECT, thing, lap) for thing in segment.ordered]
        found.append(Slot(Role.FINISH, segment.object(segment.finish), lap))
    return tuple(found)


@frozen
class Mark:
    """An instant that fills a slot: from a crossing, from a stay that had begun before (then the
    crossing is None), or from a ruling. `provisional`: it rests on a crossing in a gap.
    `out_of_order`: a finish before which less than half of the objects were passed."""

    at: int
    device_id: str | None = None
    used: Pass | None = None
    crossing: Crossing | None = None
    provisional: bool = False
    out_of_order: bool = False
    ruling: Ruling | None = None

    @property
    def uncertainty_ms(self) -> int | None:
        if self.ruling is not None:
            return 0
        return None if self.crossing is None else self.crossing.uncertainty_ms


@frozen
class Reading:
    """The marks of a segment's slots, None where there is none. `mixed`: of several devices."""

    device_id: str
    marks: tuple[Mark | None, ...]
    mixed: bool = False

    @property
    def start(self) -> Mark | None:
        return self.marks[0]

    @property
    def finish(self) -> Mark | None:
        """That of the last lap."""
        return self.marks[-1]


@frozen
class Case:
    """One segment of one entry, and all that bears on it. `rule` is the start rule that holds,
    `target` the start list's instant for its start, `before` the sheets of the segments before it
    in the stage.
    """

    stage: Stage
    entry: Entry
    segment: Segment
    slots: tuple[Slot, ...]
    window: Window
    decisions: Decisions
    rule: StartRule
    target: int | None
    before: tuple[SegmentSheet, ...]
    settings: Settings
    distances: Distances

    @property
    def previous_timed(self) -> SegmentSheet | None:
        """The last segment before it that has a finish: a parc ferme without one is no end of
        anything."""
        timed = (sheet for sheet in reversed(self.before) if sheet.segment.finish is not None)
        return next(timed, None)

    @property
    def previous_finish(self) -> int | None:
        return None if self.previous_timed is None else self.previous_timed.finish_at

    @property
    def over_at(self) -> int | None:
        """After which nothing more is to come though the finish is missing: the closure, or the
        end of the window where that is earlier. None while the stage is open."""
        return None if self.stage.closed_at is None else self.window.until
