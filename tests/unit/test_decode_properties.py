"""The decoder against a naive reference: slow, straightforward, on the standard library's JSON.

The reference says only accepted or rejected, and what was accepted; which reason is told is the
business of test_decode.py.
"""

import base64
import binascii
import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from processor.core.decode import EARLIEST, Decoder
from processor.core.errors import Rejected
from processor.core.model import Entry, Position

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


# -- the reference -------------------------------------------------------------------------------


class Bad(Exception):
    """The reference rejects."""


def must(condition: object) -> None:
    if not condition:
        raise Bad


def storable(text: str) -> str:
    must(not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text))
    return text


def storable_values(value: Any) -> None:
    if isinstance(value, str):
        storable(value)
    elif isinstance(value, list):
        for inner in value:
            storable_values(inner)


def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, value in members:
        storable(name)
        storable_values(value)
    return dict(members)


def no_constant(name: str) -> None:
    raise Bad(name)


def number(value: Any, least: float, most: float) -> float:
    must(isinstance(value, int | Decimal) and not isinstance(value, bool))
    must(Decimal(least) <= Decimal(float(value)) <= Decimal(most))
    return float(value)


def integer(value: Any, most: int) -> int:
    must(isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most)
    return int(value)


def plain(value: Any) -> Any:
    must(not isinstance(value, list))
    if not isinstance(value, dict):
        return value
    if value.keys() == {"__bigint"}:
        must(isinstance(value["__bigint"], str))
        must(re.fullmatch("-?[0-9]{1,100}", value["__bigint"]))
        return value["__bigint"]
    if value.keys() == {"__buffer_b64"}:
        must(isinstance(value["__buffer_b64"], str) and value["__buffer_b64"].isascii())
        must(len(value["__buffer_b64"]) % 4 == 0)  # b64decode lets surplus padding pass
        try:
            base64.b64decode(value["__buffer_b64"], validate=True)
        except binascii.Error:
            raise Bad from None
        return value["__buffer_b64"]
    must(value.keys() == {"type", "data"} and value["type"] == "Buffer")
    must(isinstance(value["data"], list))
    return base64.b64encode(bytes(integer(octet, 255) for octet in value["data"])).decode()


def reference(payload: bytes) -> tuple[Any, ...] | None:
    """What is in a payload, or None if it is rejected."""
    try:
        tree = json.loads(
            payload.decode(),
            parse_float=Decimal,
            parse_constant=no_constant,
            object_pairs_hook=pairs,
        )
        storable_values(tree)
        must(isinstance(tree, dict))
        device_id = tree["device_id"]
        must(isinstance(device_id, str) and 1 <= len(device_id) <= 64)
        must("Cc" not in map(unicodedata.category, device_id))
        must(isinstance(tree["timestamp"], str))
        fixed_at = datetime.fromisoformat(tree["timestamp"].upper())
        must(fixed_at.tzinfo and tree["timestamp"][10] in "Tt ")
        must(EARLIEST <= fixed_at <= NOW + timedelta(hours=24))
        bag = tree["attributes"]
        must(isinstance(bag, dict) and len(bag) <= 1000)
        return (
            device_id,
            fixed_at.astimezone(UTC),
            number(tree["latitude"], -90, 90),
            number(tree["longitude"], -180, 180),
            number(tree["altitude"], -1e6, 1e6),
            number(tree["angle"], 0, 360),
            number(tree["speed"], 0, 10_000),
            integer(tree["satellites"], 255),
            integer(tree["priority"], 2),
            {name: plain(value) for name, value in bag.items()},
        )
    except (Bad, KeyError, ValueError, OverflowError):
        return None


# -- the decoder, both gears -----------------------------------------------------------------------


def content(position: Position) -> tuple[Any, ...]:
    return (
        position.device_id,
        position.fixed_at,
        position.latitude,
        position.longitude,
        position.altitude,
        position.angle,
        position.speed,
        position.satellites,
        position.priority,
        json.loads(position.attributes, parse_float=Decimal),
    )


def verdict(payload: bytes) -> tuple[Any, ...] | None:
    """What the decoder says, having checked that the slow gear alone says the same."""
    decoder = Decoder()
    entry = Entry("1-0", {b"payload": payload, b"codec": b"8"})
    try:
        found: tuple[Any, ...] | None = content(decoder.decode(entry, NOW_MS))
    except Rejected:
        found = None
    try:
        slow: tuple[Any, ...] | None = content(decoder._judge(payload, b"8"))
    except Rejected:
        slow = None
    assert found == slow
    return found


# -- what is generated -----------------------------------------------------------------------------

