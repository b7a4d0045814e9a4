"""From instants to figures: which found crossing is which true one, and how far off it is."""

import math
from collections.abc import Sequence

from attrs import define, frozen

from proof.accuracy.methods import Found
from proof.accuracy.targets import Truth

SIGMA_M = 3.0


@frozen
class Matched:
    """Pairs of a true and a found crossing, and how many have no partner."""

    pairs: tuple[tuple[Truth, Found], ...]
    missed: int
    false: int


def matched(true: Sequence[Truth], found: Sequence[Found]) -> Matched:
    """Kind by kind: in order where as many were found as were; else the nearest first, and what is
    left over was missed, or is false."""
    pairs: list[tuple[Truth, Found]] = []
    kinds = [*(each.kind for each in true), *(each.kind for each in found)]
    for kind in dict.fromkeys(kinds):
        were = [each for each in true if each.kind == kind]
        have = [each for each in found if each.kind == kind]
        if len(were) == len(have):
            pairs.extend(zip(were, have, strict=True))
            continue
        near = sorted(
            ((abs(a.seconds - b.seconds), i, j) for i, a in enumerate(were)
             for j, b in enumerate(have))
        )  # fmt: skip
        taken_i: set[int] = set()
        taken_j: set[int] = set()
        for _, i, j in near:
            if i not in taken_i and j not in taken_j:
                taken_i.add(i)
                taken_j.add(j)
                pairs.append((were[i], have[j]))
    return Matched(tuple(pairs), len(true) - len(pairs), len(found) - len(pairs))


@define
class Figures:
    """Sums over many crossings of one method. Errors in seconds; `worst_case` says where the worst
    one was. `best_2` is the sum of (3 m / v)^2, v the true speed across the edge."""

    true: int = 0
    missed: int = 0
    false: int = 0
    count: int = 0
    squares: float = 0.0
    worst: float = 0.0
    worst_case: str = ""
    covered: int = 0
    best_2: float = 0.0

    def add(self, of: Matched, case: object) -> None:
        self.true += len(of.pairs) + of.missed
        self.missed += of.missed
        self.false += of.false
        for true, found in of.pairs:
            wrong = abs(found.seconds - true.seconds)
            self.count += 1
            self.squares += wrong * wrong
            self.covered += wrong <= found.wide_s
            self.best_2 += (SIGMA_M / max(true.across_ms, 0.5)) ** 2
            if wrong > self.worst:
                self.worst = wrong
                self.worst_case = f"{case}, {true.kind} at {true.across_ms * 3.6:.0f} km/h"

    def plus(self, other: "Figures") -> "Figures":
        """Both together."""
        worse = self if self.worst >= other.worst else other
        return Figures(
            self.true + other.true,
            self.missed + other.missed,
            self.false + other.false,
            self.count + other.count,
            self.squares + other.squares,
            worse.worst,
            worse.worst_case,
            self.covered + other.covered,
            self.best_2 + other.best_2,
        )

    @property
    def rms_ms(self) -> float:
        return 1000 * math.sqrt(self.squares / self.count) if self.count else math.nan

    @property
    def worst_ms(self) -> float:
        return 1000 * self.worst

    @property
    def best_ms(self) -> float:
        """What 3 m come to at the speeds across the edges, RMS."""
        return 1000 * math.sqrt(self.best_2 / self.count) if self.count else math.nan

    @property
    def coverage(self) -> float:
        return self.covered / self.count if self.count else math.nan
