"""The version of a course is a hash of what it says, so that equal courses have equal versions
wherever they came from, and any edit makes another one.

What is hashed is a canonical form: JSON with sorted members, fields left out that have their
default (a new field changes no old version), coordinates to 1e-7 degrees and metres to the
millimetre (design/racing.md, The laws), and numbers of equal value written alike. Objects stand in
the order in which they are passed, not in that in which they were written. A closure is no
edit of the course but an input of its own, so `closed_at` is not part of it; neither are the
entries.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import Any

import attrs

from processor.domain.course import Course, Object, Segment

VERSION_DIGITS = 16
"""Of the hash, in hexadecimal: 64 bits, and an event has dozens of versions."""

_LEFT_OUT = ("version", "closed_at")
_METRES = "_m"  # how the names of such fields end
_DEGREE_DIGITS, _METRE_DIGITS = 7, 3


def course_version(course: Course) -> str:
    """The version that a course has by its content, whatever its field `version` says."""
    return content_hash(course)


def versioned(course: Course) -> Course:
    """The course with the version that its content has."""
    return attrs.evolve(course, version=course_version(course))


def content_hash(value: object) -> str:
    """The hash of any value made of attrs classes, enums, mappings, sequences and plain values,
    as lower-case hexadecimal digits. Raises TypeError on other values, ValueError on NaN and
    infinity."""
    text = json.dumps(
        _canonical(value),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )
    return sha256(text.encode()).hexdigest()[:VERSION_DIGITS]


def _canonical(value: object, digits: int = _DEGREE_DIGITS) -> object:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return _number(value, digits)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, Mapping):
        return {str(key): _canonical(inner, digits) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_canonical(inner, digits) for inner in value]
    if attrs.has(type(value)):
        return _members(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


def _members(value: object) -> dict[str, object]:
    """An attrs value's fields that do not have their default, and the name of its class, for a disc
    is no area."""
    if isinstance(value, Segment):
        value = attrs.evolve(value, objects=tuple(sorted(value.objects, key=_passed)))
    said: dict[str, object] = {"": type(value).__name__}
    for field in attrs.fields(type(value)):  # type: ignore[arg-type]
        inner = getattr(value, field.name)
        if field.name in _LEFT_OUT or inner == _default(field):
            continue
        metres = field.name.endswith(_METRES)
        said[field.name] = _canonical(inner, _METRE_DIGITS if metres else _DEGREE_DIGITS)
    return said


def _passed(thing: Object) -> tuple[bool, int, str]:
    """Where an object stands. Of those with one sort_order the written order decides (sorting is
    stable), and of those without it nothing is decided by order."""
    if thing.sort_order is None:
        return True, 0, thing.id
    return False, thing.sort_order, ""


def _default(field: Any) -> object:
    default: Any = field.default
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def _number(value: float, digits: int) -> float | int:
    rounded = round(value, digits)
    return int(rounded) if rounded.is_integer() else rounded


def _decimal(value: Decimal) -> int | str:
    """1, 1.0 and 1.00 are one number; text, because a double would not hold them all."""
    if value == value.to_integral_value():
        return int(value)
    return format(value.normalize(), "f")
