"""Tracks as tables: a header line that names the columns, then a line per point, in any order.

Spreadsheets write what the country they stand in is used to, so a comma, a semicolon or a tab
may stand between cells, and behind the latter two a decimal comma is understood. Only names are
guessed at; a value that is not what its column says is refused with its line.
"""

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path

from attrs import frozen

from processor.adapters.files.points import Points, Recorded, Remark, in_order
from processor.adapters.files.times import TOO_LATE, is_too_late, read_time
from processor.adapters.files.tracks import POINTS_MAX, lines
from processor.adapters.files.wrong import WrongFile
from processor.domain.instants import instant

NAMES: Mapping[str, tuple[str, ...]] = {
    "time": ("time", "timestamp"),
    "latitude": ("lat", "latitude"),
    "longitude": ("lon", "lng", "long", "longitude"),
    "speed_kmh": ("speed_kmh", "speed_km_h", "speed"),
    "hdop": ("hdop",),
    "satellites": ("satellites",),
    "device_id": ("device_id",),
}
"""What a column may be called, in small letters, with `_` for anything between letters and digits:
`Speed (km/h)` is speed_km_h."""

REQUIRED = ("time", "latitude", "longitude")
_RANGES = {
    "latitude": (-90, 90),
    "longitude": (-180, 180),
    "speed_kmh": (0, 10_000),
    "hdop": (0, 1_000_000),
    "satellites": (0, 255),
}
_DELIMITERS = (",", ";", "\t")
_DEVICE_ID_MAX = 64


@frozen
class _Table:
    """How a file's lines are read: the header's line, the delimiter, the column of each thing that
    is said, how many columns there are, and the names of those that nobody reads."""

    line: int
    delimiter: str
    columns: Mapping[str, int]
    width: int
    unused: tuple[str, ...]


class _Cells:
    """One line's cells by what they are."""

    def __init__(self, table: _Table, row: Sequence[str]) -> None:
        self._table = table
        self._row = row

    def text(self, name: str) -> str:
        """The cell's text, "" where there is none."""
        column = self._table.columns.get(name)
        return self._row[column].strip() if column is not None and column < len(self._row) else ""

    def number(self, name: str) -> float:
        """The cell's number. Raises ValueError with a sentence."""
        least, most = _RANGES[name]
        text = self.text(name)
        try:
            value = float(text if self._table.delimiter == "," else text.replace(",", "."))
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise ValueError(f"{name} must be a number from {least} to {most}")
        return value

    def optional(self, name: str) -> float | None:
        """The cell's number, None where it is empty. Raises ValueError with a sentence."""
        return self.number(name) if self.text(name) else None


def read_csv(path: Path, device_id: str) -> Recorded:
    """The points of a table; `device_id` is that of lines which name none. Raises WrongFile,
    OSError."""
    numbered = _text_lines(path)
    table = _header(path, numbered)
    devices: dict[str, Points] = {}
    naive: dict[str, list[int]] = {}
    for count, (number, cells) in enumerate(_rows(path, table, numbered)):
        if count == POINTS_MAX:
            raise WrongFile(path, "", f"has more than {POINTS_MAX} points; split it")
        try:
            device = _device(cells) or device_id
            at, said = _at(cells)
            _add(devices.setdefault(device, Points(device, path)), at, cells)
        except ValueError as error:
            raise WrongFile(path, f"line {number}", str(error)) from None
        if not said:
            naive.setdefault(device, []).append(at)
    if not devices:
        raise WrongFile(path, "", "has no points; a line for each was expected below the header")
    names = sorted(devices)
    return Recorded(
        tuple(devices[device] for device in names), in_order(_remarks(table, naive, names))
    )


def _text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text): bytes that are not UTF-8 may stand in a comment, and become surrogates."""
    for number, _, line in lines(path):
        yield number, line.decode(errors="surrogateescape")


def _header(path: Path, numbered: Iterator[tuple[int, str]]) -> _Table:
    """The table that the first line which is not blank names."""
    number, line = next(((n, text) for n, text in numbered if text.strip()), (0, ""))
    if not number:
        raise WrongFile(path, "", "is empty; a header line was expected")
    delimiter = max(_DELIMITERS, key=line.count)
    try:
        titles = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise WrongFile(path, f"line {number}", f"is no header line: {error}") from None
    columns: dict[str, int] = {}
    unused = []
    for column, title in enumerate(titles):
        plain = re.sub(r"[^a-z0-9]+", "_", title.strip().lower()).strip("_")
        name = next((name for name, known in NAMES.items() if plain in known), None)
        if name in columns:
            raise WrongFile(path, f"line {number}", f"names two columns for {name}")
        if name is not None:
            columns[name] = column
        elif plain:
            unused.append(plain)
    if missing := [name for name in REQUIRED if name not in columns]:
        known = "; ".join(" or ".join(NAMES[name]) for name in missing)
        raise WrongFile(
            path,
            f"line {number}",
            f"must name the columns, and there is none for {', '.join(missing)} (called {known})",
        )
    return _Table(number, delimiter, columns, len(titles), tuple(sorted(unused)))


def _rows(
    path: Path, table: _Table, numbered: Iterator[tuple[int, str]]
) -> Iterator[tuple[int, _Cells]]:
    """(number of its last line, cells) of each row that is not blank."""
    reader = csv.reader((line for _, line in numbered), delimiter=table.delimiter, strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            place = f"line {table.line + reader.line_num}"
            raise WrongFile(path, place, f"is no line of a table: {error}") from None
        if not any(cell.strip() for cell in row):
            continue
        number = table.line + reader.line_num
        if any(cell.strip() for cell in row[table.width :]):
            raise WrongFile(
                path,
                f"line {number}",
                f"has {len(row)} cells, and the header names {table.width}; a decimal comma needs "
                "another delimiter (; or tab)",
            )
        yield number, _Cells(table, row)


def _device(cells: _Cells) -> str:
    device = cells.text("device_id")
    if len(device) > _DEVICE_ID_MAX or not device.isprintable():
        raise ValueError(f"device_id must be up to {_DEVICE_ID_MAX} printable characters, in UTF-8")
    return device


def _at(cells: _Cells) -> tuple[int, bool]:
    """The instant, and whether its offset was said. Without one a time is taken for UTC."""
    time = read_time(cells.text("time"))
    if time is None:
        raise ValueError("time must be an ISO-8601 date and time, such as 2026-06-07T08:00:00Z")
    if is_too_late(time):
        raise ValueError(f"time {TOO_LATE}")
    return instant(time if time.tzinfo else time.replace(tzinfo=UTC)), time.tzinfo is not None


def _add(points: Points, at: int, cells: _Cells) -> None:
    satellites = cells.optional("satellites")
    if satellites is not None and not satellites.is_integer():
        raise ValueError("satellites must be a whole number")
    if satellites == 0:  # a logger without a fix may leave the place empty
        points.add_without_fix(at)
        return
    points.add(
        at,
        cells.number("latitude"),
        cells.number("longitude"),
        cells.optional("speed_kmh"),
        cells.optional("hdop"),
        None if satellites is None else int(satellites),
    )


def _remarks(
    table: _Table, naive: Mapping[str, Sequence[int]], devices: Sequence[str]
) -> list[Remark]:
    remarks = [
        Remark(
            device,
            "no-offset",
            min(instants),
            max(instants),
            f"{len(instants)} times of {device} have neither Z nor an offset; taken for UTC",
        )
        for device, instants in naive.items()
    ]
    if table.unused:
        text = f"columns not used: {', '.join(table.unused)}"
        remarks.extend(Remark(device, "unused-columns", None, None, text) for device in devices)
    return remarks
