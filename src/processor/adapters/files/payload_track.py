"""NDJSON of upstream payloads: the recorded stream, a payload a line, as messy as the stream is.

Lines may come in any order and more than once. A line is accepted by the service's own decoder and
by no other rule, except that no clock is asked, so a fix may lie in the future. Of each line some
numbers are kept, a digest of its text, and where it stands in the file: where different payloads
claim one instant, their texts decide (`joining.py`).
"""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

import msgspec

from processor.adapters.files.contents import seems
from processor.adapters.files.points import Points, Recorded
from processor.adapters.files.times import TOO_LATE, is_too_late
from processor.adapters.files.tracks import LINE_BYTES_MAX, POINTS_MAX, lines
from processor.adapters.files.wrong import WrongFile
from processor.core.decode import Decoder
from processor.core.errors import Rejected
from processor.core.model import Entry
from processor.domain.instants import instant

CODEC = b"8E"  # a field of the entry, which a file of payloads does not have
NO_CLOCK_MS = 253_402_128_000_000
"""A now near the end of the calendar (9999-12-30): files have no clock, so nothing is too new."""
HDOP_IO = b'"182"'
HDOP_UNIT = 0.1


class _Bag(msgspec.Struct):
    """The element of the IO bag that says how good a fix is: tenths, in two bytes, 0 meaning none.
    Whatever else stands there is left out and never guessed at."""

    hdop: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF)] = msgspec.field(name="182")


_bag = msgspec.json.Decoder(_Bag).decode


def read_payloads(path: Path) -> Recorded:
    """The payloads of all devices in a file. Raises WrongFile, OSError."""
    devices: dict[str, Points] = {}
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
        if is_too_late(position.fixed_at):
            raise WrongFile(path, f"line {number}", f"timestamp {TOO_LATE}")
        devices.setdefault(position.device_id, Points(position.device_id, path)).add(
            instant(position.fixed_at),
            position.latitude,
            position.longitude,
            position.speed,
            _hdop(position.attributes),
            position.satellites,
            position.priority,
            digest=int.from_bytes(blake2b(text, digest_size=8).digest(), "big"),
            offset=offset,
        )
        count += 1
        if count > POINTS_MAX:
            raise WrongFile(path, "", f"has more than {POINTS_MAX} payloads; split it")
    if not devices:
        raise WrongFile(path, "", "is empty; a payload a line was expected")
    return Recorded(tuple(devices[device_id] for device_id in sorted(devices)))


def canonical(path: Path, offset: int) -> str:
    """The payload at an offset of a file with its members sorted and nothing between them. One that
    the standard library will not read (an integer of thousands of digits) stands for itself.
    Raises OSError."""
    with path.open("rb") as file:
        file.seek(offset)
        text = file.readline(LINE_BYTES_MAX + 2).removeprefix(b"\xef\xbb\xbf").strip()
    try:
        return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text.decode()


def _hdop(attributes: bytes) -> float | None:
    if HDOP_IO not in attributes:
        return None
    try:
        return round(_bag(attributes).hdop * HDOP_UNIT, 1)
    except msgspec.ValidationError:
        return None
