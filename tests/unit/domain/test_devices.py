"""Several devices of one entry: which one times a segment, what is filled, what is reviewed."""

from hypothesis import given
from hypothesis import strategies as st

from processor.domain.course import Assignment, Entry
from processor.domain.rulings import RulingKind
from processor.domain.timesheet import SegmentSheet
from tests.papers import Saw, at, evidence, ruling, segment, stage, timed, waypoints

OF = stage(segment(*waypoints(3)))
DRIVE: list[Saw] = [
    ("S", 0, 100),
    ("W1", 200, 210),
    ("W2", 300, 310),
    ("W3", 400, 410),
    ("F", 500, 520),
]


def without(*names: str) -> list[Saw]:
    return [saw for saw in DRIVE if saw[0] not in names]


def later(seconds: float) -> list[Saw]:
    return [(name, (a or 0) + seconds, (b or 0) + seconds) for name, a, b in DRIVE]


def marks(own: SegmentSheet) -> list[str | None]:
    return [v.device_id if v.validated else None for v in own.validations]


def test_the_first_ranked_device_that_is_clean_times_the_whole_segment() -> None:
    entry = Entry("301", devices=(Assignment("d1", worn=True), Assignment("d2", priority=9)))
    own = timed(evidence(later(0.1)), evidence(DRIVE, device_id="d2"), of=OF, entry=entry)
    assert own.segments[0].device_id == "d2"
    assert own.segments[0].finish_at == at(500)
    assert not own.segments[0].mixed


@given(st.permutations(["d1", "d2", "d3", "d4"]))
def test_rank_is_not_worn_then_priority_then_id(ids: list[str]) -> None:
    devices = (
        Assignment(ids[0], priority=1),
        Assignment(ids[1], priority=2),
        Assignment(ids[2], worn=True),
        Assignment(ids[3], worn=True),
    )
    seen = [evidence(DRIVE, device_id=device_id) for device_id in sorted(ids)]
    for first in range(4):
        present = [e for e in seen if e.device_id in ids[first:]]
        own = timed(*present, of=OF, entry=Entry("301", devices=devices)).segments[0]
        expected = min(ids[2:]) if first == 2 else ids[first]
        assert own.device_id == expected


def test_a_device_with_a_provisional_crossing_leaves_it_to_the_next() -> None:
    first = evidence(DRIVE, provisional=["W2"])
    own = timed(first, evidence(later(1), device_id="d2"), of=OF).segments[0]
    assert (own.device_id, own.mixed) == ("d2", False)


def test_a_device_with_an_unverified_object_leaves_it_to_the_next() -> None:
    first = evidence(without("W2"), gaps=[(220, 1000, 290, 3000)])
    own = timed(first, evidence(later(1), device_id="d2"), of=OF).segments[0]
    assert (own.device_id, marks(own)) == ("d2", ["d2", "d2", "d2"])


def test_a_clean_device_that_missed_an_object_counts_and_the_other_one_is_reviewed() -> None:
    sheet = timed(evidence(without("W2")), evidence(later(1), device_id="d2"), of=OF)
    own = sheet.segments[0]
    assert (own.device_id, marks(own)) == ("d1", ["d1", None, "d1"])
    assert [(r.what, r.object_id) for r in own.reviews if r.what != "near-miss"] == [
        ("devices-disagree", "S"),
        ("devices-disagree", "W1"),
        ("devices-disagree", "W2"),
        ("devices-disagree", "W3"),
        ("devices-disagree", "F"),
    ]


def test_holes_are_filled_from_the_next_device_and_marked() -> None:
    first = evidence(without("W3", "F"))
    second = evidence([("W3", 401, 411), ("F", 501, 521)], device_id="d2")
    own = timed(first, second, of=OF).segments[0]
    assert own.mixed
    assert own.device_id == "d1"
    assert marks(own) == ["d1", "d1", "d2"]
    assert own.finish_at == at(501)
    assert own.elapsed_ms == 401_000
    assert all(r.explanation["mixed"] is True for r in own.records)


def test_a_provisional_instant_is_filled_by_a_sure_one_and_never_the_other_way() -> None:
    first = evidence(DRIVE, provisional=["F"])
    second = evidence([("W3", 401, 411), ("F", 530, 540)], device_id="d2", provisional=["W3"])
    own = timed(first, second, of=OF).segments[0]
    assert marks(own) == ["d1", "d1", "d1"]
    assert own.finish_at == at(530)
    assert own.waiting_for == ()


def test_what_does_not_fit_between_its_neighbours_fills_nothing() -> None:
    first = evidence(without("W2", "F"))
    second = evidence([("W2", 450, 460)], device_id="d2")
    own = timed(first, second, of=OF).segments[0]
    assert marks(own) == ["d1", None, "d1"]
    assert not own.mixed


def test_instants_disagree_beyond_both_uncertainties_and_half_a_second() -> None:
    def reviews(apart_s: float) -> list[str]:
        sheet = timed(evidence(DRIVE), evidence(later(apart_s), device_id="d2"), of=OF)
        return [r.what for r in sheet.segments[0].reviews]

    assert reviews(0.7) == []  # 100 ms + 100 ms + 500 ms
    assert reviews(0.701) == ["devices-disagree"] * 5


def test_a_ruling_chooses_the_device_and_no_other_fills_it() -> None:
    choose = ruling(RulingKind.CHOOSE_DEVICE, value={"device_id": "d2"})
    second = evidence(later(1)[:3], device_id="d2")
    own = timed(evidence(DRIVE), second, of=OF, rulings=[choose]).segments[0]
    assert (own.device_id, own.mixed, own.finish_at) == ("d2", False, None)
    assert marks(own) == ["d2", "d2", None]
