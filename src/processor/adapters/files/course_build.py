"""From the structs of a course file to the domain's values: defaults are filled in, names are
looked up, and what no annotation can say is checked. Every fault is a Misplaced with its path.

Harmless oddities are warnings, and what is odd is left out: a zone that is nowhere or limits
nothing punishes nobody. Whatever could change a result in silence is a fault.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from attrs import field, frozen

from processor.adapters.files.course_file import CourseFile, Misplaced
from processor.adapters.files.course_shapes import METRE_DIGITS, is_empty, shape_of
from processor.adapters.files.course_structs import (
    CourseJson,
    DeviceJson,
    EntryJson,
    LineStringJson,
    ObjectJson,
    SegmentJson,
    StageJson,
    StartOrderParamsJson,
    ZoneJson,
)
from processor.adapters.files.times import INSTANT_MAX, TOO_LATE, read_instant
from processor.adapters.files.words import near, quoted
from processor.domain.course import (
    Assignment,
    Course,
    Entry,
    EntryStatus,
    Kind,
    Object,
    Segment,
    SegmentType,
    Stage,
    StartOrder,
    Zone,
)
from processor.domain.course_version import versioned

Value = TypeVar("Value")
Thing = ObjectJson | ZoneJson


IDLE_WITHOUT_ORDER: Mapping[Kind, str] = {
    Kind.DZ: "it begins no zone",
    Kind.FZ: "it ends no zone",
    Kind.DN: "it begins no neutralisation",
    Kind.FN: "it ends no neutralisation",
    Kind.STOP: "nobody has to stop there",
}
"""What they do only as a part of the order, and so what they do not do."""


def course_of(file: CourseJson) -> CourseFile:
    """The course that a file says. Raises Misplaced."""
    return _Building(file).course_file()


def _said(value: Value | None, otherwise: Value) -> Value:
    return otherwise if value is None else value


def _members(struct: StartOrderParamsJson | None) -> dict[str, object]:
    """The members that are said, of JSON's own values."""
    said: dict[str, object] = msgspec.json.decode(msgspec.json.encode(struct)) or {}
    return {name: value for name, value in said.items() if value is not None}


@frozen
class _Places:
    """A segment of the file with its path, and the zones of it that are not left out."""

    path: str
    segment: SegmentJson
    zones: Sequence[tuple[str, ZoneJson]] = field(factory=tuple)

    def objects(self) -> Iterator[tuple[str, ObjectJson]]:
        for number, thing in enumerate(self.segment.objects or ()):
            yield f"{self.path}.objects[{number}]", thing

    def things(self) -> Iterator[tuple[str, Thing]]:
        yield from self.objects()
        yield from self.zones


