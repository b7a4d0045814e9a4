"""The Grafana dashboard, as a list of what it shows; processor.json beside it is made from this.

    python deploy/dashboards/processor.py

writes it again, and a test holds the two equal. To have it in Grafana: Dashboards, New, Import; or
put the JSON where its provisioning looks.

A chart is a title, a unit and queries. `{}` in a query stands for the labels that the variables at
the top of the dashboard choose; what all instances of a job see alike is shown once (`max`, `min`).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_suffix(".json")

CHOSEN = 'job=~"$job", instance=~"$instance"'
OURS = "and on (job, instance) processor_build_info"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

WIDTH, HEIGHT = 8, 7
"""Of a chart, in Grafana's grid of 24 columns: three beside each other."""

PER_SECOND, SECONDS, COUNT, BYTES, CORES, YES_NO = (
    "cps",
    "s",
    "short",
    "bytes",
    "none",
    "bool_yes_no",
)


def quantiles(metric: str, *shares: float) -> dict[str, str]:
    """A line for each share of all, such as 0.5 and 0.99."""
    buckets = f"sum by (le) (rate(processor_{metric}_bucket{{}}[$__rate_interval]))"
    return {f"p{share * 100:g}": f"histogram_quantile({share}, {buckets})" for share in shares}


def rates(metric: str, label: str) -> dict[str, str]:
    """A line for each value of a counter's label, of those that moved at all."""
    return {
        f"{{{{{label}}}}}": f"sum by ({label}) (rate(processor_{metric}{{}}[$__rate_interval])) > 0"
    }


def lately(metric: str, label: str = "") -> str:
    """How much a counter grew in a quarter of an hour: for what is rare, and counts singly."""
    by = f" by ({label})" if label else ""
    return f"sum{by} (increase(processor_{metric}{{}}[15m]))"


def rate(metric: str) -> str:
    return f"sum(rate(processor_{metric}{{}}[$__rate_interval]))"


def each(metric: str) -> dict[str, str]:
    """A line for each instance."""
    return {"{{instance}}": f"processor_{metric}{{}}"}


