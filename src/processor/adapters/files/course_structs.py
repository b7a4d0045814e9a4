"""The course format as structs: what a course file may say, with units and ranges.

The schema in docs/ is generated from here, and the reader judges by the same annotations, so an
editor that knows the schema and the command cannot disagree. `null` is the same as left out. What
no annotation can say (an id used twice, a gate without length) is `course_json.py`'s business.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from processor.domain.course import EntryStatus, Kind, SegmentType, StartOrder, StartRule

SECONDS_MAX = 366 * 24 * 3600
LAPS_MAX = 1000

Id: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="A name of your own, without control characters.",
    ),
]
Text: TypeAlias = Annotated[str, Meta(max_length=1000)]
Instant: TypeAlias = Annotated[
    str,
    Meta(
        description="ISO-8601 date and time with Z or an offset.",
        examples=["2026-06-07T08:00:00Z", "2026-06-07T10:00:00.250+02:00"],
        extra_json_schema={"format": "date-time"},
    ),
]
Metres: TypeAlias = Annotated[float, Meta(ge=0.001, le=100_000, description="Metres.")]
Kmh: TypeAlias = Annotated[float, Meta(gt=0, le=1000, description="km/h.")]
Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=SECONDS_MAX, description="Whole seconds.")]
Position: TypeAlias = Annotated[
    list[float],
    Meta(min_length=2, max_length=3, description="Longitude, latitude in degrees WGS 84."),
]


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A member that is not known is a typing error, and it would be one in silence."""


# -- geometry: GeoJSON -----------------------------------------------------------------------------


class PointJson(_Strict, tag_field="type", tag="Point"):
    """A disc, with radius_m beside the geometry."""

    coordinates: Position


class LineStringJson(_Strict, tag_field="type", tag="LineString"):
    """A gate: two posts."""

    coordinates: list[Position]


class PolygonJson(_Strict, tag_field="type", tag="Polygon"):
    """An area: its outer ring, then its holes."""

    coordinates: list[list[Position]]


class MultiPolygonJson(_Strict, tag_field="type", tag="MultiPolygon"):
    """Several areas that count as one."""

    coordinates: list[list[list[Position]]]


GeometryJson: TypeAlias = PointJson | LineStringJson | PolygonJson | MultiPolygonJson

# -- the course ------------------------------------------------------------------------------------


class ObjectJson(_Strict):
    """Something that is passed. With a sort_order it is part of the order."""

    id: Id
    kind: Kind
    geometry: GeometryJson
    radius_m: Metres | None = None
    direction_deg: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=360,
                description="Of a gate: the heading that counts, to within 90 degrees.",
            ),
        ]
        | None
    ) = None
    name: Text | None = None
    sort_order: Annotated[int, Meta(ge=-1_000_000_000, le=1_000_000_000)] | None = None
    open_m: Metres | None = None
    speed_limit_kmh: Kmh | None = None
    duration_seconds: Seconds | None = None
    manual_verification: bool | None = None


class ZoneJson(_Strict):
    """An area where a speed is not to be exceeded."""

    id: Id
    geometry: GeometryJson
    radius_m: Metres | None = None
    limit_kmh: Kmh | None = None
    name: Text | None = None
    tolerance_kmh: Annotated[float, Meta(ge=0, le=1000, description="km/h.")] | None = None
    tolerance_seconds: Annotated[float, Meta(ge=0, le=3600)] | None = None


class SegmentJson(_Strict):
    """A timed part of a stage. start and finish name objects of its own; where they are left out,
    the only object of that kind is meant."""

    id: Id
    type: SegmentType | None = None
    name: Text | None = None
    start: Id | None = None
    finish: Id | None = None
    start_rule: StartRule | None = None
    laps: Annotated[int, Meta(ge=1, le=LAPS_MAX)] | None = None
    opens_at: Instant | None = None
    start_closes_at: Instant | None = None
    closes_at: Instant | None = None
    target_duration_seconds: Seconds | None = None
    maximum_duration_seconds: Seconds | None = None
    objects: list[ObjectJson] | None = None
    zones: list[ZoneJson] | None = None


class StartOrderParamsJson(_Strict):
    """What a start order needs: intervals [[10, 180], [20, 120], [null, 30]] (up to that position,
    seconds), n of inverse_top_n_then_natural, include_penalties of previous_stage_clean_result."""

    intervals: list[tuple[Annotated[int, Meta(ge=1, le=1_000_000)] | None, Seconds]] | None = None
    n: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    include_penalties: bool | None = None


class StageJson(_Strict):
    """A stage: its segments in their order. closed_at declares it over."""

    id: Id
    name: Text | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    closes_at: Instant | None = None
    closed_at: Instant | None = None
    coefficient: Annotated[float, Meta(gt=0, le=1000)] | None = None
    time_resolution_ms: Literal[1000, 100, 10, 1] | None = None
    start_interval_seconds: Seconds | None = None
    start_order: StartOrder | None = None
    start_order_params: StartOrderParamsJson | None = None
    start_order_input: Id | None = None
    segments: list[SegmentJson] | None = None


class DeviceJson(_Strict):
    """A device of an entry, from one instant to another."""

    device_id: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
    worn: bool | None = None
    priority: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] | None = None
    valid_from: Instant | None = None
    valid_to: Instant | None = None


class EntryJson(_Strict):
    """A vehicle or a rider. start_at is the start list's target by segment id."""

    id: Id
    name: Text | None = None
    class_: Annotated[str, Meta(max_length=200)] | None = msgspec.field(name="class", default=None)
    race_number: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    status: EntryStatus | None = None
    start_at: dict[str, Instant] | None = None
    devices: list[DeviceJson] | None = None


class CourseJson(_Strict):
    """A course and who drives it."""

    stages: Annotated[list[StageJson], Meta(min_length=1)]
    version: Annotated[Literal[1], Meta(description="Of this format.")] | None = None
    name: Text | None = None
    entries: list[EntryJson] | None = None
    schema_: str | None = msgspec.field(name="$schema", default=None)


# -- what can be said of them ----------------------------------------------------------------------

STRUCTS: Mapping[str, tuple[str, type[msgspec.Struct]]] = {
    "": ("a course", CourseJson),
    "stages": ("a stage", StageJson),
    "segments": ("a segment", SegmentJson),
    "objects": ("an object", ObjectJson),
    "zones": ("a zone", ZoneJson),
    "entries": ("an entry", EntryJson),
    "devices": ("a device", DeviceJson),
    "start_order_params": ("a start order", StartOrderParamsJson),
    "geometry": ("a geometry", PointJson),
}
"""By the member that holds them: what they are called in a sentence, and how they are made."""

CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "": {"version": ("1",)},
    "objects": {"kind": tuple(Kind)},
    "segments": {"type": tuple(SegmentType), "start_rule": tuple(StartRule)},
    "stages": {
        "start_order": tuple(StartOrder),
        "time_resolution_ms": ("1000", "100", "10", "1"),
    },
    "entries": {"status": tuple(EntryStatus)},
    "geometry": {"type": ("Point", "LineString", "Polygon", "MultiPolygon")},
}


def members(holder: str) -> tuple[str, ...]:
    """The names of the members that may stand in what the member `holder` holds."""
    names = [field.encode_name for field in msgspec.structs.fields(STRUCTS[holder][1])]
    return tuple(sorted({*names, *CHOICES.get(holder, ())}))


def schema() -> dict[str, Any]:
    """The JSON Schema of a course file, as plain JSON values."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A course of rally-processor",
        **msgspec.json.schema(CourseJson),
    }


def schema_text() -> str:
    """The schema as the file in docs/ has it, byte for byte."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
