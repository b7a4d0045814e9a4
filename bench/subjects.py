"""Who is measured, how each is started, and why one cannot be.

Every subject is a program that reads one consumer group and writes `positions` until SIGTERM. All
get the same servers, stream, group and table; the processor gets them through its settings.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
PREPARED_WITHIN_S = 240


class Target(msgspec.Struct, frozen=True):
    """Where to read and write."""

    redis: str
    postgres: str
    stream: str
    group: str


class Start(msgspec.Struct, frozen=True):
    command: list[str]
    environment: Mapping[str, str] = {}


class Subject(msgspec.Struct, frozen=True):
    """`batches` are the read sizes to try, of which the better one counts; None is its own default.
    `start` says how to run it, and `missing` why that is impossible (None: it is possible)."""

    name: str
    label: str
    batches: tuple[int | None, ...]
    start: Callable[[Target, int | None, bool], Start]
    missing: Callable[[], str | None] = lambda: None


def _runner(name: str, target: Target, batch: int | None) -> Start:
    return Start([sys.executable, "-m", f"bench.runners.{name}", *_arguments(target, batch)])


def _arguments(target: Target, batch: int | None) -> list[str]:
    return [
        *("--redis", target.redis, "--postgres", target.postgres),
        *("--stream", target.stream, "--group", target.group, "--batch", str(batch)),
    ]


def _bound(target: Target, batch: int | None, duplicates: bool) -> Start:
    start = _runner("bound", target, batch)
    return Start([*start.command, "--staged"]) if duplicates else start


def _naive(target: Target, batch: int | None, duplicates: bool) -> Start:
    return _runner("naive", target, batch)


def _processor(target: Target, batch: int | None, duplicates: bool) -> Start:
    """Its defaults in everything, log and metrics and change notes included."""
    environment = {
        "REDIS_URL": target.redis,
        "POSTGRES_URL": target.postgres,
        "ROLES": "ingest",
        "REDIS_TELEMETRY_STREAM": target.stream,
        "REDIS_CONSUMER_GROUP": target.group,
        "INSTANCE_ID": "bench",
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": "0",
    }
    return Start([str(Path(sys.executable).parent / "processor"), "run"], environment)


def processor_missing() -> str | None:
    command = [str(Path(sys.executable).parent / "processor"), "run", "--help"]
    return _said(command, "processor run does not start")


NODE = HERE / "peers" / "node"


def _node(target: Target, batch: int | None, duplicates: bool) -> Start:
    return Start(["node", str(NODE / "worker.js"), *_arguments(target, batch)])


def _node_tuned(target: Target, batch: int | None, duplicates: bool) -> Start:
    start = _node(target, batch, duplicates)
    return Start([*start.command, "--tuned"])


def npm_installed(folder: Path) -> str | None:
    """The packages that the lock in `folder` names are there, or why they cannot be."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"no {program} on this machine"
    done = folder / "node_modules" / ".package-lock.json"
    lock = folder / "package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return None
    npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    return _said(npm, "npm ci failed")


def _node_missing() -> str | None:
    return npm_installed(NODE)


FASTSTREAM = HERE / "peers" / "faststream"


def _faststream_python() -> Path:
    """An environment of its own, outside the tree, made again when the lock changes."""
    lock = (FASTSTREAM / "requirements.lock").read_bytes()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"faststream-{version}-{hashlib.sha256(lock).hexdigest()[:12]}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rally-processor" / "bench" / name / "bin" / "python"


def _faststream(target: Target, batch: int | None, duplicates: bool) -> Start:
    script = FASTSTREAM / "subscriber.py"
    return Start([str(_faststream_python()), str(script), *_arguments(target, batch)])


def _faststream_missing() -> str | None:
    python = _faststream_python()
    home = python.parent.parent
    ready = home / ".ready"
    if ready.exists():
        return None
    lock = str(FASTSTREAM / "requirements.lock")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    why = _said([sys.executable, "-m", "venv", "--clear", str(home)], "no virtual environment")
    why = why or _said([*pip, "--require-hashes", "-r", lock], "pip install failed")
    if why is None:
        ready.touch()
    return why


def _said(command: list[str], what: str) -> str | None:
    """Run it; what went wrong in a line, or None."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PREPARED_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{what}: {error}"
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
    return f"{what}: {lines[-1][:160]}"


PROCESSOR = Subject("processor", "processor", (None,), _processor, processor_missing)
BOUND = Subject("bound", "the bound", (1000,), _bound)
NAIVE = Subject("naive", "naive loop", (1000,), _naive)
NODE_PEER = Subject("node", "Node worker", (100, 1000), _node, _node_missing)
NODE_TUNED = Subject("node-tuned", "Node, tuned", (1000,), _node_tuned, _node_missing)
FASTSTREAM_PEER = Subject("faststream", "FastStream", (100, 1000), _faststream, _faststream_missing)
SUBJECTS = (BOUND, PROCESSOR, NODE_PEER, NODE_TUNED, FASTSTREAM_PEER, NAIVE)
FOLLOWERS = (PROCESSOR, NAIVE, NODE_PEER, FASTSTREAM_PEER)
"""Those whose latency is measured."""
