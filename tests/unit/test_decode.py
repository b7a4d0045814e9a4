"""Every acceptance and every rejection of the contract, one line each."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processor.core.decode import Decoder
from processor.core.errors import Reason, Rejected
from processor.core.model import Entry, Position

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
GOOD: dict[str, Any] = {
    "device_id": "356307042441013",
    "timestamp": "2026-05-04T10:11:12.345Z",
    "latitude": 45.2345678,
    "longitude": 13.6543219,
    "altitude": 123,
    "angle": 271,
    "speed": 63,
    "satellites": 14,
    "priority": 0,
    "attributes": {"239": 1, "66": 13842},
}


class Text(str):
    """JSON that is put into the payload as it is."""

    __slots__ = ()


def payload(**changes: Any) -> bytes:
    members = {**GOOD, **changes}
    text = ",".join(f"{json.dumps(name)}:{as_json(value)}" for name, value in members.items())
    return f"{{{text}}}".encode()


def as_json(value: Any) -> str:
    return value if isinstance(value, Text) else json.dumps(value, separators=(",", ":"))


def bag(text: str) -> bytes:
    return payload(attributes=Text(f"{{{text}}}"))


def entry(payload: bytes | None, codec: bytes | None = b"8E") -> Entry:
    fields = {b"ts": b"ignored", b"device_id": b"ignored", b"payload": payload, b"codec": codec}
    return Entry("1-0", {name: value for name, value in fields.items() if value is not None})


def decoded(payload: bytes | None, codec: bytes | None = b"8E") -> Position:
    return Decoder().decode(entry(payload, codec), NOW_MS)


def rejected(payload: bytes | None, codec: bytes | None = b"8E") -> Rejected:
    with pytest.raises(Rejected) as caught:
        decoded(payload, codec)
    return caught.value


def test_a_plain_payload_becomes_a_position() -> None:
    assert decoded(payload()) == Position(
        device_id="356307042441013",
        fixed_at=datetime(2026, 5, 4, 10, 11, 12, 345_000, tzinfo=UTC),
        latitude=45.2345678,
        longitude=13.6543219,
        altitude=123.0,
        angle=271.0,
        speed=63.0,
        satellites=14,
        priority=0,
        codec="8E",
        attributes=b'{"239":1,"66":13842}',
    )


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"device_id": "a"}, "device_id", "a"),
        ({"device_id": "x" * 64}, "device_id", "x" * 64),
        ({"device_id": "\U0001f697" * 64}, "device_id", "\U0001f697" * 64),
        ({"device_id": "car 7 / č"}, "device_id", "car 7 / č"),
        ({"latitude": -90}, "latitude", -90.0),
        ({"latitude": 90}, "latitude", 90.0),
        ({"latitude": Text("45.25e0")}, "latitude", 45.25),
        ({"longitude": -180}, "longitude", -180.0),
        ({"longitude": Text("180.0")}, "longitude", 180.0),
        ({"altitude": -1e6}, "altitude", -1e6),
        ({"altitude": Text("1e6")}, "altitude", 1e6),
        ({"angle": 0}, "angle", 0.0),
        ({"angle": 360}, "angle", 360.0),
        ({"angle": 359.9}, "angle", 359.9),
        ({"speed": 0}, "speed", 0.0),
        ({"speed": 10000}, "speed", 10000.0),
        ({"satellites": 0}, "satellites", 0),
        ({"satellites": 255}, "satellites", 255),
        ({"priority": 2}, "priority", 2),
        ({"surplus": {"deep": [[1], {"er": None}]}}, "speed", 63.0),
        ({"surplus": [[1], "\U0001f697"]}, "speed", 63.0),
    ],
)
def test_accepted_values(changes: dict[str, Any], field: str, value: object) -> None:
    found = getattr(decoded(payload(**changes)), field)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("codec", [b"8", b"8E", b"16", b"a", b"x" * 16, ("č" * 16).encode()])
def test_accepted_codecs(codec: bytes) -> None:
    assert decoded(payload(), codec).codec == codec.decode()


HALF_PAST = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-05-04T10:30:00.000Z", HALF_PAST),
        ("2026-05-04T10:30:00Z", HALF_PAST),
        ("2026-05-04t10:30:00z", HALF_PAST),
        ("2026-05-04 10:30:00Z", HALF_PAST),
        ("2026-05-04T12:30:00.000+02:00", HALF_PAST),
        ("2026-05-03T23:00:00.000-11:30", HALF_PAST),
        ("2026-05-04T10:30:00-00:00", HALF_PAST),
        ("2026-05-04T10:30:00.000001Z", HALF_PAST + timedelta(microseconds=1)),
        ("2026-05-04T10:30:00.123456789Z", HALF_PAST + timedelta(microseconds=123457)),
        # forms of ISO 8601 that RFC 3339 does not have
        ("2026-05-04T10:30Z", HALF_PAST),
        ("2026-05-04T10Z", HALF_PAST - timedelta(minutes=30)),
        ("20260504T103000Z", HALF_PAST),
        ("20260504T103000,5+0000", HALF_PAST + timedelta(milliseconds=500)),
        ("2026-05-04T12:30:00+02", HALF_PAST),
        ("2026-W19-1T10:30:00Z", HALF_PAST),
        # the ends of the window
        ("2000-01-01T00:00:00.000Z", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2026-05-05T12:00:00.000Z", NOW + timedelta(hours=24)),
    ],
)
def test_accepted_timestamps(text: str, instant: datetime) -> None:
    fixed_at = decoded(payload(timestamp=text)).fixed_at
    assert fixed_at == instant
    assert fixed_at.tzinfo is UTC


OCTETS = bytes(range(256))


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", {}),
        ('"1":null,"2":true,"3":false,"4":"text","5":-1.5e-3,"x y":0', None),
        ('"1":{"__bigint":"9223372036854775807"}', {"1": "9223372036854775807"}),
        ('"1":{"__bigint":"-%s"}' % ("9" * 100), {"1": "-" + "9" * 100}),
        ('"1":{ "__bigint" : "-0" }', {"1": "-0"}),
        (r'"1":{"\u005f_bigint":"1\u0032"}', {"1": "12"}),
        ('"1":{"__bigint":5,"__bigint":"5"}', {"1": "5"}),
        ('"1":{"__buffer_b64":""},"2":{"__buffer_b64":"AP8="}', {"1": "", "2": "AP8="}),
        ('"1":{"__buffer_b64":"+/A="},"2":{"__bigint":"1"}', {"1": "+/A=", "2": "1"}),
        ('"1":{"type":"Buffer","data":[]}', {"1": ""}),
        ('"1":{"data":[0, 255],"type":"Buffer"}', {"1": "AP8="}),
        (
            f'"1":{{"type":"Buffer","data":{list(OCTETS)}}}',
            {"1": base64.b64encode(OCTETS).decode()},
        ),
        ('"1":"{","2":"}{"', {"1": "{", "2": "}{"}),
        ('"1":"{\\"__bigint\\":\\"5\\"}"', {"1": '{"__bigint":"5"}'}),
        ('"1":"[1]","2":"{","3":{"__bigint":"7"}', {"1": "[1]", "2": "{", "3": "7"}),
        ('"\\u0061\\n":"\\u20ac"', {"a\n": "€"}),
        ('"operator":"Höchst \U0001f697"', {"operator": "Höchst \U0001f697"}),
        ('"pair":"\\ud83d\\ude97","no":"\\\\u0000"', {"pair": "\U0001f697", "no": "\\u0000"}),
        ('"1":[1],"1":{},"1":5', {"1": 5}),
        ('"del":"\x7f"', {"del": "\x7f"}),
    ],
)
def test_accepted_attributes(text: str, stored: dict[str, Any] | None) -> None:
    expected = json.loads(f"{{{text}}}") if stored is None else stored
    assert json.loads(decoded(bag(text)).attributes) == expected


@pytest.mark.parametrize("sentinel", ["", '"9":{"__bigint":"1"},', r'"9":"\t",'])
@pytest.mark.parametrize(
    "number",
    ["9007199254740993", "0.1000000000000000055", "1e400", "-0", "1.0", "1E+2", "9" * 400],
)
def test_a_bare_number_stays_the_number_it_is(number: str, sentinel: str) -> None:
    assert f'"1":{number}'.encode() in decoded(bag(f'{sentinel}"1":{number}')).attributes


def test_of_a_doubled_member_the_last_counts() -> None:
    text = payload()[:-1] + b',"speed":"fast","speed":7,"attributes":[],"attributes":{"1":1}}'
    position = decoded(text)
    assert (position.speed, position.attributes) == (7.0, b'{"1":1}')
    assert rejected(payload()[:-1] + b',"speed":"fast"}').reason == Reason.FIELD_TYPE


def test_white_space_between_members_is_nothing() -> None:
    text = json.dumps(GOOD, indent=2).encode() + b"\r\n\t "
    assert json.loads(decoded(text).attributes) == GOOD["attributes"]
    assert decoded(text).device_id == GOOD["device_id"]


def test_as_large_as_allowed() -> None:
    thousand = ",".join(f'"{i}":{{"__bigint":"{i}"}}' for i in range(1000))
    assert len(json.loads(decoded(bag(thousand)).attributes)) == 1000
    doubled = ",".join('"1":1' for _ in range(1001))
    assert json.loads(decoded(bag(doubled)).attributes) == {"1": 1}
    full = '"1":"%s"' % ("x" * (64 * 1024 - 8))
    assert len(full) + 2 == 64 * 1024
    assert decoded(bag(full)).attributes == b"{%b}" % full.encode()
    mebibyte = payload(pad="")[:-2]
    mebibyte += b"x" * (1024 * 1024 - len(mebibyte) - 2) + b'"}'
    assert len(mebibyte) == 1024 * 1024
    assert decoded(mebibyte).speed == 63.0


SURROGATE = Text(r'"\ud800"')
NUL = Text(r'"a\u0000b"')


@pytest.mark.parametrize(
    ("text", "reason", "named"),
    [
        (None, Reason.PAYLOAD_MISSING, "payload"),
        # text
        (b"", Reason.PAYLOAD_NOT_JSON, "payload"),
        (b"   ", Reason.PAYLOAD_NOT_JSON, "payload"),
        (b"{", Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload() + b"x", Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload()[:-1], Reason.PAYLOAD_NOT_JSON, "payload"),
        (b"\xef\xbb\xbf" + payload(), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(speed=Text("NaN")), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(speed=Text("-Infinity")), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(speed=Text("+1")), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(speed=Text("01")), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(device_id=Text('"a\tb"')), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(surplus=Text('"\x01"')), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(surplus=Text(r'"\x"')), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(surplus=Text(r'"\ud800')), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(surplus=Text(r'["\u0000",NaN]')), Reason.PAYLOAD_NOT_JSON, "payload"),
        (bag('"1":1,'), Reason.PAYLOAD_NOT_JSON, "payload"),
        (bag("1:1"), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(x=Text("[" * 100_000 + "]" * 100_000)), Reason.PAYLOAD_NOT_JSON, "payload"),
        (payload(x=Text("[" * 100_000)), Reason.PAYLOAD_NOT_JSON, "payload"),
        (b"[]", Reason.FIELD_TYPE, "payload"),
        (b' "text"', Reason.FIELD_TYPE, "payload"),
        (b"5", Reason.FIELD_TYPE, "payload"),
        (b"null", Reason.FIELD_TYPE, "payload"),
        (b" " * (1024 * 1024) + payload(), Reason.TOO_LARGE, "payload"),
        # text that cannot be stored, wherever it stands
        (payload(device_id=NUL), Reason.TEXT_UNSTORABLE, "device_id"),
        (payload(device_id=SURROGATE), Reason.TEXT_UNSTORABLE, "device_id"),
        (payload(device_id=Text(r'"\ude00\ud83d"')), Reason.TEXT_UNSTORABLE, "device_id"),
        (payload(timestamp=NUL), Reason.TEXT_UNSTORABLE, "timestamp"),
        (payload(surplus=NUL), Reason.TEXT_UNSTORABLE, "surplus"),
        (payload(surplus=Text(r'[{"a":["\uD800"]}]')), Reason.TEXT_UNSTORABLE, "surplus"),
        (payload(surplus=Text(r'{"\u0000":1}')), Reason.TEXT_UNSTORABLE, "surplus"),
        (payload()[:-1] + rb',"\u0000":1}', Reason.TEXT_UNSTORABLE, "payload"),
        (payload()[:-1] + b',"surplus":"\xff"}', Reason.TEXT_UNSTORABLE, "surplus"),
        (payload()[:-1] + b',"surplus":["\xed\xa0\x80"]}', Reason.TEXT_UNSTORABLE, "surplus"),
        (payload()[:-1] + b',"\xc0\x80":1}', Reason.TEXT_UNSTORABLE, "payload"),
        (b"\xff" + payload(), Reason.TEXT_UNSTORABLE, "payload"),
        (payload()[:-1] + b"\xff", Reason.TEXT_UNSTORABLE, "payload"),
        (bag(r'"21":"\u0000"'), Reason.TEXT_UNSTORABLE, "attributes['21']"),
        (bag(r'"21":"\udfff"'), Reason.TEXT_UNSTORABLE, "attributes['21']"),
        (bag(r'"\ud800":1'), Reason.TEXT_UNSTORABLE, "attributes"),
        (bag(r'"21":{"__bigint":"\u0000"}'), Reason.TEXT_UNSTORABLE, "attributes['21']"),
        (bag(r'"21":"\u0000","21":1'), Reason.TEXT_UNSTORABLE, "attributes['21']"),
        # members: missing, of the wrong type, out of range
        *[(payload(**{name: Text("null")}), Reason.FIELD_TYPE, name) for name in GOOD],
        (payload(device_id=1), Reason.FIELD_TYPE, "device_id"),
        (payload(device_id=""), Reason.FIELD_RANGE, "device_id"),
        (payload(device_id="x" * 65), Reason.FIELD_RANGE, "device_id"),
        (payload(device_id="a\n"), Reason.FIELD_RANGE, "device_id"),
        (payload(device_id=Text('"a\x7f"')), Reason.FIELD_RANGE, "device_id"),
        (payload(device_id=Text('"a\x85"')), Reason.FIELD_RANGE, "device_id"),
        (payload(timestamp=1777890000000), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp=""), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="yesterday"), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="2026-05-04"), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="2026-05-04T10:11:12.345"), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="2026-05-04x10:11:12Z"), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="2026-13-04T10:11:12Z"), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="2026-02-30T10:11Z"), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="2026-05-04T24:00:00Z"), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="2026-05-04T10:11:60Z"), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="2026-05-04T10:11:12+24:00"), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="٢٠٢٦0504T1011Z"), Reason.FIELD_TYPE, "timestamp"),
        (payload(timestamp="1999-12-31T23:59:59.999Z"), Reason.FIELD_RANGE, "timestamp"),
        (payload(timestamp="2000-01-01T00:30:00+01:00"), Reason.FIELD_RANGE, "timestamp"),
        (payload(timestamp="2026-05-05T12:00:00.001Z"), Reason.FIELD_RANGE, "timestamp"),
        (payload(timestamp="0001-01-01T00:00:00+10:00"), Reason.FIELD_RANGE, "timestamp"),
        (payload(timestamp="9999-12-31T23:59:59-10:00"), Reason.FIELD_RANGE, "timestamp"),
        *[
            (payload(**{name: wrong}), Reason.FIELD_TYPE, name)
            for name in ("latitude", "longitude", "altitude", "angle", "speed")
            for wrong in ("1", True, [1], {})
        ],
        *[
            (payload(**{name: wrong}), Reason.FIELD_RANGE, name)
            for name, most, least in (
                ("latitude", "90.00000001", "-90.00000001"),
                ("longitude", "180.00000001", "-180.00000001"),
                ("altitude", "1000000.1", "-1000000.1"),
                ("angle", "360.1", "-0.1"),
                ("speed", "10000.1", "-1"),
            )
            for wrong in (Text(most), Text(least), Text("1e400"), Text("-" + "9" * 5000))
        ],
        *[
            (payload(**{name: wrong}), Reason.FIELD_TYPE, name)
            for name in ("satellites", "priority")
            for wrong in ("1", True, Text("1.0"), Text("1e0"), Text("1e400"), [1], {})
        ],
        (payload(satellites=256), Reason.FIELD_RANGE, "satellites"),
        (payload(satellites=-1), Reason.FIELD_RANGE, "satellites"),
        (payload(satellites=Text("9" * 6000)), Reason.FIELD_RANGE, "satellites"),
        (payload(priority=3), Reason.FIELD_RANGE, "priority"),
        (payload(priority=-1), Reason.FIELD_RANGE, "priority"),
        # the bag
        (payload(attributes="{}"), Reason.FIELD_TYPE, "attributes"),
        (payload(attributes="{"), Reason.FIELD_TYPE, "attributes"),
        (payload(attributes=[]), Reason.FIELD_TYPE, "attributes"),
        (payload(attributes=5), Reason.FIELD_TYPE, "attributes"),
        (bag('"21":[]'), Reason.FIELD_TYPE, "attributes['21']"),
        (bag('"21":[{"__bigint":"1"}]'), Reason.FIELD_TYPE, "attributes['21']"),
        (bag('"21":{}'), Reason.SENTINEL_UNKNOWN, "attributes['21']"),
        (bag('"21":{"__date":"x"}'), Reason.SENTINEL_UNKNOWN, "attributes['21']"),
        (bag('"21":{"data":[1]}'), Reason.SENTINEL_UNKNOWN, "attributes['21']"),
        (bag('"21":{"type":"buffer","data":[1]}'), Reason.SENTINEL_UNKNOWN, "attributes['21']"),
        (bag('"21":{"type":["Buffer"],"data":[]}'), Reason.SENTINEL_UNKNOWN, "attributes['21']"),
        (bag('"21":{"a":{"__bigint":"1"}}'), Reason.SENTINEL_UNKNOWN, "attributes['21']"),
        *[
            (bag(f'"21":{sentinel}'), Reason.SENTINEL_MALFORMED, "attributes['21']")
            for sentinel in (
                '{"__bigint":5}',
                '{"__bigint":null}',
                '{"__bigint":""}',
                '{"__bigint":"-"}',
                '{"__bigint":"+5"}',
                '{"__bigint":" 5"}',
                '{"__bigint":"5.0"}',
                r'{"__bigint":"5\n"}',
                '{"__bigint":"٣"}',
                '{"__bigint":"%s"}' % ("9" * 101),
                '{"__bigint":"5","__bigint":5}',
                '{"__bigint":"5","x":1}',
                '{"__bigint":"5","__buffer_b64":""}',
                '{"__buffer_b64":5}',
                '{"__buffer_b64":"A"}',
                '{"__buffer_b64":"AP8"}',
                '{"__buffer_b64":"AP8=="}',
                '{"__buffer_b64":"AP8=AP8="}',
                '{"__buffer_b64":"AP-_"}',
                '{"__buffer_b64":"AP 8="}',
                r'{"__buffer_b64":"AP8=\n"}',
                '{"__buffer_b64":"AP8=","x":1}',
                '{"type":"Buffer"}',
                '{"type":"Buffer","data":"AP8="}',
                '{"type":"Buffer","data":[256]}',
                '{"type":"Buffer","data":[-1]}',
                '{"type":"Buffer","data":[5.0]}',
                '{"type":"Buffer","data":[true]}',
                '{"type":"Buffer","data":[[]]}',
                '{"type":"Buffer","data":[1],"x":1}',
            )
        ],
        (bag('"1":"%s"' % ("x" * (64 * 1024 - 7))), Reason.TOO_LARGE, "attributes"),
        (bag(" " * 64 * 1024), Reason.TOO_LARGE, "attributes"),
        (bag(",".join(f'"{i}":0' for i in range(1001))), Reason.TOO_LARGE, "attributes"),
    ],
)
def test_rejections(text: bytes | None, reason: Reason, named: str) -> None:
    cause = rejected(text)
    assert cause.reason == reason, cause.sentence
    assert named in cause.sentence
    assert cause.sentence.isascii()
    assert cause.sentence.isprintable()


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_member_is_named(name: str) -> None:
    members = {key: value for key, value in GOOD.items() if key != name}
    cause = rejected(json.dumps(members).encode())
    assert (cause.reason, name in cause.sentence) == (Reason.FIELD_MISSING, True)


@pytest.mark.parametrize(
    ("codec", "reason"),
    [
        (None, Reason.FIELD_MISSING),
        (b"", Reason.FIELD_RANGE),
        (b"x" * 17, Reason.FIELD_RANGE),
        (b"8\0", Reason.TEXT_UNSTORABLE),
        (b"\xff", Reason.TEXT_UNSTORABLE),
        (b"\xed\xa0\x80", Reason.TEXT_UNSTORABLE),
    ],
)
def test_rejected_codecs(codec: bytes | None, reason: Reason) -> None:
    cause = rejected(payload(), codec)
    assert (cause.reason, "codec" in cause.sentence) == (reason, True)


def test_of_several_faults_the_first_in_the_contracts_order_is_told() -> None:
    members = {**GOOD, "priority": 9, "speed": "fast", "attributes": []}
    assert "speed" in rejected(json.dumps(members).encode()).sentence


def test_a_sentence_holds_no_coordinate_and_no_more_than_the_beginning_of_a_name() -> None:
    assert "95.123" not in rejected(payload(latitude=95.123)).sentence
    assert "x" * 41 not in rejected(bag('"%s":[]' % ("x" * 1000))).sentence


def test_the_window_moves_with_the_clock() -> None:
    decoder = Decoder()
    ahead = entry(payload(timestamp="2026-05-05T12:00:00.001Z"))
    with pytest.raises(Rejected):
        decoder.decode(ahead, NOW_MS)
    assert decoder.decode(ahead, NOW_MS + 1).satellites == 14
    with pytest.raises(Rejected):
        decoder.decode(ahead, NOW_MS)


def test_a_trimmed_entry_must_not_come_here() -> None:
    with pytest.raises(AssertionError, match="1-0"):
        Decoder().decode(Entry("1-0", None), NOW_MS)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_near_the_interpreters_limit_is_accepted_or_rejected(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    verdicts = set()
    for depth in range(5, 1100, 5):
        nested = Text(opening * depth + "1" + closing * depth)
        for text in (payload(surplus=nested), payload(attributes={"21": 0}, surplus=nested)):
            try:
                decoded(text)
                verdicts.add("accepted")
            except Rejected as cause:
                assert cause.reason == Reason.PAYLOAD_NOT_JSON  # noqa: PT017
                verdicts.add("rejected")
        assert rejected(bag(f'"21":{nested}')).reason in {
            Reason.PAYLOAD_NOT_JSON,
            Reason.FIELD_TYPE,
            Reason.SENTINEL_UNKNOWN,
        }
    assert "accepted" in verdicts
