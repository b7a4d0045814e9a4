"""What is said over `/ws-live`, as classes: docs/asyncapi.yaml is made of them, and a test holds
the two equal.

A fix is turned into text once, however many browsers see it: `fix_text` makes the object, and the
frames around it are put together from bytes. A test compares them with the classes.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from processor.core.model import Position

HISTORY_MAX = 200
"""Fixes of a trail: what a map draws behind a car; at 1 Hz three minutes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TOPIC = re.compile(r"event:([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")

Topic = Annotated[
    str,
    msgspec.Meta(
        description="event:<uuid>, in lower case",
        examples=["event:6f9619ff-8b86-d011-b42d-00cf4fc964ff"],
    ),
]
Milliseconds = Annotated[int, msgspec.Meta(description="milliseconds since 1970-01-01 UTC")]
RequestId = Annotated[
    str | None, msgspec.Meta(description="any string; echoed in the answer whenever it was given")
]


# ---- what a client says


class Subscribe(msgspec.Struct, frozen=True, tag_field="type", tag="subscribe"):
    """Ask for an event: first its snapshot, then what moves."""

    topic: Topic
    id: RequestId = None
    attributes: Annotated[
        bool, msgspec.Meta(description="send the raw attributes with each fix")
    ] = False
    frames: Annotated[
        Literal["single", "batch"],
        msgspec.Meta(description="a message for each position, or one for all that moved lately"),
    ] = "single"
    history: Annotated[
        int, msgspec.Meta(ge=0, le=HISTORY_MAX, description="fixes of each device's trail")
    ] = 0
    include: Annotated[
        tuple[Literal["crossings", "results", "course"], ...],
        msgspec.Meta(description="racing frames; not in this version, and refused"),
    ] = ()


class Unsubscribe(msgspec.Struct, frozen=True, tag_field="type", tag="unsubscribe"):
    """Ask for no more of an event."""

    topic: Topic
    id: RequestId = None


Command = Subscribe | Unsubscribe


# ---- what the server says


