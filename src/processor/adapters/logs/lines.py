"""Log lines on stderr: one JSON object each, or one line for a person at a terminal.

`message` is always the constant name of what happened, and everything that varies is a field: what
a device wrote is never a format string and cannot forge a line. Nothing is said per position; what
happens with every batch is said at debug, because a line costs about 100 us. loguru's `diagnose`
is off: it prints the values of local variables, and a DSN is one of them.
"""

import contextlib
import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
from loguru import logger

if TYPE_CHECKING:
    from loguru import Message, Record

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

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
