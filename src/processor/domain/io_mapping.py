"""What the numbers of a tracker's IO bag mean: a table, because it differs by model family.

A row is for a model or a glob of models. For each IO id the most specific row counts: an exact name
before a glob, a longer glob before a shorter one, then the order of the texts. The default table is
that of design/racing.md, "IO mapping"; any row of the table io_mappings that is for the model and
the id stands before it, however general.

Values arrive unsigned, as the device's bytes were counted: a row states width and sign. A value
that does not fit its row is nothing, never a guess. What is scaled is scaled in whole numbers and
divided once, so that 12345 x 0.001 is the double nearest to 12.345, which is written as 12.345.
"""

import base64
import binascii
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import partial
from typing import Any, TypeAlias

from attrs import Attribute, field, frozen

Decoded: TypeAlias = bool | int | float | str
Reader: TypeAlias = Callable[[object], Decoded]
"""Makes of a raw value what it means. Raises Misfit."""

BITS = 8
GLOB_SIGNS = "*?["
WIDTH_MAX = 65_535
"""Bytes of one value: codec 8 extended counts them in two bytes."""


class IoKind(StrEnum):
    """How a raw value is read."""

    INT = "int"  # two's complement of `bytes` bytes
    UINT = "uint"
    BOOL = "bool"  # 0 or 1
    ENUM = "enum"  # one of `values`
    HEX = "hex"  # the bytes themselves
    TEXT = "text"


def _width(row: object, attribute: "Attribute[Any]", width: int | None) -> None:
    if width is not None and not 1 <= width <= WIDTH_MAX:
        raise ValueError(f"bytes must be 1 to {WIDTH_MAX}, not {width}")


def _finite(row: object, attribute: "Attribute[Any]", number: Decimal) -> None:
    if not math.isfinite(number):  # as the double that the table holds
        raise ValueError(f"{attribute.name} must be a finite number, not {number}")


@frozen
class IoMapping:
    """One row. `model` is a name or a glob, `bytes` the width of the raw value (None: any).

    A number is raw x `multiplier` + `offset`, in `unit`; `least` and `most` bound the raw integer
    after its sign is read, and what lies outside is an error code of the device. `values` name the
    raw values of an enum. `little_endian`: the digits of a hex are those of the bytes from the last
    to the first. A double of the table io_mappings becomes a decimal by its shortest digits,
    Decimal(repr(0.001)). Raises ValueError for a width or a number that cannot be.
    """

    model: str
    io_id: int
    name: str
    kind: IoKind = IoKind.UINT
    bytes: int | None = field(default=None, validator=_width)
    multiplier: Decimal = field(default=Decimal(1), validator=_finite)
    offset: Decimal = field(default=Decimal(0), validator=_finite)
    unit: str = ""
    least: int | None = None
    most: int | None = None
    values: Mapping[int, str] = field(factory=dict)
    little_endian: bool = False

    @property
    def is_glob(self) -> bool:
        return any(sign in self.model for sign in GLOB_SIGNS)

    @property
    def specificity(self) -> tuple[bool, int, str]:
        """The smallest counts."""
        return self.is_glob, -len(self.model), self.model

    def fits(self, model: str) -> bool:
        """Whether the row is for a model; upper and lower case differ."""
        return fnmatchcase(model, self.model) if self.is_glob else model == self.model


class Misfit(Exception):
    """A raw value that its mapping has no meaning for."""


def mapping_of(model: str, *tables: Iterable[IoMapping]) -> dict[int, IoMapping]:
    """The rows that count for a model, by IO id, in the order of the ids.

    A row of an earlier table stands before any of a later one. Within a table the most specific
    counts; of two as specific as each other the one with the smaller name, then the smaller text.
    """
    found: dict[int, IoMapping] = {}
    for table in tables:
        for row in sorted((row for row in table if row.fits(model)), key=_precedence):
            found.setdefault(row.io_id, row)
    return dict(sorted(found.items()))


def _precedence(row: IoMapping) -> tuple[tuple[bool, int, str], str, str]:
    return row.specificity, row.name, repr(row)


