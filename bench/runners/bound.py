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
import json
import signal
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import hiredis
import msgspec

IN_FLIGHT = 5
"""Batches between read and acknowledged: with fewer one of client and database waits."""

COLUMNS = [
    *("device_id", "ts", "latitude", "longitude", "altitude", "angle", "speed"),
    *("satellites", "priority", "codec", "attributes"),
]
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


def rows(entries: Sequence[Any]) -> list[tuple[object, ...]]:
    made = []
    for _, fields in entries:
        # The producer's order of the fields; the bound may trust it.
        p = decode(fields[7])
        attributes = bytes(p.attributes)
        if b"{" in attributes[1:]:
            attributes = plain(attributes)
        made.append(
            (
                p.device_id,
                p.timestamp,
                p.latitude,
                p.longitude,
                p.altitude,
                p.angle,
                p.speed,
                p.satellites,
                p.priority,
                fields[5].decode(),
                attributes,
            )
        )
    return made


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
        records = rows(entries)
        if a.staged:
            records.sort()
            await database.execute("BEGIN")
            await database.copy_records_to_table("staged", records=records, columns=COLUMNS)
            await database.execute(MOVE)
        else:
            await database.copy_records_to_table("positions", records=records, columns=COLUMNS)
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
        await database.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            encoder=lambda text: b"\x01" + text,
            decoder=json.loads,
            format="binary",
        )
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
