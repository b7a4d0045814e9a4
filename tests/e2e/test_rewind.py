"""After a database was restored to an older state: what is missing comes back out of the stream."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from typing import Any


def rewind(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "processor", "rewind", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_rows_that_a_restore_has_lost_come_back_while_the_service_runs(
    service: Any,
    producer: Any,
    query: Any,
    eventually: Any,
    redis_url: str,
    database_url: str,
    rights: Any,
) -> None:
    source = producer(redis_url)
    ids = [source.add(source.payload(n, speed=n % 200)) for n in range(2_000)]
    running = service("a", redis_url, database_url, source.stream)
    other = service("b", redis_url, database_url, source.stream)
    running.ready()
    other.ready()
    eventually(source.settled, "everything is stored")
    stored = "SELECT device_id, ts, speed FROM positions ORDER BY ts, device_id"
    rows = asyncio.run(query(database_url, stored))
    assert len(rows) == 2_000
    delete = "DELETE FROM positions WHERE ts >= $1 RETURNING 1"
    restored = source.began + timedelta(seconds=100)
    lost = asyncio.run(query(database_url, delete, restored))
    assert len(lost) == 1_000
    environ = {"REDIS_URL": rights.redis(redis_url), "REDIS_TELEMETRY_STREAM": source.stream}
    told = rewind(environ, ids[900])
    assert told.returncode == 0, told.stderr
    assert "1100 entries are read again" in told.stdout
    eventually(lambda: source.redis.xinfo_groups(source.stream)[0]["lag"] == 0, "it is read again")
    eventually(source.settled, "and acknowledged")
    assert asyncio.run(query(database_url, stored)) == rows

    def both(sample: str) -> float:
        return sum(each.metric(sample) for each in (running, other))

    assert both('processor_position_writes_total{status="duplicate"}') == 100
    assert both('processor_entries_lost_total{reason="trimmed-unread"}') == 0
    eventually(lambda: both("processor_consumer_lag") == 0, "the metric says so, too")
