"""The Observer that turns what core says of itself into lines.

A server that is away fails a call every few seconds for hours. The first failure is said, then
one a minute, with the number of those in between.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from attrs import fields as fields_of

from processor.adapters.logs.lines import LEVELS, say
from processor.core.errors import Dependency, Reason
from processor.core.notices import (
    Answered,
    AudienceCounted,
    AuthAsked,
    BacklogMeasured,
    BatchesSent,
    BatchWritten,
    ConsumersReaped,
    DeadLettersSent,
    DependencyAnswered,
    DependencyRefused,
    DeviceMapFailed,
    DeviceMapRead,
    DevicesObserved,
    DevicesRecalled,
    EntriesAcknowledged,
    EntriesClaimed,
    EntriesKept,
    EntriesLost,
    EntriesRead,
    EntriesRejected,
    EntriesResumed,
    FeedFailed,
    FeedOpened,
    FixesFannedOut,
    GroupOpened,
    GroupsReaped,
    InFlight,
    IngestStopped,
    LineClosed,
    LiveStarted,
    LiveStopped,
    Notice,
    ReadFailed,
    RecallFailed,
    RecallSkipped,
    RechecksAged,
    RetryScheduled,
    SnapshotTaken,
    StreamSilent,
    SuspectsCounted,
    TrialEnded,
)

REPEAT_S = 60.0
"""A fault that lasts is said once a minute: often enough to be seen, too seldom to bury others."""


@define
class _Trouble:
    """A dependency that fails: since when, how often, and which reasons were said when."""

    began_s: float
    tries: int = 0
    said_s: dict[str, float] = field(factory=dict)


class Logs:
    """The Observer that turns notices into lines."""

    def __init__(
        self, *, stream: str, group: str, level: str, elapsed: Callable[[], float]
    ) -> None:
        self._stream = stream
        self._group = group
        self._threshold = LEVELS[level]
        self._elapsed = elapsed
        self._troubles: dict[Dependency, _Trouble] = {}
        self._map_said: str | None = None
        self._said_s: dict[str, float] = {}

    def observe(self, notice: Notice) -> None:
        level, fields = self._line(notice)
        if LEVELS[level] >= self._threshold and fields is not None:
            say(level, _MESSAGES[type(notice)], **fields)

    def _line(self, notice: Notice) -> tuple[str, Mapping[str, Any] | None]:
        """Level and fields of a notice; no fields: nothing is to be said of it now."""
        match notice:
            case EntriesRead(count) | InFlight(count):
                return "debug", {"count": count}
            case BatchWritten(inserted, duplicate, failed, seconds):
                counts = {"inserted": inserted, "duplicate": duplicate, "failed": failed}
                return "debug", {**counts, "seconds": round(seconds, 6)}
            case EntriesAcknowledged(received_ms):
                return "debug", {"count": len(received_ms)}
            case DevicesObserved(known, evicted):
                return "debug", {"known": known, "evicted": evicted}
            case DevicesRecalled(found, none):
                return "debug", {"found": found, "none": none}
            case RecallFailed(devices, reason, sentence):
                said = {"devices": devices, "reason": reason, "sentence": sentence}
                return self._now_and_then("recall", said)
            case RecallSkipped(devices):
                return "debug", {"devices": devices}
            case EntriesRejected(counts, sentences):
                return "error", {**_counted(counts), "examples": list(sentences)}
            case DeadLettersSent(counts):
                # What could not be decoded was said when it was found; the rest only here.
                said_before = counts.keys().isdisjoint(_FOUND_LATER)
                return ("debug" if said_before else "error"), _counted(counts)
            case EntriesLost(reason, count, first_id, last_id):
                ids = {"first_id": first_id, "last_id": last_id}
                return "error", {"stream": self._stream, "reason": reason, "count": count, **ids}
            case EntriesKept(count):
                return "debug", {"count": count}
            case ConsumersReaped(names):
                return "info", {"consumers": list(names)}
            case SuspectsCounted(count):
                told = {"count": count, "hint": _SUSPECTS}
                return self._now_and_then("suspects", told) if count else ("debug", {"count": 0})
            case TrialEnded(entry_id, result):
                told = {"entry_id": entry_id, "result": result}
                return ("error" if result == "condemned" else "debug"), told
            case EntriesResumed(count) | EntriesClaimed(count):
                return "info", {"count": count}
            case GroupOpened(created):
                place = {"stream": self._stream, "group": self._group, "created": created}
                return ("warning", {**place, "hint": _NEW_GROUP}) if created else ("debug", place)
            case ReadFailed(reason, sentence):  # the retry that follows is what is said
                return "debug", {"reason": reason, "sentence": sentence}
            case RetryScheduled():
                return "warning", self._failure(notice)
            case DependencyRefused():
                return "error", self._failure(notice)
            case DependencyAnswered(dependency):
                return "info", self._recovery(dependency)
            case BacklogMeasured():
                return "debug", {name: getattr(notice, name) for name in _BACKLOG}
            case StreamSilent(stream, age_s, busy):
                silence = "never had an entry" if age_s is None else f"silent for {age_s:.0f} s"
                fields = {"stream": stream, "age_s": age_s, "busy": list(busy)}
                return "warning", {**fields, "sentence": f"{stream} {silence}{_elsewhere(busy)}"}
            case IngestStopped(abandoned):
                return ("warning" if abandoned else "info"), {"abandoned": abandoned}
            case _:
                return self._live_line(notice)

    def _live_line(self, notice: Notice) -> tuple[str, Mapping[str, Any] | None]:
        match notice:
            case LiveStarted(known):
                return "info", {"known": known}
            case LiveStopped():
                return "info", {}
            case FeedOpened(after_id, quiet_until):
                return "debug", {"after_id": after_id, "quiet_until": quiet_until}
            case FeedFailed(doing, reason, sentence):  # of reading, the retry is what is said
                level = "debug" if doing == "reading" else "warning"
                return level, {"doing": doing, "reason": reason, "sentence": sentence}
            case GroupsReaped(names):
                return "info", {"groups": list(names)}
            case DeviceMapRead(devices, events):
                return self._mapped(devices, events)
            case DeviceMapFailed(reason, sentence):
                return self._unmapped(reason, sentence)
            case SnapshotTaken(size, seconds, fault):
                told = {"size": size, "seconds": round(seconds, 6)}
                if fault is None:
                    return "debug", told
                return self._now_and_then("snapshot", {**told, "sentence": fault})
            case FixesFannedOut(received_ms, _, frames, orphans, unused):
                counts = {"fixes": len(received_ms), "frames": frames, "orphans": orphans}
                return "debug", {**counts, **unused}
            case BatchesSent(received_ms, _, frames, conflated):
                counts = {"fixes": len(received_ms), "frames": frames, "conflated": conflated}
                return "debug", counts
            case LineClosed(code, conflated):
                return "debug", {"code": code, "conflated": conflated}
            case Answered() | AudienceCounted() | AuthAsked() | RechecksAged():
                return "debug", None  # numbers, and too many for lines
            case _:
                raise AssertionError(f"{type(notice).__name__} has no line")

    def _now_and_then(
        self, what: str, told: Mapping[str, Any]
    ) -> tuple[str, Mapping[str, Any] | None]:
        """Snapshots of a crowd that comes back while the database is away are one fault and not a
        thousand; states that cannot be read back need nobody to hurry."""
        now_s, said_s = self._elapsed(), self._said_s.get(what)
        if said_s is not None and now_s - said_s < REPEAT_S:
            return "debug", told
        self._said_s[what] = now_s
        return "warning", told

    def _mapped(self, devices: int, events: int) -> tuple[str, Mapping[str, Any] | None]:
        """The first map is said, an empty one as what it is, and that there is one again."""
        first, self._map_said = self._map_said != "read", "read"
        fields = {"devices": devices, "events": events}
        if not first:
            return "debug", fields
        return ("info", fields) if devices else ("warning", {**fields, "hint": _EMPTY_MAP})

    def _unmapped(self, reason: str, sentence: str) -> tuple[str, Mapping[str, Any] | None]:
        if self._map_said == reason:
            return "debug", {"reason": reason, "sentence": sentence}
        self._map_said = reason
        return "warning", {"reason": reason, "sentence": sentence}

    def _failure(self, notice: RetryScheduled | DependencyRefused) -> Mapping[str, Any] | None:
        now_s = self._elapsed()
        trouble = self._troubles.setdefault(notice.dependency, _Trouble(now_s))
        trouble.tries += 1
        said_s = trouble.said_s.get(notice.reason)
        if said_s is not None and now_s - said_s < REPEAT_S:
            return None
        trouble.said_s[notice.reason] = now_s
        return {
            "dependency": notice.dependency,
            "reason": notice.reason,
            "sentence": notice.sentence,
            "wait_s": round(notice.wait_s, 3),
            "tries": trouble.tries,
        }

    def _recovery(self, dependency: Dependency) -> Mapping[str, Any]:
        trouble = self._troubles.pop(dependency, None)
        if trouble is None:
            return {"dependency": dependency}
        away_s = round(self._elapsed() - trouble.began_s, 3)
        return {"dependency": dependency, "away_s": away_s, "tries": trouble.tries}


_FOUND_LATER = {Reason.REFUSED_BY_DATABASE, Reason.CONFLICT, Reason.KILLS_THE_PROCESS}
_NEW_GROUP = "expected at the very first start; otherwise the stream's name may be wrong"
_SUSPECTS = "handed out again and again: each is tried by itself, for one may end the process"
_EMPTY_MAP = "no device drives in any event: entry_devices is empty, and nobody sees anything"
_BACKLOG = tuple(attribute.name for attribute in fields_of(BacklogMeasured))
_MESSAGES = {
    kind: "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")
    for kind in Notice.__args__
}


def _counted(counts: Mapping[Reason, int]) -> dict[str, Any]:
    return {
        "count": sum(counts.values()),
        "reasons": {reason.value: count for reason, count in counts.items()},
    }


def _elsewhere(busy: Any) -> str:
    return (
        f", while {', '.join(busy)} had traffic: is REDIS_TELEMETRY_STREAM right?" if busy else ""
    )
