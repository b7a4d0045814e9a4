"""What the live role says of itself: log lines, metrics, readiness."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

import pytest
from loguru import logger
from prometheus_client import CollectorRegistry

from processor.adapters.logs import Logs, configure
from processor.adapters.metrics.live import LiveMetrics
from processor.adapters.probes import LiveHearing, Readiness
from processor.core.live.newest import Use
from processor.core.notices import (
    Answered,
    AudienceCounted,
    AuthAsked,
    BatchesSent,
    DependencyAnswered,
    DependencyRefused,
    DeviceMapFailed,
    DeviceMapRead,
    FeedFailed,
    FeedOpened,
    FixesFannedOut,
    GroupsReaped,
    LineClosed,
    LiveStarted,
    LiveStopped,
    Notice,
    RechecksAged,
    RetryScheduled,
    SnapshotTaken,
)

CONTRACT = {
    "live_connections",
    "live_subscriptions",
    "live_messages_sent_total",
    "live_messages_dropped_total",
    "live_orphans_total",
    "live_auth_attempts_total",
    "live_auth_duration_seconds",
    "live_authz_duration_seconds",
    "live_snapshot_duration_seconds",
    "live_snapshot_size",
    "live_latency_seconds",
    "live_recheck_interval_seconds",
}
OURS = {"live_snapshots_total"}
"""What the contract wants counted without naming the metric."""

FANNED_OUT = FixesFannedOut([1_000, 1_960], 2_000, 40, 3, {"older": 2, "rejected": 1})
EMPTY = DeviceMapRead(0, 0)
MISSING = DeviceMapFailed("business-schema", "entry_devices is missing")


# ---- log lines


@contextmanager
def heard() -> Iterator[tuple[Logs, list[dict[str, object]]]]:
    """Logs at debug, and the lines that were written when the block is over."""
    lines: list[dict[str, object]] = []
    with redirect_stderr(io.StringIO()) as written:
        configure(level="debug", pretty=False, service="processor", instance_id="a-1")
        yield Logs(stream="s", group="g", level="debug", elapsed=lambda: 0.0), lines
        logger.remove()
        lines += map(json.loads, written.getvalue().splitlines())


@pytest.mark.parametrize(
    ("notice", "level"),
    [
        (FeedOpened("1-0", "2-0"), "debug"),
        (FeedFailed("reading", "connection", "away"), "debug"),
        (FeedFailed("reaping", "permission", "no eval"), "warning"),
        (LiveStarted(3), "info"),
        (LiveStopped(), "info"),
        (FANNED_OUT, "debug"),
        (BatchesSent([1_960], 2_000, 4, 5), "debug"),
        (GroupsReaped(["live-broadcast-b"]), "info"),
        (DeviceMapRead(40, 1), "info"),
        (EMPTY, "warning"),
        (MISSING, "warning"),
        (SnapshotTaken(40, 0.01, None), "debug"),
        (SnapshotTaken(40, 1.5, "no answer in time"), "warning"),
        (LineClosed(4499, 12), "debug"),
    ],
)
def test_each_notice_is_a_line_of_its_level(notice: Notice, level: str) -> None:
    with heard() as (logs, lines):
        logs.observe(notice)
    (line,) = lines
    assert line["level"] == level
    assert str(line["message"]).replace("_", "") == type(notice).__name__.lower()


@pytest.mark.parametrize(
    "notice",
    [
        Answered("error"),
        AudienceCounted(1, 1),
        AuthAsked("identify", "success", 0.01),
        RechecksAged(60.0),
    ],
)
def test_what_is_only_a_number_is_no_line(notice: Notice) -> None:
    with heard() as (logs, lines):
        logs.observe(notice)
    assert lines == []


def test_a_map_is_said_when_it_changes_between_there_and_not_there() -> None:
    said = [DeviceMapRead(40, 1)] * 2 + [MISSING] * 2 + [DeviceMapRead(41, 1)] * 2
    with heard() as (logs, lines):
        for notice in said:
            logs.observe(notice)
    assert [line["level"] for line in lines] == [
        "info",
        "debug",
        "warning",
        "debug",
        "info",
        "debug",
    ]


def test_a_crowd_of_partial_snapshots_is_one_warning() -> None:
    with heard() as (logs, lines):
        for _ in range(3):
            logs.observe(SnapshotTaken(2, 1.5, "no answer in time"))
    assert [line["level"] for line in lines] == ["warning", "debug", "debug"]


# ---- metrics


def values(registry: CollectorRegistry) -> dict[str, float]:
    return {
        sample.name.removeprefix("processor_")
        + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_the_names_are_those_of_the_contract_and_all_are_there_at_0() -> None:
    registry = CollectorRegistry()
    LiveMetrics(registry)
    fresh = values(registry)
    names = {name.partition("{")[0] for name in fresh}
    plain = {name.removesuffix("_sum").removesuffix("_count") for name in names}
    assert plain == CONTRACT | OURS
    assert set(fresh.values()) == {0}
    for use in set(Use) - {Use.NEW}:
        assert f"live_messages_dropped_total{{{use}}}" in fresh


def test_each_notice_moves_its_numbers() -> None:
    registry = CollectorRegistry()
    metrics = LiveMetrics(registry)
    for notice in [
        FANNED_OUT,
        BatchesSent([1_960], 2_000, 4, 5),
        Answered("subscribed"),
        AudienceCounted(7, 9),
        AuthAsked("identify", "unauthorized", 0.25),
        AuthAsked("may-read", "success", 0.5),
        RechecksAged(61.0),
        SnapshotTaken(40, 0.125, None),
        SnapshotTaken(2, 1.5, "no answer in time"),
        LineClosed(4499, 12),
        LiveStopped(),
    ]:
        metrics.observe(notice)
    assert {name: value for name, value in values(registry).items() if value} == {
        "live_latency_seconds_count": 3,
        "live_latency_seconds_sum": 1.08,
        "live_messages_sent_total{position}": 40,
        "live_messages_sent_total{positions}": 4,
        "live_messages_sent_total{subscribed}": 1,
        "live_messages_dropped_total{older}": 2,
        "live_messages_dropped_total{rejected}": 1,
        "live_messages_dropped_total{conflated}": 17,
        "live_orphans_total": 3,
        "live_connections": 7,
        "live_subscriptions": 9,
        "live_auth_attempts_total{unauthorized}": 1,
        "live_auth_duration_seconds_count": 1,
        "live_auth_duration_seconds_sum": 0.25,
        "live_authz_duration_seconds_count": 1,
        "live_authz_duration_seconds_sum": 0.5,
        "live_recheck_interval_seconds": 61,
        "live_snapshot_duration_seconds_count": 2,
        "live_snapshot_duration_seconds_sum": 1.625,
        "live_snapshot_size_count": 2,
        "live_snapshot_size_sum": 42,
        "live_snapshots_total{whole}": 1,
        "live_snapshots_total{partial}": 1,
    }


# ---- readiness


CHECKS = {"live": ("live-stream-accepts", "live", "device-map")}


def test_live_is_ready_once_it_reads_and_has_asked_for_its_map() -> None:
    readiness = Readiness(CHECKS, elapsed=lambda: 0.0)
    hearing = LiveHearing(readiness)
    readiness.note("live-stream-accepts", ok=True, lasting=True)
    hearing.observe(LiveStarted(0))
    assert not readiness.ready("live"), "nobody has asked for the map"
    hearing.observe(MISSING)
    assert readiness.ready("live"), "it was asked for, and what is missing is said"
    assert "entry_devices" in readiness.checks("live")["device-map"].said
    hearing.observe(EMPTY)
    assert readiness.checks("live")["device-map"].said == "empty"
    hearing.observe(LiveStopped())
    assert not readiness.ready("live")


@pytest.mark.parametrize(
    "trouble",
    [
        RetryScheduled("stream", "connection", "away", 0.1),
        DependencyRefused("stream", "credentials", "wrong password", 30.0),
    ],
)
def test_live_is_unready_while_its_stream_fails_whatever_the_database_does(trouble: Notice) -> None:
    readiness = Readiness(CHECKS, elapsed=lambda: 0.0)
    hearing = LiveHearing(readiness)
    readiness.note("live-stream-accepts", ok=True, lasting=True)
    for notice in (LiveStarted(0), EMPTY, RetryScheduled("database", "connection", "away", 0.1)):
        hearing.observe(notice)
    assert readiness.ready("live")
    hearing.observe(trouble)
    assert not readiness.ready("live")
    hearing.observe(DependencyAnswered("stream"))
    assert readiness.ready("live")
