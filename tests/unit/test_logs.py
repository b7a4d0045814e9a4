"""Log lines: one object each, whatever is in them, and no more than are worth reading."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from processor.adapters.logs import Logs, configure, say
from processor.core.errors import Reason
from processor.core.notices import (
    BacklogMeasured,
    BatchWritten,
    ConsumersReaped,
    DeadLettersSent,
    DependencyAnswered,
    DependencyRefused,
    DevicesObserved,
    DevicesRecalled,
    EntriesAcknowledged,
    EntriesClaimed,
    EntriesKept,
    EntriesLost,
    EntriesRead,
    EntriesRejected,
    EntriesResumed,
    GroupOpened,
    InFlight,
    IngestStopped,
    Notice,
    ReadFailed,
    RecallFailed,
    RecallSkipped,
    RetryScheduled,
    StreamSilent,
    SuspectsCounted,
    TrialEnded,
)

BACKLOG = BacklogMeasured(0, 0.0, 0, 0, None, None)


@attrs.define
class Written:
    """What was written to stderr."""

    stream: io.StringIO

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def text(self) -> str:
        return self.stream.getvalue()


@contextlib.contextmanager
def configured(**settings: Any) -> Iterator[Written]:
    """Logging as `processor run` sets it up, into a text; everything as before afterwards."""
    handlers, level = logging.root.handlers[:], logging.root.level
    stream = io.StringIO()
    defaults = {"level": "debug", "pretty": False, "service": "processor", "instance_id": "a-1"}
    try:
        with contextlib.redirect_stderr(stream):
            configure(**{**defaults, **settings})
            yield Written(stream)
    finally:
        logger.remove()
        logging.captureWarnings(capture=False)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


@pytest.fixture
def now_s() -> list[float]:
    return [0.0]


@pytest.fixture
def observing(now_s: list[float]) -> Callable[..., Logs]:
    def make(level: str = "debug") -> Logs:
        return Logs(stream="telemetry:x", group="processor", level=level, elapsed=lambda: now_s[0])

    return make


def test_a_line_is_one_json_object_with_the_names_of_the_contract() -> None:
    with configured() as written:
        say("info", "batch_written", inserted=3)
    (line,) = written.lines()
    assert list(line) == ["time", "level", "message", "service", "instance_id", "inserted"]
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line == {
        "level": "info",
        "message": "batch_written",
        "service": "processor",
        "instance_id": "a-1",
        "inserted": 3,
    }


@given(st.text())
def test_no_text_breaks_a_line_or_is_taken_for_a_format(text: str) -> None:
    with configured() as written:
        say("error", "entries_rejected", text=text, braces="{} {0} {text} <red>")
    (line,) = written.lines()
    assert written.text().count("\n") == 1
    assert line["text"].encode(errors="replace") == text.encode(errors="replace")
    assert line["braces"] == "{} {0} {text} <red>"


def test_a_lone_surrogate_is_said_all_the_same() -> None:
    with configured() as written:
        say("error", "entries_rejected", text="\ud800")
    assert written.lines()[0]["text"] == "\ud800"


@given(st.text())
def test_a_pretty_line_is_one_line_and_drives_no_terminal(text: str) -> None:
    with configured(pretty=True) as written:
        say("warning", "entries_rejected", text=text, many=[text], counts={text: 1})
    line = written.text().removesuffix("\n")
    assert line.isprintable()
    assert "warning entries_rejected" in line


def test_colours_are_only_for_those_who_asked() -> None:
    with configured(pretty=True, colour=True) as written:
        say("error", "crashed")
    assert "\x1b[31;1m" in written.text()


def test_fields_cannot_pretend_to_be_the_line_itself() -> None:
    with configured() as written:
        say("info", "started", level="error", service="x", time="yesterday")
    (line,) = written.lines()
    assert (line["level"], line["service"]) == ("info", "processor")


def test_what_is_too_quiet_is_not_said() -> None:
    with configured(level="warning") as written:
        say("info", "started")
        say("warning", "stream_silent")
    assert [line["message"] for line in written.lines()] == ["stream_silent"]


@pytest.mark.parametrize("level", ["debug", "info"])
def test_an_error_has_its_traceback_only_at_debug_and_never_its_variables(level: str) -> None:
    def connect(dsn: str) -> None:
        raise ConnectionError("away")

    with configured(level=level) as written:
        try:
            connect("postgresql://u:hunter2@host/d")
        except ConnectionError as error:
            say("error", "crashed", error)
    (line,) = written.lines()
    assert line["error"] == "ConnectionError: away"
    assert ("traceback" in line) == (level == "debug")
    assert "dsn" not in line or "hunter2" not in written.text()
    # The source line of the call is part of a traceback; the value of `dsn` is not.
    assert written.text().count("hunter2") == written.text().count('connect(\\"postgresql')


def test_libraries_are_heard_from_warning_on_and_in_our_form() -> None:
    with configured() as written:
        logging.getLogger("uvicorn.error").info("Started server process")
        logging.getLogger("asyncio").debug("Using selector")
        logging.getLogger("redis").warning("odd %s", "{thing}")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=True)  # catch_warnings has put its own in place
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            logging.captureWarnings(capture=False)
    odd, old = written.lines()
    assert (odd["message"], odd["library"], odd["text"]) == ("library_said", "redis", "odd {thing}")
    assert old["library"] == "py.warnings"


@pytest.mark.parametrize(
    ("notice", "level"),
    [
        (GroupOpened(created=True), "warning"),
        (GroupOpened(created=False), "debug"),
        (EntriesRead(5), "debug"),
        (ReadFailed("connection", "away"), "debug"),
        (EntriesResumed(1), "info"),
        (EntriesClaimed(1), "info"),
        (EntriesKept(4), "debug"),
        (ConsumersReaped(["a-1"]), "info"),
        (SuspectsCounted(2), "warning"),
        (SuspectsCounted(0), "debug"),
        (TrialEnded("1-0", "passed"), "debug"),
        (TrialEnded("1-0", "condemned"), "error"),
        (EntriesLost("trimmed", 2, "1-0", "2-0"), "error"),
        (EntriesRejected({Reason.FIELD_TYPE: 2}, ["1-0: latitude"]), "error"),
        (BatchWritten(1, 0, 0, 0.1), "debug"),
        (DeadLettersSent({Reason.FIELD_TYPE: 2}), "debug"),
        (DeadLettersSent({Reason.CONFLICT: 1, Reason.FIELD_TYPE: 2}), "error"),
        (DeadLettersSent({Reason.KILLS_THE_PROCESS: 1}), "error"),
        (EntriesAcknowledged([1, 2], 3), "debug"),
        (DevicesObserved(1, 0), "debug"),
        (DevicesRecalled(2, 1), "debug"),
        (RecallFailed(3, "timeout", "no answer"), "warning"),
        (RecallSkipped(3), "debug"),
        (InFlight(1), "debug"),
        (RetryScheduled("stream", "connection", "away", 0.1), "warning"),
        (DependencyRefused("database", "schema", "no table", 30.0), "error"),
        (DependencyAnswered("stream"), "info"),
        (BACKLOG, "debug"),
        (StreamSilent("telemetry:x", None, ["telemetry:y"]), "warning"),
        (IngestStopped(0), "info"),
        (IngestStopped(3), "warning"),
    ],
)
def test_each_notice_is_a_line_of_its_level(
    notice: Notice, level: str, observing: Callable[..., Logs]
) -> None:
    with configured() as written:
        observing().observe(notice)
    (line,) = written.lines()
    assert line["level"] == level
    assert line["message"].replace("_", "") == type(notice).__name__.lower()


def test_a_quiet_batch_says_nothing_at_info(observing: Callable[..., Logs]) -> None:
    with configured(level="info") as written:
        logs = observing("info")
        for notice in [
            EntriesRead(5),
            BatchWritten(5, 0, 0, 0.1),
            DevicesObserved(5, 0),
            EntriesAcknowledged([1], 2),
            InFlight(0),
            BACKLOG,
        ]:
            logs.observe(notice)
    assert written.text() == ""


def test_states_that_cannot_be_read_back_are_said_once_a_minute(
    observing: Callable[..., Logs], now_s: list[float]
) -> None:
    with configured(level="info") as written:
        logs = observing("info")
        for second in (0, 10, 59, 60, 61):
            now_s[0] = float(second)
            logs.observe(RecallFailed(second + 1, "timeout", "no answer"))
    assert [line["devices"] for line in written.lines()] == [1, 61]


def test_bad_records_are_said_once_a_batch_with_reasons_and_examples(
    observing: Callable[..., Logs],
) -> None:
    with configured() as written:
        observing().observe(
            EntriesRejected(
                {Reason.FIELD_TYPE: 2, Reason.TOO_LARGE: 1}, ["1-0: latitude: expected a number"]
            )
        )
    (line,) = written.lines()
    assert line["count"] == 3
    assert line["reasons"] == {"field-type": 2, "too-large": 1}
    assert line["examples"] == ["1-0: latitude: expected a number"]


def test_silence_names_the_streams_that_do_have_traffic(observing: Callable[..., Logs]) -> None:
    with configured() as written:
        observing().observe(StreamSilent("telemetry:x", None, ["telemetry:y"]))
    (line,) = written.lines()
    assert line["busy"] == ["telemetry:y"]
    assert "never had an entry, while telemetry:y had traffic" in line["sentence"]


def test_a_fault_that_lasts_is_said_at_once_and_then_once_a_minute(
    observing: Callable[..., Logs], now_s: list[float]
) -> None:
    away = RetryScheduled("database", "connection", "away", 5.0)
    with configured() as written:
        logs = observing()
        for second in range(0, 150, 5):
            now_s[0] = float(second)
            logs.observe(away)
        now_s[0] = 151.0
        logs.observe(RetryScheduled("database", "full", "no space left", 30.0))
        logs.observe(RetryScheduled("stream", "connection", "away", 0.1))
        now_s[0] = 160.0
        logs.observe(DependencyAnswered("database"))
        logs.observe(away)
    said = [(line["message"], line.get("reason"), line.get("tries")) for line in written.lines()]
    assert said == [
        ("retry_scheduled", "connection", 1),
        ("retry_scheduled", "connection", 13),
        ("retry_scheduled", "connection", 25),
        ("retry_scheduled", "full", 31),
        ("retry_scheduled", "connection", 1),
        ("dependency_answered", None, 31),
        ("retry_scheduled", "connection", 1),
    ]
    assert written.lines()[5]["away_s"] == 160
