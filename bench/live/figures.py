"""From measurements to figures: percentiles, ratios within a round, goals, and who is better.

As in bench/results.py, a ratio is taken between two runs of one round, which are neighbours in
time, and the median of those counts.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import msgspec

from bench.live.crowd import BUCKETS_PER_MS
from bench.results import Goal

BOUND, PROCESSOR, NODE = "bound", "processor", "node"
USUAL = 500
"""Clients at which goals are judged, where the goal does not say."""
SHARE = 0.60
"""Of a core: the load at which the processor's latency is judged."""


class Saturated(msgspec.Struct):
    """Single frames, as many as go out. `core` is the server's share of one, `crowd` the crowd's:
    near 1 it was the crowd that was measured."""

    frames_per_s: float
    us_per_frame: float
    core: float
    crowd: float


class Followed(msgspec.Struct):
    """`offered` entries a second. Milliseconds from XADD to client, or from the tick, where it is
    batches; `unfinished` frames had not arrived in the end."""

    offered: float
    core: float
    p50_ms: float
    p99_ms: float
    unfinished: int
    us_per_position: float


class Found(msgspec.Struct):
    """What was measured of one subject: by clients and round; or why not."""

    label: str
    failure: str | None = None
    idle_kib: float | None = None
    saturated: dict[int, dict[int, Saturated]] = {}
    followed: dict[int, Followed] = {}
    loaded: dict[int, Followed] = {}
    batched: dict[int, Followed] = {}

    def middle(self, figure: str, runs: Mapping[int, object]) -> float | None:
        return median(getattr(run, figure) for run in runs.values()) if runs else None


Everything = Mapping[str, Found]
Runs = Callable[[Found], Mapping[int, object]]


class Deaf(msgspec.Struct):
    """The p99 of everybody else, in milliseconds: without one that never reads, and with him,
    turn by turn; and what became of him each time."""

    without_ms: list[float]
    with_ms: list[float]
    endings: list[str]

    @property
    def ratio(self) -> float:
        return median(b / a for a, b in zip(self.without_ms, self.with_ms, strict=True))


def quantile(waited: Sequence[tuple[int, int]], share: float) -> float:
    """Milliseconds, the upper end of the bucket in which the quantile lies. `waited` are pairs
    (bucket, count), ascending; NaN if there are none."""
    rank = share * sum(count for _, count in waited)
    seen = 0
    for bucket, count in waited:
        seen += count
        if seen >= rank:
            return (bucket + 1) / BUCKETS_PER_MS
    return float("nan")


def ratio(everything: Everything, one: str, other: str, runs: Runs, figure: str) -> float | None:
    """How many times the figure of `other` that of `one` is: median over their common rounds."""
    if one not in everything or other not in everything:
        return None
    ours, theirs = runs(everything[one]), runs(everything[other])
    rounds = sorted(ours.keys() & theirs.keys())
    if not rounds:
        return None
    return median(getattr(ours[r], figure) / getattr(theirs[r], figure) for r in rounds)


def cpu_ratio(everything: Everything, one: str, other: str, clients: int) -> float | None:
    return ratio(
        everything, one, other, lambda found: found.saturated.get(clients, {}), "us_per_frame"
    )


def batch_ratio(everything: Everything, one: str, other: str) -> float | None:
    return ratio(everything, one, other, lambda found: found.batched, "us_per_position")


def goals(everything: Everything, deaf: Deaf | None, most: int) -> tuple[list[Goal], list[Goal]]:
    """The goals of this version, and those of the project. `most` clients were there at most: what
    is meant for 2000 is not judged by fewer."""
    ours = everything.get(PROCESSOR) or Found("processor")
    of_bound = cpu_ratio(everything, PROCESSOR, BOUND, USUAL)
    of_node = cpu_ratio(everything, PROCESSOR, NODE, USUAL)
    whole = most >= 2_000

    def middle(figure: str, runs: Mapping[int, Followed]) -> float | None:
        done = {key: run for key, run in runs.items() if not run.unfinished}
        return ours.middle(figure, done) if len(done) == len(runs) else None

    now = [
        Goal(f"x the bound's CPU per frame, N = {USUAL}", 1.4, False, of_bound),
        Goal(f"x Node ws's CPU per frame, N = {USUAL}", 1.0, False, of_node),
    ]
    end = [
        Goal(f"x the bound's CPU per frame, N = {USUAL}", 1.15, False, of_bound),
        Goal(f"x Node ws's CPU per frame, N = {USUAL}", 0.65, False, of_node),
        Goal("x the bound's CPU in batches", 1.2, False, batch_ratio(everything, PROCESSOR, BOUND)),
        Goal("of a core, batches: 2000 x 1000 positions/s", 0.5, False,
             middle("core", ours.batched) if whole else None),
        Goal("ms p99 from the tick, the same batches", 100.0, False,
             middle("p99_ms", ours.batched) if whole else None),
        Goal(f"ms p99, N = {USUAL}, at {SHARE:.0%} of a core", 15.0, False,
             middle("p99_ms", ours.loaded)),
        Goal("KiB for an idle connection", 40.0, False, ours.idle_kib),
        Goal("x the others' p99, one never reading", 1.1, False,
             deaf.ratio if deaf else None),
    ]  # fmt: skip
    return now, end


def better_than_ours(everything: Everything) -> list[str]:
    """Where another program does better than the processor, the bound left out: a sentence each."""
    ours = everything.get(PROCESSOR)
    if ours is None:
        return []
    sentences = []
    for name, theirs in everything.items():
        if name in (PROCESSOR, BOUND):
            continue
        for what, mine, other in _compared(ours, theirs):
            if mine is not None and other is not None and other < mine:
                sentences.append(f"{theirs.label} is better in {what}: {other:.3g} and {mine:.3g}")
    return sentences


def _compared(ours: Found, theirs: Found) -> list[tuple[str, float | None, float | None]]:
    """What less is better of: what it is, ours, theirs."""
    compared: list[tuple[str, float | None, float | None]] = []
    for clients in sorted(ours.saturated):
        one, other = ours.saturated[clients], theirs.saturated.get(clients, {})
        what = f"CPU per frame at {clients} clients (us)"
        compared.append((what, ours.middle("us_per_frame", one),
                         theirs.middle("us_per_frame", other)))  # fmt: skip
    for clients in sorted(ours.followed.keys() & theirs.followed.keys()):
        mine, follower = ours.followed[clients], theirs.followed[clients]
        if not follower.unfinished:
            for figure, name in (("p50_ms", "p50"), ("p99_ms", "p99")):
                what = f"{name} at {clients} clients (ms)"
                compared.append((what, getattr(mine, figure), getattr(follower, figure)))
    for figure, what in (
        ("us_per_position", "CPU per position in batches (us)"),
        ("p99_ms", "p99 from the tick in batches (ms)"),
    ):
        compared.append((what, ours.middle(figure, ours.batched),
                         theirs.middle(figure, theirs.batched)))  # fmt: skip
    compared.append(("memory for an idle connection (KiB)", ours.idle_kib, theirs.idle_kib))
    return compared
