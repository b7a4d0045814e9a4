"""uvicorn's two protocols, each with what it lacks for clients that mean harm.

Handshake, parsing and closing stay uvicorn's (and below it those of `websockets`). Added are: the
sending side as a Line; an end to visits that say nothing, take nothing or never end; small reads,
so that a flood of tiny frames holds up the loop for milliseconds only; a bound on frames that no
application sees (pings, pieces); and goodbyes that arrive, and end though nobody answers them.
tests/unit/test_uvicorn.py holds uvicorn's next version to what is relied on here.
"""

import asyncio
import contextlib
import socket
from typing import Any

import h11
from attrs import define, field
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from processor.adapters.websocket.transport import BrowserLine, SlowRules

LINE = "processor.line"
"""Where the application finds the Line, among the scope's extensions."""

HEAD_WITHIN_S = 10.0
"""A browser sends its request at once; whoever takes longer holds a place for nothing."""

VISIT_WITHIN_S = 300.0
"""The longest that HTTP keeps a place, whatever it asks: the page on a line of 5 kB a second."""

READ_SIZE = 4096
"""Bytes taken from a socket at once. Commands have a hundred; of frames without content it holds
seven hundred, five milliseconds of parsing."""

AFTER_GOODBYE = 4 * READ_SIZE
"""Bytes that are still parsed after we said goodbye: the browser's own is among them, unless it is
a flood. The rest is thrown away unparsed, in reads of `THROWN_AWAY`."""

THROWN_AWAY = 262_144

ENOUGH_WAITS = 0
"""Bytes in a transport beyond which the newest of each device is kept apart: what is in there goes
out as it is, old or not, and a line's frames may only go past a transport that is empty."""

SOCKET_SENDS = 65_536
"""Bytes that the kernel may hold for a browser (it takes half as many again). Its own choice grows
to megabytes, and as many minutes of old positions for a browser on a slow line. With these two, a
browser that takes 8 kB a second sees our ping, behind all that waits, within 20 s."""

QUIET_FRAMES_MAX = 50
"""Pings, pongs and pieces of messages a second. A browser sends a pong every half a minute."""

PONG = b"\x8a"
NOT_UTF8, NO_PONG, RESTARTING, TOO_MANY = 1007, 1011, 1012, 4429

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@define
class DoorRules:
    """`most` connections of any kind; `head_s` for a request's head, `visit_s` for all of HTTP.
    `silent` are those who have not asked for anything yet, the longest silent first."""

    most: int
    head_s: float = HEAD_WITHIN_S
    visit_s: float = VISIT_WITHIN_S
    silent: dict["FrontDoor", None] = field(factory=dict)


