"""How stream and group stand, for metrics and for an operator: nothing in here changes anything.

The server's own `lag` is used where it can be right. It is nil after an XDEL or XGROUP SETID, and
on Redis 7.0 it counts for ever what was trimmed unread; see `_unread`.
"""

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from redis.asyncio import Redis

from processor.adapters.redis.connection import exchange
from processor.adapters.redis.dead_letters import SUFFIX
from processor.adapters.redis.errors import translate
from processor.adapters.redis.standing import (
    GroupStanding,
    StreamStanding,
    milliseconds,
    order,
    told,
)
from processor.core.errors import Refused
from processor.core.notices import BacklogMeasured
from processor.core.ports import Clock

FAMILY = "telemetry:*"
"""The producers' convention for their streams' names is `telemetry:{vendor}`."""

SCAN_COUNT, SCAN_ROUNDS = 1000, 100
"""Looking for busy streams ends after a hundred thousand keys: it is advice, not accounting."""

BUSY_LIMIT = 100
"""Streams of the family that are looked at; there is one for each vendor."""

COUNT_LIMIT = 1000
"""Unread entries that we count ourselves where the server cannot; beyond, we estimate. Counting
means to read them."""

AT_THE_TAIL_S = 1.0
"""A group whose oldest unread entry is younger reads at the tail: its rate says nothing yet."""


@frozen
class Consumer:
    """`idle_s`: seconds since it last asked for anything."""

    name: str
    pending: int
    idle_s: float


@frozen
class Group:
    """`lag` entries are unread, the oldest of them `lag_s` old."""

    name: str
    consumers: int
    pending: int
    lag: int
    lag_s: float
    last_delivered_id: str


@frozen
class ServerFacts:
    """What `processor doctor` judges. None: the user's ACL, or the server, does not say."""

    version: str | None
    eviction: str | None
    append_only: bool | None
    role: str | None


