"""OpenRally: a roadbook as GPX 1.1, whose <wpt> hold elements of openrally.org's namespace (1.0.3).

Every element that can be passed is an object, in the document's order, and its id is the number of
its <wpt> and its name: `12-wpm`. What divides the way into segments (`dss`, `ass`, `dt`, `ft`,
outside of special stages a `timecontrol`) is told in `openrally_way.py`; here the document is read
and measured in metres and km/h.

A radius that the document does not say is a default, which is data, and a warning. What nobody here
knows is listed, because a roadbook of another version is still a roadbook.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

from attrs import field, frozen

from processor.adapters.files.contents import seems
from processor.adapters.files.course_file import COURSE_BYTES_MAX, CourseFile
from processor.adapters.files.markup import gpx_events, local, namespace
from processor.adapters.files.openrally_elements import (
    ALIASES,
    FOR_THE_ROADBOOK,
    KINDS,
    NAMESPACE,
    RADIUS_M,
    UNITS,
)
from processor.adapters.files.openrally_way import Mark, Way
from processor.adapters.files.wrong import WrongFile
from processor.domain.course import Course, Disc, Object, Place, Stage
from processor.domain.course_version import versioned

STAGE = "stage"
"""The id of the one stage that a roadbook is, where its metadata name none."""


@frozen
class _Said:
    """An element as it stands: text and attributes, nothing judged."""

    name: str
    text: str
    attributes: Mapping[str, str]


@frozen
class _Waypoint:
    number: int
    place: Place
    name: str
    elements: tuple[_Said, ...]


@frozen
class _Roadbook:
    """A document, read. `unknown` counts the elements that nobody here knows."""

    name: str
    units: str
    waypoints: tuple[_Waypoint, ...]
    unknown: Counter[str] = field(factory=Counter)


class _Wrong(Exception):
    """An element says something impossible; the text is a sentence without the place."""


def read_openrally(path: Path, radius_m: Mapping[str, float] | None = None) -> CourseFile:
    """The course of a roadbook: one stage, no entries. `radius_m` replaces defaults by element
    (`wp*` and `*` for several). Raises WrongFile, OSError."""
    if path.stat().st_size > COURSE_BYTES_MAX:
        raise WrongFile(path, "", f"is longer than {COURSE_BYTES_MAX} bytes; no course is")
    roadbook = _read(path)
    measure = _Measure(path, UNITS[roadbook.units], {**RADIUS_M, **(radius_m or {})})
    marks = [mark for waypoint in roadbook.waypoints for mark in measure.marks(waypoint)]
    if not marks:
        raise WrongFile(
            path, "", f"has no OpenRally element to pass, such as <dss> or <wpm>{_track(path)}"
        )
    way = Way(marks)
    course = Course("", (Stage(id=roadbook.name or STAGE, segments=way.segments),), roadbook.name)
    warnings = {*measure.warnings(), *way.warnings, *_unknown(roadbook.unknown)}
    return CourseFile(versioned(course), warnings=tuple(sorted(warnings)))


def _track(path: Path) -> str:
    return seems(path) if "a track" in seems(path) else ""


def _unknown(unknown: Counter[str]) -> Iterator[str]:
    if unknown:
        listed = ", ".join(f"<{name}> ({unknown[name]})" for name in sorted(unknown))
        yield f"extensions not known here, left out: {listed}"


# -- the document ----------------------------------------------------------------------------------


def _read(path: Path) -> _Roadbook:
    waypoints: list[_Waypoint] = []
    unknown: Counter[str] = Counter()
    name, units, root = "", "metric", None
    for event, element in gpx_events(path):
        root = element if root is None else root
        if event == "start":
            continue
        if local(element) == "metadata":
            name = _text_of(element, "name")[:200] or name
            units = _text_of(element, "units") or units
        elif local(element) == "wpt":
            waypoints.append(_waypoint(path, len(waypoints) + 1, element, unknown))
        elif local(element) not in ("trk", "rte"):
            continue
        root.clear()
    if units not in UNITS:
        raise WrongFile(path, "<units>", 'must be "metric" or "statute"')
    return _Roadbook(name, units, tuple(waypoints), unknown)


def _text_of(element: Element, name: str) -> str:
    found = (inner.text or "" for inner in element.iter() if local(inner) == name)
    return " ".join(next(found, "").split())


def _waypoint(path: Path, number: int, element: Element, unknown: Counter[str]) -> _Waypoint:
    said = []
    for extensions in (inner for inner in element if local(inner) == "extensions"):
        for inner in extensions:
            name = ALIASES.get(local(inner), local(inner))
            if namespace(inner).startswith(NAMESPACE) and (
                name in KINDS or name in FOR_THE_ROADBOOK
            ):
                said.append(_Said(name, (inner.text or "").strip(), dict(inner.attrib)))
            else:
                unknown[local(inner)] += 1
    place = (
        _coordinate(path, number, element, "lon", 180),
        _coordinate(path, number, element, "lat", 90),
    )
    names = (inner.text or "" for inner in element if local(inner) == "name")
    return _Waypoint(number, place, " ".join(next(names, "").split())[:200], tuple(said))


def _coordinate(path: Path, number: int, element: Element, name: str, most: int) -> float:
    try:
        return round(_number(element.get(name, ""), -most, most), 7) + 0.0  # no -0.0
    except _Wrong as wrong:
        raise WrongFile(path, f"<wpt> {number}", f"{name} {wrong}") from None


def _number(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise _Wrong(f"must be a number from {least:g} to {most:g}")
    return value


# -- its measures ----------------------------------------------------------------------------------


class _Measure:
    """Makes objects of elements, and remembers for which it had to take a default."""

    def __init__(
        self, path: Path, units: tuple[float, float], radius_m: Mapping[str, float]
    ) -> None:
        self._path = path
        self._metres, self._kmh = units
        self._radius_m = radius_m
        self._defaults: dict[str, list[int]] = {}
        self._without_limit: list[int] = []
        self._limit_alone: list[int] = []

    def marks(self, waypoint: _Waypoint) -> Iterator[Mark]:
        """The objects of a waypoint in the document's order. Raises WrongFile."""
        times: Counter[str] = Counter()
        speed = next((said.text for said in waypoint.elements if said.name == "speed"), "")
        if speed and not any(said.name == "dz" for said in waypoint.elements):
            self._limit_alone.append(waypoint.number)
        for said in waypoint.elements:
            if said.name not in KINDS:
                continue
            times[said.name] += 1
            try:
                yield self._mark(waypoint, said, speed, times[said.name])
            except _Wrong as wrong:
                place = f"<wpt> {waypoint.number}, <{said.name}>"
                raise WrongFile(self._path, place, str(wrong)) from None

    def _mark(self, waypoint: _Waypoint, said: _Said, speed: str, time: int) -> Mark:
        number = f"-{time}" if time > 1 else ""
        limit_kmh = self._limit(waypoint, said, speed) if said.name == "dz" else None
        seconds = said.name in ("dn", "stop")
        allowed = said.attributes.get("allowed")
        thing = Object(
            id=f"{waypoint.number}-{said.name}{number}",
            kind=KINDS[said.name],
            shape=Disc(waypoint.place, self._radius(waypoint, said)),
            name=" ".join(said.attributes.get("name", "").split())[:200] or waypoint.name,
            open_m=self._length(said, "open"),
            speed_limit_kmh=limit_kmh,
            duration_seconds=int(_number(said.text or "0", 0, 1_000_000)) if seconds else None,
        )
        minutes = None if allowed is None else int(_number(allowed, 0, 100_000))
        return Mark(waypoint.number, said.name, thing, minutes)

    def _length(self, said: _Said, attribute: str) -> float | None:
        text = said.attributes.get(attribute)
        if text is None:
            return None
        try:
            return round(_number(text, 0.01, 100_000) * self._metres, 3)
        except _Wrong as wrong:
            raise _Wrong(f"{attribute} {wrong}") from None

    def _radius(self, waypoint: _Waypoint, said: _Said) -> float:
        if (clear := self._length(said, "clear")) is not None:
            return clear
        self._defaults.setdefault(said.name, []).append(waypoint.number)
        return float(self._default(said.name))

    def _default(self, name: str) -> float:
        family = "wp*" if name.startswith("wp") else "*"
        return self._radius_m.get(name, self._radius_m[family])

    def _limit(self, waypoint: _Waypoint, said: _Said, speed: str) -> float | None:
        if not (text := speed or said.text):
            self._without_limit.append(waypoint.number)
            return None
        return round(_number(text, 1, 1000) * self._kmh, 3)

    def warnings(self) -> Iterator[str]:
        """What was taken or left out, with the waypoints it concerns."""
        for name, numbers in self._defaults.items():
            yield (
                f"<{name}> without clear: a radius of {self._default(name):g} m was taken "
                f"({_wpts(numbers)})"
            )
        if self._without_limit:
            yield f"<dz> without a speed: no limit holds there ({_wpts(self._without_limit)})"
        if self._limit_alone:
            yield f"<speed> without <dz>: it limits nothing ({_wpts(self._limit_alone)})"


def _wpts(numbers: list[int]) -> str:
    return f"<wpt> {', '.join(map(str, sorted(set(numbers))))}"
