"""JSON as it stands in a text: doubled members, numbers with all their digits, rubbish as it is.

`json` would make one member of two and another number of 1.00; a fuzzer needs both as they are.
"""

import json
import random
from typing import Any

from attrs import frozen


@frozen
class Token:
    """Text that is written as it is: a number, a word, or what is no JSON at all."""

    text: bytes


class Object(list[tuple[Any, Any]]):
    """An object's members, in their order, doubled ones included: pairs of a name (str or Token)
    and a value (Object, list, str or Token)."""


def _token(text: str) -> Token:
    return Token(text.encode())


_DECODER = json.JSONDecoder(
    parse_float=_token, parse_int=_token, parse_constant=_token, object_pairs_hook=Object
)
_WORDS = {None: Token(b"null"), True: Token(b"true"), False: Token(b"false")}


def read(text: bytes) -> Any:
    """The tree of a JSON text. Raises ValueError or RecursionError where it is none."""
    return _words(_DECODER.decode(text.decode()))


def _words(value: Any) -> Any:
    if isinstance(value, Object):
        return Object((name, _words(inner)) for name, inner in value)
    if isinstance(value, list):
        return [_words(inner) for inner in value]
    return _WORDS[value] if value is None or isinstance(value, bool) else value


def write(tree: Any, chance: random.Random) -> bytes:
    """The tree as JSON text, mostly as JSON.stringify writes it, at times with blanks or escapes.
    Text that UTF-8 cannot hold is escaped, or stands there as bytes that are not UTF-8."""
    parts: list[bytes] = []
    gap = chance.choice((b"", b"", b"", b" ", b"\n\t"))
    escaped = chance.random() < 0.2
    _put(tree, parts, gap, escaped)
    return b"".join(parts)


def _put(value: Any, parts: list[bytes], gap: bytes, escaped: bool) -> None:
    if isinstance(value, Token):
        parts.append(value.text)
    elif isinstance(value, str):
        text = json.dumps(value, ensure_ascii=escaped)
        parts.append(text.encode(errors="surrogatepass"))
    elif isinstance(value, Object):
        parts.append(b"{" + gap)
        for place, (name, inner) in enumerate(value):
            if place:
                parts.append(b"," + gap)
            _put(name, parts, gap, escaped)
            parts.append(b":" + gap)
            _put(inner, parts, gap, escaped)
        parts.append(gap + b"}")
    else:
        parts.append(b"[" + gap)
        for place, inner in enumerate(value):
            if place:
                parts.append(b"," + gap)
            _put(inner, parts, gap, escaped)
        parts.append(gap + b"]")


def containers(tree: Any) -> list[Any]:
    """Every object and array in a tree, the outermost first."""
    found = [tree] if isinstance(tree, list) else []
    for each in found:
        inner = (pair[1] for pair in each) if isinstance(each, Object) else each
        found.extend(value for value in inner if isinstance(value, list))
    return found
