"""The bound: the least that any program in Python has to do for the same rows.

An asyncio protocol around `hiredis.Reader`, one msgspec decode per payload that leaves the
attributes as they are, a binary COPY straight into the table on three connections, XACK after the
commit. It looks at nothing and survives nothing: no range check, no own pending list, no retry, no
dead letter, no device state, no change note, no metrics.

A straight COPY fails at the first duplicate. Where the entries have some (`--staged`), each batch
goes through a temporary table and INSERT .. ON CONFLICT, sorted, because two connections that take
the same keys in different orders deadlock.
"""

import argparse
import asyncio
import signal
import struct
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import hiredis
import msgspec

IN_FLIGHT = 5
"""Batches between read and acknowledged: with fewer one of client and database waits."""

COLUMNS = [
    *("ts", "latitude", "longitude", "altitude", "angle", "speed", "satellites", "priority"),
    *("device_id", "codec", "attributes"),
]
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
FIXED = struct.Struct("!hiqididifififihihi").pack
LENGTH = struct.Struct("!i").pack
JSONB = struct.Struct("!ib").pack
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
STAGE = "CREATE TEMP TABLE staged (LIKE positions INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
MOVE = (
    f"INSERT INTO positions ({','.join(COLUMNS)}) SELECT {','.join(COLUMNS)} FROM staged "
    "ON CONFLICT (device_id, ts) DO NOTHING; COMMIT"
)


class Payload(msgspec.Struct, gc=False):
    device_id: str
    timestamp: datetime
    latitude: float
    longitude: float
    altitude: float
    angle: float
    speed: float
    satellites: int
    priority: int
    attributes: msgspec.Raw


decode = msgspec.json.Decoder(Payload).decode


class Redis(asyncio.Protocol):
    """Commands are answered in order: a queue of futures is the whole client."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            answer = self._waiting.popleft()
            if isinstance(reply, hiredis.ReplyError):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)

    def ask(self, *command: object) -> "asyncio.Future[Any]":
        self._transport.write(hiredis.pack_command(command))
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        return answer


def rows(entries: Sequence[Any], ordered: bool) -> bytes:
    """The entries as one binary COPY: everything of fixed length in a row is one struct."""
    payloads = [(decode(fields[7]), fields[5]) for _, fields in entries]
    if ordered:
        payloads.sort(key=lambda pair: (pair[0].device_id, pair[0].timestamp))
    parts = [HEADER]
    for p, codec in payloads:
        attributes = bytes(p.attributes)
        if attributes.rfind(b"{"):
            attributes = plain(attributes)
        device_id = p.device_id.encode()
        parts += (
            FIXED(
                *(11, 8, (p.timestamp - EPOCH) // MICROSECOND, 8, p.latitude, 8, p.longitude),
                *(4, p.altitude, 4, p.angle, 4, p.speed, 2, p.satellites, 2, p.priority),
                len(device_id),
            ),
            device_id,
            LENGTH(len(codec)),
            codec,
            JSONB(len(attributes) + 1, 1),
            attributes,
        )
    parts.append(b"\xff\xff")
    return b"".join(parts)


def plain(attributes: bytes) -> bytes:
    """The bag with its sentinels resolved."""
    bag = msgspec.json.decode(attributes)
    for io_id, value in bag.items():
        if isinstance(value, dict):
            (bag[io_id],) = value.values()
    return msgspec.json.encode(bag)


async def work(
    reads: Redis, acks: Redis, database: asyncpg.Connection, turn: asyncio.Lock, a: Any
) -> None:
    """One of the batches in flight, for ever. The lock keeps one read at a time in the socket."""
    while True:
        async with turn:
            reply = await reads.ask(
                *("XREADGROUP", "GROUP", a.group, "bench", "COUNT", a.batch, "BLOCK", 1000),
                *("STREAMS", a.stream, ">"),
            )
        if reply is None:
            continue
        entries = reply[0][1]
        source = memoryview(rows(entries, ordered=a.staged))
        if a.staged:
            await database.execute("BEGIN")
            await database.copy_to_table("staged", source=source, columns=COLUMNS, format="binary")
            await database.execute(MOVE)
        else:
            await database.copy_to_table(
                "positions", source=source, columns=COLUMNS, format="binary"
            )
        await acks.ask("XACK", a.stream, a.group, *(entry[0] for entry in entries))


async def run(a: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    where = urlsplit(a.redis)
    address = (where.hostname, where.port or 6379)
    _, reads = await loop.create_connection(Redis, *address)
    _, acks = await loop.create_connection(Redis, *address)
    turn = asyncio.Lock()
    workers = []
    for _ in range(IN_FLIGHT):
        database = await asyncpg.connect(a.postgres)
        if a.staged:
            await database.execute(STAGE)
        workers.append(asyncio.create_task(work(reads, acks, database, turn, a)))
    everything = asyncio.gather(*workers)
    loop.add_signal_handler(signal.SIGTERM, everything.cancel)
    try:
        await everything
    except asyncio.CancelledError:
        return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--redis", "--postgres", "--stream", "--group"):
        parser.add_argument(name, required=True)
    parser.add_argument("--batch", type=int, required=True, help="entries a read")
    parser.add_argument("--staged", action="store_true", help="the entries have duplicates")
    asyncio.run(run(parser.parse_args()))
