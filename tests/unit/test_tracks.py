"""Readers of tracks: what they take from a file, and the one sentence when it is wrong."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from processor.adapters.files import tracks
from processor.adapters.files.tracks import Fix, WrongFile, is_gpx, read_gpx, read_ndjson

START = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes | str], Path]:
    def write(content: bytes | str) -> Path:
        path = tmp_path / "track"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def gpx(points: str) -> str:
    return (
        '<?xml version="1.0"?><gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">'
        f"<trk><name>a</name><trkseg>{points}</trkseg></trk></gpx>"
    )


def point(seconds: float, latitude: float, longitude: float, more: str = "") -> str:
    instant = (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return f'<trkpt lat="{latitude}" lon="{longitude}"><time>{instant}</time>{more}</trkpt>'


def test_a_point_with_everything(file: Callable[[str], Path]) -> None:
    more = (
        "<ele>211.5</ele><sat>9</sat><extensions><x:T xmlns:x='y'><x:speed>10</x:speed>"
        "<x:course>271.5</x:course></x:T></extensions>"
    )
    path = file(gpx(point(0, 45.25, 13.5, more)))
    assert is_gpx(path)
    assert list(read_gpx(path)) == [
        Fix(
            fixed_at=START,
            latitude=45.25,
            longitude=13.5,
            altitude=211.5,
            speed_kmh=36.0,
            heading=271.5,
            satellites=9,
        )
    ]


def test_speed_and_heading_come_from_the_neighbours(file: Callable[[str], Path]) -> None:
    # A degree of latitude is 111.195 km on this sphere: due north, then standing, then due east.
    path = file(
        gpx(
            point(0, 45.0, 13.0)
            + point(10, 45.001, 13.0)
            + point(20, 45.002, 13.0)
            + point(30, 45.002, 13.0)
            + point(40, 45.002, 13.0)
            + point(50, 45.002, 13.001)
        )
    )
    fixes = list(read_gpx(path))
    assert [round(fix.speed_kmh or 0, 1) for fix in fixes] == [40.0, 40.0, 20.0, 0.0, 14.2, 28.3]
    assert [round(fix.heading or 0) for fix in fixes] == [0, 0, 0, 0, 90, 90]


def test_segments_are_not_joined(file: Callable[[str], Path]) -> None:
    path = file(gpx(point(0, 45, 13) + "</trkseg><trkseg>" + point(1, 46, 13)))
    assert [(fix.latitude, fix.speed_kmh) for fix in read_gpx(path)] == [(45.0, 0.0), (46.0, 0.0)]


def test_time_may_stand_still_or_go_back(file: Callable[[str], Path]) -> None:
    path = file(gpx(point(5, 45, 13) + point(5, 46, 13) + point(0, 47, 13)))
    assert [fix.speed_kmh for fix in read_gpx(path)] == [0.0, 0.0, 0.0]


def test_gpx_without_namespace_and_with_a_byte_order_mark(file: Callable[[bytes], Path]) -> None:
    text = gpx(point(0, 1, 2)).replace(' xmlns="http://www.topografix.com/GPX/1/1"', "")
    path = file(b"\xef\xbb\xbf" + text.encode())
    assert is_gpx(path)
    assert len(list(read_gpx(path))) == 1


def test_times_are_utc_whatever_their_offset(file: Callable[[str], Path]) -> None:
    points = point(0, 1, 2).replace("10:00:00Z", "12:00:00+02:00") + point(0, 1, 2).replace(
        "Z<", "<"
    )
    assert [fix.fixed_at for fix in read_gpx(file(gpx(points)))] == [START, START]


BOMB = """<!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<gpx><trk><name>&b;</name></trk></gpx>"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gpx(""), ["<trkpt>"]),
        (gpx("").replace("trkseg", "rteseg"), ["<trkpt>"]),
        ("<kml></kml>", ["<kml>", "<gpx>"]),
        ("<gpx><trk>", ["line 1, column 11", "XML"]),
        (gpx(point(0, 1, 2))[:-3], ["line 1", "XML"]),
        ("<gpx>\n<trk>\n<nonsense</trk></gpx>", ["line 3", "XML"]),
        (BOMB, ["document type"]),
        ('<!DOCTYPE gpx SYSTEM "file:///etc/passwd"><gpx/>', ["document type"]),
        (gpx(point(0, 1, 2) + point(1, 91, 2)), ["<trkpt> 2", "lat", "-90 to 90"]),
        (gpx(point(0, 1, 181)), ["<trkpt> 1", "lon", "-180 to 180"]),
        (gpx("<trkpt lat='1'/>"), ["<trkpt> 1", "lon"]),
        (gpx("<trkpt lat='1' lon='x'/>"), ["<trkpt> 1", "lon"]),
        (gpx("<trkpt lat='nan' lon='1'/>"), ["<trkpt> 1", "lat"]),
        (gpx("<trkpt lat='1' lon='1'/>"), ["<trkpt> 1", "<time>"]),
        (gpx("<trkpt lat='1' lon='1'><time>noon</time></trkpt>"), ["<trkpt> 1", "<time>", "ISO"]),
        (gpx(point(0, 1, 1, "<ele>high</ele>")), ["<trkpt> 1", "<ele>"]),
        (gpx(point(0, 1, 1, "<speed>-1</speed>")), ["<trkpt> 1", "<speed>"]),
        (gpx(point(0, 1, 1, "<sat>inf</sat>")), ["<trkpt> 1", "<sat>"]),
    ],
)
def test_wrong_gpx(file: Callable[[str], Path], content: str, words: list[str]) -> None:
    path = file(content)
    with pytest.raises(WrongFile) as caught:
        list(read_gpx(path))
    assert all(word in str(caught.value) for word in [str(path), *words]), str(caught.value)


