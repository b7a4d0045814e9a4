"""The arithmetic of penalties: one row of a table, and an amount.

The numbers are the organiser's, the arithmetic is here. An amount is cut to the row's quantum
first, by default down to whole km/h, minutes and counts, and to a thousandth of a second; ratios
and the time gained by speeding are exact. Then it is compared with the bracket [min, max). So the
published table "0-20 over 60 s, 21-40 120 s, more than 40 180 s" is the brackets 1-21, 21-41, 41-,
and 20.9 over is in the first. Only `progressive` takes the exact amount: of each bracket the share
of the amount in it, like a tax (design/racing.md, Penalties).

An amount of 0 is no offence; a share of what was validated is one whatever it is.
"""

from collections.abc import Iterable, Mapping
from decimal import ROUND_DOWN, Decimal

from processor.domain.rules import Formula, Offence, Operator, Outcome, Rounding

ZERO = Decimal(0)
MICROSECOND = Decimal("0.000001")

_ONE = Decimal(1)
_MILLISECOND = Decimal("0.001")
QUANTUM: Mapping[Offence, Decimal | None] = {
    Offence.SPEED_LIMIT: _ONE,
    Offence.SPEED_IMPULSE: _ONE,
    Offence.SPEED_TIME_GAINED: None,  # the published example, 2.2727, has four digits
    Offence.MISSED_WAYPOINT: _ONE,
    Offence.MISSED_RATIO: None,
    Offence.LATE_START: _MILLISECOND,
    Offence.EARLY_START: _MILLISECOND,
    Offence.TIME_CONTROL_LATE: _ONE,
    Offence.TIME_CONTROL_EARLY: _ONE,
    Offence.MAXIMUM_TIME: _MILLISECOND,
    Offence.NEUTRALISATION_EARLY: _MILLISECOND,
    Offence.STOP_MISSED: _ONE,
}
"""What an amount is cut to where a row says nothing else; None: exact."""

UNITS: Mapping[Offence, str] = {
    Offence.SPEED_LIMIT: "km/h over",
    Offence.SPEED_IMPULSE: "km/h over",
    Offence.SPEED_TIME_GAINED: "s gained",
    Offence.MISSED_WAYPOINT: "missed",
    Offence.MISSED_RATIO: "of the objects validated",
    Offence.LATE_START: "s late",
    Offence.EARLY_START: "s early",
    Offence.TIME_CONTROL_LATE: "min late",
    Offence.TIME_CONTROL_EARLY: "min early",
    Offence.MAXIMUM_TIME: "s over",
    Offence.NEUTRALISATION_EARLY: "s early",
    Offence.STOP_MISSED: "missed",
}

GRAVITY = (
    Outcome.TIME,
    Outcome.REVIEW,
    Outcome.OVER_TIME_LIMIT,
    Outcome.DID_NOT_FINISH,
    Outcome.DISQUALIFIED,
)
"""Of several outcomes of one offence the last of these counts."""


def quantised(row: Formula, amount: Decimal) -> Decimal:
    """An amount as a row sees it."""
    quantum = QUANTUM[row.type] if row.quantum is None else row.quantum
    if quantum is None or row.operator is Operator.PROGRESSIVE:
        return amount
    whole, rest = divmod(amount, quantum)
    up = row.rounding is Rounding.UP and rest > 0
    nearer = row.rounding is Rounding.HALF_UP and 2 * rest >= quantum
    return (whole + (1 if up or nearer else 0)) * quantum


def is_offence(row: Formula, amount: Decimal) -> bool:
    """Whether there is anything to punish, as the row sees it."""
    return row.type is Offence.MISSED_RATIO or quantised(row, amount) > 0


def in_bracket(row: Formula, amount: Decimal) -> bool:
    """Whether a row is about an amount. A progressive one is as soon as the amount reaches it."""
    if not is_offence(row, amount):
        return False
    seen = quantised(row, amount)
    if row.operator is Operator.PROGRESSIVE:
        return seen > row.offence_min
    return row.offence_min <= seen and (row.offence_max is None or seen < row.offence_max)


def cost(row: Formula, amount: Decimal) -> Decimal:
    """What a row makes of an amount that it is about, in seconds. `repeat` and `status` cost none
    of their own. Nothing is rounded but to a microsecond, down."""
    if not is_offence(row, amount):
        return ZERO
    match row.operator:
        case Operator.ADD:
            seconds = row.penalty
        case Operator.PER_UNIT:
            seconds = row.penalty * quantised(row, amount)
        case Operator.PROGRESSIVE:
            seconds = row.penalty * share(row, amount)
        case _:
            return ZERO
    return capped(row, seconds)


def share(row: Formula, amount: Decimal) -> Decimal:
    """The part of an amount that lies in a progressive bracket."""
    upper = amount if row.offence_max is None else min(amount, row.offence_max)
    return max(ZERO, upper - row.offence_min)


def capped(row: Formula, seconds: Decimal) -> Decimal:
    """Seconds within a row's cap, cut to the microsecond."""
    bounded = seconds if row.cap_seconds is None else min(seconds, row.cap_seconds)
    return tidy(bounded.quantize(MICROSECOND, ROUND_DOWN))


def tidy(value: Decimal) -> Decimal:
    """The same number without zeros at its end."""
    whole = value.to_integral_value()
    return whole if whole == value else value.normalize()


def gravest(outcomes: Iterable[Outcome]) -> Outcome:
    """Of several outcomes the one that counts; `time` where there is none."""
    return max(outcomes, key=GRAVITY.index, default=Outcome.TIME)
