"""An entry judged from the contract alone, a second time, on the standard library.

Not a line of it is the decoder's, and it is slow. `judge` says what must become of an entry:
`faults` are all the reasons for which it may be rejected, and without any it must be accepted with
exactly `expected`. Where the contract leaves a choice (how deep JSON may be, which of ISO 8601's
many forms) it may be either, and is `open`. `storable` judges what was accepted by itself: would
the table take it, and does it keep every bound.
"""

import base64
import binascii
import json
import math
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from attrs import field, mutable

from processor.core.errors import Reason
from processor.core.model import Position

BAG_BYTES_MAX, BAG_MEMBERS_MAX, CODEC_MAX, DEVICE_MAX = 65_536, 1_000, 16, 64
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(hours=24)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PAYLOAD_OPEN = 1_048_576
"""The contract bounds the bag and not the payload; from here on it may be refused for its size."""

NUMBERS = {
    "latitude": (-90.0, 90.0),
    "longitude": (-180.0, 180.0),
    "altitude": (-1e6, 1e6),
    "angle": (0.0, 360.0),
    "speed": (0.0, 10_000.0),
}
INTEGERS = {"satellites": 255, "priority": 2}
MEMBERS = ("device_id", "timestamp", *NUMBERS, *INTEGERS, "attributes")

RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
PERHAPS_ISO = re.compile(r"[0-9W:.,+-]+[Tt ][0-9:.,]+(?:[Zz]|[+-][0-9:.]+)", re.ASCII)
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
WHITE = " \t\n\r"


class Number(str):
    """A number as it is spelt."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object with its doubled members."""

    def last(self) -> dict[str, Any]:
        return dict(self)


def _no(word: str) -> NoReturn:
    raise ValueError(word)


_JSON = json.JSONDecoder(
    parse_int=Number, parse_float=Number, parse_constant=_no, object_pairs_hook=Pairs
)


@mutable
class Verdict:
    """`faults` may each be the reason; `open` says that it may be accepted nevertheless, or be
    rejected for any of `perhaps`. `expected` is what it must hold if it is accepted."""

    faults: set[Reason] = field(factory=set)
    perhaps: set[Reason] = field(factory=set)
    expected: dict[str, Any] = field(factory=dict)

    @property
    def reasons(self) -> set[Reason]:
        return self.faults | self.perhaps


def judge(payload: bytes | None, codec: bytes | None, now_ms: int) -> Verdict:
    verdict = Verdict()
    _codec(verdict, codec)
    if payload is None:
        verdict.faults.add(Reason.PAYLOAD_MISSING)
        return verdict
    if len(payload) > PAYLOAD_OPEN:
        verdict.perhaps.add(Reason.TOO_LARGE)
    try:
        text = payload.decode()
        tree = _JSON.decode(text)
    except UnicodeDecodeError:
        verdict.faults |= {Reason.TEXT_UNSTORABLE, Reason.PAYLOAD_NOT_JSON}
        return verdict
    except ValueError:
        verdict.faults.add(Reason.PAYLOAD_NOT_JSON)
        if re.search(r"\\u(0000|[dD][89a-fA-F])", text):
            verdict.perhaps.add(Reason.TEXT_UNSTORABLE)
        return verdict
    except RecursionError:
        verdict.perhaps |= set(Reason)
        return verdict
    if _nesting(text) > DEEP:
        verdict.perhaps |= {Reason.PAYLOAD_NOT_JSON, Reason.FIELD_TYPE}
    if any(UNSTORABLE.search(each) for each in _texts(tree)):
        verdict.faults.add(Reason.TEXT_UNSTORABLE)
    if not isinstance(tree, Pairs):
        verdict.faults.add(Reason.FIELD_TYPE)
        return verdict
    _members(verdict, tree.last(), text, now_ms)
    return verdict


DEEP = 150
"""Levels of nesting from which a parser may refuse: nobody who means well has three."""


def _nesting(text: str) -> int:
    """How deep it may be at most: brackets in strings are counted, too."""
    deepest = depth = 0
    for letter in re.findall(r"[\[\]{}]", text):
        depth += 1 if letter in "[{" else -1
        deepest = max(deepest, depth)
    return max(deepest, -depth)


def _texts(tree: Any) -> list[str]:
    """Every name and string, also those that a later member of the name replaces."""
    found: list[str] = []
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Pairs):
            found.extend(name for name, _ in value)
            waiting.extend(inner for _, inner in value)
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            found.append(value)
    return found


