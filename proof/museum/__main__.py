"""`make museum`: plant each bug of tests/museum/ and see who catches it.

    python -m proof.museum [--only NN ..] [--layers unit ..] [--jobs N] [--no-document]

The exit is 1 if one survives, if a test that is named for it does not catch it, or if one of those
tests fails though nothing is planted. A run of all goes into docs/RELIABILITY.md.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from proof import document
from proof.museum.exhibits import LAYERS, exhibits
from proof.museum.judging import Bench, Judged, Verdict
from proof.museum.witness import PASSED, SKIPPED

JOBS = 2
"""At a time: the tests of one bug wait as much as they work."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NN", help="beginnings of names")
    parser.add_argument("--layers", nargs="+", choices=list(LAYERS), default=list(LAYERS))
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--no-document", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    layers = options.layers
    shown = [
        each
        for each in exhibits()
        if not options.only or each.name.startswith(tuple(options.only))
        if not set(layers).isdisjoint(each.by_layer())
    ]
    if not shown:
        parser.error("there is no such bug, or no test of such a layer is named for it")
    began_s = time.monotonic()
    with Bench(options.jobs) as bench:
        print(f"the tests that {len(shown)} bugs name, where nothing is planted ...", flush=True)
        whole = bench.whole(shown, layers)
        faults = _faults_of_whole(whole)
        if faults:
            print("\n".join(faults))
            sys.exit("these tests fail, or do not run, though nothing is planted")
        verdicts = bench.planted(shown, layers, lambda verdict: print(_line(verdict), flush=True))
    faults = [fault for verdict in verdicts for fault in _faults(verdict)]
    print("\n".join(faults))
    minutes = (time.monotonic() - began_s) / 60
    print(f"{sum(v.caught for v in verdicts)} of {len(verdicts)} caught, {minutes:.1f} minutes")
    if options.only is None and layers == list(LAYERS) and not options.no_document:
        document.write(
            "museum", "Which layer caught which planted bug", "make museum", markdown(verdicts)
        )
    sys.exit(bool(faults))


def _faults_of_whole(whole: Sequence[Judged]) -> list[str]:
    faults = []
    for judged in whole:
        failed = [
            f"{test}: {outcome}"
            for test, outcome in judged.outcomes.items()
            if outcome not in (PASSED, SKIPPED)
        ]
        if failed:
            faults += [*failed, judged.said]
    return faults


def _line(verdict: Verdict) -> str:
    layers = ", ".join(
        f"{judged.layer if judged.caught else _not_caught(judged)} {judged.seconds:.1f} s"
        for judged in verdict.layers
    )
    return f"{verdict.exhibit.name:44} {layers if verdict.caught else f'SURVIVED: {layers}'}"


def _not_caught(judged: Judged) -> str:
    outcomes = ", ".join(sorted(set(judged.outcomes.values())))
    return f"{judged.layer} ({outcomes})"


def _faults(verdict: Verdict) -> list[str]:
    faults = [
        f"{verdict.exhibit.name}: {test} was to catch it: {outcome}\n{_said(verdict, test)}"
        for test, outcome in verdict.in_vain
    ]
    if not verdict.caught:
        faults.append(f"{verdict.exhibit.name} SURVIVED: {verdict.exhibit.title}")
    return faults


def _said(verdict: Verdict, test: str) -> str:
    return next(each.said for each in verdict.layers if test in each.outcomes)


def markdown(verdicts: Sequence[Verdict]) -> str:
    """The part of docs/RELIABILITY.md."""
    caught = sum(verdict.caught for verdict in verdicts)
    head = (
        f"{len(verdicts)} bugs were planted, each alone in a copy of the tree, and {caught} were "
        "caught: a test that passes on the whole tree failed, by an assertion, by its own deadline "
        "or by an error of ours that nobody expected. Empty: no test of that layer is named for it."
    )
    lines = [
        head,
        "",
        f"| planted | {' | '.join(LAYERS)} |",
        f"| --- |{' :-: |' * len(LAYERS)}",
    ]
    for verdict in verdicts:
        exhibit = verdict.exhibit
        by_layer = {judged.layer: judged for judged in verdict.layers}
        cells = (_cell(by_layer.get(layer)) for layer in LAYERS)
        link = f"[{exhibit.title}](../tests/museum/{exhibit.name}.patch)"
        lines.append(f"| {link} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(judged: Judged | None) -> str:
    if judged is None:
        return ""
    if judged.caught:
        return "caught"
    return "not run" if set(judged.outcomes.values()) == {SKIPPED} else "missed"


if __name__ == "__main__":
    main()
