"""One `[[formula]]` of a rules file: from what stands there to a Formula, or a sentence that says
what is wrong with it.

A key that would do nothing where it stands (an outcome without `status`, a level without its id) is
refused, not passed over: a table of penalties that seems to say something and does not is found out
only when somebody protests.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar
from unicodedata import category

from attrs import frozen

from processor.adapters.files.course_file import Misplaced
from processor.adapters.files.words import near, quoted
from processor.domain.course import Kind, SegmentType
from processor.domain.formulas import QUANTUM
from processor.domain.rules import (
    AppliesTo,
    Formula,
    Level,
    Offence,
    Operator,
    Outcome,
    Rounding,
    Scope,
)

NUMBER_MAX = Decimal(1_000_000_000)
"""Thirty years in seconds. Beyond it is a slip, and arithmetic should stay exact."""

PLACES_MAX = 9
"""Digits behind the point, for the same reason."""

TEXT_MAX = 1000
"""Characters of an id or a source."""

KINDS: tuple[str, ...] = tuple(
    dict.fromkeys((*(kind.value for kind in Kind), "zone", *(t.value for t in SegmentType)))
)
"""What an offence can be at: an object, a zone, or a segment where it concerns all of one."""

EXCESSES = ("limit", "peak")

PARAMS = (
    "applies_to", "quantum", "rounding", "scope", "count_min", "count_max", "cap_seconds",
    "excess", "outcome", "source",
)  # fmt: skip
"""Keys that may also stand in a table `params`, as they do in the column of that name."""

KEYS = (
    "id", "type", "operator", "offence_min", "offence_max", "penalty", "level", "level_id",
    *PARAMS, "params", "retroactive", "enabled",
)  # fmt: skip

Choice = TypeVar("Choice", bound=StrEnum)


@frozen
class Stated:
    """A formula as its file states it. `named`: the file gives the id; else it is made of the type
    and the number of the table."""

    formula: Formula
    named: bool
    enabled: bool


def formula_of(place: str, number: int, plain: Any) -> Stated:
    """The formula of a table, the file's `number`-th. Raises Misplaced, its place `place` and the
    key."""
    table = _with_params(Table(place, plain))
    offence = table.required_choice("type", Offence)
    operator = table.required_choice("operator", Operator)
    offence_min, offence_max = _bracket(table, offence)
    count_min, count_max = _counts(table)
    level, level_id = _level(table)
    quantum, rounding = _quantum(table, offence, operator)
    named = table.text("id")
    table.flag("retroactive", otherwise=False)
    formula = Formula(
        id=named or f"{offence.value}-{number}",
        type=offence,
        operator=operator,
        penalty=_penalty(table, operator),
        offence_min=offence_min,
        offence_max=offence_max,
        level=level,
        level_id=level_id,
        applies_to=_applies_to(table),
        quantum=quantum,
        rounding=rounding,
        count_min=count_min,
        count_max=count_max,
        scope=table.choice("scope", Scope),
        cap_seconds=_cap(table, operator),
        excess=_excess(table, offence),
        outcome=_outcome(table, operator),
        source=" ".join((table.text("source", lines=True) or "").split()),
    )
    return Stated(formula, named is not None, table.flag("enabled", otherwise=True))


def _with_params(table: "Table") -> "Table":
    """The table with the keys of its `params` beside the others."""
    table.known(KEYS)
    if "params" not in table.plain:
        return table
    inner = Table(f"{table.place}, params", table.plain["params"])
    inner.known(PARAMS)
    for key in inner.plain:
        if key in table.plain:
            raise inner.wrong(key, "stands beside params, too")
    return Table(table.place, {**table.plain, **inner.plain})


# -- what single keys mean ------------------------------------------------------------------------


def _bracket(table: "Table", offence: Offence) -> tuple[Decimal, Decimal | None]:
    least, most = table.number("offence_min"), table.number("offence_max")
    if offence is Offence.MISSED_RATIO:
        for key, share in (("offence_min", least), ("offence_max", most)):
            if share is not None and share > 1:
                raise table.wrong(key, "is a share of missed-ratio, from 0 to 1 (0.7 is 70 %)")
    if most is not None and most <= (least or 0):
        raise table.wrong("offence_max", f"must be greater than offence_min, which is {least or 0}")
    return Decimal(0) if least is None else least, most


def _counts(table: "Table") -> tuple[int | None, int | None]:
    least, most = table.count("count_min"), table.count("count_max")
    if most is not None and most <= (least or 1):
        raise table.wrong("count_max", f"must be greater than count_min, which is {least or 1}")
    return least, most


def _penalty(table: "Table", operator: Operator) -> Decimal:
    penalty = table.number("penalty")
    if operator is Operator.STATUS:
        if penalty:
            raise table.wrong(
                "penalty", 'must be left out where operator is "status"; a row of its own adds time'
            )
        return Decimal(0)
    if penalty is None:
        raise table.wrong("", 'must have a key "penalty"')
    if operator is Operator.REPEAT and penalty == 0:
        raise table.wrong("penalty", 'is a factor of "repeat" and must be greater than 0')
    return penalty


def _level(table: "Table") -> tuple[Level, str | None]:
    level, level_id = table.choice("level", Level) or Level.EVENT, table.text("level_id")
    if level is not Level.EVENT and level_id is None:
        raise table.wrong("", f'must have a key "level_id", the id of the {level.value} it is for')
    if level is Level.EVENT and "level" in table.plain:
        return level, None  # an event is the only one of its file, whatever its id
    if level is Level.EVENT and level_id is not None:
        others = ", ".join(each.value for each in Level if each is not Level.EVENT)
        raise table.wrong("level_id", f"needs a level, one of {others}")
    return level, level_id


def _applies_to(table: "Table") -> AppliesTo:
    if "applies_to" not in table.plain:
        return AppliesTo()
    inner = Table(f"{table.place}, applies_to", table.plain["applies_to"])
    inner.known(("kind", "object"))
    kinds = inner.texts("kind")
    for kind in kinds:
        if kind not in KINDS:
            raise inner.wrong("kind", f"{quoted(kind)} is no kind{near(kind, KINDS)}")
    return AppliesTo(kinds, inner.texts("object"))


def _quantum(
    table: "Table", offence: Offence, operator: Operator
) -> tuple[Decimal | None, Rounding | None]:
    quantum, rounding = table.number("quantum"), table.choice("rounding", Rounding)
    if operator is Operator.PROGRESSIVE:
        for key in ("quantum", "rounding"):
            if key in table.plain:
                raise table.wrong(key, 'must be left out: "progressive" takes the offence as it is')
    if quantum == 0:
        raise table.wrong("quantum", "must be greater than 0")
    if rounding is not None and quantum is None and QUANTUM[offence] is None:
        raise table.wrong("rounding", f"needs a quantum: {offence.value} is taken as it is")
    return quantum, rounding


def _cap(table: "Table", operator: Operator) -> Decimal | None:
    cap = table.number("cap_seconds")
    if cap is not None and operator is Operator.STATUS:
        raise table.wrong("cap_seconds", 'must be left out: "status" costs no time')
    return cap


def _excess(table: "Table", offence: Offence) -> str:
    excess = table.text("excess")
    if excess is None:
        return "limit"
    if excess not in EXCESSES:
        raise table.wrong("excess", f"must be one of {', '.join(EXCESSES)}{near(excess, EXCESSES)}")
    if offence is not Offence.SPEED_TIME_GAINED:
        raise table.wrong("excess", f"is for {Offence.SPEED_TIME_GAINED.value} alone")
    return excess


def _outcome(table: "Table", operator: Operator) -> Outcome | None:
    outcome = table.choice("outcome", Outcome)
    if operator is not Operator.STATUS:
        if outcome is not None:
            raise table.wrong("outcome", 'needs operator = "status"')
        return None
    others = ", ".join(each.value for each in Outcome if each is not Outcome.TIME)
    if outcome is None:
        raise table.wrong("", f'must have a key "outcome", one of {others}')
    if outcome is Outcome.TIME:
        raise table.wrong("outcome", f'is no status; with "status" it must be one of {others}')
    return outcome


# -- a table --------------------------------------------------------------------------------------


class Table:
    """A TOML table at its place in the file. What is asked for comes in its type or as None, and
    every fault is a Misplaced."""

    def __init__(self, place: str, plain: Any) -> None:
        self.place = place
        if not isinstance(plain, dict):
            raise Misplaced(place, f"must be a table, not {said(plain)}")
        self.plain: Mapping[str, Any] = plain

    def wrong(self, key: str, sentence: str) -> Misplaced:
        """The fault of a key; of the table itself where `key` is empty."""
        return Misplaced(f"{self.place}{key and ', '}{key}", sentence)

    def known(self, keys: Sequence[str]) -> None:
        """Raises Misplaced at the first key that is none of these."""
        for key in self.plain:
            if key not in keys:
                known = near(key, keys) or f"; known are {', '.join(keys)}"
                raise self.wrong("", f"has a key {quoted(key)}, which is not known here{known}")

    def number(
        self, key: str, least: Decimal = Decimal(0), most: Decimal = NUMBER_MAX
    ) -> Decimal | None:
        """A number within a range, exactly as it is written."""
        value = self.plain.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.wrong(key, f"must be a number, not {said(value)}")
        if isinstance(value, Decimal) and not value.is_finite():
            ends = "; without it there is no upper end" if key == "offence_max" else ""
            raise self.wrong(key, f"must be a finite number, not {said(value)}{ends}")
        if not least <= value <= most:
            raise self.wrong(key, f"must be a number from {least} to {most}")
        number = Decimal(value)
        if number != round(number, PLACES_MAX):
            raise self.wrong(key, f"must have at most {PLACES_MAX} digits behind the point")
        return number

    def count(self, key: str) -> int | None:
        """A whole number from 1."""
        value = self.plain.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= NUMBER_MAX:
            raise self.wrong(key, "must be a whole number from 1, the how-many-th offence")
        return value

    def flag(self, key: str, *, otherwise: bool) -> bool:
        value = self.plain.get(key, otherwise)
        if not isinstance(value, bool):
            raise self.wrong(key, f"must be true or false, not {said(value)}")
        return value

    def text(self, key: str, *, lines: bool = False) -> str | None:
        """A text that says something; `lines`: it may have several lines, or none."""
        value = self.plain.get(key)
        return None if value is None else self._text(key, value, lines=lines)

    def texts(self, key: str) -> tuple[str, ...]:
        """A text or a list of texts, each once and sorted, because their order says nothing."""
        value = self.plain.get(key)
        if value is None:
            return ()
        listed = value if isinstance(value, list) else [value]
        if not listed:
            raise self.wrong(key, "must not be empty; left out it is for all")
        return tuple(sorted({self._text(key, each) for each in listed}))

    def choice(self, key: str, choices: type[Choice]) -> Choice | None:
        value = self.plain.get(key)
        known = [each.value for each in choices]
        if value is None:
            return None
        if not isinstance(value, str) or value not in known:
            hint = near(value, known) if isinstance(value, str) else ""
            raise self.wrong(key, f"must be one of {', '.join(known)}, not {said(value)}{hint}")
        return choices(value)

    def required_choice(self, key: str, choices: type[Choice]) -> Choice:
        found = self.choice(key, choices)
        if found is None:
            listed = ", ".join(each.value for each in choices)
            raise self.wrong("", f"must have a key {quoted(key)}, one of {listed}")
        return found

    def _text(self, key: str, value: Any, *, lines: bool = False) -> str:
        if not isinstance(value, str):
            raise self.wrong(key, f"must be a text in quotes, not {said(value)}")
        if not lines and not value.strip():
            raise self.wrong(key, "must not be empty")
        if len(value) > TEXT_MAX:
            raise self.wrong(key, f"must have at most {TEXT_MAX} characters")
        if any(_is_control(each) and not (lines and each.isspace()) for each in value):
            raise self.wrong(key, "must not have control characters")
        return value


def _is_control(character: str) -> bool:
    return category(character) == "Cc"


# -- in words -------------------------------------------------------------------------------------


def said(value: Any) -> str:
    """A value of the file's in a sentence."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Decimal) and not value.is_finite():
        return str(value).lower()
    if isinstance(value, Decimal | int):
        return str(value) if -NUMBER_MAX <= value <= NUMBER_MAX else "a number beyond all bounds"
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else "a date or time"
