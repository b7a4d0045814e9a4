"""Target: what a browser says, into its conversation, on memory adapters in virtual time.

An input is messages, one behind the other, parted by RS (0x1e). `~` is no message: a second passes.
The answers are judged by the contract (contracts of the live channel, docs/LIVE.md): one for each
message, in its words, with the id that it gave; the ends that a client can bring about; and
nothing left behind when it is gone.
"""

import asyncio
import json
import random
import re
import time
import tracemalloc
from typing import Any

from processor.adapters.memory.auth import MemoryAuthVerifier
from processor.adapters.memory.lines import MemoryBroadcaster, MemoryLine
from processor.adapters.memory.live import Entered, MemoryRally, MemorySnapshots
from processor.adapters.memory.positions import MemoryTable
from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.live.clients import Clients
from processor.core.live.delivery import Delivery, DeviceMap
from processor.core.live.newest import NewestFixes
from processor.core.live.registry import Registry
from processor.core.live.session import SessionLimits
from processor.core.live.snapshot import SnapshotMaker
from processor.core.model import Position
from processor.core.notices import Notice
from proof.fuzz import Broken
from proof.fuzz import seeds as known
from proof.fuzz.seeds import EVENT, NOW, NOW_MS

NAME = "conversations"

PARTED = b"\x1e"
A_SECOND_PASSES = "~"
MESSAGES_MAX = 1_000
RATE, BURST, SUBSCRIPTIONS = 10, 20, 2

CODES = {
    "bad-message", "unknown-topic", "forbidden", "not-found", "rate-limited",
    "too-many-subscriptions", "unavailable", "error",
}  # fmt: skip
ENDS = {4400: "bad-message", 4403: "forbidden", 4429: "rate-limited"}
"""The close codes that a client can bring about by what it says, and what it is told before."""

TIMES = {"bad-message": 3, "rate-limited": 10}
"""So many of these are the end."""

CPU_S = 0.05
"""For 64 KiB begun. A frame has 16 KiB at most."""

GROWTH, HEAD = 6, 1_000
"""What is echoed may grow as JSON escapes make it grow, and stands in an answer of some length."""

MEMORY, MEMORY_FREE = 64, 4 << 20
"""As in entries.py, with a whole conversation beside."""

_DIGITS = re.compile(r"\d+|'[^']*'|`[^`]*`")
_loop: VirtualLoop | None = None


def seeds() -> list[bytes]:
    return known.conversations()


def check(data: bytes) -> str:
    """The outcome: the code of the end, or the last answer's kind. Raises Broken."""
    scene = _played(data)
    if scene.line.closed is not None:
        return f"closed {scene.line.closed}"
    return scene.kinds[-1] if scene.kinds else "silence"


def signature(data: bytes) -> str:
    """The kinds of the last two answers, and the last sentence without its values."""
    scene = _played(data)
    sentence = _DIGITS.sub("_", scene.sentences[-1])[:80] if scene.sentences else ""
    return f"{scene.line.closed} {scene.kinds[-2:]} {sentence}"


