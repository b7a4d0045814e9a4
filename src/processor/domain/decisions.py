"""The rulings on one segment of an entry, asked by what they are about.

A ruling names a stage, a segment, an object, a pass, or leaves them out. What is left out is filled
in so that a ruling never reaches further than its author can have meant: `set-start` without a
segment is for the stage's first special stage (else its first segment), a `set-time` without an
object for the finish, one without a pass for the last lap of the finish or the first of anything
else; the others without a pass are for every lap.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from attrs import evolve, frozen

from processor.domain.course import Entry, Segment, SegmentType, Stage
from processor.domain.instants import instant
from processor.domain.model import Pass
from processor.domain.rulings import Ruling, RulingKind, in_force

ON_AN_OBJECT = (
    RulingKind.SET_TIME,
    RulingKind.VALIDATE,
    RulingKind.INVALIDATE,
    RulingKind.CONFIRM,
)


def ruled_at(ruling: Ruling) -> int:
    """The instant that a set-time or set-start says. Raises ValueError where it says none."""
    said = ruling.value.get("at")
    try:
        return instant(datetime.fromisoformat(str(said)))
    except (ValueError, TypeError):
        raise ValueError(
            f"ruling {ruling.id} says at = {said!r}; an ISO-8601 time with Z or an offset is needed"
        ) from None


@frozen
class Decisions:
    """The rulings in force on one segment, in the order of their decision."""

    segment: Segment
    rulings: tuple[Ruling, ...] = ()

    def on(self, object_id: str | None, lap: int = 1) -> Ruling | None:
        """The last one that says whether or when the object counts in a lap."""
        return self._last(
            r for r in self.rulings if r.kind in ON_AN_OBJECT and self._means(r, object_id, lap)
        )

    def voids(self, used: Pass) -> bool:
        """Whether a ruling strikes out a pass: by its evidence interval where it has one, which
        holds for all devices, else by its number, else every pass of the object."""
        return any(
            r.object_id == used.object_id and _strikes(r, used)
            for r in self.rulings
            if r.kind is RulingKind.VOID_PASS
        )

    def voided(self, object_id: str) -> bool:
        """Whether a ruling strikes out any pass of an object: then a human has looked at it."""
        return any(
            r.kind is RulingKind.VOID_PASS and r.object_id == object_id for r in self.rulings
        )

    @property
    def set_start(self) -> Ruling | None:
        """The last one that sets the start, be it as such or as the time of the start object."""
        start = self.segment.start
        return self._last(
            r
            for r in self.rulings
            if r.kind is RulingKind.SET_START
            or (r.kind is RulingKind.SET_TIME and start is not None and r.object_id == start)
        )

    @property
    def confirmed(self) -> Ruling | None:
        """A `confirm` of the segment as a whole: it stands as it is."""
        return self._last(
            r for r in self.rulings if r.kind is RulingKind.CONFIRM and r.object_id is None
        )

    @property
    def device(self) -> tuple[str, Ruling] | None:
        """The device that is to time the segment, with the ruling that says so."""
        ruling = self._last(r for r in self.rulings if r.kind is RulingKind.CHOOSE_DEVICE)
        return None if ruling is None else (str(ruling.value.get("device_id")), ruling)

    @property
    def without_objects(self) -> "Decisions":
        """These without what they say of single objects; voided passes stay voided."""
        return evolve(self, rulings=tuple(r for r in self.rulings if r.kind not in ON_AN_OBJECT))

    def _means(self, ruling: Ruling, object_id: str | None, lap: int) -> bool:
        if object_id is None:
            return False
        named = ruling.object_id
        if named is None and ruling.kind is RulingKind.SET_TIME:
            named = self.segment.finish
        if named != object_id:
            return False
        if ruling.pass_number is not None:
            return ruling.pass_number == lap
        if ruling.kind is not RulingKind.SET_TIME:
            return True
        return lap == (self.segment.laps if object_id == self.segment.finish else 1)

    @staticmethod
    def _last(rulings: Iterable[Ruling]) -> Ruling | None:
        return next(reversed(list(rulings)), None)


def decisions(stage: Stage, segment: Segment, entry: Entry, rulings: Sequence[Ruling]) -> Decisions:
    """Those of an entry's rulings that are about a segment."""
    return Decisions(
        segment,
        tuple(r for r in of_stage(stage, entry, rulings) if _about(r, stage, segment)),
    )


def of_stage(stage: Stage, entry: Entry, rulings: Sequence[Ruling]) -> tuple[Ruling, ...]:
    """Those in force on an entry in a stage, in the order of their decision."""
    own = tuple(r for r in rulings if r.entry_id == entry.id and r.stage_id in (None, stage.id))
    return in_force(own)


def _about(ruling: Ruling, stage: Stage, segment: Segment) -> bool:
    if ruling.segment_id is not None:
        return ruling.segment_id == segment.id
    if ruling.object_id is not None:
        return segment.object(ruling.object_id) is not None
    if ruling.kind is RulingKind.SET_START:
        return segment is _first_timed(stage)
    # Without stage, segment and object only a device or a confirmation makes sense.
    return ruling.kind in (RulingKind.CHOOSE_DEVICE, RulingKind.CONFIRM)


def _first_timed(stage: Stage) -> Segment:
    special = (s for s in stage.segments if s.type is SegmentType.SPECIAL_STAGE)
    return next(special, stage.segments[0])


def _strikes(ruling: Ruling, used: Pass) -> bool:
    if ruling.evidence_from is not None or ruling.evidence_to is not None:
        begins_before_its_end = ruling.evidence_to is None or used.since <= ruling.evidence_to
        over_before_it = (
            ruling.evidence_from is not None
            and used.exit is not None
            and used.exit.at < ruling.evidence_from
        )
        return begins_before_its_end and not over_before_it
    return ruling.pass_number is None or ruling.pass_number == used.number
