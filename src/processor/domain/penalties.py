"""Penalties: what an entry did in a stage, what it costs, and what the stewards made of it.

    infringements (what happened)  ->  charges (what it costs)  ->  rulings  ->  penalties

A ruling wins, and what was computed stays beside it. `waive` and `override` belong to the offence
of their segment, type and object whose evidence overlaps their own the most; where there is none
any more they go to review. `add-penalty` stands by itself (contracts/business-schema.md). A waived
offence still counts as an occurrence: the next one is computed as if nobody had ruled.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from attrs import evolve, frozen

from processor.domain.charges import Charge, charges
from processor.domain.course import Object, Zone
from processor.domain.decisions import decisions
from processor.domain.explain import fix_told, object_told
from processor.domain.formulas import UNITS, ZERO, tidy
from processor.domain.infringement import Infringement, clock, name, plain
from processor.domain.infringements import infringements
from processor.domain.instants import iso
from processor.domain.model import Evidence
from processor.domain.outcome import Penalty, ReviewItem
from processor.domain.reckoning import arithmetic, number, row_told, rows, sentence
from processor.domain.rules import Outcome, Rules
from processor.domain.rulings import Ruling, RulingKind, in_force
from processor.domain.speed import OpenZone, open_zones
from processor.domain.timesheet import SegmentSheet, StageSheet

RULED = (RulingKind.WAIVE, RulingKind.OVERRIDE, RulingKind.ADD_PENALTY)
NO_LIMIT = 2**62


@frozen
class Tally:
    """What an entry did in the stages so far, in order: rules may count offences over an event."""

    infringements: tuple[Infringement, ...] = ()


def penalise(
    sheet: StageSheet,
    evidences: Sequence[Evidence],
    rules: Rules,
    rulings: Sequence[Ruling] = (),
    tally: Tally | None = None,
) -> tuple[tuple[Penalty, ...], tuple[ReviewItem, ...], Tally]:
    """The penalties of an entry in a stage, what an official has to look at, and the tally for the
    next stage. `tally` is that of the stages before. Raises ValueError on a ruling that says no
    seconds where it has to."""
    earlier = () if tally is None else tally.infringements
    found = infringements(sheet, evidences, rulings)
    things = _things(sheet)
    computed = [
        _penalty(sheet, charge, rules, things)
        for charge in charges(found, earlier, rules, sheet.entry.class_id)
    ]
    penalties, homeless = _ruled(sheet, computed, rulings)
    reviews = [*_open_zones(sheet, rulings), *_for_review(penalties), *homeless]
    return tuple(penalties), tuple(reviews), Tally((*earlier, *found))


# -- what a charge says ----------------------------------------------------------------------------


def _penalty(
    sheet: StageSheet, charge: Charge, rules: Rules, things: Mapping[str, Object | Zone]
) -> Penalty:
    one, leading = charge.infringement, charge.leading
    thing = things.get(one.where.object_id or "")
    text = f"{sentence(charge)} ({rows(charge)} of version {rules.version})."
    return Penalty(
        entry_id=sheet.entry.id,
        stage_id=one.stage_id,
        segment_id=one.segment_id,
        type=one.type.value,
        object_id=one.where.object_id,
        pass_number=one.where.pass_number,
        occurrence=leading.occurrence,
        computed_seconds=charge.seconds,
        penalty_seconds=charge.seconds,
        outcome=charge.outcome,
        explanation={
            "text": text,
            **({} if thing is None else {"object": object_told(thing)}),
            "fixes": [fix_told(fix) for fix in one.fixes],
            "facts": {key: number(value) for key, value in one.facts.items()},
            "rule": [row_told(line.row) for line in charge.lines],
            "rules_version": rules.version,
            "arithmetic": [arithmetic(line) for line in charge.lines],
            "computed": {"seconds": number(charge.seconds), "outcome": charge.outcome.value},
        },
        formula_id=leading.row.id,
        formula_snapshot={
            "version": rules.version,
            "rows": [row_told(x.row) for x in charge.lines],
        },
        inputs={
            "amount": number(leading.whole),
            "unit": UNITS[one.type],
            "occurrence": leading.occurrence,
        },
        evidence_from=one.since,
        evidence_to=one.until,
    )


def _things(sheet: StageSheet) -> Mapping[str, Object | Zone]:
    """What an offence may be about, by id."""
    found: dict[str, Object | Zone] = {}
    for part in sheet.segments:
        found |= {thing.id: thing for thing in part.segment.objects}
        found |= {zone.id: zone for zone in part.segment.zones}
    return found


# -- rulings ---------------------------------------------------------------------------------------


def _ruled(
    sheet: StageSheet, computed: Sequence[Penalty], rulings: Sequence[Ruling]
) -> tuple[list[Penalty], list[ReviewItem]]:
    """The penalties after the rulings, and the rulings that found no offence."""
    penalties, homeless = list(computed), []
    own = in_force(tuple(r for r in rulings if r.entry_id == sheet.entry.id))
    added: list[Penalty] = []
    for ruling in (r for r in own if r.kind in RULED):
        if not _names_a_place(ruling):
            message = f"Ruling {ruling.id} ({ruling.kind}) does not say of which stage it is."
            homeless.append(_homeless(sheet, ruling, message))
        elif not _of_stage(sheet, ruling):
            continue
        elif ruling.kind is RulingKind.ADD_PENALTY:
            added.append(_added(sheet, ruling))
        else:
            place = _offence_of(ruling, computed)
            if place is None:
                message = f"Ruling {ruling.id} ({ruling.kind}) is of an offence that is not there."
                homeless.append(_homeless(sheet, ruling, message))
            else:
                # Of two rulings on one offence the later one replaces the earlier whole: it is
                # made on what was computed, and not on what had been made of that.
                penalties[place] = _decided(computed[place], ruling)
    return [*penalties, *added], homeless


def _names_a_place(ruling: Ruling) -> bool:
    return any((ruling.stage_id, ruling.segment_id, ruling.object_id))


def _of_stage(sheet: StageSheet, ruling: Ruling) -> bool:
    if ruling.stage_id is not None:
        return ruling.stage_id == sheet.stage.id
    segments = sheet.stage.segments
    if ruling.segment_id is not None:
        return any(segment.id == ruling.segment_id for segment in segments)
    objects = (thing.id for segment in segments for thing in segment.objects)
    zones = (zone.id for segment in segments for zone in segment.zones)
    return ruling.object_id in (*objects, *zones)


def _offence_of(ruling: Ruling, computed: Sequence[Penalty]) -> int | None:
    """The place of the penalty that a ruling is about. What a ruling does not say (segment, type,
    object) is any; of equal overlaps the pass that it names decides, then the earliest."""
    ranked = sorted(
        (-overlap, penalty.pass_number != ruling.pass_number, place)
        for place, penalty in enumerate(computed)
        if ruling.segment_id in (None, penalty.segment_id)
        and ruling.type in (None, penalty.type)
        and ruling.object_id in (None, penalty.object_id)
        and (overlap := _overlap(ruling, penalty)) is not None
    )
    return ranked[0][2] if ranked else None


def _overlap(ruling: Ruling, penalty: Penalty) -> int | None:
    """Microseconds that both intervals have in common, None where they are apart. A ruling without
    an interval overlaps all alike."""
    if ruling.evidence_from is None and ruling.evidence_to is None:
        return 0
    starts = (ruling.evidence_from, penalty.evidence_from)
    ends = (ruling.evidence_to, penalty.evidence_to)
    since = max(-NO_LIMIT if at is None else at for at in starts)
    until = min(NO_LIMIT if at is None else at for at in ends)
    return until - since if until >= since else None


def _decided(penalty: Penalty, ruling: Ruling) -> Penalty:
    """A penalty after a ruling. Its outcome goes with the seconds: who is let off is let off."""
    waived = ruling.kind is RulingKind.WAIVE
    seconds = ZERO if waived else _seconds(ruling)
    verdict = "Waived" if waived else f"Set to {plain(seconds)} s"
    return evolve(
        penalty,
        penalty_seconds=seconds,
        outcome=Outcome.TIME if waived else _outcome(ruling),
        ruling_id=ruling.id,
        explanation={
            **penalty.explanation,
            "text": f"{penalty.explanation['text']} {verdict}{_by(ruling)}.",
            "ruling": _told(ruling),
        },
    )


def _added(sheet: StageSheet, ruling: Ruling) -> Penalty:
    seconds, outcome = _seconds(ruling), _outcome(ruling)
    said = ruling.value.get("type") or ruling.type or RulingKind.ADD_PENALTY.value
    cost = f"{plain(seconds)} s" if outcome is Outcome.TIME else outcome.value
    return Penalty(
        entry_id=sheet.entry.id,
        stage_id=sheet.stage.id,
        segment_id=ruling.segment_id,
        type=str(said),
        object_id=ruling.object_id,
        pass_number=ruling.pass_number,
        occurrence=1,
        computed_seconds=ZERO,
        penalty_seconds=seconds,
        outcome=outcome,
        explanation={"text": f"{said}: {cost}{_by(ruling)}.", "ruling": _told(ruling)},
        evidence_from=ruling.evidence_from,
        evidence_to=ruling.evidence_to,
        ruling_id=ruling.id,
    )


def _seconds(ruling: Ruling) -> Decimal:
    """What a ruling says. One with an outcome other than time may leave the seconds out."""
    said = ruling.value.get("seconds")
    if said is None and ruling.value.get("outcome") not in (None, Outcome.TIME.value):
        return ZERO
    try:
        seconds = Decimal(str(said))
    except InvalidOperation:
        seconds = Decimal("NaN")
    if isinstance(said, bool) or not seconds.is_finite():
        raise ValueError(f"ruling {ruling.id} says seconds = {said!r}; a number is needed")
    return tidy(seconds)


def _outcome(ruling: Ruling) -> Outcome:
    said = ruling.value.get("outcome") or Outcome.TIME.value
    try:
        return Outcome(str(said))
    except ValueError:
        known = ", ".join(Outcome)
        raise ValueError(
            f"ruling {ruling.id} says outcome = {said!r}; one of {known} is needed"
        ) from None


def _by(ruling: Ruling) -> str:
    who = f" by {ruling.decided_by}" if ruling.decided_by else ""
    reason = f": {ruling.reason.rstrip('.')}" if ruling.reason else ""
    return f"{who} (ruling {ruling.id}){reason}"


def _told(ruling: Ruling) -> Mapping[str, object]:
    return {
        "id": ruling.id,
        "kind": ruling.kind.value,
        "value": dict(ruling.value),
        "source": ruling.source,
        "reason": ruling.reason,
        "decided_by": ruling.decided_by,
        "decided_at": iso(ruling.decided_at),
    }


# -- for review ------------------------------------------------------------------------------------


def _homeless(sheet: StageSheet, ruling: Ruling, message: str) -> ReviewItem:
    return ReviewItem(
        "ruling-without-offence",
        sheet.entry.id,
        sheet.stage.id,
        ruling.segment_id,
        message,
        object_id=ruling.object_id,
        pass_number=ruling.pass_number,
        evidence_from=ruling.evidence_from,
        evidence_to=ruling.evidence_to,
        evidence={"ruling_id": ruling.id, "type": ruling.type},
    )


def _for_review(penalties: Sequence[Penalty]) -> Iterator[ReviewItem]:
    """What a rule puts before an official instead of deciding it."""
    for penalty in penalties:
        if penalty.outcome is Outcome.REVIEW:
            yield ReviewItem(
                "rule",
                penalty.entry_id,
                penalty.stage_id,
                penalty.segment_id,
                str(penalty.explanation["text"]),
                object_id=penalty.object_id,
                pass_number=penalty.pass_number,
                evidence_from=penalty.evidence_from,
                evidence_to=penalty.evidence_to,
                evidence={"type": penalty.type, "occurrence": penalty.occurrence},
            )


def _open_zones(sheet: StageSheet, rulings: Sequence[Ruling]) -> Iterator[ReviewItem]:
    for segment in sheet.segments:
        decided = decisions(sheet.stage, segment.segment, sheet.entry, rulings)
        if decided.confirmed is None:
            for zone in open_zones(segment):
                yield _zone_open(sheet, segment, zone)


def _zone_open(sheet: StageSheet, segment: SegmentSheet, zone: OpenZone) -> ReviewItem:
    begin, end = zone.begin, zone.end
    missed = "has no FZ" if end is None else f"was not left through {name(end.object)}"
    judged = "no speed was judged" if zone.until is None else f"it was ended at {clock(zone.until)}"
    return ReviewItem(
        "zone-open",
        sheet.entry.id,
        sheet.stage.id,
        segment.segment.id,
        f"The zone of {name(begin.object)}, entered at {clock(zone.since)}, {missed}: {judged}.",
        object_id=begin.object.id,
        pass_number=begin.lap,
        evidence_from=zone.since,
        evidence_to=zone.until,
        evidence={"end": None if end is None else end.object.id},
    )