def reader(row: IoMapping) -> Reader:
    """What reads the raw values of a row: JSON values as the bag has them."""
    match row.kind:
        case IoKind.TEXT:
            return _text
        case IoKind.BOOL:
            return _flag
        case IoKind.HEX:
            return partial(_hex, row)
        case IoKind.ENUM:
            return partial(_named, row)
        case IoKind.INT | IoKind.UINT:
            return _scaling(row)


# -- raw values ------------------------------------------------------------------------------------

DIGITS_MAX = 100
"""An integer beyond 2^53 arrives as a decimal string of at most so many digits; one that is written
out has no leave to be longer."""
_INTEGER_MAX = 10**DIGITS_MAX - 1


def _integer(raw: object) -> int:
    """An integer, or the decimal string that a great one is stored as. 5.0 and true are none."""
    if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) <= _INTEGER_MAX:
        return raw
    if isinstance(raw, str) and _is_decimal(raw):
        return int(raw)
    raise Misfit


def _is_decimal(text: str) -> bool:
    digits = text.removeprefix("-")
    return len(digits) <= DIGITS_MAX and digits.isascii() and digits.isdigit()


def _unsigned(row: IoMapping, raw: object) -> int:
    """The integer, if the bytes of the row can hold it."""
    number = _integer(raw)
    if number < 0 or (row.bytes is not None and number.bit_length() > BITS * row.bytes):
        raise Misfit
    return number


# -- what they mean --------------------------------------------------------------------------------


def _scaling(row: IoMapping) -> Reader:
    """Reads the number in its unit: an integer where multiplier and offset are whole, else the
    double nearest to the exact value.

    (raw x times + plus) / parts in integers is exact up to the division, and Python rounds that one
    correctly; decimals would cost more and be exact to the digits of their context only.
    """
    multiplier, offset = Fraction(row.multiplier), Fraction(row.offset)
    parts = math.lcm(multiplier.denominator, offset.denominator)
    times, plus = int(multiplier * parts), int(offset * parts)
    least, most = _range(row)
    # The upper half of what a signed row's bytes count stands for the numbers below 0.
    turn = 1 << BITS * row.bytes if row.kind is IoKind.INT and row.bytes is not None else 0
    half = turn // 2

    def scaled(raw: object) -> int | float:
        number = _integer(raw)
        if half <= number < turn:
            number -= turn
        if not least <= number <= most:
            raise Misfit
        exact = number * times + plus
        if parts == 1:
            return exact
        try:
            return exact / parts
        except OverflowError:  # beyond every double
            raise Misfit from None

    return scaled


def _range(row: IoMapping) -> tuple[int, int]:
    """The least and the most that a number's raw integer can be, its sign read. A number below 0
    can mean but itself, if its row is signed."""
    signed = row.kind is IoKind.INT
    if row.bytes is None:
        least, most = -_INTEGER_MAX if signed else 0, _INTEGER_MAX
    elif signed:
        half = 1 << BITS * row.bytes - 1
        least, most = -half, half - 1
    else:
        least, most = 0, (1 << BITS * row.bytes) - 1
    return (
        least if row.least is None else max(least, row.least),
        most if row.most is None else min(most, row.most),
    )


