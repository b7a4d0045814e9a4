"""The museum in short: its patches fit today's tree, its tests exist, and its judge can tell a bug
that is caught from one that is not. All of it is `make museum`."""

import difflib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from proof.copies import copy_of_tree, python_of
from proof.museum.exhibits import FOLDER, LAYERS, Change, DoesNotFit, Exhibit, exhibits, read
from proof.museum.judging import Bench, Verdict

ROOT = Path(__file__).parents[2]
EXHIBITS = exhibits()
FEWEST = 25

A_FEW = [
    "stored-panic-is-not-looked-at",
    "settled-is-admitted-again",
    "no-satellites-and-still-a-place",
    "pauses-never-end",
]
"""Those are judged here by their unit tests, which take no second."""


def named(ending: str) -> Exhibit:
    return next(each for each in EXHIBITS if each.name.endswith(ending))


def test_there_are_enough_and_none_is_like_another() -> None:
    assert len(EXHIBITS) >= FEWEST
    numbers = [exhibit.name.partition("-")[0] for exhibit in EXHIBITS]
    assert numbers == [f"{n:02}" for n in range(1, len(EXHIBITS) + 1)]
    assert len({exhibit.title for exhibit in EXHIBITS}) == len(EXHIBITS)


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_a_patch_changes_what_it_says_and_nothing_else(exhibit: Exhibit) -> None:
    changed = []
    for file, text in exhibit.planted(ROOT).items():
        compile(text, file, "exec")
        lines = difflib.ndiff(file.read_text().splitlines(), text.splitlines())
        changed += [f"{line[0]}{line[2:]}" for line in lines if line[0] in "+-"]
    patch = (FOLDER / f"{exhibit.name}.patch").read_text().partition("\n--- ")[2].splitlines()
    said = [line for line in patch if re.match(r"[+-](?!-- |\+\+ )", line)]
    assert sorted(changed) == sorted(said)
    assert {change.path.partition("/")[0] for change in exhibit.changes} == {"src"}


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_a_bug_is_told_and_names_tests_that_exist(exhibit: Exhibit) -> None:
    assert exhibit.title
    assert exhibit.story.endswith(".")
    assert exhibit.tests
    for test in exhibit.tests:
        assert test.startswith(tuple(LAYERS.values())), f"{test} is of no layer"
        path, _, name = test.partition("::")
        name = re.escape(name.partition("::")[0])
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async def|def|class|) ?{name}\b", text, re.MULTILINE), test


def test_a_patch_that_fits_nowhere_or_twice_is_no_patch() -> None:
    path = "src/processor/core/ingest/ledger.py"
    exhibit = evolve(named("settled-is-admitted-again"), changes=[Change(path, "no line\n", "")])
    with pytest.raises(DoesNotFit, match="0 times"):
        exhibit.planted(ROOT)
    with pytest.raises(DoesNotFit, match=r"\d+ times"):
        evolve(exhibit, changes=[Change(path, "\n", "")]).planted(ROOT)
    with pytest.raises(DoesNotFit, match="no diff"):
        read("a", "Something is broken.\n")


# -- the judge -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(2) as bench:
        yield bench


@pytest.mark.slow
def test_whoever_starts_it_it_is_the_copys_code_that_runs() -> None:
    """Services that tests start have none of our environment variables."""
    asked = "import processor, msgspec; print(processor.__file__)"
    with copy_of_tree() as copy:
        said = subprocess.check_output([python_of(copy), "-c", asked], env={}, text=True)
        assert said.strip() == str(copy / "src/processor/__init__.py")


@pytest.mark.slow
def test_a_few_are_caught(bench: Bench) -> None:
    few = [
        exhibit
        for exhibit in EXHIBITS
        if exhibit.name[3:] in A_FEW and "unit" in exhibit.by_layer()
    ]
    assert len(few) >= 3
    (whole,) = bench.whole(few, ["unit"])
    assert set(whole.outcomes.values()) == {"passed"}, whole.said
    told: list[Verdict] = []
    verdicts = bench.planted(few, ["unit"], told.append)
    assert told == verdicts
    assert all(verdict.caught and not verdict.in_vain for verdict in verdicts)


@pytest.mark.slow
def test_what_does_not_compile_or_harms_nobody_is_not_caught(bench: Bench) -> None:
    one = evolve(
        named("settled-is-admitted-again"),
        tests=["tests/unit/test_ledger.py::test_room_shrinks_until_release"],
    )
    line = "class Ledger:\n"
    path = "src/processor/core/ingest/ledger.py"
    broken = evolve(one, changes=[Change(path, line, f"{line})\n")])
    harmless = evolve(one, changes=[Change(path, line, f"# A comment.\n{line}")])
    verdicts = bench.planted([broken, harmless], ["unit"], lambda verdict: None)
    assert [verdict.caught for verdict in verdicts] == [False, False]
    outcomes = [outcome for verdict in verdicts for _, outcome in verdict.in_vain]
    assert outcomes == ["error: it did not run", "passed"]
    assert "SyntaxError" in verdicts[0].layers[0].said
