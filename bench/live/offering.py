"""Entries for the stream, each stamped with the moment at which it is added.

Devices report in turn, so that at `rate` entries a second each of `DEVICES` moves every
DEVICES / rate seconds, and entries come evenly spaced, as those of many trackers do. A load is
offered openly (so many a second, whatever becomes of them) or closed (so many in flight).
"""

import time
from datetime import UTC, datetime

import hiredis

from bench.drain import Failed
from bench.entries import Mix, entries
from bench.live.audience import Audience
from bench.wire import Wire

DEVICES = 1_000
IN_FLIGHT_FRAMES = 6_000
"""At saturation: some fifty milliseconds of work, so that the server never waits; a client's share
of it is far from what a socket holds."""
STUCK_S = 5.0
STAMP = "0000-00-00T00:00:00.000Z"
FAT_BYTES = 3_900
"""With it a payload is as long as the decoder takes in its fast gear."""


def devices() -> list[str]:
    return [entry["device_id"] for entry in entries(Mix(DEVICES, devices=DEVICES), 0)]


class Offer:
    """What is offered to one stream. `fat` makes each bag of attributes 4 KB."""

    def __init__(self, wire: Wire, stream: str, *, fat: bool = False) -> None:
        self._wire = wire
        self._commands = []
        for entry in entries(Mix(DEVICES, devices=DEVICES), 0):
            payload = entry["payload"].replace(entry["ts"], STAMP)
            if fat:
                payload = payload.replace(
                    '"attributes":{', f'"attributes":{{"900":"{"x" * FAT_BYTES}",'
                )
            fields = ("ts", STAMP, "device_id", entry["device_id"], "codec", "8E")
            command = ("XADD", stream, "MAXLEN", "~", "10000", "*", *fields, "payload", payload)
            self._commands.append(hiredis.pack_command(command))
        self._stamp = STAMP.encode()
        self._next = 0

    def add(self, count: int = 1) -> None:
        """So many entries, now."""
        now = datetime.fromtimestamp(int(time.time() * 1000) / 1000 + 0.0001, UTC)
        stamp = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z".encode()
        chosen = [self._commands[(self._next + each) % DEVICES] for each in range(count)]
        self._next += count
        replies = self._wire.exchange(b"".join(chosen).replace(self._stamp, stamp), count)
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise Failed(str(reply))

    def openly(self, rate: float, seconds: float) -> int:
        """`rate` entries a second for so long, evenly spaced. How many."""
        begun = time.monotonic()
        total = max(1, int(rate * seconds))
        for number in range(total):
            if (wait_s := begun + number / rate - time.monotonic()) > 0:
                time.sleep(wait_s)
            self.add()
        return total

    def closed(self, audience: Audience, seconds: float) -> int:
        """As many as there is room for, for so long, until all have arrived. How many. Raises
        Failed if none arrives."""
        window = max(3, IN_FLIGHT_FRAMES // audience.size)
        self.add(window)
        added, arrived = window, 0
        ends = time.monotonic() + seconds
        while arrived < added:
            more = audience.arrived(STUCK_S)
            if not more:
                raise Failed(f"stuck: of {added} entries {arrived} have arrived everywhere")
            arrived += more
            if time.monotonic() < ends:
                self.add(more)
                added += more
        return added