def weigh(data: bytes) -> None:
    tracemalloc.start()
    try:
        _played(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak > MEMORY * len(data) + MEMORY_FREE:
        raise Broken(f"{len(data)} bytes of messages took {peak} bytes of memory")


def close() -> None:
    """End the loop that all inputs share."""
    if _loop is not None:
        _loop.close()


def _played(data: bytes) -> "Scene":
    global _loop
    if _loop is None or _loop.is_closed():
        _loop = VirtualLoop(random.Random(0))
    scene = Scene(_loop)
    # No WebSocket hands over what is not UTF-8; whatever does is text with lone surrogates.
    said = [each.decode(errors="surrogateescape") for each in data.split(PARTED)[:MESSAGES_MAX]]
    _loop.run_until_complete(scene.play(said))
    return scene


class Scene:
    """Ann may see EVENT, where device 1 drives and has a fix; OTHER is forbidden to her."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._clock = VirtualClock(loop, NOW_MS)
        self._registry, broadcaster = Registry(), MemoryBroadcaster()
        verifier = MemoryAuthVerifier()
        verifier.login("s=ann", "ann")
        verifier.grant("ann", EVENT)
        rally = MemoryRally({"d": "1"}, {"e": EVENT}, [Entered("e", "d")])
        newest, delivery = NewestFixes(10, 60_000), Delivery(self._registry, broadcaster)
        delivery.swap(DeviceMap(rally.assignments()), lambda _: None)
        newest.learn(
            Position("1", NOW, 41.5, 19.25, 3.0, 271.0, 63.5, 9, 0, "8E", b'{"239":1}'), NOW_MS
        )
        self._clients = Clients(
            registry=self._registry,
            maker=SnapshotMaker(newest, delivery),
            snapshots=MemorySnapshots(MemoryTable(), rally, clock_ahead_ms=60_000),
            verifier=verifier,
            broadcaster=broadcaster,
            clock=self._clock,
            observer=self,
            limits=SessionLimits(rate=RATE, burst=BURST, subscriptions=SUBSCRIPTIONS),
            snapshot_timeout_ms=1500,
        )
        self.line = MemoryLine()
        self.kinds: list[str] = []
        self.sentences: list[str] = []

    def observe(self, notice: Notice) -> None:
        """An Observer that has nothing to do."""

    async def play(self, said: list[str]) -> None:
        client = self._clients.arrive(self.line, "ann", "s=ann")
        try:
            for text in said:
                if text == A_SECOND_PASSES:
                    await asyncio.sleep(1.0)
                    continue
                if self.line.closed is not None:
                    break
                await self._say(client, text)
        finally:
            self._clients.leave(client)
        if len(self._clients) or len(self._registry) or list(self._registry):
            raise Broken("something of the client stays when it is gone")

    async def _say(self, client: Any, text: str) -> None:
        before = len(self.line.texts)
        bound_s = CPU_S * (1 + len(text) // 65_536)
        began_s = time.process_time()
        try:
            asked = self._clients.hear(client, text)
            if asked is not None:
                await self._clients.subscribe(client, asked)
        except Exception as error:
            raise Broken(f"{type(error).__name__} came out for a message: {error}") from error
        took_s = time.process_time() - began_s
        if took_s > bound_s:
            raise Broken(f"a message took {took_s:.3f} s of the processor of {bound_s:.3f} s")
        answers = self.line.texts[before:]
        if len(answers) > 1 or (not answers and "rate-limited" not in self.kinds):
            raise Broken(f"{len(answers)} answers to one message")
        for answer in answers:
            self._judge(text, answer)
        code = self.line.closed
        if code is not None and self.kinds[-1:] != [ENDS.get(code)]:
            raise Broken(f"closed with {code} after {self.kinds[-1:]}")
        for kind, times in TIMES.items():
            if code is None and self.kinds.count(kind) >= times:
                raise Broken(f"{times} times {kind}, and it is not closed")

    def _judge(self, text: str, answer: bytes) -> None:
        try:
            told = json.loads(answer.decode())
        except ValueError as error:
            raise Broken(f"an answer that is no JSON: {error}") from error
        kind = told.get("code") if told["type"] == "error" else told["type"]
        if kind not in CODES | {"subscribed", "unsubscribed"}:
            raise Broken(f"an answer of no known kind: {kind}")
        self.kinds.append(kind)
        self.sentences.append(told.get("message", ""))
        given = len(text.encode(errors="surrogateescape"))
        if len(answer) > GROWTH * given + HEAD:
            raise Broken(f"{len(answer)} bytes of answer to {given} bytes")
        due = _due(text)
        if due is None or kind in ("rate-limited", "too-many-subscriptions", "unavailable"):
            return
        kinds, topic, request_id = due
        if kind not in kinds:
            raise Broken(f"answered {kind}, where {sorted(kinds)} is due")
        if (told.get("topic"), told.get("id")) != (topic, request_id):
            raise Broken(f"answered about {told.get('topic')!r}, id {told.get('id')!r}")


_UUID = re.compile(r"event:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_KNOWN = {"type", "topic", "id", "attributes", "frames", "history", "include"}


def _due(text: str) -> tuple[set[str], str | None, str | None] | None:
    """What a message must be answered with, about which topic and with which id, by the standard
    library's reading of it; None where JSON itself leaves a choice."""
    if re.search(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]|[\[{]{40}|NaN|Infinity", text):
        return None
    pairs: list[list[tuple[str, Any]]] = []

    def whole(members: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs.append(members)
        return dict(members)

    try:
        said = json.loads(text, object_pairs_hook=whole)
    except RecursionError:
        return None
    except ValueError:
        return {"bad-message"}, None, None
    if not isinstance(said, dict):
        return {"bad-message"}, None, None
    names = [name for name, _ in pairs[-1] if name in _KNOWN]
    if len(names) != len(set(names)):
        return None  # doubled: the first or the last
    topic, request_id = said.get("topic"), said.get("id")
    named = (
        topic if isinstance(topic, str) else None,
        request_id if isinstance(request_id, str) else None,
    )
    if not _understood(said):
        return {"bad-message"}, *named
    if not _UUID.fullmatch(said["topic"]):
        return {"unknown-topic"}, *named
    if said["type"] == "unsubscribe":
        return {"unsubscribed"}, *named
    if said.get("include"):
        return {"error"}, *named
    return ({"subscribed"} if said["topic"] == f"event:{EVENT}" else {"forbidden"}), *named


def _understood(said: dict[str, Any]) -> bool:
    if said.get("type") not in ("subscribe", "unsubscribe") or not isinstance(said["type"], str):
        return False
    if not isinstance(said.get("topic"), str):
        return False
    if not isinstance(said.get("id"), str | None):
        return False
    if said["type"] == "unsubscribe":
        return True
    history = said.get("history", 0)
    include = said.get("include", [])
    return (
        isinstance(said.get("attributes", False), bool)
        and said.get("frames", "single") in ("single", "batch")
        and isinstance(history, int)  # `5.0` and `true` are not integers
        and not isinstance(history, bool)
        and 0 <= history <= 200
        and isinstance(include, list)
        and all(each in ("crossings", "results", "course") for each in include)
    )