def _flag(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    number = _integer(raw)
    if number not in (0, 1):
        raise Misfit
    return number == 1


def _named(row: IoMapping, raw: object) -> str:
    number = _unsigned(row, raw)
    if number not in row.values:
        raise Misfit
    return row.values[number]


def _hex(row: IoMapping, raw: object) -> str:
    octets = _octets(row, raw)
    return (octets[::-1] if row.little_endian else octets).hex()


def _octets(row: IoMapping, raw: object) -> bytes:
    """The bytes in the order in which the device sent them, be they stored as a number or, when
    they came as bytes, in base64. A text of nothing but digits is a number, unless it is as long
    as the base64 of the row's bytes: then it may be either, and is not guessed."""
    if isinstance(raw, str):
        if not _is_decimal(raw):
            return _from_base64(row, raw)
        if row.bytes is not None and 3 * len(raw) == 4 * row.bytes:
            raise Misfit
    number = _unsigned(row, raw)
    width = row.bytes if row.bytes is not None else (number.bit_length() + BITS - 1) // BITS or 1
    return number.to_bytes(width, "big")


def _from_base64(row: IoMapping, text: str) -> bytes:
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Misfit from None
    if not octets or (row.bytes is not None and len(octets) != row.bytes):
        raise Misfit
    return octets


def _text(raw: object) -> str:
    """A text as it is, or the digits of an integer. What came as bytes stays base64, for nothing
    tells the two apart."""
    if isinstance(raw, str):
        if not raw:
            raise Misfit
        return raw
    return str(_integer(raw))


# -- the default table -----------------------------------------------------------------------------

ANY = "*"
_TENTH, _HUNDREDTH, _THOUSANDTH = Decimal("0.1"), Decimal("0.01"), Decimal("0.001")
TEMPERATURE_MOST = 849  # 850 and up are the sensor's error codes: not ready, not connected, ..


def _flags(names: Mapping[int, str]) -> tuple[IoMapping, ...]:
    return tuple(IoMapping(ANY, io_id, name, IoKind.BOOL) for io_id, name in names.items())


def _numbers(width: int, names: Mapping[int, str], **more: object) -> tuple[IoMapping, ...]:
    return tuple(
        IoMapping(ANY, io_id, name, bytes=width, **more)  # type: ignore[arg-type]
        for io_id, name in names.items()
    )


DEFAULT_TABLE: tuple[IoMapping, ...] = (
    *_flags({1: "digital_in_1", 2: "digital_in_2", 3: "digital_in_3"}),
    *_numbers(2, {9: "analog_in_1_v"}, multiplier=_THOUSANDTH, unit="V"),
    IoMapping(ANY, 11, "iccid", IoKind.TEXT),
    *_numbers(4, {16: "odometer_km"}, multiplier=_THOUSANDTH, unit="km"),
    *_numbers(
        2, {17: "accel_x_mg", 18: "accel_y_mg", 19: "accel_z_mg"}, kind=IoKind.INT, unit="mg"
    ),
    *_numbers(1, {21: "gsm_signal"}, most=5),
    *_numbers(2, {24: "speed_kmh"}, unit="km/h"),
    *_numbers(
        2, {66: "external_voltage_v", 67: "battery_voltage_v"}, multiplier=_THOUSANDTH, unit="V"
    ),
    IoMapping("FMB930", 66, "external_voltage_v", bytes=2, multiplier=_HUNDREDTH, unit="V"),
    *_numbers(2, {68: "battery_current_a"}, multiplier=_THOUSANDTH, unit="A"),
    *_numbers(1, {69: "gnss_status"}),  # 1: there is a fix
    *_numbers(
        4,
        {71 + n: f"temperature_{n}_c" for n in (1, 2, 3, 4)},
        kind=IoKind.INT, multiplier=_TENTH, unit="C", most=TEMPERATURE_MOST,
    ),
    IoMapping(ANY, 78, "ibutton", IoKind.HEX, bytes=8, little_endian=True),
    *_numbers(1, {80: "data_mode"}),
    *_numbers(1, {113: "battery_percent"}, unit="%", most=100),
    *_numbers(2, {181: "pdop", 182: "hdop"}, multiplier=_TENTH),
    *_numbers(4, {199: "trip_odometer_km"}, multiplier=_THOUSANDTH, unit="km"),
    *_numbers(1, {200: "sleep_mode"}),
    *_flags({239: "ignition", 240: "movement"}),
    *_numbers(4, {241: "gsm_operator"}),
    *_flags({246: "towing"}),
    *_numbers(1, {247: "crash"}),  # 1 and up say how grave
    *_flags({249: "jamming", 252: "unplugged"}),
    *_numbers(1, {253: "driving_event", 255: "overspeeding"}),
)  # fmt: skip
"""What is known of the devices that the service was made for."""

URGENT = frozenset({247, 249, 252})
"""IO ids of the default table that race control must never lose when newer fixes stand in for older
ones: crash, jamming, unplugged, where their value is not 0. So must no record of panic priority
(`PANIC` of core/model.py). Ask for membership only: a set has no order."""
