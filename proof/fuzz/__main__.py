"""`make fuzz`: every target for its share of the time; what came of it goes to docs/RELIABILITY.md.

make fuzz SECONDS=600              all targets, with a seed of the day
make fuzz TARGET=entries SEED=7 INPUTS=1234     one run again, up to that input
"""

import argparse
import platform
import secrets
import sys
from importlib import import_module
from importlib.metadata import version

from proof import document
from proof.fuzz import corpus, engine, guided
from proof.fuzz.engine import Found, Tally

TARGETS = {
    "entries": "the decoder, against a judge made from the contract",
    "conversations": "a browser's messages, through session, clients and registry",
    "connections": "a browser's bytes, through HTTP, WebSocket and the live server",
}
SHARES = {"entries": 0.5, "conversations": 0.25, "connections": 0.25}
PLAIN_FIRST = 0.2
"""Of a target's time goes to the loop without Atheris, whose inputs can be had again by number."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--target", choices=list(TARGETS))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--inputs", type=int, help="stop after so many, whatever time it takes")
    parser.add_argument("--document", action="store_true", help="write docs/RELIABILITY.md")
    asked = parser.parse_args()
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    names = [asked.target] if asked.target else list(TARGETS)
    whole = sum(SHARES[name] for name in names)
    tallies = []
    try:
        for name in names:
            tallies.append(_run(name, seed, asked.seconds * SHARES[name] / whole, asked.inputs))
            print(_told(tallies[-1]), file=sys.stderr)
    except Found as found:
        raise SystemExit(
            f"{found}\nto keep it, in tests/corpus/{name}.jsonl:\n"
            f"{corpus.line_of(found.data, str(found.broken)[:80], '?')[:5000]}"
        ) from None
    text = report(tallies)
    print(text)
    if asked.document:
        command = f"make fuzz SECONDS={asked.seconds:.0f} SEED={seed}"
        document.write("fuzzing", "Fuzzing", command, text)


def _run(name: str, seed: int, seconds: float, inputs: int | None) -> Tally:
    target = import_module(f"proof.fuzz.{name}")
    for each in corpus.kept(name):
        target.check(each.data)
    if inputs is not None:
        return engine.run(target, seed, inputs=inputs)
    if not guided.AVAILABLE:
        return engine.run(target, seed, seconds=seconds)
    tally = engine.run(target, seed, seconds=seconds * PLAIN_FIRST)
    more = guided.run(target, seed, seconds * (1 - PLAIN_FIRST))
    tally.inputs += more.inputs
    tally.seconds += more.seconds
    tally.outcomes.update(more.outcomes)
    tally.kept += more.kept
    return tally


def _told(tally: Tally) -> str:
    return f"{tally.target}: {tally.inputs} inputs in {tally.seconds:.0f} s, seed {tally.seed}"


def report(tallies: list[Tally]) -> str:
    """What came of it, as markdown."""
    if guided.AVAILABLE:
        by = (
            "A fifth of the time goes to the plain loop; the rest is guided by the lines of code"
            f" that an input reaches (Atheris {version('atheris')})."
        )
    else:
        by = "Inputs that bring a new outcome are kept and changed further, without Atheris."
    head = ("target", "inputs", "inputs/s", "kept", "broken promises")
    rows = [
        (
            f"{each.target}: {TARGETS[each.target]}",
            each.inputs,
            round(each.inputs / max(each.seconds, 1e-9)),
            each.kept,
            0,
        )
        for each in tallies
    ]
    outcomes = [
        (f"{each.target}: {name}", count)
        for each in tallies
        for name, count in sorted(each.outcomes.items(), key=lambda pair: -pair[1])
    ]
    return (
        f"{by} Python {platform.python_version()}. A broken promise ends the run with the input"
        " that broke it; then nothing is written here.\n\n"
        + document.table(head, rows)
        + "\n"
        + document.table(("outcome", "inputs"), outcomes)
    )


if __name__ == "__main__":
    main()