def _codec(verdict: Verdict, codec: bytes | None) -> None:
    if codec is None:
        verdict.faults.add(Reason.FIELD_MISSING)
        return
    try:
        text = codec.decode()
    except UnicodeDecodeError:
        verdict.faults.add(Reason.TEXT_UNSTORABLE)
        return
    if "\0" in text:
        verdict.faults.add(Reason.TEXT_UNSTORABLE)
    if not 1 <= len(text) <= CODEC_MAX:
        verdict.faults.add(Reason.FIELD_RANGE)
    verdict.expected["codec"] = text


def _members(verdict: Verdict, members: dict[str, Any], text: str, now_ms: int) -> None:
    faults, expected = verdict.faults, verdict.expected
    for name in MEMBERS:
        if name not in members:
            faults.add(Reason.FIELD_MISSING)
            continue
        value = members[name]
        is_text = isinstance(value, str) and not isinstance(value, Number)
        if name == "device_id":
            if not is_text:
                faults.add(Reason.FIELD_TYPE)
            elif not 1 <= len(value) <= DEVICE_MAX or "Cc" in map(unicodedata.category, value):
                faults.add(Reason.FIELD_RANGE)
            expected[name] = value
        elif name == "timestamp":
            if is_text:
                _timestamp(verdict, value, now_ms)
            else:
                faults.add(Reason.FIELD_TYPE)
        elif name in NUMBERS:
            _number(verdict, name, value)
        elif name in INTEGERS:
            if not isinstance(value, Number) or not re.fullmatch(r"-?[0-9]+", value):
                faults.add(Reason.FIELD_TYPE)
            elif len(value) > 5 or not 0 <= int(value) <= INTEGERS[name]:
                faults.add(Reason.FIELD_RANGE)
            else:
                expected[name] = int(value)
        elif not isinstance(value, Pairs):
            faults.add(Reason.FIELD_TYPE)
        else:
            _bag(verdict, value.last(), text)


def _number(verdict: Verdict, name: str, value: Any) -> None:
    least, most = NUMBERS[name]
    if not isinstance(value, Number):
        verdict.faults.add(Reason.FIELD_TYPE)
    elif not least <= float(value) <= most:
        verdict.faults.add(Reason.FIELD_RANGE)
    else:
        verdict.expected[name] = float(value)


def _timestamp(verdict: Verdict, text: str, now_ms: int) -> None:
    found = RFC_3339.fullmatch(text)
    try:
        if found is None:
            if not PERHAPS_ISO.fullmatch(text):
                verdict.faults.add(Reason.FIELD_TYPE)
                return
            verdict.perhaps |= {Reason.FIELD_TYPE, Reason.FIELD_RANGE}
            instant = datetime.fromisoformat(text.upper())
        else:
            day, time, fraction, offset = found.groups()
            instant = datetime.fromisoformat(f"{day}T{time}{offset.upper()}")
            instant += timedelta(seconds=float(f"0.{fraction or 0}"))
        latest = EPOCH + timedelta(milliseconds=now_ms) + AHEAD
        if not EARLIEST <= instant <= latest:
            verdict.faults.add(Reason.FIELD_RANGE)
        verdict.expected["fixed_at"] = instant
    except (ValueError, OverflowError):  # no such day, a leap second, an offset of a day and more
        verdict.perhaps |= {Reason.FIELD_TYPE, Reason.FIELD_RANGE}


def _bag(verdict: Verdict, bag: dict[str, Any], text: str) -> None:
    faults = verdict.faults
    if len(bag) > BAG_MEMBERS_MAX:
        faults.add(Reason.TOO_LARGE)
    if len(text) > BAG_BYTES_MAX // 4 and _bag_bytes(text) > BAG_BYTES_MAX:
        faults.add(Reason.TOO_LARGE)
    stored: dict[str, Any] = {}
    for name, value in bag.items():
        if isinstance(value, Pairs):
            stored[name] = _sentinel(verdict, value.last())
        elif isinstance(value, list):
            faults.add(Reason.FIELD_TYPE)
        else:
            stored[name] = value
    verdict.expected["attributes"] = stored


