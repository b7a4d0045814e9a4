"""IGC, the flight recorders' format (FAI, appendix A of its technical specification): one letter
says what a line is, and places in the line what its digits are.

B is a fix: time of day, place to a thousandth of a minute, validity. The I record declares what a
B record has behind its 35th character; LAD, LOD and TDS are further decimals of latitude, longitude
and second, SIU the satellites in use, GSP the ground speed in km/h. The date stands in a header,
and where the time of day leaps back by more than half a day, midnight has passed.

Validity A is a fix in three dimensions. V is one in two, which is as good for a course on the
ground, or none at all, where the recorder repeats the last place. So a V counts unless it says 0
satellites or, where it says nothing of them, repeats the place before it.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from attrs import field, frozen

from processor.adapters.files.points import Points, Recorded, Remark, in_order
from processor.adapters.files.tracks import POINTS_MAX, lines
from processor.adapters.files.wrong import WrongFile
from processor.domain.instants import SECOND, instant

_B = re.compile(
    rb"B([01]\d|2[0-3])([0-5]\d)([0-5]\d)"
    rb"(\d\d)([0-5]\d)(\d{3})([NS])(\d{3})([0-5]\d)(\d{3})([EW])([AV])"
)
_I = re.compile(rb"I(\d\d)((?:\d{4}[A-Z0-9]{3})*)\s*")
_DATE = re.compile(rb"H[A-Z]DTE(?:DATE)?[: ]*(\d\d)(\d\d)(\d\d)")
_DATUM = re.compile(rb"H[A-Z]DTM(\d{3})")
_B_LENGTH = 35
_GSP_DIGITS = 3  # whole km/h; recorders that write more digits do not agree what they mean
_DAY = 24 * 3600 * SECOND


@frozen
class _Columns:
    """Where the B record's extensions stand, as slices of the line by three-letter code."""

    slices: Mapping[str, slice] = field(factory=dict)

    def digits(self, code: str, line: bytes) -> bytes:
        """What stands there; b"" where it was not declared. Raises ValueError if no digits."""
        place = self.slices.get(code)
        if place is None:
            return b""
        text = line[place]
        if len(text) != place.stop - place.start or not text.isdigit():
            raise ValueError(f"{code} (declared by the I record) must be digits")
        return text


