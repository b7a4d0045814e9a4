"""A payload's text: is it JSON, can it be stored, and which members has it.

PostgreSQL stores neither NUL nor lone surrogates nor bytes that are not UTF-8, wherever they stand,
in a name or a value, in a member that nobody reads or in one that a later one of the same name
replaces. JSON's grammar allows the first two as escapes. msgspec reads a NUL, calls a surrogate
malformed, and skips over bytes that are not UTF-8; so a payload with a trace of any of them is read
once more by the standard library, which lets all three pass, and they are looked for in what comes
out. This is slow, and rare.
"""

import json
import re
from typing import Any, NoReturn

import msgspec

from processor.core.errors import Reason, Rejected

BYTES_MAX = 1024 * 1024
"""A payload is some 500 bytes; a mebibyte is far beyond any, and still read in milliseconds."""
_NAME_SHOWN_MAX = 40  # characters of a name in a sentence: a device may send any text as one

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_UNSTORABLE_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")  # or half of a good pair
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_any_json = msgspec.json.Decoder(msgspec.Raw).decode


def members(payload: bytes) -> dict[str, msgspec.Raw]:
    """The members of a payload, each valid, storable JSON; of a doubled one the last.

    Raises Rejected: too-large, text-unstorable, payload-not-json, field-type (not an object);
    RecursionError where it is nested too deep for the interpreter.
    """
    if len(payload) > BYTES_MAX:
        raise Rejected(
            Reason.TOO_LARGE,
            f"payload must be at most {BYTES_MAX} bytes, and it is {len(payload)}",
        )
    try:
        _refuse_unstorable(payload)
        return _object(payload)
    except msgspec.ValidationError:
        raise Rejected(
            Reason.FIELD_TYPE, f"payload must be an object, not {kind(payload.lstrip())}"
        ) from None
    except ValueError as error:  # msgspec's and the standard library's way of saying malformed
        raise Rejected(Reason.PAYLOAD_NOT_JSON, f"payload is not JSON: {error}") from None


def _object(payload: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _members(payload)
    except msgspec.ValidationError:
        _any_json(payload)  # told by its first letter: behind it there may be anything
        raise


def _refuse_unstorable(payload: bytes) -> None:
    try:
        payload.decode()
        utf8 = True
    except UnicodeDecodeError:
        utf8 = False
    if utf8 and not _UNSTORABLE_ESCAPE.search(payload):
        return
    # Bytes that are not UTF-8 become lone surrogates, so that one search finds all there is.
    try:
        place = _unstorable_place(_EVERYTHING.decode(payload.decode(errors="surrogateescape")))
    except ValueError:
        if utf8:
            raise
        place = "payload"
    if place is not None:
        raise Rejected(
            Reason.TEXT_UNSTORABLE,
            f"{place} holds a NUL, a lone surrogate or bytes that are not UTF-8",
        )


def _unstorable_place(tree: Any) -> str | None:
    """Where in a payload, read by `_EVERYTHING`, there is text that cannot be stored."""
    waiting = [("payload", tree)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str) and _UNSTORABLE.search(value):
            return place
        if isinstance(value, list):
            waiting.extend((place, inner) for inner in value)
        elif isinstance(value, tuple):
            for name, inner in value:
                if _UNSTORABLE.search(name):
                    return f"a member's name in {place}"
                waiting.append((_within(place, name), inner))
    return None


def _within(place: str, name: str) -> str:
    if place == "payload":
        is_plain = name.isidentifier() and name.isascii() and len(name) <= _NAME_SHOWN_MAX
        return name if is_plain else shown(name)
    return f"attributes[{shown(name)}]" if place == "attributes" else place


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


# Numbers stay text (they are not looked at), objects become tuples of pairs, so that no member
# hides behind another of the same name.
_EVERYTHING = json.JSONDecoder(
    parse_float=str, parse_int=str, parse_constant=_refuse_constant, object_pairs_hook=tuple
)

_KINDS = {
    b'"': "a string",
    b"{": "an object",
    b"[": "an array",
    b"t": "a boolean",
    b"f": "a boolean",
    b"n": "null",
}
_NOT_INTEGER = re.compile(rb"[.eE]")


def kind(raw: bytes) -> str:
    """What sort of value a JSON text holds, with its article, for a sentence."""
    return _KINDS.get(raw[:1]) or ("a decimal number" if _NOT_INTEGER.search(raw) else "an integer")


def shown(name: str) -> str:
    """A name that came from outside, as it may stand in a sentence: short, quoted, ASCII."""
    return ascii(name if len(name) <= _NAME_SHOWN_MAX else name[:_NAME_SHOWN_MAX] + "...")
