"""What is done with dead letters: they go back to the stream, or away.

What is done is fixed before it begins: a letter that arrives meanwhile, because what went back was
refused again, does not go in circles.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from attrs import define, field

from processor.adapters.files.producer import MAXLEN
from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.redis.connection import connect
from processor.adapters.redis.letters import FOREIGN, Letter, RedisLetters
from processor.adapters.redis.standing import StreamStanding
from processor.adapters.system import SystemClock
from processor.entrypoints.dlq.choosing import Chosen
from processor.entrypoints.exits import Ends, Exit
from processor.entrypoints.reading import read
from processor.entrypoints.settings import StreamSettings

ANSWER_WITHIN_S = 10.0
"""A page of the largest letters over a slow line takes seconds."""

SHORTEST = 1_000
"""No producer trims a stream to less: a short one was emptied by somebody."""

FILLED = 0.9
"""The part of a trimmed stream that unread entries may fill: the rest is for what comes
meanwhile."""

LOOK_AGAIN_S = 0.5
STUCK_S = 30.0
"""A service that starts reads again within this."""


@asynccontextmanager
async def opened(environ: Mapping[str, str]) -> AsyncIterator[tuple[RedisLetters, "Pace"]]:
    """The letters, and the pace for requeueing them."""
    settings = read(StreamSettings, environ).redis
    letters = RedisLetters(settings.url, stream=settings.stream, timeout_s=ANSWER_WITHIN_S)
    client = connect(settings.url, timeout_s=ANSWER_WITHIN_S, name="processor-dlq")
    backlog = RedisBacklog(
        client, stream=settings.stream, group=settings.group, clock=SystemClock()
    )
    try:
        yield letters, Pace(letters, backlog, stream=settings.stream, group=settings.group)
    finally:
        await letters.aclose()
        await client.aclose()


class Stuck(Ends):
    """Nothing more can be requeued now."""

    code = Exit.FAILED


class Pace:
    """How fast letters may return to a stream that its producer trims.

    What we add pushes out what is oldest, be it read or not. So the unread entries and ours
    together never fill more than most of the length to which the stream is trimmed; whoever
    requeues more waits for the group to read on.
    """

    def __init__(
        self, letters: RedisLetters, backlog: RedisBacklog, *, stream: str, group: str
    ) -> None:
        self._letters = letters
        self._backlog = backlog
        self.stream, self._group = stream, group
        self._trimmed_to: int | None = None

    async def room(self, *, look_again_s: float = LOOK_AGAIN_S, stuck_s: float = STUCK_S) -> int:
        """How many may be added now, 1 at least. Waits while there is none; raises Stuck where the
        group reads nothing meanwhile."""
        least, since_s = None, 0.0
        while True:
            unread, length = await self._look()
            room = int(length * FILLED) - unread
            if room > 0:
                return room
            if least is None or unread < least:
                least, since_s = unread, 0.0
            elif since_s >= stuck_s:
                raise Stuck(
                    f"{self.stream} is trimmed to about {length} entries, {unread} of them are "
                    f"unread, and group {self._group} reads no more: requeueing would push unread "
                    "ones out; start the service, then repeat the command"
                )
            await asyncio.sleep(look_again_s)
            since_s += look_again_s

    async def standing(self) -> StreamStanding:
        """How the stream stands; raises Stuck where it does not exist."""
        standing = await self._letters.stream()
        if standing is None:
            raise Stuck(
                f"{self.stream} does not exist, and requeueing does not make it: "
                "is REDIS_TELEMETRY_STREAM right?"
            )
        return standing

    async def _look(self) -> tuple[int, int]:
        """Entries that the group has not read, and the length to which the stream is trimmed: the
        one it has, if it was ever trimmed, else that of the producer."""
        standing = await self.standing()
        if self._trimmed_to is None:
            usual = SHORTEST if standing.removed else MAXLEN
            self._trimmed_to = max(standing.length, usual)
        groups = {group.name: group for group in await self._backlog.groups()}
        unread = groups[self._group].lag if self._group in groups else standing.length
        return unread, self._trimmed_to


@define
class Done:
    """What became of the chosen: origins by reason, and those that cannot return."""

    reasons: Counter[str] = field(factory=Counter)
    left: int = 0

    @property
    def count(self) -> int:
        return self.reasons.total()


Tell = Callable[[int], object]
"""Hears how many origins are done, each time some are."""


class Work(Protocol):
    """What is done with the chosen. `place` is the key that has more or less for it."""

    verb: str
    past: str

    @property
    def place(self) -> str: ...

    async def ready(self) -> None:
        """Raises Unavailable, Refused or Stuck where nothing could be done at all."""
        ...

    def foresee(self, chosen: Chosen) -> Done:
        """What `do` would come to."""
        ...

    async def do(self, chosen: Chosen, done: Done, tell: Tell) -> None:
        """Raises the same; `done` says how far it came."""
        ...


class Requeueing:
    """Put the chosen on the stream again, old ones first, each origin once, and remove all of its
    letters."""

    verb, past = "requeue", "requeued"

    def __init__(self, letters: RedisLetters, pace: Pace) -> None:
        self._letters = letters
        self._pace = pace
        self.place = pace.stream

    async def ready(self) -> None:
        await self._pace.standing()

    def foresee(self, chosen: Chosen) -> Done:
        reasons = Counter(chosen.reasons)
        return Done(left=reasons.pop(FOREIGN, 0), reasons=reasons)

    async def do(self, chosen: Chosen, done: Done, tell: Tell) -> None:
        async for fresh, copies in _by_origin(self._letters, chosen):
            returning = [letter for letter in fresh if letter.can_return]
            done.left += len(fresh) - len(returning)
            while returning:
                batch = returning[: await self._pace.room()]
                returned = await self._letters.requeue(batch)
                done.reasons.update(letter.reason for letter in returned.letters)
                tell(len(returned.letters))
                if returned.fault:
                    raise returned.fault
                returning = returning[len(batch) :]
            await self._letters.remove([letter.id for letter in copies if letter.can_return])


class Dropping:
    """Remove all letters of the chosen."""

    verb, past = "drop", "dropped"

    def __init__(self, letters: RedisLetters, _: Pace) -> None:
        self._letters = letters
        self.place = letters.key

    async def ready(self) -> None:
        """Nothing is needed."""

    def foresee(self, chosen: Chosen) -> Done:
        return Done(Counter(chosen.reasons))

    async def do(self, chosen: Chosen, done: Done, tell: Tell) -> None:
        async for fresh, copies in _by_origin(self._letters, chosen):
            await self._letters.remove([letter.id for letter in (*fresh, *copies)])
            done.reasons.update(letter.reason for letter in fresh)
            tell(len(fresh))


async def _by_origin(
    letters: RedisLetters, chosen: Chosen
) -> AsyncIterator[tuple[Sequence[Letter], Sequence[Letter]]]:
    """Page by page, the first letters of chosen origins, and further ones."""
    met: set[str] = set()
    async for page in letters.walk(since_ms=chosen.since_ms):
        fresh: list[Letter] = []
        copies: list[Letter] = []
        for letter in page:
            if letter in chosen:
                (copies if letter.origin_id in met else fresh).append(letter)
                met.add(letter.origin_id)
        yield fresh, copies
