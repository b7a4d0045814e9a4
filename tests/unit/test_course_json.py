"""The course format: what it means, its schema, and the sentence for each kind of mistake."""

import json
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.adapters.files import course_file, course_json
from processor.adapters.files.course_file import CourseFile
from processor.adapters.files.course_json import read_course_json
from processor.adapters.files.course_structs import CHOICES, STRUCTS, members, schema_text
from processor.adapters.files.courses import read_course
from processor.adapters.files.wrong import WrongFile
from processor.domain.course import (
    Area,
    Assignment,
    Course,
    Disc,
    Entry,
    EntryStatus,
    Gate,
    Kind,
    Object,
    Segment,
    SegmentType,
    Stage,
    StartOrder,
    StartRule,
    Zone,
)
from processor.domain.course_version import course_version
from processor.domain.instants import SECOND
from processor.domain.rules import Settings

SCHEMA = Path(__file__).parents[2] / "docs" / "course.schema.json"
EIGHT = 1_780_819_200 * SECOND  # 2026-06-07T08:00:00Z

SPECIFIED = """
{"version": 1, "name": "Test", "stages": [{"id": "SS1", "starts_at": null, "closed_at": null, "coefficient": 1, "time_resolution_ms": 1000,
  "segments": [{"id": "SS1", "type": "special-stage", "start": "S", "finish": "F", "start_rule": "last-exit", "laps": 1,
    "opens_at": null, "closes_at": null, "maximum_duration_seconds": null,
    "objects": [
      {"id": "S",  "kind": "start",  "geometry": {"type": "Point", "coordinates": [19.80, 41.30]}, "radius_m": 50},
      {"id": "W1", "kind": "WPM",    "geometry": {"type": "Point", "coordinates": [19.85, 41.32]}, "radius_m": 90, "sort_order": 1},
      {"id": "G1", "kind": "checkpoint", "geometry": {"type": "LineString", "coordinates": [[19.9, 41.3], [19.9, 41.301]]}, "direction_deg": 90, "sort_order": 2},
      {"id": "F",  "kind": "finish", "geometry": {"type": "Polygon", "coordinates": [[[20.0, 41.3], [20.001, 41.3], [20.001, 41.301], [20.0, 41.3]]]}}],
    "zones": [{"id": "Z1", "geometry": {"type": "Polygon", "coordinates": []}, "limit_kmh": 50, "tolerance_kmh": 0, "tolerance_seconds": 0}]}]}],
 "entries": [{"id": "301", "class": "C-2", "race_number": 301, "start_at": {"SS1": "2026-06-07T08:00:00Z"}}]}
"""  # noqa: E501 - the specification's own example, as it stands there

SQUARE = [[20.0, 41.3], [20.01, 41.3], [20.01, 41.31], [20.0, 41.31], [20.0, 41.3]]

