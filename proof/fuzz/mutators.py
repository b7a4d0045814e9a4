"""How one input becomes another: by its bytes, by the tree of its JSON, by pieces of others.

A mutator draws from the `chance` that it is given and from nothing else, so a seed makes the same
inputs again.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proof.fuzz import tree
from proof.fuzz.tree import Object, Token

INPUT_BYTES_MAX = 1_100_000
"""A little more than the mebibyte from which the decoder looks at nothing."""

DEPTH = 20_000
"""Deeper than any parser of ours or PostgreSQL's goes."""

SCRAPS = (
    b'"', b"{", b"}", b"[", b"]", b"\\", b",", b":", b"\0", b"\xff", b"\xc3\x28", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\\u0000", b"\\ud800", b"\\udfff", b"\\ud83d\\ude97",
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-0", b"1E-400", b"0x1", b"1_0", b"01", b"+1",
    b"null", b"true", b"\n", b"\x7f", b"\x1f", b" ", b"/**/", b"'", b"9" * 400, b"0." + b"0" * 400,
)  # fmt: skip

NUMBERS = (
    b"0", b"-0", b"-1", b"1", b"2", b"3", b"90", b"90.00000000000001", b"-90", b"180", b"-180.1",
    b"255", b"256", b"360", b"360.0000001", b"10000", b"10000.5", b"1e6", b"1000000.1", b"1.0",
    b"5.0", b"1e0", b"1e400", b"-1e400", b"1e-400", b"4.9e-324", b"NaN", b"Infinity",
    b"9007199254740993", b"18446744073709551616", b"-9223372036854775809", b"9" * 400,
    b"0.1000000000000000055511151231257827021181583404541015625", b"1e131073", b"1e200000",
    b"1e99999999999",
    b"0" + b"." + b"0" * 20_000 + b"1",
)  # fmt: skip

TEXTS = (
    "", "a", "\0", "\ud800", "\udfff", "\ud83d\ude97", "\U0001f697", "\x7f", "\x85", "\u2028", "č",
    "e\u0301", "\ufeff", "\uffff", "{", "}{", '"', "\\", "/", "[", "type", "Buffer", "data",
    "__bigint", "__buffer_b64", "__proto__", "239", "x" * 64, "x" * 65, "\U0001f697" * 64,
    "č" * 65, "x" * 70_000, "%s%n{0}", "'; DROP TABLE positions; --",
    "2026-05-04T10:11:12.345Z", "2026-05-04T10:11:12", "2026-W19-1T10:30Z", "20260504T101112,5Z",
    "2026-05-04T24:00:00Z", "2026-05-04T10:11:60Z", "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999-23:59", "0001-01-01T00:00:00+23:59", "1999-12-31T23:59:59.999Z",
    "2000-01-01T00:00:00Z", "2026-05-05T12:00:00.001Z", "2026-05-04t10:11:12z",
    "2026-05-04T10:11:12.1234567890123Z", "2026-05-04T10:11:12+02", "\u0662026-05-04T10:11:12Z",
    "subscribe", "unsubscribe", "event:6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "event:6F9619FF-8B86-D011-B42D-00CF4FC964FF", "event:", "batch", "single", "crossings",
)  # fmt: skip

