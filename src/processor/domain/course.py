"""What is driven, and by whom: the course and the entries, as values that never change.

A course has stages, a stage segments, a segment the objects that are passed and the zones that
limit speed. Ids are texts: uuids online, names in a file. An object belongs to one segment and is
*ordered* when it has a sort_order. `version` is a hash of the content, so that equal courses have
equal versions wherever they came from. The fields are those of contracts/business-schema.md, the
words those of design/racing.md; None is "not said".
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from attrs import field, frozen

# -- geometry as it is written ---------------------------------------------------------------------

Place: TypeAlias = tuple[float, float]
"""Longitude and latitude in degrees WGS 84: the order of GeoJSON."""

Ring: TypeAlias = tuple[Place, ...]
"""A closed line; its last place is its first and is not repeated. At least three places."""


@frozen
class Disc:
    """All that lies within `radius_m` metres of a place."""

    centre: Place
    radius_m: float


@frozen
class Gate:
    """A line between two posts. It can be missed beside it. `direction_deg` is the heading that
    counts, to within 90 degrees; None: either way."""

    posts: tuple[Place, Place]
    direction_deg: float | None = None


@frozen
class Area:
    """A polygon, or several: what lies within an odd number of rings (so a ring inside a ring is a
    hole). A place on a ring is inside."""

    rings: tuple[Ring, ...]


Shape: TypeAlias = Disc | Gate | Area


# -- what stands on the course ---------------------------------------------------------------------


class Kind(StrEnum):
    """What an object is: a geofence's kind or a waypoint's (FIM, FIA cross-country)."""

    START = "start"
    CHECKPOINT = "checkpoint"
    FINISH = "finish"
    TIME_CONTROL = "time-control"
    PARC_FERME = "parc-ferme"
    NEUTRALISATION = "neutralisation"
    INFO = "info"
    WPV = "WPV"  # visible
    WPM = "WPM"  # masked
    WPE = "WPE"  # eclipse
    WPS = "WPS"  # safety
    WPC = "WPC"  # control
    WPN = "WPN"  # navigation
    WPP = "WPP"  # precise
    DZ = "DZ"  # a speed zone begins
    FZ = "FZ"  # and ends
    DN = "DN"  # a neutralisation begins
    FN = "FN"  # and ends
    STOP = "stop"


@frozen
class Object:
    """Something that is passed. `sort_order` None: it is not part of the order.

    `open_m` is the distance at which a roadbook shows it (never judged), `speed_limit_kmh` that of
    the zone which a DZ begins, `duration_seconds` that of the neutralisation which a DN begins or
    of a stop. `manual_verification`: a human confirms each pass.
    """

    id: str
    kind: Kind
    shape: Shape
    name: str = ""
    sort_order: int | None = None
    open_m: float | None = None
    speed_limit_kmh: float | None = None
    duration_seconds: int | None = None
    manual_verification: bool = False


@frozen
class Zone:
    """An area where a speed is not to be exceeded. The tolerance is a threshold, no discount."""

    id: str
    shape: Shape
    limit_kmh: float
    name: str = ""
    tolerance_kmh: float = 0.0
    tolerance_seconds: float = 0.0


class SegmentType(StrEnum):
    LIAISON = "liaison"
    SPECIAL_STAGE = "special-stage"
    PARC_FERME = "parc-ferme"
    NEUTRALISATION = "neutralisation"


class StartRule(StrEnum):
    ASSIGNED = "assigned"
    LAST_EXIT = "last-exit"
    FIRST_EXIT = "first-exit"
    FIRST_ENTER = "first-enter"


@frozen
class Segment:
    """A timed part of a stage. `start` and `finish` name objects of its own.

    `start_rule` None: `assigned` where the entry has a target, else `last-exit` (files). Instants
    in microseconds; `opens_at`, `closes_at` None: open ends.
    """

    id: str
    type: SegmentType
    objects: tuple[Object, ...]
    start: str | None = None
    finish: str | None = None
    zones: tuple[Zone, ...] = ()
    start_rule: StartRule | None = None
    laps: int = 1
    opens_at: int | None = None
    start_closes_at: int | None = None
    closes_at: int | None = None
    target_duration_seconds: int | None = None
    maximum_duration_seconds: int | None = None

    @property
    def ordered(self) -> tuple[Object, ...]:
        """The objects to be passed in order: by sort_order, of equals as they are written; start
        and finish are not among them."""
        between = (o for o in self.objects if o.sort_order is not None)
        return tuple(
            sorted(
                (o for o in between if o.id not in (self.start, self.finish)),
                key=lambda o: o.sort_order or 0,
            )
        )

    def object(self, object_id: str | None) -> Object | None:
        """The object of that id, None where there is none."""
        return next((o for o in self.objects if o.id == object_id), None)


class StartOrder(StrEnum):
    MANUAL = "manual"
    PREVIOUS_CLEAN = "previous_stage_clean_result"
    INVERSE_TOP_N = "inverse_top_n_then_natural"
    INVERSE_OVERALL = "inverse_of_overall"


@frozen
class Stage:
    """`closed_at` is the closure: the stage was declared over at that instant. `coefficient`
    multiplies the elapsed time. `start_order_params` as the schema has them: intervals
    [[10, 180], [20, 120], [null, 30]], n, include_penalties."""

    id: str
    segments: tuple[Segment, ...]
    name: str = ""
    starts_at: int | None = None
    ends_at: int | None = None
    closes_at: int | None = None
    closed_at: int | None = None
    coefficient: Decimal = Decimal(1)
    time_resolution_ms: int = 1000
    start_interval_seconds: int | None = None
    start_order: StartOrder = StartOrder.MANUAL
    start_order_params: Mapping[str, object] = field(factory=dict)
    start_order_input: str | None = None


# -- who drives it ---------------------------------------------------------------------------------


class EntryStatus(StrEnum):
    REGISTERED = "registered"
    CONFIRMED = "confirmed"
    STARTED = "started"
    FINISHED = "finished"
    RETIRED = "retired"
    DISQUALIFIED = "disqualified"
    DID_NOT_START = "did-not-start"
    WITHDRAWN = "withdrawn"


@frozen
class Assignment:
    """A device of an entry, from one instant to another (half open; None: for ever).

    Ranked: not worn by a person before worn, then the smaller priority, then the device's id.
    """

    device_id: str
    worn: bool = False
    priority: int = 0
    valid_from: int | None = None
    valid_to: int | None = None

    @property
    def rank(self) -> tuple[bool, int, str]:
        return self.worn, self.priority, self.device_id


@frozen
class Entry:
    """The unit of timing: a vehicle or a rider. `start_at` are the targets of the start list, by
    segment id, in microseconds."""

    id: str
    class_id: str = ""
    race_number: int | None = None
    status: EntryStatus = EntryStatus.CONFIRMED
    start_at: Mapping[str, int] = field(factory=dict)
    devices: tuple[Assignment, ...] = ()


@frozen
class Course:
    """The stages of an event in their order, immutable. `version` is a hash of the content."""

    version: str
    stages: tuple[Stage, ...]
    name: str = ""

    def segments(self) -> Iterator[tuple[Stage, Segment]]:
        """Every segment with its stage, in order."""
        for stage in self.stages:
            for segment in stage.segments:
                yield stage, segment

    def objects(self) -> Iterator[tuple[Segment, Object]]:
        """Every object with its segment, in order."""
        for _, segment in self.segments():
            for thing in segment.objects:
                yield segment, thing
