"""What is said over /ws-live: classes, texts put together from bytes, and what is refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processor.core.live.messages import (
    HISTORY_MAX,
    Answer,
    Code,
    ErrorMessage,
    Fix,
    NotUnderstood,
    PositionFrame,
    PositionsFrame,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    epoch_ms,
    event_of,
    fix_of,
    fix_text,
    kind_of,
    position_text,
    positions_text,
    read_command,
    text_of,
    topic_of,
)
from processor.core.model import Position

EVENT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
TOPIC = f"event:{EVENT}"
AT = datetime(2026, 6, 7, 8, 0, 0, 123_999, tzinfo=UTC)
AT_MS = 1_780_819_200_123


def position(**values: Any) -> Position:
    usual = Position("356307042441013", AT, 41.5, 19.25, 3.0, 271.0, 63.5, 9, 0, "8E", b'{"239":1}')
    return msgspec.structs.replace(usual, **values)


# -- what a client says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"type":"subscribe","topic":"t"}', Subscribe("t")),
        ('{"type":"subscribe","topic":"t","id":"7"}', Subscribe("t", "7")),
        ('{"type":"subscribe","topic":"t","id":""}', Subscribe("t", "")),
        ('{"type":"subscribe","topic":"t","attributes":true}', Subscribe("t", attributes=True)),
        ('{"type":"subscribe","topic":"t","frames":"batch"}', Subscribe("t", frames="batch")),
        ('{"type":"subscribe","topic":"t","frames":"single"}', Subscribe("t")),
        ('{"type":"subscribe","topic":"t","history":200}', Subscribe("t", history=HISTORY_MAX)),
        (
            '{"type":"subscribe","topic":"t","include":["crossings","results","course"]}',
            Subscribe("t", include=("crossings", "results", "course")),
        ),
        ('{"topic":"t","later":{"version":[1]},"type":"subscribe"}', Subscribe("t")),
        ('{"type":"unsubscribe","topic":"t"}', Unsubscribe("t")),
        ('{"type":"unsubscribe","topic":"t","id":"ä\\""}', Unsubscribe("t", 'ä"')),
    ],
)
def test_a_command_is_read(text: str, command: Subscribe | Unsubscribe) -> None:
    assert read_command(text) == command
    assert read_command(msgspec.json.encode(command).decode()) == command


@pytest.mark.parametrize(
    "member",
    [
        '"history":-1',
        '"history":201',
        '"history":1.5',
        '"history":"1"',
        '"attributes":1',
        '"attributes":null',
        '"frames":"both"',
        '"frames":null',
        '"include":"results"',
        '"include":["weather"]',
    ],
)
def test_what_no_member_may_be_is_not_understood_and_named(member: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        read_command(f'{{"type":"subscribe","topic":"t","id":"7",{member}}}')
    assert (caught.value.topic, caught.value.id) == ("t", "7")
    name = json.loads(f"{{{member}}}").popitem()[0]
    assert f"$.{name}" in caught.value.sentence


@pytest.mark.parametrize(
    ("text", "topic", "request_id"),
    [
        ('{"type":"explode","topic":"t","id":"7"}', "t", "7"),
        ('{"topic":"t","id":"7"}', "t", "7"),
        ('{"type":"subscribe","id":"7"}', None, "7"),
        ('{"type":"subscribe","topic":5,"id":"7"}', None, "7"),
        ('{"type":"subscribe","topic":"t","id":7}', "t", None),
        ('{"type":"subscribe","topic":null,"id":null}', None, None),
        ('{"type":"subscribe","topic":"t","id":"7"', None, None),
        ('["subscribe","t"]', None, None),
        ('"subscribe"', None, None),
        ("", None, None),
        ('{"type":"subscribe","topic":"t","id":"7","x":' + "[" * 8000, None, None),
        ('{"type":"subscribe","topic":"t","id":"\\ud800"}', None, None),
    ],
)
def test_a_broken_message_is_answered_by_topic_and_id_where_they_can_be_read(
    text: str, topic: str | None, request_id: str | None
) -> None:
    with pytest.raises(NotUnderstood) as caught:
        read_command(text)
    assert (caught.value.topic, caught.value.id) == (topic, request_id)
    assert caught.value.sentence


VALID = [
    f'{{"type":"subscribe","topic":"{TOPIC}","id":"7","attributes":true,"frames":"batch"}}',
    f'{{"type":"subscribe","topic":"{TOPIC}","history":50,"include":["results"]}}',
    f'{{"type":"unsubscribe","topic":"{TOPIC}","id":"\\u00e4"}}',
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A valid message with a few characters struck out, put in or changed."""
    text = draw(st.sampled_from(VALID))
    pieces = st.one_of(
        st.text(max_size=3),
        st.sampled_from(['"', "{", "}", "[", "]", "\\", ",", ":", "\\ud800", "null", "1e999"]),
        st.sampled_from(['"id":{},', '"topic":[],', '"type":"', "\0", "\x7f", "\ufeff"]),
    )
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(pieces) + text[place + draw(st.integers(0, 4)) :]
    return text


