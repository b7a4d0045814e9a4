"""NDJSON of upstream payloads: the recorded stream, a payload a line, as messy as the stream is.

Lines may come in any order and more than once. A line is accepted by the service's own decoder and
by no other rule, except that no clock is asked, so a fix may lie in the future. Where different
payloads claim one (device_id, timestamp), the one with more satellites counts, then the higher
priority, then the smaller canonical JSON: a choice that no order of lines can change. Only then a
record without satellites is left out.

Of each line some numbers are kept and a digest of its text. Lines that meet are mostly the same
line sent again, which the digest tells; the few others are looked up in the file.
"""

import json
from array import array
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, BinaryIO, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from processor.adapters.files.contents import seems
from processor.adapters.files.points import Reading, Remark, conflicts, in_order, without_fix
from processor.adapters.files.tracks import LINE_BYTES_MAX, POINTS_MAX, lines
from processor.adapters.files.wrong import WrongFile
from processor.core.decode import Decoder
from processor.core.errors import Rejected
from processor.core.model import Entry, Position
from processor.domain.instants import instant
from processor.domain.model import Integers, Track

CODEC = b"8E"  # a field of the entry, which a file of payloads does not have
NO_CLOCK_MS = 253_402_128_000_000
"""A now near the end of the calendar (9999-12-30): files have no clock, so nothing is too new."""
Bools: TypeAlias = npt.NDArray[np.bool_]
HDOP_IO = b'"182"'
HDOP_UNIT = 0.1


class _Bag(msgspec.Struct):
    """The element of the IO bag that says how good a fix is: tenths, in two bytes, 0 meaning none.
    Whatever else stands there is left out and never guessed at."""

    hdop: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF)] = msgspec.field(name="182")


_bag = msgspec.json.Decoder(_Bag).decode


@frozen
class _Rows:
    """The payloads of a device, in the file's order, as columns."""

    at: "array[int]" = field(factory=lambda: array("q"))
    satellites: "array[int]" = field(factory=lambda: array("h"))
    priority: "array[int]" = field(factory=lambda: array("b"))
    digest: "array[int]" = field(factory=lambda: array("Q"))
    offset: "array[int]" = field(factory=lambda: array("q"))
    latitude: "array[float]" = field(factory=lambda: array("d"))
    longitude: "array[float]" = field(factory=lambda: array("d"))
    speed_kmh: "array[float]" = field(factory=lambda: array("d"))
    hdop: "array[float]" = field(factory=lambda: array("d"))

    def add(self, position: Position, text: bytes, offset: int) -> None:
        self.at.append(instant(position.fixed_at))
        self.satellites.append(position.satellites)
        self.priority.append(position.priority)
        self.digest.append(int.from_bytes(blake2b(text, digest_size=8).digest(), "big"))
        self.offset.append(offset)
        self.latitude.append(position.latitude)
        self.longitude.append(position.longitude)
        self.speed_kmh.append(position.speed)
        self.hdop.append(_hdop(position.attributes))


def read_payloads(path: Path) -> Reading:
    """The tracks of all devices in a file. Raises WrongFile, OSError."""
    devices: dict[str, _Rows] = {}
    decoder = Decoder()
    count = 0
    for number, offset, line in lines(path):
        if not (text := line.strip()):
            continue
        try:
            position = decoder.decode(
                Entry("0-0", {b"payload": text, b"codec": CODEC}), NO_CLOCK_MS
            )
        except Rejected as rejected:
            hint = seems(path) if "a course" in seems(path) else ""
            raise WrongFile(path, f"line {number}", f"is no payload: {rejected}{hint}") from None
        devices.setdefault(position.device_id, _Rows()).add(position, text, offset)
        count += 1
        if count > POINTS_MAX:
            raise WrongFile(path, "", f"has more than {POINTS_MAX} payloads; split it")
    if not devices:
        raise WrongFile(path, "", "is empty; a payload a line was expected")
    tracks, remarks = [], []
    with path.open("rb") as file:
        for device_id in sorted(devices):
            track, said = _track(device_id, devices[device_id], file)
            tracks.append(track)
            remarks += said
    return Reading(tuple(tracks), in_order(remarks))


def _hdop(attributes: bytes) -> float:
    if HDOP_IO not in attributes:
        return float("nan")
    try:
        return round(_bag(attributes).hdop * HDOP_UNIT, 1)
    except msgspec.ValidationError:
        return float("nan")


def _track(device_id: str, rows: _Rows, file: BinaryIO) -> tuple[Track, list[Remark]]:
    at = np.array(rows.at, dtype=np.int64)
    satellites = np.array(rows.satellites, dtype=np.int64)
    priority = np.array(rows.priority, dtype=np.int64)
    order = np.lexsort((-priority, -satellites, at))
    first = np.ones(len(at), dtype=bool)
    first[1:] = at[order][1:] != at[order][:-1]
    kept = order[first]
    met = []
    for place, group in _groups(order, first):
        chosen, differs = _chosen(rows, group, file)
        kept[place] = chosen
        if differs:
            met.append(int(at[chosen]))
    no_fix = kept[satellites[kept] == 0]
    kept = kept[satellites[kept] > 0]
    track = Track(
        device_id,
        at[kept],
        np.round(np.array(rows.latitude)[kept], 7) + 0.0,  # no -0.0
        np.round(np.array(rows.longitude)[kept], 7) + 0.0,
        np.array(rows.speed_kmh)[kept],
        np.array(rows.hdop)[kept],
    )
    return track, [
        *conflicts(device_id, met, "payloads"),
        *without_fix(device_id, at[no_fix].tolist()),
    ]


def _groups(order: Integers, first: Bools) -> Iterator[tuple[int, list[int]]]:
    """(number of the instant, its rows) of each instant that has several rows."""
    begins = np.flatnonzero(first)
    ends = np.append(begins[1:], len(order))
    for place in np.flatnonzero(ends - begins > 1).tolist():
        yield place, order[begins[place] : ends[place]].tolist()


def _chosen(rows: _Rows, group: list[int], file: BinaryIO) -> tuple[int, bool]:
    """The row that counts of several with one instant, and whether they really differ."""
    by_digest: Mapping[int, int] = {rows.digest[row]: row for row in reversed(group)}
    if len(by_digest) == 1:
        return group[0], False
    texts = {row: _canonical(file, rows.offset[row]) for row in by_digest.values()}
    best = min(texts, key=lambda row: (-rows.satellites[row], -rows.priority[row], texts[row], row))
    return best, len(set(texts.values())) > 1


def _canonical(file: BinaryIO, offset: int) -> str:
    """A payload with its members sorted and nothing between them. One that the standard library
    will not read (an integer of thousands of digits) stands for itself."""
    file.seek(offset)
    text = file.readline(LINE_BYTES_MAX + 2).removeprefix(b"\xef\xbb\xbf").strip()
    try:
        return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text.decode()
