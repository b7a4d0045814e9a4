"""What core says about itself: one frozen value per thing that happened.

Core does not log and does not count; it emits these. One adapter turns them into log lines,
another into metrics. They are emitted per batch at most, never per position.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import frozen

from processor.core.errors import Dependency, Reason


@frozen
class GroupOpened:
    """The consumer group is there; `created` if it had to be made, from the first entry on."""

    created: bool


@frozen
class EntriesRead:
    """A read was answered with `count` new entries (0: nothing came within the wait)."""

    count: int


@frozen
class ReadFailed:
    reason: str
    sentence: str


@frozen
class EntriesResumed:
    """Entries that this consumer was given before, by a read whose reply was lost or in a former
    life, were found in its own pending list and are worked on again."""

    count: int


@frozen
class EntriesClaimed:
    """Entries were taken over from consumers that had let them lie."""

    count: int


@frozen
class EntriesLost:
    """Data was lost before we could read it: `trimmed` while pending, `trimmed-unread` before any
    read. Nothing can be stored; it is said."""

    reason: Literal["trimmed", "trimmed-unread"]
    count: int
    first_id: str
    last_id: str


@frozen
class EntriesRejected:
    """Some entries of a batch hold no acceptable position. `sentences` are examples, at most three,
    each `<entry id>: <sentence>`."""

    counts: Mapping[Reason, int]
    sentences: Sequence[str]


@frozen
class BatchWritten:
    """A batch is durable: rows it added, rows the table had already, records that were refused."""

    inserted: int
    duplicate: int
    failed: int
    seconds: float


@frozen
class DeadLettersSent:
    counts: Mapping[Reason, int]


@frozen
class EntriesAcknowledged:
    """The stream was told. `received_ms` holds when it had taken each of them, `at_ms` is now
    (both milliseconds since the epoch)."""

    received_ms: Sequence[int]
    at_ms: int


@frozen
class DevicesObserved:
    """How many devices the state knows, and how many it forgot for room since the last notice."""

    known: int
    evicted: int


@frozen
class InFlight:
    """How many entries are between being read and being acknowledged."""

    count: int


@frozen
class RetryScheduled:
    """Something outside is away; the same thing will be tried again after `wait_s` seconds."""

    dependency: Dependency
    reason: str
    sentence: str
    wait_s: float


@frozen
class DependencyRefused:
    """Something outside refuses us for a reason that no retry mends: settings, credentials or
    schema are wrong. We look again after `wait_s` seconds, unready meanwhile."""

    dependency: Dependency
    reason: str
    sentence: str
    wait_s: float


@frozen
class DependencyAnswered:
    """The first success after one or more failures, or at all."""

    dependency: Dependency


@frozen
class BacklogMeasured:
    """How the stream and the group stand, see `Backlog` in ports.py. None: not known.

    `lag`, `pending` and `dead_letters` count entries; `lag_s` is the age of the oldest entry that
    the group has not read; `last_entry_age_s` is None while the stream has never had an entry;
    `headroom_s` is how long until trimming reaches what the group has not read yet.
    """

    lag: int
    lag_s: float
    pending: int
    dead_letters: int
    last_entry_age_s: float | None
    headroom_s: float | None


@frozen
class StreamSilent:
    """The stream has had no entry for `age_s` seconds (None: never), while `busy` streams have."""

    stream: str
    age_s: float | None
    busy: Sequence[str]


@frozen
class IngestStopped:
    """The loop has ended; `abandoned` entries stay pending, for the next life or for another."""

    abandoned: int


@frozen
class FeedOpened:
    """The live group stands after `after_id`. What the stream had up to `quiet_until` is only
    learned and not sent."""

    after_id: str
    quiet_until: str


@frozen
class FeedFailed:
    """Something of the live feed failed; of `reading` a retry follows, the others are over."""

    doing: Literal["reading", "reaping", "closing"]
    reason: str
    sentence: str


@frozen
class LiveStarted:
    """What may not have been durable yet was read; from now on fixes are sent. `known` devices
    have a newest fix."""

    known: int


@frozen
class LiveStopped:
    """The feed has ended, and its group is destroyed."""


@frozen
class FixesFannedOut:
    """Entries of one read went to whoever watches. `received_ms` holds when the stream had taken
    those that were sent, `at_ms` is now (both milliseconds since the epoch); `frames` were sent for
    them, batches apart. `orphans` drive in no event; `unused` counts the others by why."""

    received_ms: Sequence[int]
    at_ms: int
    frames: int
    orphans: int
    unused: Mapping[str, int]


@frozen
class BatchesSent:
    """One tick's frames for those who want batches. `received_ms` holds when the stream had taken
    the fixes in them, `at_ms` is now; `conflated` fixes were left out of some line's batch, because
    it had no room and newer ones came."""

    received_ms: Sequence[int]
    at_ms: int
    frames: int
    conflated: int


@frozen
class GroupsReaped:
    """Live groups of instances that died were destroyed."""

    names: Sequence[str]


@frozen
class DeviceMapRead:
    devices: int
    events: int


@frozen
class DeviceMapFailed:
    """The map could not be read anew; the last one that could stays in force."""

    reason: str
    sentence: str


@frozen
class Answered:
    """A client was told something: the answer's `type` on the wire."""

    kind: str


@frozen
class SnapshotTaken:
    """A subscription was answered with `size` fixes. `fault` says what kept the database out of
    it, if anything: then it is what live itself knows."""

    size: int
    seconds: float
    fault: str | None


@frozen
class AudienceCounted:
    """How many browsers are connected, and their subscriptions together."""

    connections: int
    subscriptions: int


@frozen
class AuthAsked:
    """Directus was asked a question; calls that were shared or cached are none."""

    question: Literal["identify", "may-read"]
    result: Literal["success", "unauthorized", "error"]
    seconds: float


@frozen
class RechecksAged:
    """How long ago the connection that waits longest was last looked at, session and events."""

    longest_s: float


@frozen
class LineClosed:
    """A connection is gone. `code` is its close code, `conflated` the frames that it was not sent
    because newer ones took their place."""

    code: int
    conflated: int


Notice = (
    GroupOpened
    | EntriesRead
    | ReadFailed
    | EntriesResumed
    | EntriesClaimed
    | EntriesLost
    | EntriesRejected
    | BatchWritten
    | DeadLettersSent
    | EntriesAcknowledged
    | DevicesObserved
    | InFlight
    | RetryScheduled
    | DependencyRefused
    | DependencyAnswered
    | BacklogMeasured
    | StreamSilent
    | IngestStopped
    | FeedOpened
    | FeedFailed
    | LiveStarted
    | LiveStopped
    | FixesFannedOut
    | BatchesSent
    | GroupsReaped
    | DeviceMapRead
    | DeviceMapFailed
    | Answered
    | SnapshotTaken
    | AudienceCounted
    | AuthAsked
    | RechecksAged
    | LineClosed
)