@given(st.one_of(st.text(), st.text(st.characters()), damaged()))
@example("[" * 16_384)
@example('{"a":' * 3_000)
@example('{"type":"subscribe","topic":' + "[" * 16_000)
@example("\ud800")
@example('{"type":"subscribe","topic":"t","id":"\udfff"}')
def test_whatever_comes_a_command_or_not_understood_comes_out(text: str) -> None:
    try:
        command = read_command(text)
    except NotUnderstood as error:
        answer: Answer = ErrorMessage(Code.BAD_MESSAGE, error.sentence, error.topic, error.id)
    else:
        answer = Unsubscribed(command.topic, command.id)
    said = json.loads(text_of(answer))  # it can be answered, whatever was in it
    assert (said.get("topic"), said.get("id")) == (answer.topic, answer.id)


@pytest.mark.parametrize(
    "topic",
    [
        "event:",
        EVENT,
        f"event:{EVENT.upper()}",
        f"Event:{EVENT}",
        f" event:{EVENT}",
        f"event:{EVENT}\n",
        f"event:{EVENT}/x",
        f"event:{{{EVENT}}}",
        f"event:{EVENT.replace('-', '')}",
        f"event:{EVENT[:-1]}٣",  # a digit, and not one of ours
        f"entry:{EVENT}",
    ],
)
def test_a_topic_that_is_not_an_event_and_a_uuid_names_no_event(topic: str) -> None:
    assert event_of(topic) is None


@given(st.uuids())
def test_a_topic_names_its_event(event_id: Any) -> None:
    assert event_of(topic_of(str(event_id))) == str(event_id)


# -- what the server says --------------------------------------------------------------------------

FIX = Fix("1", 41.5, 19.25, AT_MS, 63.5, 271.0, msgspec.Raw(b'{"239":1}'))
STILL = Fix("ü", -1.0, 0.0, AT_MS)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (FIX, {"deviceId": "1", "lat": 41.5, "lon": 19.25, "ts": AT_MS, "speed": 63.5,
               "course": 271.0, "attributes": {"239": 1}}),
        (STILL, {"deviceId": "ü", "lat": -1.0, "lon": 0.0, "ts": AT_MS}),
        (Subscribed(TOPIC, [STILL], 5), {"type": "subscribed", "topic": TOPIC, "serverTime": 5,
         "snapshot": [{"deviceId": "ü", "lat": -1.0, "lon": 0.0, "ts": AT_MS}]}),
        (Subscribed(TOPIC, [], 5, ""), {"type": "subscribed", "topic": TOPIC, "snapshot": [],
         "serverTime": 5, "id": ""}),
        (Subscribed(TOPIC, [], 5, trails={}), {"type": "subscribed", "topic": TOPIC,
         "snapshot": [], "serverTime": 5, "trails": {}}),
        (Subscribed(TOPIC, [], 5, "7", {"1": [STILL]}), {"type": "subscribed", "topic": TOPIC,
         "snapshot": [], "serverTime": 5, "id": "7",
         "trails": {"1": [{"deviceId": "ü", "lat": -1.0, "lon": 0.0, "ts": AT_MS}]}}),
        (PositionFrame("1", 0.0, 0.0, 0, topic=TOPIC), {"type": "position", "topic": TOPIC,
         "deviceId": "1", "lat": 0.0, "lon": 0.0, "ts": 0}),
        (PositionsFrame(TOPIC, []), {"type": "positions", "topic": TOPIC, "positions": []}),
        (PositionsFrame(TOPIC, [STILL]), {"type": "positions", "topic": TOPIC,
         "positions": [{"deviceId": "ü", "lat": -1.0, "lon": 0.0, "ts": AT_MS}]}),
        (Unsubscribed(TOPIC), {"type": "unsubscribed", "topic": TOPIC}),
        (Unsubscribed(TOPIC, "7"), {"type": "unsubscribed", "topic": TOPIC, "id": "7"}),
        (ErrorMessage(Code.NOT_FOUND, "no", TOPIC, "7"), {"type": "error", "code": "not-found",
         "message": "no", "topic": TOPIC, "id": "7"}),
        (ErrorMessage(Code.RATE_LIMITED, "slower"), {"type": "error", "code": "rate-limited",
         "message": "slower"}),
    ],
)  # fmt: skip
def test_a_message_is_these_members_and_no_others_and_comes_back(
    message: Fix | PositionsFrame | Answer, said: dict[str, Any]
) -> None:
    text = msgspec.json.encode(message)
    assert json.loads(text) == said
    assert json.loads(msgspec.json.encode(msgspec.json.decode(text, type=type(message)))) == said


