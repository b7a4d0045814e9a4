"""What the machinery needs from the world: ingest first, then live, then what both share.

Each port is a protocol of at most five methods. Its docstring answers five questions, and each
sentence of an answer is a test in the port's contract suite (tests/contracts/), which the
in-memory adapter and the real one pass alike:

Order   what follows what;   Repeat  what a second call with the same values does;
Cancel  what a call that is cancelled may have done;   Units  of every number;   Raises  what.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime
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


class FeedStart(msgspec.Struct, frozen=True):
    """Where a feed begins: after `after_id`. `newest_id` is the last entry the stream has had."""

    after_id: str
    newest_id: str


class LiveFeed(Protocol):
    """One stream, read by a group of this instance's own, so that every instance sees all of it.

    Order   Entries come in the order of their ids, each once from one `open` to the next.
    Repeat  `open` on a group that is there moves it to where it was told; nothing is left over
            from a former life. `close` of a group that is gone does nothing.
    Cancel  A fetch is never cancelled: it lasts `wait_ms` at most. After one whose reply was lost
            the group may stand further on than what was seen: `open` it at the last id seen.
    Units   `count` entries; `wait_ms`, `idle_ms` milliseconds.
    Raises  Unavailable (also when stream or group vanished: `open` makes them again);
            Refused where the credentials or the key's type are wrong.
    """

    async def open(self, after_id: str | None) -> FeedStart:
        """Make the group, or set it, so that the next entry is the first after `after_id`. None:
        after the last entry that is surely durable, as far as the group of ingest tells: before
        its oldest pending entry, else at its last delivered one, else before the first of all."""
        ...

    async def fetch(self, count: int, wait_ms: int) -> Sequence[Entry]:
        """The next entries; none if none came in `wait_ms`. Nothing becomes pending."""
        ...

    async def reap(self, idle_ms: int) -> Sequence[str]:
        """Destroy the groups of instances that died: those of our prefix, not our own, that have
        consumers, all of them idle for `idle_ms`. Their names."""
        ...

    async def close(self) -> None:
        """Destroy our group: an instance that ends leaves nothing behind."""
        ...


class Assignment(msgspec.Struct, frozen=True):
    """A device belongs to an event for fixes from `valid_from` on and before `valid_to` (None: no
    such end)."""

    event_id: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def holds(self, fixed_at: datetime) -> bool:
        return (self.valid_from is None or self.valid_from <= fixed_at) and (
            self.valid_to is None or fixed_at < self.valid_to
        )


class TopicMap(Protocol):
    """Which device drives in which event.

    Order   None.
    Repeat  Every call reads afresh and changes nothing.
    Cancel  Harmless.
    Units   None.
    Raises  Unavailable. Refused, saying which, where business tables or columns are missing.
    """

    async def read(self) -> Mapping[str, Sequence[Assignment]]:
        """By device_id (the IMEI): its assignments in all events. A device in none is not there."""
        ...


class Snapshot(msgspec.Struct, frozen=True):
    """The newest good fix of each device, and which of the fixes asked about are faulty."""

    fixes: Sequence[Position]
    faulty: frozenset[tuple[str, datetime]] = frozenset()


class Snapshots(Protocol):
    """What the database holds of an event's devices, within the intervals in which they are its.

    A fix that is faulty, without satellites, or further ahead of the time at which it was stored
    than is allowed, is never handed out.

    Order   Devices in no order; the fixes of a trail from old to new.
    Repeat  Every call reads afresh and changes nothing.
    Cancel  Harmless.
    Units   `count` fixes for each device.
    Raises  Unavailable, also where it takes longer than an answer may; Refused.
    """

    async def newest(self, event_id: str, held: Sequence[tuple[str, datetime]]) -> Snapshot:
        """The newest fix of each device of the event. `held` are fixes by (device_id, fixed_at)
        that the caller knows of: those that are stored and faulty are named."""
        ...

    async def trails(
        self, event_id: str, count: int, *, attributes: bool
    ) -> Mapping[str, Sequence[Position]]:
        """The newest `count` fixes of each device, by device_id; without `attributes` their bags
        are left empty."""
        ...


class Access(StrEnum):
    """May this session read that event?"""

    GRANTED = "granted"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    ENDED = "ended"
    """The session is no more: nothing can be said of the event."""


class AuthVerifier(Protocol):
    """Who somebody is, and what they may see: decided by Directus, by the `Cookie` header.

    Order   Handshakes and subscriptions go before rechecks, which take what is left.
    Repeat  An answer may be a few seconds old and shared by all who ask the same. One to a
            `recheck` is never older than half the interval of rechecks.
    Cancel  Harmless: others who wait for the same answer get it.
    Units   None.
    Raises  Unavailable where it cannot be decided now, be it that it takes too long.
    """

    async def identify(self, cookie: str, *, recheck: bool = False) -> str | None:
        """The user's id; None if this is nobody's session (any more)."""
        ...

    async def may_read(self, cookie: str, event_id: str, *, recheck: bool = False) -> Access:
        """Whether the user may read the event. A recheck may be slow and is never in the way."""
        ...


class Line(Protocol):
    """One browser's connection, as seen from here: something to send to, and to hang up.

    Order   What is sent arrives in the order of sending, but what is kept under a key goes where
            its newest value was kept. What was sent before a close arrives before it, but where the
            line is closed for being too slow.
    Repeat  Closing twice does nothing; what is sent to a closed line goes nowhere.
    Cancel  Not awaitable: sending to somebody who does not read takes no longer.
    Units   `code` a WebSocket close code.
    Raises  Nothing.
    """

    @property
    def clear(self) -> bool:
        """Is there room, so that what is sent now leaves at once?"""
        ...

    def close(self, code: int, reason: str) -> None: ...


class Broadcaster(Protocol):
    """How one text reaches many browsers: framed once, and the same bytes for each.

    Order   As of a Line, for each of them.
    Repeat  The same text twice is sent twice, unless it waits under the same key.
    Cancel  Not awaitable.
    Units   `text` is UTF-8 of a whole message.
    Raises  Nothing: a line that is closed or full is the line's affair.
    """

    def broadcast(self, text: bytes, lines: Iterable[Line], key: Hashable = None) -> None:
        """Send `text` to each of `lines`. To one without room it waits, and takes the place of
        what waits there under the same `key`; without a key nothing ever takes its place."""
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
