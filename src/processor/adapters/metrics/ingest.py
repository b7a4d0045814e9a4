"""The numbers of the process and of ingest."""

import asyncio
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf, nan

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from processor.adapters.metrics.series import PREFIX, BulkHistogram, Series, UncheckedGauge
from processor.core.errors import Dependency, Reason
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
    EntriesLost,
    EntriesRead,
    EntriesRejected,
    InFlight,
    Notice,
    ReadFailed,
    RecallFailed,
    RecallSkipped,
    RetryScheduled,
    SuspectsCounted,
    TrialEnded,
)

LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""From the 4 ms of an idle pipeline to the half hour of a stream that was left alone."""

WRITE_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
"""From a handful of rows to a statement timeout and its retries."""

LOOP_LAG_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
"""A turn of the loop that takes 50 ms is a defect; below 10 ms nobody waits for it."""

FOUND_LATER = (Reason.REFUSED_BY_DATABASE, Reason.KILLS_THE_PROCESS, Reason.CONFLICT)
NOT_DECODED = [reason for reason in Reason if reason not in FOUND_LATER]


class Metrics:
    """The Observer that counts. `registry` holds everything, also for the default process metrics.

    `retry_reasons` are the reasons that the adapters in use may give, so that their series exist.
    """

    def __init__(
        self,
        *,
        version: str,
        roles: Sequence[str] = ("ingest",),
        dependencies: Sequence[Dependency] = ("stream", "database"),
        retry_reasons: Mapping[Dependency, Iterable[str]] | None = None,
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        Info("build", "version of this service", namespace=PREFIX, registry=self.registry).info(
            {"version": version, "python": platform.python_version()}
        )
        series = Series(self.registry)
        self._reads = series.counter(
            "consumer_reads", "reads of the stream", result=("ok", "empty", "error")
        )
        self._records = series.counter("consumer_records", "new entries read from the stream")
        self._lag = series.gauge("consumer_lag", "entries that the group has not read")
        self._lag_s = series.gauge("consumer_lag_seconds", "age of the oldest of those")
        self._pending = series.gauge("consumer_pending", "entries read and not acknowledged")
        self._age_s = series.gauge(
            "stream_last_entry_age_seconds", "age of the newest entry; +Inf: never had one"
        )
        self._headroom_s = series.gauge(
            "stream_headroom_seconds", "until trimming reaches what is unread; NaN: not known"
        )
        self._latency = BulkHistogram(
            f"{PREFIX}_ingest_latency_seconds", "from the entry's id to acknowledged", LATENCY_S
        )
        self.registry.register(self._latency)
        self._decode_errors = series.counter(
            "decode_errors", "entries without an acceptable position", reason=NOT_DECODED
        )
        self._writes = series.counter(
            "position_writes", "records written", status=("inserted", "duplicate", "failed")
        )
        self._write_s = Histogram(
            "position_write_duration_seconds",
            "one batch until it is durable, retries included",
            namespace=PREFIX,
            registry=self.registry,
            buckets=WRITE_S,
        )
        self._acks = series.counter("acks", "entries acknowledged")
        self._claimed = series.counter("claimed", "entries taken over from other consumers")
        self._reaped = series.counter("consumers_reaped", "dead consumers removed from the group")
        self._suspects = series.gauge(
            "suspect_entries", "entries handed out so often that each is tried by itself"
        )
        self._trials = series.counter(
            "trials",
            "trials of such an entry, by how they ended",
            result=("passed", "unavailable", "condemned"),
        )
        self._in_flight = series.gauge("in_flight_entries", "entries read, not yet acknowledged")
        self._retries = Counter(
            "retries",
            "calls that failed and are tried again",
            ("dependency", "reason"),
            namespace=PREFIX,
            registry=self.registry,
        )
        for dependency, reasons in (retry_reasons or {}).items():
            for reason in reasons:
                self._retries.labels(dependency, reason)
        self._dead_letters = series.counter(
            "dead_letters", "entries put into the dead letters", reason=list(Reason)
        )
        self._dead_letters_kept = UncheckedGauge(
            f"{PREFIX}_dead_letters", "length of the dead-letter stream"
        )
        self.registry.register(self._dead_letters_kept)
        self._lost = series.counter(
            "entries_lost",
            "entries trimmed before they were stored",
            reason=("trimmed", "trimmed-unread"),
        )
        self._devices = series.gauge("device_state_size", "devices whose state is remembered")
        self._evicted = series.counter("device_state_evictions", "devices forgotten for room")
        self._rehydrations = series.counter(
            "rehydrations",
            "unknown devices, by what the database had of them",
            result=("found", "none", "failed", "skipped"),
        )
        self._notes_dropped = series.counter(
            "track_changes_dropped", "change notes that nobody took within 24 hours"
        )
        self._chunks_dropped = series.counter(
            "chunks_dropped", "chunks of positions dropped as POSITIONS_DROP_AFTER says"
        )
        self._chunks_compressed = series.counter(
            "chunks_compressed", "chunks of positions compressed as POSITIONS_COMPRESS_AFTER says"
        )
        self._ready = series.gauge("role_ready", "1 where the role can work", role=roles)
        self._up = series.gauge(
            "dependency_up", "1 where it answered lately", dependency=dependencies
        )
        self._loop_lag_s = Histogram(
            "event_loop_lag_seconds",
            "by how much a timer of the event loop was late",
            namespace=PREFIX,
            registry=self.registry,
            buckets=LOOP_LAG_S,
        )
        series.gauge("event_loop_tasks", "tasks of the event loop").set_function(_tasks)
        for unknown in (self._age_s, self._headroom_s):
            unknown.set(nan)  # 0 would be an alarm, and nothing was measured yet

    def observe(self, notice: Notice) -> None:
        match notice:
            case EntriesRead(count):
                self._reads.labels("ok" if count else "empty").inc()
                self._records.inc(count)
            case ReadFailed():
                self._reads.labels("error").inc()
            case BatchWritten(inserted, duplicate, failed, seconds):
                self._writes.labels("inserted").inc(inserted)
                self._writes.labels("duplicate").inc(duplicate)
                self._writes.labels("failed").inc(failed)
                self._write_s.observe(seconds)
            case EntriesAcknowledged(received_ms, at_ms):
                self._acks.inc(len(received_ms))
                self._latency.observe(received_ms, at_ms)
            case InFlight(count):
                self._in_flight.set(count)
            case DevicesObserved(known, evicted):
                self._devices.set(known)
                self._evicted.inc(evicted)
            case DevicesRecalled(found, none):
                self._rehydrations.labels("found").inc(found)
                self._rehydrations.labels("none").inc(none)
            case RecallFailed(devices):
                self._rehydrations.labels("failed").inc(devices)
            case RecallSkipped(devices):
                self._rehydrations.labels("skipped").inc(devices)
            case EntriesRejected(counts):
                for reason, count in counts.items():
                    self._decode_errors.labels(reason).inc(count)
            case DeadLettersSent(counts):
                for reason, count in counts.items():
                    self._dead_letters.labels(reason).inc(count)
            case EntriesClaimed(count):
                self._claimed.inc(count)
            case ConsumersReaped(names):
                self._reaped.inc(len(names))
            case SuspectsCounted(count):
                self._suspects.set(count)
            case TrialEnded(_, result):
                self._trials.labels(result).inc()
            case EntriesLost(reason, count):
                self._lost.labels(reason).inc(count)
            case RetryScheduled(dependency, reason) | DependencyRefused(dependency, reason):
                self._retries.labels(dependency, reason).inc()
                self._up.labels(dependency).set(0)
            case DependencyAnswered(dependency):
                self._up.labels(dependency).set(1)
            case BacklogMeasured():
                self._stand(notice)
            case _:
                pass  # GroupOpened, EntriesResumed, StreamSilent, IngestStopped: lines, not numbers

    def _stand(self, backlog: BacklogMeasured) -> None:
        self._lag.set(backlog.lag)
        self._lag_s.set(backlog.lag_s)
        self._pending.set(backlog.pending)
        self._dead_letters_kept.set(backlog.dead_letters)
        self._age_s.set(inf if backlog.last_entry_age_s is None else backlog.last_entry_age_s)
        self._headroom_s.set(nan if backlog.headroom_s is None else backlog.headroom_s)

    def probed(self, dependency: Dependency, *, up: bool) -> None:
        """The periodic probe of a dependency was answered, or was not."""
        self._up.labels(dependency).set(up)

    def loop_late(self, seconds: float) -> None:
        """A timer of the event loop was late by so much."""
        self._loop_lag_s.observe(seconds)

    def notes_dropped(self, count: int) -> None:
        """So many change notes were dropped for their age."""
        self._notes_dropped.inc(count)

    def chunks_dropped(self, count: int) -> None:
        """So many chunks of positions were dropped for their age."""
        self._chunks_dropped.inc(count)

    def chunks_compressed(self, count: int) -> None:
        """So many chunks of positions were compressed for their age."""
        self._chunks_compressed.inc(count)

    def watch_role(self, role: str, ready: Callable[[], bool]) -> None:
        """Ask `ready` whenever the metrics are read."""
        self._ready.labels(role).set_function(ready)

    def exposition(self) -> tuple[bytes, str]:
        """Everything in Prometheus' text format, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


def _tasks() -> int:
    """0 where no loop runs: nobody's tasks."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
