"""What ingest needs from the world.

Each port is a protocol of at most five methods. Its docstring answers five questions, and each
sentence of an answer is a test in the port's contract suite (tests/contracts/), which the
in-memory adapter and the real one pass alike:

Order   what follows what;   Repeat  what a second call with the same values does;
Cancel  what a call that is cancelled may have done;   Units  of every number;   Raises  what.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from processor.core.errors import Rejected
from processor.core.model import Entry, Position
from processor.core.notices import BacklogMeasured, Notice


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
            acknowledged; acknowledging twice, or an id that is not pending, does nothing.
            `open` on a group that exists leaves it as it is.
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


class Backlog(Protocol):
    """How the stream and our group stand: what is not read, not acknowledged, or dead.

    Order   None.
    Repeat  Every call measures afresh and changes nothing.
    Cancel  Harmless.
    Units   See BacklogMeasured. Silence in seconds.
    Raises  Unavailable; Refused.
    """

    async def measure(self) -> BacklogMeasured:
        """One look at stream, group and dead letters. A group or stream that does not exist has no
        lag, and that is not an error."""
        ...

    async def busy_streams(self, within_s: float) -> Sequence[str]:
        """Other streams of the family (`telemetry:*`) that had an entry within that time: where the
        traffic may have gone if ours is silent."""
        ...


class Clock(Protocol):
    """Time. Wall clock only to judge timestamps; whatever lasts is measured by `elapsed`.

    Order   `elapsed` never goes back; `now` may.
    Repeat  Every call answers afresh.
    Cancel  A cancelled `sleep` ends at once.
    Units   `now` milliseconds since the epoch, UTC; `elapsed` seconds from any origin;
            `sleep` seconds.
    Raises  Nothing.
    """

    def now(self) -> int: ...

    def elapsed(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Chance(Protocol):
    """Randomness, so that a simulation can decide it.

    Order   None.
    Repeat  Every call answers afresh.
    Cancel  Not awaitable.
    Units   A fraction: 0 <= x < 1.
    Raises  Nothing.
    """

    def fraction(self) -> float: ...


class Observer(Protocol):
    """Whoever wants to know what happens: a log, the metrics, a test.

    Order   Notices arrive in the order in which things happened.
    Repeat  Two equal notices are two happenings.
    Cancel  Not awaitable: observing costs no turn of the loop.
    Units   As in `notices`.
    Raises  Nothing: an observer that fails must not stop the work.
    """

    def observe(self, notice: Notice) -> None: ...
