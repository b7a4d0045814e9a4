"""What every role needs: to know how the stream stands, the time, chance, and somebody to tell."""

from collections.abc import Sequence
from typing import Protocol

from processor.core.notices import BacklogMeasured, Notice


class Backlog(Protocol):
    """How the stream and our group stand: what is not read, not acknowledged, or dead.

    Order   None.
    Repeat  Every call measures afresh and changes nothing.
    Cancel  Harmless.
    Units   See BacklogMeasured. Silence in seconds.
    Raises  Unavailable; Refused.
    """

    async def measure(self) -> BacklogMeasured:
        """One look at stream, group and dead letters. A group or stream that does not exist has no
        lag, and that is not an error."""
        ...

    async def busy_streams(self, within_s: float) -> Sequence[str]:
        """Other streams of the family (`telemetry:*`) that had an entry within that time: where the
        traffic may have gone if ours is silent."""
        ...


class Clock(Protocol):
    """Time. Wall clock only to judge timestamps; whatever lasts is measured by `elapsed`.

    Order   `elapsed` never goes back; `now` may.
    Repeat  Every call answers afresh.
    Cancel  A cancelled `sleep` ends at once.
    Units   `now` milliseconds since the epoch, UTC; `elapsed` seconds from any origin;
            `sleep` seconds.
    Raises  Nothing.
    """

    def now(self) -> int: ...

    def elapsed(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Chance(Protocol):
    """Randomness, so that a simulation can decide it.

    Order   None.
    Repeat  Every call answers afresh.
    Cancel  Not awaitable.
    Units   A fraction: 0 <= x < 1.
    Raises  Nothing.
    """

    def fraction(self) -> float: ...


class Observer(Protocol):
    """Whoever wants to know what happens: a log, the metrics, a test.

    Order   Notices arrive in the order in which things happened.
    Repeat  Two equal notices are two happenings.
    Cancel  Not awaitable: observing costs no turn of the loop.
    Units   As in `notices`.
    Raises  Nothing: an observer that fails must not stop the work.
    """

    def observe(self, notice: Notice) -> None: ...
