"""Time and chance as the machine has them."""

import asyncio
import random
import time


class SystemClock:
    """The Clock port: wall clock, monotonic clock and the loop's timer."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def elapsed(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemChance:
    """The Chance port. Jitter keeps no secrets, so the ordinary generator will do."""

    def fraction(self) -> float:
        return random.random()  # noqa: S311
