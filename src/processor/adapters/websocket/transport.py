"""The sending side of a browser's connection: one frame, the same bytes for everybody.

A server's frame is not masked, so it is framed once and goes to each socket as it is: past the
asyncio transport, which is empty then. Its `write` would do the same and cost a frame a twelfth
more. What the kernel has no room for the transport takes, and it calls us back at once: from then
on the newest of each device is kept here (core/live/outbox.py), until the transport is empty again.
Nobody waits for anybody: a browser that does not read costs its outbox, and after a while its
connection.
"""

import asyncio
import contextlib
import fcntl
import os
import sys
import termios
from collections.abc import Callable, Hashable, Iterable
from typing import cast

from attrs import frozen

from processor.core.live.outbox import Outbox
from processor.core.ports import Line

TOO_SLOW = 4499

GOODBYE_WITHIN_S = 5.0
"""How long a goodbye may take before the connection is cut."""

REASON_BYTES_MAX = 123
"""What RFC 6455 leaves for the reason in a close frame."""


@frozen
class SlowRules:
    """How slow a browser may be: `most_bytes` kept for it, `stall_s` without reading a byte,
    `goodbye_s` from a goodbye to the end."""

    most_bytes: int
    stall_s: float
    goodbye_s: float = GOODBYE_WITHIN_S


class BrowserLine:
    """A Line on an asyncio transport that pauses as soon as it holds anything (its limit is 0): so
    while the line is `clear`, nothing is overtaken. `hang_up` speaks the protocol's goodbye,
    given a code and a reason."""

    __slots__ = ("_hang_up", "_loop", "_outbox", "_rules", "_socket", "_stall", "_waiting",
                 "_write", "clear", "closed", "transport")  # fmt: skip

    def __init__(
        self, transport: asyncio.Transport, rules: SlowRules, hang_up: Callable[[int, str], None]
    ) -> None:
        self.transport = transport
        self.clear = True
        self.closed = False
        self._write = transport.write
        self._socket: int = transport.get_extra_info("socket").fileno()
        self._rules = rules
        self._hang_up = hang_up
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox()
        self._stall: asyncio.TimerHandle | None = None
        self._waiting = 0

    @property
    def conflated(self) -> int:
        """Frames whose place newer ones took."""
        return self._outbox.conflated

    def send(self, frame: bytes) -> None:
        """Write a frame for which there is room."""
        try:
            sent = os.write(self._socket, frame)
        except BlockingIOError:
            sent = 0
        except OSError:  # broken: the transport finds out, and asyncio logs each write after that
            sent, self.clear = 0, False
        if sent < len(frame):
            self._write(frame[sent:])

    def keep(self, frame: bytes, key: Hashable) -> None:
        """Keep a frame until there is room."""
        if self.closed:
            return
        self._outbox.put(frame, key)
        if self._outbox.size > self._rules.most_bytes:
            self.close(TOO_SLOW, "too slow: more waits here than is kept")

    def pause(self) -> None:
        """The transport has enough for now."""
        if not self.closed:
            self.clear = False
            self._watch()

    def resume(self) -> None:
        """The transport has room again: what waited longest goes first."""
        if self._stall is not None:
            self._stall.cancel()
        if self.closed:
            return
        self.clear = True
        # `pause` may be called out of any of these writes.
        while self.clear and len(self._outbox):
            self._write(self._outbox.take())

    def close(self, code: int, reason: str) -> None:
        if self.closed:
            return
        if code != TOO_SLOW:  # it is told first what was meant for it before
            while len(self._outbox):
                self._write(self._outbox.take())
        hang_up = self._hang_up
        self.gone()
        hang_up(code, _short(reason))

    def gone(self) -> None:
        """From now on nothing is sent, and nothing is kept."""
        self.clear, self.closed = False, True
        self._socket = -1  # its number will be another's
        self._outbox.clear()
        self._hang_up = _nobody  # whoever still holds this line does not hold its protocol
        if self._stall is not None:
            self._stall.cancel()

    def _watch(self) -> None:
        """Nothing is added to a transport that has enough, so that what waits can only shrink:
        unless it does, the browser has stalled."""
        self._waiting = _unread(self.transport)
        if self._stall is not None:
            self._stall.cancel()
        self._stall = self._loop.call_later(self._rules.stall_s, self._look)

    def _look(self) -> None:
        if _unread(self.transport) >= self._waiting:
            self.close(TOO_SLOW, "too slow: nothing was read for a while")
        else:
            self._watch()


class WebSocketBroadcaster:
    """Broadcaster to BrowserLines."""

    def broadcast(self, text: bytes, lines: Iterable[Line], key: Hashable = None) -> None:
        frame = framed(text)
        for line in cast("Iterable[BrowserLine]", lines):  # no other ever joins, and it is hot
            if line.clear:
                line.send(frame)
            else:
                line.keep(frame, key)


def framed(text: bytes) -> bytes:
    """A whole text message as one unmasked frame (RFC 6455, 5.2)."""
    size = len(text)
    if size < 126:
        return b"\x81%c%b" % (size, text)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), text)


def _unread(transport: asyncio.Transport) -> int:
    """Bytes that wait in the transport, and in the kernel where it tells: it makes room for more
    only when a third of its buffer is empty, half a minute's work for a browser on a slow line."""
    waiting = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            told = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
            waiting += int.from_bytes(told, sys.byteorder)
    return waiting


def _nobody(code: int, reason: str) -> None:
    """A line hangs up once."""


def _short(reason: str) -> str:
    return reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