SENTINELS = (
    b'{"__bigint":"9223372036854775807"}', b'{"__bigint":"-0"}',
    b'{"__bigint":"%b"}' % (b"9" * 100),
    b'{"__bigint":"%b"}' % (b"9" * 101), b'{"__bigint":1}', b'{"__bigint":"1.5"}',
    b'{"__bigint":"1","__bigint":"2"}', b'{"__bigint":"1","x":1}', b'{"__bigint":"\xd9\xa1"}',
    b'{"__bigint":"1\\n"}', b'{"\\u005f_bigint":"1"}', b'{"__buffer_b64":""}',
    b'{"__buffer_b64":"AQID"}', b'{"__buffer_b64":"AQ=="}', b'{"__buffer_b64":"AQ"}',
    b'{"__buffer_b64":"A==="}', b'{"__buffer_b64":"AR=="}', b'{"__buffer_b64":"A Q="}',
    b'{"__buffer_b64":"_-8="}', b'{"__buffer_b64":"AQ==\\n"}', b'{"__buffer_b64":null}',
    b'{"__bigint":"1","__buffer_b64":"AQ=="}', b'{"type":"Buffer","data":[1,2,255]}',
    b'{"type":"Buffer","data":[]}', b'{"data":[0],"type":"Buffer"}',
    b'{"type":"Buffer","data":[256]}', b'{"type":"Buffer","data":[1.0]}',
    b'{"type":"Buffer","data":[true]}', b'{"type":"Buffer","data":"AQ=="}', b'{"type":"Buffer"}',
    b'{"type":"Buffer","data":[1],"x":2}', b'{"type":"Blob","data":[1]}', b"{}", b"[]", b"[[]]",
    b'{"a":{"b":[1]}}',
)  # fmt: skip


NEAR: Mapping[str, Sequence[Token | str]] = {
    "device_id": ("", "x", "x" * 64, "x" * 65, "a\x1fb", "a\x7fb", "\x85", "\u200b"),
    "timestamp": (
        "1999-12-31T23:59:59.999Z", "2000-01-01T00:00:00Z", "2026-05-05T12:00:00Z",
        "2026-05-05T12:00:00.001Z", "2026-05-05T12:30:00Z", "2026-05-05T14:30:00+02:00",
        "2026-05-04T10:11:12", "2026-05-04T10:11:12.000000001Z",
    ),
    "latitude": tuple(Token(each) for each in (b"90", b"90.001", b"-90", b"-91", b"9e1", b"1e400")),
    "longitude": tuple(Token(each) for each in (b"180", b"180.001", b"-180", b"-181", b"NaN")),
    "altitude": tuple(Token(each) for each in (b"1e6", b"1000000.5", b"-1e6", b"-1000001")),
    "angle": tuple(Token(each) for each in (b"0", b"-0", b"-0.1", b"360", b"360.5", b"361")),
    "speed": tuple(Token(each) for each in (b"0", b"-1", b"10000", b"10000.5", b"10001")),
    "satellites": tuple(Token(each) for each in (b"0", b"-1", b"255", b"256", b"5.0", b"true")),
    "priority": tuple(Token(each) for each in (b"0", b"-1", b"2", b"3", b"1.0", b"false")),
    "history": tuple(Token(each) for each in (b"0", b"-1", b"200", b"201", b"1.0", b"1.5")),
}  # fmt: skip
"""Of members that we know, the values at their bounds, just within and just without."""


