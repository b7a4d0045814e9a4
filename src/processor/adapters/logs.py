"""Log lines on stderr: one JSON object each, or one line for a person at a terminal.

`message` is always the constant name of what happened, and everything that varies is a field: what
a device wrote is never a format string and cannot forge a line. Nothing is said per position; what
happens with every batch is said at debug, because a line costs about 100 us. loguru's `diagnose`
is off: it prints the values of local variables, and a DSN is one of them.

A server that is away fails a call every few seconds for hours. The first failure is said, then
one a minute, with the number of those in between.
"""

import contextlib
import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
from attrs import define, field
from attrs import fields as fields_of
from loguru import logger

from processor.core.errors import Dependency, Reason
from processor.core.notices import (
    Answered,
    AudienceCounted,
    AuthAsked,
    BacklogMeasured,
    BatchesSent,
    BatchWritten,
    DeadLettersSent,
    DependencyAnswered,
    DependencyRefused,
    DeviceMapFailed,
    DeviceMapRead,
    DevicesObserved,
    EntriesAcknowledged,
    EntriesClaimed,
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
    RechecksAged,
    RetryScheduled,
    SnapshotTaken,
    StreamSilent,
)

if TYPE_CHECKING:
    from loguru import Message, Record

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
REPEAT_S = 60.0
"""A fault that lasts is said once a minute: often enough to be seen, too seldom to bury others."""

_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31;1"}


def configure(
    *, level: str, pretty: bool, service: str, instance_id: str, colour: bool = False
) -> None:
    """Send everything that is logged in this process, by us or by a library, to stderr.

    `level` is one of LEVELS. Called again, it replaces what was configured before.
    """
    write = _Lines(
        sys.stderr,
        pretty=pretty,
        colour=colour,
        traces=level == "debug",
        who={"service": service, "instance_id": instance_id},
    )
    logger.remove()
    logger.add(
        write,
        level=LEVELS[level],
        format="{message}",
        backtrace=False,
        diagnose=False,
        enqueue=False,
        catch=True,
    )
    logging.basicConfig(handlers=[_Library()], level=logging.WARNING, force=True)
    # asyncio at debug says every callback; what it warns of (an exception nobody awaited) matters.
    for name in ("asyncio", "uvicorn", "uvicorn.error", "redis", "asyncpg"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def say(level: str, message: str, error: BaseException | None = None, /, **fields: Any) -> None:
    """Log one happening. `message` is its constant name; `error` adds what went wrong, and its
    traceback if LOG_LEVEL is debug."""
    logger.bind(**fields).opt(exception=error).log(level.upper(), message)


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
        self._partial_s: float | None = None

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
            case EntriesRejected(counts, sentences):
                return "error", {**_counted(counts), "examples": list(sentences)}
            case DeadLettersSent(counts):
                # What could not be decoded was said when it was found; the rest only here.
                said_before = counts.keys().isdisjoint(_FOUND_BY_DATABASE)
                return ("debug" if said_before else "error"), _counted(counts)
            case EntriesLost(reason, count, first_id, last_id):
                ids = {"first_id": first_id, "last_id": last_id}
                return "error", {"stream": self._stream, "reason": reason, "count": count, **ids}
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
                return self._partial({**told, "sentence": fault}) if fault else ("debug", told)
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

    def _partial(self, told: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
        """A crowd that comes back while the database is away is one fault, not a thousand."""
        now_s = self._elapsed()
        if self._partial_s is not None and now_s - self._partial_s < REPEAT_S:
            return "debug", told
        self._partial_s = now_s
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


_FOUND_BY_DATABASE = {Reason.REFUSED_BY_DATABASE, Reason.CONFLICT}
_NEW_GROUP = "expected at the very first start; otherwise the stream's name may be wrong"
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


class _Library(logging.Handler):
    """Whatever a library logs the standard way becomes a line of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        error = record.exc_info[1] if record.exc_info else None
        say(level, "library_said", error, library=record.name, text=record.getMessage())


class _Lines:
    """A loguru sink: writes one line for each message to a text stream."""

    def __init__(
        self, out: TextIO, *, pretty: bool, colour: bool, traces: bool, who: Mapping[str, str]
    ) -> None:
        self._out = out
        self._pretty = pretty
        self._colour = colour
        self._traces = traces
        self._who = who

    def __call__(self, message: "Message") -> None:
        record = message.record
        fields = dict(record["extra"])
        if record["exception"] is not None and (error := record["exception"].value) is not None:
            fields |= _described(error)
            if self._traces:
                fields["traceback"] = "".join(traceback.format_exception(error))
        line = self._for_people(record, fields) if self._pretty else self._json(record, fields)
        self._out.write(f"{line}\n")
        self._out.flush()

    def _json(self, record: "Record", fields: dict[str, Any]) -> str:
        at = record["time"].astimezone(UTC).isoformat(timespec="milliseconds")
        what = {"level": record["level"].name.lower(), "message": record["message"], **self._who}
        line = {"time": at.replace("+00:00", "Z"), **what}
        line |= {name: value for name, value in fields.items() if name not in line}
        with contextlib.suppress(UnicodeEncodeError):  # a lone surrogate, which UTF-8 cannot say
            text = msgspec.json.encode(line, enc_hook=str)
            if text.isascii():
                return text.decode()
        # Outside of ASCII there are line ends and terminal controls that JSON need not escape.
        return json.dumps(line, default=str)

    def _for_people(self, record: "Record", fields: dict[str, Any]) -> str:
        level = record["level"].name.lower()
        shown = f"{level:<7}"
        if self._colour:
            shown = f"\x1b[{_COLOURS[level]}m{shown}\x1b[0m"
        told = " ".join(f"{name}={_told(value)}" for name, value in fields.items())
        at = datetime.fromtimestamp(record["time"].timestamp()).astimezone()
        return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {shown} {record['message']} {told}"


def _described(error: BaseException) -> dict[str, str]:
    """What it was, and where; of a group, its first error, for that one stopped the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    described = {"error": f"{type(error).__name__}: {error}"}
    if frames := list(traceback.walk_tb(error.__traceback__)):
        frame, line = frames[-1]
        described["where"] = f"{frame.f_globals.get('__name__')}:{line}"
    return described


def _told(value: Any) -> str:
    """A value on one line: nothing in it can end the line or drive the terminal."""
    if isinstance(value, str):
        return value if value.isidentifier() else json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_told(k)}: {_told(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_told(each) for each in value) + "]"
    return str(value)
