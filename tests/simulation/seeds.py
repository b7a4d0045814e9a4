"""Which seeds are lived through, and for how long.

`make sim SEED=n` lives one again, exactly. In `make test` it is as many as fit into SIM_SECONDS,
and never fewer than SIM_SEEDS, in parts that may run side by side.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator

SEED = os.environ.get("SIM_SEED")
SEEDS_AT_LEAST = int(os.environ.get("SIM_SEEDS", "500"))
SECONDS = float(os.environ.get("SIM_SECONDS", "150"))
PARTS = 1 if SEED else 6


def seeds_of(part: int) -> Iterator[int]:
    """Of `PARTS` parts of all seeds there are, the beginning of one: for its part of the time."""
    if SEED:
        yield int(SEED)
        return
    until = time.perf_counter() + SECONDS / PARTS
    for place in itertools.count():
        enough = place >= SEEDS_AT_LEAST / PARTS
        if enough and time.perf_counter() >= until:
            return
        yield part + place * PARTS


def lived(part: int, live: Callable[[int], object]) -> int:
    """Live through the seeds of that part; how many they were."""
    count = 0
    for seed in seeds_of(part):
        try:
            live(seed)
        except BaseException as error:
            error.add_note(f"to live through it again: make sim SEED={seed}")
            raise
        count += 1
    return count
