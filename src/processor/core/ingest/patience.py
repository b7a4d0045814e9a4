"""How to go on when something outside is away: the same call again, with growing pauses.

Nothing here gives up on its own. A record is never at fault for a server that is away, so the
call is tried until it succeeds or until we are asked to stop.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from processor.core.errors import Dependency, Refused, TooMuch, Unavailable
from processor.core.notices import DependencyAnswered, DependencyRefused, RetryScheduled
from processor.core.ports import Chance, Clock, Observer

AT_ONCE = 3
"""A lost race (a deadlock, a serialisation failure) is tried again so often without a pause;
whoever loses more often than that is in a crowd, and a pause is what thins it."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
"""A restart is over in a second or two, so the first pauses are short; a server that has been
away for a minute is asked every few seconds, which costs it nothing."""

LONG_PAUSE_S = 30.0
"""A full disk or a wrong password is mended by a person; a try costs a log line and a login."""

SLICE_S = 0.25
"""How long a stop may go unnoticed during a pause."""

T = TypeVar("T")


class Persists(Protocol):
    """Whoever makes a call, and decides what becomes of it when it fails."""

    async def persist(
        self,
        dependency: Dependency,
        call: Callable[[], Awaitable[T]],
        *,
        divisible: bool = False,
    ) -> T: ...


class Patience:
    """Retries for one loop. One failing dependency slows only those who call it."""

    def __init__(self, clock: Clock, chance: Chance, observer: Observer) -> None:
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._failures: dict[Dependency, int] = {}
        self._stopping = False

    def stop(self) -> None:
        """From now on no pause is waited out, and `persist` passes on the error it meets."""
        self._stopping = True

    async def persist(
        self,
        dependency: Dependency,
        call: Callable[[], Awaitable[T]],
        *,
        divisible: bool = False,
    ) -> T:
        """The answer of `call`, called until it has one. TooMuch passes where the caller can divide
        what it asks for. Once we are stopping, Unavailable and Refused pass, too."""
        while True:
            try:
                answer = await call()
            except (Unavailable, Refused) as error:
                if self._stopping or (divisible and isinstance(error, TooMuch)):
                    raise
                await self.wait_out(error)
            else:
                self.answered(dependency)
                return answer

    def answered(self, dependency: Dependency) -> None:
        """A call went well: the next failure begins with a short pause again."""
        if self._failures.get(dependency) != 0:
            self._failures[dependency] = 0
            self._observer.observe(DependencyAnswered(dependency))

    async def wait_out(self, error: Unavailable | Refused) -> None:
        """Say that the call failed and wait as long as its error advises."""
        failures = self._failures.get(error.dependency, 0)
        self._failures[error.dependency] = failures + 1
        wait_s = LONG_PAUSE_S
        notice: type[DependencyRefused | RetryScheduled] = DependencyRefused
        if isinstance(error, Unavailable):
            wait_s = self._pause(error.pause, failures)
            notice = RetryScheduled
        self._observer.observe(notice(error.dependency, error.reason, error.sentence, wait_s))
        await self.pause(wait_s)

    async def pause(self, seconds: float) -> None:
        """Sleep, unless we are asked to stop meanwhile."""
        end = self._clock.elapsed() + seconds
        while not self._stopping and (rest := end - self._clock.elapsed()) > 0:
            await self._clock.sleep(min(rest, SLICE_S))

    def _pause(self, pause: Unavailable.Pause, failures: int) -> float:
        if pause is Unavailable.Pause.LONG:
            return LONG_PAUSE_S
        if pause is Unavailable.Pause.NONE:
            if failures < AT_ONCE:
                return 0.0
            failures -= AT_ONCE
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 10))
        # Between half and the whole of it: instances that failed together must not return together.
        return longest * (0.5 + 0.5 * self._chance.fraction())


class Once:
    """No patience: whatever fails passes at once, and `patience` waits it out elsewhere."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    async def persist(
        self,
        dependency: Dependency,
        call: Callable[[], Awaitable[T]],
        *,
        divisible: bool = False,
    ) -> T:
        answer = await call()
        self._patience.answered(dependency)
        return answer
