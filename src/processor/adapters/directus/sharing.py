"""One answer for all who ask the same: a crowd that comes at the start costs a call for each user.

For each key one call at most is under way, its flight. Whoever asks meanwhile joins it, and it does
not end with whoever asked first. Its answer is kept for a while for those who come later.

How old an answer may be depends on who asks. A handshake or a subscription takes what has arrived
a few seconds ago. A recheck is there to see a change, so for it the age counts from the moment in
which the call began, and what began too long ago is not even joined.

That Directus could not be asked is no answer, and is not kept. While it is away the budget bounds
how often that is found out, and a queue too long for anybody's patience turns people away at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Generic, TypeVar

from attrs import define, field, frozen

from processor.adapters.directus.budget import Budget, Turn
from processor.adapters.directus.errors import unavailable
from processor.core.errors import Unavailable
from processor.core.ports import Clock

KEPT_S = 10.0
REFUSAL_KEPT_S = 2.0
"""Who was refused logs in, or is let in, and tries again at once."""

MOST_KEPT = 10_000
"""Answers. At 20 calls a second, those of half a minute are 600; the bound is for whoever sets that
far higher, and costs three megabytes."""

T = TypeVar("T")

Tell = Callable[[str, str, float], None]
"""Told once for each call: the question, `success`, `unauthorized` or `error`, and its seconds."""


@frozen(repr=False)
class _Kept(Generic[T]):
    answer: T
    refuses: bool
    began_s: float
    arrived_s: float


@define(eq=False, repr=False)
class _Flight(Generic[T]):
    """A call that is under way or waits for its turn, and how many wait for its answer."""

    turn: Turn
    task: "asyncio.Task[T | Unavailable]" = field(init=False)
    began_s: float | None = None
    waiting: int = 0


class Shared(Generic[T]):
    """One question, asked for many keys. An answer among `refusals` refuses, any other grants.

    `timeout_s` is how long a person waits in all; a recheck waits for its turn as long as it must.
    `fresh_s` is how long ago a call may have begun whose answer serves a recheck.
    """

    def __init__(
        self,
        question: str,
        *,
        refusals: Collection[T],
        timeout_s: float,
        fresh_s: float,
        budget: Budget,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._question = question
        self._refusals = refusals
        self._timeout_s, self._fresh_s = timeout_s, fresh_s
        self._budget = budget
        self._clock = clock
        self._tell = tell
        self._kept: dict[Hashable, _Kept[T]] = {}
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._tasks: set[asyncio.Task[T | Unavailable]] = set()
        self._closing = False

    async def ask(
        self, key: Hashable, call: Callable[[], Awaitable[T]], *, recheck: bool = False
    ) -> T:
        """The answer of `call`, which is made now or was made lately. Raises Unavailable."""
        while True:
            if self._closing:
                raise unavailable("closing")
            self._sweep()
            kept = self._kept.get(key)
            if kept is not None and self._serves(kept, recheck=recheck):
                return kept.answer
            flight = self._boarded(key, call, recheck=recheck)
            serves = not recheck or self._is_fresh(flight.began_s)
            outcome = await self._landed(key, flight, None if recheck else self._timeout_s)
            if not serves:
                continue
            if isinstance(outcome, Unavailable):
                # Each gets one of its own: what is raised collects the trace of its way.
                raise Unavailable("directus", outcome.reason, outcome.sentence, outcome.pause)
            return outcome

    def _boarded(
        self, key: Hashable, call: Callable[[], Awaitable[T]], *, recheck: bool
    ) -> _Flight[T]:
        """The flight of this key, made if there is none; before the rechecks if a person asks."""
        flight = self._flights.get(key)
        queues_up = flight is None or (flight.began_s is None and flight.turn.recheck)
        if not recheck and queues_up and self._budget.is_crowded(self._timeout_s):
            raise unavailable("busy")
        if flight is None:
            return self._begin(key, call, recheck=recheck)
        if not recheck:
            self._budget.hurry(flight.turn)
        return flight

    def _begin(
        self, key: Hashable, call: Callable[[], Awaitable[T]], *, recheck: bool
    ) -> _Flight[T]:
        flight: _Flight[T] = _Flight(Turn(recheck))
        flight.task = asyncio.create_task(self._fly(key, flight, call))
        self._flights[key] = flight
        self._tasks.add(flight.task)
        self._budget.enter(flight.turn)

        def end(task: "asyncio.Task[T | Unavailable]") -> None:
            self._tasks.discard(task)
            self._end(key, flight)

        # Not in the task: one that is cancelled before its first step never runs.
        flight.task.add_done_callback(end)
        return flight

    async def _fly(
        self, key: Hashable, flight: _Flight[T], call: Callable[[], Awaitable[T]]
    ) -> T | Unavailable:
        await flight.turn.given
        began_s = flight.began_s = self._clock.elapsed()
        try:
            answer = await call()
        except Unavailable as error:
            self._tell(self._question, "error", self._clock.elapsed() - began_s)
            return error
        arrived_s = self._clock.elapsed()
        refuses = answer in self._refusals
        result = "unauthorized" if refuses else "success"
        self._tell(self._question, result, arrived_s - began_s)
        self._kept.pop(key, None)  # the newest stands last
        self._kept[key] = _Kept(answer, refuses, began_s, arrived_s)
        return answer

    async def _landed(
        self, key: Hashable, flight: _Flight[T], timeout_s: float | None
    ) -> T | Unavailable:
        """What became of it. It goes on without us, unless it has not begun and nobody waits."""
        flight.waiting += 1
        try:
            done, _ = await asyncio.wait([flight.task], timeout=timeout_s)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and flight.began_s is None:
                flight.task.cancel()
                self._end(key, flight)
        if not done:
            return unavailable("busy" if flight.began_s is None else "timeout")
        return unavailable("closing") if flight.task.cancelled() else flight.task.result()

    def _end(self, key: Hashable, flight: _Flight[T]) -> None:
        self._budget.leave(flight.turn)
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _serves(self, kept: _Kept[T], *, recheck: bool) -> bool:
        age_s = self._clock.elapsed() - kept.arrived_s
        if kept.refuses and age_s > REFUSAL_KEPT_S:
            return False
        return self._is_fresh(kept.began_s) if recheck else age_s <= KEPT_S

    def _is_fresh(self, began_s: float | None) -> bool:
        """For a recheck. What has not begun begins later than now."""
        return began_s is None or self._clock.elapsed() - began_s <= self._fresh_s

    def _sweep(self) -> None:
        """The oldest answers go when they serve nobody any more, or are too many."""
        until_s = self._clock.elapsed() - max(KEPT_S, self._fresh_s)
        while self._kept:
            key, oldest = next(iter(self._kept.items()))
            if oldest.arrived_s >= until_s and len(self._kept) <= MOST_KEPT:
                return
            del self._kept[key]

    async def aclose(self) -> None:
        """Nobody is asked any more; whoever waits is told so."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._kept.clear()
