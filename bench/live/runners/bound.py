"""The bound of the fan-out: the least that any program in Python has to do for the same frames.

It reads the stream by a hiredis protocol of its own, makes the text of an entry and its frame once,
and hands the ready frame to `send` of every client's raw socket: no transport, no queue, no
look at how much waits. A client whose socket is full is cut off. It keeps nothing, checks nothing,
asks no database and counts nothing. In a batch it does the same with the newest text of each
device, every 100 ms.
"""

import argparse
import asyncio
import base64
import hashlib
import signal
import socket
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bench.runners.bound import Redis

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Payload(msgspec.Struct, gc=False):
    device_id: str
    timestamp: datetime
    latitude: float
    longitude: float
    speed: float
    angle: float


class Fix(msgspec.Struct, gc=False, omit_defaults=True):
    deviceId: str  # noqa: N815 - as on the wire
    lat: float
    lon: float
    ts: int
    speed: float = 0.0
    course: float = 0.0


decode = msgspec.json.Decoder(Payload).decode
encode = msgspec.json.Encoder().encode


def framed(text: bytes) -> bytes:
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text


class Bound:
    def __init__(self, event: str, batch_ms: int) -> None:
        self._topic = b'"topic":"event:%b"' % event.encode()
        self._batch_s = batch_ms / 1000
        self._single: dict[int, socket.socket] = {}
        self._batch: dict[int, socket.socket] = {}
        self._moved: dict[str, bytes] = {}

    async def welcome(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        greeting = set()
        while True:
            connection, _ = await loop.sock_accept(listening)
            task = asyncio.create_task(self._greet(connection))
            greeting.add(task)
            task.add_done_callback(greeting.discard)

    async def _greet(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = await loop.sock_recv(connection, 4096)
        key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())  # RFC 6455, 4.2.2
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        await loop.sock_sendall(connection, head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        asked = await loop.sock_recv(connection, 4096)  # masked by zeros
        if not asked:
            connection.close()
            return
        await loop.sock_sendall(connection, framed(b'{"type":"subscribed",%b}' % self._topic))
        audience = self._batch if b'"batch"' in asked else self._single
        audience[connection.fileno()] = connection
        loop.add_reader(connection, self._said, connection)

    def _said(self, connection: socket.socket) -> None:
        """Whatever it is, it is not looked at, but for the end."""
        try:
            if connection.recv(4096):
                return
        except OSError:
            pass
        self._leave(connection)

    def _leave(self, connection: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(connection)
        for audience in (self._single, self._batch):
            audience.pop(connection.fileno(), None)
        connection.close()

    async def read(self, redis: Redis, stream: str) -> None:
        last_id: bytes | str = "0-0"
        while True:
            reply = await redis.ask(
                *("XREAD", "COUNT", 500, "BLOCK", 1000, "STREAMS", stream, last_id)
            )
            for entry_id, fields in reply[0][1] if reply else ():
                self._take(fields)
                last_id = entry_id
            await asyncio.sleep(0)

    def _take(self, fields: Any) -> None:
        p = decode(fields[7])
        ts = (p.timestamp - EPOCH) // MILLISECOND
        fix = encode(Fix(p.device_id, p.latitude, p.longitude, ts, p.speed, p.angle))
        if self._single:
            text = b'{"type":"position",%b,%b' % (self._topic, fix[1:])
            self._send(text, self._single)
        if self._batch:
            self._moved.pop(p.device_id, None)
            self._moved[p.device_id] = fix

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(self._batch_s)
            if self._moved:
                fixes, self._moved = b",".join(self._moved.values()), {}
                text = b'{"type":"positions",%b,"positions":[%b]}' % (self._topic, fixes)
                self._send(text, self._batch)

    def _send(self, text: bytes, audience: dict[int, socket.socket]) -> None:
        frame = framed(text)
        size = len(frame)
        failed = []
        for connection in audience.values():
            try:
                if connection.send(frame) != size:
                    failed.append(connection)
            except OSError:
                failed.append(connection)
        for connection in failed:
            self._leave(connection)


async def run(a: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    where = urlsplit(a.redis)
    _, redis = await loop.create_connection(Redis, where.hostname, where.port or 6379)
    bound = Bound(a.event, a.batch_ms)
    listening = socket.create_server(("127.0.0.1", a.port), backlog=1024)
    listening.setblocking(False)
    everything = asyncio.gather(bound.welcome(listening), bound.read(redis, a.stream), bound.tick())
    loop.add_signal_handler(signal.SIGTERM, everything.cancel)
    try:
        await everything
    except asyncio.CancelledError:
        return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--redis", "--stream", "--event"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--batch-ms", type=int, required=True)
    asyncio.run(run(parser.parse_args()))
