"""What an infringement costs: which rows of the rules are about it, and their sum.

    rows of its type  ->  the most specific level that has any  ->  filters, count, bracket  ->  sum

Rows of the level segment go before those of the class, the stage and the event; the level is chosen
by there being any row of the type at all. Of these rows all that hold add up, then a `repeat`
multiplies the sum. The order of the rows in their file decides nothing.

*Counted* infringements (missed waypoints and stops) are judged together: of a segment, those that
pass a row's filter are one amount, 2 missed. It is compared with the row's bracket whole, and each
of them then carries what it adds: 900 and 900 of a `per-unit`, the whole `add` at the first, a
`status` at the last. So the sum is that of the whole, and yet each object has a penalty of its own
that a steward can waive.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from attrs import frozen

from processor.domain import formulas
from processor.domain.formulas import ZERO, tidy
from processor.domain.infringement import Infringement
from processor.domain.rules import Formula, Level, Offence, Operator, Outcome, Rules, Scope

COUNTED = (Offence.MISSED_WAYPOINT, Offence.STOP_MISSED)
DEFAULT_SCOPE = Scope.STAGE
"""What a row counts offences in that does not say it."""

_LEVELS = (Level.SEGMENT, Level.CLASS, Level.STAGE, Level.EVENT)
_OPERATORS = tuple(Operator)


@frozen
class Line:
    """A row that holds, and what it comes to. `whole` is the amount compared with its bracket,
    `part` of it this infringement's own; `occurrence` which one in its scope this is."""

    row: Formula
    whole: Decimal
    part: Decimal
    occurrence: int
    seconds: Decimal
    outcome: Outcome = Outcome.TIME


@frozen
class Charge:
    """An infringement with the rows that hold, at least one. `seconds` is the sum, multiplied where
    rows say so."""

    infringement: Infringement
    lines: tuple[Line, ...]
    seconds: Decimal
    outcome: Outcome

    @property
    def leading(self) -> Line:
        """The line that stands for all in a table that has room for one."""
        return self.lines[0]


def charges(
    found: Sequence[Infringement],
    earlier: Sequence[Infringement],
    rules: Rules,
    class_id: str,
) -> tuple[Charge, ...]:
    """Those of `found` that cost anything or are counted, in their order.

    `found` and `earlier`, what the entry did in the stages before, are in the order of time: rows
    that count over the event begin with `earlier`.
    """
    priced = []
    for place, one in enumerate(found):
        rows = rows_for(rules, one, class_id)
        known = (*earlier, *found[: place + 1])
        lines = [line for row in rows for line in _lines(row, one, known, found)]
        repeats = [line for line in lines if line.row.operator is Operator.REPEAT]
        if len(lines) > len(repeats):
            priced.append(_charge(one, lines, repeats))
    return tuple(priced)


def rows_for(rules: Rules, one: Infringement, class_id: str) -> tuple[Formula, ...]:
    """The rows of its type at the most specific level that has any, in an order of their own."""
    ids = {Level.SEGMENT: one.segment_id, Level.CLASS: class_id, Level.STAGE: one.stage_id}
    of_type = [row for row in rules.formulas if row.type is one.type]
    for level in _LEVELS:
        rows = [
            row
            for row in of_type
            if row.level is level and (level is Level.EVENT or row.level_id == ids[level])
        ]
        if rows:
            return tuple(sorted(rows, key=_row_order))
    return ()


def matches(row: Formula, object_id: str | None, kind: str) -> bool:
    """Whether a row's filter lets an object pass."""
    kinds, objects = row.applies_to.kinds, row.applies_to.objects
    return (not kinds or kind in kinds) and (not objects or object_id in objects)


# -- one row ---------------------------------------------------------------------------------------


