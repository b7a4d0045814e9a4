"""Our own course format: JSON, with every fault told by its place.

    text  ->  plain JSON values  ->  structs (what annotations can judge)  ->  the domain's values

The text is read by the standard library, because it says line and column, and because it lets us
see a member that stands twice. What is left out gets the domain's default (`course_build.py`).
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from processor.adapters.files.contents import seems
from processor.adapters.files.course_build import course_of
from processor.adapters.files.course_file import COURSE_BYTES_MAX, CourseFile, Misplaced
from processor.adapters.files.course_structs import CHOICES, STRUCTS, CourseJson, members
from processor.adapters.files.words import near
from processor.adapters.files.wrong import WrongFile

DIGITS_MAX = 400
"""Of an integer: a double has at most 309, and Python refuses thousands in words of its own."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_FAULT = re.compile(r"(?P<sentence>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected (.*?)(?:, got `(.*)`)?", re.DOTALL)
_AT_LEAST = re.compile(r"Expected `array` of length >= (\d+)(?:, got .*)?")
_COUNTS = {"1": "one", "2": "two"}
_INDEX = re.compile(r"\[.*?\]")


def read_course_json(path: Path) -> CourseFile:
    """The course and the entries of a file. Raises WrongFile, OSError."""
    plain = _plain(path, _text(path))
    try:
        return course_of(msgspec.convert(plain, CourseJson))
    except msgspec.ValidationError as error:
        place, sentence = _told(str(error))
    except Misplaced as error:
        place, sentence = error.place, error.sentence
    raise WrongFile(path, place, sentence)


# -- text and plain values ----------------------------------------------------------------------


def _text(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(COURSE_BYTES_MAX + 1)
    if len(text) > COURSE_BYTES_MAX:
        raise WrongFile(path, "", f"is longer than {COURSE_BYTES_MAX} bytes; no course is")
    return text.removeprefix(b"\xef\xbb\xbf")


def _plain(path: Path, text: bytes) -> Any:
    try:
        plain = json.loads(
            text.decode(),
            parse_constant=_constant,
            parse_int=_integer,
            object_pairs_hook=_object,
        )
        if _SURROGATE_ESCAPE.search(text) and _SURROGATE.search(
            json.dumps(plain, ensure_ascii=False)
        ):
            raise WrongFile(path, "", "holds half of a surrogate pair, which is no text")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise WrongFile(path, f"line {line}", "is not UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise WrongFile(path, place, f"is not JSON: {error.msg}{_mistaken(path)}") from None
    except RecursionError:
        raise WrongFile(path, "", "is nested too deep for a course") from None
    except ValueError as error:  # our own hooks
        raise WrongFile(path, "", str(error)) from None
    if not isinstance(plain, dict):
        raise WrongFile(path, "", "must be one JSON object, with stages and entries")
    if "stages" not in plain:
        raise WrongFile(path, "", f'must have a member "stages"{_mistaken(path)}')
    return plain


def _constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is no JSON number")


def _integer(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise ValueError(f"holds a number of {len(text)} digits; none here needs so many")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A member that stands twice is refused: the second would hide the first."""
    plain = dict(pairs)
    if len(plain) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        where = f' (with the id "{plain["id"]}")' if isinstance(plain.get("id"), str) else ""
        raise ValueError(f'has the member "{twice}" twice in one object{where}')
    return plain


def _mistaken(path: Path) -> str:
    told = seems(path)
    return "" if "a course" in told else told


# -- faults that the annotations find -----------------------------------------------------------


def _told(fault: str) -> tuple[str, str]:
    """Place and sentence of one of msgspec's messages. A message that is not known stays as it is:
    it says what was expected, in its own words."""
    parts = _FAULT.fullmatch(fault)
    assert parts is not None
    place, sentence = (parts["path"] or "").removeprefix("."), parts["sentence"]
    holder = _holder(place)
    if (unknown := _UNKNOWN.fullmatch(sentence)) is not None:
        return place, _unknown(unknown[1], holder)
    if (missing := _MISSING.fullmatch(sentence)) is not None:
        return place, f'must have a member "{missing[1]}"'
    if sentence.startswith("Invalid ") and (choices := _choices(place)):
        return place, f"must be one of {', '.join(choices)}"
    if (least := _AT_LEAST.fullmatch(sentence)) is not None:
        return place, f"needs at least {_COUNTS.get(least[1], least[1])}"
    if (expected := _EXPECTED.fullmatch(sentence)) is not None:
        return place, f"must be {_plainly(expected[1])}" + (
            f", not {_plainly(expected[2])}" if expected[2] else ""
        )
    return place, sentence


def _holder(place: str) -> str:
    """The last member of a path whose structs we know."""
    names = [_INDEX.sub("", step) for step in place.split(".")]
    return next((name for name in reversed(names) if name in STRUCTS), "")


def _unknown(name: str, holder: str) -> str:
    what, _ = STRUCTS[holder]
    known = members(holder)
    rest = near(name, known) or f"; known are {', '.join(known)}"
    return f'has a member "{name}", which {what} does not have{rest}'


def _choices(place: str) -> Sequence[str]:
    above, _, member = place.rpartition(".")
    return CHOICES.get(_holder(above), {}).get(member, ())


_WORDS = {
    "float": "a number",
    "int": "an integer",
    "str": "a string",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
}
_WORD = re.compile(rf"`?\b({'|'.join(_WORDS)})\b`?")


def _plainly(words: str) -> str:
    """The types of a message as JSON's words. All our patterns forbid control characters."""
    plain = _WORD.sub(lambda word: _WORDS[word[1]], words).replace("`", "").replace(" | ", " or ")
    return re.sub(r" matching regex .*", " without control characters", plain)
