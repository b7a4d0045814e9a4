"""A value that is read again every so often and swapped as a whole, while everybody uses it.

Whoever reads `value` has the last one that could be had; that it could not be had anew is said and
harms nobody.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from processor.core.errors import Refused, Unavailable
from processor.core.ports import Chance, Clock

T = TypeVar("T")

FIRST_AGAIN_S = 1.0
"""As long as there is no value at all, a failure is followed by another try this soon."""


class Refreshed(Generic[T]):
    """`read` gets a new value; `swapped` and `failed` are told what came of it."""

    def __init__(
        self,
        initial: T,
        read: Callable[[], Awaitable[T]],
        *,
        every_ms: int,
        clock: Clock,
        chance: Chance,
        swapped: Callable[[T], None],
        failed: Callable[[Unavailable | Refused], None],
    ) -> None:
        self.value = initial
        self._read = read
        self._every_s = every_ms / 1000
        self._clock = clock
        self._chance = chance
        self._swapped = swapped
        self._failed = failed

    async def run(self) -> None:
        """Read again and again, for ever; to end it, cancel. A refusal waits its full turn."""
        had_one = False
        while True:
            wait_s = self._every_s
            try:
                self.value = await self._read()
            except (Unavailable, Refused) as error:
                self._failed(error)
                if not had_one and isinstance(error, Unavailable):
                    wait_s = min(wait_s, FIRST_AGAIN_S)
            else:
                had_one = True
                self._swapped(self.value)
            # Jitter of a fifth: instances that were started together do not ask together.
            await self._clock.sleep(wait_s * (0.9 + 0.2 * self._chance.fraction()))
