"""Errors, named after what whoever catches them has to do.

Adapters translate every error of their driver into one of these at their own wall. Whatever else
comes out of them is a bug, and a bug may crash.
"""

from enum import StrEnum
from typing import Literal


class Reason(StrEnum):
    """Why a record became a dead letter: a closed set, and also a metric's label."""

    PAYLOAD_MISSING = "payload-missing"
    PAYLOAD_NOT_JSON = "payload-not-json"
    FIELD_MISSING = "field-missing"
    FIELD_TYPE = "field-type"
    FIELD_RANGE = "field-range"
    SENTINEL_UNKNOWN = "sentinel-unknown"
    SENTINEL_MALFORMED = "sentinel-malformed"
    TEXT_UNSTORABLE = "text-unstorable"
    TOO_LARGE = "too-large"
    REFUSED_BY_DATABASE = "refused-by-database"
    KILLS_THE_PROCESS = "kills-the-process"
    CONFLICT = "conflict"


class Rejected(Exception):
    """A value is at fault and will be for ever: dead-letter it.

    `sentence` names the field, or the SQLSTATE, and what was expected. Raised by a sink for a
    batch, it means that one record in the batch at least is at fault: bisect.
    """

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


Dependency = Literal["stream", "database", "directus"]


class Unavailable(Exception):
    """Nobody's record is at fault and the same call may well succeed later: retry it.

    `reason` is a short name from a closed set (`connection`, `timeout`, `deadlock`, ..), used as
    a metric's label. `pause` says how to wait before the next try.
    """

    class Pause(StrEnum):
        NONE = "none"
        """At once, a few times: a lost race such as a deadlock; after that, as SHORT."""
        SHORT = "short"
        """Exponential backoff with jitter: the peer is away or restarting."""
        LONG = "long"
        """Half a minute and more: the peer is full, or set up wrong; hurry would harm it."""

    def __init__(
        self, dependency: Dependency, reason: str, sentence: str, pause: "Pause" = Pause.SHORT
    ) -> None:
        super().__init__(sentence)
        self.dependency = dependency
        self.reason = reason
        self.sentence = sentence
        self.pause = pause


class TooMuch(Unavailable):
    """This many records at once did not fit (a statement timeout, a decompression limit): retry
    with half of them. A single record that is too much is simply Unavailable: slow is never the
    record's fault."""


class Refused(Exception):
    """Settings, credentials or schema are wrong and no retry mends it: stop, or, in a service
    that is already running, be loudly unready and look again from time to time."""

    def __init__(self, dependency: Dependency, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.dependency = dependency
        self.reason = reason
        self.sentence = sentence
