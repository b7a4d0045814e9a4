"""Sessions end and rights are taken away while browsers are connected: so everybody is looked at
again about every `DIRECTUS_RECHECK_MS`.

The client that has waited longest comes first. Directus answers what is left over from handshakes
and subscriptions; where that is too little, the interval stretches for all alike, and how far is
said. While it cannot be asked, nobody is closed.
"""

from heapq import heapify, heappop, heappush
from itertools import count

from processor.core.errors import Unavailable
from processor.core.live.clients import Client, Clients
from processor.core.notices import RechecksAged
from processor.core.ports import Chance, Clock, Observer

IDLE_S = 0.5
"""How long we look away while nobody is due."""

SAY_EVERY_S = 5.0
"""As often as everything else is probed."""

GONE_MAX = 100
"""Clients that are gone may lie here until they would have been due, so many and as many again as
are connected; then they are swept out."""

AGAIN_S = 10.0
"""After Directus could not be asked; sooner would only add to its troubles."""


class Rechecks:
    """`run` may run several times side by side: each takes the next one that is due."""

    def __init__(
        self,
        clients: Clients,
        *,
        every_ms: int,
        clock: Clock,
        chance: Chance,
        observer: Observer,
    ) -> None:
        self._clients = clients
        self._every_s = every_ms / 1000
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._due: list[tuple[float, int, Client]] = []
        self._order = count()

    def add(self, client: Client) -> None:
        """Look at this one from now on, until it is gone."""
        if len(self._due) > GONE_MAX + 2 * len(self._clients):
            self._due = [each for each in self._due if self._clients.is_connected(each[2])]
            heapify(self._due)
        # Jitter of a fifth: those who came together are not looked at together for ever.
        self._push(client, self._every_s * (0.9 + 0.2 * self._chance.fraction()))

    async def run(self) -> None:
        """For ever; to end it, cancel."""
        while True:
            if not self._due or self._due[0][0] > self._clock.elapsed():
                await self._clock.sleep(IDLE_S)
                continue
            _, _, client = heappop(self._due)
            if not self._clients.is_connected(client):
                continue
            try:
                await self._clients.recheck(client)
            except Unavailable:
                self._push(client, min(AGAIN_S, self._every_s))
            else:
                self.add(client)

    async def watch(self) -> None:
        """Say from time to time, for ever, how long the longest has waited: also, and above all,
        while nobody can be looked at. To end it, cancel."""
        while True:
            self._observer.observe(RechecksAged(self._clients.longest_unchecked_s()))
            await self._clock.sleep(SAY_EVERY_S)

    def _push(self, client: Client, in_s: float) -> None:
        heappush(self._due, (self._clock.elapsed() + in_s, next(self._order), client))
