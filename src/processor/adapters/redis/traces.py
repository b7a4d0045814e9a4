"""What Redis still holds of a device's track: entries of the stream, and dead letters.

Both are lists without an index, so finding is one walk from end to end, a second or so for each
hundred thousand. Nothing is held but a page and the ids of what was found, and the walk ends at
what was the end when it began.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from attrs import define, field

from processor.adapters.redis.connection import Wire
from processor.adapters.redis.dead_letters import SUFFIX

PAGE = 1_000
"""Entries in one answer, half a megabyte."""


class _Whose(msgspec.Struct):
    device_id: str


class _When(msgspec.Struct):
    timestamp: str


@define
class Traces:
    """Ids of entries of the stream, and of dead letters. `undated` are letters of the device whose
    payload does not say when: nobody knows whether they are meant."""

    entries: list[str] = field(factory=list)
    letters: list[str] = field(factory=list)
    undated: list[str] = field(factory=list)


class RedisTraces:
    """Those of one stream and of its dead letters. Every method raises Unavailable and Refused."""

    def __init__(self, url: str, *, stream: str, timeout_s: float, page: int = PAGE) -> None:
        self._stream = stream
        self._page = page
        self._wire = Wire(url, timeout_s=timeout_s, name="processor-forget")

    async def aclose(self) -> None:
        await self._wire.aclose()

    async def find(self, device_id: str, since: datetime, until: datetime) -> Traces:
        """What is there of the device between two instants, both included."""
        traces = Traces()
        for key, found in ((self._stream, traces.entries), (self.dead, traces.letters)):
            async for entry_id, payload in self._walk(key):
                if not _is_of(payload, device_id):
                    continue
                fixed_at = _fixed_at(payload)
                if fixed_at is None:
                    traces.undated.append(entry_id)
                elif since <= fixed_at <= until:
                    found.append(entry_id)
        return traces

    async def remove(self, traces: Traces) -> tuple[int, int]:
        """Remove the dated ones; how many entries and how many letters were still there."""
        return (
            await self._remove(self._stream, traces.entries),
            await self._remove(self.dead, traces.letters),
        )

    @property
    def dead(self) -> str:
        return self._stream + SUFFIX

    async def _walk(self, key: str) -> AsyncIterator[tuple[str, bytes]]:
        """Ids and payloads of what is in it now."""
        (last,) = await self._wire.ask(("XREVRANGE", key, "+", "-", "COUNT", 1))
        low = "-"
        while last:
            page: Sequence[Any]
            (page,) = await self._wire.ask(
                ("XRANGE", key, low, last[0][0].decode(), "COUNT", self._page)
            )
            if not page:
                return
            for entry_id, flat in page:
                yield entry_id.decode(), _payload(flat)
            low = f"({page[-1][0].decode()}"

    async def _remove(self, key: str, ids: Sequence[str]) -> int:
        removed = 0
        for start in range(0, len(ids), self._page):
            (answer,) = await self._wire.ask(("XDEL", key, *ids[start : start + self._page]))
            removed += answer
        return removed


def _payload(flat: Sequence[bytes]) -> bytes:
    """Of a doubled field the last counts, as in the decoder."""
    return dict(zip(flat[::2], flat[1::2], strict=True)).get(b"payload", b"")


def _is_of(payload: bytes, device_id: str) -> bool:
    """As the payload has it, the source of truth; one that is no JSON is of the device it names."""
    if device_id.encode() not in payload and b"\\" not in payload:
        return False  # nearly all, and decoding costs
    try:
        return msgspec.json.decode(payload, type=_Whose).device_id == device_id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return f'"{device_id}"'.encode() in payload


def _fixed_at(payload: bytes) -> datetime | None:
    try:
        fixed_at = datetime.fromisoformat(msgspec.json.decode(payload, type=_When).timestamp)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError):
        return None
    return fixed_at if fixed_at.tzinfo else None
