"""One server with its audience, and what is measured of it, from outside and for all alike.

CPU is that of the server's process, user and system, over the same interval as the frames.
"""

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import msgspec
import psutil

from bench.drain import Failed, last_words, running
from bench.live.audience import Audience
from bench.live.figures import Followed, Saturated, quantile
from bench.live.frames import TEXT, masked, upgrade
from bench.live.offering import Offer
from bench.live.place import EVENT
from bench.live.subjects import Subject, Target
from bench.place import Place, cpu

READY_WITHIN_S = 40
GRACE_S = 3.0
"""After a load has ended, for what is still on its way."""
FIRST = 20
"""Clients that are there before memory is looked at: what a program loads for the first of them is
not what a connection costs."""


def subscribe(*, batch: bool = False, attributes: bool = False) -> str:
    asked: dict[str, object] = {"type": "subscribe", "topic": f"event:{EVENT}"}
    if batch:
        asked["frames"] = "batch"
    if attributes:
        asked["attributes"] = True
    return msgspec.json.encode(asked).decode()


class Server:
    """A subject that runs. Made by `serving`."""

    def __init__(
        self,
        place: Place,
        target: Target,
        process: psutil.Process,
        log: IO[bytes],
        audience: Audience,
    ) -> None:
        self.process = process
        self.log = log
        self.audience = audience
        self.offer = Offer(place.wire, target.stream)
        self.fat_offer = Offer(place.wire, target.stream, fat=True)

    def idle_kib(self, clients: int) -> float:
        """Let so many in, who want batches; what each of them costs while nothing moves."""
        text = subscribe(batch=True)
        self.audience.grow(FIRST, text)
        before = self.process.memory_info().rss
        self.audience.grow(clients, text)
        return (self.process.memory_info().rss - before) / 1024 / (clients - FIRST)

    def saturated(self, seconds: float) -> Saturated:
        """As many single frames as it can send, a bounded number under way."""
        self.audience.begin()
        used, begun = cpu(self.process), time.monotonic()
        added = self.offer.closed(self.audience, seconds)
        took = time.monotonic() - begun
        used, heard = cpu(self.process) - used, self.audience.end()
        self._all_there(heard.lost)
        frames = added * self.audience.size
        return Saturated(frames / took, used / frames * 1e6, used / took, heard.cpu_s / took)

    def followed(self, rate: float, seconds: float, *, fat: bool = False) -> Followed:
        """Single frames of so many entries a second."""
        self.audience.begin()
        used, begun = cpu(self.process), time.monotonic()
        added = (self.fat_offer if fat else self.offer).openly(rate, seconds)
        arrived, ends = 0, time.monotonic() + GRACE_S
        while arrived < added and (left_s := ends - time.monotonic()) > 0:
            arrived += self.audience.arrived(left_s)
        took = time.monotonic() - begun
        used, heard = cpu(self.process) - used, self.audience.end()
        self._all_there(heard.lost)
        wanted = added * self.audience.size
        return Followed(
            rate, used / took, quantile(heard.waited, 0.50), quantile(heard.waited, 0.99),
            wanted - heard.frames, used / wanted * 1e6,
        )  # fmt: skip

    def batched(self, rate: float, seconds: float) -> Followed:
        """Batches of so many positions a second for each client."""
        self.audience.begin()
        used, begun = cpu(self.process), time.monotonic()
        added = self.offer.openly(rate, seconds)
        time.sleep(0.3)  # the last tick, and its way
        took = time.monotonic() - begun
        used, heard = cpu(self.process) - used, self.audience.end()
        self._all_there(heard.lost)
        return Followed(
            rate, used / took, quantile(heard.waited, 0.50), quantile(heard.waited, 0.99),
            added - heard.positions, used / (added * self.audience.size) * 1e6,
        )  # fmt: skip

    def _all_there(self, lost: int) -> None:
        if lost:
            raise Failed(f"it lost {lost} of its {self.audience.size} clients")


@contextmanager
def serving(place: Place, subject: Subject) -> Iterator[Server]:
    """The subject on a stream and a port of its own, once an entry has reached a client."""
    stream = f"telemetry:bench-live-{subject.name}-{secrets.token_hex(3)}"
    target = Target(place.redis, place.postgres, stream, _free_port())
    try:
        with running(subject.start(target)) as (process, log):
            _wait_until_ready(Offer(place.wire, stream), target.port, process, log)
            with Audience(target.port) as audience:
                yield Server(place, target, process, log, audience)
    finally:
        place.wire.ask("DEL", stream)


def _wait_until_ready(offer: Offer, port: int, process: psutil.Process, log: IO[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.status() == psutil.STATUS_ZOMBIE:
            raise Failed(f"it ended: {last_words(log)}")
        try:
            if _hears(offer, port):
                return
        except OSError:
            pass  # it does not listen yet, or turns us away
        time.sleep(0.1)
    raise Failed(f"no frame within {READY_WITHIN_S} s: {last_words(log)}")


def _hears(offer: Offer, port: int) -> bool:
    """Does an entry that is added now reach a client that has subscribed?"""
    with socket.create_connection(("127.0.0.1", port), 2.0) as connection:
        connection.sendall(upgrade(port, "/ws-live"))
        if b" 101 " not in connection.recv(4096):
            return False
        connection.sendall(masked(TEXT, subscribe().encode()))
        heard = b""
        while b'"subscribed"' not in heard:
            heard = connection.recv(65_536)
            if not heard:
                return False
        offer.add()
        while heard and b'"position"' not in heard:
            heard = connection.recv(65_536)
        return bool(heard)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
