"""From an entry to the Position in it, or to the reason why there is none.

Two gears. Nearly every payload is *plain*: short, ASCII, without escapes and without arrays. The
fast gear decodes those in one pass of msgspec into a struct whose annotations hold the ranges, and
leaves the attributes the bytes they are. It never rejects: whatever is not plain, or not acceptable
at first sight, goes to the slow gear. That one judges part by part in the contract's order, by the
same annotations, and either accepts what is good but unusual, or says which field is wrong and
what was expected. So the two cannot disagree about a value, and only those who need a sentence
pay for one.

Sentences hold no values: they are logged, and the log holds no coordinates.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from processor.core import payload_text, sentinels
from processor.core.errors import Reason, Rejected
from processor.core.model import Entry, Position
from processor.core.payload_text import kind

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD_MAX = timedelta(hours=24)
CODEC_CHARACTERS_MAX = 16
PLAIN_BYTES_MAX = 5000
"""Below this no bag has more than 1000 members (the shortest, `"":0,`, is 5 bytes) or 64 KiB."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USUAL_CODECS = {b"8": "8", b"8E": "8E", b"16": "16"}
_BACKSLASH, _BRACKET, _DELETE = b"\\[\x7f"


class _Payload(msgspec.Struct, frozen=True, gc=False):
    """What is accepted; unknown members are ignored, and of a doubled member the last counts."""

    device_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    altitude: Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
    angle: Annotated[float, msgspec.Meta(ge=0, le=360)]
    speed: Annotated[float, msgspec.Meta(ge=0, le=10_000)]
    satellites: Annotated[int, msgspec.Meta(ge=0, le=255)]
    priority: Annotated[int, msgspec.Meta(ge=0, le=2)]
    attributes: msgspec.Raw


_STRING, _INTEGER, _NUMBER = {"a string"}, {"an integer"}, {"an integer", "a decimal number"}
_EXPECTED = {
    "device_id": (_STRING, "a string of 1 to 64 characters without control characters"),
    "latitude": (_NUMBER, "a number from -90 to 90"),
    "longitude": (_NUMBER, "a number from -180 to 180"),
    "altitude": (_NUMBER, "a number from -1e6 to 1e6"),
    "angle": (_NUMBER, "a number from 0 to 360"),
    "speed": (_NUMBER, "a number from 0 to 10000"),
    "satellites": (_INTEGER, "an integer from 0 to 255"),
    "priority": (_INTEGER, "an integer from 0 to 2"),
}
# What ISO 8601 knows and msgspec, which reads RFC 3339, does not: basic forms, weeks, whole minutes
# or hours, a decimal comma. datetime.fromisoformat alone would let any letter stand for the T.
_ISO_8601 = re.compile(
    r"(?:\d{4}-\d\d-\d\d|\d{8}|\d{4}-?W\d\d-?\d)"
    r"[T ](?:[01]\d|2[0-3])(?::?[0-5]\d(?::?[0-5]\d(?:[.,]\d+)?)?)?"
    r"(?:Z|[+-]\d\d(?::?\d\d)?)",
    re.ASCII,
)

_payload = msgspec.json.Decoder(_Payload).decode
_text = msgspec.json.Decoder(str).decode
_fields = {
    field.encode_name: msgspec.json.Decoder(field.type).decode
    for field in msgspec.structs.fields(_Payload)
}