class _Recorder:
    """Reads the lines one after the other; what a line means depends on those before it."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self.two_dimensional: list[int] = []
        self.datum: str | None = None
        self._columns = _Columns()
        self._midnight: int | None = None
        self._time_of_day = 0
        self._place: tuple[float, float] | None = None

    def take(self, line: bytes) -> None:
        """One line. Raises ValueError with a sentence where it is wrong."""
        if line.startswith(b"B"):
            self._fix(line)
        elif line.startswith(b"I"):
            self._columns = _columns(line)
        elif (date := _DATE.match(line)) is not None:
            self._midnight = _midnight(*map(int, date.groups()))
            self._time_of_day = 0
        elif line[2:5] == b"DTE" and line.startswith(b"H"):
            raise ValueError("the date (HFDTE) must be DDMMYY")
        elif (datum := _DATUM.match(line)) is not None and datum[1] not in (b"100", b"000"):
            self.datum = datum[1].decode()

    def _fix(self, line: bytes) -> None:
        fix = _B.match(line)
        if fix is None or len(line) < _B_LENGTH:
            raise ValueError("must be a B record: time, latitude, longitude, A or V, two altitudes")
        at = self._instant(fix, self._columns.digits("TDS", line))
        latitude = _degrees(fix, 4, self._columns.digits("LAD", line))
        longitude = _degrees(fix, 8, self._columns.digits("LOD", line))
        if abs(latitude) > 90 or abs(longitude) > 180:
            raise ValueError("latitude must be within 90 and longitude within 180 degrees")
        satellites = self._columns.digits("SIU", line)
        speed = self._columns.digits("GSP", line)
        place, self._place = self._place, (latitude, longitude)
        if fix[12] == b"V":
            if not satellites and (place == self._place or self._place == (0.0, 0.0)):
                self.points.add_without_fix(at)
                return
            if not satellites or int(satellites):
                self.two_dimensional.append(at)
        self.points.add(
            at,
            latitude,
            longitude,
            speed_kmh=float(speed) if len(speed) == _GSP_DIGITS else None,
            satellites=int(satellites) if satellites else None,
        )

    def _instant(self, fix: re.Match[bytes], decimals: bytes) -> int:
        if self._midnight is None:
            raise ValueError("stands before the date (a header HFDTE); without it no time is known")
        hours, minutes, seconds = int(fix[1]), int(fix[2]), int(fix[3])
        time_of_day = (hours * 3600 + minutes * 60 + seconds) * SECOND
        if time_of_day < self._time_of_day - _DAY // 2:
            self._midnight += _DAY
        self._time_of_day = time_of_day
        fraction = int(decimals) * SECOND // 10 ** len(decimals) if decimals else 0
        return self._midnight + time_of_day + fraction


def read_igc(path: Path, device_id: str) -> Recorded:
    """The points of an IGC file. The order of its lines means something (midnight), so it is kept.
    Raises WrongFile, OSError."""
    recorder = _Recorder(Points(device_id, path))
    for number, _, line in lines(path):
        try:
            recorder.take(line)
        except ValueError as error:
            _refuse(path, number, str(error))
        if len(recorder.points) > POINTS_MAX:
            raise WrongFile(path, "", f"has more than {POINTS_MAX} points; split it")
    if not len(recorder.points):
        raise WrongFile(path, "", "is an IGC file without a fix (B record)")
    return Recorded((recorder.points,), in_order(_remarks(recorder, device_id)))


def _refuse(path: Path, number: int, sentence: str) -> NoReturn:
    raise WrongFile(path, f"line {number}", sentence)


def _remarks(recorder: _Recorder, device_id: str) -> list[Remark]:
    remarks = []
    if instants := recorder.two_dimensional:
        text = (
            f"{len(instants)} fixes of {device_id} have no altitude (validity V); they count, "
            "for a course lies on the ground"
        )
        remarks.append(Remark(device_id, "two-dimensional", min(instants), max(instants), text))
    if recorder.datum is not None:
        text = (
            f"the recorder's datum is number {recorder.datum} and not WGS 84 (100); its places are "
            "taken as they are and may be hundreds of metres away"
        )
        remarks.append(Remark(device_id, "datum", None, None, text))
    return remarks


def _columns(line: bytes) -> _Columns:
    declared = _I.fullmatch(line)
    if declared is None or int(declared[1]) * 7 != len(declared[2]):
        raise ValueError("must be an I record: a count, then start, end and code of each extension")
    slices = {}
    for begin in range(0, len(declared[2]), 7):
        first, last = int(declared[2][begin : begin + 2]), int(declared[2][begin + 2 : begin + 4])
        if not _B_LENGTH < first <= last:
            raise ValueError(
                f"an extension must lie behind character {_B_LENGTH}, from start to end"
            )
        slices[declared[2][begin + 4 : begin + 7].decode()] = slice(first - 1, last)
    return _Columns(slices)


def _midnight(day: int, month: int, year: int) -> int:
    """The format's years have two digits, and its first recorders were made in the eighties."""
    try:
        return instant(datetime(year + (1900 if year >= 80 else 2000), month, day, tzinfo=UTC))
    except ValueError:
        raise ValueError("the date (HFDTE) must be a day that exists, as DDMMYY") from None


def _degrees(fix: re.Match[bytes], group: int, decimals: bytes) -> float:
    """Degrees from degrees, minutes, thousandths and further decimals, in whole numbers until the
    last step."""
    scale: int = 10 ** len(decimals)
    thousandths = int(fix[group + 1]) * 1000 + int(fix[group + 2])
    minutes = thousandths * scale + int(decimals or b"0")
    degrees = int(fix[group]) + minutes / (60_000 * scale)
    return -degrees if fix[group + 3] in (b"S", b"W") else degrees
