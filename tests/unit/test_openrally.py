"""OpenRally 1.0.3: the public example, and roadbooks of our own in real coordinates."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.adapters.files import openrally
from processor.adapters.files.course_file import CourseFile
from processor.adapters.files.courses import read_course
from processor.adapters.files.wrong import WrongFile
from processor.domain.course import Disc, Kind, Segment, SegmentType
from processor.domain.crossings import Ground
from processor.domain.rules import Settings

EXAMPLE = Path(__file__).parents[1] / "data" / "openrally" / "example.gpx"
NAMESPACE = "http://www.openrally.org/xmlschemas/GpxExtensions/v1.0.3"

Read = Callable[..., CourseFile]


def wpt(
    *elements: str, lat: float | str = 41.3, lon: float | str = 19.8, name: str | None = None
) -> str:
    named = f"<name>{name}</name>" if name else ""
    inner = "".join(f"<o:{element}/>" if "<" not in element else element for element in elements)
    return f'<wpt lat="{lat}" lon="{lon}">{named}<extensions>{inner}</extensions></wpt>'


def roadbook(*waypoints: str, units: str = "metric", name: str = "") -> str:
    named = f"<name>{name}</name>" if name else ""
    return (
        '<?xml version="1.0"?><gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1" '
        f'xmlns:o="{NAMESPACE}"><metadata>{named}<extensions><o:units>{units}</o:units>'
        f"</extensions></metadata>{''.join(waypoints)}</gpx>"
    )


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(
        *waypoints: str, radius_m: dict[str, float] | None = None, **said: str
    ) -> CourseFile:
        path = tmp_path / "roadbook.gpx"
        path.write_text(roadbook(*waypoints, **said))
        return read_course(path, radius_m)

    return reading


def segments(file: CourseFile) -> tuple[Segment, ...]:
    (stage,) = file.course.stages
    Ground(file.course, Settings())  # every roadbook that is read can be driven over
    return stage.segments


def ids(segment: Segment) -> list[str]:
    return [thing.id for thing in segment.objects]


def radius_m(segment: Segment, name: str) -> float:
    thing = segment.object(name)
    assert thing is not None
    assert isinstance(thing.shape, Disc)
    return thing.shape.radius_m


# -- the public example ----------------------------------------------------------------------------


def test_the_public_example_is_read_and_its_licence_lies_beside_it() -> None:
    file = read_course(EXAMPLE)
    things = [thing for _, thing in file.course.objects() if "." not in thing.id]
    assert [(thing.id, thing.kind) for thing in things] == [
        ("2-dz", Kind.DZ),
        ("3-fz", Kind.FZ),
        ("4-wps", Kind.WPS),
        ("5-stop", Kind.STOP),
        ("6-dn", Kind.DN),
        ("7-fn", Kind.FN),
        ("8-dn", Kind.DN),
        ("8-dz", Kind.DZ),
        ("9-fn", Kind.FN),
        ("9-fz", Kind.FZ),
        ("10-dt", Kind.CHECKPOINT),
        ("10-dz", Kind.DZ),
        ("11-fz", Kind.FZ),
        ("11-ft", Kind.CHECKPOINT),
        ("12-wpm", Kind.WPM),
        ("13-wps", Kind.WPS),
        ("14-wpc", Kind.WPC),
        ("15-wpv", Kind.WPV),
        ("16-wpe", Kind.WPE),
        ("17-wpn", Kind.WPN),
        ("18-wpp", Kind.WPP),
        ("21-wpc", Kind.WPC),
        ("21-wpm", Kind.WPM),
        ("21-wps", Kind.WPS),
        ("21-wpe", Kind.WPE),
        ("21-dss", Kind.START),
        ("21-checkpoint", Kind.CHECKPOINT),
        ("21-ass", Kind.FINISH),
        ("21-timecontrol-2", Kind.TIME_CONTROL),
        ("21-stop", Kind.STOP),
    ]
    by_id = {thing.id: thing for thing in things}
    assert (by_id["2-dz"].speed_limit_kmh, by_id["8-dz"].speed_limit_kmh) == (65, 40)
    assert (by_id["5-stop"].duration_seconds, by_id["6-dn"].duration_seconds) == (3, 900)
    assert (by_id["12-wpm"].name, by_id["12-wpm"].open_m) == ("1", 1000)
    assert [segment.type for segment in segments(file)].count(SegmentType.SPECIAL_STAGE) == 1
    assert any("<dz> without clear: a radius of 90 m" in warning for warning in file.warnings)
    assert not any("not known" in warning for warning in file.warnings)
    assert "Creative Commons Attribution 4.0" in (EXAMPLE.parent / "LICENSE.md").read_text()


# -- segments --------------------------------------------------------------------------------------


def test_a_special_stage_from_dss_to_ass(read: Read) -> None:
    file = read(
        wpt("dss clear='40'", lon=19.80),
        wpt("wpm clear='90' open='800' name='W1'", lon=19.85, lat=41.32),
        wpt("wps clear='90'", lon=19.9, name="bridge"),
        wpt("ass clear='40'", lon=20.0),
        name="Selective section 3",
    )
    (segment,) = segments(file)
    assert file.course.stages[0].id == file.course.name == "Selective section 3"
    assert (segment.id, segment.type) == ("SS1", SegmentType.SPECIAL_STAGE)
    assert ids(segment) == ["1-dss", "2-wpm", "3-wps", "4-ass"]
    assert (segment.start, segment.finish, segment.start_rule) == ("1-dss", "4-ass", None)
    assert [thing.id for thing in segment.ordered] == ["2-wpm", "3-wps"]
    first, second = segment.ordered
    assert (first.shape, first.open_m, first.name) == (Disc((19.85, 41.32), 90.0), 800.0, "W1")
    assert second.name == "bridge"
    assert (file.warnings, file.entries) == ((), ())


def test_liaisons_lie_between_special_stages_and_time_controls(read: Read) -> None:
    file = read(
        wpt("timecontrol clear='25' allowed='60'"),
        wpt("wpc clear='50'"),
        wpt("timecontrol clear='25' allowed='5'"),
        wpt("dss clear='25'"),
        wpt("wpm clear='50'"),
        wpt("ass clear='25'"),
        wpt("dz clear='50'", "<o:speed>50</o:speed>"),
        wpt("fz clear='50'"),
        wpt("timecontrol clear='25'"),
    )
    road, gate, stage, home = segments(file)
    assert [each.id for each in (road, gate, stage, home)] == ["L1", "L2", "SS1", "L3"]
    assert ids(road) == ["1-timecontrol", "2-wpc", "3-timecontrol"]
    assert (road.start, road.finish) == ("1-timecontrol", "3-timecontrol")
    assert road.target_duration_seconds == 3600
    # From the control to the start in five minutes: both are there again, for they belong to one.
    assert ids(gate) == ["3-timecontrol.start", "4-dss.finish"]
    assert gate.target_duration_seconds == 300
    assert ids(stage) == ["4-dss", "5-wpm", "6-ass"]
    assert stage.target_duration_seconds is None
    assert ids(home) == ["6-ass.start", "7-dz", "8-fz", "9-timecontrol"]
    assert [thing.kind for thing in home.objects] == [
        Kind.START,
        Kind.DZ,
        Kind.FZ,
        Kind.TIME_CONTROL,
    ]
    assert file.warnings == ()


def test_a_transfer_within_a_special_stage_is_a_liaison(read: Read) -> None:
    file = read(
        wpt("dss clear='50'"),
        wpt("wpm clear='50'"),
        wpt("dz clear='50'", "<o:speed>40</o:speed>", "dt clear='50'"),
        wpt("ft clear='50'", "fz clear='50'"),
        wpt("wpe clear='50'"),
        wpt("ass clear='50'"),
    )
    first, transfer, second = segments(file)
    assert [each.id for each in (first, transfer, second)] == ["SS1", "L1", "SS1.2"]
    assert ids(first) == ["1-dss", "2-wpm", "3-dt"]
    # What begins or ends where the transfer does belongs to the transfer.
    assert ids(transfer) == ["3-dt.start", "3-dz", "4-fz", "4-ft.finish"]
    assert transfer.type is SegmentType.LIAISON
    assert ids(second) == ["4-ft", "5-wpe", "6-ass"]
    assert (second.type, second.start) == (SegmentType.SPECIAL_STAGE, "4-ft")
    orders = [
        thing.sort_order for segment in (first, transfer, second) for thing in segment.ordered
    ]
    assert orders == [1, 2, 3, 4]
    assert file.warnings == ()


def test_a_neutralisation_and_a_stop_have_their_seconds(read: Read) -> None:
    file = read(
        wpt("dss clear='50'"),
        wpt("<o:neutralization clear='60'>900</o:neutralization>", "fuel"),
        wpt("fn clear='50'"),
        wpt("<o:stop clear='30'>3</o:stop>"),
        wpt("stop clear='30'"),
        wpt("ass clear='50'"),
    )
    (segment,) = segments(file)
    _, begin, end, stop, other, _ = segment.objects
    assert (begin.kind, begin.duration_seconds, end.kind) == (Kind.DN, 900, Kind.FN)
    assert radius_m(segment, "2-dn") == 60
    assert (stop.kind, stop.duration_seconds, other.duration_seconds) == (Kind.STOP, 3, 0)


def test_a_limit_is_the_speed_else_the_text_of_dz(read: Read) -> None:
    file = read(
        wpt("dss clear='50'"),
        wpt("<o:dz clear='50'>40</o:dz>"),
        wpt("<o:dz clear='50'>40</o:dz>", "<o:speed>65</o:speed>"),
        wpt("dz clear='50'"),
        wpt("<o:speed>30</o:speed>"),
        wpt("ass clear='50'"),
    )
    (segment,) = segments(file)
    assert [thing.speed_limit_kmh for thing in segment.ordered] == [40, 65, None]
    assert file.warnings == (
        "<dz> without a speed: no limit holds there (<wpt> 4)",
        "<speed> without <dz>: it limits nothing (<wpt> 5)",
    )


@pytest.mark.parametrize("units", ["statute", "statue"])
def test_statute_units_are_yards_and_miles_an_hour(read: Read, units: str) -> None:
    file = read(
        wpt("dss clear='50'"),
        wpt("<o:dz clear='100' open='1000'>40</o:dz>"),
        wpt("fz"),
        wpt("ass clear='50'"),
        units=units,
    )
    (segment,) = segments(file)
    zone = segment.ordered[0]
    assert radius_m(segment, "2-dz") == 91.44
    assert (zone.open_m, zone.speed_limit_kmh) == (914.4, 64.374)
    assert radius_m(segment, "3-fz") == 90.0  # a default is metres, whatever the document's units


# -- defaults --------------------------------------------------------------------------------------

ALL = ["dss", "wpv", "dz", "fz", "neutralization", "fn", "stop", "checkpoint", "ass"]


def test_a_radius_that_is_not_said_is_a_default_and_a_warning(read: Read) -> None:
    file = read(*[wpt(element) for element in ALL], wpt("wpn"), wpt("wpv"))
    special, road = segments(file)
    assert [radius_m(special, name) for name in ids(special)] == [
        50,
        90,
        90,
        90,
        90,
        90,
        50,
        50,
        50,
    ]
    assert radius_m(road, "10-wpn") == 90
    assert "<wpv> without clear: a radius of 90 m was taken (<wpt> 2, 11)" in file.warnings


def test_the_rules_replace_defaults(read: Read) -> None:
    rules = {"wp*": 70.0, "wpn": 20.0, "dn": 80.0, "*": 30.0}
    file = read(*[wpt(element) for element in ALL], wpt("wpn"), radius_m=rules)
    special, road = segments(file)
    assert [radius_m(special, name) for name in ids(special)] == [
        50,
        70,
        90,
        90,
        80,
        90,
        30,
        30,
        50,
    ]
    assert radius_m(road, "10-wpn") == 20


def test_unknown_extensions_are_listed_and_not_fatal(read: Read) -> None:
    file = read(
        wpt("dss clear='50'", "tulip", "cap", "danger", "medical", "show_coordinates"),
        wpt("wpx", "wpx", "<x:wpm xmlns:x='http://elsewhere'/>", "wpm clear='50'"),
        wpt("ass clear='50'"),
    )
    assert file.warnings == ("extensions not known here, left out: <wpm> (1), <wpx> (2)",)
    assert ids(segments(file)[0]) == ["1-dss", "2-wpm", "3-ass"]


def test_what_does_not_fit_together_is_a_warning(read: Read) -> None:
    def warned(*elements: str) -> str:
        return " | ".join(read(*[wpt(f"{element} clear='50'") for element in elements]).warnings)

    assert "no <dss>" in warned("wpm")
    assert "SS1 has no <ass>" in warned("dss", "wpm")
    assert "<wpt> 2: <ass> without a <dss>" in warned("wpm", "ass")
    assert "<wpt> 3: <dss> before the <ass>" in warned("dss", "wpm", "dss", "ass")
    assert "<wpt> 2: <ft> without a <dt>" in warned("dss", "ft", "ass")
    assert "<wpt> 3: <ass> before the <ft> of <wpt> 2" in warned("dss", "dt", "ass")


def test_tracks_and_routes_beside_the_waypoints_do_no_harm(read: Read) -> None:
    track = (
        "<trk><trkseg><trkpt lat='1' lon='1'/></trkseg></trk><rte><rtept lat='1' lon='1'/></rte>"
    )
    file = read(wpt("dss clear='50'"), wpt("ass clear='50'"), track)
    assert ids(segments(file)[0]) == ["1-dss", "2-ass"]


# -- mistakes --------------------------------------------------------------------------------------

BOMB = '<!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa">]><gpx><wpt lat="&a;" lon="1"/></gpx>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (roadbook(wpt("dss", lat=91)), ["<wpt> 1", "lat must be a number from -90 to 90"]),
        (roadbook(wpt("dss"), wpt("ass", lon="x")), ["<wpt> 2", "lon must be a number"]),
        (roadbook(wpt("dss", lat="nan")), ["<wpt> 1", "lat"]),
        (roadbook("<wpt/>"), ["<wpt> 1", "lon"]),
        (roadbook(wpt("wpm clear='0'")), ["<wpt> 1, <wpm>", "clear must be a number"]),
        (roadbook(wpt("wpm clear='wide'")), ["<wpt> 1, <wpm>", "clear"]),
        (roadbook(wpt("wpm open='-5'")), ["<wpt> 1, <wpm>", "open"]),
        (roadbook(wpt("<o:dz>fast</o:dz>")), ["<wpt> 1, <dz>", "number"]),
        (roadbook(wpt("<o:stop>3 s</o:stop>")), ["<wpt> 1, <stop>", "number"]),
        (roadbook(wpt("timecontrol allowed='x'")), ["<wpt> 1, <timecontrol>", "number"]),
        (roadbook(wpt("dss"), units="furlongs"), ["<units>", "metric", "statute"]),
        (roadbook(wpt("fuel")), ["no OpenRally element"]),
        (roadbook(), ["no OpenRally element"]),
        ("<gpx><trk><trkseg><trkpt/></trkseg></trk></gpx>", ["seems to be a track (GPX)"]),
        ("<kml></kml>", ["<kml>", "<gpx>"]),
        (BOMB, ["document type"]),
        (roadbook(wpt("dss"))[:-9], ["line 1", "XML"]),
        ('<?xml version="1.0" encoding="none"?><gpx/>', ["unknown encoding"]),
        ('<?xml version="1.0" encoding="utf-7"?><gpx/>', ["multi-byte"]),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, content: str, words: list[str]) -> None:
    path = tmp_path / "roadbook.gpx"
    path.write_text(content)
    with pytest.raises(WrongFile) as caught:
        read_course(path)
    assert all(word in str(caught.value) for word in [str(path), *words]), str(caught.value)


def test_a_roadbook_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openrally, "COURSE_BYTES_MAX", 100)
    with pytest.raises(WrongFile, match="longer than 100 bytes"):
        read_course(EXAMPLE)


def test_the_version_does_not_hang_on_the_file_or_its_layout(tmp_path: Path) -> None:
    text = roadbook(wpt("dss clear='50'"), wpt("ass clear='50'"))
    for name, content in (("a.gpx", text), ("b.gpx", text.replace("><", ">\n  <"))):
        (tmp_path / name).write_text(content)
    assert read_course(tmp_path / "a.gpx") == read_course(tmp_path / "b.gpx")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 2000), put=st.binary(max_size=4), cut=st.integers(0, 5000))
def test_no_broken_roadbook_ends_in_anything_but_a_sentence(
    tmp_path: Path, at: int, put: bytes, cut: int
) -> None:
    text = roadbook(*[wpt(f"{element} clear='50'") for element in ALL]).encode()
    path = tmp_path / "roadbook.gpx"
    path.write_bytes((text[:at] + put + text[at + len(put) :])[:cut])
    with suppress(WrongFile):
        read_course(path)
