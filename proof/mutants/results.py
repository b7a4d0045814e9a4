"""What became of the mutants, and which of the survivors are explained.

explained.toml has a table for each explanation: `where` (module and function, as
`core.ingest.ledger.Ledger.settle`), `before` and `after` (the line as it is, and as the mutant has
it) and `why`. In the first three a `*` stands for anything. An explanation that explains nobody is
a fault: the code it speaks of is gone, or a test has come that kills what it excuses.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

EXPLAINED = Path(__file__).with_name("explained.toml")

KILLED = frozenset({"killed", "timeout", "segfault", "suspicious"})
"""A test failed, did not come to its end in many times its time, or took its process with it."""

_NAME = re.compile(r"processor\.(?P<module>[\w.]+)\.(?:xǁ(?P<class>\w+?)ǁ|x_)(?P<function>\w+)")


@frozen
class Survivor:
    """A mutant that no test noticed. `where` is module and function, `line` that of the file."""

    name: str
    status: str
    where: str
    path: str
    line: int
    before: str
    after: str
    diff: str


@frozen
class Explanation:
    """Why survivors that fit need no test."""

    where: str
    before: str
    after: str
    why: str

    def fits(self, survivor: Survivor) -> bool:
        return (
            _like(self.where, survivor.where)
            and _like(self.before, survivor.before)
            and _like(self.after, survivor.after)
        )


@frozen
class Tally:
    """Of one module."""

    module: str
    counts: Mapping[str, int]
    explained: int

    @property
    def mutants(self) -> int:
        return sum(self.counts.values())

    @property
    def timeouts(self) -> int:
        return self.counts.get("timeout", 0)

    @property
    def killed(self) -> int:
        """With those that ran into the time limit."""
        return sum(self.counts.get(status, 0) for status in KILLED)

    @property
    def survived(self) -> int:
        return self.mutants - self.killed


@frozen
class Judgement:
    """All of it. `unexplained` survivors and `idle` explanations are faults."""

    tallies: Sequence[Tally]
    unexplained: Sequence[Survivor]
    idle: Sequence[Explanation]


def judge(statuses: Mapping[str, str], survivors: Sequence[Survivor]) -> Judgement:
    """What to make of mutmut's results."""
    explanations = [
        Explanation(**each) for each in tomllib.loads(EXPLAINED.read_text())["explained"]
    ]
    excuse = {
        survivor.name: next((each for each in explanations if each.fits(survivor)), None)
        for survivor in survivors
    }
    modules = dict.fromkeys(_module(name) for name in statuses)
    tallies = [
        Tally(
            module,
            Counter(status for name, status in statuses.items() if _module(name) == module),
            sum(bool(excuse[each.name]) for each in survivors if _module(each.name) == module),
        )
        for module in modules
    ]
    used = list(excuse.values())
    return Judgement(
        tallies,
        [each for each in survivors if excuse[each.name] is None],
        [each for each in explanations if each not in used],
    )


def statuses(said: str) -> Mapping[str, str]:
    """By mutant, from what `mutmut results --all true` says."""
    lines = (line.strip().partition(": ") for line in said.splitlines())
    return {name: status for name, _, status in lines if "__mutmut_" in name}


def survivor(name: str, status: str, shown: str, tree: Path) -> Survivor:
    """From what `mutmut show` says of it. Its diff counts lines from the function's first."""
    found = _NAME.fullmatch(name.partition("__mutmut_")[0])
    assert found is not None, f"mutmut calls a mutant {name}"
    function = ".".join(filter(None, (found["class"], found["function"])))
    lines = shown.splitlines()
    path = next(line[4:] for line in lines if line.startswith("--- "))
    body = lines[next(i for i, line in enumerate(lines) if line.startswith("@@ ")) :]
    begin = int(body[0].split("-")[1].split(",")[0])
    offset = next(i for i, line in enumerate(body[1:]) if line[:1] in "-+")
    return Survivor(
        name=name,
        status=status,
        where=f"{found['module']}.{function}",
        path=path,
        line=_first_line(tree / path, found["function"], found["class"]) + begin - 1 + offset,
        before=_changed(body, "-"),
        after=_changed(body, "+"),
        diff="\n".join(line for line in body[1:] if line[:1] in "-+"),
    )


def _first_line(file: Path, function: str, owner: str | None) -> int:
    text = file.read_text(encoding="utf-8")
    start = text.index(f"\nclass {owner}") if owner else 0
    place = re.compile(rf"^\s*(?:async )?def {function}\(", re.MULTILINE).search(text, start)
    assert place is not None, f"{file} has no {function}"
    return text.count("\n", 0, place.end()) + 1


def _changed(body: Sequence[str], mark: str) -> str:
    return " ".join(line[1:].strip() for line in body[1:] if line.startswith(mark))


def _module(name: str) -> str:
    found = _NAME.match(name)
    assert found is not None, f"mutmut calls a mutant {name}"
    return found["module"]


def _like(pattern: str, text: str) -> bool:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    return re.fullmatch(expression, text) is not None
