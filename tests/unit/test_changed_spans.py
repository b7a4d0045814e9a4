"""A change note covers what was inserted, and nothing else."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from processor.adapters.postgres.changes import NOTHING, changed_spans
from processor.core.model import Position

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def fix(device_id, seconds):
    at = NOON + timedelta(seconds=seconds)
    return Position(device_id, at, 45.0, 14.0, 0.0, 0.0, 0.0, 9, 0, "8E", b"{}")


def test_nothing():
    assert changed_spans([]).as_lines() == NOTHING


@given(st.lists(st.builds(fix, st.sampled_from("abc"), st.integers(-200_000, 200_000))))
def test_spans_are_tight(positions):
    spans = changed_spans(positions)
    assert len(set(spans.device_ids)) == len(spans.device_ids)
    found = {
        device: (first, last)
        for device, first, last in zip(spans.device_ids, spans.from_ts, spans.to_ts, strict=True)
    }
    instants = {}
    for position in positions:
        instants.setdefault(position.device_id, []).append(position.fixed_at)
    assert found == {device: (min(at), max(at)) for device, at in instants.items()}
