"""`make mutants`: change the code that decides, a little each time, and see whether a test notices.

    python -m proof.mutants [--only decode ..] [--jobs N] [--no-document]

The exit is 1 if a mutant survives that proof/mutants/explained.toml does not explain, or if it
explains one that does not survive. A run of all goes into docs/RELIABILITY.md.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from proof import document
from proof.copies import copy_of_tree, run_in
from proof.mutants.results import (
    KILLED,
    Judgement,
    Survivor,
    judge,
    statuses,
    survivor,
)

SOURCE = "src/processor/"

TARGETS = {
    "core/decode.py": ["decode", "decode_sentences"],
    "core/sentinels.py": ["decode", "decode_sentences"],
    "core/payload_text.py": ["decode", "decode_sentences"],
    "core/ingest/ledger.py": ["ledger"],
    "core/ingest/batch.py": ["batch"],
    "core/ingest/patience.py": ["patience", "consumer"],
    "core/ingest/state.py": ["state"],
    "core/live/registry.py": ["live_registry", "live_delivery"],
    "adapters/postgres/errors.py": ["postgres_errors"],
    "adapters/redis/errors.py": ["redis_errors"],
}
"""What decides, and the unit tests that judge it: tests/unit/test_NAME.py. Which of those run a
function at all, mutmut measures. Without the decoder's properties: what only a random payload finds
is found today and not tomorrow, and each survivor would wait for all of them."""

DOMAIN = {
    "domain/chords.py": ["chords"],
    "domain/gates.py": ["gates", "crossings"],
    "domain/visits.py": ["visits", "crossings", "folding"],
    "domain/folding.py": ["folding"],
    "domain/assignment.py": ["assignment"],
    "domain/starts.py": ["starts", "timing"],
    "domain/devices.py": ["devices"],
    "domain/formulas.py": ["formulas"],
    "domain/charges.py": ["charges"],
    "domain/penalties.py": ["penalties", "rulings_on_penalties"],
    "domain/results.py": ["results"],
}
"""The rules of the sport, judged by tests/unit/domain/test_NAME.py without the properties that
stand there beside the examples.

