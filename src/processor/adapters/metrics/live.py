"""The numbers of the live role, beside those of the process (ingest.py)."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from processor.adapters.metrics.series import PREFIX, BulkHistogram, Series
from processor.core.notices import (
    Answered,
    AudienceCounted,
    AuthAsked,
    BatchesSent,
    FixesFannedOut,
    LineClosed,
    Notice,
    RechecksAged,
    SnapshotTaken,
)

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
"""From the millisecond of an idle fan-out; half of all must be within 50 ms."""

ASKED_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Directus answers in ten milliseconds, or in five seconds not at all."""

SNAPSHOT_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5)
"""From a handful of devices to the timeout."""

SNAPSHOT_SIZE = (0, 1, 10, 50, 100, 500, 1000, 5000)
"""Devices of an event."""

SENT = ("subscribed", "unsubscribed", "error", "position", "positions")
DROPPED = ("older", "ahead", "no-fix", "rejected", "conflated")


class LiveMetrics:
    """The Observer that counts what the live role does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        series = Series(registry)
        self._connections = series.gauge("live_connections", "browsers connected")
        self._subscriptions = series.gauge("live_subscriptions", "their subscriptions together")
        self._sent = series.counter("live_messages_sent", "messages sent to browsers", type=SENT)
        self._dropped = series.counter(
            "live_messages_dropped",
            "fixes not fit to be sent, and frames whose place a newer one took",
            reason=DROPPED,
        )
        self._orphans = series.counter("live_orphans", "new fixes of devices in no event")
        self._attempts = series.counter(
            "live_auth_attempts",
            "calls to Directus that ask who somebody is",
            result=("success", "unauthorized", "error"),
        )
        self._auth_s = series.histogram(
            "live_auth_duration_seconds", "a call that asks who somebody is", ASKED_S
        )
        self._authz_s = series.histogram(
            "live_authz_duration_seconds", "a call that asks what somebody may read", ASKED_S
        )
        self._snapshot_s = series.histogram(
            "live_snapshot_duration_seconds", "from the leave to read to the snapshot", SNAPSHOT_S
        )
        self._snapshot_size = series.histogram(
            "live_snapshot_size", "fixes in a snapshot", SNAPSHOT_SIZE
        )
        self._snapshots = series.counter(
            "live_snapshots",
            "snapshots sent; partial: the database did not answer, and live told what it knew",
            result=("whole", "partial"),
        )
        self._latency = BulkHistogram(
            f"{PREFIX}_live_latency_seconds", "from the entry's id to sent", LATENCY_S
        )
        registry.register(self._latency)
        self._recheck_s = series.gauge(
            "live_recheck_interval_seconds", "how long the browser that waits longest has waited"
        )

    def observe(self, notice: Notice) -> None:
        match notice:
            case FixesFannedOut(received_ms, at_ms, frames, orphans, unused):
                self._latency.observe(received_ms, at_ms)
                self._sent.labels("position").inc(frames)
                self._orphans.inc(orphans)
                self._drop(unused.items())
            case BatchesSent(received_ms, at_ms, frames, conflated):
                self._latency.observe(received_ms, at_ms)
                self._sent.labels("positions").inc(frames)
                self._drop([("conflated", conflated)])
            case Answered(kind):
                self._sent.labels(kind).inc()
            case AudienceCounted(connections, subscriptions):
                self._connections.set(connections)
                self._subscriptions.set(subscriptions)
            case SnapshotTaken(size, seconds, fault):
                self._snapshot_s.observe(seconds)
                self._snapshot_size.observe(size)
                self._snapshots.labels("partial" if fault else "whole").inc()
            case AuthAsked(question, result, seconds):
                if question == "identify":
                    self._attempts.labels(result).inc()
                (self._auth_s if question == "identify" else self._authz_s).observe(seconds)
            case RechecksAged(longest_s):
                self._recheck_s.set(longest_s)
            case LineClosed(_, conflated):
                self._drop([("conflated", conflated)])
            case _:
                pass

    def _drop(self, counts: Iterable[tuple[str, int]]) -> None:
        for reason, count in counts:
            self._dropped.labels(reason).inc(count)