Read = Callable[[Any], CourseFile]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a document, or a text, as a course file."""

    def reading(content: Any) -> CourseFile:
        path = tmp_path / "course.json"
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_course_json(path)

    return reading


def refused(read: Read, content: Any) -> str:
    with pytest.raises(WrongFile) as caught:
        read(content)
    return str(caught.value)


def point(thing_id: str, kind: str = "WPM", **more: Any) -> dict[str, Any]:
    geometry = {"type": "Point", "coordinates": [19.8, 41.3]}
    return {"id": thing_id, "kind": kind, "geometry": geometry, "radius_m": 50, **more}


def course(*objects: Any, zones: Any = (), entries: Any = (), **segment: Any) -> dict[str, Any]:
    parts = [{"id": "SS1", "objects": list(objects), "zones": list(zones), **segment}]
    return {"stages": [{"id": "1", "segments": parts}], "entries": list(entries)}


# -- what it means ---------------------------------------------------------------------------------


def test_the_example_of_the_specification(read: Read) -> None:
    file = read(SPECIFIED)
    (stage,) = file.course.stages
    (segment,) = stage.segments
    assert file.course.name == "Test"
    assert (stage.id, stage.coefficient, stage.time_resolution_ms) == ("SS1", Decimal(1), 1000)
    assert segment.start_rule is StartRule.LAST_EXIT
    assert segment.objects == (
        Object("S", Kind.START, Disc((19.8, 41.3), 50.0)),
        Object("W1", Kind.WPM, Disc((19.85, 41.32), 90.0), sort_order=1),
        Object("G1", Kind.CHECKPOINT, Gate(((19.9, 41.3), (19.9, 41.301)), 90.0), sort_order=2),
        Object("F", Kind.FINISH, Area((((20.0, 41.3), (20.001, 41.3), (20.001, 41.301)),))),
    )
    assert (segment.start, segment.finish) == ("S", "F")
    assert [thing.id for thing in segment.ordered] == ["W1", "G1"]
    assert file.entries == (Entry("301", "C-2", 301, start_at={"SS1": EIGHT}),)
    # Its zone has no coordinates: nowhere, and that is said.
    assert segment.zones == ()
    assert [w.split(": ")[0] for w in file.warnings] == ["stages[0].segments[0].zones[0]"]


def test_everything_that_the_domain_knows_can_be_said(read: Read) -> None:
    everything = {
        "$schema": "course.schema.json",
        "version": 1,
        "name": "All",
        "stages": [
            {"id": "0"},
            {
                "id": "1",
                "name": "First",
                "starts_at": "2026-06-07T08:00:00Z",
                "ends_at": "2026-06-07T08:00:09Z",
                "closes_at": "2026-06-07T08:00:08Z",
                "closed_at": "2026-06-07T08:00:07.5Z",
                "coefficient": 1.1,
                "time_resolution_ms": 100,
                "start_interval_seconds": 120,
                "start_order": "inverse_top_n_then_natural",
                "start_order_params": {"n": 10, "intervals": [[10, 180], [None, 30]]},
                "start_order_input": "0",
                "segments": [
                    {
                        "id": "L1",
                        "type": "liaison",
                        "name": "to the start",
                        "start": "A",
                        "finish": "B",
                        "start_rule": "first-exit",
                        "laps": 3,
                        "opens_at": "2026-06-07T10:00:01+02:00",
                        "start_closes_at": "2026-06-07T08:00:02Z",
                        "closes_at": "2026-06-07T08:00:03Z",
                        "target_duration_seconds": 3600,
                        "maximum_duration_seconds": 7200,
                        "objects": [
                            point("A", "info", name="Arch", open_m=800, speed_limit_kmh=30.5),
                            point("B", "stop", duration_seconds=5, manual_verification=True),
                        ],
                        "zones": [
                            {
                                "id": "Z",
                                "name": "Village",
                                "geometry": {"type": "Polygon", "coordinates": [SQUARE]},
                                "limit_kmh": 50,
                                "tolerance_kmh": 2.5,
                                "tolerance_seconds": 1,
                            }
                        ],
                    }
                ],
            },
        ],
        "entries": [
            {
                "id": "301",
                "name": "Crew",
                "class": "T1",
                "race_number": 301,
                "status": "retired",
                "start_at": {"L1": "2026-06-07T08:00:00.000001Z"},
                "devices": [
                    {
                        "device_id": "356307042441013",
                        "worn": True,
                        "priority": 2,
                        "valid_from": "2026-06-07T08:00:00Z",
                        "valid_to": "2026-06-07T08:00:01Z",
                    }
                ],
            }
        ],
    }
    file = read(everything)
    place = (19.8, 41.3)
    square = ((20.0, 41.3), (20.01, 41.3), (20.01, 41.31), (20.0, 41.31))
    assert [w.partition(": ")[2] for w in file.warnings] == [
        "B is a stop without sort_order: nobody has to stop there"
    ]
    assert evolve(file.course, version="") == Course(
        version="",
        name="All",
        stages=(
            Stage("0", ()),
            Stage(
                id="1",
                name="First",
                starts_at=EIGHT,
                ends_at=EIGHT + 9 * SECOND,
                closes_at=EIGHT + 8 * SECOND,
                closed_at=EIGHT + 7 * SECOND + SECOND // 2,
                coefficient=Decimal("1.1"),
                time_resolution_ms=100,
                start_interval_seconds=120,
                start_order=StartOrder.INVERSE_TOP_N,
                start_order_params={"n": 10, "intervals": [[10, 180], [None, 30]]},
                start_order_input="0",
                segments=(
                    Segment(
                        id="L1",
                        type=SegmentType.LIAISON,
                        start="A",
                        finish="B",
                        start_rule=StartRule.FIRST_EXIT,
                        laps=3,
                        opens_at=EIGHT + SECOND,
                        start_closes_at=EIGHT + 2 * SECOND,
                        closes_at=EIGHT + 3 * SECOND,
                        target_duration_seconds=3600,
                        maximum_duration_seconds=7200,
                        objects=(
                            Object(
                                "A",
                                Kind.INFO,
                                Disc(place, 50.0),
                                name="Arch",
                                open_m=800.0,
                                speed_limit_kmh=30.5,
                            ),
                            Object(
                                "B",
                                Kind.STOP,
                                Disc(place, 50.0),
                                duration_seconds=5,
                                manual_verification=True,
                            ),
                        ),
                        zones=(Zone("Z", Area((square,)), 50.0, "Village", 2.5, 1.0),),
                    ),
                ),
            ),
        ),
    )
    assert file.entries == (
        Entry(
            "301",
            "T1",
            301,
            EntryStatus.RETIRED,
            {"L1": EIGHT + 1},
            (Assignment("356307042441013", True, 2, EIGHT, EIGHT + SECOND),),
        ),
    )


def test_all_but_ids_kinds_and_geometry_may_be_left_out(read: Read) -> None:
    bare = [{"id": "1", "segments": [{"id": "SS1", "objects": [point("W")]}]}, {"id": "2"}]
    file = read({"stages": bare, "entries": [{"id": "7"}]})
    assert file.course.stages == (
        Stage(
            "1",
            (
                Segment(
                    "SS1",
                    SegmentType.SPECIAL_STAGE,
                    (Object("W", Kind.WPM, Disc((19.8, 41.3), 50.0)),),
                ),
            ),
        ),
        Stage("2", ()),
    )
    assert file.entries == (Entry("7"),)
    assert (file.warnings, file.written_ids) == ((), {})


def test_the_only_start_and_the_only_finish_need_not_be_named(read: Read) -> None:
    only = read(course(point("A", "start"), point("B", "finish"))).course.stages[0].segments[0]
    assert (only.start, only.finish) == ("A", "B")
    two = read(course(point("A", "start"), point("B", "start"))).course.stages[0].segments[0]
    assert (two.start, two.finish) == (None, None)


def test_an_id_of_several_segments_is_told_apart_by_its_segment(read: Read) -> None:
    parts = [
        {"id": name, "finish": "F", "objects": [point("S", "start"), point("F"), point(f"W{name}")]}
        for name in ("SS1", "SS2")
    ]
    file = read({"stages": [{"id": "1", "segments": parts}]})
    first, second = file.course.stages[0].segments
    assert [thing.id for thing in first.objects] == ["SS1/S", "SS1/F", "WSS1"]
    assert (second.start, second.finish) == ("SS2/S", "SS2/F")
    assert [file.written(name) for name in ("SS2/S", "WSS1")] == ["S", "WSS1"]
    # So the geometry, which wants unique ids, takes it.
    from processor.domain.crossings import Ground

    Ground(file.course, Settings())


def test_an_area_may_have_holes_and_parts(read: Read) -> None:
    hole = [[20.002, 41.302], [20.004, 41.302], [20.004, 41.304], [20.002, 41.302]]
    far = [[21.0, 41.3], [21.0, 41.31], [21.01, 41.3], [21.0, 41.3]]
    several = {"type": "MultiPolygon", "coordinates": [[SQUARE, hole], [far]]}
    file = read(course(point("W", geometry=several, radius_m=None)))
    shape = file.course.stages[0].segments[0].objects[0].shape
    assert isinstance(shape, Area)
    assert [len(ring) for ring in shape.rings] == [4, 3, 3]


def test_places_are_rounded_and_repeated_ones_are_one(read: Read) -> None:
    ring = [[20.0, 41.0, 150], [20.00000001, 41.0], [20.01, 41.0], [20.01, 41.1], [20.0, 41.0]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    file = read(course(point("W", geometry=shape, radius_m=None)))
    assert file.course.stages[0].segments[0].objects[0].shape == Area(
        (((20.0, 41.0), (20.01, 41.0), (20.01, 41.1)),)
    )


def test_what_is_odd_and_harmless_is_a_warning(read: Read) -> None:
    line = {"type": "LineString", "coordinates": [[19.9, 41.3], [19.9, 41.31]]}
    open_ring = {"type": "Polygon", "coordinates": [SQUARE[:4]]}
    file = read(
        course(
            point("A", geometry=line),
            point("B", direction_deg=90),
            point("C", geometry=open_ring, radius_m=None),
            zones=[{"id": "Z", "geometry": open_ring}],
        )
    )
    assert [warning.split(": ")[0] for warning in file.warnings] == [
        "stages[0].segments[0].objects[0].radius_m",
        "stages[0].segments[0].objects[1].direction_deg",
        "stages[0].segments[0].objects[2].geometry.coordinates[0]",
        "stages[0].segments[0].zones[0]",
    ]
    assert file.course.stages[0].segments[0].zones == ()


def test_a_byte_order_mark_is_no_fault(read: Read) -> None:
    assert read(b"\xef\xbb\xbf" + SPECIFIED.encode()) == read(SPECIFIED)


# -- the version -----------------------------------------------------------------------------------


def test_equal_courses_have_equal_versions(read: Read) -> None:
    plain = json.loads(SPECIFIED)
    version = read(plain).course.version
    assert len(version) == 16
    assert set(version) <= set("0123456789abcdef")
    backwards = {key: plain[key] for key in reversed(plain)}
    backwards["stages"][0]["segments"][0] = dict(
        reversed(backwards["stages"][0]["segments"][0].items())
    )
    assert read(backwards).course.version == version
    for left_out in ("coefficient", "time_resolution_ms", "starts_at"):
        del plain["stages"][0][left_out]
    for left_out in ("type", "laps", "opens_at", "start", "finish"):
        del plain["stages"][0]["segments"][0][left_out]
    del plain["version"], plain["entries"]
    assert read(plain).course.version == version


def test_any_edit_makes_another_version(read: Read) -> None:
    plain = json.loads(SPECIFIED)
    versions = {read(plain).course.version}

    def edited(*path: Any, to: Any) -> None:
        changed = deepcopy(plain)
        holder = changed
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = to
        versions.add(read(changed).course.version)

    segment = ("stages", 0, "segments", 0)
    edited("name", to="Other")
    edited("stages", 0, "coefficient", to=1.5)
    edited("stages", 0, "ends_at", to="2026-06-07T09:00:00Z")
    edited(*segment, "laps", to=2)
    edited(*segment, "start_rule", to="first-exit")
    edited(*segment, "objects", 1, "radius_m", to=90.001)
    edited(*segment, "objects", 1, "kind", to="WPE")
    edited(*segment, "objects", 1, "sort_order", to=3)
    edited(*segment, "objects", 2, "direction_deg", to=None)
    edited(*segment, "objects", 2, "geometry", "coordinates", 0, 1, to=41.3000001)
    edited(*segment, "objects", 3, "geometry", "coordinates", 0, to=SQUARE)
    assert len(versions) == 12


def test_a_closure_is_no_edit_and_digits_beyond_the_grid_are_none(read: Read) -> None:
    plain = json.loads(SPECIFIED)
    version = read(plain).course.version
    plain["stages"][0]["closed_at"] = "2026-06-07T12:00:00Z"
    plain["stages"][0]["segments"][0]["objects"][0]["geometry"]["coordinates"] = [19.80000001, 41.3]
    plain["stages"][0]["segments"][0]["objects"][0]["radius_m"] = 50.0001
    assert read(plain).course.version == version


def test_the_version_is_of_the_content_and_not_of_the_field(read: Read) -> None:
    made = read(SPECIFIED).course
    assert course_version(evolve(made, version="other")) == made.version
    assert made.version == "52f866324877250f"  # changes only with the canonical form


def test_the_order_in_which_ordered_objects_are_written_decides_nothing(read: Read) -> None:
    objects = [point("A", sort_order=1), point("B", sort_order=2), point("C")]
    first = read(course(*objects)).course.version
    assert read(course(*reversed(objects))).course.version == first
    objects[0]["sort_order"] = 3
    assert read(course(*objects)).course.version != first


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("DZ", "it begins no zone"),
        ("FZ", "it ends no zone"),
        ("DN", "it begins no neutralisation"),
        ("FN", "it ends no neutralisation"),
        ("stop", "nobody has to stop there"),
    ],
)
def test_what_does_nothing_outside_the_order_is_warned_of(
    read: Read, kind: str, words: str
) -> None:
    (warning,) = read(course(point("D1", kind))).warnings
    assert f"D1 is a {kind} without sort_order: {words}" in warning
    assert read(course(point("D1", kind, sort_order=1))).warnings == ()


def test_a_start_list_may_name_a_time_control(read: Read) -> None:
    def two(**start_at: str) -> Any:
        segments = [{"id": name, "objects": [point("TC", "time-control")]} for name in ("L1", "L2")]
        entries = [{"id": "1", "start_at": start_at}]
        return {"stages": [{"id": "1", "segments": segments}], "entries": entries}

    one = two(TC="2026-06-07T08:00:00Z")
    del one["stages"][0]["segments"][1]
    assert read(one).entries[0].start_at == {"TC": EIGHT}
    told_apart = read(two(**{"L2/TC": "2026-06-07T08:00:00Z"}))
    assert told_apart.entries[0].start_at == {"L2/TC": EIGHT}
    assert 'say "L1/TC" or "L2/TC"' in refused(read, two(TC="2026-06-07T08:00:00Z"))


def test_no_instant_lies_beyond_the_year_2200(read: Read) -> None:
    wrong = course(opens_at="2200-01-01T00:00:00Z")
    assert "opens_at: must lie before the year 2200" in refused(read, wrong)


@pytest.mark.parametrize("value", ["1e999", "[" * 900 + "]" * 900, "9" * 5000])
def test_what_a_start_order_cannot_mean_is_one_sentence(read: Read, value: str) -> None:
    said = refused(read, f'{{"stages": [{{"id": "1", "start_order_params": {{"n": {value}}}}}]}}')
    assert "sys." not in said
    assert "n: must be" in said or "holds a number of 5000 digits" in said


# -- the schema ------------------------------------------------------------------------------------


def test_the_committed_schema_is_the_generated_one() -> None:
    assert SCHEMA.read_text() == schema_text()


def test_the_schema_judges_as_the_reader_does() -> None:
    judge = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert list(judge.iter_errors(json.loads(SPECIFIED))) == []
    for wrong in (
        course(point("W", raduis_m=5)),
        course(point("W", kind="wpm")),
        course(point("")),
        course(laps=0),
    ):
        assert list(judge.iter_errors(wrong)), wrong


def test_the_sentences_know_every_member() -> None:
    for holder, (_, struct) in STRUCTS.items():
        assert set(CHOICES.get(holder, ())) <= set(members(holder))
        assert struct.__doc__


# -- mistakes --------------------------------------------------------------------------------------

LINE = {"type": "LineString", "coordinates": [[19.9, 41.3], [19.9, 41.31]]}


def shaped(kind: str, coordinates: Any, **more: Any) -> dict[str, Any]:
    return course(
        point("W", geometry={"type": kind, "coordinates": coordinates}, radius_m=None, **more)
    )


OBJECT = "stages[0].segments[0].objects[0]"
MISTAKES: list[tuple[Any, list[str]]] = [
    # members
    (course(point("W", raduis_m=5)), [f"{OBJECT}:", '"raduis_m"', 'did you mean "radius_m"']),
    (course(point("W", colour=5)), [f"{OBJECT}:", '"colour"', "known are", "manual_verification"]),
    (course(start_close_at=None), ["stages[0].segments[0]:", 'mean "start_closes_at"']),
    ({**course(), "enteries": []}, ['course.json: has a member "enteries"', 'mean "entries"']),
    (course(entries=[{"id": "1", "clas": "x"}]), ["entries[0]:", 'mean "class"']),
    (course(point("W", geometry={**LINE, "bbox": []})), [f"{OBJECT}.geometry:", '"bbox"']),
    ('{"stages": [{"id": "1", "id": "2"}]}', ['"id" twice', '(with the id "2")']),
    ({"stages": [{"name": "x"}]}, ["stages[0]:", 'must have a member "id"']),
    ({"stages": []}, ["stages: needs at least one"]),
    ({"stages": [{"id": ""}]}, ["stages[0].id:", "length >= 1"]),
    (
        {"stages": [{"id": "a\nb"}]},
        ["stages[0].id:", "must be a string without control characters"],
    ),
    ({"stages": [{"id": 5}]}, ["stages[0].id:", "must be a string, not an integer"]),
    # choices
    (course(point("W", "wpm")), [f"{OBJECT}.kind:", "one of start, checkpoint", "WPM"]),
    (course(type="special"), ["stages[0].segments[0].type:", "special-stage"]),
    (course(start_rule="exit"), ["stages[0].segments[0].start_rule:", "last-exit"]),
    ({"stages": [{"id": "1", "start_order": "x"}]}, ["stages[0].start_order:", "inverse_of_ov"]),
    ({"stages": [{"id": "1", "time_resolution_ms": 5}]}, ["time_resolution_ms:", "1000, 100, 10"]),
    ({**course(), "version": 2}, ["version: must be one of 1"]),
    (course(entries=[{"id": "1", "status": "gone"}]), ["entries[0].status:", "withdrawn"]),
    # numbers
    (course(laps=0), ["stages[0].segments[0].laps:", "must be an integer >= 1"]),
    (course(laps=1.5), ["laps:", "must be an integer or null, not a number"]),
    (course(point("W", direction_deg=361)), [f"{OBJECT}.direction_deg:", "<= 360"]),
    (course(point("W", direction_deg=-1)), [f"{OBJECT}.direction_deg:", ">= 0"]),
    (course(point("W", radius_m=0)), [f"{OBJECT}.radius_m:", ">= 0.001"]),
    (course(point("W", radius_m=-5)), [f"{OBJECT}.radius_m:"]),
    (course(point("W", radius_m="50")), [f"{OBJECT}.radius_m:", "a number or null, not a string"]),
    (course(point("W", radius_m=True)), [f"{OBJECT}.radius_m:"]),
    (course(point("W", radius_m=None)), [f"{OBJECT}:", '"radius_m"', "Point"]),
    (course(target_duration_seconds=-1), ["target_duration_seconds:", ">= 0"]),
    ({"stages": [{"id": "1", "coefficient": 0}]}, ["stages[0].coefficient:"]),
    ('{"stages": [{"id": "1", "coefficient": NaN}]}', ["NaN"]),
    ('{"stages": [{"id": "1", "coefficient": -Infinity}]}', ["-Infinity"]),
    ('{"stages": [{"id": "1", "coefficient": 1e999}]}', ["stages[0].coefficient:"]),
    ('{"stages": [{"id": "1", "coefficient": %s}]}' % ("9" * 400), ["coefficient"]),
    ('{"stages": [{"id": "1", "coefficient": %s}]}' % ("9" * 5000), ["course.json:"]),
    # geometry
    (shaped("Circle", []), [f"{OBJECT}.geometry.type:", "Point, LineString, Polygon"]),
    (course(point("W", geometry=None)), [f"{OBJECT}.geometry:", "must be an object, not null"]),
    (
        course(point("W", geometry={"type": "Point", "coordinates": [181, 0]})),
        [f"{OBJECT}.geometry.coordinates[0]:", "longitude"],
    ),
    (course(point("W", geometry={"type": "Point", "coordinates": [41.3, 95]})), ["[1]:", "latit"]),
    (shaped("Point", [1]), [f"{OBJECT}.geometry.coordinates: needs at least two"]),
    (shaped("Point", ["1", 2]), [f"{OBJECT}.geometry.coordinates[0]:", "a number, not a string"]),
    (shaped("LineString", [[1, 2]]), [f"{OBJECT}.geometry.coordinates:", "two places", "not 1"]),
    (shaped("LineString", [[1, 2], [1, 3], [1, 4]]), ["two places", "not 3"]),
    (shaped("LineString", [[1, 2], [1.00000001, 2]]), ["two different places"]),
    (shaped("Polygon", []), [f"{OBJECT}.geometry.coordinates:", "at least one ring"]),
    (shaped("Polygon", [[]]), ["coordinates[0]:", "three different places"]),
    (shaped("Polygon", [[[1, 1], [2, 2], [1, 1]]]), ["coordinates[0]:", "three different places"]),
    (shaped("Polygon", [[[1, 1], [2, 2], [3, 3], [1, 1]]]), ["coordinates[0]:", "one line"]),
    (shaped("Polygon", [SQUARE, [[1, 1], [2, 91], [3, 3]]]), ["coordinates[1][1][1]:", "latitude"]),
    (shaped("MultiPolygon", []), ["at least one polygon"]),
    (shaped("MultiPolygon", [[]]), ["coordinates[0]:", "at least one ring"]),
    (
        course(zones=[{"id": "Z", "geometry": LINE, "limit_kmh": 50}]),
        ["stages[0].segments[0].zones[0].geometry:", "Polygon"],
    ),
    # names
    (course(point("W"), point("W")), ["objects[1].id:", '"W"', "another", "objects[0]"]),
    (
        course(
            point("W"),
            zones=[
                {
                    "id": "W",
                    "limit_kmh": 5,
                    "geometry": {"type": "Polygon", "coordinates": [SQUARE]},
                }
            ],
        ),
        ["zones[0].id:", "objects[0]"],
    ),
    ({"stages": [{"id": "1"}, {"id": "1"}]}, ["stages[1].id:", "stages[0]"]),
    (
        {"stages": [{"id": n, "segments": [{"id": "L"}]} for n in "12"]},
        ["stages[1].segments[0].id:", "stages[0].segments[0]"],
    ),
    (
        {
            "stages": [
                {
                    "id": "1",
                    "segments": [
                        {"id": "A", "objects": [point("x"), point("A/y")]},
                        {"id": "B", "objects": [point("x"), point("A/x")]},
                    ],
                }
            ]
        },
        ["objects[1]:", '"A/x"'],
    ),
    (course(point("Start"), start="start"), [".start:", '"start"', 'did you mean "Start"']),
    (course(point("S"), finish="F"), ["stages[0].segments[0].finish:", '"F"']),
    ({"stages": [{"id": "1", "start_order_input": "2"}]}, ["stages[0].start_order_input:", '"2"']),
    (course(entries=[{"id": "1"}, {"id": "1"}]), ["entries[1].id:", "entries[0]"]),
    (
        course(entries=[{"id": "1", "start_at": {"SS2": "2026-06-07T08:00:00Z"}}]),
        ["entries[0].start_at:", '"SS2"', 'did you mean "SS1"'],
    ),
    # times
    (course(opens_at="2026-06-07T08:00:00"), ["segments[0].opens_at:", "Z or an offset"]),
    (course(opens_at="2026-06-07"), ["opens_at:", "ISO-8601"]),
    (course(opens_at="2026-02-30T08:00:00Z"), ["opens_at:", "ISO-8601"]),
    (course(opens_at=1780819200), ["opens_at:", "a string or null, not an integer"]),
    (
        course(opens_at="2026-06-07T08:00:00Z", closes_at="2026-06-07T08:00:00Z"),
        ["stages[0].segments[0].closes_at:", "later than opens_at"],
    ),
    (
        {
            "stages": [
                {"id": "1", "starts_at": "2026-06-07T08:00:00Z", "ends_at": "2026-06-07T07:00:00Z"}
            ]
        },
        ["stages[0].ends_at:", "later than starts_at"],
    ),
    (
        course(entries=[{"id": "1", "start_at": {"SS1": "noon"}}]),
        ['entries[0].start_at["SS1"]:', "ISO-8601"],
    ),
    (
        course(
            entries=[
                {
                    "id": "1",
                    "devices": [
                        {
                            "device_id": "1",
                            "valid_from": "2026-06-07T08:00:00Z",
                            "valid_to": "2026-06-07T07:00:00Z",
                        }
                    ],
                }
            ]
        ),
        ["entries[0].devices[0].valid_to:", "later than valid_from"],
    ),
    # no course at all
    ("", ["is not JSON"]),
    ("{", ["line 1, column 2", "is not JSON"]),
    ('{\n"stages": [\n}', ["line 3, column 1", "is not JSON"]),
    ('{"stages": [{"id": "1",}]}', ["is not JSON"]),
    ("[1]", ["one JSON object"]),
    ("{}", ['must have a member "stages"']),
    ('{"a":' * 100_000, ["nested too deep"]),
    (b'{"stages": \n[{"id": "\xff"}]}', ["line 2", "UTF-8"]),
    ('{"stages": [{"id": "\\ud800"}]}', ["surrogate"]),
    ('{"device_id":"1","satellites":5}\n{"device_id":"1"}', ["seems to be a track (NDJSON"]),
    ('{"device_id":"1","satellites":5}', ['"stages"', "seems to be a track (NDJSON"]),
    ('{"type":"FeatureCollection","features":[{"coordinates":[]}]}', ["seems to be GeoJSON"]),
]


@pytest.mark.parametrize(("content", "words"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_one_sentence_with_its_place(
    read: Read, content: Any, words: list[str]
) -> None:
    said = refused(read, content)
    assert "course.json" in said
    assert "\n" not in said
    assert all(word in said for word in words), said


def test_a_file_has_a_bound(read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(course_json, "COURSE_BYTES_MAX", 100)
    assert "longer than 100 bytes" in refused(read, SPECIFIED)
    assert course_file.COURSE_BYTES_MAX == 64 * 1024 * 1024


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_course(tmp_path / "no.json")
    with pytest.raises(IsADirectoryError):
        read_course(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"AXXX\r\nHFDTE070626\r\n", "seems to be a track (IGC)"),
        (b"time,lat,lon\n", "neither OpenRally GPX nor a course in JSON"),
        (b"PK\x03\x04\0\0", "ZIP"),
        (b"\x1f\x8b\x08\0", "gzip"),
        ("{}".encode("utf-16"), "UTF-16"),
        (b"\0\1\2", "no text"),
        (b"hello", "neither GPX"),
        (b"<gpx><trk><trkseg><trkpt/></trkseg></trk></gpx>", "seems to be a track (GPX)"),
    ],
)
def test_a_file_that_is_no_course_says_what_it_seems_to_be(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "course"
    path.write_bytes(content)
    with pytest.raises(WrongFile) as caught:
        read_course(path)
    assert words in str(caught.value)


# -- rubbish ---------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_value_anywhere_in_a_course_ends_in_anything_but_a_sentence(
    tmp_path: Path, data: st.DataObject
) -> None:
    plain = json.loads(SPECIFIED)
    holder: Any = plain
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        holder = inner
    holder[key] = data.draw(VALUES)
    path = tmp_path / "course.json"
    path.write_text(json.dumps(plain), errors="surrogatepass")
    with suppress(WrongFile):
        read_course(path)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cut=st.integers(0, len(SPECIFIED)), at=st.integers(0, len(SPECIFIED)), put=st.binary(max_size=3)
)
def test_no_broken_text_ends_in_anything_but_a_sentence(
    tmp_path: Path, cut: int, at: int, put: bytes
) -> None:
    path = tmp_path / "course.json"
    text = SPECIFIED.encode()
    path.write_bytes((text[:at] + put + text[at + len(put) :])[:cut] if cut else put)
    with suppress(WrongFile):
        read_course(path)
