"""The audience, in a process of its own: thousands of WebSockets that read and measure.

    python -m bench.live.crowd --port PORT --progress FD

One thread, one epoll, raw sockets. Told what to do by JSON lines on stdin, answers by JSON lines
on stdout (audience.py is the other end). Each time that everybody has got one frame more, a byte
goes out by the pipe FD, so that whoever offers entries can keep so many in flight.

How long a frame took is the time of its `recv` less the instant of the last fix in it, which is
the time of its XADD in whole milliseconds: half a millisecond too much, the same for all.
"""

import argparse
import gc
import os
import select
import socket
import sys
import time
from contextlib import suppress

import msgspec

from bench.live.frames import CLOSE, PING, PONG, TEXT, frames, last_fix_ms, masked, upgrade

PATH = "/ws-live"
AT_ONCE = 50
"""Handshakes under way: a server that listens with a backlog of 100 turns nobody away."""
BUCKETS_PER_MS = 10
BUCKETS = 10_000 * BUCKETS_PER_MS
READ_SIZE = 1 << 18
DEAF_BUFFER = 4_096
"""What the kernel holds for the one that never reads; the least that it may be."""


class Order(msgspec.Struct):
    """What the crowd is told. `connect`: so many more, who ask for `subscribe`; `keep`: so many,
    the others hang up; `begin` and `end` what is measured; `deaf`: connect one more, which reads
    its answer and then never again; `hear`: it hangs up."""

    do: str
    count: int = 0
    subscribe: str = ""


class Heard(msgspec.Struct):
    """What came in between `begin` and `end`. `waited` counts frames by tenths of a millisecond,
    as pairs (bucket, count); `lost` connections ended by themselves; `positions` are those that
    the first of all clients has got."""

    frames: int = 0
    bytes: int = 0
    positions: int = 0
    lost: int = 0
    cpu_s: float = 0.0
    waited: list[tuple[int, int]] = []
    closed: str = ""


class Seat:
    """One connection."""

    __slots__ = ("rest", "socket", "state", "subscribe")
    CONNECTING, ASKING, JOINED = range(3)

    def __init__(self, connection: socket.socket, subscribe: bytes) -> None:
        self.socket = connection
        self.subscribe = subscribe
        self.state = self.CONNECTING
        self.rest = b""


