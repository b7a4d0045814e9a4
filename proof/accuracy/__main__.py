"""`make accuracy`: simulated vehicles over objects, and how right the instants are.

make accuracy                              writes docs/ACCURACY.md
make accuracy ACCURACY='--each 3 --no-document'
make accuracy ACCURACY='--trial 517'       one trial, all its trackers, told in full

The drives are closed formulas (entrypoints/demo/drive.py), the true instants their roots
(targets.py). The same fixes go to three methods (methods.py).
"""

import argparse
import time
from collections import defaultdict

from processor.entrypoints.demo.drive import Board
from proof.accuracy import report
from proof.accuracy.figures import Figures, matched
from proof.accuracy.methods import START, ground, later_fix, linear, ours
from proof.accuracy.report import LATER, LINEAR, OURS, Key
from proof.accuracy.targets import truth
from proof.accuracy.trials import Trial, trackers, trials

LONGITUDE = 19.8
SEED = 5
EACH = 30


def main() -> None:
    parser = argparse.ArgumentParser(prog="make accuracy", description=__doc__.split("\n\n")[0])
    parser.add_argument("--each", type=int, default=EACH, help="trials of a path, object, latitude")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--trial", type=int, help="this one alone, told in full")
    parser.add_argument("--no-document", action="store_true", help="leave docs/ as it is")
    asked = parser.parse_args()
    began = time.process_time()
    found: dict[Key, Figures] = defaultdict(Figures)
    for trial in trials(asked.each, asked.seed):
        if asked.trial is None or trial.number == asked.trial:
            measure(trial, found, tell=asked.trial is not None)
    if asked.trial is not None:
        return
    text = report.text(found, asked.each, time.process_time() - began)
    print(text)
    if not asked.no_document:
        report.write(text, _command(asked))


def _command(asked: argparse.Namespace) -> str:
    options = [
        f"--{name} {value}"
        for name, value, usual in (("each", asked.each, EACH), ("seed", asked.seed, SEED))
        if value != usual
    ]
    return f"make accuracy ACCURACY='{' '.join(options)}'" if options else "make accuracy"


def measure(trial: Trial, found: dict[Key, Figures], *, tell: bool) -> None:
    """All trackers and methods on one trial."""
    board = Board((LONGITUDE, trial.latitude))
    there = ground(trial.target, board)
    true = truth(trial.target, trial.drive, trial.until_s)
    if tell:
        print(trial, *true, sep="\n  ")
    for receiver, rate, tracker, chance in trackers(trial):
        sights = tracker.seen(trial.drive, trial.until_s, chance)
        seen = [
            each
            for each in true
            if sights and sights[0].seconds < each.seconds <= sights[-1].seconds
        ]
        for method, answers in (
            (OURS, ours(there, [sight.fix(board, START) for sight in sights])),
            (LINEAR, linear(trial.target, sights)),
            (LATER, later_fix(trial.target, sights)),
        ):
            key = Key(method, receiver, rate, trial.path, trial.target.name, trial.latitude)
            found[key].add(matched(seen, answers), trial)
            if tell:
                print(f"{receiver}, {rate:g} Hz, {method}:", *answers, sep="\n    ")


if __name__ == "__main__":
    main()
