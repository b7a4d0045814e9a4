"""How `make mutants` reads what mutmut says, and what it lets pass."""

from pathlib import Path

import pytest

from proof.mutants import results
from proof.mutants.__main__ import DOMAIN, SOURCE, TARGETS, UNEXPLAINED, judges_of
from proof.mutants.results import judge, statuses, survivor

ROOT = Path(__file__).parents[2]
SETTLE = "processor.core.ingest.ledger.xǁLedgerǁsettle__mutmut_2"
ORDER = "processor.core.ingest.batch.x__order__mutmut_3"
SAID = f"    {SETTLE}: survived\n    {ORDER}: killed\n"
SHOWN = f"""# {SETTLE}: survived
--- src/processor/core/ingest/ledger.py
+++ src/processor/core/ingest/ledger.py
@@ -1,3 +1,3 @@
 def settle(self, entry_ids: Sequence[str]) -> None:
-    first
+    second
     third
"""
EXPLAINED = """
[[explained]]
where = "core.ingest.ledger.*"
before = "first"
after = "sec*"
why = "it does not matter"
"""


@pytest.fixture
def explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "explained.toml"
    monkeypatch.setattr(results, "EXPLAINED", file)
    file.write_text(EXPLAINED)
    return file


def test_a_survivor_is_told_by_its_place() -> None:
    found = survivor(SETTLE, "survived", SHOWN, ROOT)
    lines = (ROOT / found.path).read_text().splitlines()
    assert found.where == "core.ingest.ledger.Ledger.settle"
    assert lines[found.line - 2].startswith("    def settle(")
    assert (found.before, found.after) == ("first", "second")


def test_an_explained_survivor_is_let_pass(explained: Path) -> None:
    judgement = judge(statuses(SAID), [survivor(SETTLE, "survived", SHOWN, ROOT)])
    assert (judgement.unexplained, judgement.idle) == ([], [])
    assert [(t.module, t.mutants, t.killed, t.explained) for t in judgement.tallies] == [
        ("core.ingest.ledger", 1, 0, 1),
        ("core.ingest.batch", 1, 1, 0),
    ]


@pytest.mark.parametrize("wrong", ["core.ingest.batch.*", "core.ingest.ledger.Ledger"])
def test_another_place_explains_nothing(explained: Path, wrong: str) -> None:
    explained.write_text(EXPLAINED.replace("core.ingest.ledger.*", wrong))
    judgement = judge(statuses(SAID), [survivor(SETTLE, "survived", SHOWN, ROOT)])
    assert [each.name for each in judgement.unexplained] == [SETTLE]
    assert [each.where for each in judgement.idle] == [wrong]


def test_what_is_changed_and_what_judges_it_are_there() -> None:
    known = [*TARGETS, *DOMAIN, *UNEXPLAINED]
    assert len(set(known)) == len(known)
    for path in known:
        assert (ROOT / SOURCE / path).is_file(), path
        for test in judges_of(path):
            assert (ROOT / test).is_file(), test