class Fix(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Where a device was. `deviceId` is its IMEI."""

    device_id: str
    lat: Annotated[float, msgspec.Meta(description="degrees WGS 84")]
    lon: Annotated[float, msgspec.Meta(description="degrees WGS 84")]
    ts: Annotated[Milliseconds, msgspec.Meta(description="GPS time of the fix, milliseconds")]
    speed: Annotated[
        float | msgspec.UnsetType, msgspec.Meta(description="km/h; left out when 0")
    ] = msgspec.UNSET
    course: Annotated[
        float | msgspec.UnsetType, msgspec.Meta(description="degrees; left out when 0")
    ] = msgspec.UNSET
    attributes: Annotated[
        msgspec.Raw | msgspec.UnsetType,
        msgspec.Meta(
            description="the raw IO bag; only where the subscribe asked for it",
            extra_json_schema={"type": "object"},
        ),
    ] = msgspec.UNSET


class Subscribed(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename="camel",
    tag="subscribed",
    tag_field="type",
):
    """The answer to a subscribe: the newest fix of each device of the event."""

    topic: Topic
    snapshot: Sequence[Fix]
    server_time: Milliseconds
    id: RequestId = None
    trails: Annotated[
        Mapping[str, Sequence[Fix]] | msgspec.UnsetType,
        msgspec.Meta(description="by deviceId, from old to new; only where history was asked for"),
    ] = msgspec.UNSET


class PositionFrame(
    Fix,
    frozen=True,
    omit_defaults=True,
    rename="camel",
    tag="position",
    tag_field="type",
    kw_only=True,
):
    """A device moved."""

    topic: Topic


class PositionsFrame(msgspec.Struct, frozen=True, tag="positions", tag_field="type"):
    """The newest fix of each device that moved since the last such frame."""

    topic: Topic
    positions: Sequence[Fix]


class Unsubscribed(
    msgspec.Struct, frozen=True, omit_defaults=True, tag="unsubscribed", tag_field="type"
):
    """The answer to an unsubscribe: nothing more of that event follows."""

    topic: Topic
    id: RequestId = None


class Code(StrEnum):
    """Why something was refused: a closed set."""

    BAD_MESSAGE = "bad-message"
    UNKNOWN_TOPIC = "unknown-topic"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    RATE_LIMITED = "rate-limited"
    TOO_MANY_SUBSCRIPTIONS = "too-many-subscriptions"
    UNAVAILABLE = "unavailable"
    ERROR = "error"


class ErrorMessage(msgspec.Struct, frozen=True, omit_defaults=True, tag="error", tag_field="type"):
    """Something was refused, or has ended. `message` is a sentence for whoever writes clients."""

    code: Code
    message: str
    topic: str | None = None
    id: RequestId = None


Answer = Subscribed | Unsubscribed | ErrorMessage

CLIENT_SAYS = (Subscribe, Unsubscribe)
SERVER_SAYS = (Subscribed, PositionFrame, PositionsFrame, Unsubscribed, ErrorMessage)
"""All messages, for whoever documents them."""

CLOSE_CODES: Mapping[int, str] = {
    1003: "not text",
    1009: "too big",
    1011: "internal error, or no pong",
    1012: "restarting",
    1013: "try again later",
    4400: "bad message, the third",
    4401: "session ended",
    4403: "forbidden, too often",
    4429: "too many messages",
    4499: "too slow",
}
"""Why a connection is closed by us, besides what RFC 6455 says of broken frames (1002, 1007)."""


class NotUnderstood(Exception):
    """A message that is none of ours. `topic` and `id` are those it named, if it did."""

    def __init__(self, sentence: str, topic: str | None, request_id: str | None) -> None:
        super().__init__(sentence)
        self.sentence, self.topic, self.id = sentence, topic, request_id


_command: Callable[[str], Command] = msgspec.json.Decoder(Command).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


def read_command(text: str) -> Command:
    """What a client asks for; unknown members are ignored. Raises NotUnderstood."""
    try:
        return _command(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        topic, request_id = _named(text)
        raise NotUnderstood(f"not a message of ours: {error}", topic, request_id) from None


def _named(text: str) -> tuple[str | None, str | None]:
    """Topic and id of a broken message, as far as they can be read."""
    try:
        members = _object(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None, None

    def named(member: str) -> str | None:
        try:
            return _string(members[member])
        except (KeyError, msgspec.DecodeError):
            return None

    return named("topic"), named("id")


def event_of(topic: str) -> str | None:
    """The event's id in `event:<uuid>`; None where the topic is something else."""
    found = _TOPIC.fullmatch(topic)
    return found[1] if found else None


def topic_of(event_id: str) -> str:
    return f"event:{event_id}"


def epoch_ms(instant: datetime) -> int:
    """Milliseconds since the epoch, downward."""
    return (instant - _EPOCH) // _MILLISECOND


def fix_of(position: Position, *, attributes: bool) -> Fix:
    return Fix(
        position.device_id,
        position.latitude,
        position.longitude,
        epoch_ms(position.fixed_at),
        position.speed or msgspec.UNSET,
        position.angle or msgspec.UNSET,
        msgspec.Raw(position.attributes) if attributes else msgspec.UNSET,
    )


def fix_text(position: Position, *, attributes: bool) -> bytes:
    """A fix as JSON."""
    return _encode(fix_of(position, attributes=attributes))


def position_text(event_id: str, fix: bytes) -> bytes:
    """The PositionFrame of a fix that is text already."""
    return b'{"type":"position","topic":"event:%b",%b' % (event_id.encode(), fix[1:])


def positions_text(event_id: str, fixes: Iterable[bytes]) -> bytes:
    """The PositionsFrame of fixes that are text already."""
    head = b'{"type":"positions","topic":"event:%b","positions":[' % event_id.encode()
    return b"".join((head, b",".join(fixes), b"]}"))


def text_of(message: Answer) -> bytes:
    return _encode(message)


def kind_of(message: Answer) -> str:
    """Its `type` on the wire."""
    return str(message.__struct_config__.tag)
