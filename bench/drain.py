"""How fast a subject empties a stream that was filled before, and what that costs.

Measured from outside and for all alike: the clock runs from the first entry that the group was
given until the last one is acknowledged, CPU over the same interval (starting the program is not
in it). Nobody reports about himself. Afterwards the table is compared: as many rows as there are
different fixes, with the same content whoever wrote them.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import psutil

from bench.place import Place, cpu
from bench.subjects import Start, Subject, Target

LOOK_EVERY_S = 0.005
STARTED_WITHIN_S = 40
DRAINED_WITHIN_S = 120
STOPPED_WITHIN_S = 25


class Failed(Exception):
    """A subject did not do its work; one sentence."""


class Run(msgspec.Struct):
    """One measurement. CPU in microseconds per record, memory in MiB at its highest."""

    records_per_s: float
    client_us: float
    redis_us: float
    postgres_us: float | None
    peak_mib: float
    seconds: float
    rows: int
    content: str | None


@contextmanager
def running(start: Start) -> Iterator[tuple[psutil.Process, IO[bytes]]]:
    """The subject's process and its log; told to stop at the end, and made to if it does not."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            start.command,
            env={**os.environ, **start.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield psutil.Process(child.pid), log
        finally:
            child.terminate()
            try:
                child.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


class Work(msgspec.Struct):
    """What was loaded into the stream, and what has to come of it."""

    records: int
    rows: int
    last_id: bytes
    duplicates: bool


def drain(place: Place, subject: Subject, batch: int | None, target: Target, work: Work) -> Run:
    """One run over the whole stream. Raises Failed."""
    place.emptied()
    place.wire.ask("XGROUP", "CREATE", target.stream, target.group, 0)
    try:
        with running(subject.start(target, batch, work.duplicates)) as (process, log):

            def reached(entry_id: bytes | None, within_s: float) -> None:
                _wait_for(place, target, entry_id, within_s, process, log)

            reached(None, STARTED_WITHIN_S)
            started, before = time.perf_counter(), _costs(place, process)
            reached(work.last_id, DRAINED_WITHIN_S)
            seconds, after = time.perf_counter() - started, _costs(place, process)
            peak_mib = _peak_mib(process)
    finally:
        place.wire.ask("XGROUP", "DESTROY", target.stream, target.group)
    rows, content = place.fingerprint()
    if rows != work.rows:
        raise Failed(f"it left {rows} rows instead of {work.rows}")
    client, redis, postgres = (
        None if start is None or end is None else (end - start) / work.records * 1e6
        for start, end in zip(before, after, strict=True)
    )
    assert client is not None
    assert redis is not None
    return Run(work.records / seconds, client, redis, postgres, peak_mib, seconds, rows, content)


def group_of(place: Place, target: Target) -> dict[bytes, Any]:
    """XINFO GROUPS for the one group of `target`: one look, so its parts fit together."""
    for flat in place.wire.ask("XINFO", "GROUPS", target.stream):
        group = dict(zip(flat[::2], flat[1::2], strict=True))
        if group[b"name"].decode() == target.group:
            return group
    raise Failed("the group is gone")


def _wait_for(
    place: Place,
    target: Target,
    entry_id: bytes | None,
    within_s: float,
    process: psutil.Process,
    log: IO[bytes],
) -> None:
    """Until everything up to `entry_id` is acknowledged; None: until anything was read."""
    deadline = time.monotonic() + within_s
    while True:
        group = group_of(place, target)
        delivered = group[b"last-delivered-id"]
        if entry_id is None and delivered != b"0-0":
            return
        if delivered == entry_id and not group[b"pending"]:
            return
        if process.status() == psutil.STATUS_ZOMBIE:
            raise Failed(f"it ended: {last_words(log)}")
        if time.monotonic() > deadline:
            raise Failed(
                f"not done within {within_s:.0f} s: {group[b'pending']} pending, read up to "
                f"{delivered.decode()}; {last_words(log)}"
            )
        time.sleep(LOOK_EVERY_S)


def last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def _costs(place: Place, process: psutil.Process) -> tuple[float, float, float | None]:
    """Seconds of CPU so far: client, Redis, PostgreSQL."""
    return cpu(process), place.redis_cpu(), place.postgres_cpu()


def _peak_mib(process: psutil.Process) -> float:
    """The kernel's own high-water mark where it keeps one, else what is used now."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return process.memory_info().rss / 2**20
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
