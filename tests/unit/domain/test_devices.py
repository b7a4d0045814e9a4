"""Several devices of one entry: which one times a segment, what is filled, what is reviewed."""

import pytest
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


SILENT = (220, 1000, 290, 3000)
"""A gap in which W2 may have been passed."""


def test_a_silence_over_what_was_passed_leaves_a_device_clean() -> None:
    first = evidence(DRIVE, gaps=[SILENT])
    own = timed(first, evidence(later(1), device_id="d2"), of=OF).segments[0]
    assert (own.device_id, own.mixed) == ("d1", False)


def test_a_silence_over_an_object_that_is_ruled_leaves_a_device_clean() -> None:
    first = evidence(without("W2"), gaps=[SILENT])
    said = ruling(RulingKind.INVALIDATE, "W2")
    own = timed(first, evidence(later(1), device_id="d2"), of=OF, rulings=[said]).segments[0]
    assert (own.device_id, own.mixed) == ("d1", False)


@pytest.mark.parametrize(("lap", "device_id"), [(1, "d2"), (2, "d1")])
def test_a_ruling_of_one_lap_settles_no_silence_of_another(lap: int, device_id: str) -> None:
    laps: list[Saw] = [("S", 0, 100), ("W1", 200, 210), ("F", 300, 301), ("W1", 400, 410),
                       ("F", 500, 501)]  # fmt: skip
    first = evidence([saw for saw in laps if saw[1] != 400], gaps=[(320, 0, 390, 2000)])
    said = ruling(RulingKind.VALIDATE, "W1", pass_number=lap)
    of = stage(segment(*waypoints(1), laps=2))
    own = timed(first, evidence(laps, device_id="d2"), of=of, rulings=[said]).segments[0]
    assert own.device_id == device_id


@pytest.mark.parametrize(("target", "device_id"), [(None, "d2"), (95, "d1")])
def test_a_silence_before_the_start_hides_nothing(target: float | None, device_id: str) -> None:
    first = evidence(without("S", "W1"), gaps=[(10, 0, 90, 2000)])
    entry = Entry("301", start_at={} if target is None else {"SS1": at(target)})
    second = evidence(later(1), device_id="d2")
    own = timed(first, second, of=OF, entry=entry).segments[0]
    assert own.device_id == device_id


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


def test_the_device_with_the_most_objects_is_filled_though_another_is_first() -> None:
    first = evidence([("S", 0, 100), ("W1", 200, 210)])
    second = evidence([("W1", 201, 211), ("W2", 301, 311), ("W3", 401, 411)], device_id="d2")
    own = timed(first, second, of=OF).segments[0]
    assert (own.device_id, own.mixed, marks(own)) == ("d2", True, ["d2", "d2", "d2"])
    assert own.start_measured == at(100)


def test_a_sure_instant_is_not_replaced_by_another_sure_one() -> None:
    first = evidence(without("F"))
    second = evidence(later(1), device_id="d2", provisional=["W2"])
    own = timed(first, second, of=OF).segments[0]
    assert marks(own) == ["d1", "d1", "d1"]
    assert own.finish_at == at(501)


def test_the_same_instant_as_that_of_a_neighbour_fits() -> None:
    first = evidence([("S", 0, 100), ("W1", 200, 210), ("W3", 300, 310)])
    second = evidence([("W2", 200, 210)], device_id="d2")
    assert marks(timed(first, second, of=OF).segments[0]) == ["d1", "d2", "d1"]
    third = evidence([("W2", 300, 310)], device_id="d2")
    assert marks(timed(first, third, of=OF).segments[0]) == ["d1", "d2", "d1"]


FIVE = stage(segment(*waypoints(5)))


@pytest.mark.parametrize(
    ("passed", "filled", "out_of_order"),
    [(["W1", "W2"], [], True), (["W1", "W2", "W3"], [], False), (["W1", "W2"], ["W3"], False)],
)
def test_a_finish_is_in_order_once_all_devices_together_have_half_of_the_objects(
    passed: list[str], filled: list[str], out_of_order: bool
) -> None:
    saw: list[Saw] = [*DRIVE, ("W4", 450, 455), ("W5", 460, 465)]
    first = evidence([each for each in saw if each[0] in ("S", *passed)])
    second = evidence([each for each in saw if each[0] in ("S", "F", *filled)], device_id="d2")
    own = timed(first, second, of=FIVE).segments[0]
    assert own.mixed
    assert own.finish_at == at(500)
    assert own.finish_out_of_order is out_of_order


def test_half_of_the_objects_together_is_enough_for_a_finish() -> None:
    first = evidence([("S", 0, 100), ("W1", 200, 210)])
    second = evidence([("S", 0, 100), ("W2", 300, 310), ("F", 500, 520)], device_id="d2")
    own = timed(first, second, of=stage(segment(*waypoints(4)))).segments[0]
    assert marks(own) == ["d1", "d2", None, None]
    assert (own.finish_at, own.finish_out_of_order) == (at(500), False)


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


def disagree(first: list[Saw], second: list[Saw], **more: object) -> list[str | None]:
    """The objects on which d2 says something else than d1, which times the segment."""
    said = {key: value for key, value in more.items() if key != "of_first"}
    own = timed(
        evidence(first, **more.get("of_first", {})),  # type: ignore[arg-type]
        evidence(second, device_id="d2", **said),  # type: ignore[arg-type]
        of=OF,
    ).segments[0]
    assert own.device_id == "d1"
    return [r.object_id for r in own.reviews if r.what == "devices-disagree"]


def test_a_review_names_both_devices() -> None:
    sheet = timed(evidence(DRIVE), evidence(later(1), device_id="d2"), of=OF)
    review = sheet.segments[0].reviews[0]
    assert review.evidence["devices"] == ["d1", "d2"]
    assert (review.evidence_from, review.evidence_to) == (at(100), at(101))


def test_an_instant_in_a_gap_disagrees_with_nobody() -> None:
    assert disagree(DRIVE, later(50), provisional=["S", "W1", "W2", "W3", "F"]) == []


def test_what_only_the_other_device_passed_is_reviewed_up_to_the_finish() -> None:
    assert disagree(without("W3"), [*without("W3", "F"), ("W3", 500, 505)]) == ["W3"]
    assert disagree(without("W3"), [*without("W3", "F"), ("W3", 501, 505)]) == []


def test_who_was_first_seen_inside_says_no_instant_to_disagree_with() -> None:
    assert disagree([("W1", None, 210), *DRIVE[2:]], DRIVE) == []


def test_a_start_that_only_the_other_device_saw_is_not_reviewed() -> None:
    assert disagree(without("S"), DRIVE) == []


def test_a_ruling_chooses_the_device_and_no_other_fills_it() -> None:
    choose = ruling(RulingKind.CHOOSE_DEVICE, value={"device_id": "d2"})
    second = evidence(later(1)[:3], device_id="d2")
    own = timed(evidence(DRIVE), second, of=OF, rulings=[choose]).segments[0]
    assert (own.device_id, own.mixed, own.finish_at) == ("d2", False, None)
    assert marks(own) == ["d2", "d2", None]