@pytest.mark.parametrize(
    "message",
    [Subscribed(TOPIC, [], 5), Unsubscribed(TOPIC), ErrorMessage(Code.ERROR, "no")],
    ids=kind_of,
)
def test_the_kind_of_an_answer_is_its_type_on_the_wire(message: Answer) -> None:
    assert json.loads(text_of(message))["type"] == kind_of(message)


def test_a_fix_is_a_position_in_the_units_of_the_wire() -> None:
    assert json.loads(fix_text(position(), attributes=True)) == {
        "deviceId": "356307042441013",
        "lat": 41.5,
        "lon": 19.25,
        "ts": AT_MS,
        "speed": 63.5,
        "course": 271.0,
        "attributes": {"239": 1},
    }


def test_speed_and_course_are_left_out_when_they_are_0_and_place_is_not() -> None:
    still = position(latitude=0.0, longitude=0.0, speed=0.0, angle=-0.0)
    assert json.loads(fix_text(still, attributes=False)) == {
        "deviceId": "356307042441013",
        "lat": 0.0,
        "lon": 0.0,
        "ts": AT_MS,
    }


def test_an_empty_bag_is_sent_where_attributes_were_asked_for() -> None:
    assert json.loads(fix_text(position(attributes=b"{}"), attributes=True))["attributes"] == {}


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_milliseconds_are_counted_downward(naive: datetime) -> None:
    instant = naive.replace(tzinfo=UTC)
    back = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=epoch_ms(instant))
    assert timedelta(0) <= instant - back < timedelta(milliseconds=1)


# -- the texts put together from bytes -------------------------------------------------------------

device_ids = st.one_of(
    st.from_regex(r"[0-9]{15}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=64),
    st.sampled_from(['"', '\\"}', "ü", "€", "😀", "\u2028", "%s%b", "},{"]),
)
bags = st.dictionaries(
    st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.booleans()), max_size=3
).map(lambda bag: json.dumps(bag, ensure_ascii=False).encode(errors="replace"))
positions = st.builds(
    Position,
    device_id=device_ids,
    fixed_at=st.datetimes(
        datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)  # noqa: DTZ001
    ),
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    altitude=st.just(0.0),
    angle=st.floats(0, 360),
    speed=st.floats(0, 10_000),
    satellites=st.just(9),
    priority=st.integers(0, 2),
    codec=st.just("8"),
    attributes=bags,
)  # fmt: skip


def plain(fix: Fix) -> dict[str, Any]:
    return json.loads(msgspec.json.encode(fix))  # type: ignore[no-any-return]


@given(positions, st.booleans())
def test_the_text_of_a_position_is_that_of_its_class(one: Position, attributes: bool) -> None:
    text = position_text(EVENT, fix_text(one, attributes=attributes))
    frame = msgspec.json.decode(text, type=PositionFrame)
    assert frame.topic == TOPIC
    assert json.loads(text) == {
        "type": "position",
        "topic": TOPIC,
        **plain(fix_of(one, attributes=attributes)),
    }
    assert json.loads(msgspec.json.encode(frame)) == json.loads(text)


@given(st.lists(positions, max_size=4), st.booleans())
def test_the_text_of_positions_is_that_of_its_class(many: list[Position], attributes: bool) -> None:
    text = positions_text(EVENT, [fix_text(one, attributes=attributes) for one in many])
    whole = PositionsFrame(TOPIC, [fix_of(one, attributes=attributes) for one in many])
    assert text == msgspec.json.encode(whole)
