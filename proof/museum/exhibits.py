"""The planted bugs, as tests/museum/NN-name.patch has them.

A file begins with a sentence that says what is broken, and one or two that say what it would cost
in the field; then a line `caught by: tests/...::...` for each test that must fail; then a unified
diff against src/. A change is found by its lines alone, wherever they stand now, and must be there
exactly once: so a patch outlives what is changed around it, and never hits another place.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from proof.copies import ROOT

FOLDER = ROOT / "tests" / "museum"

LAYERS = {
    "unit": "tests/unit/",
    "machine": "tests/machines/",
    "contract": "tests/contracts/",
    "simulation": "tests/simulation/",
    "integration": "tests/integration/",
    "e2e": "tests/e2e/",
}
"""By the folder of a test, from the fastest to the one that is closest to the field."""

CAUGHT_BY = "caught by: "


class DoesNotFit(Exception):
    """A patch and the tree do not know each other."""


@frozen
class Change:
    """Lines of one file, and what they become."""

    path: str
    before: str
    after: str


@frozen
class Exhibit:
    """A planted bug. `name` is the file's, `title` the first sentence; `tests` must fail."""

    name: str
    title: str
    story: str
    tests: Sequence[str]
    changes: Sequence[Change]

    def by_layer(self) -> Mapping[str, Sequence[str]]:
        """The tests, by the layer that they belong to."""
        found = {
            layer: [test for test in self.tests if test.startswith(folder)]
            for layer, folder in LAYERS.items()
        }
        return {layer: tests for layer, tests in found.items() if tests}

    def planted(self, tree: Path) -> Mapping[Path, str]:
        """The files with the bug in them, and what they say then. Raises DoesNotFit."""
        texts: dict[Path, str] = {}
        for change in self.changes:
            file = tree / change.path
            if file not in texts:
                if not file.is_file():
                    raise DoesNotFit(f"{self.name}: there is no {change.path}")
                texts[file] = file.read_text(encoding="utf-8")
            # In front of the first line, too, there has to be an end of line.
            whole = f"\n{texts[file]}"
            times = whole.count(f"\n{change.before}")
            if times != 1:
                raise DoesNotFit(
                    f"{self.name}: in {change.path} these lines are there {times} times, "
                    f"and must be once:\n{change.before}"
                )
            texts[file] = whole.replace(f"\n{change.before}", f"\n{change.after}")[1:]
        return texts


def exhibits() -> Sequence[Exhibit]:
    """All that are shown, in their order."""
    return [
        read(file.stem, file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.patch"))
    ]


def read(name: str, text: str) -> Exhibit:
    """A patch file's meaning. Raises DoesNotFit where it has none."""
    head, begin, diff = text.partition("\n--- ")
    if not begin:
        raise DoesNotFit(f"{name}: there is no diff")
    lines = head.splitlines()
    tests = [line.removeprefix(CAUGHT_BY) for line in lines if line.startswith(CAUGHT_BY)]
    told = " ".join(line for line in lines if line and not line.startswith(CAUGHT_BY))
    title, _, story = told.partition(". ")
    return Exhibit(name, title.rstrip("."), story, tests, _changes(name, f"--- {diff}"))


def _changes(name: str, diff: str) -> Sequence[Change]:
    changes = []
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        header, *hunks = re.split(r"^@@ .*\n", part, flags=re.MULTILINE)
        found = re.search(r"^\+\+\+ b/(\S+)", header, re.MULTILINE)
        if found is None or not hunks:
            raise DoesNotFit(f"{name}: the diff names no file, or changes nothing in it")
        for hunk in hunks:
            marked = [(line[:1], f"{line[1:]}\n") for line in hunk.splitlines()]
            before = "".join(line for mark, line in marked if mark in (" ", "-", ""))
            after = "".join(line for mark, line in marked if mark in (" ", "+", ""))
            changes.append(Change(found[1], before, after))
    return changes
