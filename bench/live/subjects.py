"""Who is measured, and how each is started: servers of `/ws-live` that read one stream.

All speak the same protocol to the same clients: a subscribe is answered, and from then on each
entry is a frame, or all that moved within 100 ms are one. The processor does more besides, and gets
no allowance for it.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.live.place import EVENT
from bench.subjects import HERE, Start, npm_installed, processor_missing

WS_PEER = HERE / "peers" / "ws"
BATCH_MS = 100


class Target(msgspec.Struct, frozen=True):
    """Where to read, and on which port to listen."""

    redis: str
    postgres: str
    stream: str
    port: int


class Subject(msgspec.Struct, frozen=True):
    name: str
    label: str
    start: Callable[[Target], Start]
    missing: Callable[[], str | None] = lambda: None


def _arguments(target: Target) -> list[str]:
    return [
        *("--redis", target.redis, "--stream", target.stream),
        *("--port", str(target.port), "--event", EVENT, "--batch-ms", str(BATCH_MS)),
    ]


def _runner(name: str) -> Callable[[Target], Start]:
    def start(target: Target) -> Start:
        return Start([sys.executable, "-m", f"bench.live.runners.{name}", *_arguments(target)])

    return start


def _processor(target: Target) -> Start:
    """Its defaults in everything but the door: nobody has to be asked who a client is, and one more
    than usual may come."""
    environment = {
        "ROLES": "live",
        "REDIS_URL": target.redis,
        "POSTGRES_URL": target.postgres,
        "REDIS_TELEMETRY_STREAM": target.stream,
        "INSTANCE_ID": "bench-live",
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": "0",
        "LIVE_AUTH": "open",
        "LIVE_WS_HOST": "127.0.0.1",
        "LIVE_WS_PORT": str(target.port),
        "LIVE_WS_ALLOW_NO_ORIGIN": "true",
        "LIVE_WS_MAX_CONNECTIONS": "2010",
        "LIVE_BATCH_INTERVAL_MS": str(BATCH_MS),
    }
    return Start([str(Path(sys.executable).parent / "processor"), "run"], environment)


def _node(target: Target) -> Start:
    return Start(["node", str(WS_PEER / "server.js"), *_arguments(target)])


BOUND = Subject("bound", "the bound", _runner("bound"))
PROCESSOR = Subject("processor", "processor", _processor, processor_missing)
NODE = Subject("node", "Node ws", _node, lambda: npm_installed(WS_PEER))
STARLETTE = Subject("starlette", "Starlette, stock", _runner("stock"))
SUBJECTS = (BOUND, PROCESSOR, NODE, STARLETTE)
