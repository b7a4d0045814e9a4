"""Tables: the header names the columns, and every line is judged."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.adapters.files import csv_track
from processor.adapters.files.csv_track import read_csv
from processor.adapters.files.points import Reading
from processor.adapters.files.scoring_tracks import tracks_of
from processor.adapters.files.wrong import WrongFile
from processor.domain.instants import iso

Read = Callable[[str | bytes], Reading]

TABLE = """time,lat,lon,speed_kmh,hdop,satellites
2026-06-07T08:00:00Z,41.3,19.8,71.2,0.9,11
2026-06-07T10:00:01.5+02:00,41.31,19.81,,,
"""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(content: str | bytes) -> Reading:
        path = tmp_path / "car.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tracks_of([read_csv(path, "car")])

    return reading


def rows(reading: Reading) -> list[tuple[object, ...]]:
    return [
        (track.device_id, iso(fix.at)[11:21], fix.latitude, fix.longitude, fix.speed_kmh, fix.hdop)
        for track in reading.tracks
        for fix in map(track.fix, range(len(track)))
    ]


ROWS = [
    ("car", "08:00:00.0", 41.3, 19.8, 71.2, 0.9),
    ("car", "08:00:01.5", 41.31, 19.81, None, None),
]


def test_a_table(read: Read) -> None:
    reading = read(TABLE)
    assert rows(reading) == ROWS
    assert reading.remarks == ()


@pytest.mark.parametrize(
    "header",
    [
        "timestamp,latitude,longitude,speed,HDOP,Satellites",
        "Time,Lat,Lng,Speed (km/h),hdop,satellites",
        ' TIMESTAMP ,"Latitude",LONG,Speed [km/h],hdop,satellites',
    ],
)
def test_columns_have_several_names(read: Read, header: str) -> None:
    assert rows(read("\n".join([header, *TABLE.splitlines()[1:]]))) == ROWS


def test_delimiters_and_decimal_commas(read: Read) -> None:
    assert rows(read(TABLE.replace(",", ";"))) == ROWS
    assert rows(read(TABLE.replace(",", "\t"))) == ROWS
    spreadsheet = TABLE.replace(",", ";").replace("41.3", "41,3").replace("71.2", "71,2")
    assert rows(read(b"\xef\xbb\xbf" + spreadsheet.replace("\n", "\r\n").encode())) == ROWS


def test_blank_lines_empty_cells_and_quotes_do_no_harm(read: Read) -> None:
    lines = TABLE.splitlines()
    text = "\n\n".join(
        ["", lines[0], f"{lines[1]},,,", ",,,,,", lines[2].replace("41.31", '"41.31"')]
    )
    assert rows(read(text)) == ROWS


def test_a_column_may_name_the_device(read: Read) -> None:
    reading = read(
        "device_id,time,lat,lon\n"
        "b,2026-06-07T08:00:00Z,41.3,19.8\n"
        "a,2026-06-07T08:00:00Z,41.4,19.8\n"
        ",2026-06-07T08:00:00Z,41.5,19.8\n"
    )
    assert [(row[0], row[2]) for row in rows(reading)] == [("a", 41.4), ("b", 41.3), ("car", 41.5)]


def test_without_satellites_there_is_no_fix_and_no_place_is_needed(read: Read) -> None:
    reading = read(
        "time,lat,lon,satellites\n2026-06-07T08:00:00Z,,,0\n2026-06-07T08:00:01Z,41.3,19.8,5\n"
    )
    assert [row[1] for row in rows(reading)] == ["08:00:01.0"]
    assert [remark.what for remark in reading.remarks] == ["no-fix"]


def test_times_without_an_offset_are_utc_and_that_is_remarked(read: Read) -> None:
    reading = read("time,lat,lon\n2026-06-07 08:00:00,41.3,19.8\n2026-06-07 08:00:01Z,41.3,19.8\n")
    assert [row[1] for row in rows(reading)] == ["08:00:00.0", "08:00:01.0"]
    (remark,) = reading.remarks
    assert (remark.what, remark.since == remark.until) == ("no-offset", True)
    assert remark.message.startswith("1 times of car")


def test_columns_that_nobody_reads_are_remarked(read: Read) -> None:
    reading = read("time,lat,lon,speed_mph,course\n2026-06-07T08:00:00Z,41.3,19.8,30,90\n")
    assert rows(reading)[0][4] is None
    assert [remark.message for remark in reading.remarks] == ["columns not used: course, speed_mph"]


def test_bytes_that_are_not_utf_8_may_stand_where_nobody_reads(read: Read) -> None:
    text = b"time,lat,lon,note\n2026-06-07T08:00:00Z,41.3,19.8,caf\xe9\n"
    assert len(rows(read(text))) == 1


HEADER = "time,lat,lon,speed_kmh,hdop,satellites,device_id"
GOOD = "2026-06-07T08:00:00Z,41.3,19.8,50,1,9,a"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (GOOD.replace("2026-06-07T08:00:00Z", "noon"), ["time", "ISO-8601"]),
        (GOOD.replace("T08:00:00Z", ""), ["time", "ISO-8601"]),
        (GOOD.replace("2026-06-07T08:00:00Z", "1780819200"), ["time", "ISO-8601"]),
        (GOOD.replace("2026-06-07T08:00:00Z", ""), ["time"]),
        (GOOD.replace("41.3", ""), ["latitude", "-90 to 90"]),
        (GOOD.replace("41.3", "91"), ["latitude"]),
        (GOOD.replace("41.3", "nan"), ["latitude"]),
        (GOOD.replace("19.8", "181"), ["longitude", "-180 to 180"]),
        (GOOD.replace(",50,", ",fast,"), ["speed_kmh", "0 to 10000"]),
        (GOOD.replace(",50,", ",-1,"), ["speed_kmh"]),
        (GOOD.replace(",1,9", ",-1,9"), ["hdop"]),
        (GOOD.replace(",9,", ",256,"), ["satellites", "0 to 255"]),
        (GOOD.replace(",9,", ",8.5,"), ["satellites", "whole"]),
        (GOOD.replace(",a", "," + "a" * 65), ["device_id", "64"]),
        (GOOD.replace("41.3", "41,3"), ["8 cells", "names 7", "decimal comma"]),
        ("2026-06-07T08:00:00Z", ["latitude"]),
        ('"2026', ["no line of a table"]),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(read: Read, line: str, words: list[str]) -> None:
    with pytest.raises(WrongFile) as caught:
        read(f"{HEADER}\n{GOOD}\n\n{line}\n")
    assert all(word in str(caught.value) for word in ["car.csv, line 4: ", *words]), str(
        caught.value
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        ("time,lat\n", ["line 1", "longitude", "lon or lng"]),
        ("2026-06-07T08:00:00Z,41.3,19.8\n", ["line 1", "must name the columns", "time, latitude"]),
        ("time,timestamp,lat,lon\n", ["line 1", "two columns for time"]),
        ("time,lat,lon\n", ["has no points"]),
        ('"time,lat,lon\n', ["line 1", "no header line"]),
    ],
)
def test_a_wrong_header(read: Read, content: str, words: list[str]) -> None:
    with pytest.raises(WrongFile) as caught:
        read(content)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_device_id_that_is_not_utf_8_is_refused(read: Read) -> None:
    with pytest.raises(WrongFile, match="line 2: device_id"):
        read(f"{HEADER}\n{GOOD[:-1]}".encode() + b"\xe9\n")


def test_a_file_has_a_bound(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_track, "POINTS_MAX", 2)
    assert len(rows(read(TABLE))) == 2
    with pytest.raises(WrongFile, match="more than 2 points"):
        read(TABLE + TABLE.splitlines()[1])


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.sampled_from([41.3, 41.4]), st.sampled_from(["", "5", "9", "0"])
        ),
        min_size=1,
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_lines_decides_nothing(
    tmp_path: Path, points: list[tuple[int, float, str]], chance: object
) -> None:
    lines = [f"2026-06-07T08:00:0{s}Z,{lat},19.8,{sat}" for s, lat, sat in points]
    path = tmp_path / "car.csv"
    readings = []
    for order in (lines, sorted(lines), chance.sample(lines, len(lines))):  # type: ignore[attr-defined]
        path.write_text("\n".join(["time,lat,lon,satellites", *order]))
        reading = tracks_of([read_csv(path, "car")])
        readings.append((rows(reading), reading.remarks))
    assert readings[0] == readings[1] == readings[2]
