"""The figures of the crossings as tables: on the terminal, and as their part of
docs/PERFORMANCE.md. Both from the same rows."""

from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from bench.report import GOAL, Section, goal_row, number, tables
from bench.results import Goal

INTRODUCTION = """\
## Crossings

Written by `{command}`; do not edit, run it again.

{date}, {machine}. {versions}.{load}

CPU time of the process (of PostGIS: of client and server process), so that other work on the
machine hardly counts. {rounds} rounds, another order of the subjects in each, medians; a ratio is
taken within a round. {vehicles} vehicles drive winding roads of 50 km at 43 to 130 km/h and send a
fix a second; a road has an object a kilometre: discs of 20 to 90 m, areas of 50 corners, gates
(`bench/domain/scene.py`, seed {seed}).

- **processor**: crossings of every kind with direction, hysteresis, gaps, instant, uncertainty and
  visit, on the ellipsoid; a call for a whole drive, and a call a minute.
- **shapely, edges** and **PostGIS, edges**: the nearest to it: 1000 chords at a time against edges
  in plane degrees, an instant by linear interpolation; no sides, no directions, no hysteresis.
- **the others**: only which fixes lie inside, in plane degrees; a disc is a polygon of 64 corners,
  a gate has no inside, and what lies between two fixes is not seen. shapely with STRtree and
  `contains`, for a thousand fixes at a time or for each; PostGIS with `ST_Contains` and a GiST
  index.
"""


class Facts(msgspec.Struct):
    """Of the run as a whole."""

    command: str
    date: str
    machine: str
    versions: str
    load: str
    rounds: int
    vehicles: int
    seed: int


class Measured(msgspec.Struct):
    """One subject on one course: CPU per fix by round, what it found, and the CPU to build it."""

    label: str
    us_per_fix: dict[int, float] = {}
    found_per_fix: float = 0.0
    built_s: float = 0.0

    @property
    def us(self) -> float | None:
        return median(self.us_per_fix.values()) if self.us_per_fix else None


class Sized(msgspec.Struct):
    """All subjects on a course of so many objects."""

    objects: int
    fixes: int
    found: dict[str, Measured]


def sections(sized: Sequence[Sized]) -> list[Section]:
    by_size = {each.objects: each for each in sized}
    sizes = [number(each.objects, 0) for each in sized]
    names = list(sized[0].found)
    return [
        Section(
            "CPU per fix",
            "Microseconds, by the number of objects.",
            ["", *sizes],
            [
                [sized[0].found[name].label, *(number(s.found[name].us, 2) for s in sized)]
                for name in names
            ],
        ),
        Section(
            "The same, as a multiple of the processor's, a drive a call",
            "Medians of the ratios within a round.",
            ["", *sizes],
            [
                [
                    sized[0].found[name].label,
                    *(number(ratio(s.found, name, "processor"), 2) for s in sized),
                ]
                for name in names
            ],
        ),
        Section(
            "Built once for a course",
            "Seconds of CPU, by the number of objects.",
            ["", *sizes],
            [
                [sized[0].found[name].label, *(number(s.found[name].built_s, 3) for s in sized)]
                for name in names
            ],
        ),
        Section(
            "What was found",
            f"Per thousand of {', '.join(number(each.fixes, 0) for each in sized)} fixes: crossings"
            " (processor, edges), or a fix inside an object.",
            ["", *sizes],
            [
                [
                    sized[0].found[name].label,
                    *(number(s.found[name].found_per_fix * 1000, 1) for s in sized),
                ]
                for name in names
            ],
        ),
        Section("Goals of the project", "", GOAL, [goal_row(goal) for goal in goals(by_size)]),
    ]


def ratio(found: Mapping[str, Measured], one: str, other: str) -> float | None:
    """How many times the CPU per fix of `other` that of `one` is: median over their rounds."""
    if one not in found or other not in found:
        return None
    ours, theirs = found[one].us_per_fix, found[other].us_per_fix
    rounds = sorted(ours.keys() & theirs.keys())
    return median(ours[r] / theirs[r] for r in rounds) if rounds else None


def goals(sized: Mapping[int, Sized]) -> list[Goal]:
    def ours(objects: int) -> Measured:
        there = sized.get(objects)
        return there.found.get("processor", Measured("")) if there else Measured("")

    def faster(than: str) -> float | None:
        return ratio(sized[1_000].found, than, "processor") if 1_000 in sized else None

    built = ours(10_000).built_s if 10_000 in sized else None
    return [
        Goal("us a fix at 1 000 objects", 4.0, False, ours(1_000).us),
        Goal("us a fix at 10 000 objects", 8.0, False, ours(10_000).us),
        Goal("s to build 10 000 objects", 1.0, False, built),
        Goal("x faster at 1 000 than PostGIS, edges", 10.0, True, faster("postgis-edges")),
        Goal("x faster at 1 000 than PostGIS, inside", 10.0, True, faster("postgis")),
    ]


def markdown(facts: Facts, found: Sequence[Section], remarks: Sequence[str]) -> str:
    parts = [INTRODUCTION.format(**msgspec.structs.asdict(facts))]
    parts += [f"**Note: {remark}.**\n" for remark in remarks]
    return "\n".join([*parts, *tables(found, "###")]) + "\n"