class _Building:
    """One file on its way. Names are gathered first, because things name one another."""

    def __init__(self, file: CourseJson) -> None:
        self._file = file
        self._warnings: list[str] = []
        self._stages = {f"stages[{number}]": stage for number, stage in enumerate(file.stages)}
        self._segments = {
            path: [
                self._places(f"{path}.segments[{n}]", s) for n, s in enumerate(stage.segments or ())
            ]
            for path, stage in self._stages.items()
        }
        self._written: dict[str, str] = {}
        self._controls: set[str] = set()

    def course_file(self) -> CourseFile:
        _unique([(path, stage.id) for path, stage in self._stages.items()], "stage")
        _unique([(each.path, each.segment.id) for each in self._all_segments()], "segment")
        shared = self._shared_ids()
        stages = tuple(self._stage(path, stage, shared) for path, stage in self._stages.items())
        course = versioned(Course("", stages, _said(self._file.name, "")))
        written = {name: said for name, said in self._written.items() if name != said}
        return CourseFile(course, self._entries(), tuple(sorted(self._warnings)), written)

    def _warn(self, place: str, sentence: str) -> None:
        self._warnings.append(f"{place}: {sentence}")

    # -- names ------------------------------------------------------------------------------------

    def _all_segments(self) -> Iterator[_Places]:
        for segments in self._segments.values():
            yield from segments

    def _places(self, path: str, segment: SegmentJson) -> _Places:
        zones = []
        for number, zone in enumerate(segment.zones or ()):
            place = f"{path}.zones[{number}]"
            if is_empty(zone.geometry):
                self._warn(place, "has no coordinates, so it is nowhere; it is left out")
            elif zone.limit_kmh is None:
                self._warn(place, "has no limit_kmh, so it limits nothing; it is left out")
            else:
                zones.append((place, zone))
        return _Places(path, segment, zones)

    def _shared_ids(self) -> frozenset[str]:
        """The ids of objects and zones that several segments use."""
        times: Counter[str] = Counter()
        for each in self._all_segments():
            _unique([(path, thing.id) for path, thing in each.things()], "object or zone")
            times.update(thing.id for _, thing in each.things())
        return frozenset(name for name, count in times.items() if count > 1)

    def _id(self, place: str, segment: SegmentJson, thing_id: str, shared: frozenset[str]) -> str:
        """A thing's id in the course: told apart by its segment where others have the same."""
        name = f"{segment.id}/{thing_id}" if thing_id in shared else thing_id
        if name in self._written:
            raise Misplaced(place, f"has the id {quoted(name)}, which two things would have")
        self._written[name] = thing_id
        return name

    # -- stages and segments ----------------------------------------------------------------------

    def _stage(self, path: str, stage: StageJson, shared: frozenset[str]) -> Stage:
        times = _Times(path, stage)
        times.in_order("starts_at", "ends_at")
        times.in_order("starts_at", "closes_at")
        others = [each.id for each in self._file.stages]
        if stage.start_order_input is not None and stage.start_order_input not in others:
            name = stage.start_order_input
            raise Misplaced(
                f"{path}.start_order_input",
                f"names the stage {quoted(name)}, which is not there{near(name, others)}",
            )
        return Stage(
            id=stage.id,
            segments=tuple(self._segment(each, shared) for each in self._segments[path]),
            name=_said(stage.name, ""),
            starts_at=times.read("starts_at"),
            ends_at=times.read("ends_at"),
            closes_at=times.read("closes_at"),
            closed_at=times.read("closed_at"),
            coefficient=Decimal(repr(_said(stage.coefficient, 1.0))),
            time_resolution_ms=_said(stage.time_resolution_ms, 1000),
            start_interval_seconds=stage.start_interval_seconds,
            start_order=_said(stage.start_order, StartOrder.MANUAL),
            start_order_params=_members(stage.start_order_params),
            start_order_input=stage.start_order_input,
        )

    def _segment(self, places: _Places, shared: frozenset[str]) -> Segment:
        path, segment = places.path, places.segment
        times = _Times(path, segment)
        times.in_order("opens_at", "start_closes_at")
        times.in_order("opens_at", "closes_at")
        names = {
            thing.id: self._id(place, segment, thing.id, shared) for place, thing in places.things()
        }
        return Segment(
            id=segment.id,
            type=_said(segment.type, SegmentType.SPECIAL_STAGE),
            objects=tuple(self._object(at, o, names[o.id]) for at, o in places.objects()),
            start=_named(places, "start", Kind.START, names),
            finish=_named(places, "finish", Kind.FINISH, names),
            zones=tuple(self._zone(at, z, names[z.id]) for at, z in places.zones),
            start_rule=segment.start_rule,
            laps=_said(segment.laps, 1),
            opens_at=times.read("opens_at"),
            start_closes_at=times.read("start_closes_at"),
            closes_at=times.read("closes_at"),
            target_duration_seconds=segment.target_duration_seconds,
            maximum_duration_seconds=segment.maximum_duration_seconds,
        )

    def _object(self, place: str, thing: ObjectJson, name: str) -> Object:
        if thing.sort_order is None and thing.kind in IDLE_WITHOUT_ORDER:
            does_nothing = IDLE_WITHOUT_ORDER[thing.kind]
            self._warn(
                place, f"{thing.id} is a {thing.kind.value} without sort_order: {does_nothing}"
            )
        if thing.kind is Kind.TIME_CONTROL:
            self._controls.add(name)
        shape = shape_of(thing.geometry, thing.radius_m, thing.direction_deg, place, self._warn)
        return Object(
            id=name,
            kind=thing.kind,
            shape=shape,
            name=_said(thing.name, ""),
            sort_order=thing.sort_order,
            open_m=None if thing.open_m is None else round(thing.open_m, METRE_DIGITS),
            speed_limit_kmh=thing.speed_limit_kmh,
            duration_seconds=thing.duration_seconds,
            manual_verification=_said(thing.manual_verification, False),
        )

    def _zone(self, place: str, zone: ZoneJson, name: str) -> Zone:
        assert zone.limit_kmh is not None, "a zone without a limit was left out"
        if isinstance(zone.geometry, LineStringJson):
            raise Misplaced(f"{place}.geometry", "must be a Polygon or a MultiPolygon")
        return Zone(
            id=name,
            shape=shape_of(zone.geometry, zone.radius_m, None, place, self._warn),
            limit_kmh=zone.limit_kmh,
            name=_said(zone.name, ""),
            tolerance_kmh=_said(zone.tolerance_kmh, 0.0),
            tolerance_seconds=_said(zone.tolerance_seconds, 0.0),
        )

    # -- entries ----------------------------------------------------------------------------------

    def _entries(self) -> tuple[Entry, ...]:
        listed = [(f"entries[{n}]", entry) for n, entry in enumerate(self._file.entries or ())]
        _unique([(path, entry.id) for path, entry in listed], "entry")
        return tuple(self._entry(path, entry) for path, entry in listed)

    def _entry(self, path: str, entry: EntryJson) -> Entry:
        start_at: dict[str, int] = {}
        for name, text in sorted((entry.start_at or {}).items()):
            target = self._target(f"{path}.start_at", name)
            if target in start_at:
                raise Misplaced(
                    f"{path}.start_at", f"names the control {quoted(target)} twice, as it is called"
                )
            start_at[target] = _instant(f"{path}.start_at[{quoted(name)}]", text)
        devices = [(f"{path}.devices[{n}]", d) for n, d in enumerate(entry.devices or ())]
        return Entry(
            id=entry.id,
            class_id=_said(entry.class_, ""),
            race_number=entry.race_number,
            status=_said(entry.status, EntryStatus.CONFIRMED),
            start_at=start_at,
            devices=tuple(_assignment(place, device) for place, device in devices),
        )

    def _target(self, place: str, name: str) -> str:
        """What a start list's instant is for: a segment, or a time control by its id in the course
        or in the file."""
        segments = [each.segment.id for each in self._all_segments()]
        controls = {id_: written for id_, written in self._written.items() if id_ in self._controls}
        if name in segments or name in controls:
            return name
        called = sorted(id_ for id_, written in controls.items() if written == name)
        if len(called) == 1:
            return called[0]
        if called:
            raise Misplaced(
                place,
                f"names the time control {quoted(name)}, which several segments have; "
                f"say {' or '.join(map(quoted, called))}",
            )
        raise Misplaced(
            place,
            f"names the segment {quoted(name)}, which is not there"
            f"{near(name, [*segments, *controls])}",
        )


