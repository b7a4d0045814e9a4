"""Browsers in memory: the twins of adapters/websocket/transport.py."""

from collections.abc import Hashable, Iterable

from processor.core.live.outbox import Outbox
from processor.core.ports import Line


class MemoryLine:
    """A Line whose browser reads all at once, or nothing while `clear` is False. `texts` is what
    has arrived, `closed` the code with which it was closed."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.closed: int | None = None
        self._clear = True
        self._outbox = Outbox()

    @property
    def clear(self) -> bool:
        return self._clear and self.closed is None

    @clear.setter
    def clear(self, clear: bool) -> None:
        self._clear = clear
        while clear and len(self._outbox):
            self.texts.append(self._outbox.take())

    def send(self, text: bytes, key: Hashable) -> None:
        if self.closed is not None:
            return
        if self._clear:
            self.texts.append(text)
        else:
            self._outbox.put(text, key)

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            while len(self._outbox):
                self.texts.append(self._outbox.take())
            self.closed = code


class MemoryBroadcaster:
    """Broadcaster to MemoryLines."""

    def broadcast(self, text: bytes, lines: Iterable[Line], key: Hashable = None) -> None:
        for line in lines:
            assert isinstance(line, MemoryLine)
            line.send(text, key)