class RedisBacklog:
    """Backlog of one group on one stream, and the operator's view of all of them."""

    def __init__(self, client: Redis, *, stream: str, group: str, clock: Clock) -> None:
        self._client = client
        self._stream, self._group = stream, group
        self._clock = clock

    async def measure(self) -> BacklogMeasured:
        """`headroom_s`: until trimming has come to the oldest unread entry, `length - lag` entries
        must be added, if trimming keeps the length that the stream has now. They come as fast as
        the unread ones did: `lag` of them in `lag_s`. So it is (length - lag) * lag_s / lag. None
        while the group reads at the tail, and while nothing was ever trimmed."""
        stream, groups, dead = await self._ask(
            ("XINFO", "STREAM", self._stream),
            ("XINFO", "GROUPS", self._stream),
            ("XLEN", self._stream + SUFFIX),
        )
        if stream is None:
            return BacklogMeasured(0, 0.0, 0, dead, None, None)
        standing = StreamStanding.read(stream)
        ours = [g for g in GroupStanding.read_all(groups) if g.name == self._group]
        lag, lag_s = await self._unread(standing, ours[0]) if ours else (0, 0.0)
        headroom_s = None
        if lag > 0 and lag_s >= AT_THE_TAIL_S and standing.removed != 0:
            headroom_s = max(0, standing.length - lag) * lag_s / lag
        return BacklogMeasured(
            lag=lag,
            lag_s=lag_s,
            pending=sum(group.pending for group in ours),
            dead_letters=dead,
            last_entry_age_s=None
            if order(standing.last_id) == (0, 0)
            else self._age_s(standing.last_id),
            headroom_s=headroom_s,
        )

    async def busy_streams(self, within_s: float) -> Sequence[str]:
        """At most BUSY_LIMIT streams are looked at, among the keys that SCAN shows first."""
        names: set[str] = set()
        cursor = 0
        for _ in range(SCAN_ROUNDS):
            ((cursor, keys),) = await self._ask(
                ("SCAN", cursor, "MATCH", FAMILY, "COUNT", SCAN_COUNT, "TYPE", "stream")
            )
            names.update(key.decode(errors="backslashreplace") for key in keys)
            if int(cursor) == 0 or len(names) > BUSY_LIMIT:
                break
        others = sorted(n for n in names if n != self._stream and not n.endswith(SUFFIX))
        others = others[:BUSY_LIMIT]
        answers = await self._ask(*(("XINFO", "STREAM", name) for name in others))
        return [
            name
            for name, answer in zip(others, answers, strict=True)
            if answer and self._age_s(StreamStanding.read(answer).last_id) <= within_s
        ]

    async def groups(self) -> Sequence[Group]:
        """Every group on the stream; none where the stream does not exist."""
        stream, groups = await self._ask(
            ("XINFO", "STREAM", self._stream), ("XINFO", "GROUPS", self._stream)
        )
        if stream is None:
            return []
        standing = StreamStanding.read(stream)
        found = []
        for group in GroupStanding.read_all(groups):
            lag, lag_s = await self._unread(standing, group)
            found.append(
                Group(
                    name=group.name,
                    consumers=group.consumers,
                    pending=group.pending,
                    lag=lag,
                    lag_s=lag_s,
                    last_delivered_id=group.last_delivered_id,
                )
            )
        return found

    async def consumers(self) -> Sequence[Consumer]:
        """The consumers of our group; none where it does not exist."""
        (answer,) = await self._ask(("XINFO", "CONSUMERS", self._stream, self._group))
        return [
            Consumer(
                name=said[b"name"].decode(errors="backslashreplace"),
                pending=said[b"pending"],
                idle_s=said[b"idle"] / 1000,
            )
            for said in map(told, answer or ())
        ]

    async def server_facts(self) -> ServerFacts:
        """Raises Unavailable; Refused only where the credentials are wrong, not where the ACL keeps
        something from us."""
        info = await self._permitted("INFO", "server")
        replication = await self._permitted("INFO", "replication")
        eviction = await self._permitted("CONFIG", "GET", "maxmemory-policy")
        append_only = await self._permitted("CONFIG", "GET", "appendonly")
        facts = {**(info or {}), **(replication or {})}
        name = facts.get("server_name", "redis")
        version = facts.get(f"{name}_version") or facts.get("redis_version")
        return ServerFacts(
            version=f"{name} {version}" if version else None,
            eviction=eviction[1].decode() if eviction else None,
            append_only=append_only[1] == b"yes" if append_only else None,
            role=facts.get("role"),
        )

    async def _unread(self, stream: StreamStanding, group: GroupStanding) -> tuple[int, float]:
        """How many entries `group` has not read, and the age of the oldest of them in seconds."""
        last_id = group.last_delivered_id
        if order(last_id) >= order(stream.last_id) or stream.first_id is None:
            return 0, 0.0
        if stream.has_passed(last_id):
            # What was trimmed unread is nobody's lag any more, whatever the server counts.
            return stream.length, self._age_s(stream.first_id)
        trusted = group.lag is not None and 0 <= group.lag <= stream.length
        limit = 1 if trusted else COUNT_LIMIT
        (unread,) = await self._ask(("XRANGE", self._stream, f"({last_id}", "+", "COUNT", limit))
        if not unread:
            return 0, 0.0
        lag = group.lag if trusted and group.lag is not None else len(unread)
        if not trusted and lag == COUNT_LIMIT:
            lag = max(lag, min(stream.length, stream.estimate_between(last_id, stream.last_id)))
        return max(1, lag), self._age_s(unread[0][0].decode())

    def _age_s(self, entry_id: str) -> float:
        """By our clock; never negative where the server's is ahead."""
        return max(0.0, (self._clock.now() - milliseconds(entry_id)) / 1000)

    async def _permitted(self, *command: str) -> Any:
        try:
            (answer,) = await self._ask(command)
        except Refused as refused:
            if refused.reason not in ("permission", "unsupported"):
                raise
            return None
        return answer

    async def _ask(self, *commands: Sequence[str | int | bytes]) -> list[Any]:
        """The raw answers; None where stream or group does not exist."""
        answers = await exchange(self._client, commands)
        for place, answer in enumerate(answers):
            if isinstance(answer, Exception):
                verdict = translate(answer)
                if verdict.reason != "group-missing":
                    raise verdict from answer
                answers[place] = None
        return answers
