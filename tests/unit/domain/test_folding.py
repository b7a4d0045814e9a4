"""The fold law and the window law: pieces and the whole, and what a change can reach."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.domain.crossings import Known
from processor.domain.folding import Fold
from processor.domain.model import Track
from tests.driving import BOARD, disc, ground, track, wanderings


@given(wanderings(), st.data())
@settings(max_examples=200)
def test_pieces_give_what_the_whole_gives(driven: Track, data: st.DataObject):
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(driven) - 1)), max_size=6)))
    fold = Fold(BOARD, driven.device_id)
    for start, stop in zip([0, *cuts], [*cuts, len(driven)], strict=True):
        fold.take(driven.cut(start, stop))
    whole = BOARD.evidence(driven)
    assert fold.passes() == whole.passes
    assert fold.crossings() == whole.crossings


@given(wanderings())
@settings(max_examples=60)
def test_fix_by_fix_gives_what_the_whole_gives_at_each_of_them(driven: Track):
    fold = Fold(BOARD, driven.device_id)
    for k in range(len(driven)):
        fold.take(driven.cut(k, k + 1))
        assert fold.passes() == BOARD.evidence(driven.cut(0, k + 1)).passes


@pytest.mark.parametrize("seed", range(8))
def test_pieces_of_a_drive_give_what_the_whole_gives(seed: int):
    """As above, of drives that are the same every day."""
    chance = Random(seed)
    now, points = 0.0, []
    for _ in range(60):
        now += chance.choice([0.5, 1, 1, 1, 2, 5, 61])
        points.append((now, chance.randint(-12, 12) * 10.0, chance.randint(-12, 12) * 10.0))
    driven = track(points)
    cuts = sorted(chance.sample(range(1, 60), 12))
    fold = Fold(BOARD, driven.device_id)
    for start, stop in zip([0, *cuts], [*cuts, 60], strict=True):
        fold.take(driven.cut(start, stop))
        assert fold.passes() == BOARD.evidence(driven.cut(0, stop)).passes
    assert fold.crossings() == BOARD.evidence(driven).crossings


def test_little_is_kept_between_pieces():
    fold = Fold(BOARD, "d")
    for k in range(50):
        fold.take(track([(k, 1000.0 + 20 * k, 0)], "d"))
        assert fold.held == 1


def test_what_is_kept_begins_with_the_last_settled_fix():
    fold = Fold(ground({"W": disc(0, 0, 50)}), "d")
    fold.take(track([(0, 250, 0), (1, 200, 0), (2, 150, 0), (3, 100, 0), (4, 55, 0)], "d"))
    assert fold.held == 2  # 5 m outside nothing is settled


def test_a_piece_begins_behind_the_one_before():
    fold = Fold(BOARD, "d")
    fold.take(track([(0, 1000, 0)], "d"))
    with pytest.raises(AssertionError):
        fold.take(track([(0, 1000, 0)], "d"))


@given(wanderings(), st.data())
@settings(max_examples=150)
def test_a_change_reaches_no_further_than_the_settled_fixes_around_it(
    driven: Track, data: st.DataObject
):
    """Take any fixes away: visits change only between the last settled fix before and the first
    settled fix behind the change, of the track with them or without."""
    first = data.draw(st.integers(0, len(driven) - 1))
    last = data.draw(st.integers(first, len(driven) - 1))
    fewer = Track.of(
        driven.device_id,
        [driven.fix(k) for k in range(len(driven)) if not first <= k <= last],
    )
    bounds = []
    for one in (driven, fewer):
        scan = BOARD.scan(one, Known())
        settled = [int(one.at[k]) for k in range(len(one)) if BOARD.settled(scan, k)]
        begin, end = int(driven.at[first]), int(driven.at[last])
        bounds.append(
            (
                max((at for at in settled if at < begin), default=-1),
                min((at for at in settled if at > end), default=2**63),
            )
        )
    since, until = min(b[0] for b in bounds), max(b[1] for b in bounds)

    def beyond(of: Track) -> list[tuple[object, ...]]:
        return [
            (c.object_id, c.kind, c.at, c.before, c.after)
            for c in BOARD.evidence(of).crossings
            if c.after <= since or c.before >= until
        ]

    assert beyond(driven) == beyond(fewer)