class Crowd:
    def __init__(self, port: int, progress: int) -> None:
        self._port = port
        self._progress = progress
        os.set_blocking(progress, False)
        self._epoll = select.epoll()
        self._seats: dict[int, Seat] = {}
        self._order: list[int] = []
        self._deaf: Seat | None = None
        self._wanted: list[bytes] = []
        self._joining = 0
        self._buffer = bytearray(READ_SIZE)
        self._view = memoryview(self._buffer)
        self._begin()

    def run(self) -> None:
        """Until stdin ends."""
        stdin = sys.stdin.fileno()
        self._epoll.register(stdin, select.EPOLLIN)
        decode = msgspec.json.Decoder(Order).decode
        seats, poll = self._seats, self._epoll.poll
        while True:
            for fd, _ in poll(-1, 512):
                if fd == stdin:
                    line = os.read(stdin, 65_536)
                    if not line:
                        return
                    self._obey(decode(line))
                elif (seat := seats.get(fd)) is not None:  # else it has hung up meanwhile
                    self._read(seat)

    # -- what it is told ---------------------------------------------------------------------

    def _obey(self, order: Order) -> None:
        text = masked(TEXT, order.subscribe.encode())
        if order.do == "connect":
            self._wanted = [text] * order.count
            self._open_more()
            return  # answered when everybody is there
        if order.do == "keep":
            for fd in self._order[order.count :]:
                self._hang_up(fd)
            del self._order[order.count :]
        elif order.do == "begin":
            self._begin()
        elif order.do == "deaf":
            self._deaf = self._opened(text, DEAF_BUFFER)
            return
        elif order.do == "hear":
            self._answer(Heard(closed=self._deaf_ending()))
            return
        self._answer(self._end() if order.do == "end" else Heard())

    def _answer(self, heard: Heard) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(heard) + b"\n")
        sys.stdout.buffer.flush()

    def _begin(self) -> None:
        self._first = self._seats.get(self._order[0]) if self._order else None
        self._frames = self._bytes = self._positions = self._lost = self._told = 0
        self._waited = [0] * (BUCKETS + 1)
        self._cpu_s = time.process_time()

    def _end(self) -> Heard:
        return Heard(
            self._frames,
            self._bytes,
            self._positions,
            self._lost,
            time.process_time() - self._cpu_s,
            [(bucket, count) for bucket, count in enumerate(self._waited) if count],
        )

    # -- coming and going --------------------------------------------------------------------

    def _open_more(self) -> None:
        while self._wanted and self._joining < AT_ONCE:
            self._joining += 1
            seat = self._opened(self._wanted.pop())
            self._order.append(seat.socket.fileno())
        if not self._wanted and not self._joining:
            self._answer(Heard())

    def _opened(self, subscribe: bytes, buffer: int | None = None) -> Seat:
        connection = socket.socket()
        if buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect(("127.0.0.1", self._port))
        connection.sendall(upgrade(self._port, PATH))
        connection.setblocking(False)
        seat = self._seats[connection.fileno()] = Seat(connection, subscribe)
        self._epoll.register(connection.fileno(), select.EPOLLIN)
        return seat

    def _hang_up(self, fd: int) -> None:
        if (seat := self._seats.pop(fd, None)) is not None:
            with suppress(OSError):
                self._epoll.unregister(fd)
            seat.socket.close()

    def _deaf_ending(self) -> str:
        """Was the one that never reads sent away? Told by what is left to read after all."""
        deaf, self._deaf = self._deaf, None
        if deaf is None:
            return "not there"
        deaf.socket.setblocking(True)
        deaf.socket.settimeout(0.5)
        read, ended = 0, "still connected"
        try:
            while some := deaf.socket.recv(65_536):
                read += len(some)
            ended = "hung up on"
        except TimeoutError:
            pass
        except OSError:
            ended = "cut off"
        deaf.socket.close()
        return f"{ended}, {read} bytes unread"

    # -- what comes in -----------------------------------------------------------------------

    def _read(self, seat: Seat) -> None:
        try:
            size = seat.socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._lost += 1
            self._hang_up(seat.socket.fileno())
            return
        now_ms = time.time() * 1000
        data: bytes | bytearray = self._buffer
        if seat.rest:
            data = seat.rest + self._view[:size]
            size = len(data)
        if seat.state is not Seat.JOINED:
            self._join(seat, bytes(data[:size]))
            return
        found, rest = frames(data, size)
        seat.rest = bytes(data[rest:size]) if rest < size else b""
        waited, first = self._waited, self._first
        for opcode, start, stop in found:
            if opcode == TEXT:
                fix_ms = last_fix_ms(data, start, stop)
                if fix_ms is None:
                    continue
                self._frames += 1
                self._bytes += stop - start
                bucket = int((now_ms - fix_ms) * BUCKETS_PER_MS)
                waited[min(bucket, BUCKETS)] += 1
                if seat is first:
                    self._positions += data.count(b'"deviceId"', start, stop)
            else:
                self._control(seat, opcode, bytes(data[start:stop]))
        self._tell()

    def _tell(self) -> None:
        arrived = self._frames // (len(self._order) or 1)
        if arrived > self._told:
            with suppress(BlockingIOError):
                os.write(self._progress, bytes(arrived - self._told))
            self._told = arrived

    def _join(self, seat: Seat, data: bytes) -> None:
        """Through the handshake, until the answer to the subscribe is there."""
        seat.rest = data
        if seat.state is Seat.CONNECTING:
            head, end, seat.rest = data.partition(b"\r\n\r\n")
            if not end:
                seat.rest = data
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                raise SystemExit(f"no WebSocket: {head[:80]!r}")
            seat.socket.send(seat.subscribe)
            seat.state = Seat.ASKING
        found, rest = frames(seat.rest, len(seat.rest))
        if not found:
            return
        if b'"subscribed"' not in seat.rest[found[0][1] : found[0][1] + 40]:
            raise SystemExit(f"not subscribed: {seat.rest[:200]!r}")
        seat.rest, seat.state = seat.rest[rest:], Seat.JOINED
        if seat is self._deaf:
            self._epoll.unregister(seat.socket.fileno())
            del self._seats[seat.socket.fileno()]
            self._answer(Heard())
        else:
            self._joining -= 1
            self._open_more()

    def _control(self, seat: Seat, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            seat.socket.send(masked(PONG, payload))
        elif opcode == CLOSE:
            self._lost += 1
            self._hang_up(seat.socket.fileno())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--progress", type=int, required=True)
    options = parser.parse_args()
    gc.freeze()
    gc.disable()  # nothing here makes cycles, and a pause would look like a server's
    Crowd(options.port, options.progress).run()
