"""Which dead letters are meant: by their ids, or by filters.

There may be a million of them, so no walk holds more than a page and the ids of what was chosen.
"""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta

from attrs import define, field, frozen

from processor.adapters.redis.letters import Letter, RedisLetters, began_ms
from processor.adapters.redis.standing import milliseconds as ms_of
from processor.entrypoints.instants import milliseconds

WRITERS_APART = timedelta(hours=1)
"""`failed_at` is of the writer's clock, an id of the server's. A clock that is further off than
this is wrong in a way that no filter mends."""

SERVERS_APART_MS = 60_000
"""After a fail-over another server's clock goes on: a letter may look this much older than its
entry."""


@frozen
class Wanted:
    """Which letters: all filters hold. `failed_at` from `since` on and before `until`."""

    reasons: Collection[str] = ()
    device: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, letter: Letter) -> bool:
        if self.reasons and letter.reason not in self.reasons:
            return False
        if (self.since or self.until) and letter.failed_at is None:
            return False
        if self.since and letter.failed_at and letter.failed_at < self.since:
            return False
        if self.until and letter.failed_at and letter.failed_at >= self.until:
            return False
        return self.device is None or letter.device_id == self.device

    @property
    def since_ms(self) -> int:
        """No such letter was stored before, by the server's clock."""
        return milliseconds(self.since - WRITERS_APART) if self.since else 0


@define
class Chosen:
    """Origins, each with how many letters of it were met, and the sum of them by reason."""

    copies: dict[str, int] = field(factory=dict)
    reasons: Counter[str] = field(factory=Counter)
    oldest_ms: int | None = None
    began_ms: int | None = None

    def __len__(self) -> int:
        return len(self.copies)

    def __contains__(self, letter: Letter) -> bool:
        return letter.origin_id in self.copies

    def meet(self, letter: Letter) -> None:
        """A letter of a chosen origin, or one that chooses it."""
        if letter not in self:
            self.reasons[letter.reason] += 1
        self.copies[letter.origin_id] = self.copies.get(letter.origin_id, 0) + 1
        self.oldest_ms = _least(self.oldest_ms, ms_of(letter.id))
        self.began_ms = _least(self.began_ms, began_ms(letter))

    @property
    def since_ms(self) -> int:
        """No letter of a chosen origin was stored before."""
        return max(0, min(self.oldest_ms or 0, (self.began_ms or 0) - SERVERS_APART_MS))


async def choose(letters: RedisLetters, wanted: Wanted, *, limit: int = 0) -> Chosen:
    """The newest `limit` origins whose letters are wanted; 0: all of them.

    All their letters are counted: a walk back ends where no entry chosen was there yet."""
    chosen = Chosen()
    async for page in letters.walk(since_ms=wanted.since_ms, newest_first=True):
        for letter in page:
            full = 0 < limit <= len(chosen)
            if letter in chosen or (not full and wanted.takes(letter)):
                chosen.meet(letter)
        if 0 < limit <= len(chosen) and ms_of(page[-1].id) < (chosen.began_ms or 0):
            break
    return chosen


async def find(letters: RedisLetters, ids: Sequence[str]) -> tuple[Chosen, Sequence[str]]:
    """The origins that these ids, of letters or of their entries, name, and the ids that name
    nothing."""
    named = await letters.named(ids)
    known = {letter.id for letter in named}
    origins = {letter.origin_id for letter in named} | set(ids)
    since_ms = max(0, min([*map(ms_of, ids), *map(began_ms, named)]) - SERVERS_APART_MS)
    chosen = Chosen()
    await _meet(chosen, letters.walk(since_ms=since_ms), origins)
    lost = [each for each in ids if each not in known and each not in chosen.copies]
    if lost and since_ms:  # an id that was given by hand may lie after its letter
        await _meet(chosen, letters.walk(until_ms=since_ms - 1), set(lost))
    return chosen, [each for each in lost if each not in chosen.copies]


async def _meet(
    chosen: Chosen, pages: AsyncIterator[Sequence[Letter]], origins: Collection[str]
) -> None:
    async for page in pages:
        for letter in page:
            if letter.origin_id in origins:
                chosen.meet(letter)


async def letters_of(letters: RedisLetters, chosen: Chosen) -> AsyncIterator[Letter]:
    """Those that were met when they were chosen, from old to new."""
    rest = sum(chosen.copies.values())
    if not rest:
        return
    async for page in letters.walk(since_ms=chosen.oldest_ms or 0):
        for letter in page:
            if letter in chosen:
                yield letter
                rest -= 1
        if rest <= 0:
            return


def _least(known: int | None, other: int) -> int:
    return other if known is None else min(known, other)