class FrontDoor(H11Protocol):
    """HTTP until it is a WebSocket."""

    def __init__(self, rules: DoorRules, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._rules = rules
        self._head: asyncio.TimerHandle | None = None
        self._visit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._rules.most:
            # Whoever says nothing makes room: a browser speaks at once, and a crowd of silent
            # connections must not keep it out.
            longest = next(iter(self._rules.silent), self)
            longest.transport.abort()
            if longest is self:
                return
            self._rules.silent.pop(longest, None)
        self._rules.silent[self] = None
        self._visit = self.loop.call_later(self._rules.visit_s, transport.abort)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._visit is not None:
            self._watch_head()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._unwatch()
        if self.conn.trailing_data[0]:  # it would be lost between the two parsers
            self.send_400_response("A WebSocket speaks when it has been answered.")
        else:
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None:  # the body was broken: this is the answer, and the application's
            self.cycle.disconnected = True  # own would be an error in the log
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # it has an answer already, and what follows is broken
            self.transport.close()

    def _watch_head(self) -> None:
        """A head that has begun, be it the second on a connection, has its time and no more."""
        if self.conn.their_state is not h11.IDLE:
            self._rules.silent.pop(self, None)
            if self._head is not None:
                self._head.cancel()
                self._head = None
        elif self._head is None:
            self._head = self.loop.call_later(self._rules.head_s, self.transport.abort)

    def _unwatch(self) -> None:
        self._rules.silent.pop(self, None)
        for timer in (self._head, self._visit):
            if timer is not None:
                timer.cancel()
        self._head = self._visit = None


class LiveProtocol(WebSocketsSansIOProtocol):
    """A WebSocket whose application has a Line to send by."""

    def __init__(self, slow: SlowRules, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._slow = slow
        self._line: BrowserLine
        self._quiet_frames = 0
        self._quiet_since_s = self.loop.time()
        self._after_goodbye = 0
        self._deaf = False
        self._cut: asyncio.TimerHandle | None = None

    # -- from the transport ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=ENOUGH_WAITS)
        self._read_at_most(READ_SIZE)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_SENDS)
        self._line = BrowserLine(self.transport, self._slow, self._hang_up)
        if self.transport.get_write_buffer_size():  # the end of a page that was asked for before
            self._line.pause()

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.gone()
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)
        # Both lead back to the connection, which would wait for the collector of garbage.
        self.conn.parser.close()
        self.conn.parser_exc = None

    def eof_received(self) -> None:
        """asyncio closes the transport now, but first it waits until all is sent."""
        self._leave()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._line.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._line.resume()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.abort()  # no WebSocket speaks before it is let in
            return
        if self.close_sent:
            self._after_goodbye += len(data)
            if self._after_goodbye > AFTER_GOODBYE:
                self._turn_away()
                return
        super().data_received(data)
        if not self.handshake_initiated:
            self._not_understood()

    def _read_at_most(self, size: int) -> None:
        self.transport.max_size = size  # type: ignore[attr-defined]  # of asyncio's sockets

    # -- from the browser --------------------------------------------------------------------

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:  # its task has not begun yet
            self.scope["extensions"][LINE] = self._line  # type: ignore[assignment]

    def _not_understood(self) -> None:
        """h11 took the request, `websockets` did not: a body, a line too long, too many headers.
        uvicorn would leave the connection open for ever."""
        answer = b"".join(self.conn.data_to_send()) or BAD_REQUEST
        self.transport.write(answer)
        self.handshake_complete = self.close_sent = True
        self.transport.close()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            # Refused, which is an end of the handshake, too: uvicorn would say an error for each.
            self.handshake_complete = True

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self.frames = []
            self._line.close(NOT_UTF8, "not UTF-8")
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        self._count_quiet()
        if self._line.clear:
            super().handle_ping()
        else:  # whoever does not read need not be told that we live
            others = [each for each in self.conn.data_to_send() if not each.startswith(PONG)]
            self.transport.write(b"".join(others))

    def handle_pong(self, event: Any) -> None:
        self._count_quiet()
        super().handle_pong(event)

    def handle_cont(self, event: Any) -> None:
        self._count_quiet()
        super().handle_cont(event)

    def _count_quiet(self) -> None:
        now_s = self.loop.time()
        if now_s - self._quiet_since_s >= 1.0:
            self._quiet_frames, self._quiet_since_s = 0, now_s
        self._quiet_frames += 1
        if self._quiet_frames > QUIET_FRAMES_MAX:
            self._line.close(TOO_MANY, "too many pings or pieces")

    # -- goodbye -----------------------------------------------------------------------------

    def handle_close(self, event: Any) -> None:
        self._leave()
        super().handle_close(event)

    def handle_parser_exception(self) -> None:
        """What it sends is no WebSocket."""
        self._leave()
        said = self.conn.close_sent
        assert said is not None, "let in before it is parsed"
        self._tell_application(said.code, said.reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._turn_away()

    def keepalive_timeout(self) -> None:
        self._leave()
        if not self.close_sent and not self.transport.is_closing():
            self._tell_application(NO_PONG, "no pong")
        super().keepalive_timeout()

    def shutdown(self) -> None:
        """The server ends, after `drain`: who is still here has just come, or does not go."""
        if not self.handshake_complete:
            super().shutdown()
        elif self._line.closed:
            self.transport.abort()
        else:
            self._line.close(RESTARTING, "restarting")

    def _hang_up(self, code: int, reason: str) -> None:
        self.stop_keepalive()
        self._cut_in_time()
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            return  # the browser was faster
        self._tell_application(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._wait_for_its_end()

    def _tell_application(self, code: int, reason: str) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    def _leave(self) -> None:
        """Send nothing more, and wait for the end no longer than for a goodbye."""
        self._line.gone()
        self._cut_in_time()

    def _cut_in_time(self) -> None:
        if self._cut is None:
            self._cut = self.loop.call_later(self._slow.goodbye_s, self.transport.abort)

    def _wait_for_its_end(self) -> None:
        """By this timer uvicorn knows that the transport is not to be closed with the application,
        but with the browser's answer."""
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(self._slow.goodbye_s, self.transport.abort)
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _turn_away(self) -> None:
        """Close our side alone, and throw away what still comes: a socket that is closed with
        something unread resets the connection, and the browser never sees why."""
        self._deaf = True
        self._read_at_most(THROWN_AWAY)
        self.stop_keepalive()
        self._wait_for_its_end()
        with contextlib.suppress(OSError):  # it is gone already
            self.transport.write_eof()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