def _bag_bytes(text: str) -> int:
    """UTF-8 of the last member `attributes`, from its brace to its brace."""
    size = 0
    place = _past_white(text, _past_white(text, 0) + 1)
    while text[place] != "}":
        name, place = json.decoder.scanstring(text, place + 1, True)
        place = _past_white(text, _past_white(text, place) + 1)
        _, end = _JSON.raw_decode(text, place)
        if name == "attributes":
            size = len(text[place:end].encode(errors="surrogatepass"))
        place = _past_white(text, end)
        if text[place] == ",":
            place = _past_white(text, place + 1)
    return size


def _past_white(text: str, place: int) -> int:
    while text[place] in WHITE:
        place += 1
    return place


def _sentinel(verdict: Verdict, value: dict[str, Any]) -> str | None:
    """What is stored for it. What is wrong with one that is none may be told in either word."""
    found = _stands_for(value)
    if found is None:
        known = value.keys() & {"__bigint", "__buffer_b64"}
        verdict.faults.add(Reason.SENTINEL_MALFORMED if known else Reason.SENTINEL_UNKNOWN)
        if value.get("type") == "Buffer":
            verdict.faults.add(Reason.SENTINEL_MALFORMED)
    return found


def _stands_for(value: dict[str, Any]) -> str | None:
    match value:
        case {"__bigint": str(digits)} if len(value) == 1 and not isinstance(digits, Number):
            return digits if re.fullmatch(r"-?[0-9]{1,100}", digits) else None
        case {"__buffer_b64": str(text)} if len(value) == 1 and not isinstance(text, Number):
            try:
                base64.b64decode(text.encode("ascii"), validate=True)
            except (binascii.Error, UnicodeEncodeError):
                return None
            # Python lets one sign of padding too many pass: AQID=
            return text if len(text) % 4 == 0 else None
        case {"type": "Buffer", "data": list(octets)} if len(value) == 2:
            numbers = [each for each in octets if isinstance(each, Number)]
            if len(numbers) < len(octets) or isinstance(octets, Pairs):
                return None
            if not all(re.fullmatch(r"-?[0-9]{1,3}", each) for each in numbers):
                return None
            values = [int(each) for each in numbers]
            return base64.b64encode(bytes(values)).decode() if _octets(values) else None
    return None


def _octets(values: list[int]) -> bool:
    return all(0 <= each <= 255 for each in values)


# -- what was accepted


def bag_of(attributes: bytes) -> dict[str, Any]:
    """What a bag holds, numbers as they are spelt. Raises ValueError."""
    tree = _JSON.decode(attributes.decode())
    if not isinstance(tree, Pairs):
        raise ValueError("not an object")  # noqa: TRY004 - it is the text that is wrong
    return tree.last()


def storable(position: Position, now_ms: int) -> str | None:
    """What is wrong with an accepted position by the contract's own rules; None if nothing."""
    latest = EPOCH + timedelta(milliseconds=now_ms) + AHEAD
    device_id, codec = position.device_id, position.codec
    rules = {
        "device_id has 1 to 64 characters": 1 <= len(device_id) <= DEVICE_MAX,
        "device_id has no control characters": "Cc" not in map(unicodedata.category, device_id),
        "codec has 1 to 16 characters": 1 <= len(codec) <= CODEC_MAX,
        "names can be stored": not UNSTORABLE.search(device_id + codec),
        "the time is UTC": position.fixed_at.utcoffset() == timedelta(0),
        "the time is in its window": (
            position.fixed_at.tzinfo is not None and EARLIEST <= position.fixed_at <= latest
        ),
    }
    for name, (least, most) in NUMBERS.items():
        value = getattr(position, name)
        rules[f"{name} is in its range"] = (
            type(value) is float and math.isfinite(value) and least <= value <= most
        )
    for name, biggest in INTEGERS.items():
        value = getattr(position, name)
        rules[f"{name} is in its range"] = type(value) is int and 0 <= value <= biggest
    try:
        bag = bag_of(position.attributes)
    except ValueError as error:
        return f"attributes are not a JSON object: {error}"
    rules |= {
        "attributes have at most 64 KiB": len(position.attributes) <= BAG_BYTES_MAX,
        "attributes have at most 1000 members": len(bag) <= BAG_MEMBERS_MAX,
        "attributes hold plain values": not any(isinstance(each, list) for each in bag.values()),
        "attributes can be stored": not any(
            UNSTORABLE.search(each)
            for each in _texts(Pairs(_JSON.decode(position.attributes.decode())))
        ),
    }
    return next((f"broken: {rule}" for rule, holds in rules.items() if not holds), None)