class _Times:
    """The instants that a struct holds as texts, by their names."""

    def __init__(self, path: str, struct: Any) -> None:
        self._path = path
        self._struct = struct

    def read(self, name: str) -> int | None:
        """The instant in microseconds. Raises Misplaced."""
        text = getattr(self._struct, name)
        return None if text is None else _instant(f"{self._path}.{name}", text)

    def in_order(self, first: str, second: str) -> None:
        """Raises Misplaced unless the first comes before the second, where both are said."""
        begin, end = self.read(first), self.read(second)
        if begin is not None and end is not None and end <= begin:
            raise Misplaced(f"{self._path}.{second}", f"must be later than {first}")


def _instant(place: str, text: str) -> int:
    instant = read_instant(text)
    if instant is not None and instant >= INSTANT_MAX:
        raise Misplaced(place, TOO_LATE)
    if instant is None:
        raise Misplaced(
            place,
            "must be an ISO-8601 date and time with Z or an offset, such as 2026-06-07T08:00:00Z",
        )
    return instant


def _assignment(path: str, device: DeviceJson) -> Assignment:
    times = _Times(path, device)
    times.in_order("valid_from", "valid_to")
    return Assignment(
        device_id=device.device_id,
        worn=_said(device.worn, False),
        priority=_said(device.priority, 0),
        valid_from=times.read("valid_from"),
        valid_to=times.read("valid_to"),
    )


def _named(places: _Places, member: str, kind: Kind, names: Mapping[str, str]) -> str | None:
    """The object that a segment starts or finishes with: the one it names, else the only one of
    that kind."""
    said: str | None = getattr(places.segment, member)
    objects = [thing for _, thing in places.objects()]
    if said is None:
        alike = [thing.id for thing in objects if thing.kind is kind]
        return names[alike[0]] if len(alike) == 1 else None
    known = [thing.id for thing in objects]
    if said not in known:
        raise Misplaced(
            f"{places.path}.{member}",
            f"names the object {quoted(said)}, which this segment does not have{near(said, known)}",
        )
    return names[said]


def _unique(named: Sequence[tuple[str, str]], what: str) -> None:
    """Raises Misplaced at the second place of a name that stands twice."""
    first: dict[str, str] = {}
    for path, name in named:
        if name in first:
            raise Misplaced(
                f"{path}.id", f"{quoted(name)} is the id of another {what}, {first[name]}"
            )
        first[name] = path
