"""`make bench-domain`: crossings with their instants, against shapely and PostGIS.

    python -m bench.domain [--objects N ..] [--vehicles N] [--rounds N] [--only NAME ..] [--seed N]
                           [--no-document]

For each size of course every subject (subjects.py) compiles it and goes through the same tracks
(scene.py), in another order each round. The figures are medians of CPU time, ratios are taken
within a round. They go to the terminal, to bench/results/ and into docs/PERFORMANCE.md.
"""

import argparse
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import msgspec
from rich.console import Console

from bench.document import write_part
from bench.domain.report import Facts, Measured, Sized, markdown, sections
from bench.domain.scene import Scene, scene
from bench.domain.subjects import (
    HOW_TO,
    Edges,
    Minutes,
    OneByOne,
    Points,
    PostGis,
    PostGisEdges,
    PostGisOne,
    Processor,
    Subject,
    postgis,
)
from bench.machine import busy, machine
from bench.report import show
from bench.run import ROOT
from processor.domain.model import Track

SIZES = (100, 1_000, 10_000)
NAMES = (Processor, Minutes, Edges, Points, OneByOne, PostGisEdges, PostGis, PostGisOne)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--objects", type=int, nargs="+", default=list(SIZES), metavar="N")
    parser.add_argument("--vehicles", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=301)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[s.name for s in NAMES])
    parser.add_argument("--no-document", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    load_before, began = os.getloadavg()[0], time.monotonic()
    console = Console(stderr=True)
    with _subjects(options.only) as subjects:
        sized = []
        for objects in sorted(options.objects):
            console.print(f"[dim]{objects} objects[/dim]", highlight=False)
            sized.append(measure(subjects, objects, options))
    without = [] if options.only or any(isinstance(s, PostGis) for s in subjects) else [HOW_TO]
    facts = Facts(
        command="make bench-domain",
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        machine=machine(),
        versions=_versions(),
        load=f"\n\n{warning}" if (warning := busy(load_before)) else "",
        rounds=options.rounds,
        vehicles=options.vehicles,
        seed=options.seed,
    )
    found = sections(sized)
    show(Console(width=max(80, min(140, Console().width))), found, without)
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    file = results / time.strftime("domain-%Y%m%dT%H%M%SZ.json", time.gmtime())
    everything = {"facts": facts, "sizes": sized, "argv": shlex.join(sys.argv[1:])}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(everything)))
    written = str(file.relative_to(ROOT))
    whole = options.only is None and tuple(options.objects) == SIZES
    if whole and not options.no_document:
        write_part(ROOT / "docs" / "PERFORMANCE.md", "domain", markdown(facts, found, without))
        written += " and docs/PERFORMANCE.md"
    print(f"Measured in {time.monotonic() - began:.0f} s. Every run is in {written}.")


@contextmanager
def _subjects(only: Sequence[str] | None) -> Iterator[list[Subject]]:
    """Those that are asked for and can be had here."""
    here: list[Subject] = [Processor(), Minutes(), Edges(), Points(), OneByOne()]
    url, end = postgis()
    try:
        if url is not None:
            here += [PostGisEdges(url), PostGis(url), PostGisOne(url)]
        yield [subject for subject in here if only is None or subject.name in only]
    finally:
        for subject in here:
            subject.close()
        end()


def measure(subjects: Sequence[Subject], objects: int, options: argparse.Namespace) -> Sized:
    """Every subject on one course."""
    there = scene(objects, options.vehicles, options.seed)
    found = {subject.name: Measured(subject.label) for subject in subjects}
    for subject in subjects:
        before = subject.cpu_s()
        subject.build(there)
        found[subject.name].built_s = subject.cpu_s() - before
        subject.look(_share(there, 1_000))  # whatever is made at first use
    for round_ in range(options.rounds):
        turn = round_ % len(subjects)
        for subject in (*subjects[turn:], *subjects[:turn]):
            tracks = _share(there, subject.most)
            fixes = sum(map(len, tracks))
            before = subject.cpu_s()
            answers = subject.look(tracks)
            spent = subject.cpu_s() - before
            found[subject.name].us_per_fix[round_] = spent / fixes * 1e6
            found[subject.name].found_per_fix = answers / fixes
    return Sized(objects, there.fixes, found)


def _share(there: Scene, most: int | None) -> list[Track]:
    """Tracks of about so many fixes in all, a part of each vehicle's."""
    if most is None:
        return list(there.tracks)
    share = min(1.0, most / there.fixes)
    return [track.cut(0, round(len(track) * share)) for track in there.tracks]


def _versions() -> str:
    names = ", ".join(f"{name} {version(name)}" for name in ("numpy", "shapely"))
    return f"Python {platform.python_version()}, {names}"
