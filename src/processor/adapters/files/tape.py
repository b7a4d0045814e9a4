"""A tape: recorded payloads, and the order and pace in which they come off it again.

Real traffic is not the neat file. The producer sends again what it was not sure of (duplicates). A
tracker without coverage buffers, and when it is back it uploads, high priority first, newest first
(late). Several trackers race through several connections (disorder). `Tape.plan` makes all of that
from a seed, as a pure sequence of cues; whoever plays it only has to wait and to send.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from math import ceil
from operator import attrgetter, itemgetter
from typing import Literal

from attrs import evolve, field, frozen

from processor.adapters.files.producer import Payload

OUTAGE_FIXES_MAX = 20
"""The longest a tracker buffers: at a fix every few seconds, a valley or a tunnel."""
AGAIN_AFTER_MAX = 50
"""A retransmission comes within so many entries: a second or two of a busy stream."""
BETWEEN_PASSES = timedelta(seconds=10)
"""From the last fix of one pass of a loop to the first of the next: longer than a fix's gap, so
that a pass never repeats a device's instant."""

Kind = Literal["live", "late", "duplicate"]


@frozen
class Cue:
    """`payload` is to be sent `offset_s` seconds after the start."""

    offset_s: float
    payload: Payload
    kind: Kind


def _in_time(payloads: Iterable[Payload]) -> Sequence[Payload]:
    return sorted(payloads, key=attrgetter("fixed_at"))


@frozen
class Tape:
    """At least one payload, in the order of their times."""

    payloads: Sequence[Payload] = field(converter=_in_time)

    @property
    def starts_at(self) -> datetime:
        return self.payloads[0].fixed_at

    @property
    def ends_at(self) -> datetime:
        return self.payloads[-1].fixed_at

    @property
    def devices(self) -> set[str]:
        return {payload.device_id for payload in self.payloads}

    def lasts_s(self, speed: float) -> float:
        """Seconds that a pass takes; 0 at speed 0, which is as fast as possible."""
        return (self.ends_at - self.starts_at).total_seconds() / speed if speed else 0.0

    def moved(self, by: timedelta) -> "Tape":
        """The same tape at another time. Raises OverflowError where no calendar reaches."""
        return evolve(self, payloads=[payload.moved(by) for payload in self.payloads])

    def moved_to(self, now: datetime, speed: float) -> "Tape":
        """The tape at a time such that, played from `now` on at `speed`, no fix is ahead of the
        clock when it is sent, and the last one (at real time, each) is of that very moment."""
        sped = speed if speed == 0 or speed > 1 else 1.0
        return self.moved(now + timedelta(seconds=self.lasts_s(sped)) - self.ends_at)

    def compressed(self, speed: float) -> "Tape":
        """The same fixes, `speed` times closer in time: a short rally instead of a fast replay."""

        def earlier(payload: Payload) -> timedelta:
            since = payload.fixed_at - self.starts_at
            return since / speed - since

        return evolve(self, payloads=[each.moved(earlier(each)) for each in self.payloads])

    def plan(
        self,
        *,
        speed: float = 1.0,
        duplicates: float = 0.0,
        late: float = 0.0,
        disorder: int = 0,
        chance: random.Random,
    ) -> Iterator[Cue]:
        """Every payload once, and again where duplicated, with offsets that never go back.

        `speed` is a factor, 0 as fast as possible. `duplicates` is the chance of each to be sent
        again; `late` the share of each device's fixes that comes late, at least one; `disorder` how
        many places an entry may go astray.
        """
        cues = sorted(self._uploads(late, chance), key=attrgetter("offset_s"))
        offsets = [cue.offset_s / speed if speed else 0.0 for cue in cues]
        # Each entry has a place in the queue, and its time is that of the place.
        queue = [(place + chance.random() * disorder, cue) for place, cue in enumerate(cues)]
        queue += [
            (place + chance.randint(1, AGAIN_AFTER_MAX) + 0.5, evolve(cue, kind="duplicate"))
            for place, cue in queue
            if chance.random() < duplicates
        ]
        queue.sort(key=itemgetter(0))
        for place, cue in queue:
            yield evolve(cue, offset_s=offsets[min(int(place), len(offsets) - 1)])

    def _uploads(self, late: float, chance: random.Random) -> Iterator[Cue]:
        """Device by device, when each fix is uploaded, in seconds of the recording."""
        by_device: dict[str, list[Payload]] = {}
        for payload in self.payloads:
            by_device.setdefault(payload.device_id, []).append(payload)
        for payloads in by_device.values():
            buffered: list[Payload] = []
            outages = _outages(len(payloads), late, chance)
            for number, payload in enumerate(payloads):
                if number in outages:
                    buffered.append(payload)
                    continue
                offset_s = (payload.fixed_at - self.starts_at).total_seconds()
                yield Cue(offset_s, payload, "live")
                newest_first = reversed(buffered)
                for each in sorted(newest_first, key=attrgetter("priority"), reverse=True):
                    yield Cue(offset_s, each, "late")
                buffered = []


def _outages(fixes: int, late: float, chance: random.Random) -> set[int]:
    """Which of a device's fixes it has to buffer. Never the last: with that one it is back."""
    wanted = min(ceil(fixes * late), fixes - 1)
    numbers: set[int] = set()
    while len(numbers) < wanted:
        start = chance.randrange(fixes - 1)
        for number in range(start, min(start + OUTAGE_FIXES_MAX, fixes - 1)):
            if len(numbers) < wanted:
                numbers.add(number)
    return numbers
