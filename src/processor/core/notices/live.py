"""What happens between the stream and the browsers."""

from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import frozen


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


LiveNotice = (
    FeedOpened
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
