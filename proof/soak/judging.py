"""Is it flat? Pure: samples in, faults out.

Memory never stands still: it is judged by the line of least squares through the second half of the
run, cut into bins so that the ups and downs of single samples are no evidence. A slope counts only
if it is beyond its bound by more than twice its own standard error: a short run proves little, and
says so by a large error.
"""

import math
from collections.abc import Mapping, Sequence

from attrs import frozen

BINS = 20

GROWTH_MIB_H = 8.0
"""Mebibytes an hour. At 500 records a second four bytes kept of each would be 7; and in a container
of 512 MiB what grows slower than this lasts for two days at least, in which somebody looks at the
curve. Malloc's own noise over half an hour is about one."""

CERTAIN = 2.0
"""Standard errors."""

BEYOND_REST = {"descriptors": 3, "threads": 2}
"""By how many more than at the first rest there may be: sockets on which a scrape or a probe is
just under way, threads that the default executor starts on demand."""

EMPTY_AT_REST = (
    "live_connections", "live_subscriptions", "in_flight_entries", "consumer_pending",
    "consumer_lag",
)  # fmt: skip


@frozen
class Sample:
    """What the process has, `at_s` seconds after the load began. Memory in MiB."""

    at_s: float
    rss_mib: float
    uss_mib: float
    descriptors: int
    threads: int
    metrics: Mapping[str, float]


@frozen
class Slope:
    """MiB an hour, and the standard error of that."""

    per_hour: float
    error: float

    def __str__(self) -> str:
        return f"{self.per_hour:+.1f} ± {self.error:.1f} MiB/h"


def slope(samples: Sequence[tuple[float, float]]) -> Slope:
    """Of (seconds, MiB), by least squares through the means of BINS equal spans of time."""
    points = _binned(samples)
    count = len(points)
    if count < 3:
        return Slope(0.0, math.inf)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    per_s = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - per_s * (x - mean_x)) ** 2 for x, y in points)
    error = math.sqrt(rest / (count - 2) / spread)
    return Slope(per_s * 3600, error * 3600)


def _binned(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    if not samples:
        return []
    first, last = samples[0][0], samples[-1][0]
    width = (last - first) / BINS or 1.0
    bins: dict[int, list[tuple[float, float]]] = {}
    for x, y in samples:
        bins.setdefault(min(BINS - 1, int((x - first) / width)), []).append((x, y))
    return [
        (sum(x for x, _ in each) / len(each), sum(y for _, y in each) / len(each))
        for _, each in sorted(bins.items())
    ]


def second_half(samples: Sequence[Sample]) -> list[Sample]:
    """The first one is warm-up: pools fill, caches fill, the allocator finds its size."""
    middle_s = (samples[0].at_s + samples[-1].at_s) / 2
    return [each for each in samples if each.at_s >= middle_s]


def memory(samples: Sequence[Sample]) -> Slope:
    """Of what the process alone has: shared pages of libraries come and go with the page cache."""
    return slope([(each.at_s, each.uss_mib) for each in second_half(samples)])


def faults(samples: Sequence[Sample], rest: Sample, rest_again: Sample) -> list[str]:
    """What is not flat. `rest` and `rest_again` were taken while nobody was connected and nothing
    was sent, before and after it all."""
    found = []
    grown = memory(samples)
    if grown.per_hour - CERTAIN * grown.error > GROWTH_MIB_H:
        found.append(f"memory grows: {grown}, and {GROWTH_MIB_H:g} are allowed")
    for name, beyond in BEYOND_REST.items():
        before, after = getattr(rest, name), getattr(rest_again, name)
        if after > before + beyond:
            found.append(f"{name}: {before} at rest before, {after} after")
    left = {name: rest_again.metrics.get(name) for name in EMPTY_AT_REST}
    return found + [f"{name} is {count} at rest" for name, count in left.items() if count != 0]
