"""What live needs from the world: the stream again, who drives where, who may see it, and lines."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from processor.core.model import Entry, Position


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
