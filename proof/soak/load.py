"""The trackers: so many records a second, whatever happens to Redis meanwhile."""

import random
import threading
import time
from collections import deque
from datetime import UTC, datetime

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bench.entries import Mix, entries

TICK_S = 0.1
AGAIN_S = 0.2
MAXLEN = 50_000
"""Some minutes of records: the stream is to be in the state in which it stays for ever."""

TWICE, LATE, BAD, UNFIT = 0.02, 0.01, 0.002, 0.005

BAD_PAYLOADS = (
    b"", b"{", b"[" * 2_000, b'{"device_id":"\xff"}', b'{"device_id":1}', b'{"x":"\\u0000"}',
    b'{"attributes":"%b"}' % (b"x" * 70_000),
)  # fmt: skip


class Trackers(threading.Thread):
    """Sends `rate` records a second from `devices` devices, until it is told to end."""

    def __init__(self, url: str, stream: str, rate: int, devices: int, seed: int) -> None:
        super().__init__(name="trackers", daemon=True)
        self._url, self._stream, self._rate = url, stream, rate
        self._chance = random.Random(seed)
        mix = Mix(2_000, devices=min(devices, 2_000), seed=seed)
        # Real ones, of which only the device and the time are put in anew.
        self._patterns = [_pattern(each) for each in entries(mix, 0)]
        self.devices = [f"35{number:013d}" for number in range(devices)]
        self._recent: deque[dict[bytes, bytes]] = deque(maxlen=500)
        self._ending = threading.Event()
        self.sent = 0
        self.bad = 0

    def run(self) -> None:
        client = redis.Redis.from_url(
            self._url, protocol=2, socket_timeout=2.0, retry=Retry(NoBackoff(), 0)
        )
        due = time.monotonic()
        with client:
            while not self._ending.is_set():
                batch = [self._record() for _ in range(max(1, round(self._rate * TICK_S)))]
                self._hand_over(client, batch)
                due = max(due + TICK_S, time.monotonic() - 1)
                self._ending.wait(max(0.0, due - time.monotonic()))

    def end(self) -> None:
        self._ending.set()
        self.join()

    def _hand_over(self, client: redis.Redis, batch: list[dict[bytes, bytes]]) -> None:
        while not self._ending.is_set():
            try:
                with client.pipeline(transaction=False) as pipe:
                    for fields in batch:
                        pipe.xadd(self._stream, dict(fields), maxlen=MAXLEN, approximate=True)
                    pipe.execute()
            except redis.RedisError:
                self._ending.wait(AGAIN_S)
            else:
                self.sent += len(batch)
                return

    def _record(self) -> dict[bytes, bytes]:
        chance = self._chance
        way = chance.random()
        if way < BAD:
            self.bad += 1
            return {b"codec": b"8E", b"payload": chance.choice(BAD_PAYLOADS)}
        if way < BAD + TWICE and self._recent:
            return chance.choice(self._recent)
        now_s = time.time()
        if way < BAD + TWICE + LATE:
            now_s -= chance.uniform(60, 86_400)
        elif way < BAD + TWICE + LATE + UNFIT:
            now_s += 3_600
        at = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        head, tail = chance.choice(self._patterns)
        text = f'{head}{chance.choice(self.devices)}","timestamp":"{at}{tail}'
        record = {b"ts": at.encode(), b"device_id": b"", b"codec": b"8E", b"payload": text.encode()}
        self._recent.append(record)
        return record


def _pattern(entry: dict[str, str]) -> tuple[str, str]:
    """A payload around its device and its time, which stand first."""
    device, timestamp, payload = entry["device_id"], entry["ts"], entry["payload"]
    head, _, rest = payload.partition(device)
    return head, rest.partition(timestamp)[2]
