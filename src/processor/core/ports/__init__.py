"""What the machinery needs from the world: for ingest, for live, and for both.

Each port is a protocol of at most five methods. Its docstring answers five questions, and each
sentence of an answer is a test in the port's contract suite (tests/contracts/), which the
in-memory adapter and the real one pass alike:

Order   what follows what;   Repeat  what a second call with the same values does;
Cancel  what a call that is cancelled may have done;   Units  of every number;   Raises  what.
"""

from processor.core.ports.ingest import (
    Claimed,
    DeadLetter,
    DeadLetters,
    Fetched,
    Gap,
    Membership,
    Outcome,
    PositionSink,
    StateStore,
    StreamSource,
    Trials,
)
from processor.core.ports.live import (
    Access,
    Assignment,
    AuthVerifier,
    Broadcaster,
    FeedStart,
    Line,
    LiveFeed,
    Snapshot,
    Snapshots,
    TopicMap,
)
from processor.core.ports.shared import Backlog, Chance, Clock, Observer

__all__ = [
    "Access",
    "Assignment",
    "AuthVerifier",
    "Backlog",
    "Broadcaster",
    "Chance",
    "Claimed",
    "Clock",
    "DeadLetter",
    "DeadLetters",
    "FeedStart",
    "Fetched",
    "Gap",
    "Line",
    "LiveFeed",
    "Membership",
    "Observer",
    "Outcome",
    "PositionSink",
    "Snapshot",
    "Snapshots",
    "StateStore",
    "StreamSource",
    "TopicMap",
    "Trials",
]
