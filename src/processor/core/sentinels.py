"""The bag of IO values: what may be in it, and how a sentinel becomes plain JSON.

JSON as the producer writes it has no integers beyond 2^53 and no bytes, so those travel as small
objects (sentinels). In `jsonb` the first is a decimal string and the second a base64 string.
Whatever else is in the bag stays the text it is: a number is never read as a float and written
back, because 9007199254740993 or 0.1000000000000000055 would come back as another number.

`resolve_plain` knows what the producer's JSON.stringify writes and costs a microsecond; `resolve`
knows everything, and is the one that says what is wrong.
"""

import base64
import re
from typing import Annotated

import msgspec

from processor.core.errors import Reason, Rejected
from processor.core.payload_text import kind, shown

MEMBERS_MAX = 1000
BYTES_MAX = 64 * 1024  # of JSON text as it arrived; both bounds are the contract's

_DECIMAL = r"-?[0-9]{1,100}"
# Four characters at a time, the last ones padded. Bits that the padding leaves over are not
# judged: the bytes are the same whatever they are.
_BASE64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
# What follows a sentinel's opening brace, as JSON.stringify writes it.
_plain_sentinel = re.compile(
    rf'(?:"__bigint":("{_DECIMAL}")|"__buffer_b64":("{_BASE64}"))\}}'.encode()
).match
_TEXT_SENTINELS = {
    "__bigint": (re.compile(_DECIMAL), "a decimal of 1 to 100 digits"),
    "__buffer_b64": (re.compile(_BASE64), "padded base64"),
}

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_octets = msgspec.json.Decoder(list[Annotated[int, msgspec.Meta(ge=0, le=255)]]).decode
_encode = msgspec.json.Encoder().encode


def resolve_plain(bag: bytes) -> bytes | None:
    """The bag with its sentinels resolved, or None if it needs to be looked at closely.

    `bag` is valid JSON of an object, without backslashes. Then a quote always begins or ends a
    string, so a brace with a sentinel's members and nothing else behind it cannot be the inside of
    a string; and a brace with anything else behind it is left to `resolve`.
    """
    before, *pieces = bag[1:].split(b"{")
    resolved = [b"{", before]
    for piece in pieces:
        found = _plain_sentinel(piece)
        if found is None:
            return None
        resolved += found[found.lastindex or 0], piece[found.end() :]
    return b"".join(resolved)


def resolve(bag: bytes) -> bytes:
    """The bag with its sentinels resolved, each member once (of a doubled one the last).

    `bag` is one valid JSON value in UTF-8, without white space around it. Raises Rejected.
    """
    if not bag.startswith(b"{"):
        raise Rejected(Reason.FIELD_TYPE, f"attributes must be an object, not {kind(bag)}")
    if len(bag) > BYTES_MAX:
        raise Rejected(
            Reason.TOO_LARGE,
            f"attributes must be at most {BYTES_MAX} bytes of JSON, and they are {len(bag)}",
        )
    members = _members(bag)
    if len(members) > MEMBERS_MAX:
        raise Rejected(
            Reason.TOO_LARGE,
            f"attributes must have at most {MEMBERS_MAX} members, and they have {len(members)}",
        )
    return b"{%b}" % b",".join(
        b"%b:%b" % (_encode(name), _value(name, bytes(raw))) for name, raw in members.items()
    )


def _value(name: str, raw: bytes) -> bytes:
    if raw.startswith(b"["):
        raise Rejected(
            Reason.FIELD_TYPE,
            f"attributes[{shown(name)}] must be a number, string, boolean, null or sentinel, "
            "not an array",
        )
    return _encode(_sentinel(name, raw)) if raw.startswith(b"{") else raw


def _sentinel(name: str, raw: bytes) -> str:
    members = _members(raw)
    for key, (pattern, expected) in _TEXT_SENTINELS.items():
        if key in members:
            value = bytes(members[key])
            if len(members) == 1 and kind(value) == "a string" and pattern.fullmatch(_text(value)):
                return _text(value)
            raise Rejected(
                Reason.SENTINEL_MALFORMED,
                f"attributes[{shown(name)}] must be {key} with {expected} and nothing else",
            )
    node_type = bytes(members.get("type", b"null"))
    if kind(node_type) == "a string" and _text(node_type) == "Buffer":
        return _buffer(name, members)
    raise Rejected(
        Reason.SENTINEL_UNKNOWN,
        f"attributes[{shown(name)}] is an object, and none of the sentinels "
        "__bigint, __buffer_b64 and Buffer",
    )


def _buffer(name: str, members: dict[str, msgspec.Raw]) -> str:
    if members.keys() == {"type", "data"}:
        try:
            return base64.b64encode(bytes(_octets(members["data"]))).decode()
        except msgspec.ValidationError:
            pass  # not octets: said below
    raise Rejected(
        Reason.SENTINEL_MALFORMED,
        f"attributes[{shown(name)}] must be a Buffer with data of integers 0 to 255 "
        "and nothing else",
    )
