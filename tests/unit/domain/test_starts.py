"""Starts: which departure counts at the edges of the rules, how sure it is, what rulings make."""

import pytest

from processor.domain.course import Entry, Place, SegmentType, StartRule
from processor.domain.instants import iso
from processor.domain.model import Track
from processor.domain.outcome import TimingRecord
from processor.domain.rulings import RulingKind
from processor.domain.timesheet import SegmentSheet, StageSheet
from tests.papers import Line, Saw, at, evidence, ruling, segment, stage, timed, waypoints

OF = stage(segment(*waypoints(1)))
AWAY: list[tuple[float, float]] = [(0, 0), (105, 500), (900, 0)]


def drive(*departures: tuple[float | None, float]) -> list[Saw]:
    """Stays at S, then W1 at 200, F at 300."""
    return [
        *(("S", since, until) for since, until in departures),
        ("W1", 200, 210),
        ("F", 300, 310),
    ]


def only(sheet: StageSheet) -> SegmentSheet:
    return sheet.segments[0]


def start(sheet: StageSheet) -> TimingRecord:
    (found,) = [r for r in sheet.segments[-1].records if r.kind == "start"]
    return found


def seconds(instant: int | None) -> float | None:
    return None if instant is None else (instant - at(0)) / 1_000_000


# -- which -----------------------------------------------------------------------------------------


def test_a_target_does_not_move_a_start_that_is_measured() -> None:
    of = stage(segment(*waypoints(1), start_rule=StartRule.LAST_EXIT))
    entry = Entry("301", start_at={"SS1": at(95)})
    sheet = timed(evidence(drive((0, 100))), of=of, entry=entry)
    assert seconds(only(sheet).start_at) == 100
    assert (start(sheet).source, start(sheet).device_id) == ("gps", "d1")


def test_who_leaves_the_start_as_he_leaves_the_first_object_has_started() -> None:
    seen = evidence(drive((0, 100), (190, 210)), AWAY[:1])
    assert seconds(only(timed(seen, of=OF)).start_at) == 210


@pytest.mark.parametrize(("closes", "left"), [(165, 165), (164.999, 100)])
def test_a_start_closes_with_its_last_instant(closes: float, left: float) -> None:
    of = stage(segment(*waypoints(1), start_closes_at=at(closes)))
    assert seconds(only(timed(evidence(drive((0, 100), (160, 165))), of=of)).start_at) == left


def test_a_gate_is_left_as_it_is_crossed() -> None:
    """Gone at 105: the start closes at 160, though the gate was crossed again behind that."""
    crossed = drive((100, 100), (165, 165))
    assert seconds(only(timed(evidence(crossed, AWAY), of=OF)).start_at) == 100


def test_where_a_car_was_before_it_left_does_not_close_the_start() -> None:
    came_from_afar: list[tuple[float, float]] = [(-10, 500), (50, 0), (140, 500), (900, 0)]
    seen = evidence(drive((0, 40), (128, 133)), came_from_afar)
    assert seconds(only(timed(seen, of=OF)).start_at) == 133


class Everywhere(Line):
    """As far from everything wherever one is."""

    def distance(self, object_id: str, place: Place) -> float:
        return self.where[object_id]

    def closest(
        self, object_id: str, track: Track, since: int | None, until: int | None
    ) -> float | None:
        return None


@pytest.mark.parametrize(("metres", "left"), [(200.0, 165), (200.001, 100)])
def test_a_car_is_gone_when_it_is_further_than_200_m(metres: float, left: float) -> None:
    seen = evidence(drive((0, 100), (162, 165)), AWAY)
    sheet = timed(seen, of=OF, distances=Everywhere(dict.fromkeys(("S", "W1", "F"), metres)))
    assert seconds(only(sheet).start_at) == left


def test_an_exit_outside_of_the_window_is_no_start() -> None:
    of = stage(segment(*waypoints(1)), starts_at=at(50))
    assert only(timed(evidence(drive((0, 40))), of=of)).start_at is None


def test_who_was_first_seen_at_the_start_did_not_enter_it() -> None:
    of = stage(segment(*waypoints(1), start_rule=StartRule.FIRST_ENTER))
    assert only(timed(evidence(drive((None, 100))), of=of)).start_at is None


# -- how sure, and by whom -------------------------------------------------------------------------


def test_an_assigned_start_is_exact() -> None:
    entry = Entry("301", start_at={"SS1": at(95)})
    sheet = timed(evidence(drive((0, 100))), of=OF, entry=entry)
    assert (start(sheet).source, start(sheet).uncertainty_ms) == ("assigned", 0)
    assert only(sheet).uncertainty_ms == 100  # that of the finish


def test_a_start_that_is_the_finish_before_is_as_sure_as_that() -> None:
    road = segment(id="L", type=SegmentType.LIAISON, start=None, finish="F2")
    of = stage(segment(*waypoints(1)), road)
    seen = evidence([*drive((0, 100)), ("F2", 500, 510)])
    sheet = timed(seen, of=of)
    assert start(sheet).uncertainty_ms == 100
    assert sheet.segments[1].uncertainty_ms == 142  # hypot of two 100
    card = ruling(RulingKind.SET_TIME, "F", value={"at": iso(at(301))})
    ruled = timed(seen, of=of, rulings=[card])
    assert (start(ruled).uncertainty_ms, ruled.segments[1].uncertainty_ms) == (0, 100)


def test_a_start_in_a_gap_is_provisional_until_an_official_says_something_of_it() -> None:
    seen = evidence(drive((0, 100)), provisional=["S"])
    sheet = timed(seen, of=OF)
    assert only(sheet).waiting_for == ("provisional-crossing",)
    assert (start(sheet).status, start(sheet).ruling_id) == ("provisional", None)
    confirm = ruling(RulingKind.CONFIRM, "S")
    confirmed = timed(seen, of=OF, rulings=[confirm])
    assert only(confirmed).waiting_for == ()
    assert (start(confirmed).source, start(confirmed).ruling_id) == ("gps", confirm.id)


def test_a_start_that_an_official_struck_out_was_not_left() -> None:
    struck = ruling(RulingKind.INVALIDATE, "S")
    assert only(timed(evidence(drive((0, 100))), of=OF, rulings=[struck])).start_measured is None


def test_the_departure_that_counts_is_not_among_those_that_were_not_used() -> None:
    sheet = timed(evidence(drive((0, 100), (110, 120)), AWAY[:1]), of=OF)
    assert start(sheet).explanation["not_used"] == [iso(at(0))]
