"""What the demo plays: a recorded drive, driven by a whole field, and what must come of it.

Forty cars drive the same recorded road, one starting after the other, each with a tracker of its
own. Trackers do what they do on a rally: send again what they were not sure of, upload late, newest
first, what a valley kept from them; and now and then an entry is cut short. What is played is known
beforehand, so that at the end every fix can be asked for by name.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from attrs import evolve, frozen

from processor.adapters.files.producer import Payload, recorded
from processor.adapters.files.tape import Cue, Tape

TRACK = Path(__file__).parent / "tracks" / "around-visnjan-with-car.gpx"

CARS = 40
INTERVAL = timedelta(seconds=15)
FIRST_DEVICE = 356307042441001
DUPLICATES = 0.05
LATE = 0.05
CUT_SHORT = 0.005

DEVICES = tuple(str(FIRST_DEVICE + car) for car in range(CARS))

Key = tuple[str, datetime]


@frozen
class Rehearsal:
    """Cues in the order in which they are played, the fixes in them, and how many are rubbish."""

    cues: Sequence[Cue]
    fixes: frozenset[Key]
    rubbish: int
    lasts_s: float

    @classmethod
    def at(cls, now: datetime, speed: float, seed: int) -> "Rehearsal":
        """A rehearsal that starts now. Each fix is of the moment at which it is sent, as on a live
        map it must be, so the cars drive `speed` times as fast as their speedometers say."""
        chance = random.Random(seed)  # noqa: S311 - to be repeatable is the point
        tape = Tape(list(_field(chance))).compressed(speed).moved_to(now, 1.0)
        plan = tape.plan(duplicates=DUPLICATES, late=LATE, disorder=5, chance=chance)
        cues = [_cut_short(cue) if chance.random() < CUT_SHORT else cue for cue in plan]
        whole = [cue.payload for cue in cues if cue.payload.text.endswith("}")]
        return cls(
            cues,
            frozenset((each.device_id, datetime.fromisoformat(each.timestamp)) for each in whole),
            len(cues) - len(whole),
            tape.lasts_s(1.0),
        )


def _field(chance: random.Random) -> Iterator[Payload]:
    for car, device_id in enumerate(DEVICES):
        for payload in recorded(TRACK, device_id=device_id, chance=chance):
            yield payload.moved(car * INTERVAL)


def _cut_short(cue: Cue) -> Cue:
    payload = cue.payload
    return evolve(cue, payload=evolve(payload, text=payload.text[: len(payload.text) // 2]))
