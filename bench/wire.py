"""One blocking connection to Redis that packs and parses in C: what loads and watches a stream.

The bench must not take the two cores away from what it measures; redis-py would.
"""

import socket
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import hiredis


class Wire:
    """Commands out, replies in, in order. An error reply is returned as a value."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "redis":
            raise SystemExit(f"the bench speaks redis:// only, not {parts.scheme}://")
        self._socket = socket.create_connection((parts.hostname, parts.port or 6379), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        if parts.password:
            self.ask("AUTH", *([parts.username] if parts.username else []), parts.password)
        if parts.path.strip("/"):
            self.ask("SELECT", parts.path.strip("/"))

    def close(self) -> None:
        self._socket.close()

    def exchange(self, commands: bytes, count: int) -> list[Any]:
        """Send `count` packed commands at once and wait for their replies."""
        self._socket.sendall(commands)
        replies: list[Any] = []
        while len(replies) < count:
            reply = self._reader.gets()
            if reply is False:
                received = self._socket.recv(1 << 18)
                if not received:
                    raise ConnectionError("Redis closed the connection")
                self._reader.feed(received)
            else:
                replies.append(reply)
        return replies

    def ask(self, *command: str | int) -> Any:
        """One command, its reply."""
        (reply,) = self.exchange(packed(*command), 1)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def load(self, commands: Sequence[bytes], at_once: int = 500) -> None:
        """Packed commands, so many in flight that neither side waits; the first error is raised."""
        for start in range(0, len(commands), at_once):
            chunk = commands[start : start + at_once]
            for reply in self.exchange(b"".join(chunk), len(chunk)):
                if isinstance(reply, hiredis.ReplyError):
                    raise reply


def packed(*command: str | int) -> bytes:
    return bytes(hiredis.pack_command(command))


def additions(stream: str, entries: Iterable[dict[str, str]]) -> list[bytes]:
    """The XADD of each entry, packed."""
    return [
        packed("XADD", stream, "*", *(part for field in entry.items() for part in field))
        for entry in entries
    ]
