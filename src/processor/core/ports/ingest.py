"""What ingest needs from the world: a stream, its place in it, a table, a place for bad records."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from processor.core.errors import Rejected
from processor.core.model import Entry, Position


class Gap(msgspec.Struct, frozen=True):
    """Entries that were trimmed from the stream: how many, and the ids that bound them."""

    count: int
    first_id: str
    last_id: str


class Fetched(msgspec.Struct, frozen=True):
    """Entries in stream order, and what was trimmed before the group had read it, if anything."""

    entries: Sequence[Entry]
    lost: Gap | None = None


class Claimed(msgspec.Struct, frozen=True):
    """Entries taken over from other consumers, the cursor to go on from (`0-0`: all were seen),
    and the ids of those whose content is no longer in the stream."""

    entries: Sequence[Entry]
    cursor: str
    lost_ids: Sequence[str] = ()


class StreamSource(Protocol):
    """One stream, read as one consumer of one consumer group.

    Order   Entries come in the order of their ids, within one call and from call to call of
            `fetch_new`; each entry is handed to one consumer of the group only.
    Repeat  `fetch_own` and `claim` hand out the same pending entry again and again until it is
            acknowledged, and each time it has one delivery more, as long as it has content;
            acknowledging twice, or an id that is not pending, does nothing. `open` on a group that
            exists leaves it as it is.
    Cancel  Fetching and claiming are never cancelled: they last `wait_ms` at most. An entry whose
            reply was lost is pending and comes back through `fetch_own`.
    Units   `count` entries; `wait_ms`, `min_idle_ms` milliseconds.
    Raises  Unavailable (also when stream or group vanished: `open` makes them again);
            Refused where the credentials or the key's type are wrong.
    """

    async def open(self) -> bool:
        """Connect, and create group and stream where missing, from the very first entry (never
        from the end: what came before the group is work, too). True if it had to create it."""
        ...

    async def fetch_new(self, count: int, wait_ms: int) -> Fetched:
        """Entries that no consumer of the group has had yet; none if none came in `wait_ms`.
        A `wait_ms` of 0 does not wait."""
        ...

    async def fetch_own(self, after_id: str, count: int) -> Sequence[Entry]:
        """Entries that this consumer was given and has not acknowledged, with ids greater than
        `after_id` (`0` is before all). Where the content was trimmed, `fields` is None."""
        ...

    async def claim(self, cursor: str, min_idle_ms: int, count: int) -> Claimed:
        """Take over entries that any consumer was given `min_idle_ms` ago and never acknowledged,
        looking at a bounded number from `cursor` on (`0-0` is the beginning)."""
        ...

    async def acknowledge(self, entry_ids: Sequence[str]) -> int:
        """Say that these are done for ever. How many of them were still pending."""
        ...


class Membership(Protocol):
    """Our place among the consumers of the group: keeping what we hold, clearing up after the dead.

    Order   None.
    Repeat  Keeping twice is keeping; whoever is reaped is gone and not reaped again.
    Cancel  A cancelled call may have had its effect, in part or as a whole.
    Units   `idle_ms` milliseconds.
    Raises  Unavailable (also where stream or group vanished); Refused.
    """

    async def keep(self, entry_ids: Sequence[str]) -> int:
        """Say that we still work on these, so that nobody takes them over; how many are kept. One
        that is another's by now stays the other's; one whose content is gone stays pending. No
        entry has one delivery more for it."""
        ...

    async def reap(self, idle_ms: int) -> Sequence[str]:
        """Remove the other consumers that hold nothing and have asked for nothing for `idle_ms`,
        each looked at and removed in one step: removing one that holds something would lose it.
        Their names."""
        ...


class Trials(Protocol):
    """How often an entry was tried by itself and the trial never ended: kept where it outlives us.

    Order   None.
    Repeat  Marking the same number twice is marking it once; forgetting twice is forgetting.
    Cancel  A cancelled call has had its effect, or none.
    Units   `count` trials.
    Raises  Unavailable; Refused.
    """

    async def marks(self, entry_ids: Sequence[str]) -> Mapping[str, int]:
        """How many trials of each have begun and not ended; without those that have no mark."""
        ...

    async def mark(self, entry_id: str, count: int) -> None:
        """Remember that so many have, at least one. Remembered on return."""
        ...

    async def forget(self, entry_ids: Sequence[str]) -> None:
        """Forget what was marked of these."""
        ...


class DeadLetter(msgspec.Struct, frozen=True):
    """An entry that cannot become a row, and why."""

    entry: Entry
    cause: Rejected


class DeadLetters(Protocol):
    """Where bad records go instead of getting lost.

    Order   Letters are stored in the order given.
    Repeat  The same letter twice is stored twice; its `origin_id` tells.
    Cancel  A cancelled call may have stored some, all or none of its letters.
    Units   None.
    Raises  Unavailable if any letter was not confirmed: then all may be sent again.
            Refused where the credentials or the key's type are wrong.
    """

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Store them, original fields untouched. Durable, as far as the stream is, on return."""
        ...


class Outcome(StrEnum):
    """What became of a position that the sink did not refuse."""

    INSERTED = "inserted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class PositionSink(Protocol):
    """The table of positions.

    Order   Positions come sorted by (UTC day, device_id, fixed_at), each key once: two writers
            that take row locks in different orders deadlock. Outcomes answer in the same order.
    Repeat  A key that is stored already stays as it is and is a DUPLICATE; where a panic record
            (priority 2) meets a stored row of lower priority, it is a CONFLICT and not stored.
    Cancel  A cancelled call has stored all of its positions with their change note, or nothing.
    Units   As in Position.
    Raises  Rejected if the database refuses a value: nothing is stored, and one position at
            least is at fault. TooMuch if fewer at once may succeed. Unavailable, Refused:
            nothing is stored, or the answer was lost and all of it is.
    """

    async def store(self, positions: Sequence[Position]) -> Sequence[Outcome]:
        """Store them in one transaction, together with one change note that says for which devices
        rows were inserted, and between which instants. Durable on return."""
        ...


class StateStore(Protocol):
    """What the table knows of devices that we do not know, or no longer.

    Order   None.
    Repeat  Every call reads afresh and changes nothing; a device named twice is answered once.
    Cancel  Harmless, and at once: whoever asks may be about to end.
    Units   As in Position.
    Raises  Unavailable, also where it takes longer than an answer may; Refused.
    """

    async def newest(self, device_ids: Sequence[str]) -> Mapping[str, Position]:
        """By device_id, the newest fix that is not faulty, has satellites, and was no further ahead
        of the time at which it was stored than is allowed. A device without one is not there."""
        ...
