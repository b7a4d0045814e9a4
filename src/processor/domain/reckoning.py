"""How a charge is told: the sentence for a steward, and beside it what the sentence rests on, in
plain JSON values.

    Z1: peak 71.0 km/h at 08:12:31, limit 50: 21 km/h over, bracket 21-41: 120 s (rule .. of ..)
"""

from collections.abc import Mapping
from decimal import Decimal

from processor.domain.charges import Charge, Line
from processor.domain.formulas import UNITS
from processor.domain.infringement import plain
from processor.domain.rules import Formula, Offence, Operator


def sentence(charge: Charge) -> str:
    """What happened, how much that is, and row by row what it costs."""
    one, leading = charge.infringement, charge.leading
    amount = f"{plain(leading.whole)} {UNITS[one.type]}"
    if one.type is Offence.MISSED_RATIO:
        amount = f"{plain(100 * round(leading.whole, 4))} % validated"
    costs = ", ".join(_cost(line) for line in charge.lines)
    total = f" = {plain(charge.seconds)} s" if len(charge.lines) > 1 and charge.seconds else ""
    return f"{one.text}: {amount}, {costs}{total}"


def _cost(line: Line) -> str:
    row, penalty = line.row, plain(line.row.penalty)
    cap = "" if row.cap_seconds is None else f" (at most {plain(row.cap_seconds)} s)"
    nth = f"offence {line.occurrence}: " if _counts(row) else ""
    match row.operator:
        case Operator.ADD:
            return f"{nth}{_bracket(row)}{plain(line.seconds)} s{cap}"
        case Operator.PER_UNIT:
            return f"{nth}{plain(line.part)} x {penalty} s = {plain(line.seconds)} s{cap}"
        case Operator.PROGRESSIVE:
            return f"{nth}{_bracket(row)}at {penalty} s each {plain(line.seconds)} s{cap}"
        case Operator.REPEAT:
            return f"{nth}x {penalty}{cap}"
        case Operator.STATUS:
            return f"{nth}{_bracket(row)}{row.outcome}"


def _counts(row: Formula) -> bool:
    counted = row.count_min is not None or row.count_max is not None
    return counted or row.operator is Operator.REPEAT


def _bracket(row: Formula) -> str:
    if row.offence_max is None and not row.offence_min:
        return ""
    upper = "" if row.offence_max is None else plain(row.offence_max)
    return f"bracket {plain(row.offence_min)}-{upper}: "


def rows(charge: Charge) -> str:
    ids = [line.row.id for line in charge.lines]
    return f"rule{'s' if len(ids) > 1 else ''} {' and '.join(ids)}"


def arithmetic(line: Line) -> Mapping[str, object]:
    return {
        "rule": line.row.id,
        "operator": line.row.operator.value,
        "offence": number(line.whole),
        "of_this": number(line.part),
        "occurrence": line.occurrence,
        "seconds": number(line.seconds),
        "outcome": line.outcome.value,
    }


def row_told(row: Formula) -> Mapping[str, object]:
    """A row as plain values, without what it does not say."""
    said: dict[str, object] = {
        "id": row.id,
        "type": row.type.value,
        "operator": row.operator.value,
        "offence_min": number(row.offence_min),
        "offence_max": number(row.offence_max),
        "penalty": number(row.penalty),
        "level": row.level.value,
        "level_id": row.level_id,
        "kinds": list(row.applies_to.kinds),
        "objects": list(row.applies_to.objects),
        "quantum": number(row.quantum),
        "rounding": None if row.rounding is None else row.rounding.value,
        "count_min": row.count_min,
        "count_max": row.count_max,
        "scope": None if row.scope is None else row.scope.value,
        "cap_seconds": number(row.cap_seconds),
        "excess": row.excess if row.type is Offence.SPEED_TIME_GAINED else None,
        "outcome": None if row.outcome is None else row.outcome.value,
        "source": row.source,
    }
    return {key: value for key, value in said.items() if value not in (None, "", [])}


def number(value: object) -> object:
    """As JSON knows it: a Decimal as the number it is."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