class Decoder:
    """Decodes entries. It keeps the end of the accepted time window from call to call, because
    all entries of a batch are judged by the same now."""

    __slots__ = ("_latest", "_now_ms")

    def __init__(self) -> None:
        self._now_ms = 0
        self._latest = _EPOCH + AHEAD_MAX

    def decode(self, entry: Entry, now_ms: int) -> Position:
        """The position in an entry. `now_ms` is our clock, milliseconds since the epoch.

        Raises Rejected, whose sentence names the field. An entry that was trimmed while pending
        holds nothing to judge and must not come here.
        """
        fields = entry.fields
        assert fields is not None, f"entry {entry.id} was trimmed: there is nothing to decode"
        if now_ms != self._now_ms:
            self._now_ms, self._latest = now_ms, _EPOCH + timedelta(milliseconds=now_ms) + AHEAD_MAX

        payload = fields.get(b"payload")
        codec = _USUAL_CODECS.get(fields.get(b"codec", b""))
        if (
            payload is None
            or codec is None
            or len(payload) >= PLAIN_BYTES_MAX
            or not payload.isascii()
            or _BACKSLASH in payload
            or _BRACKET in payload
            or _DELETE in payload
        ):
            return self._judge(payload, fields.get(b"codec"))
        try:
            plain = _payload(payload)
        except (msgspec.DecodeError, RecursionError):
            return self._judge(payload, fields.get(b"codec"))
        fixed_at = plain.timestamp
        bag = bytes(plain.attributes)
        if not bag.startswith(b"{") or not EARLIEST <= fixed_at <= self._latest:
            return self._judge(payload, fields.get(b"codec"))
        attributes = bag if bag.rfind(b"{") == 0 else sentinels.resolve_plain(bag)
        if attributes is None:
            return self._judge(payload, fields.get(b"codec"))
        if fixed_at.tzinfo is not UTC:
            fixed_at = fixed_at.astimezone(UTC)
        return Position(
            plain.device_id,
            fixed_at,
            plain.latitude,
            plain.longitude,
            plain.altitude,
            plain.angle,
            plain.speed,
            plain.satellites,
            plain.priority,
            codec,
            attributes,
        )

    def _judge(self, payload: bytes | None, codec: bytes | None) -> Position:
        """The slow gear: the entry's fields first, then the text, then member by member."""
        if payload is None:
            raise Rejected(Reason.PAYLOAD_MISSING, "the entry has no field payload")
        codec_text = _codec(codec)
        try:
            values = self._judge_members(payload_text.members(payload))
        except RecursionError:
            raise Rejected(Reason.PAYLOAD_NOT_JSON, "payload is nested too deep") from None
        return Position(codec=codec_text, **values)

    def _judge_members(self, members: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in _fields:
            if name not in members:
                raise Rejected(Reason.FIELD_MISSING, f"{name} is missing from the payload")
            raw = bytes(members[name])
            if name == "timestamp":
                values["fixed_at"] = self._fixed_at(raw)
            elif name == "attributes":
                values[name] = sentinels.resolve(raw)
            else:
                values[name] = _value(name, raw)
        return values

    def _fixed_at(self, raw: bytes) -> datetime:
        fixed_at = _instant(raw)
        if not EARLIEST <= fixed_at <= self._latest:
            raise Rejected(
                Reason.FIELD_RANGE,
                "timestamp must be from 2000-01-01 to 24 hours ahead of our clock, "
                f"and it is {'before' if fixed_at < EARLIEST else 'after'} that",
            )
        return fixed_at.astimezone(UTC)


def _codec(codec: bytes | None) -> str:
    if codec is None:
        raise Rejected(Reason.FIELD_MISSING, "the entry has no field codec")
    try:
        text = codec.decode()
    except UnicodeDecodeError:
        raise Rejected(Reason.TEXT_UNSTORABLE, "codec holds bytes that are not UTF-8") from None
    if "\0" in text:
        raise Rejected(Reason.TEXT_UNSTORABLE, "codec holds a NUL")
    if not 1 <= len(text) <= CODEC_CHARACTERS_MAX:
        raise Rejected(
            Reason.FIELD_RANGE,
            f"codec must have 1 to {CODEC_CHARACTERS_MAX} characters, and it has {len(text)}",
        )
    return text


def _value(name: str, raw: bytes) -> Any:
    """A member that its annotation judges, and device_id by its characters, too."""
    kinds, expected = _EXPECTED[name]
    if kind(raw) not in kinds:
        raise Rejected(Reason.FIELD_TYPE, f"{name} must be {expected}, not {kind(raw)}")
    try:
        value = _fields[name](raw)
    except msgspec.ValidationError:
        raise Rejected(Reason.FIELD_RANGE, f"{name} must be {expected}") from None
    if name == "device_id" and any(unicodedata.category(letter) == "Cc" for letter in value):
        raise Rejected(Reason.FIELD_RANGE, f"{name} must be {expected}")
    return value


def _instant(raw: bytes) -> datetime:
    """A timestamp as msgspec reads it, or else in any other form that ISO 8601 has."""
    try:
        return _fields["timestamp"](raw)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        pass
    text = _text(raw) if raw.startswith(b'"') else None
    try:
        if text is not None and _ISO_8601.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass  # the form is right, and there is no such day: said below
    raise Rejected(
        Reason.FIELD_TYPE,
        "timestamp must be an ISO-8601 date and time with Z or an offset"
        + (f", not {kind(raw)}" if text is None else ""),
    )
