"""How a stream and its groups stand, read from the raw answers of XINFO."""

from collections.abc import Sequence
from typing import Any, Self

from attrs import frozen

FIRST = "0-0"
"""The id before all others."""

SEQUENCE_MAX = 2**64 - 1


def order(entry_id: str) -> tuple[int, int]:
    """What ids are compared by: as texts, `9-1` would come after `10-1`."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def milliseconds(entry_id: str) -> int:
    return order(entry_id)[0]


def before(entry_id: str) -> str:
    """The greatest id that is smaller; no entry has the id FIRST."""
    at_ms, sequence = order(entry_id)
    return f"{at_ms}-{sequence - 1}" if sequence else f"{at_ms - 1}-{SEQUENCE_MAX}"


@frozen
class StreamStanding:
    """`length` counts the entries that are there, `added` all there ever were (None where the
    server does not count them: before Redis 7). `first_id` is None while it is empty, `last_id`
    is the newest that ever was, `0-0` if none."""

    length: int
    added: int | None
    first_id: str | None
    last_id: str

    @classmethod
    def read(cls, answer: Sequence[Any]) -> Self:
        said = told(answer)
        first = said[b"first-entry"]
        return cls(
            length=said[b"length"],
            added=said.get(b"entries-added"),
            first_id=first[0].decode() if first else None,
            last_id=said[b"last-generated-id"].decode(),
        )

    @property
    def removed(self) -> int | None:
        """How many entries were trimmed, or deleted (by `processor forget`), since it began."""
        return None if self.added is None else self.added - self.length

    def has_passed(self, entry_id: str) -> bool:
        """Is nothing left of what came up to this id?"""
        return self.first_id is None or order(self.first_id) > order(entry_id)

    def estimate_between(self, after_id: str, before_id: str) -> int:
        """How many entries lie there if they come as thick as in the part that is still held."""
        if self.first_id is None:
            return 0
        span_ms = max(1, milliseconds(self.last_id) - milliseconds(self.first_id))
        return (milliseconds(before_id) - milliseconds(after_id)) * self.length // span_ms


@frozen
class GroupStanding:
    """`read` counts the entries of the stream up to `last_delivered_id`, and `lag` those after it,
    as the server has it: None where it lost count, and on Redis 7.0 `read` stays too low, and `lag`
    too high, by what was trimmed unread."""

    name: str
    consumers: int
    pending: int
    last_delivered_id: str
    read: int | None
    lag: int | None

    @classmethod
    def read_all(cls, answer: Sequence[Sequence[Any]]) -> list[Self]:
        return [
            cls(
                name=said[b"name"].decode(errors="backslashreplace"),
                consumers=said[b"consumers"],
                pending=said[b"pending"],
                last_delivered_id=said[b"last-delivered-id"].decode(),
                read=said.get(b"entries-read"),
                lag=said.get(b"lag"),
            )
            for said in map(told, answer)
        ]


def told(flat: Sequence[Any]) -> dict[bytes, Any]:
    """What Redis tells as a flat list of names and values, by name."""
    pairs = iter(flat)
    return dict(zip(pairs, pairs, strict=True))
