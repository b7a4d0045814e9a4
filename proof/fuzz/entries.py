"""Target: an entry of the stream, into the decoder.

An input is `codec LF payload`; without a line feed it is a codec alone, or, where it begins with a
brace, a payload alone.
"""

import re
import time
import tracemalloc
from datetime import timedelta
from typing import Any

from processor.core.decode import Decoder
from processor.core.errors import Rejected
from processor.core.model import Entry, Position
from proof.fuzz import Broken
from proof.fuzz import judge as contract
from proof.fuzz import seeds as known
from proof.fuzz.seeds import NOW_MS

NAME = "entries"

CPU_S = 0.05
"""For 64 KiB begun, of the process's own time. The worst that is known takes a tenth: a payload
with one escape is read twice."""

MEMORY = 64
"""Bytes for a byte of input at most. An empty list is two bytes of JSON and 64 of Python, with its
place in the list around it."""

MEMORY_FREE = 1 << 20
"""What any input may take: a mebibyte is nothing, and the interpreter's own caches grow in it."""

SENTENCE_MAX = 600
"""Letters of a sentence: forty of a name, each at most ten as an escape, and what is said of it."""

PADDING = b" " * 5000
"""Blanks that change nothing, but take a payload past the size that the fast gear looks at."""

_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\d+|attributes\[.*?\]|\(.*\)")

_PLACE = re.compile(r"\b(\w+) holds")

_decoder = Decoder()


def _known_place(found: re.Match[str]) -> str:
    return found[0] if found[1] in contract.MEMBERS else "_ holds"


def seeds() -> list[bytes]:
    return known.entries()


def read(data: bytes) -> tuple[bytes | None, bytes | None]:
    """Payload and codec of an input."""
    codec, line_feed, payload = data.partition(b"\n")
    if data.startswith(b"{"):
        return data, None
    return (payload if line_feed else None), codec


def decode(payload: bytes | None, codec: bytes | None) -> Position | Rejected:
    """The decoder's word. Raises Broken if anything but Rejected came out of it."""
    fields = {b"payload": payload, b"codec": codec}
    entry = Entry("1-0", {name: text for name, text in fields.items() if text is not None})
    try:
        return _decoder.decode(entry, NOW_MS)
    except Rejected as rejected:
        return rejected
    except BaseException as error:
        raise Broken(f"{type(error).__name__} came out of the decoder: {error}") from error


def check(data: bytes) -> str:
    """The outcome: `accepted`, or the reason. Raises Broken."""
    payload, codec = read(data)
    began_s = time.process_time()
    found = decode(payload, codec)
    bound_s = CPU_S * (1 + len(data) // 65_536)
    if time.process_time() - began_s > bound_s:
        _in_time(payload, codec, bound_s)
    verdict = contract.judge(payload, codec, NOW_MS)
    if isinstance(found, Rejected):
        _rejected(found, verdict)
    else:
        _accepted(found, verdict)
        _stable(found)
    if payload is not None and len(payload) < len(PADDING):
        _both_gears(found, payload, codec)
    return found.reason.value if isinstance(found, Rejected) else "accepted"


def signature(data: bytes) -> str:
    """What an input is kept for, if it is the first with it: the sentence without its values, or
    the kinds of value in an accepted bag."""
    payload, codec = read(data)
    found = decode(payload, codec)
    if isinstance(found, Rejected):
        return _VALUES.sub("_", _PLACE.sub(_known_place, found.sentence))
    bag = contract.bag_of(found.attributes)
    kinds = sorted({type(value).__name__ for value in bag.values()})
    gear = "padded" if payload is None or len(payload) > 5000 or b"\\" in payload else "plain"
    return f"accepted {gear} {len(bag).bit_length()} {kinds} {found.codec.isascii()}"


def weigh(data: bytes) -> None:
    """Raises Broken if an input takes more memory than is due. Slow: for some inputs only."""
    payload, codec = read(data)
    tracemalloc.start()
    try:
        decode(payload, codec)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak > MEMORY * len(data) + MEMORY_FREE:
        raise Broken(f"{len(data)} bytes of input took {peak} bytes of memory")


def _in_time(payload: bytes | None, codec: bytes | None, bound_s: float) -> None:
    """It took too long once; the least of three counts, since the first may have waited for the
    collector of garbage."""
    took_s = []
    for _ in range(3):
        began_s = time.process_time()
        decode(payload, codec)
        took_s.append(time.process_time() - began_s)
    if min(took_s) > bound_s:
        raise Broken(f"took {min(took_s):.3f} s of the processor, and {bound_s:.3f} s are its due")


def _rejected(found: Rejected, verdict: contract.Verdict) -> None:
    if found.reason not in verdict.reasons:
        raise Broken(
            f"rejected as {found.reason} ({found.sentence}); the contract has "
            f"{sorted(verdict.reasons) or 'nothing against it'}"
        )
    if not found.sentence.isascii() or len(found.sentence) > SENTENCE_MAX or "\n" in found.sentence:
        raise Broken(f"no sentence for a log: {found.sentence!r}")


def _accepted(found: Position, verdict: contract.Verdict) -> None:
    if verdict.faults:
        raise Broken(f"accepted, and the contract has {sorted(verdict.faults)} against it: {found}")
    if wrong := contract.storable(found, NOW_MS):
        raise Broken(f"{wrong}: {found}")
    content = _content(found)
    for name, value in verdict.expected.items():
        if name == "fixed_at":
            same = abs(found.fixed_at - value) <= timedelta(microseconds=1)
        else:
            same = content[name] == value
        if not same:
            raise Broken(f"{name} is {content[name]!r} and should be {value!r}")


def _content(position: Position) -> dict[str, Any]:
    found = {name: getattr(position, name) for name in Position.__struct_fields__}
    return found | {"attributes": contract.bag_of(position.attributes)}


def _stable(found: Position) -> None:
    """What was accepted, written down again, is accepted as the same."""
    again = decode(encoded(found), found.codec.encode())
    if isinstance(again, Rejected):
        raise Broken(f"rejected when it comes again: {again.sentence}: {found}")
    if _content(again) != _content(found):
        raise Broken(f"another one when it comes again: {found} and {again}")


def encoded(position: Position) -> bytes:
    """A position as the producer would send it, with the bag as it is."""
    values = {
        "device_id": json_text(position.device_id),
        "timestamp": json_text(position.fixed_at.isoformat()),
        **{name: repr(getattr(position, name)) for name in (*contract.NUMBERS, *contract.INTEGERS)},
    }
    head = ",".join(f'"{name}":{value}' for name, value in values.items())
    return b'{%b,"attributes":%b}' % (head.encode(), position.attributes)


def json_text(text: str) -> str:
    return contract.json.dumps(text, ensure_ascii=False)


def _both_gears(found: Position | Rejected, payload: bytes, codec: bytes | None) -> None:
    padded = decode(payload + PADDING, codec)
    if isinstance(found, Rejected) or isinstance(padded, Rejected):
        if getattr(found, "reason", None) != getattr(padded, "reason", None):
            raise Broken(f"blanks behind it change the verdict: {found!r} and {padded!r}")
    elif _content(found) != _content(padded):
        raise Broken(f"blanks behind it change the content: {found} and {padded}")
