"""The ledger of acknowledgements: which entries are in our hands, and what may be said of them.

An entry is admitted when it was read, settled when its record is durable (a row, or a dead
letter), released when the stream was told. In between it is in flight. The one law of the house,
acked is a subset of durable, is kept here: `release` of what is not settled is a bug and crashes.

The ledger also makes redelivery harmless inside one process. The own pending list is read again
after each error, and a slow entry may be claimed back by ourselves; `admit` lets nothing in that
is in hand already.
"""

from collections.abc import Iterable, Sequence
from itertools import takewhile

from processor.core.model import Entry


class Ledger:
    """Bounded by `cap` entries: a reader asks for `room` before it reads on."""

    def __init__(self, cap: int) -> None:
        assert cap > 0
        self._cap = cap
        # Since when each is worked on; a dict keeps the order of admission, the oldest first.
        self._working: dict[str, float] = {}
        self._settled: set[str] = set()

    @property
    def in_flight(self) -> int:
        """How many entries are admitted and not released."""
        return len(self._working) + len(self._settled)

    @property
    def room(self) -> int:
        """How many more may be admitted."""
        return max(0, self._cap - self.in_flight)

    def admit(self, entries: Iterable[Entry], now_s: float) -> Sequence[Entry]:
        """Take these into our hands; those that were not there already, in the given order.
        `now_s` never goes back from call to call."""
        fresh = []
        for entry in entries:
            if entry.id not in self._working and entry.id not in self._settled:
                self._working[entry.id] = now_s
                fresh.append(entry)
        return fresh

    def working_since(self, before_s: float) -> Sequence[str]:
        """Those admitted before that time that are not settled, the oldest first."""
        return list(takewhile(lambda entry_id: self._working[entry_id] < before_s, self._working))

    def settle(self, entry_ids: Sequence[str]) -> None:
        """These are durable: from now on they may be acknowledged."""
        assert all(map(self._working.__contains__, entry_ids)), "settled what was not worked on"
        for entry_id in entry_ids:
            del self._working[entry_id]
        self._settled.update(entry_ids)

    def release(self, entry_ids: Sequence[str]) -> None:
        """These were acknowledged: we know nothing of them any more."""
        assert self._settled.issuperset(entry_ids), "acknowledged what was not durable"
        self._settled.difference_update(entry_ids)
