"""The same targets and mutators, guided by the lines of code that an input reaches: by Atheris
(libFuzzer), where it is installed.

libFuzzer never returns and ends the process, so this runs in one of its own (`run`) and writes down
how it goes, every second, for the one that started it. A seed gives the same beginning, but a run
ends by the clock: what it found is in the report, as bytes, and need not be found again.
"""

import argparse
import base64
import importlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from proof.fuzz import Broken
from proof.fuzz.engine import Found, Tally, Target
from proof.fuzz.mutators import INPUT_BYTES_MAX, mutate

AVAILABLE = importlib.util.find_spec("atheris") is not None

OURS = 0.7
"""Of the inputs are made by our mutators, the others by libFuzzer's own, which knows what the code
compares with."""

AFRESH = 0.3
"""Of the inputs begin with a sound one again: what is new to libFuzzer is rubbish in the main."""

STARTS_WITHIN_S = 60.0
"""To import and to instrument, on a busy machine."""


def run(target: Target, seed: int, seconds: float) -> Tally:
    """Fuzz in a process of its own. Raises Found."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (corpus := place / "corpus").mkdir()
        for number, data in enumerate(target.seeds()):
            (corpus / f"seed-{number}").write_bytes(data)
        command = [sys.executable, "-m", "proof.fuzz.guided", target.NAME, folder]
        command += ["--seed", str(seed), "--seconds", str(round(seconds))]
        said = subprocess.run(
            command, capture_output=True, timeout=seconds + STARTS_WITHIN_S, check=False
        )
        try:
            told = json.loads((place / "tally.json").read_text())
        except FileNotFoundError:
            raise SystemExit(said.stderr.decode(errors="replace")[-2000:]) from None
        if told["broken"]:
            data = base64.b64decode(told["data"])
            found = Tally(target.NAME, seed, told["inputs"])
            raise Found(found, data, Broken(told["broken"]), guided=True)
        if said.returncode:
            raise SystemExit(said.stderr.decode(errors="replace")[-2000:])
        return Tally(
            target.NAME,
            seed,
            inputs=told["inputs"],
            seconds=told["seconds"],
            outcomes=told["outcomes"],
            kept=len(list(corpus.iterdir())),
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m proof.fuzz.guided")
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    asked = parser.parse_args()

    import atheris  # not a dependency of ours: there are wheels for Linux on x86-64 only

    with atheris.instrument_imports(include=["processor.core", "processor.adapters.websocket"]):
        target: Target = importlib.import_module(f"proof.fuzz.{asked.target}")
    tally = Tally(asked.target, asked.seed)
    others = target.seeds()
    began_s = time.monotonic()
    file = asked.folder / "tally.json"
    said_s = 0.0

    def write(broken: str = "", data: bytes = b"") -> None:
        told = {
            "inputs": tally.inputs,
            "seconds": time.monotonic() - began_s,
            "outcomes": tally.outcomes,
            "broken": broken,
            "data": base64.b64encode(data).decode(),
        }
        (new := file.with_suffix(".new")).write_text(json.dumps(told))
        new.replace(file)

    def one(data: bytes) -> None:
        nonlocal said_s
        tally.inputs += 1
        try:
            tally.outcomes[target.check(data)] += 1
        except Broken as broken:
            write(str(broken), data)
            os._exit(1)
        if time.monotonic() - said_s > 1:
            said_s = time.monotonic()
            write()

    def changed(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < AFRESH:
            data = chance.choice(others)
        if chance.random() < OURS:
            return mutate(data, others, chance)[:most]
        return bytes(atheris.Mutate(data, most))

    options = [f"-seed={asked.seed}", f"-max_total_time={asked.seconds}", "-verbosity=0"]
    options += [
        f"-max_len={INPUT_BYTES_MAX}",
        "-len_control=0",
        f"-artifact_prefix={asked.folder}/",
    ]
    atheris.Setup(
        [sys.argv[0], *options, str(asked.folder / "corpus")], one, custom_mutator=changed
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
