"""One run: begin, strike, heal, wait for quiet, add up."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from attrs import frozen

from processor.entrypoints.demo import programs, sql
from processor.entrypoints.demo.process import Server
from processor.entrypoints.demo.servers import Postgres, Valkey
from proof.kill.chaos import Blows, Chaos
from proof.kill.producing import Producer
from proof.ledger import Sum, judge, look, settled

STREAM = "telemetry:kill"
STILL_S = 60.0  # when nothing has moved for so long, nothing will


@frozen
class Outcome:
    """What was done, and what came of it. `quiet_s`: from the last record to the last
    acknowledgement."""

    seed: int
    seconds: float
    quiet_s: float
    blows: Blows
    total: Sum
    unsure: int
    taken_over: int

    @property
    def faults(self) -> Sequence[str]:
        return [*self.blows.faults, *self.total.faults]


@contextmanager
def servers() -> Iterator[tuple[Server, Server]]:
    """Durable ones of our own: what they have confirmed survives a SIGKILL, so the sum is exact."""
    with ExitStack() as stack:
        valkey = stack.enter_context(Valkey(durable=True))
        timescale = programs.timescale() is not None
        postgres = stack.enter_context(Postgres(durable=True, timescale=timescale))
        if timescale:
            sql.execute(postgres.url, "CREATE EXTENSION timescaledb")
        yield valkey, postgres


def run(
    valkey: Server,
    postgres: Server,
    folder: Path,
    *,
    seed: int,
    enough: Callable[[Blows], bool],
    tell: Callable[[Blows], None] = lambda blows: None,
    redis_url: str = "",
    postgres_url: str = "",
) -> Outcome:
    """Strike until it is `enough`, and add up. The servers are durable, fresh, and ours to kill;
    where URLs are given, the instances use those, with the user in them. `folder` is for what the
    instances say. From the main thread: servers and processes end with it."""
    settings = {
        "REDIS_URL": redis_url or valkey.url,
        "POSTGRES_URL": postgres_url or postgres.url,
        "REDIS_TELEMETRY_STREAM": STREAM,
    }
    chance = random.Random(seed)
    began, since = time.monotonic(), datetime.now(UTC)
    chaos = Chaos(folder, settings, valkey, postgres, chance)
    try:
        chaos.begin()
        producer = Producer(valkey.url, STREAM, random.Random(chance.random()))
        producer.start()
        try:
            chaos.strike_until(enough, tell)
            chaos.heal()
        except BaseException:
            producer.abandon()
            raise
        produced = producer.end()
        last = time.monotonic()
        _wait_for_quiet(valkey.url)
        quiet_s = time.monotonic() - last
        chaos.end()
        found = asyncio.run(look(valkey.url, postgres.url, STREAM, since=since))
        return Outcome(
            seed=seed,
            seconds=time.monotonic() - began,
            quiet_s=quiet_s,
            blows=chaos.blows,
            total=judge(produced.sent, produced.confirmed, found),
            unsure=produced.unsure,
            taken_over=chaos.taken_over(),
        )
    finally:
        chaos.clear()


def _wait_for_quiet(url: str) -> None:
    """Until everything is read and acknowledged; or until nothing moves any more, and then the sum
    will say what is not. Suspects are tried one at a time, which takes its time."""
    before, moved = None, time.monotonic()
    with redis.Redis.from_url(url, protocol=2) as client:
        while not settled(client, STREAM) and time.monotonic() - moved < STILL_S:
            time.sleep(0.05)
            now: Any = client.xpending(STREAM, "processor"), client.xinfo_groups(STREAM)
            standing = now[0]["pending"], [group["last-delivered-id"] for group in now[1]]
            if standing != before:
                before, moved = standing, time.monotonic()
