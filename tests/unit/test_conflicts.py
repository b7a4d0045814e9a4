"""Straight while conflicts are rare, carefully while they are not."""

from hypothesis import given
from hypothesis import strategies as st

from processor.adapters.postgres.conflicts import Conflicts


def test_hopes_at_first():
    assert not Conflicts(0.25).likely


def test_one_conflict_changes_nothing_and_a_run_of_them_does():
    conflicts = Conflicts(0.25)
    conflicts.learn(met=True)
    assert not conflicts.likely
    for _ in range(4):
        conflicts.learn(met=True)
    assert conflicts.likely


def test_becomes_hopeful_again_after_a_dozen_clean_batches():
    conflicts = Conflicts(0.25)
    for _ in range(100):
        conflicts.learn(met=True)
    clean = 0
    while conflicts.likely:
        conflicts.learn(met=False)
        clean += 1
    assert 5 <= clean <= 15


def steady(break_even, every):
    """How often it was careful over a long time in which each `every`-th batch met a row."""
    conflicts = Conflicts(break_even)
    careful = 0
    for turn in range(1000):
        careful += conflicts.likely
        conflicts.learn(met=turn % every == 0)
    return careful / 1000


def test_chooses_by_the_share_not_by_the_last_batch():
    assert steady(0.25, every=10) < 0.2
    assert steady(0.25, every=2) > 0.9


@given(st.lists(st.booleans()))
def test_an_impossible_break_even_is_never_reached(mets):
    conflicts = Conflicts(1.1)
    for met in mets:
        conflicts.learn(met=met)
        assert not conflicts.likely
