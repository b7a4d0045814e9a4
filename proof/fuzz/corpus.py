"""What was found once, and what is odd enough to be kept: an input, and the outcome it must have.

A line of tests/corpus/<target>.jsonl is `{"why": .., "outcome": .., "input": [[text, times], ..]}`.
The input's bytes are the code points of the texts (latin-1), each repeated, one behind the other:
so that a bracket twenty thousand times takes no twenty thousand bytes here.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

FOLDER = Path(__file__).parents[2] / "tests" / "corpus"


@frozen
class Kept:
    why: str
    outcome: str
    data: bytes


def kept(target: str) -> Iterator[Kept]:
    for line in (FOLDER / f"{target}.jsonl").read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        pieces = (text.encode("latin-1") * times for text, times in told["input"])
        yield Kept(told["why"], told["outcome"], b"".join(pieces))


def line_of(data: bytes, why: str, outcome: str) -> str:
    """An input as a line to be put there."""
    told = {"why": why, "outcome": outcome, "input": [[data.decode("latin-1"), 1]]}
    return json.dumps(told, ensure_ascii=True)
