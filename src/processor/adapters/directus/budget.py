"""How much of Directus we take: so many calls at once, and so many in any second.

Directus answers 70 to 100 calls a second, and most of them are for its own users. Ours wait in two
queues. Where a person waits for the answer, a call goes first, and as many may begin at once as
the last second has left. Rechecks take what then is left: they go one by one, evenly, so that a
person who comes meanwhile waits for the next place only; and never in the last quarter of the
places, for a call that has begun cannot be pushed aside, and a slow Directus would otherwise be
full of rechecks.
"""

import asyncio
from collections import deque
from math import inf

from attrs import define, field

from processor.core.ports import Clock

WINDOW_S = 1.0

KEPT_FREE = 4
"""Rechecks leave free one place in so many."""


def _future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


@define(eq=False)
class Turn:
    """A call's place in a queue; it may begin when it is `given`."""

    recheck: bool
    given: "asyncio.Future[None]" = field(factory=_future)


class Budget:
    """`at_once` calls under way, and `a_second` of them begun in any second. The queues are as long
    as there are callers who wait in them."""

    def __init__(self, *, at_once: int, a_second: int, clock: Clock) -> None:
        self._at_once, self._a_second = at_once, a_second
        self._clock = clock
        self._people: dict[Turn, None] = {}
        self._rechecks: dict[Turn, None] = {}
        self._under_way: set[Turn] = set()
        self._begun: deque[float] = deque(maxlen=a_second)
        self._alarm: asyncio.TimerHandle | None = None

    def is_crowded(self, patience_s: float) -> bool:
        """Are there so many people waiting that a turn does not come within this patience?"""
        return len(self._people) >= self._a_second * patience_s

    def enter(self, turn: Turn) -> None:
        """Queue up. Whoever enters leaves, be it that the call is done or that none is needed."""
        (self._rechecks if turn.recheck else self._people)[turn] = None
        self._serve()

    def hurry(self, turn: Turn) -> None:
        """A person waits for this recheck now."""
        turn.recheck = False
        if turn in self._rechecks:
            del self._rechecks[turn]
            self.enter(turn)

    def leave(self, turn: Turn) -> None:
        """Leaving twice does nothing."""
        self._rechecks.pop(turn, None)
        self._people.pop(turn, None)
        self._under_way.discard(turn)
        self._serve()

    def _serve(self) -> None:
        """Let those begin for whom there is room. Called whenever there may be more of it."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while queue := self._people or self._rechecks:
            turn = next(iter(queue))
            wait_s = self._wait_s(recheck=turn.recheck)
            if wait_s > 0:
                if wait_s < inf:
                    self._alarm = asyncio.get_running_loop().call_later(wait_s, self._serve)
                return
            del queue[turn]
            if not turn.given.cancelled():  # whoever waited for it is about to leave
                self._under_way.add(turn)
                self._begun.append(self._clock.elapsed())
                turn.given.set_result(None)

    def _wait_s(self, *, recheck: bool) -> float:
        """How long until one may begin; endless while all places are taken."""
        places = self._at_once - (self._at_once // KEPT_FREE if recheck else 0)
        if len(self._under_way) >= places:
            return inf
        earliest_s = -inf
        if len(self._begun) == self._a_second:
            earliest_s = self._begun[0] + WINDOW_S
        if recheck and self._begun:
            earliest_s = max(earliest_s, self._begun[-1] + WINDOW_S / self._a_second)
        return earliest_s - self._clock.elapsed()