Left out for good are values (course, model, rules, ..), which decide nothing; the words for people
(lines, reckoning, reviews), which are free; and what only calls the others in their order (stages,
scoring)."""

UNEXPLAINED = {
    "domain/plane.py": ["plane"],
    "domain/shapes.py": ["plane", "crossings"],
    "domain/geometry.py": ["crossings", "lint"],
    "domain/drive.py": ["gates", "crossings"],
    "domain/crossings.py": ["crossings", "gates", "visits"],
    "domain/reading.py": ["timing"],
    "domain/windows.py": ["timing"],
    "domain/validation.py": ["timing"],
    "domain/controls.py": ["controls"],
    "domain/neutralisation.py": ["controls"],
    "domain/waiting.py": ["timing"],
    "domain/witnesses.py": ["timing"],
    "domain/decisions.py": ["timing"],
    "domain/timing.py": ["timing", "controls"],
    "domain/speed.py": ["speed"],
    "domain/samples.py": ["speed"],
    "domain/missing.py": ["infringements"],
    "domain/infringements.py": ["infringements"],
    "domain/start_order.py": ["start_order"],
    "domain/lint.py": ["lint"],
    "domain/io_mapping.py": ["io_mapping"],
    "domain/attributes.py": ["attributes"],
    "domain/course_version.py": ["course_version"],
}
"""Those of the domain whose survivors nobody has accounted for yet: they run only when named."""

WITHOUT_PROPERTIES = ["-m", "not hypothesis"]

BESIDE = ["bench", "deploy", "docs", "migrations", "proof", "schema", "requirements"]
"""Folders of the tree that tests, or their conftest, look into."""

WITHIN_S = 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="parts of paths")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-document", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    targets = _named(options.only) if options.only else [*TARGETS, *DOMAIN]
    if not targets:
        parser.error("there is no such module among: " + ", ".join(_named([""])))
    began_s = time.monotonic()
    found: dict[str, str] = {}
    alive: list[Survivor] = []
    for several, selection in _runs(targets):
        with copy_of_tree() as copy:
            tried, survived = _tried(copy, several, selection, options.jobs)
        found |= tried
        alive += survived
    judgement = judge(found, alive)
    minutes = (time.monotonic() - began_s) / 60
    print(markdown(judgement))
    for each in judgement.unexplained:
        print(f"{each.status.upper()}: {each.path}:{each.line} ({each.where})\n{each.diff}\n")
    idle = judgement.idle if options.only is None else ()
    for explanation in idle:
        print(f"explains nobody: {explanation.where}: {explanation.before} -> {explanation.after}")
    print(f"{len(judgement.unexplained)} survivors are not explained; {minutes:.1f} minutes")
    if options.only is None and not options.no_document:
        document.write(
            "mutants", "Mutants of the code that decides", "make mutants", markdown(judgement)
        )
    sys.exit(bool(judgement.unexplained or idle))


def judges_of(path: str) -> Sequence[str]:
    """The files of tests that judge a target."""
    if path in TARGETS:
        return [f"tests/unit/test_{name}.py" for name in TARGETS[path]]
    return [f"tests/unit/domain/test_{name}.py" for name in {**DOMAIN, **UNEXPLAINED}[path]]


def _named(parts: Sequence[str]) -> Sequence[str]:
    known = (*TARGETS, *DOMAIN, *UNEXPLAINED)
    return [path for path in known if any(part in path for part in parts)]


def _runs(targets: Sequence[str]) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """The targets that one run of mutmut takes together, and which of their tests it takes."""
    domain = [path for path in targets if path not in TARGETS]
    others = [path for path in targets if path in TARGETS]
    for several, selection in ((others, ["--hypothesis-seed=0"]), (domain, WITHOUT_PROPERTIES)):
        if several:
            yield several, selection


def _tried(
    copy: Path, targets: Sequence[str], selection: Sequence[str], jobs: int
) -> tuple[Mapping[str, str], Sequence[Survivor]]:
    """Let mutmut work in the copy, and read what it says of it."""
    with (copy / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(_settings(copy, targets, selection))
    _mutmut(copy, "run", "--max-children", str(jobs))
    found = statuses(_mutmut(copy, "results", "--all", "true"))
    if not found or "not checked" in found.values():
        sys.exit("mutmut has not judged every mutant")

    def shown(name: str) -> Survivor:
        return survivor(name, found[name], _mutmut(copy, "show", name), copy)

    with ThreadPoolExecutor(jobs) as pool:
        alive = [name for name, status in found.items() if status not in KILLED]
        return found, list(pool.map(shown, alive))


def _settings(copy: Path, targets: Sequence[str], selection: Sequence[str]) -> str:
    tests = dict.fromkeys(test for path in targets for test in judges_of(path))
    settings = {
        "source_paths": ["src/"],
        "only_mutate": [SOURCE + path for path in targets],
        "also_copy": [folder for folder in BESIDE if (copy / folder).is_dir()],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", *selection],
        "pytest_add_cli_args_test_selection": list(tests),
    }
    # A JSON text or list is one of TOML, too.
    lines = (f"{name} = {json.dumps(value)}" for name, value in settings.items())
    return "\n[tool.mutmut]\n" + "\n".join(lines) + "\n"


def _mutmut(copy: Path, *arguments: str) -> str:
    status, said = run_in(copy, ["-m", "mutmut", *arguments], {}, within_s=WITHIN_S)
    if status != 0:
        sys.exit(f"mutmut {' '.join(arguments)} ended with {status}:\n{said[-3000:]}")
    return said


def markdown(judgement: Judgement) -> str:
    """The part of docs/RELIABILITY.md."""
    tallies = judgement.tallies
    rows = [
        (
            f"`{each.module}`",
            each.mutants,
            each.killed,
            each.timeouts,
            each.survived,
            each.explained,
        )
        for each in tallies
    ]
    total = ("all", *(sum(column) for column in zip(*(row[1:] for row in rows), strict=True)))
    head = ("module", "mutants", "killed", "of them by time", "survived", "explained")
    text = (
        "A mutant is one small change to a function: a comparison turned, a number off by one, an "
        "argument left out. It is killed when a unit test fails, and by time when one no longer "
        "ends. Why each survivor needs no test stands in "
        "[explained.toml](../proof/mutants/explained.toml); one that is not explained fails the "
        "run."
    )
    return f"{text}\n\n{document.table(head, [*rows, total])}"


if __name__ == "__main__":
    main()