def mutate(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """One input made of another, by one to four changes."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        way = chance.random()
        if way < 0.7:
            data = _by_tree(data, others, chance)
        elif way < 0.9:
            data = _by_bytes(data, chance)
        else:
            data = _splice(data, chance.choice(others), chance)
    return data[:INPUT_BYTES_MAX]


# -- bytes


def _by_bytes(data: bytes, chance: random.Random) -> bytes:
    place = chance.randint(0, len(data))
    length = chance.choice((0, 0, 1, 1, 2, 4, 16))
    way = chance.randrange(6)
    if way == 0 and data:
        place = min(place, len(data) - 1)
        put = bytes([data[place] ^ 1 << chance.randrange(8)])
        length = 1
    elif way == 1:
        put = b""
    elif way == 2:
        put = data[place : place + length] * chance.choice((2, 3, 100))
    elif way == 3:
        put = chance.randbytes(chance.randint(1, 8))
    elif way == 4 and chance.random() < 0.05:
        put = chance.choice((b"[", b'{"":', b'{"\\u0000":')) * chance.choice((1_100, DEPTH))
    else:
        put = chance.choice(SCRAPS)
    return data[:place] + put + data[place + length :]


def _splice(data: bytes, other: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]
    begin = chance.randint(0, len(other))
    place = chance.randint(0, len(data))
    return data[:place] + other[begin : begin + chance.randint(1, 200)] + data[place:]


# -- trees


def _by_tree(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A change in the JSON that begins with the first brace, if it is JSON; else in its bytes."""
    start = data.find(b"{")
    if start < 0 or len(data) > 20_000:  # a tree of that size costs more than it finds
        return _by_bytes(data, chance)
    try:
        found = tree.read(data[start:])
    except (ValueError, RecursionError):
        return _by_bytes(data, chance)
    within = chance.choice(tree.containers(found))
    change = chance.choice(_OF_OBJECTS if isinstance(within, Object) else _OF_ARRAYS)
    change(within, others, chance)
    return data[:start] + tree.write(found, chance)


def _value(chance: random.Random) -> Any:
    way = chance.random()
    if way < 0.35:
        return Token(chance.choice(NUMBERS))
    if way < 0.65:
        return chance.choice(TEXTS)
    if way < 0.9:
        return Token(chance.choice(SENTINELS))
    if way < 0.98:
        return Token(chance.choice((b"null", b"true", b"false", b"undefined", b"", b"-")))
    opening, closing = chance.choice(((b"[", b"]"), (b'{"":', b"}")))
    depth = chance.choice((60, 900, 1_000, DEPTH))  # 900 of them are plain to the decoder
    return Token(opening * depth + b"1" + closing * depth)


def _replace(within: Object, others: Sequence[bytes], chance: random.Random) -> None:
    if within:
        place = chance.randrange(len(within))
        name = within[place][0]
        near = NEAR.get(name) if isinstance(name, str) and chance.random() < 0.6 else None
        within[place] = name, chance.choice(near) if near else _value(chance)


def _rename(within: Object, others: Sequence[bytes], chance: random.Random) -> None:
    if within:
        place = chance.randrange(len(within))
        within[place] = chance.choice(TEXTS), within[place][1]


def _double(within: Object, others: Sequence[bytes], chance: random.Random) -> None:
    if within:
        name, value = chance.choice(within)
        value = value if chance.random() < 0.3 else _value(chance)
        within.insert(chance.randint(0, len(within)), (name, value))


def _leave_out(within: list[Any], others: Sequence[bytes], chance: random.Random) -> None:
    if within:
        within.pop(chance.randrange(len(within)))


def _shuffle(within: list[Any], others: Sequence[bytes], chance: random.Random) -> None:
    chance.shuffle(within)


def _add(within: Object, others: Sequence[bytes], chance: random.Random) -> None:
    within.insert(chance.randint(0, len(within)), (chance.choice(TEXTS), _value(chance)))


def _fill(within: Object, others: Sequence[bytes], chance: random.Random) -> None:
    """As many members as a bag may have, or one more, or as many bytes."""
    if chance.random() < 0.1:
        count = chance.choice((999, 1000, 1001, 5000))
        within[:] = [(f"{number}", Token(b"1")) for number in range(count)]
    elif chance.random() < 0.1:
        within.append(("filler", "y" * (65_536 - chance.randint(0, 400))))
    else:
        _add(within, others, chance)


def _graft(within: Object, others: Sequence[bytes], chance: random.Random) -> None:
    """A member of another input."""
    other = chance.choice(others)
    try:
        found = tree.read(other[max(0, other.find(b"{")) :][:20_000])
    except (ValueError, RecursionError):
        return
    if isinstance(found, Object) and found:
        within.append(chance.choice(found))


def _exchange(within: list[Any], others: Sequence[bytes], chance: random.Random) -> None:
    if within:
        within[chance.randrange(len(within))] = _value(chance)
    else:
        within.append(_value(chance))


_Change = Callable[[Any, Sequence[bytes], random.Random], None]
_OF_OBJECTS: tuple[_Change, ...] = (
    _replace, _replace, _replace, _rename, _double, _leave_out, _shuffle, _add, _fill, _graft,
)  # fmt: skip
_OF_ARRAYS: tuple[_Change, ...] = (_exchange, _leave_out, _shuffle)
