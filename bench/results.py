"""From measurements to figures: medians over the rounds, ratios within a round, goals.

Absolute rates drift by a third and more from minute to minute on a shared machine. So a ratio is
taken between two runs of one round, which are neighbours in time, and the median of those counts.
"""

from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from bench.drain import Run
from bench.offered import Latency

PROCESSOR, BOUND = "processor", "bound"


class Goal(msgspec.Struct, frozen=True):
    """`value` is None where it could not be measured: then it is not met either."""

    what: str
    target: float
    at_least: bool
    value: float | None

    @property
    def met(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.target if self.at_least else self.value <= self.target


class Measured(msgspec.Struct):
    """One subject in one workload: its runs by batch size (0: its own default) and round, or why
    there are none."""

    label: str
    runs: dict[int, dict[int, Run]] = {}
    failure: str | None = None

    @property
    def batch(self) -> int | None:
        """The batch size whose runs are faster."""
        rates = {batch: _rate(runs) for batch, runs in self.runs.items() if runs}
        return max(rates, key=rates.__getitem__) if rates else None

    @property
    def best(self) -> dict[int, Run]:
        """Round -> run at the better batch size."""
        return {} if self.batch is None else self.runs[self.batch]

    def middle(self, figure: str) -> float | None:
        values = [getattr(run, figure) for run in self.best.values()]
        return None if not values or None in values else median(values)


Workload = Mapping[str, Measured]


def _rate(runs: Mapping[int, Run]) -> float:
    return median(run.records_per_s for run in runs.values())


def ratio(workload: Workload, one: str, other: str, figure: str = "records_per_s") -> float | None:
    """How many times the figure of `other` that of `one` is: median over their common rounds."""
    if one not in workload or other not in workload:
        return None
    ours, theirs = workload[one].best, workload[other].best
    rounds = sorted(ours.keys() & theirs.keys())
    if not rounds:
        return None
    return median(getattr(ours[r], figure) / getattr(theirs[r], figure) for r in rounds)


def failures(workload: Workload) -> list[str]:
    return [f"{m.label} {m.failure}" for m in workload.values() if m.failure]


def disagreements(workload: Workload) -> list[str]:
    """Whose rows are not those of the naive loop, which is too plain to be wrong."""
    contents = {
        name: {run.content for runs in m.runs.values() for run in runs.values()}
        for name, m in workload.items()
    }
    truth = contents.get("naive") or set()
    return [
        f"{workload[name].label} stored other rows than the naive loop"
        for name, content in contents.items()
        if content and truth and content != truth
    ]


def goals(
    fresh: Workload, mixed: Workload, latency: Mapping[str, Sequence[Latency]]
) -> tuple[list[Goal], list[Goal]]:
    """The goals of this version, and those of the last. `fresh` has no duplicates, `mixed` has."""

    def times(workload: Workload, other: str, target: float, what: str) -> Goal:
        return Goal(what, target, True, ratio(workload, PROCESSOR, other))

    def p99(name: str, load: int) -> float | None:
        found = [each for each in latency.get(name, ()) if each.offered_per_s == load]
        return found[0].p99_ms if found and not found[0].unfinished else None

    now = [times(mixed, BOUND, 0.70, "x the bound, with duplicates")]
    end = [
        times(fresh, BOUND, 0.90, "x the bound, no duplicates"),
        times(mixed, BOUND, 0.75, "x the bound, with duplicates"),
    ]
    for workload, kind in ((fresh, "no duplicates"), (mixed, "with duplicates")):
        now.append(times(workload, "node", 3.0, f"x the Node worker, {kind}"))
        now.append(times(workload, "faststream", 2.5, f"x FastStream, {kind}"))
        end.append(times(workload, "node", 4.5, f"x the Node worker, {kind}"))
        end.append(times(workload, "faststream", 3.5, f"x FastStream, {kind}"))
    client = ratio(mixed, PROCESSOR, BOUND, "client_us")
    end.append(Goal("x the bound's client CPU, with duplicates", 1.1, False, client))
    ours, naive = p99(PROCESSOR, 1_000), p99("naive", 1_000)
    compared = ours / naive if ours is not None and naive else None
    end.append(Goal("x the naive loop's p99 at 1 000/s", 1.2, False, compared))
    end.append(Goal("ms p99 at 20 000/s", 100.0, False, p99(PROCESSOR, 20_000)))
    return now, end
