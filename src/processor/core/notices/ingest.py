"""What happens between the stream and the table, and to the servers that we need."""

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
class EntriesKept:
    """Entries that take long were said to be ours still, so that nobody takes them over."""

    count: int


@frozen
class ConsumersReaped:
    """Consumers of the group that had died, and held nothing any more, were removed."""

    names: Sequence[str]


@frozen
class SuspectsCounted:
    """How many entries wait to be tried by themselves, because they were handed out so often that
    one of them may be what ends the process each time."""

    count: int


@frozen
class TrialEnded:
    """A suspect was tried by itself. `passed`: it is settled, as a row or a dead letter;
    `unavailable`: a server was away, which says nothing about it; `condemned`: it was not tried
    again, for the process had died in each of its trials."""

    entry_id: str
    result: Literal["passed", "unavailable", "condemned"]


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
class DevicesRecalled:
    """The database was asked for devices that were unknown: it had a good fix of `found`, and none
    of `none` of them."""

    found: int
    none: int


@frozen
class RecallFailed:
    """That question about so many devices had no answer, and is not asked again."""

    devices: int
    reason: str
    sentence: str


@frozen
class RecallSkipped:
    """So many unknown devices were not asked for: they were forgotten again before their turn."""

    devices: int


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
    """How the stream and the group stand, see the port `Backlog`. None: not known.

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


IngestNotice = (
    GroupOpened
    | EntriesRead
    | ReadFailed
    | EntriesResumed
    | EntriesClaimed
    | EntriesKept
    | ConsumersReaped
    | SuspectsCounted
    | TrialEnded
    | EntriesLost
    | EntriesRejected
    | BatchWritten
    | DeadLettersSent
    | EntriesAcknowledged
    | DevicesObserved
    | DevicesRecalled
    | RecallFailed
    | RecallSkipped
    | InFlight
    | RetryScheduled
    | DependencyRefused
    | DependencyAnswered
    | BacklogMeasured
    | StreamSilent
    | IngestStopped
)
