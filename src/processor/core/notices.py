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
)