def test_a_track_has_a_bound(file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracks, "POINTS_MAX", 2)
    assert len(list(read_gpx(file(gpx(point(0, 1, 1) * 2))))) == 2
    with pytest.raises(WrongFile, match="more than 2 points"):
        list(read_gpx(file(gpx(point(0, 1, 1) * 3))))


def test_payloads_pass_through_as_they_are(file: Callable[[str], Path]) -> None:
    first = '{"device_id":"1", "timestamp":"2026-05-04T12:00:00+02:00","x":9007199254740993}'
    second = '{"timestamp":"2026-05-04T10:00:01.000Z","device_id":"č","speed":"bad on purpose"}'
    path = file(f"{first}\n\n{second}\r\n")
    assert not is_gpx(path)
    lines = list(read_ndjson(path))
    assert [line.payload for line in lines] == [first, second]
    assert [line.device_id for line in lines] == ["1", "č"]
    assert [line.fixed_at for line in lines] == [START, START + timedelta(seconds=1)]
    assert lines[0].timestamp == "2026-05-04T12:00:00+02:00"


GOOD_LINE = b'{"device_id":"1","timestamp":"2026-05-04T10:00:00.000Z"}\n'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", ["JSON"]),
        (b"[1]", ["device_id"]),
        (b'{"device_id":"1"}', ["timestamp"]),
        (b'{"device_id":1,"timestamp":"2026-05-04T10:00:00.000Z"}', ["device_id"]),
        (b'{"device_id":"1","timestamp":"noon"}', ["timestamp", "ISO"]),
        (b'{"device_id":"1","timestamp":"2026-05-04T10:00:00"}', ["timestamp", "offset"]),
        (b'{"device_id":"1","timestamp":"0001-01-01T00:00:00+10:00"}', ["timestamp"]),
        (b'{"device_id":"\xff","timestamp":"2026-05-04T10:00:00Z"}', ["utf-8"]),
        (b'{"a":' * 100_000, ["JSON"]),
        (b'{"pad":"%b"}' % (b"x" * tracks.LINE_BYTES_MAX), ["longer"]),
    ],
)
def test_wrong_payloads(file: Callable[[bytes], Path], line: bytes, words: list[str]) -> None:
    path = file(GOOD_LINE + b"\n" + line)
    with pytest.raises(WrongFile) as caught:
        list(read_ndjson(path))
    assert all(word in str(caught.value) for word in [f"{path}, line 3", *words])


@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf"])
def test_an_empty_file(file: Callable[[bytes], Path], content: bytes) -> None:
    with pytest.raises(WrongFile, match="is empty"):
        is_gpx(file(content))
    with pytest.raises(WrongFile, match="is empty"):
        list(read_ndjson(file(b"\n")))


@pytest.mark.parametrize("content", [b"\x89PNG", b"HFDTE", b"a,b,c", b"PK\x03\x04"])
def test_another_kind_of_file(file: Callable[[bytes], Path], content: bytes) -> None:
    with pytest.raises(WrongFile, match="neither GPX"):
        is_gpx(file(content))


def test_the_recorded_drive_is_packed_and_plausible() -> None:
    folder = files("processor.entrypoints.demo") / "tracks"
    with as_file(folder / "around-visnjan-with-car.gpx") as path:
        fixes = list(read_gpx(path))
    assert len(fixes) == 104
    assert fixes[-1].fixed_at - fixes[0].fixed_at == timedelta(minutes=8, seconds=34)
    assert 80 < max(fix.speed_kmh or 0 for fix in fixes) < 120
    assert "Apache License" in (folder / "SOURCE.md").read_text()
