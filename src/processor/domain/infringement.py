"""An infringement: something that happened and that rules may punish, as a value."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from attrs import field, frozen

from processor.domain.course import Object
from processor.domain.decisions import Decisions
from processor.domain.instants import iso
from processor.domain.model import Crossing, Fix
from processor.domain.rules import Offence
from processor.domain.timesheet import SegmentSheet, StageSheet
from processor.domain.witnesses import Witness


@frozen
class Where:
    """What an infringement is about: an object or zone (None: the segment as a whole), its kind
    (of a segment: its type) and the lap or the number of the visit."""

    object_id: str | None
    kind: str
    pass_number: int | None = None


@frozen
class Member:
    """An ordered object of a segment: one of those whose share is judged."""

    object_id: str
    kind: str
    missed: bool


@frozen
class Infringement:
    """Something that rules may punish. `amount` in the unit of its type.

    `at` orders infringements (it is the instant of what came last before, where nothing says when
    exactly); `since`, `until` bound the evidence, None where it is the whole segment. `text` begins
    the sentence for a steward. `amount_by_peak` is the other form of the time gained. `members` are
    what a share is a share of.
    """

    type: Offence
    stage_id: str
    segment_id: str
    where: Where
    amount: Decimal
    at: int
    text: str
    since: int | None = None
    until: int | None = None
    fixes: tuple[Fix, ...] = ()
    facts: Mapping[str, object] = field(factory=dict)
    amount_by_peak: Decimal | None = None
    members: tuple[Member, ...] = ()


@frozen
class Scene:
    """A segment of an entry: its sheet, those who saw it, and what officials decided."""

    stage: StageSheet
    sheet: SegmentSheet
    seen_by: Sequence[Witness]
    decided: Decisions

    def one(
        self,
        offence: Offence,
        where: Where,
        amount: Decimal,
        at: int,
        text: str,
        evidence: tuple[int | None, int | None] = (None, None),
        fixes: Sequence[Fix] = (),
        facts: Mapping[str, object] | None = None,
        amount_by_peak: Decimal | None = None,
        members: Sequence[Member] = (),
    ) -> Infringement:
        """An infringement here."""
        return Infringement(
            offence,
            self.stage.stage.id,
            self.sheet.segment.id,
            where,
            amount,
            at,
            text,
            *evidence,
            fixes=tuple(fixes),
            facts=facts or {},
            amount_by_peak=amount_by_peak,
            members=tuple(members),
        )

    @property
    def began(self) -> int:
        """When the segment began, as far as anything says it: it only orders infringements."""
        return next((at for at in (self.sheet.start_at, self.sheet.since) if at is not None), 0)

    def witness(self, device_id: str | None) -> Witness | None:
        """A device; without an id the one that the segment was timed by."""
        wanted = device_id or self.sheet.device_id
        return next((w for w in self.seen_by if w.device_id == wanted), None)

    def crossing(self, object_id: str | None, at: int | None) -> Crossing | None:
        """The crossing of an object at an instant, whichever device saw it."""
        return next(
            (
                crossing
                for witness in self.seen_by
                for used in witness.evidence.passes.get(object_id or "", ())
                for crossing in (used.enter, used.exit)
                if crossing is not None and crossing.at == at
            ),
            None,
        )


def at_object(thing: Object, pass_number: int | None = 1) -> Where:
    return Where(thing.id, thing.kind.value, pass_number)


# -- in words --------------------------------------------------------------------------------------


def clock(instant_us: int) -> str:
    """The time of day, UTC, with what it has of parts of a second: 08:12:31."""
    whole, _, parts = iso(instant_us)[11:-1].partition(".")
    parts = parts.rstrip("0")
    return f"{whole}.{parts}" if parts else whole


_WRITTEN_PLACES = 9  # more than anybody writes, so what has more was divided
_SHOWN_PLACES = 4


def plain(value: Decimal) -> str:
    """A number as it is read: 900, 2.5; of one whose digits do not end the first four, 2.2727."""
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > _WRITTEN_PLACES:
        value = round(value, _SHOWN_PLACES)
    return f"{value.normalize():f}"


def name(thing: Object) -> str:
    """What people call an object."""
    return thing.name or thing.id
