"""IGC: what a flight recorder's lines mean, and the one sentence when they mean nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from processor.adapters.files import igc
from processor.adapters.files.igc import read_igc
from processor.adapters.files.points import Reading
from processor.adapters.files.scoring_tracks import tracks_of
from processor.adapters.files.wrong import WrongFile
from processor.domain.instants import iso
from processor.domain.model import Track

Read = Callable[..., Reading]

A = "AXXX001"
DATE = "HFDTE070626"
FIX = "B0800004118500N01948000EA0010000120"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(*lines: str, end: str = "\r\n") -> Reading:
        path = tmp_path / "car.igc"
        path.write_bytes(end.join([*lines, ""]).encode("latin-1"))
        return tracks_of([read_igc(path, "car")])

    return reading


def only(reading: Reading) -> Track:
    (track,) = reading.tracks
    return track


def instants(reading: Reading) -> list[str]:
    return [iso(int(at)) for at in only(reading).at]


def b(time: str, validity: str = "A", place: str = "4118500N01948000E", more: str = "") -> str:
    return f"B{time}{place}{validity}0010000120{more}"


def test_a_fix_is_a_time_of_day_and_a_place_to_a_thousandth_of_a_minute(read: Read) -> None:
    reading = read(A, DATE, "LXXX a comment with ü", FIX, b("080001", place="4118501S01948001W"))
    track = only(reading)
    assert track.device_id == "car"
    assert instants(reading) == ["2026-06-07T08:00:00.000000Z", "2026-06-07T08:00:01.000000Z"]
    assert track.latitude.tolist() == [41.3083333, -41.30835]  # 41 degrees, 18.500 and 18.501
    assert track.longitude.tolist() == [19.8, -19.8000167]
    assert all(value != value for value in (*track.speed_kmh, *track.hdop))
    assert reading.remarks == ()


def test_the_i_record_declares_decimals(read: Read) -> None:
    declared = "I033636LAD3738LOD3941TDS"
    reading = read(A, DATE, declared, b("080000", more="912250"))
    assert instants(reading) == ["2026-06-07T08:00:00.250000Z"]
    track = only(reading)
    # 18.5009 and 48.00012 minutes.
    assert track.latitude.tolist() == [round(41 + 18.5009 / 60, 7)]
    assert track.longitude.tolist() == [round(19 + 48.00012 / 60, 7)]


def test_the_decimals_stand_where_the_i_record_says(read: Read) -> None:
    reading = read(A, DATE, "I043638FXA3940SIU4141TDS4244GSP", b("080000", more="015095087"))
    assert instants(reading) == ["2026-06-07T08:00:00.500000Z"]
    assert only(reading).speed_kmh.tolist() == [87.0]


def test_only_a_speed_of_three_digits_is_km_h(read: Read) -> None:
    reading = read(A, DATE, "I013640GSP", b("080000", more="00870"))
    assert str(only(reading).speed_kmh[0]) == "nan"


@pytest.mark.parametrize(
    "date",
    ["HFDTE070626", "HFDTEDATE:070626", "HFDTEDATE:070626,01", "HFDTE:070626", "HPDTE070626"],
)
def test_the_date_has_old_and_new_forms(read: Read, date: str) -> None:
    assert instants(read(A, date, FIX)) == ["2026-06-07T08:00:00.000000Z"]


def test_years_of_two_digits_begin_in_1980(read: Read) -> None:
    assert instants(read(A, "HFDTE010180", FIX))[0].startswith("1980")
    assert instants(read(A, "HFDTE010179", FIX))[0].startswith("2079")


def test_midnight_begins_another_day(read: Read) -> None:
    reading = read(
        A, "HFDTE310526", b("235959"), b("000000"), b("120000"), b("235959"), b("000001")
    )
    assert instants(reading) == [
        "2026-05-31T23:59:59.000000Z",
        "2026-06-01T00:00:00.000000Z",
        "2026-06-01T12:00:00.000000Z",
        "2026-06-01T23:59:59.000000Z",
        "2026-06-02T00:00:01.000000Z",
    ]


def test_a_small_step_back_is_no_midnight_and_a_new_date_counts(read: Read) -> None:
    reading = read(A, DATE, b("080001"), b("080000"), "HFDTE080626", b("070000"))
    assert instants(reading) == [
        "2026-06-07T08:00:00.000000Z",
        "2026-06-07T08:00:01.000000Z",
        "2026-06-08T07:00:00.000000Z",
    ]


def test_a_v_is_a_fix_without_altitude_unless_it_repeats_the_place(read: Read) -> None:
    moved = "4118600N01948000E"
    reading = read(A, DATE, FIX, b("080001", "V"), b("080002", "V", moved), b("080003", "V", moved))
    assert [text[17:19] for text in instants(reading)] == ["00", "02"]
    assert [(remark.what, remark.message.split()[0]) for remark in reading.remarks] == [
        ("no-fix", "2"),
        ("two-dimensional", "1"),
    ]


def test_a_v_of_a_recorder_that_never_had_a_place_is_none(read: Read) -> None:
    reading = read(A, DATE, b("080000", "V", "0000000N00000000E"))
    assert len(only(reading)) == 0
    assert [remark.what for remark in reading.remarks] == ["no-fix"]


def test_satellites_decide_where_they_are_said(read: Read) -> None:
    declared = "I013637SIU"
    reading = read(
        A,
        DATE,
        declared,
        b("080000", "A", more="09"),
        b("080001", "A", more="00"),
        b("080002", "V", more="00"),
        b("080003", "V", more="03"),
    )
    assert [text[17:19] for text in instants(reading)] == ["00", "03"]


def test_another_datum_is_remarked(read: Read) -> None:
    assert read(A, DATE, "HFDTM100GPSDATUM:WGS-84", FIX).remarks == ()
    reading = read(A, DATE, "HFDTM037GPSDATUM:ED50", FIX)
    assert [remark.what for remark in reading.remarks] == ["datum"]


def test_other_records_and_other_line_ends_do_no_harm(read: Read) -> None:
    lines = [
        A,
        DATE,
        "HFPLTPILOTINCHARGE:Ø",
        "C0706260800",
        "F08000003",
        "E080000PEV",
        "K08",
        FIX,
        "GAB",
    ]
    assert instants(read(*lines, end="\n")) == ["2026-06-07T08:00:00.000000Z"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([A, DATE], ["without a fix"]),
        ([A, FIX], ["line 2", "before the date"]),
        ([A, DATE, FIX[:30]], ["line 3", "B record"]),
        ([A, DATE, b("240000")], ["line 3", "B record"]),
        ([A, DATE, b("080060")], ["line 3", "B record"]),
        ([A, DATE, b("080000", place="4160500N01948000E")], ["line 3", "B record"]),
        ([A, DATE, b("080000", place="9118500N01948000E")], ["line 3", "within 90"]),
        ([A, DATE, b("080000", place="4118500N18048000E")], ["line 3", "within 180"]),
        ([A, DATE, b("080000", "X")], ["line 3", "B record"]),
        ([A, DATE, "I013636LAD", FIX], ["line 4", "LAD", "digits"]),
        ([A, DATE, "I013636LAD", FIX + "x"], ["line 4", "LAD", "digits"]),
        ([A, DATE, "I023636LAD"], ["line 3", "I record"]),
        ([A, DATE, "Ixx"], ["line 3", "I record"]),
        ([A, DATE, "I013534LAD"], ["line 3", "behind character 35"]),
        ([A, DATE, "I013736LAD"], ["line 3", "behind character 35"]),
        ([A, "HFDTE300226"], ["line 2", "HFDTE", "exists"]),
        ([A, "HFDTEnoon"], ["line 2", "HFDTE", "DDMMYY"]),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(
    read: Read, lines: list[str], words: list[str]
) -> None:
    with pytest.raises(WrongFile) as caught:
        read(*lines)
    assert all(word in str(caught.value) for word in ["car.igc", *words]), str(caught.value)


def test_a_file_has_a_bound(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(igc, "POINTS_MAX", 1)
    assert len(only(read(A, DATE, FIX))) == 1
    with pytest.raises(WrongFile, match="more than 1 points"):
        read(A, DATE, FIX, b("080001"))
