"""Reading back what we do not know: where a device was before we heard of it for the first time.

It goes beside the work and is never in its way. Whoever finds devices unknown hands them over and
goes on; they gather while a question is under way, and the next one is for all of them. What the
database says may come late, for it only moves a state forward. So nothing of it is worth a wait,
and nothing worth asking twice: a device that drives soon has a newer fix than the one we missed.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice

from processor.core.errors import Refused, Unavailable
from processor.core.ingest.state import DeviceStates
from processor.core.notices import DevicesRecalled, RecallFailed, RecallSkipped
from processor.core.ports import Clock, Observer, StateStore

ASKED_AT_ONCE = 2_000
"""Devices in one question, as many as a batch may bring: some 30 ms of one session."""

ROOM = 2
"""Devices that may wait, as a multiple of those that may be known: to look for the forgotten is to
look at each, and worth it when half of them are."""

REST = 19
"""After an answer we rest so many times as long as it took, and so take a twentieth of one session:
a start with a hundred thousand devices has read them all back within a minute or so, and the
writers, who are catching up then, do not notice (a fifth of a session cost them a seventh)."""

REST_AFTER_FAILURE_S = 10.0
"""A database that cannot answer has other worries; meanwhile the others wait, they do not fail."""


class Recall:
    """Fills up the states from the store. Who waits has a state, or had one: those that lost it are
    taken out when there is no room, so that a batch finds room for whom it brings."""

    def __init__(
        self, store: StateStore, states: DeviceStates, clock: Clock, observer: Observer
    ) -> None:
        self._store = store
        self._states = states
        self._clock = clock
        self._observer = observer
        self._waiting: dict[str, None] = {}  # for its order: first come, first served
        self._some = asyncio.Event()

    def want(self, device_ids: Sequence[str]) -> None:
        """These were unknown: they are asked for in their turn."""
        self._waiting.update(dict.fromkeys(device_ids))
        if len(self._waiting) > ROOM * self._states.cap:
            self._skip([each for each in self._waiting if self._states.get(each) is None])
        if self._waiting:
            self._some.set()

    def _skip(self, device_ids: Sequence[str]) -> None:
        for device_id in device_ids:
            del self._waiting[device_id]
        self._observer.observe(RecallSkipped(len(device_ids)))

    async def run(self) -> None:
        """Ask, one question at a time, for ever; to end it, cancel."""
        while True:
            await self._some.wait()
            if device_ids := self._next():
                await self._clock.sleep(await self._ask(device_ids))

    def _next(self) -> Sequence[str]:
        """Those whose turn it is, without those that were forgotten again meanwhile."""
        taken = list(islice(self._waiting, ASKED_AT_ONCE))
        for device_id in taken:
            del self._waiting[device_id]
        if not self._waiting:
            self._some.clear()
        known = [device_id for device_id in taken if self._states.get(device_id) is not None]
        if len(known) < len(taken):
            self._observer.observe(RecallSkipped(len(taken) - len(known)))
        return known

    async def _ask(self, device_ids: Sequence[str]) -> float:
        """For how many seconds to rest after that."""
        began_s = self._clock.elapsed()
        try:
            newest = await self._store.newest(device_ids)
        except (Unavailable, Refused) as error:
            self._observer.observe(RecallFailed(len(device_ids), error.reason, error.sentence))
            return REST_AFTER_FAILURE_S
        for position in newest.values():
            self._states.recall(position)
        self._observer.observe(DevicesRecalled(len(newest), len(device_ids) - len(newest)))
        return REST * (self._clock.elapsed() - began_s)
