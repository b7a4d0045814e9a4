"""Whether the suite finds a planted bug: its tests, layer by layer, in a copy that has it."""

import json
import queue
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from attrs import frozen

from proof.copies import broken, copy_of_tree, run_in
from proof.museum.exhibits import Exhibit
from proof.museum.witness import CAUGHT, PASSED, SKIPPED

TEST_TIMEOUT_S = 300
"""For one test with its fixtures: a Directus that starts for the first time takes a minute."""

RUN_TIMEOUT_S = 900.0
"""For all named tests of one layer, 200 seeds of the simulation among them."""

SEEDS = {"SIM_SEEDS": "200", "SIM_SECONDS": "0"}
"""Of the simulation: always the same ones, so that what one bug shows it shows every time."""

SAID_MAX = 1500  # characters of pytest's last words, where nothing was judged


@frozen
class Judged:
    """How the named tests of one layer ended, by test: `caught`, `passed`, `skipped`, or what went
    wrong. `said` is the end of pytest's report."""

    layer: str
    outcomes: Mapping[str, str]
    seconds: float
    said: str

    @property
    def caught(self) -> bool:
        return CAUGHT in self.outcomes.values()


@frozen
class Verdict:
    """What became of one planted bug."""

    exhibit: Exhibit
    layers: Sequence[Judged]

    @property
    def caught(self) -> bool:
        """By at least one layer."""
        return any(judged.caught for judged in self.layers)

    @property
    def in_vain(self) -> Sequence[tuple[str, str]]:
        """Tests that the catalogue names and that did not catch it, though they ran."""
        return [
            (test, outcome)
            for judged in self.layers
            for test, outcome in judged.outcomes.items()
            if outcome not in (CAUGHT, SKIPPED)
        ]

    @property
    def seconds(self) -> float:
        return sum(judged.seconds for judged in self.layers)


class Bench:
    """`jobs` copies of the tree, on which exhibits are judged at the same time."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._copies: queue.Queue[Path] = queue.Queue()
        self._stack = ExitStack()

    def __enter__(self) -> "Bench":
        for _ in range(self._jobs):
            self._copies.put(self._stack.enter_context(copy_of_tree()))
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def whole(self, shown: Sequence[Exhibit], layers: Iterable[str]) -> Sequence[Judged]:
        """The same tests where nothing is planted: each of them must pass."""
        tests = {
            layer: sorted({test for each in shown for test in each.by_layer().get(layer, ())})
            for layer in layers
        }
        with ThreadPoolExecutor(self._jobs) as pool:
            return list(pool.map(self._judge_whole, *zip(*tests.items(), strict=True)))

    def planted(
        self, shown: Sequence[Exhibit], layers: Sequence[str], tell: Callable[[Verdict], None]
    ) -> Sequence[Verdict]:
        """Each bug, alone, before its own tests. `tell` hears of them in their order."""

        def judge(exhibit: Exhibit) -> Verdict:
            wanted = {k: v for k, v in exhibit.by_layer().items() if k in layers}
            return Verdict(exhibit, [self._judge(k, v, exhibit) for k, v in wanted.items()])

        verdicts = []
        with ThreadPoolExecutor(self._jobs) as pool:
            for verdict in pool.map(judge, shown):
                verdicts.append(verdict)
                tell(verdict)
        return verdicts

    def _judge_whole(self, layer: str, tests: Sequence[str]) -> Judged:
        return self._judge(layer, tests, None)

    def _judge(self, layer: str, tests: Sequence[str], exhibit: Exhibit | None) -> Judged:
        if not tests:
            return Judged(layer, {}, 0.0, "")
        copy = self._copies.get()
        began_s = time.monotonic()
        try:
            with ExitStack() as stack:
                for file, text in exhibit.planted(copy).items() if exhibit else ():
                    stack.enter_context(broken(file, text))
                outcomes, said = _run(copy, tests)
        finally:
            self._copies.put(copy)
        return Judged(layer, outcomes, time.monotonic() - began_s, said[-SAID_MAX:])


def _run(copy: Path, tests: Sequence[str]) -> tuple[Mapping[str, str], str]:
    with tempfile.TemporaryDirectory(prefix="processor-museum-") as folder:
        report = Path(folder) / "report"
        report.touch()
        arguments = ["-m", "pytest", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider"]
        arguments += ["-p", "proof.museum.witness", f"--timeout={TEST_TIMEOUT_S}"]
        # By thread: it ends the process, where a signal only interrupts what may go on hanging.
        arguments += ["--timeout-method=thread", "--hypothesis-seed=0", *tests]
        _, said = run_in(
            copy, arguments, SEEDS | {"MUSEUM_REPORT": str(report)}, within_s=RUN_TIMEOUT_S
        )
        lines = report.read_text(encoding="utf-8").splitlines()
    shutil.rmtree(copy / ".hypothesis", ignore_errors=True)  # what one bug taught is not the next's
    reports = [tuple(json.loads(line)) for line in lines]
    return {test: _outcome(test, reports) for test in tests}, said


def _outcome(test: str, reports: Sequence[tuple[str, str]]) -> str:
    """One word for all parameters of a test: the first of these that is among them."""
    told = [
        how
        for nodeid, how in reports
        if nodeid == test or nodeid.startswith((f"{test}[", f"{test}::"))
    ]
    wrong = [how for how in told if how not in (CAUGHT, PASSED, SKIPPED)]
    for how in (CAUGHT, *wrong, PASSED, SKIPPED):
        if how in told:
            return how
    return "error: it did not run"
