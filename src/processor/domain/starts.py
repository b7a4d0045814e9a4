"""When a segment was begun: what the tracker says of it, by the four start rules.

`last-exit` (and the measured start beside an `assigned` one) is the last exit of the start, not
later than the start closes and before the first object that counts: whoever moves up in the queue,
or shakes on the line, starts when he leaves for good. Where start_closes_at is not said, the start
closes 60 s after the first exit that was followed by the track being more than 200 m outside,
before it came back in. `first-exit` and `first-enter` are rolling starts.
"""

from collections.abc import Sequence

from attrs import frozen

from processor.domain.course import Entry, Kind, Segment, SegmentType, StartRule
from processor.domain.decisions import ruled_at
from processor.domain.instants import SECOND, later
from processor.domain.marks import Case, Mark
from processor.domain.model import Crossing, Pass
from processor.domain.rulings import Ruling, RulingKind
from processor.domain.witnesses import Witness

GONE_M = 200.0  # design/racing.md, Start: so far out, a car has left and is not queueing
CLOSES_AFTER = 60 * SECOND  # ditto: what a car may still shake on the line after that


@frozen
class Start:
    """The start that counts. `at`: None where there is none; `official_at` a ruling's or the
    assigned one, `mark` what the tracker says. `source`: ruling, assigned, gps, or (a segment
    without a start of its own) previous-finish. `waiting_for`: what may still move it."""

    at: int | None
    source: str
    official_at: int | None = None
    mark: Mark | None = None
    uncertainty_ms: int | None = None
    waiting_for: tuple[str, ...] = ()
    ruling: Ruling | None = None


def rule_of(segment: Segment, target: int | None) -> StartRule:
    """The start rule that holds: the segment's, else (files) `assigned` where there is a target
    and `last-exit` where there is none."""
    if segment.start_rule is not None:
        return segment.start_rule
    return StartRule.LAST_EXIT if target is None else StartRule.ASSIGNED


def target_of(segment: Segment, entry: Entry) -> int | None:
    """The instant that the start list assigned to the start of a segment."""
    return None if target_is_of_control(segment) else entry.start_at.get(segment.id)


def target_is_of_control(segment: Segment) -> bool:
    """Whether what the start list says of a segment is when its time control is due: it has one,
    no start of its own, and no time that anybody is ranked by."""
    special = segment.type is SegmentType.SPECIAL_STAGE
    controls = (thing for thing in segment.objects if thing.kind is Kind.TIME_CONTROL)
    return not special and segment.start is None and next(controls, None) is not None


def official_start(case: Case) -> int | None:
    """The start that does not come from the tracker: a ruling's, or the assigned one."""
    ruling = case.decisions.set_start
    if ruling is not None:
        return ruled_at(ruling)
    return case.target if case.rule is StartRule.ASSIGNED else None


def start_of(case: Case, mark: Mark | None) -> Start:
    """The start that counts, given what the tracker measured. Rulings win, then the start list
    (rule `assigned`), then the finish before, where the segment has no start of its own."""
    ruling = case.decisions.set_start
    official = official_start(case)
    if official is not None:
        source = "assigned" if ruling is None else "ruling"
        return Start(official, source, official, mark, uncertainty_ms=0, ruling=ruling)
    if case.segment.start is None:
        return Start(case.previous_finish, "previous-finish", uncertainty_ms=_of_previous(case))
    if mark is None:
        return Start(None, "gps")
    ruling = case.decisions.on(case.segment.start)
    waiting_for = []
    if case.rule is StartRule.ASSIGNED:
        waiting_for.append("start-target")
    if mark.provisional:
        waiting_for.append("provisional-crossing")
    return Start(
        mark.at,
        "gps",
        mark=mark,
        uncertainty_ms=mark.uncertainty_ms,
        waiting_for=tuple(waiting_for) if ruling is None else (),
        ruling=ruling,
    )


def _of_previous(case: Case) -> int | None:
    used = None if case.previous_timed is None else case.previous_timed.finish_used
    return 0 if used is None or used.enter is None else used.enter.uncertainty_ms


def departures(case: Case, witness: Witness) -> tuple[Mark, ...]:
    """All that may be the start: the exits (or enters) in the window, without the voided."""
    ruling = case.decisions.on(case.segment.start)
    if ruling is not None and ruling.kind is RulingKind.INVALIDATE:
        return ()
    found = []
    for used in _passes(case, witness):
        edge = _edge(case.rule, used)
        if edge is not None and case.window.holds(edge.at) and not case.decisions.voids(used):
            found.append(Mark(edge.at, witness.device_id, used, edge, edge.provisional))
    return tuple(found)


def measured(
    case: Case, witness: Witness, found: Sequence[Mark], before: int | None
) -> Mark | None:
    """Which of the departures is the start by the rule, None where none is. `before`: the instant
    by which the first object that counts must still be ahead."""
    first_counts = case.rule in (StartRule.FIRST_EXIT, StartRule.FIRST_ENTER)
    closes_at = case.segment.start_closes_at
    if closes_at is None and not first_counts:
        closes_at = _closes_at(case, witness, found)
    possible = [
        mark
        for mark in found
        if (before is None or mark.at <= before) and (closes_at is None or mark.at <= closes_at)
    ]
    if not possible:
        return None
    return possible[0] if first_counts else possible[-1]


def _passes(case: Case, witness: Witness) -> Sequence[Pass]:
    start = case.segment.start
    return () if start is None else witness.evidence.passes.get(start, ())


def _edge(rule: StartRule, used: Pass) -> Crossing | None:
    return used.enter if rule is StartRule.FIRST_ENTER else used.exit


def _closes_at(case: Case, witness: Witness, found: Sequence[Mark]) -> int | None:
    """60 s after the first exit for good; None while there was none."""
    begins = [used.since for used in _passes(case, witness)]
    for mark in found:
        back = min((since for since in begins if since > mark.at), default=None)
        if _gone(case, witness, mark.at, back):
            return later(mark.at, CLOSES_AFTER)
    return None


def _gone(case: Case, witness: Witness, since: int, until: int | None) -> bool:
    start = case.segment.start
    assert start is not None
    part = witness.track.between(since, until)
    places = zip(part.longitude, part.latitude, strict=True)
    return any(
        case.distances.distance(start, (float(lon), float(lat))) > GONE_M for lon, lat in places
    )