raw_numbers = st.one_of(
    st.integers().map(str),
    st.integers(-400, 400).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0", "-0", "-1", "2", "3", "90", "180", "255", "256", "360", "1.0", "1e0"]),
    st.sampled_from(["90.00000000001", "1e6", "1000000.5", "1e400", "1E-400", "9007199254740993"]),
)
texts = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(codec="ascii"), max_size=8),
    st.sampled_from(["\0", "\ud800", "\udfff", "\x7f", "\x85", "{", "}{", '{"', "[", "\\", "/"]),
)
raw_texts = st.builds(
    lambda text, escaped: json.dumps(text, ensure_ascii=escaped), texts, st.booleans()
)
raw_sentinels = st.one_of(
    st.integers(-(10**101), 10**101).map(lambda number: f'{{"__bigint":"{number}"}}'),
    st.binary(max_size=9).map(
        lambda octets: f'{{"__buffer_b64":"{base64.b64encode(octets).decode()}"}}'
    ),
    st.lists(st.integers(-1, 256), max_size=3).map(
        lambda octets: json.dumps({"type": "Buffer", "data": octets})
    ),
    raw_texts.map(lambda text: f'{{"__bigint":{text}}}'),
    st.text("AQgw+/=", max_size=6).map(lambda text: f'{{ "__buffer_b64": "{text}" }}'),
    st.sampled_from(["{}", '{"__bigint":"1","x":1}', '{"type":"Buffer"}', '{"data":[]}', "[]"]),
)
raw_scalars = st.one_of(raw_numbers, raw_texts, st.sampled_from(["true", "false", "null"]))
raw_values = st.one_of(raw_scalars, raw_sentinels)


def raw_object(members: list[tuple[str, str]], gap: str) -> str:
    return "{" + f",{gap}".join(f"{name}:{gap}{value}" for name, value in members) + "}"


raw_bags = st.builds(
    raw_object,
    st.lists(st.tuples(raw_texts, st.one_of(raw_scalars, raw_values)), max_size=4),
    st.sampled_from(["", "", " "]),
)
raw_timestamps = st.one_of(
    st.integers(-100_000, 9600 * 86_400).map(
        lambda seconds: f'"{(EARLIEST + timedelta(seconds=seconds)).isoformat()[:-6]}.500Z"'
    ),
    st.datetimes(timezones=st.timezones()).map(lambda instant: f'"{instant.isoformat()}"'),
    raw_scalars,
)
GOOD = {
    "device_id": '"356307042441013"',
    "timestamp": '"2026-05-04T10:11:12.345Z"',
    "latitude": "45.2345678",
    "longitude": "13.6543219",
    "altitude": "123",
    "angle": "271",
    "speed": "63",
    "satellites": "14",
    "priority": "0",
    "attributes": '{"239":1,"78":{"__bigint":"9223372036854775807"}}',
}
MEMBERS = dict.fromkeys(GOOD, raw_numbers) | {
    "device_id": raw_texts,
    "timestamp": raw_timestamps,
    "attributes": raw_bags,
}


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Good payloads with up to two members drawn anew, missing, doubled or surplus."""
    members = list({**GOOD, "attributes": draw(raw_bags)}.items())
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(sorted(GOOD)))
        value = draw(st.one_of(MEMBERS[name], MEMBERS[name], raw_values))
        members.append((name, value))
    if draw(st.booleans()):
        members.insert(0, (draw(texts), draw(raw_values)))
    if draw(st.integers(0, 9)) == 0:
        members.pop(draw(st.integers(0, len(members) - 1)))
    named = [(json.dumps(name), value) for name, value in members]
    text = raw_object(named, draw(st.sampled_from(["", "", "\n"])))
    return text.encode(errors="surrogatepass")


@given(payloads())
@settings(max_examples=500, deadline=None)
def test_the_decoder_agrees_with_the_reference(payload: bytes) -> None:
    assert verdict(payload) == reference(payload)


def test_the_payloads_generated_are_both_accepted_and_rejected() -> None:
    seen = {True: 0, False: 0}

    @given(payloads())
    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    def count(payload: bytes) -> None:
        seen[reference(payload) is None] += 1

    count()
    assert min(seen.values()) >= 20


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A payload with a few bytes struck out, put in or changed."""
    text = bytearray(draw(payloads()))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 3))
        text[place : place + length] = draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from(
                    [b'"', b"{", b"}", b"[", b"\\", b",", b":", b"\\u0000", b"\\ud800"]
                ),
                st.sampled_from([b"NaN", b"-", b"0", b".", b"e9", b"\xff", b"\n", b"1_0", b"null"]),
            )
        )
    return bytes(text)


@pytest.mark.slow
@given(damaged())
@settings(max_examples=2000, deadline=None)
def test_damaged_payloads_are_judged_as_by_the_reference(payload: bytes) -> None:
    # What ISO 8601 is, the two may see differently (the reference knows only Python's idea of it):
    # test_decode.py has the table.
    assume(GOOD["timestamp"].encode() in payload or b'"timestamp"' not in payload)
    assert verdict(payload) == reference(payload)


@given(
    st.dictionaries(st.sampled_from([b"payload", b"codec", b"ts"]), st.binary(max_size=200)),
    st.integers(0, 4_000_000_000_000),
)
@example({b"payload": b'{"a":' * 200_000, b"codec": b"8"}, 0)
@example({b"payload": rb'{"\u0000":' * 100_000, b"codec": b"8"}, 0)
@settings(max_examples=500, deadline=None)
def test_whatever_comes_only_rejected_comes_out(fields: dict[bytes, bytes], now_ms: int) -> None:
    try:
        Decoder().decode(Entry("1-0", fields), now_ms)
    except Rejected as cause:
        assert cause.sentence  # noqa: PT017
