"""Tracks of every format as the domain's values, whatever the order, and never a traceback."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import as_file, files
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.adapters.files import payload_track, tracks
from processor.adapters.files.points import Reading
from processor.adapters.files.scoring_tracks import read_track, read_tracks
from processor.adapters.files.wrong import WrongFile
from processor.domain.instants import iso
from processor.domain.model import Fix

Read = Callable[[str | bytes], Reading]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(content: str | bytes) -> Reading:
        path = tmp_path / "301.track"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_track(path)

    return reading


def fixes(reading: Reading) -> list[tuple[str, Fix]]:
    return [
        (track.device_id, track.fix(index))
        for track in reading.tracks
        for index in range(len(track))
    ]


def seen(reading: Reading) -> Any:
    return fixes(reading), reading.remarks


def seconds(reading: Reading) -> list[str]:
    return [iso(fix.at)[17:23] for _, fix in fixes(reading)]


# -- GPX -------------------------------------------------------------------------------------------


def gpx(*points: str) -> str:
    return f"<gpx><trk><trkseg>{''.join(points)}</trkseg></trk></gpx>"


def trkpt(second: float, latitude: float = 41.3, more: str = "") -> str:
    time = f"2026-06-07T08:00:{second:06.3f}Z"
    return f'<trkpt lat="{latitude}" lon="19.8"><time>{time}</time>{more}</trkpt>'


def test_a_gpx_file_is_one_device_named_by_its_stem_and_nothing_is_filled_in(read: Read) -> None:
    reading = read(gpx(trkpt(0), trkpt(1, 41.301, "<speed>10</speed><hdop>1.2</hdop>")))
    assert [(device, fix.speed_kmh, fix.hdop) for device, fix in fixes(reading)] == [
        ("301", None, None),
        ("301", 36.0, 1.2),
    ]
    assert reading.remarks == ()


def test_a_gpx_point_without_satellites_or_with_fix_none_is_no_fix(read: Read) -> None:
    reading = read(
        gpx(
            trkpt(0),
            trkpt(1, more="<sat>0</sat>"),
            trkpt(2, more="<fix>none</fix><sat>5</sat>"),
            trkpt(3, more="<fix>2d</fix><sat>3</sat><hdop>0</hdop>"),
        )
    )
    assert seconds(reading) == ["00.000", "03.000"]
    (remark,) = reading.remarks
    assert (remark.what, remark.device_id) == ("no-fix", "301")
    assert remark.message == (
        "2 points of 301 are no fixes (2026-06-07T08:00:01.000000Z to "
        "2026-06-07T08:00:02.000000Z); they are left out"
    )
    assert fixes(reading)[1][1].hdop is None


def test_tracks_and_segments_of_a_gpx_file_are_one_track_in_order_of_time(read: Read) -> None:
    parts = [trkpt(2), "</trkseg><trkseg>", trkpt(0), "</trkseg></trk><trk><trkseg>", trkpt(1)]
    assert seconds(read(gpx(*parts))) == ["00.000", "01.000", "02.000"]


def test_of_points_with_one_time_the_one_with_more_satellites_counts(read: Read) -> None:
    points = [
        trkpt(0, 41.3, "<sat>5</sat>"),
        trkpt(0, 41.4, "<sat>9</sat><hdop>2</hdop>"),
        trkpt(0, 41.5, "<sat>9</sat><hdop>1</hdop>"),
        trkpt(0, 41.6, "<sat>9</sat><hdop>1</hdop>"),
        trkpt(1, 41.3),
        trkpt(1, 41.3),
    ]
    reading = read(gpx(*points))
    assert [fix.latitude for _, fix in fixes(reading)] == [41.5, 41.3]
    assert [remark.what for remark in reading.remarks] == ["conflicting-fixes"]
    assert reading.remarks[0].message.startswith("1 times points of 301")
    assert seen(read(gpx(*reversed(points)))) == seen(reading)


def test_the_recorded_drive_is_a_track() -> None:
    folder = files("processor.entrypoints.demo") / "tracks"
    with as_file(folder / "around-visnjan-with-car.gpx") as path:
        (track,) = read_track(path).tracks
    assert (track.device_id, len(track)) == ("around-visnjan-with-car", 104)


def test_a_gpx_file_without_a_track_says_what_it_seems_to_be(read: Read) -> None:
    with pytest.raises(WrongFile, match=r"no <trkpt>; a track was expected$"):
        read("<gpx><wpt lat='1' lon='2'/></gpx>")
    with pytest.raises(WrongFile, match=r"seems to be a course \(OpenRally\)"):
        read("<gpx xmlns:openrally='x'><wpt lat='1' lon='2'/></gpx>")


# -- NDJSON ----------------------------------------------------------------------------------------


def payload(second: float = 0, **changed: Any) -> dict[str, Any]:
    return {
        "device_id": "356307042441013",
        "timestamp": f"2026-06-07T08:00:{second:06.3f}Z",
        "latitude": 41.3,
        "longitude": 19.8,
        "altitude": 120,
        "angle": 90,
        "speed": 71,
        "satellites": 11,
        "priority": 0,
        "attributes": {"239": 1, "182": 9},
        **changed,
    }


def ndjson(payloads: Sequence[Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in payloads)


def test_payloads_of_several_devices_in_any_order(read: Read) -> None:
    other = "356307042441014"
    reading = read(ndjson([payload(1, device_id=other), payload(1), payload(0)]))
    assert [(device[-1], iso(fix.at)[17:19]) for device, fix in fixes(reading)] == [
        ("3", "00"),
        ("3", "01"),
        ("4", "01"),
    ]
    assert fixes(reading)[0][1] == Fix(fixes(reading)[0][1].at, 41.3, 19.8, 71.0, 0.9)
    assert reading.remarks == ()


def test_the_same_payload_again_is_normal_traffic(read: Read) -> None:
    again = dict(reversed(payload(0).items()))
    spaced = json.dumps(payload(0), indent=None, separators=(" , ", " : "))
    reading = read(ndjson([payload(0), again, payload(0), payload(1)]) + f"  {spaced}\n\n")
    assert seconds(reading) == ["00.000", "01.000"]
    assert reading.remarks == ()


@pytest.mark.parametrize(
    ("rivals", "counts"),
    [
        ([{"satellites": 12, "speed": 1}, {"satellites": 11, "priority": 2, "speed": 2}], 1),
        ([{"priority": 0, "speed": 1}, {"priority": 2, "speed": 2}], 2),
        ([{"speed": 30}, {"speed": 4}], 30),  # as text, "30" is before "4"
        ([{"speed": 1, "satellites": 0}, {"speed": 2, "satellites": 1}], 2),
        ([{"speed": 2, "altitude": 5}, {"speed": 1, "altitude": 10}], 1),  # "10" is before "5"
    ],
)
def test_of_different_payloads_with_one_time_one_counts(
    read: Read, rivals: list[dict[str, Any]], counts: int
) -> None:
    lines = [payload(0, **rival) for rival in rivals]
    for order in (lines, lines[::-1], [*lines, *lines]):
        reading = read(ndjson([*order, payload(1)]))
        assert fixes(reading)[0][1].speed_kmh == counts
        (remark,) = reading.remarks
        assert (remark.what, remark.since, remark.until) == (
            "conflicting-fixes",
            fixes(reading)[0][1].at,
            fixes(reading)[0][1].at,
        )
        assert remark.message.startswith("1 times payloads of 356307042441013 that differ")


def test_a_payload_without_satellites_is_no_fix(read: Read) -> None:
    reading = read(ndjson([payload(0), payload(1, satellites=0)]))
    assert seconds(reading) == ["00.000"]
    assert [remark.what for remark in reading.remarks] == ["no-fix"]
    # A device that never had one has a track all the same, and an entry with it is no surprise.
    (track,) = read(ndjson([payload(0, satellites=0)])).tracks
    assert (track.device_id, len(track)) == ("356307042441013", 0)


@pytest.mark.parametrize(
    ("element", "hdop"),
    [
        (6, 0.6),
        (16, 1.6),
        (0, None),
        (-1, None),
        (65_535, 6553.5),
        (65_536, None),
        (1.5, None),
        ("9", None),
        (None, None),
        ({"__bigint": "9"}, None),
    ],
)
def test_hdop_is_taken_where_it_is_what_it_should_be(
    read: Read, element: Any, hdop: float | None
) -> None:
    reading = read(ndjson([payload(attributes={"182": element, "11": {"__bigint": "5"}})]))
    assert fixes(reading)[0][1].hdop == hdop


def test_without_a_clock_nothing_is_too_new(read: Read) -> None:
    assert len(fixes(read(ndjson([payload(timestamp="2199-01-01T00:00:00Z")])))) == 1
    with pytest.raises(WrongFile, match="line 1: is no payload: timestamp must be from 2000"):
        read(ndjson([payload(timestamp="1999-12-31T23:59:59Z")]))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", ["payload is not JSON"]),
        ("[1]", ["payload must be an object"]),
        (json.dumps(payload(latitude=91)), ["latitude must be a number from -90 to 90"]),
        (json.dumps(payload(satellites=5.0)), ["satellites must be an integer"]),
        (json.dumps({"device_id": "1"}), ["timestamp is missing"]),
        (json.dumps(payload(attributes=[])), ["attributes"]),
        (json.dumps(payload(device_id="a\0b")), ["device_id"]),
        ('{"a":' * 10_000, ["payload"]),
        (b'{"device_id":"\xff"}', ["UTF-8"]),
        ('{"pad":"%s"}' % ("x" * tracks.LINE_BYTES_MAX), ["longer"]),
    ],
)
def test_a_bad_line_is_named(read: Read, line: str | bytes, words: list[str]) -> None:
    text = line if isinstance(line, bytes) else line.encode()
    with pytest.raises(WrongFile) as caught:
        read(ndjson([payload()]).encode() + b"\n" + text)
    assert all(word in str(caught.value) for word in ["301.track, line 3: ", *words])


def test_numbers_beyond_every_reader_are_compared_as_they_stand(read: Read) -> None:
    huge = json.dumps(payload()).replace('"239": 1', f'"239": {"1" * 5000}')
    lines = [json.dumps(payload()), huge]
    first, second = read("\n".join(lines)), read("\n".join(lines[::-1]))
    assert seen(first) == seen(second)
    assert [remark.what for remark in first.remarks] == ["conflicting-fixes"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.builds(
            payload,
            st.integers(0, 3),
            device_id=st.sampled_from("ab"),
            satellites=st.integers(0, 2),
            priority=st.integers(0, 1),
            speed=st.integers(0, 11),
        ),
        min_size=1,
        max_size=10,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_payloads_decides_nothing(
    tmp_path: Path, payloads: list[dict[str, Any]], chance: Random
) -> None:
    path = tmp_path / "all.ndjson"
    path.write_text(ndjson(payloads))
    reading = read_track(path)
    path.write_text(
        ndjson(chance.sample([*payloads, *payloads[:2]], len(payloads) + min(2, len(payloads))))
    )
    assert seen(read_track(path)) == seen(reading)
    # What counts is the first of each device's instant, ranked.
    ranked: dict[tuple[str, str], list[Any]] = {}
    for each in payloads:
        ranked.setdefault((each["device_id"], each["timestamp"]), []).append(each)
    best = {
        key: min(
            several,
            key=lambda one: (
                -one["satellites"],
                -one["priority"],
                json.dumps(one, sort_keys=True, separators=(",", ":")),
            ),
        )
        for key, several in ranked.items()
    }
    assert [fix.speed_kmh for _, fix in fixes(reading)] == [
        best[key]["speed"] for key in sorted(best) if best[key]["satellites"]
    ]


def test_a_file_of_payloads_has_a_bound(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_track, "POINTS_MAX", 1)
    assert len(fixes(read(ndjson([payload()])))) == 1
    with pytest.raises(WrongFile, match="more than 1 payloads"):
        read(ndjson([payload(0), payload(1)]))


# -- told by content -------------------------------------------------------------------------------

IGC = "AXXX001\r\nHFDTE070626\r\nB0800004118500N01948000EA0010000120\r\n"
CSV = "time,lat,lon\n2026-06-07T08:00:00Z,41.3083333,19.8\n"
COURSE = '{"version": 1, "stages": [{"id": "SS1", "segments": []}]}'
SAMPLES = [gpx(trkpt(0, 41.3083333)), IGC, CSV, ndjson([payload(0, latitude=41.3083333)])]


@pytest.mark.parametrize("content", SAMPLES)
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"])
def test_the_format_is_told_by_the_content(read: Read, content: str, before: bytes) -> None:
    ((_, fix),) = fixes(read(before + content.encode()))
    assert (iso(fix.at), fix.latitude, fix.longitude) == (
        "2026-06-07T08:00:00.000000Z",
        41.3083333,
        19.8,
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (COURSE, "seems to be a course (JSON)"),
        (json.dumps(json.loads(COURSE), indent=2), "seems to be a course (JSON)"),
        ("hello", "neither GPX, JSON, IGC nor CSV"),
        ("hello, world", "must name the columns"),
        (b"\x89PNG\r\n\0\0", "no text"),
        (b"PK\x03\x04\0\0", "ZIP"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (gpx(trkpt(0)).encode("utf-16"), "UTF-16"),
        ("<kml/>", "<gpx> was expected"),
        ('<?xml version="1.0" encoding="none"?><gpx/>', "unknown encoding"),
        (
            "<!DOCTYPE gpx [<!ENTITY a 'aaaa'>]><gpx><trk><name>&a;</name></trk></gpx>",
            "document type",
        ),
    ],
)
def test_a_file_that_is_no_track_says_what_it_seems_to_be(
    read: Read, content: str | bytes, words: str
) -> None:
    with pytest.raises(WrongFile) as caught:
        read(content)
    assert words in str(caught.value)


def test_what_is_not_there_is_an_error_of_the_system_and_a_pipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_track(tmp_path / "no.gpx")
    with pytest.raises(IsADirectoryError):
        read_track(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WrongFile, match="not an ordinary file"):
        read_track(tmp_path / "pipe")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(SAMPLES), st.integers(0, 500), st.binary(max_size=5), st.integers(0, 500))
def test_no_broken_track_ends_in_anything_but_a_sentence(
    tmp_path: Path, sample: str, at: int, put: bytes, cut: int
) -> None:
    text = sample.encode() * 2
    path = tmp_path / "track"
    path.write_bytes((text[:at] + put + text[at + len(put) :])[:cut])
    with suppress(WrongFile):
        read_track(path)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from([b"", b"<", b"{", b"B080000", b"time,lat,lon\n"]), st.binary(max_size=200))
def test_no_rubbish_ends_in_anything_but_a_sentence(
    tmp_path: Path, start: bytes, rest: bytes
) -> None:
    path = tmp_path / "track"
    path.write_bytes(start + rest)
    with suppress(WrongFile):
        read_track(path)


# -- several files ---------------------------------------------------------------------------------


def test_payloads_that_differ_are_chosen_alike_in_one_file_and_in_two(tmp_path: Path) -> None:
    good, poor = payload(satellites=9), payload(satellites=4, latitude=41.0)
    paths = [tmp_path / name for name in ("a.ndjson", "b.ndjson", "both.ndjson")]
    for path, content in zip(paths, ([poor], [good], [good, poor]), strict=True):
        path.write_text(ndjson(content))
    whole = read_track(paths[2])
    assert [remark.what for remark in whole.remarks] == ["conflicting-fixes"]
    assert seen(read_tracks(paths[:2])) == seen(read_tracks(paths[1::-1])) == seen(whole)


def test_two_receivers_under_one_name_are_remarked(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "log.gpx" for folder in ("a", "b")]
    for path, latitude, shift in zip(paths, (41.3, 41.31), (0, 0.4), strict=True):
        path.parent.mkdir()
        path.write_text(gpx(*(trkpt(second + shift, latitude) for second in range(5))))
    assert [remark.what for remark in read_tracks(paths).remarks] == ["two-receivers"]
    paths[1].write_text(gpx(*(trkpt(second + 0.4, 41.3) for second in range(5))))
    assert read_tracks(paths).remarks == ()


def test_points_without_a_time_are_left_out_and_counted(read: Read) -> None:
    reading = read(gpx(trkpt(0), '<trkpt lat="41.3" lon="19.8"/>', trkpt(1)))
    assert len(reading.tracks[0]) == 2
    assert [remark.message for remark in reading.remarks] == [
        "1 points of 301 have no <time>; they are left out"
    ]


def test_no_time_lies_beyond_the_year_2200(read: Read) -> None:
    with pytest.raises(WrongFile, match="line 1: timestamp must lie before the year 2200"):
        read(ndjson([payload(timestamp="2200-01-01T00:00:00Z")]))
    with pytest.raises(WrongFile, match="must lie before the year 2200"):
        read("time,lat,lon\n9999-12-31T23:59:59Z,41,19\n")
