"""The ledger against a model of it that is too simple to be wrong: a dict from id to stage."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from processor.core.ingest.ledger import Ledger
from processor.core.model import Entry

CAP = 8
some_ids = st.lists(st.integers(0, 15).map(lambda n: f"{n}-0"), unique=True, max_size=6)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(CAP)
        self.stages: dict[str, str] = {}

    @rule(ids=some_ids)
    def admit(self, ids: list[str]) -> None:
        fresh = self.ledger.admit([Entry(entry_id, {}) for entry_id in ids], 0.0)
        assert [e.id for e in fresh] == [i for i in ids if i not in self.stages]
        self.stages.update((e.id, "working") for e in fresh)

    @rule(ids=some_ids)
    def settle(self, ids: list[str]) -> None:
        working = all(self.stages.get(i) == "working" for i in ids)
        try:
            self.ledger.settle(ids)
        except AssertionError:
            assert not working
        else:
            assert working
            self.stages.update((i, "settled") for i in ids)

    @rule(ids=some_ids)
    def release(self, ids: list[str]) -> None:
        settled = all(self.stages.get(i) == "settled" for i in ids)
        try:
            self.ledger.release(ids)
        except AssertionError:
            assert not settled
        else:
            assert settled
            for i in ids:
                del self.stages[i]

    @invariant()
    def counts_agree(self) -> None:
        assert self.ledger.in_flight == len(self.stages)
        assert self.ledger.room == max(0, CAP - len(self.stages))


LedgerMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestLedger = LedgerMachine.TestCase
