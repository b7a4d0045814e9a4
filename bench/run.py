"""`make bench`: the pipeline, its bound, two peers and a naive loop, in one interleaved run.

    python -m bench.run [--records N] [--rounds N] [--only NAME ..] [--quick] [--no-document]

Two workloads of generated entries (entries.py) are loaded into streams; then every subject
(subjects.py) drains each of them in rounds (drain.py), another order in each round, and follows
three offered loads (offered.py). The figures (results.py) go to the terminal, to bench/results/ as
JSON and, unless a part was left out, into docs/PERFORMANCE.md (report.py).
"""

import argparse
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from bench.document import write_head
from bench.drain import Failed, Work, drain
from bench.entries import Mix, entries
from bench.machine import busy, machine, node_versions
from bench.offered import Latency, following
from bench.place import Place, opened
from bench.report import Facts, as_json, markdown, sections, show
from bench.results import Measured, disagreements, failures
from bench.subjects import FASTSTREAM, FOLLOWERS, NODE, SUBJECTS, Subject, Target
from bench.wire import additions

ROOT = Path(__file__).parent.parent
LOADS = (1_000, 5_000, 20_000)
MIXES = {
    "fresh": {"duplicates": 0.0, "late": 0.0},
    "mixed": {"duplicates": 0.05, "late": 0.01},
}
LATENCY_TURNS = 2
"""In how many parts a load is offered: what disturbs one part hits all subjects alike."""
RECORDS = 80_000
"""More than a second for the fastest, so that neither its start nor a CPU tick of 10 ms counts, and
the whole run within six minutes on two cores."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--records", type=int, default=RECORDS, help="entries of each workload")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each offered load")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[s.name for s in SUBJECTS])
    parser.add_argument("--quick", action="store_true", help="one round of 20 000, no latency")
    parser.add_argument("--no-document", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    if options.quick:
        options.records, options.rounds = 20_000, 1
    console = Console(stderr=True)
    wanted = [s for s in SUBJECTS if options.only is None or s.name in options.only]
    load_before = os.getloadavg()[0]
    missing = {subject.name: _missing(console, subject) for subject in wanted}
    began = time.monotonic()
    with opened() as place:
        workloads = {key: _drained(console, place, key, wanted, missing, options) for key in MIXES}
        latency: dict[str, list[Latency] | str] = {}
        if not options.quick:
            followers = [s for s in FOLLOWERS if s in wanted and not missing[s.name]]
            batches = {s.name: workloads["fresh"][s.name].batch for s in followers}
            latency = _followed(console, place, followers, batches, options)
        facts = _facts(place, options, load_before)
    remarks = [
        *(remark for found in workloads.values() for remark in failures(found)),
        *(
            f"latency of {workloads['fresh'][name].label}: {why}"
            for name, why in latency.items()
            if isinstance(why, str)
        ),
        *(remark for found in workloads.values() for remark in disagreements(found)),
    ]
    remarks = list(dict.fromkeys(remarks))
    whole = options.only is None and not options.quick
    found = sections(*workloads.values(), latency, LOADS)
    show(Console(width=max(80, min(100, Console().width))), found, remarks)
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    file = results / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    file.write_bytes(as_json(facts, workloads, latency, remarks))
    written = str(file.relative_to(ROOT))
    if whole and not options.no_document:
        write_head(ROOT / "docs" / "PERFORMANCE.md", markdown(facts, found, remarks))
        written += " and docs/PERFORMANCE.md"
    print(f"Measured in {time.monotonic() - began:.0f} s. Every run is in {written}.")


def _missing(console: Console, subject: Subject) -> str | None:
    console.print(f"preparing {subject.label} ...", highlight=False)
    why = subject.missing()
    return None if why is None else f"cannot run: {why}"


def _drained(
    console: Console,
    place: Place,
    key: str,
    subjects: Sequence[Subject],
    missing: dict[str, str | None],
    options: argparse.Namespace,
) -> dict[str, Measured]:
    """One workload: loaded once, read by each subject through a group of its own, round by round.
    Of several batch sizes the first round decides which is worth the other rounds."""
    mix = Mix(options.records, **MIXES[key])
    made = list(entries(mix, int(time.time() * 1000)))
    target = Target(place.redis, place.postgres, f"telemetry:bench-{key}", "bench")
    place.wire.load(additions(target.stream, made))
    ((last_id, _),) = place.wire.ask("XREVRANGE", target.stream, "+", "-", "COUNT", 1)
    rows = len({(entry["device_id"], entry["ts"]) for entry in made})
    work = Work(len(made), rows, last_id, duplicates=mix.duplicates > 0)
    del made
    found = {s.name: Measured(s.label, failure=missing[s.name]) for s in subjects}
    for round_ in range(options.rounds):
        turned = [*subjects[round_ % len(subjects) :], *subjects[: round_ % len(subjects)]]
        for subject in turned:
            measured = found[subject.name]
            if measured.failure is not None:
                continue
            batches = subject.batches if round_ == 0 else (measured.batch,)
            for batch in batches:
                try:
                    run = drain(place, subject, batch or None, target, work)
                except Failed as failure:
                    measured.failure = f"failed: {failure}"
                    console.print(f"{key} {subject.label}: {failure}", highlight=False)
                    break
                measured.runs.setdefault(batch or 0, {})[round_] = run
                console.print(
                    f"{key} round {round_ + 1} {subject.label} {batch or ''}: "
                    f"{run.records_per_s:,.0f}/s, client {run.client_us:.1f} us",
                    highlight=False,
                )
    place.wire.ask("DEL", target.stream)
    return found


def _followed(
    console: Console,
    place: Place,
    subjects: Sequence[Subject],
    batches: Mapping[str, int | None],
    options: argparse.Namespace,
) -> dict[str, list[Latency] | str]:
    """All of them side by side, each on its stream; the load goes from one to the next."""
    place.emptied()
    found: dict[str, list[Latency] | str] = {subject.name: [] for subject in subjects}
    with ExitStack() as stack:
        followers = {}
        for number, subject in enumerate(subjects):
            stream, own = f"telemetry:bench-{subject.name}", stack.enter_context(ExitStack())
            start = following(
                place, subject, batches[subject.name] or None, stream, 1000 * (number + 1)
            )
            try:
                followers[subject.name] = own.enter_context(start), own
            except Failed as failure:
                found[subject.name] = f"failed: {failure}"
        for load in LOADS:
            console.print(f"latency at {load:,}/s ...", highlight=False)
            for _ in range(LATENCY_TURNS):
                for follower, _ in followers.values():
                    if not follower.behind:
                        follower.offer(load, options.seconds / LATENCY_TURNS)
            for name, (follower, own) in followers.items():
                known = found[name]
                if (latency := follower.found(load)) and not isinstance(known, str):
                    known.append(latency)
                if follower.behind:
                    own.close()
    return found


def _facts(place: Place, options: argparse.Namespace, load_before: float) -> Facts:
    shown = place.versions()
    versions = [
        shown.pop("stream"),
        shown.pop("database"),
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in ("asyncpg", "hiredis", "msgspec", "redis")),
        f"faststream {_locked(FASTSTREAM / 'requirements.lock', 'faststream')}",
        *node_versions(NODE, "ioredis", "pg"),
    ]
    asked = " ".join(shlex.quote(argument) for argument in sys.argv[1:])
    return Facts(
        command=f'make bench BENCH="{asked}"' if asked else "make bench",
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        machine=machine(),
        versions=", ".join(versions),
        settings=", ".join(f"{name} {value}" for name, value in shown.items()),
        load=f"\n\n{warning}" if (warning := busy(load_before)) else "",
        rounds=options.rounds,
        records=options.records,
    )


def _locked(lock: Path, name: str) -> str:
    lines = [line for line in lock.read_text().splitlines() if line.startswith(f"{name}==")]
    return lines[0].removeprefix(f"{name}==").split()[0]


if __name__ == "__main__":
    main()
