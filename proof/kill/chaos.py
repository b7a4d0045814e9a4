"""Who is harmed, when and how; and that it comes back.

Blows are dealt from a shuffled deck, so that each kind has its share in a short run, too. Only a
process that is ready is struck: killing one that has nothing in hand would prove nothing. Whoever
was killed is started again at once, under its name; a stopped one goes on when the others have
had the time to take over what it holds. Only Redis and PostgreSQL are waited for: they are struck
alone, and the processes have to bear it.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import define, field

from processor.entrypoints.demo.process import Server
from proof.service import NotReady, Service

INSTANCES = ("anna", "bert", "cleo")

DECK = {"SIGKILL": 20, "SIGTERM": 3, "SIGSTOP": 3, "redis": 1, "postgres": 1}

SHUTDOWN_MS = 20_000  # the default; without an outage a stop takes a tenth of a second
CLAIM_IDLE_MS = 1_000
SETTINGS = {
    "BATCH_BLOCK_MS": "200",
    "IN_FLIGHT_CAP": "400",
    "CLAIM_THRESHOLD_MS": str(CLAIM_IDLE_MS),
    "CLAIM_INTERVAL_MS": "300",
    "POSTGRES_STATEMENT_TIMEOUT_MS": "3000",
    "SHUTDOWN_TIMEOUT_MS": str(SHUTDOWN_MS),
}
"""So impatient that what takes a minute out there happens several times in a short run: others
take over what a stopped process holds, and it then writes and acknowledges the same. In flight is
so little because all of it may come under suspicion, and is then tried one by one: an entry is soon
handed out for the fifth time where everybody is killed every two seconds."""

BETWEEN_S = 0.2  # between two blows, about: two processes are at work while one starts
STOPPED_S = 1.5, 3.0  # longer than CLAIM_IDLE_MS and an interval
AWAY_S = 0.0, 1.0  # how long a server stays away
TICK_S = 0.02
READY_WITHIN_S = 60.0


@define(eq=False)
class Victim:
    """One instance, and what it is just going through."""

    service: Service
    stopped_until: float | None = None
    leaving_since: float | None = None

    @property
    def at_work(self) -> bool:
        return self.stopped_until is None and self.leaving_since is None


@define
class Blows:
    """What was done to processes that were ready, and to servers."""

    dealt: Counter[str] = field(factory=Counter)
    slowest_stop_s: float = 0.0
    faults: list[str] = field(factory=list)

    @property
    def kills(self) -> int:
        return self.dealt["SIGKILL"]


class Chaos:
    """Three instances between two durable servers that may be killed."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        valkey: Server,
        postgres: Server,
        chance: random.Random,
    ) -> None:
        """`settings` of the instances say where the servers are, and as whom to go there."""
        self.victims = [
            Victim(Service(folder, name, {**SETTINGS, **settings})) for name in INSTANCES
        ]
        self.blows = Blows()
        self._servers = {"redis": valkey, "postgres": postgres}
        self._chance = chance
        self._deck: list[str] = []

    def begin(self) -> None:
        for victim in self.victims:
            victim.service.start()
        self._until_all_are_ready()

    def strike_until(self, enough: Callable[[Blows], bool], tell: Callable[[Blows], None]) -> None:
        """Blow after blow. A fault of a process (it ends by itself, or late) ends it, too."""
        due = time.monotonic()
        waiting_since = due
        while not enough(self.blows) and not self.blows.faults:
            self._tend()
            now = time.monotonic()
            if now >= due and self._strike():
                tell(self.blows)
                waiting_since = time.monotonic()
                due = waiting_since + self._chance.uniform(0, 2 * BETWEEN_S)
            elif now - waiting_since > READY_WITHIN_S:
                self.blows.faults.append(f"nobody is ready: {self._last_words()}")
            time.sleep(TICK_S)

    def heal(self) -> None:
        """Everybody goes on, and nobody is struck any more. Whoever does not is a fault."""
        for victim in self.victims:
            if victim.stopped_until is not None:
                victim.stopped_until = 0.0
        while not all(victim.at_work for victim in self.victims):
            self._tend()
            time.sleep(TICK_S)
        try:
            self._until_all_are_ready()
        except NotReady as fault:
            self.blows.faults.append(str(fault))

    def end(self) -> None:
        """An orderly stop of all; each has to end in time, with 0."""
        for victim in self.victims:
            if victim.service.process.poll() is None:
                victim.service.signal(signal.SIGTERM)
                victim.leaving_since = time.monotonic()
        for victim in self.victims:
            while victim.leaving_since is not None:
                self._see_off(victim)
                time.sleep(TICK_S)

    def clear(self) -> None:
        """Nobody outlives us, whatever has gone wrong."""
        for victim in self.victims:
            if victim.service.alive:
                victim.service.kill()

    def taken_over(self) -> int:
        """Entries that an instance took over from another, by what they say."""
        return sum(
            line["count"]
            for victim in self.victims
            for line in victim.service.said()
            if line["message"] == "entries_claimed"
        )

    def _strike(self) -> bool:
        """Deal the next blow; False if nobody can be struck now."""
        if not self._deck:
            self._deck = [blow for blow, count in DECK.items() for _ in range(count)]
            self._chance.shuffle(self._deck)
        blow = self._deck[-1]
        if blow in self._servers:
            server = self._servers[blow]
            server.kill()
            time.sleep(self._chance.uniform(*AWAY_S))
            server.start()
        else:
            ready = [v for v in self.victims if v.at_work and v.service.ready()]
            # One is left at work, or nothing would be in hand at the next blow.
            if len(ready) < 2:
                return False
            self._harm(self._chance.choice(ready), blow)
        self.blows.dealt[self._deck.pop()] += 1
        return True

    def _harm(self, victim: Victim, blow: str) -> None:
        match blow:
            case "SIGKILL":
                victim.service.kill()
                victim.service.start()
            case "SIGTERM":
                victim.service.signal(signal.SIGTERM)
                victim.leaving_since = time.monotonic()
            case "SIGSTOP":
                victim.service.signal(signal.SIGSTOP)
                victim.stopped_until = time.monotonic() + self._chance.uniform(*STOPPED_S)

    def _tend(self) -> None:
        """Whoever was stopped goes on in time; whoever has ended is started again."""
        for victim in self.victims:
            if victim.stopped_until is not None and time.monotonic() >= victim.stopped_until:
                victim.service.signal(signal.SIGCONT)
                victim.stopped_until = None
            elif victim.leaving_since is not None:
                if self._see_off(victim):
                    victim.service.start()
            elif (code := victim.service.process.poll()) is not None:
                self._fault(victim, f"ended by itself with {code}")
                victim.service.start()

    def _see_off(self, victim: Victim) -> bool:
        """Has it ended, as it was asked to?"""
        assert victim.leaving_since is not None
        took_s = time.monotonic() - victim.leaving_since
        code = victim.service.process.poll()
        if code is None and took_s <= SHUTDOWN_MS / 1000:
            return False
        if code is None:
            self._fault(victim, f"had not ended {took_s:.1f} s after SIGTERM")
            victim.service.kill()
        elif code != 0:
            self._fault(victim, f"ended with {code} after SIGTERM")
        self.blows.slowest_stop_s = max(self.blows.slowest_stop_s, took_s)
        victim.leaving_since = None
        return True

    def _fault(self, victim: Victim, what: str) -> None:
        self.blows.faults.append(f"{victim.service.name} {what}: {victim.service.last_words()}")

    def _until_all_are_ready(self) -> None:
        for victim in self.victims:
            victim.service.wait_until_ready(READY_WITHIN_S)

    def _last_words(self) -> str:
        return " / ".join(victim.service.last_words() for victim in self.victims)