ROWS: Mapping[str, list[tuple[str, str, Mapping[str, str]]]] = {
    "Stream": [
        ("Entries not read", COUNT, {"lag": "max(processor_consumer_lag{})"}),
        ("Age of the oldest of those", SECONDS, {"lag": "max(processor_consumer_lag_seconds{})"}),
        (
            "Until trimming reaches what is unread",
            SECONDS,
            {"headroom": "min(processor_stream_headroom_seconds{})"},
        ),
        (
            "Age of the newest entry",
            SECONDS,
            {"age": "min(processor_stream_last_entry_age_seconds{})"},
        ),
        ("Entries read", PER_SECOND, {"read": rate("consumer_records_total")}),
        ("Reads", PER_SECOND, rates("consumer_reads_total", "result")),
    ],
    "Pipeline": [
        ("Records written", PER_SECOND, rates("position_writes_total", "status")),
        ("From the entry to acknowledged", SECONDS, quantiles("ingest_latency_seconds", 0.5, 0.99)),
        (
            "Read and not acknowledged",
            COUNT,
            {
                "pending in the group": "max(processor_consumer_pending{})",
                "in hand": "sum(processor_in_flight_entries{})",
            },
        ),
        (
            "Acknowledged, and taken over from others",
            PER_SECOND,
            {"acknowledged": rate("acks_total"), "taken over": rate("claimed_total")},
        ),
        (
            "Entries lost in 15 minutes",
            COUNT,
            {"{{reason}}": lately("entries_lost_total", "reason")},
        ),
        (
            "Dead consumers removed in 15 minutes",
            COUNT,
            {"removed": lately("consumers_reaped_total")},
        ),
    ],
    "Database": [
        (
            "A batch until it is durable",
            SECONDS,
            quantiles("position_write_duration_seconds", 0.5, 0.99),
        ),
        (
            "Calls that failed and are tried again",
            PER_SECOND,
            {
                "{{dependency}}: {{reason}}": "sum by (dependency, reason)"
                " (rate(processor_retries_total{}[$__rate_interval])) > 0"
            },
        ),
        (
            "Servers that answer",
            YES_NO,
            {"{{dependency}} {{instance}}": "processor_dependency_up{}"},
        ),
        (
            "Devices remembered, and forgotten for room in 15 minutes",
            COUNT,
            {
                "{{instance}}": "processor_device_state_size{}",
                "forgotten": lately("device_state_evictions_total"),
            },
        ),
        (
            "Unknown devices, by what the database had",
            PER_SECOND,
            rates("rehydrations_total", "result"),
        ),
        (
            "Old chunks and change notes in 15 minutes",
            COUNT,
            {
                "chunks dropped": lately("chunks_dropped_total"),
                "chunks compressed": lately("chunks_compressed_total"),
                "notes dropped": lately("track_changes_dropped_total"),
            },
        ),
    ],
    "Dead letters": [
        ("Kept", COUNT, {"letters": "max(processor_dead_letters{})"}),
        (
            "Put there in 15 minutes",
            COUNT,
            {"{{reason}}": lately("dead_letters_total", "reason")},
        ),
        (
            "Entries without an acceptable position",
            PER_SECOND,
            rates("decode_errors_total", "reason"),
        ),
        ("Entries to be tried alone", COUNT, each("suspect_entries")),
        (
            "Trials that ended in 15 minutes",
            COUNT,
            {"{{result}}": lately("trials_total", "result")},
        ),
    ],
    "Live": [
        ("Browsers connected", COUNT, each("live_connections")),
        ("Subscriptions", COUNT, each("live_subscriptions")),
        ("From the entry to sent", SECONDS, quantiles("live_latency_seconds", 0.5, 0.99)),
        ("Messages sent", PER_SECOND, rates("live_messages_sent_total", "type")),
        ("Not sent", PER_SECOND, rates("live_messages_dropped_total", "reason")),
        ("New fixes of devices in no event", PER_SECOND, {"orphans": rate("live_orphans_total")}),
        ("Who somebody is: answers", PER_SECOND, rates("live_auth_attempts_total", "result")),
        (
            "What Directus takes (99 of 100)",
            SECONDS,
            {
                "who somebody is": quantiles("live_auth_duration_seconds", 0.99)["p99"],
                "what they may read": quantiles("live_authz_duration_seconds", 0.99)["p99"],
            },
        ),
        (
            "Longest wait for a new look at a session",
            SECONDS,
            each("live_recheck_interval_seconds"),
        ),
        ("Snapshots", PER_SECOND, rates("live_snapshots_total", "result")),
        ("A snapshot takes", SECONDS, quantiles("live_snapshot_duration_seconds", 0.5, 0.99)),
        ("Fixes in a snapshot", COUNT, quantiles("live_snapshot_size", 0.5, 0.99)),
    ],
    "Process": [
        ("Ready", YES_NO, {"{{role}} {{instance}}": "processor_role_ready{}"}),
        (
            "Event loop, late by (99 of 100)",
            SECONDS,
            {
                "{{instance}}": "histogram_quantile(0.99, sum by (instance, le)"
                " (rate(processor_event_loop_lag_seconds_bucket{}[$__rate_interval])))"
            },
        ),
        ("Tasks", COUNT, {"{{instance}}": "processor_event_loop_tasks{}"}),
        # Everybody has metrics of these names: only instances that have ours are shown.
        (
            "Memory",
            BYTES,
            {"{{instance}}": f"process_resident_memory_bytes{{}} {OURS}"},
        ),
        (
            "CPU",
            CORES,
            {"{{instance}}": f"rate(process_cpu_seconds_total{{}}[$__rate_interval]) {OURS}"},
        ),
        (
            "Open files",
            COUNT,
            {"{{instance}}": f"process_open_fds{{}} {OURS}"},
        ),
        (
            "Up since",
            SECONDS,
            {
                "{{instance}} {{version}}": "(time() - process_start_time_seconds{})"
                " * on (job, instance) group_left (version) processor_build_info"
            },
        ),
    ],
}


def panels() -> Iterator[dict[str, Any]]:
    """Rows and charts, placed from left to right and from top to bottom."""
    number = top = 0
    for title, charts in ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": top},
            "panels": [],
        }
        top += 1
        for place, (name, unit, queries) in enumerate(charts):
            number += 1
            line, column = divmod(place, 24 // WIDTH)
            where = {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": top + line * HEIGHT}
            yield chart(name, unit, queries) | {"id": number, "gridPos": where}
        top += -(-len(charts) // (24 // WIDTH)) * HEIGHT


def chart(title: str, unit: str, queries: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": title,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "editorMode": "code",
                "expr": query.replace("{}", f"{{{CHOSEN}}}"),
                "legendFormat": legend,
                "range": True,
            }
            for place, (legend, query) in enumerate(queries.items())
        ],
    }


def variable(name: str, labels: str) -> dict[str, Any]:
    """One to choose from the values of a label; all of them at first."""
    query = f"label_values(processor_build_info{labels}, {name})"
    return {
        "type": "query",
        "name": name,
        "label": name,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,  # whenever the time range changes: instances come and go
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
    }


def dashboard() -> dict[str, Any]:
    return {
        "uid": "rally-processor",
        "title": "processor",
        "description": "Positions from the stream to the table and to the browsers",
        "tags": ["rally"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one crosshair over all charts
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                {
                    "type": "datasource",
                    "name": "datasource",
                    "label": "Prometheus",
                    "query": "prometheus",
                    "current": {},
                    "options": [],
                    "refresh": 1,
                    "regex": "",
                    "multi": False,
                    "includeAll": False,
                    "hide": 0,
                },
                variable("job", ""),
                variable("instance", '{job=~"$job"}'),
            ]
        },
        "panels": list(panels()),
    }


def written() -> str:
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(written(), encoding="utf-8")
