"""`make sim`: the simulations of tests/simulation, for as many seeds as anybody has patience for.

    python -m proof.sim [--seeds N | --seed S] [--no-document]

Exit code 1 if a seed fails; the first failure ends it, and names the seed.
"""

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from attrs import frozen
from rich.console import Console
from rich.progress import track

from proof.document import table, write
from tests.simulation import test_live, world

SEEDS = 5_000
PIECE = 50
"""Seeds that one process lives through before it tells: some seconds."""


@frozen
class Lived:
    """What became of a piece of the seeds: how many of ingest and of live, what went wrong in the
    worlds of ingest, by its name, and the first failure, if any, as it is told."""

    ingest: int
    live: int
    faults: Counter[str]
    failure: str | None = None


def live_through(seeds: tuple[int, ...]) -> Lived:
    faults: Counter[str] = Counter()
    for place, seed in enumerate(seeds):
        try:
            faults += world.simulate(seed).happened
            test_live.simulate(seed)
        except BaseException:
            told = f"{traceback.format_exc()}\nto live through it again: make sim SEED={seed}"
            return Lived(place, place, faults, told)
    return Lived(len(seeds), len(seeds), faults)


def pieces(seeds: int) -> Iterator[tuple[int, ...]]:
    for first in range(0, seeds, PIECE):
        yield tuple(range(first, min(seeds, first + PIECE)))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many; {SEEDS} if not said")
    parser.add_argument("--seed", type=int, help="live through this one alone")
    parser.add_argument("--no-document", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    console = Console(highlight=False)
    if options.seed is not None:
        failure = live_through((options.seed,)).failure
        console.print(failure or f"seed {options.seed}: everything is right", markup=False)
        return int(failure is not None)
    began = time.perf_counter()
    workers = os.cpu_count() or 1
    total = Lived(0, 0, Counter())
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(live_through, piece) for piece in pieces(options.seeds)]
        for done in track(as_completed(waiting), "living", len(waiting), console=console):
            lived = done.result()
            total = Lived(
                total.ingest + lived.ingest, total.live + lived.live, total.faults + lived.faults
            )
            if lived.failure:
                console.print(lived.failure, markup=False)
                pool.shutdown(cancel_futures=True)
                return 1
    text = told(total, time.perf_counter() - began, workers)
    console.print(text, markup=False)
    if not options.no_document:
        command = f"make sim SEEDS={options.seeds}"
        write("simulation", "Simulated: seeds and faults", command, text)
    return 0


def told(total: Lived, seconds: float, workers: int) -> str:
    """The figures as markdown."""
    rows = [(name, count) for name, count in total.faults.most_common()]
    return (
        f"{total.ingest} worlds of ingest and {total.live} of live, {seconds:.0f} s with {workers} "
        f"processes: {total.ingest / seconds:.1f} seeds of each a second. In none was anything "
        "lost, stored twice, acknowledged before it was durable, or sent that must not be.\n\n"
        + table(("in the worlds of ingest", "times"), [*rows, ("together", total.faults.total())])
    )


if __name__ == "__main__":
    sys.exit(main())
