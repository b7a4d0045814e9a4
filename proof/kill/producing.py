"""The producer: goes on all the time, whoever is being killed."""

import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import redis
from attrs import frozen
from redis.backoff import NoBackoff
from redis.retry import Retry

from proof.ledger import acknowledged_up_to, order
from proof.records import PANIC, Record, Trackers

BURST_MEAN = 60
FLOOD = 12
"""One burst in so many is that many times as long: some writes are large enough to go by COPY."""
PAUSE_S = 0.25
AGAIN_S = 0.05
SETTLED_KEPT = 2000
"""First records that are acknowledged, from which those with a known key are chosen."""


@frozen
class Produced:
    """Everything that was handed over, and that of which the server said so. `unsure` counts the
    records whose reply was lost: they were said again, whether or not they had been heard."""

    sent: Sequence[Record]
    confirmed: Sequence[Record]
    unsure: int


class Producer(threading.Thread):
    """Sends bursts until it is told to end. It has no retries but its own."""

    def __init__(self, url: str, stream: str, chance: random.Random) -> None:
        super().__init__(name="producer", daemon=True)
        self._client = redis.Redis.from_url(
            url, protocol=2, socket_timeout=2.0, retry=Retry(NoBackoff(), 0)
        )
        self._stream = stream
        self._chance = chance
        self._trackers = Trackers(chance)
        self._ending = threading.Event()
        self._abandoned = False
        self._failed: BaseException | None = None
        self._sent: list[Record] = []
        self._confirmed: list[Record] = []
        self._unsure = 0
        self._open: deque[tuple[tuple[int, int], Record]] = deque()
        self._settled: deque[Record] = deque(maxlen=SETTLED_KEPT)

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                self._look_back()
                count = 1 + int(self._chance.expovariate(1 / BURST_MEAN))
                if self._chance.random() < 1 / FLOOD:
                    count *= FLOOD
                self._hand_over(self._trackers.some(count, self._settled))
                self._ending.wait(self._chance.uniform(0, 2 * PAUSE_S))
        except BaseException as error:
            self._failed = error
        finally:
            self._client.close()

    def abandon(self) -> None:
        """End as soon as may be; what was produced is of no interest any more."""
        self._abandoned = True
        self._ending.set()

    def end(self) -> Produced:
        """What was produced. The server has to be up: what was begun is still handed over."""
        self._ending.set()
        self.join()
        if self._failed is not None:
            raise self._failed
        return Produced(self._sent, self._confirmed, self._unsure)

    def _hand_over(self, records: Sequence[Record]) -> None:
        """As a producer must: what is not confirmed is said again. Before the first word, because
        an entry of which no reply came was sent all the same."""
        self._sent.extend(records)
        while not self._abandoned:
            pipeline = self._client.pipeline(transaction=False)
            for record in records:
                fields: Any = record.fields
                pipeline.xadd(self._stream, fields)
            try:
                ids = pipeline.execute()
            except (redis.RedisError, OSError):
                self._unsure += len(records)
                time.sleep(AGAIN_S)
                continue
            self._confirmed.extend(records)
            self._open.extend(
                (order(entry_id), record)
                for entry_id, record in zip(ids, records, strict=True)
                if record.first and record.row and record.row[6] < PANIC
            )
            return

    def _look_back(self) -> None:
        """Which first records are acknowledged by now, and so are rows for good."""
        try:
            done = acknowledged_up_to(self._client, self._stream, "processor")
        except (redis.RedisError, OSError, StopIteration):
            return  # the server is away, or there is no group yet
        while self._open and self._open[0][0] <= done:
            self._settled.append(self._open.popleft()[1])
