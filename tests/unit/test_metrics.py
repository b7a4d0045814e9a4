"""Metrics: the contract's names, every series from the start, latencies in bulk."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from processor.adapters.metrics.ingest import LATENCY_S, Metrics
from processor.adapters.metrics.series import BulkHistogram
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
    ReadFailed,
    RecallFailed,
    RecallSkipped,
    RetryScheduled,
    StreamSilent,
    SuspectsCounted,
    TrialEnded,
)

CONTRACT = {
    "consumer_reads_total",
    "consumer_records_total",
    "consumer_lag",
    "consumer_lag_seconds",
    "consumer_pending",
    "stream_last_entry_age_seconds",
    "stream_headroom_seconds",
    "ingest_latency_seconds",
    "decode_errors_total",
    "position_writes_total",
    "position_write_duration_seconds",
    "acks_total",
    "claimed_total",
    "in_flight_entries",
    "retries_total",
    "dead_letters_total",
    "dead_letters",
    "entries_lost_total",
    "device_state_size",
    "device_state_evictions_total",
    "rehydrations_total",
    "role_ready",
    "dependency_up",
    "event_loop_lag_seconds",
    "build_info",
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="1.2.3", retry_reasons={"stream": ["connection"], "database": ["full"]})


def values(metrics: Metrics) -> dict[str, float]:
    """Every sample of ours by `name{label=value}`, without the prefix."""
    body, content_type = metrics.exposition()
    assert content_type.startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if sample.name.startswith("processor_"):
                labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
                name = sample.name.removeprefix("processor_")
                found[f"{name}{{{labels}}}" if labels else name] = sample.value
    return found


OURS = {
    "track_changes_dropped_total",
    "chunks_dropped_total",
    "chunks_compressed_total",
    "consumers_reaped_total",
    "event_loop_tasks",
    "suspect_entries",
    "trials_total",
}
"""What the contract wants counted without naming the metric."""


def test_the_names_are_those_of_the_contract_and_no_others(metrics: Metrics) -> None:
    names = {key.partition("{")[0] for key in values(metrics)}
    plain = {
        name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in names
    }
    assert plain == CONTRACT | OURS


def test_the_default_process_metrics_are_there(metrics: Metrics) -> None:
    body = metrics.exposition()[0].decode()
    assert "process_resident_memory_bytes" in body
    assert "python_gc_objects_collected_total" in body


def test_every_series_exists_from_the_start_at_0_and_no_alarm_is_on(metrics: Metrics) -> None:
    fresh = values(metrics)
    for reason in Reason:
        assert fresh[f"dead_letters_total{{reason={reason}}}"] == 0
    assert fresh["consumer_reads_total{result=error}"] == 0
    assert fresh["position_writes_total{status=duplicate}"] == 0
    assert fresh["entries_lost_total{reason=trimmed-unread}"] == 0
    assert fresh["retries_total{dependency=database,reason=full}"] == 0
    assert "decode_errors_total{reason=conflict}" not in fresh, "decoding never finds one"
    assert math.isnan(fresh["stream_headroom_seconds"])
    assert math.isnan(fresh["stream_last_entry_age_seconds"])


def test_each_notice_moves_its_numbers(metrics: Metrics) -> None:
    for notice in [
        GroupOpened(created=True),
        EntriesRead(7),
        EntriesRead(0),
        ReadFailed("connection", "away"),
        EntriesResumed(2),
        EntriesClaimed(3),
        EntriesKept(5),
        ConsumersReaped(["a", "b"]),
        SuspectsCounted(6),
        TrialEnded("1-0", "condemned"),
        EntriesLost("trimmed", 4, "1-0", "2-0"),
        EntriesRejected({Reason.FIELD_TYPE: 2}, ["1-0: latitude"]),
        BatchWritten(5, 2, 1, 0.02),
        DeadLettersSent({Reason.FIELD_TYPE: 2, Reason.CONFLICT: 1}),
        EntriesAcknowledged([1_000, 1_900], 2_000),
        DevicesObserved(9, 1),
        DevicesRecalled(found=5, none=2),
        RecallFailed(3, "timeout", "PostgreSQL did not answer in time"),
        RecallSkipped(4),
        InFlight(12),
        RetryScheduled("stream", "connection", "away", 0.1),
        DependencyRefused("database", "schema", "no table", 30.0),
        DependencyAnswered("stream"),
        BacklogMeasured(10, 2.5, 6, 8, None, 90.0),
        StreamSilent("telemetry:x", None, []),
        IngestStopped(0),
    ]:
        metrics.observe(notice)
    after = values(metrics)
    assert {key: value for key, value in after.items() if value and "bucket" not in key} == {
        "build_info{python=" + after_python(after) + ",version=1.2.3}": 1,
        "consumer_reads_total{result=ok}": 1,
        "consumer_reads_total{result=empty}": 1,
        "consumer_reads_total{result=error}": 1,
        "consumer_records_total": 7,
        "claimed_total": 3,
        "consumers_reaped_total": 2,
        "suspect_entries": 6,
        "trials_total{result=condemned}": 1,
        "entries_lost_total{reason=trimmed}": 4,
        "decode_errors_total{reason=field-type}": 2,
        "position_writes_total{status=inserted}": 5,
        "position_writes_total{status=duplicate}": 2,
        "position_writes_total{status=failed}": 1,
        "position_write_duration_seconds_count": 1,
        "position_write_duration_seconds_sum": 0.02,
        "dead_letters_total{reason=field-type}": 2,
        "dead_letters_total{reason=conflict}": 1,
        "acks_total": 2,
        "ingest_latency_seconds_count": 2,
        "ingest_latency_seconds_sum": 1.1,
        "device_state_size": 9,
        "device_state_evictions_total": 1,
        "rehydrations_total{result=found}": 5,
        "rehydrations_total{result=none}": 2,
        "rehydrations_total{result=failed}": 3,
        "rehydrations_total{result=skipped}": 4,
        "in_flight_entries": 12,
        "retries_total{dependency=stream,reason=connection}": 1,
        "retries_total{dependency=database,reason=schema}": 1,
        "dependency_up{dependency=stream}": 1,
        "consumer_lag": 10,
        "consumer_lag_seconds": 2.5,
        "consumer_pending": 6,
        "dead_letters": 8,
        "stream_last_entry_age_seconds": math.inf,
        "stream_headroom_seconds": 90,
    }


def after_python(found: dict[str, float]) -> str:
    (key,) = [key for key in found if key.startswith("build_info")]
    return key.partition("python=")[2].partition(",")[0]


def test_a_probe_and_a_role_are_told_from_outside(metrics: Metrics) -> None:
    ready = [False]
    metrics.watch_role("ingest", lambda: ready[0])
    metrics.probed("database", up=True)
    metrics.loop_late(0.3)
    assert values(metrics)["role_ready{role=ingest}"] == 0
    ready[0] = True
    after = values(metrics)
    assert after["role_ready{role=ingest}"] == 1
    assert after["dependency_up{dependency=database}"] == 1
    assert after["event_loop_lag_seconds_bucket{le=0.25}"] == 0
    assert after["event_loop_lag_seconds_bucket{le=0.5}"] == 1


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 4_000_000), max_size=30), st.integers(1_000_000, 3_000_000)
        ),
        max_size=5,
    )
)
def test_a_histogram_in_bulk_counts_as_one_by_one(batches: list[tuple[list[int], int]]) -> None:
    histogram = BulkHistogram("x", "x", LATENCY_S)
    took_s = []
    for began_ms, ended_ms in batches:
        histogram.observe(began_ms, ended_ms)
        took_s += [max(0, ended_ms - began) / 1000 for began in began_ms]
    (family,) = histogram.collect()
    samples = {(s.name, s.labels.get("le")): s.value for s in family.samples}
    for bound in LATENCY_S:
        assert samples["x_bucket", str(float(bound))] == sum(took <= bound for took in took_s)
    assert samples["x_bucket", "+Inf"] == samples["x_count", None] == len(took_s)
    assert samples["x_sum", None] == pytest.approx(sum(took_s))
