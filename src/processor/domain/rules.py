"""The rules as data: penalty formulas and the settings of the geometry, immutable, with a version.

The numbers are the organiser's; what is done with them is code (`penalties.py`). `Formula` has the
fields of the table penalty_formulas, its `params` spelt out; the settings are part of the rules'
version, because they change what counts (design/racing.md, Penalties and Geometry).
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

from attrs import field, frozen


class Offence(StrEnum):
    """What can be punished, with the unit of the offence."""

    SPEED_LIMIT = "speed-limit"  # km/h over
    SPEED_IMPULSE = "speed-impulse"  # km/h over
    SPEED_TIME_GAINED = "speed-time-gained"  # s
    MISSED_WAYPOINT = "missed-waypoint"  # count
    MISSED_RATIO = "missed-ratio"  # share validated, 0 to 1
    LATE_START = "late-start"  # s
    EARLY_START = "early-start"  # s
    TIME_CONTROL_LATE = "time-control-late"  # min
    TIME_CONTROL_EARLY = "time-control-early"  # min
    MAXIMUM_TIME = "maximum-time"  # s
    NEUTRALISATION_EARLY = "neutralisation-early"  # s
    STOP_MISSED = "stop-missed"  # count


class Operator(StrEnum):
    ADD = "add"
    PER_UNIT = "per-unit"
    PROGRESSIVE = "progressive"
    REPEAT = "repeat"
    STATUS = "status"


class Level(StrEnum):
    """Where a formula belongs; the first of these that has any formula of a type decides it."""

    SEGMENT = "segment"
    CLASS = "class"
    STAGE = "stage"
    EVENT = "event"


class Scope(StrEnum):
    """What occurrences are counted in."""

    VISIT = "visit"
    OBJECT = "object"
    SEGMENT = "segment"
    STAGE = "stage"
    EVENT = "event"


class Rounding(StrEnum):
    DOWN = "down"
    UP = "up"
    HALF_UP = "half-up"


class Outcome(StrEnum):
    """What a penalty does; everything but `time` sets or asks for a status."""

    TIME = "time"
    DID_NOT_FINISH = "did-not-finish"
    OVER_TIME_LIMIT = "over-time-limit"
    DISQUALIFIED = "disqualified"
    REVIEW = "review"


@frozen
class AppliesTo:
    """A filter: the kinds of object and the objects that a formula is for. Empty: all."""

    kinds: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()


@frozen
class Formula:
    """One row of a penalty table.

    `offence_min` <= offence < `offence_max` (None: no upper end), compared with the offence cut to
    `quantum` by `rounding` (None: the type's own). `penalty` is in seconds (of `repeat`: a factor).
    `count_min` <= n-th offence in `scope` < `count_max`. `excess`: "limit" or "peak", what the time
    gained is measured against. `cap_seconds` bounds what one offence costs by this formula.
    `source` names the regulation that the row was taken from.
    """

    id: str
    type: Offence
    operator: Operator
    penalty: Decimal
    offence_min: Decimal = Decimal(0)
    offence_max: Decimal | None = None
    level: Level = Level.EVENT
    level_id: str | None = None
    applies_to: AppliesTo = AppliesTo()
    quantum: Decimal | None = None
    rounding: Rounding | None = None
    count_min: int | None = None
    count_max: int | None = None
    scope: Scope | None = None
    cap_seconds: Decimal | None = None
    excess: str = "limit"
    outcome: Outcome | None = None
    source: str = ""


@frozen
class Settings:
    """What the geometry takes for granted.

    An exit is believed `hysteresis_m` metres outside; two fixes further apart than `gap_seconds`
    or than a drive at `max_speed_kmh` have no line between them; `position_sigma_m` is one
    standard deviation of a good fix.
    """

    hysteresis_m: float = 10.0
    gap_seconds: float = 60.0
    max_speed_kmh: float = 250.0
    position_sigma_m: float = 3.0


@frozen
class Rules:
    """Formulas and settings, immutable. `version` is a hash of both."""

    version: str
    formulas: tuple[Formula, ...] = ()
    settings: Settings = Settings()
    openrally: Mapping[str, float] = field(factory=dict)
    """Radius in metres for OpenRally elements that say none, by element name."""
