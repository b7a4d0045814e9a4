"""What the numbers of a tracker's IO bag mean: a table, because it differs by model family.

A row is for a model or a glob of models. For each IO id the most specific row counts: an exact name
before a glob, a longer glob before a shorter one, then the order of the texts. The default table is
that of design/racing.md, "IO mapping"; rows of the table io_mappings stand before it, by the same
order.

Values arrive unsigned, as the device's bytes were counted: a row states width and sign. A value
that does not fit its row is nothing, never a guess.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeAlias

from attrs import field, frozen

Decoded: TypeAlias = bool | int | float | str

BITS = 8
GLOB_SIGNS = "*?["


class IoKind(StrEnum):
    """How a raw value is read."""

    INT = "int"  # two's complement of `bytes` bytes
    UINT = "uint"
    BOOL = "bool"  # 0 or 1
    ENUM = "enum"  # one of `values`
    HEX = "hex"  # the bytes themselves
    TEXT = "text"


@frozen
class IoMapping:
    """One row. `model` is a name or a glob, `bytes` the width of the raw integer (None: any).

    A number is raw x `multiplier` + `offset`, in `unit`; `least` and `most` bound the raw integer
    after its sign is read, and what lies outside is an error code of the device. `values` name the
    raw values of an enum. `little_endian`: the digits of a hex are those of the bytes from the last
    to the first.
    """

    model: str
    io_id: int
    name: str
    kind: IoKind = IoKind.UINT
    bytes: int | None = None
    multiplier: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)
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


def mapping_of(model: str, table: Iterable[IoMapping]) -> dict[int, IoMapping]:
    """The rows that count for a model, by IO id, in the order of the ids. Of two rows as specific
    as each other the one with the smaller name counts."""
    fitting = [row for row in table if row.fits(model)]
    fitting.sort(key=lambda row: (row.io_id, row.specificity, row.name))
    found: dict[int, IoMapping] = {}
    for row in fitting:
        found.setdefault(row.io_id, row)
    return found


def decoded(row: IoMapping, raw: object) -> Decoded:
    """A raw value as its row reads it. Raises Misfit."""
    match row.kind:
        case IoKind.TEXT:
            return _text(raw)
        case IoKind.BOOL:
            return _flag(raw)
        case IoKind.HEX:
            return _hex(row, _unsigned(row, _integer(raw)))
        case IoKind.ENUM:
            return _named(row, _unsigned(row, _integer(raw)))
        case IoKind.INT:
            return _scaled(row, _signed(row, _integer(raw)))
        case IoKind.UINT:
            return _scaled(row, _unsigned(row, _integer(raw)))


# -- raw values ------------------------------------------------------------------------------------

DIGITS_MAX = 100
"""An integer beyond 2^53 arrives as a decimal string of at most so many digits."""


def _integer(raw: object) -> int:
    """An integer, or the decimal string that a great one is stored as. 5.0 and true are none."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and len(raw) <= DIGITS_MAX:
        digits = raw.removeprefix("-")
        if digits.isascii() and digits.isdigit():
            return int(raw)
    raise Misfit


def _unsigned(row: IoMapping, raw: int) -> int:
    if raw < 0 or (row.bytes is not None and raw >= 1 << BITS * row.bytes):
        raise Misfit
    return raw


def _signed(row: IoMapping, raw: int) -> int:
    """Two's complement. A number below 0 can mean but itself, if it is not below the least."""
    if row.bytes is None:
        return raw
    half = 1 << BITS * row.bytes - 1
    if not -half <= raw < 2 * half:
        raise Misfit
    return raw - 2 * half if raw >= half else raw


# -- what they mean --------------------------------------------------------------------------------


def _scaled(row: IoMapping, raw: int) -> int | float:
    """The number in its unit: whole where it is scaled by nothing, else the nearest double of the
    exact decimal."""
    if (row.least is not None and raw < row.least) or (row.most is not None and raw > row.most):
        raise Misfit
    value = raw * row.multiplier + row.offset
    whole = row.multiplier == row.multiplier.to_integral_value()
    return int(value) if whole and value == value.to_integral_value() else float(value)


def _flag(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    number = _integer(raw)
    if number not in (0, 1):
        raise Misfit
    return number == 1


def _named(row: IoMapping, raw: int) -> str:
    if raw not in row.values:
        raise Misfit
    return row.values[raw]


def _hex(row: IoMapping, raw: int) -> str:
    width = row.bytes if row.bytes is not None else (raw.bit_length() + BITS - 1) // BITS or 1
    return raw.to_bytes(width, "little" if row.little_endian else "big").hex()


def _text(raw: object) -> str:
    if isinstance(raw, str) and raw:
        return raw
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw)
    raise Misfit


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
