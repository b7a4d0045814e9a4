"""Speed zones: samples, excesses, impulses, time gained; and the way from a DZ to its FZ."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import pytest
from attrs import evolve

from processor.domain.course import Entry, Kind, Object, Segment, Zone
from processor.domain.decisions import decisions
from processor.domain.instants import SECOND
from processor.domain.model import Evidence, Fix, Gap, Pass, Track
from processor.domain.rulings import Ruling, RulingKind
from processor.domain.speed import ZoneVisit, impulses, open_zones, zone_visits
from processor.domain.timesheet import SegmentSheet, Validation
from processor.domain.witnesses import witnesses
from tests.papers import at, crossing, segment, stage, thing

DEGREES_PER_KM = 0.008983  # along the equator
Speed = Callable[[float], float | None]


def driven(
    speed: Speed, seconds: Iterable[float] = range(61), moving_kmh: float | None = None
) -> Track:
    """A track along the equator that moves as it says (or at `moving_kmh`) and says `speed`."""
    fixes, km, last = [], 0.0, None
    for now in seconds:
        said = speed(now)
        if last is not None:
            pace = said if moving_kmh is None else moving_kmh
            km += (pace or 0.0) * (now - last) / 3600
        fixes.append(Fix(at(now), 0.0, km * DEGREES_PER_KM, said))
        last = now
    return Track.of("d1", fixes)


def stay(
    name: str = "Z1", since: float | None = 10, until: float | None = 50, doubt: bool = False
) -> Pass:
    enter = None if since is None else crossing(name, "enter", since, provisional=doubt)
    leave = None if until is None else crossing(name, "exit", until)
    return Pass("d1", name, 1, at(0 if since is None else since), enter, leave)


def gap(track: Track, after: int) -> Gap:
    return Gap("d1", track.fix(after), track.fix(after + 1))


def visits(
    track: Track,
    *passes: Pass,
    limit: float = 50.0,
    tolerance_kmh: float = 0.0,
    tolerance_seconds: float = 0.0,
    gaps: Sequence[Gap] = (),
    rulings: Sequence[Ruling] = (),
    **sheet: object,
) -> tuple[ZoneVisit, ...]:
    zone = Zone("Z1", thing("Z1", Kind.INFO).shape, limit, "", tolerance_kmh, tolerance_seconds)
    own = segment(zones=(zone,))
    said = {"device_id": "d1", "finish_at": at(1000), "closed": True} | sheet
    written = SegmentSheet(own, at(0), None, **said)  # type: ignore[arg-type]
    seen = Evidence(track, (), {"Z1": passes or (stay(),)}, tuple(gaps))
    entry = Entry("301")
    return zone_visits(
        written, witnesses(entry, [seen]), decisions(stage(own), own, entry, rulings)
    )


def only(track: Track, *passes: Pass, **more: object) -> ZoneVisit:
    (visit,) = visits(track, *passes, **more)  # type: ignore[arg-type]
    return visit


def steady(kmh: float) -> Speed:
    return lambda _: kmh


def burst(kmh: float, since: float, until: float, otherwise: float = 40.0) -> Speed:
    """`kmh` at since <= t < until."""
    return lambda now: kmh if since <= now < until else otherwise


# -- which fixes punish ----------------------------------------------------------------------------


def test_only_fixes_strictly_inside_count() -> None:
    found = only(driven(steady(80)))
    assert [s.fix.at for s in found.samples] == [at(n) for n in range(11, 50)]


def test_a_visit_without_own_fixes_is_not_judged() -> None:
    assert visits(driven(steady(90)), stay(since=20.2, until=20.8)) == ()


def test_a_speed_at_the_edge_punishes_nobody() -> None:
    fast_outside = burst(120, 20, 30, otherwise=45)
    track = driven(lambda now: 120 if now <= 10 or now >= 50 else 45)
    assert only(track).peak is None
    peak = only(driven(fast_outside)).peak
    assert peak is not None
    assert (peak.fix.at, peak.speed_kmh) == (at(20), 120)


def test_at_the_limit_is_not_over_it() -> None:
    assert only(driven(steady(50))).peak is None
    assert only(driven(steady(50.001))).peak is not None


def test_a_stored_real_is_the_number_that_the_device_said() -> None:
    peak = only(driven(steady(71.19999694824219))).peak
    assert peak is not None
    assert peak.speed_kmh == Decimal("71.2")


def test_zero_beside_a_fast_chord_is_no_speed() -> None:
    zeros = burst(0, 20, 30, otherwise=80)
    samples = only(driven(zeros, moving_kmh=80)).samples
    assert [s.speed_kmh for s in samples[9:19]] == [None] * 10
    stands = only(driven(burst(0, 20, 30, otherwise=15), moving_kmh=15)).samples
    assert [s.speed_kmh for s in stands[9:19]] == [Decimal(0)] * 10


def test_a_device_that_says_no_speed_is_not_judged() -> None:
    assert only(driven(lambda _: None, moving_kmh=90)).peak is None


def test_who_was_first_seen_inside_is_judged_from_there_and_who_is_still_inside_too() -> None:
    found = only(driven(steady(80)), stay(since=None, until=None))
    assert (len(found.samples), found.since, found.until) == (61, at(0), None)


def test_what_was_before_the_start_or_after_the_finish_counts_for_nothing() -> None:
    found = only(driven(steady(80)), start_measured=at(20), finish_at=at(40))
    assert [found.samples[0].fix.at, found.samples[-1].fix.at] == [at(20), at(40)]


def test_a_visit_that_an_official_voided_is_none() -> None:
    void = Ruling("r1", "301", RulingKind.VOID_PASS, segment_id="SS1", object_id="Z1")
    assert visits(driven(steady(80)), rulings=[void]) == ()


# -- the tolerance is a threshold ------------------------------------------------------------------


def test_beyond_the_tolerance_the_excess_is_measured_from_the_limit() -> None:
    assert only(driven(steady(55)), tolerance_kmh=5.0).peak is None
    peak = only(driven(steady(55.1)), tolerance_kmh=5.0).peak
    assert peak is not None
    assert peak.speed_kmh - 50 == Decimal("5.1")


@pytest.mark.parametrize(("fixes", "judged"), [(1, False), (3, False), (4, True), (10, True)])
def test_an_excess_has_to_last_longer_than_the_tolerance(fixes: int, judged: bool) -> None:
    """Four fixes at 1 Hz are three seconds apart: longer than two."""
    found = only(driven(burst(80, 20, 20 + fixes)), tolerance_seconds=2.0)
    assert (found.peak is not None) == judged


def test_without_a_tolerance_one_fix_is_enough() -> None:
    assert only(driven(burst(80, 20, 21))).peak is not None


def test_two_short_excesses_are_not_one_long() -> None:
    speed = lambda now: 80 if now in (20, 21, 23, 24) else 40  # noqa: E731
    assert only(driven(speed), tolerance_seconds=2.0).peak is None


def test_the_peak_is_that_of_an_excess_that_lasted() -> None:
    speed = lambda now: 140 if now == 15 else 80 if now >= 20 else 40  # noqa: E731
    peak = only(driven(speed), tolerance_seconds=2.0).peak
    assert peak is not None
    assert peak.speed_kmh == 80


def test_an_excess_does_not_last_across_a_gap() -> None:
    track = driven(lambda now: 80 if now in (20, 90) else 40, [*range(21), *range(90, 101)])
    across = gap(track, 20)
    long = stay(until=95)
    assert only(track, long, tolerance_seconds=2.0).peak is not None
    found = only(track, long, tolerance_seconds=2.0, gaps=[across])
    assert found.peak is None


# -- impulses --------------------------------------------------------------------------------------


def test_25_seconds_at_80_are_4_impulses() -> None:
    """Every 150 m: at 22.2 m/s and 1 Hz that is every 7 s."""
    found = impulses(only(driven(burst(80, 20, 45))))
    assert [(one.over.fix.at - at(0)) // SECOND for one in found] == [20, 27, 34, 41]
    assert [(one.until - at(0)) // SECOND for one in found] == [26, 33, 40, 44]


def test_a_slow_offender_has_one_every_ten_seconds() -> None:
    found = impulses(only(driven(burst(40, 20, 45, otherwise=20)), limit=30.0))
    assert [(one.over.fix.at - at(0)) // SECOND for one in found] == [20, 30, 40]


def test_the_next_impulse_waits_for_a_fix_that_is_over() -> None:
    speed = lambda now: 80 if now in (20, 40) else 40  # noqa: E731
    found = impulses(only(driven(speed)))
    assert [(one.over.fix.at - at(0)) // SECOND for one in found] == [20, 40]
    assert impulses(only(driven(steady(40)))) == ()


# -- time gained -----------------------------------------------------------------------------------


def test_115_for_5_seconds_in_a_110_zone() -> None:
    found = only(driven(burst(115, 20, 25, otherwise=110)), limit=110.0)
    assert found.over_seconds == 5
    assert found.excess_seconds_kmh == 25
    assert round(found.excess_seconds_kmh / 110 * 10, 4) == Decimal("2.2727")


def test_a_zone_driven_in_5_seconds_gives_5_seconds() -> None:
    found = only(driven(steady(115)), stay(since=20.4, until=25.4), limit=110.0)
    assert found.over_seconds == 5


def test_the_time_of_a_gap_is_nobodys() -> None:
    track = driven(steady(60), [*range(21), *range(90, 101)])
    found = only(track, stay(until=95), gaps=[gap(track, 20)])
    assert found.over_seconds == 10 + 5
    assert found.excess_seconds_kmh == 150


def test_an_edge_in_a_gap_gives_no_time() -> None:
    track = driven(steady(60), [*range(5), *range(90, 101)])
    found = only(track, stay(since=47.0, until=95, doubt=True), gaps=[gap(track, 4)])
    assert found.over_seconds == 5


def test_a_fix_without_a_speed_keeps_its_time_to_itself() -> None:
    found = only(driven(burst(0, 20, 30, otherwise=60), moving_kmh=60))
    assert found.over_seconds == 40 - 10


# -- from a DZ to its FZ ---------------------------------------------------------------------------


MARKS = {"D": (20.0, 22.0), "W": (28.0, 30.0), "E": (40.0, 42.0), "X": (50.0, 52.0),
         "D2": (30.0, 32.0)}  # fmt: skip
KINDS = {"D": Kind.DZ, "W": Kind.WPM, "E": Kind.FZ, "X": Kind.WPM}


def passed(name: str, status: str = "ok", **more: object) -> Validation:
    limit = 50.0 if name.startswith("D") else None
    mark = Object(name, KINDS[name[0]], thing(name, Kind.INFO).shape, speed_limit_kmh=limit)
    if status != "ok":
        return Validation(mark, 1, status, device_id="d1", **more)  # type: ignore[arg-type]
    since, until = MARKS[name]
    return Validation(mark, 1, "ok", at(since), stay(name, since, until), None, "d1")


def roadbook(*marks: Validation, finish: float | None = 60, **more: object) -> SegmentSheet:
    own: Segment = segment(*(mark.object for mark in marks))
    said = {
        "device_id": "d1",
        "finish_at": None if finish is None else at(finish),
        "closed": finish is not None,
        "validations": marks,
        **more,
    }
    return SegmentSheet(own, at(0), None, **said)  # type: ignore[arg-type]


def of_roadbook(sheet: SegmentSheet, gaps: Sequence[Gap] = ()) -> tuple[ZoneVisit, ...]:
    entry, own = Entry("301"), sheet.segment
    seen = Evidence(driven(steady(80)), (), {}, tuple(gaps))
    return zone_visits(sheet, witnesses(entry, [seen]), decisions(stage(own), own, entry, ()))


def span(sheet: SegmentSheet, gaps: Sequence[Gap] = ()) -> tuple[float, float] | None:
    """The first and the last fix that is judged, in seconds."""
    found = of_roadbook(sheet, gaps)
    if not found:
        return None
    (visit,) = found
    return tuple((visit.samples[k].fix.at - at(0)) / SECOND for k in (0, -1))  # type: ignore[return-value]


def test_the_zone_is_from_the_exit_of_the_dz_to_the_enter_of_the_fz() -> None:
    sheet = roadbook(passed("D"), passed("W"), passed("E"), passed("X"))
    assert span(sheet) == (23, 39)
    (visit,) = of_roadbook(sheet)
    assert (visit.limit.object_id, visit.limit.kind, visit.limit.kmh) == ("D", "DZ", 50)
    assert open_zones(sheet) == ()


def test_a_missed_dz_begins_nothing() -> None:
    assert span(roadbook(passed("D", "missed"), passed("W"), passed("E"))) is None


def test_a_missed_fz_ends_at_the_next_validated_object_and_goes_to_review() -> None:
    sheet = roadbook(passed("D"), passed("W"), passed("E", "missed"), passed("X"))
    assert span(sheet) == (23, 49)
    (zone,) = open_zones(sheet)
    assert (zone.begin.object.id, zone.since, zone.until) == ("D", at(22), at(50))
    at_the_finish = roadbook(passed("D"), passed("E", "missed"), passed("X", "missed"))
    assert span(at_the_finish) == (23, 59)


def test_a_ruling_on_the_fz_settles_the_review() -> None:
    ruled = passed("E", "missed", ruling_id="r1")
    assert open_zones(roadbook(passed("D"), ruled, passed("X"))) == ()


def test_a_zone_that_has_no_end_yet_is_not_judged_yet() -> None:
    sheet = roadbook(passed("D"), passed("E", "missed"), finish=None)
    assert span(sheet) is None
    assert open_zones(sheet) == ()
    over = evolve(sheet, closed=True)
    assert span(over) is None
    assert [zone.until for zone in open_zones(over)] == [None]


def test_an_fz_that_a_gap_may_hide_ends_the_zone_there() -> None:
    sheet = roadbook(passed("D"), passed("E", "unverified"), passed("X"))
    assert span(sheet, [gap(driven(steady(80)), 30)]) == (23, 30)
    assert open_zones(sheet) == ()


def test_a_dz_that_was_not_left_has_not_begun_its_zone() -> None:
    inside = evolve(passed("D"), used=stay("D", 20, None))
    assert span(roadbook(inside, passed("E"))) is None


def test_a_dz_without_a_limit_is_no_zone() -> None:
    free = passed("D")
    free = evolve(free, object=evolve(free.object, speed_limit_kmh=None))
    assert span(roadbook(free, passed("E"))) is None


def test_a_dz_before_the_fz_of_another_has_no_fz_of_its_own() -> None:
    sheet = roadbook(passed("D"), passed("D2"), passed("E"))
    ends = [visit.until for visit in of_roadbook(sheet)]
    assert ends == [at(30), at(40)]
    assert [zone.end for zone in open_zones(sheet)] == [None]