def _lines(
    row: Formula, one: Infringement, known: Sequence[Infringement], found: Sequence[Infringement]
) -> Iterator[Line]:
    """The row's line, if it holds. `known` are all infringements up to this one, `found` all of the
    stage."""
    amounts = _amounts(row, one, found)
    if amounts is None:
        return
    before, upto, whole = amounts
    if not formulas.in_bracket(row, whole):
        return
    occurrence = _occurrence(row, one, known)
    if row.count_min is not None and occurrence < row.count_min:
        return
    if row.count_max is not None and occurrence >= row.count_max:
        return
    seconds = formulas.cost(row, upto)
    if before:
        seconds -= formulas.cost(row, before)
    decides = row.operator is Operator.STATUS and row.outcome is not None and upto == whole
    outcome = row.outcome if decides and row.outcome is not None else Outcome.TIME
    part = formulas.quantised(row, upto) - (formulas.quantised(row, before) if before else ZERO)
    seen = formulas.quantised(row, whole)
    yield Line(row, seen, part, occurrence, tidy(seconds), outcome)


def _amounts(
    row: Formula, one: Infringement, found: Sequence[Infringement]
) -> tuple[Decimal, Decimal, Decimal] | None:
    """The amount that the row judges: before this infringement, up to it, and whole. None where the
    row's filter lets nothing of it pass."""
    if one.type is Offence.MISSED_RATIO:
        members = [m for m in one.members if matches(row, m.object_id, m.kind)]
        if not members:
            return (ZERO, one.amount, one.amount) if _for_all(row) else None
        share = Decimal(sum(not m.missed for m in members)) / len(members)
        return ZERO, share, share
    if not matches(row, one.where.object_id, one.where.kind):
        return None
    if one.type in COUNTED:
        together = [
            other
            for other in found
            if other.type is one.type
            and other.segment_id == one.segment_id
            and matches(row, other.where.object_id, other.where.kind)
        ]
        place = next(index for index, other in enumerate(together) if other is one)
        before = sum((other.amount for other in together[:place]), ZERO)
        behind = sum((other.amount for other in together[place + 1 :]), ZERO)
        return before, before + one.amount, before + one.amount + behind
    return ZERO, _amount(row, one), _amount(row, one)


def _amount(row: Formula, one: Infringement) -> Decimal:
    if row.excess == "peak" and one.amount_by_peak is not None:
        return one.amount_by_peak
    return one.amount


def _for_all(row: Formula) -> bool:
    return not row.applies_to.kinds and not row.applies_to.objects


def _occurrence(row: Formula, one: Infringement, known: Sequence[Infringement]) -> int:
    """Which offence of its type this is in the row's scope, from 1. Those count that pass the row's
    filter and are an offence by its quantum, whatever their bracket."""
    scope = row.scope or DEFAULT_SCOPE
    here = _place(scope, one)
    return sum(
        other is one
        or (
            other.type is one.type
            and _place(scope, other) == here
            and _counts(row, other)
        )
        for other in known
    )  # fmt: skip


def _counts(row: Formula, other: Infringement) -> bool:
    if other.type is Offence.MISSED_RATIO:
        amounts = _amounts(row, other, ())
        return amounts is not None and formulas.in_bracket(row, amounts[2])
    if not matches(row, other.where.object_id, other.where.kind):
        return False
    return other.type in COUNTED or formulas.is_offence(row, _amount(row, other))


def _place(scope: Scope, one: Infringement) -> tuple[object, ...]:
    match scope:
        case Scope.VISIT:
            return one.stage_id, one.segment_id, one.where.object_id, one.where.pass_number
        case Scope.OBJECT:
            return one.stage_id, one.segment_id, one.where.object_id
        case Scope.SEGMENT:
            return one.stage_id, one.segment_id
        case Scope.STAGE:
            return (one.stage_id,)
        case Scope.EVENT:
            return ()


# -- all rows together -----------------------------------------------------------------------------


def _charge(one: Infringement, lines: Sequence[Line], repeats: Sequence[Line]) -> Charge:
    seconds = sum((line.seconds for line in lines), ZERO)
    for line in repeats:
        seconds = formulas.capped(line.row, seconds * line.row.penalty)
    outcome = formulas.gravest(line.outcome for line in lines)
    return Charge(one, tuple(lines), tidy(seconds), outcome)


def _row_order(row: Formula) -> tuple[object, ...]:
    """By what a row says, its id last: so that no file's order comes through."""
    return (
        _OPERATORS.index(row.operator),
        row.offence_min,
        row.offence_max is None,
        row.offence_max or ZERO,
        row.count_min or 0,
        row.penalty,
        row.cap_seconds is None,
        row.cap_seconds or ZERO,
        row.id,
    )
