"""Penalties: what they say, what rulings make of them, and what goes to review."""

import json
from collections.abc import Sequence
from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.domain.course import Entry, Kind, Object, Zone
from processor.domain.crossings import Ground
from processor.domain.instants import SECOND
from processor.domain.model import Evidence, Pass, Track
from processor.domain.outcome import Penalty, ReviewItem
from processor.domain.penalties import Tally, penalise
from processor.domain.rules import Formula, Offence, Operator, Outcome, Rules, Scope
from processor.domain.rules import Settings as GroundSettings
from processor.domain.rulings import Ruling, RulingKind
from processor.domain.timesheet import SegmentSheet, StageSheet, Validation
from processor.domain.timing import time_stage
from tests.driving import DEVICE, START, area, course, disc, track
from tests.papers import at, crossing, segment, stage, thing

ZONE = Zone("Z1", area((900, -50), (1500, -50), (1500, 50), (900, 50)), 50.0)
W2 = disc(3000, 300, 90)
COURSE = course(
    Object("S", Kind.START, disc(0, 0, 50)),
    Object("W1", Kind.WPM, disc(2000, 0, 90), sort_order=1),
    Object("W2", Kind.WPM, W2, sort_order=2),
    Object("F", Kind.FINISH, disc(4000, 0, 50)),
    zones=(ZONE,),
    start="S",
    finish="F",
)


def row(
    name: str, of: Offence, operator: Operator = Operator.ADD, penalty: str = "0", **more: object
) -> Formula:
    return Formula(name, of, operator, Decimal(penalty), **more)  # type: ignore[arg-type]


TABLE = Rules(
    "v7",
    (
        row("slow", Offence.SPEED_LIMIT, penalty="60", offence_min=Decimal(1),
            offence_max=Decimal(21)),
        row("fast", Offence.SPEED_LIMIT, penalty="120", offence_min=Decimal(21),
            offence_max=Decimal(41), source="table 3"),
        row("wp", Offence.MISSED_WAYPOINT, Operator.PER_UNIT, "900"),
    ),
)  # fmt: skip


def drive(peak_kmh: float = 71.0) -> Track:
    """Due east at 20 m/s and 1 Hz, 45 km/h by its own word but for one fix at 1200 m."""
    return track(
        (second, max(0.0, (second - 10) * 20.0), 0.0, peak_kmh if second == 70 else 45.0)
        for second in range(220)
    )


def judged(
    rules: Rules = TABLE,
    rulings: Sequence[Ruling] = (),
    of: Track | None = None,
    tally: Tally | None = None,
) -> tuple[tuple[Penalty, ...], tuple[ReviewItem, ...], Tally]:
    ground = Ground(COURSE, GroundSettings())
    seen = [ground.evidence(of or drive())]
    sheet = time_stage(COURSE.stages[0], Entry("301"), seen, ground, GroundSettings(), rulings)
    return penalise(sheet, seen, rules, rulings, tally)


def ruling(kind: RulingKind, name: str = "r1", **more: object) -> Ruling:
    said = {"stage_id": "SS1", "decided_by": "A. Steward", "reason": "sign hidden."} | more
    return Ruling(name, "301", kind, **said)  # type: ignore[arg-type]


def costs(penalties: Sequence[Penalty]) -> list[tuple[str, str | None, int]]:
    return [(p.type, p.object_id, int(p.penalty_seconds)) for p in penalties]


SPEEDING, MISSED = ("speed-limit", "Z1", 120), ("missed-waypoint", "W2", 900)


# -- what is computed ------------------------------------------------------------------------------


def test_a_drive_over_the_ground_is_charged() -> None:
    penalties, reviews, _ = judged()
    assert costs(penalties) == [SPEEDING, MISSED]
    assert reviews == ()
    speeding = penalties[0]
    assert (speeding.occurrence, speeding.pass_number, speeding.outcome) == (1, 1, Outcome.TIME)
    assert speeding.evidence_from == pytest.approx(START + 55 * SECOND, abs=0.1 * SECOND)
    assert speeding.evidence_to == pytest.approx(START + 85 * SECOND, abs=0.1 * SECOND)
    assert (speeding.formula_id, speeding.inputs["amount"]) == ("fast", 21)


def test_a_steward_reads_one_sentence() -> None:
    texts = [p.explanation["text"] for p in judged()[0]]
    assert texts == [
        (
            "Z1: peak 71.0 km/h at 08:01:10, limit 50: 21 km/h over, bracket 21-41: 120 s"
            " (rule fast of version v7)."
        ),
        "W2 (WPM) was missed by 210.003 m: 1 missed, 1 x 900 s = 900 s (rule wp of version v7).",
    ]


def test_every_penalty_carries_fixes_rule_and_arithmetic_in_plain_values() -> None:
    for penalty in judged()[0]:
        json.dumps([penalty.explanation, penalty.formula_snapshot, penalty.inputs])
        (sum_of,) = penalty.explanation["arithmetic"]  # type: ignore[misc]
        assert sum_of["seconds"] == penalty.computed_seconds  # type: ignore[has-type]
    speeding = judged()[0][0]
    (fix,) = speeding.explanation["fixes"]  # type: ignore[misc]
    assert (fix["at"], fix["speed_kmh"]) == ("2026-06-07T08:01:10.000000Z", 71.0)  # type: ignore[has-type]
    (rule,) = speeding.explanation["rule"]  # type: ignore[misc]
    assert rule == {  # type: ignore[has-type]
        "id": "fast", "type": "speed-limit", "operator": "add", "offence_min": 21,
        "offence_max": 41, "penalty": 120, "level": "event", "source": "table 3",
    }  # fmt: skip


def test_a_visit_that_an_official_voided_is_not_charged() -> None:
    void = ruling(RulingKind.VOID_PASS, segment_id="SS1", object_id="Z1")
    assert costs(judged(rulings=[void])[0]) == [MISSED]


def test_a_penalty_names_its_object_and_of_a_missed_one_the_nearest_chord() -> None:
    speeding, lost = judged()[0]
    assert speeding.explanation["object"]["kind"] == "zone"  # type: ignore[index]
    geometry = speeding.explanation["object"]["geometry"]  # type: ignore[index]
    (ring,) = geometry["coordinates"]
    assert (geometry["type"], len(ring), ring[0]) == ("Polygon", 5, ring[-1])
    assert lost.explanation["object"] == {
        "id": "W2",
        "kind": "WPM",
        "geometry": {"type": "Point", "coordinates": list(W2.centre)},
        "radius_m": 90,
    }
    # 3000 m are passed at 160 s, and W2 lies beside them.
    told = lost.explanation["fixes"]
    assert [f["at"][11:19] for f in told] in (  # type: ignore[attr-defined]
        ["08:02:39", "08:02:40"], ["08:02:40", "08:02:41"],
    )  # fmt: skip


def test_a_later_ruling_replaces_an_earlier_one_whole() -> None:
    first = ruling(RulingKind.OVERRIDE, "r1", type="speed-limit", value={"seconds": 5})
    later = ruling(
        RulingKind.OVERRIDE, "r2", type="speed-limit", value={"seconds": 7}, decided_at=1
    )
    penalty = judged(rulings=(later, first))[0][0]
    assert (penalty.penalty_seconds, penalty.ruling_id) == (Decimal(7), "r2")
    assert "r1" not in str(penalty.explanation["text"])


def test_a_share_is_told_in_percent() -> None:
    status = row("r", Offence.MISSED_RATIO, Operator.STATUS, offence_max=Decimal("0.7"),
                 outcome=Outcome.DID_NOT_FINISH)  # fmt: skip
    (lost,), _, _ = judged(Rules("v", (status,)))
    assert (lost.outcome, lost.penalty_seconds) == (Outcome.DID_NOT_FINISH, 0)
    assert lost.explanation["text"] == (
        "1 of 2 objects: 50 % validated, bracket 0-0.7: did-not-finish (rule r of version v)."
    )


def test_several_rows_are_summed_in_the_sentence() -> None:
    rows = (
        row("a", Offence.SPEED_LIMIT, penalty="10"),
        row("b", Offence.SPEED_LIMIT, Operator.PER_UNIT, "2", cap_seconds=Decimal(30)),
        row("c", Offence.SPEED_LIMIT, Operator.PROGRESSIVE, "1", offence_max=Decimal(5)),
        row("d", Offence.SPEED_LIMIT, Operator.REPEAT, "3", count_min=1),
    )
    (penalty,), _, _ = judged(Rules("v", rows))
    assert penalty.explanation["text"] == (
        "Z1: peak 71.0 km/h at 08:01:10, limit 50: 21 km/h over, 10 s,"
        " 21 x 2 s = 30 s (at most 30 s), bracket 0-5: at 1 s each 5 s, offence 1: x 3 = 135 s"
        " (rules a and b and c and d of version v)."
    )
    assert penalty.computed_seconds == 135


def test_no_rule_no_penalty() -> None:
    assert judged(Rules("none"))[0] == ()
    assert costs(judged(of=drive(50.9))[0]) == [MISSED]


def test_an_event_counts_the_stages_before() -> None:
    again = row("a", Offence.SPEED_LIMIT, penalty="7", scope=Scope.EVENT, count_min=2)
    rules = Rules("v", (again,))
    first, _, tally = judged(rules)
    assert first == ()
    second, _, both = judged(rules, tally=tally)
    assert [(p.occurrence, p.penalty_seconds) for p in second] == [(2, 7)]
    assert len(both.infringements) == 2 * len(tally.infringements)


def test_a_rule_may_ask_for_a_review() -> None:
    ask = row("a", Offence.SPEED_LIMIT, Operator.STATUS, outcome=Outcome.REVIEW)
    (penalty,), (item,), _ = judged(Rules("v", (ask,)))
    assert penalty.outcome is Outcome.REVIEW
    assert (item.what, item.object_id, item.message) == (
        "rule", "Z1", penalty.explanation["text"],
    )  # fmt: skip


# -- rulings ---------------------------------------------------------------------------------------


def test_a_waived_penalty_costs_nothing_and_keeps_what_was_computed() -> None:
    waive = ruling(RulingKind.WAIVE, type="speed-limit", object_id="Z1")
    penalties, reviews, _ = judged(rulings=[waive])
    assert costs(penalties) == [("speed-limit", "Z1", 0), MISSED]
    waived = penalties[0]
    assert (waived.computed_seconds, waived.ruling_id) == (120, "r1")
    assert str(waived.explanation["text"]).endswith(
        "(rule fast of version v7). Waived by A. Steward (ruling r1): sign hidden."
    )
    json.dumps(waived.explanation)
    assert reviews == ()


def test_an_override_replaces_the_seconds_and_the_outcome() -> None:
    out = row("a", Offence.SPEED_LIMIT, Operator.STATUS, outcome=Outcome.DISQUALIFIED)
    milder = ruling(RulingKind.OVERRIDE, type="speed-limit", value={"seconds": 300.5})
    (penalty,), _, _ = judged(Rules("v", (out,)), [milder])
    assert (penalty.penalty_seconds, penalty.outcome) == (Decimal("300.5"), Outcome.TIME)
    harder = ruling(RulingKind.OVERRIDE, type="speed-limit", value={"outcome": "disqualified"})
    penalties, _, _ = judged(rulings=[harder])
    assert (penalties[0].penalty_seconds, penalties[0].outcome) == (0, Outcome.DISQUALIFIED)


def test_the_last_decision_counts_and_a_superseded_one_does_not() -> None:
    first = ruling(RulingKind.OVERRIDE, "r1", type="speed-limit", value={"seconds": 5})
    second = ruling(RulingKind.WAIVE, "r2", type="speed-limit", decided_at=9)
    assert costs(judged(rulings=[second, first])[0])[0] == ("speed-limit", "Z1", 0)
    third = ruling(RulingKind.OVERRIDE, "r3", type="speed-limit", value={"seconds": 6},
                   decided_at=10, supersedes="r2")  # fmt: skip
    penalties = judged(rulings=[third, second, first])[0]
    assert (penalties[0].penalty_seconds, penalties[0].ruling_id) == (6, "r3")


def test_a_ruling_whose_offence_is_not_there_goes_to_review() -> None:
    for lost in (
        ruling(RulingKind.WAIVE, type="late-start"),
        ruling(RulingKind.WAIVE, type="speed-limit", object_id="Z9"),
        ruling(RulingKind.OVERRIDE, type="speed-limit", segment_id="SS2", value={"seconds": 1}),
        ruling(RulingKind.WAIVE, type="speed-limit", evidence_from=START + 100 * SECOND,
               evidence_to=START + 101 * SECOND),
    ):  # fmt: skip
        penalties, (item,), _ = judged(rulings=[lost])
        assert costs(penalties) == [SPEEDING, MISSED]
        assert (item.what, item.evidence["ruling_id"]) == ("ruling-without-offence", "r1")


def test_an_added_penalty_stands_by_itself() -> None:
    added = ruling(
        RulingKind.ADD_PENALTY, value={"seconds": 30, "type": "unsporting"}, object_id="W1"
    )
    penalties, reviews, _ = judged(rulings=[added])
    assert costs(penalties) == [SPEEDING, MISSED, ("unsporting", "W1", 30)]
    assert (penalties[2].computed_seconds, penalties[2].ruling_id) == (0, "r1")
    assert penalties[2].explanation["text"] == (
        "unsporting: 30 s by A. Steward (ruling r1): sign hidden."
    )
    assert reviews == ()
    out = ruling(RulingKind.ADD_PENALTY, value={"outcome": "disqualified"})
    assert judged(rulings=[out])[0][2].outcome is Outcome.DISQUALIFIED


def test_a_ruling_of_another_stage_or_entry_is_not_ours() -> None:
    others = [
        ruling(RulingKind.ADD_PENALTY, stage_id="SS2", value={"seconds": 30}),
        ruling(RulingKind.WAIVE, stage_id=None, segment_id="SS2"),
        ruling(RulingKind.WAIVE, stage_id=None, object_id="Z9"),
        evolve(ruling(RulingKind.WAIVE), entry_id="302"),
    ]
    penalties, reviews, _ = judged(rulings=others)
    assert (costs(penalties), reviews) == ([SPEEDING, MISSED], ())


def test_a_ruling_may_name_a_segment_or_a_zone_instead_of_the_stage() -> None:
    for names in ({"segment_id": "SS1"}, {"object_id": "Z1"}):
        waive = ruling(RulingKind.WAIVE, stage_id=None, type="speed-limit", **names)
        assert costs(judged(rulings=[waive])[0])[0] == ("speed-limit", "Z1", 0)


def test_a_ruling_that_names_no_place_is_asked_for_one() -> None:
    nowhere = ruling(RulingKind.ADD_PENALTY, stage_id=None, value={"seconds": 30})
    penalties, (item,), _ = judged(rulings=[nowhere])
    assert costs(penalties) == [SPEEDING, MISSED]
    assert "does not say of which stage" in item.message


@pytest.mark.parametrize("seconds", [None, "soon", True, "NaN", "Infinity"])
def test_a_ruling_without_seconds_is_a_fault(seconds: object) -> None:
    wrong = ruling(RulingKind.ADD_PENALTY, value={"seconds": seconds})
    with pytest.raises(ValueError, match=r"ruling r1 says seconds = .*; a number is needed"):
        judged(rulings=[wrong])


def test_a_ruling_with_an_unknown_outcome_is_a_fault() -> None:
    wrong = ruling(RulingKind.ADD_PENALTY, value={"seconds": 1, "outcome": "sent home"})
    with pytest.raises(ValueError, match="one of time, did-not-finish"):
        judged(rulings=[wrong])


IMPULSES = Rules("v", (row("i", Offence.SPEED_IMPULSE, penalty="10"),))


def speeding() -> Track:
    """80 km/h through the zone: 600 m, an impulse every 160 m."""
    return track((s, max(0.0, (s - 10) * 20.0), 0.0, 80.0) for s in range(220))


def test_a_ruling_belongs_to_the_offence_that_its_evidence_overlaps_most() -> None:
    impulses = judged(IMPULSES, of=speeding())[0]
    assert len(impulses) == 4
    for number, one in enumerate(impulses):
        assert one.evidence_from is not None
        assert one.evidence_to is not None
        waive = ruling(RulingKind.WAIVE, type="speed-impulse",
                       evidence_from=one.evidence_from - 2 * SECOND,
                       evidence_to=one.evidence_to)  # fmt: skip
        after = judged(IMPULSES, [waive], speeding())[0]
        assert [int(p.penalty_seconds) for p in after] == [10 * (k != number) for k in range(4)]


def test_a_ruling_without_evidence_is_of_the_earliest() -> None:
    after = judged(IMPULSES, [ruling(RulingKind.WAIVE)], speeding())[0]
    assert [int(p.penalty_seconds) for p in after] == [0, 10, 10, 10]


def test_of_two_laps_the_pass_decides() -> None:
    marks = [thing("W1", Kind.WPM, 1)]
    own = SegmentSheet(
        segment(*marks, laps=2), at(0), None, device_id="d1", start_measured=at(1), closed=True,
        validations=tuple(Validation(marks[0], lap, "missed") for lap in (1, 2)),
    )  # fmt: skip
    sheet = StageSheet(stage(own.segment), Entry("301"), (own,))
    waive = ruling(RulingKind.WAIVE, object_id="W1", pass_number=2)
    penalties, _, _ = penalise(sheet, [], TABLE, [waive])
    assert [(p.pass_number, p.penalty_seconds) for p in penalties] == [(1, 900), (2, 0)]
    assert {p.evidence_from for p in penalties} == {None}  # the key of a miss does not move


# -- review ----------------------------------------------------------------------------------------


def open_zone(rulings: Sequence[Ruling] = ()) -> tuple[ReviewItem, ...]:
    begin = Object("D", Kind.DZ, thing("D", Kind.DZ).shape, "Village", speed_limit_kmh=50.0)
    end = thing("E", Kind.FZ)
    enter, leave = crossing("D", "enter", 20), crossing("D", "exit", 22)
    used = Pass("d1", "D", 1, at(20), enter, leave)
    own = SegmentSheet(
        segment(begin, end), at(0), None, device_id="d1", finish_at=at(90), closed=True,
        validations=(Validation(begin, 1, "ok", at(20), used, None, "d1"),
                     Validation(end, 1, "missed")),
    )  # fmt: skip
    sheet = StageSheet(stage(own.segment), Entry("301"), (own,))
    return penalise(sheet, [], Rules("v"), rulings)[1]


def test_an_open_zone_goes_to_review() -> None:
    (item,) = open_zone()
    assert (item.what, item.object_id, item.pass_number) == ("zone-open", "D", 1)
    assert (item.evidence_from, item.evidence_to) == (at(22), at(90))
    assert item.message == (
        "The zone of Village, entered at 08:00:22, was not left through E:"
        " it was ended at 08:01:30."
    )


def test_a_confirmed_segment_has_no_open_zone() -> None:
    assert open_zone([ruling(RulingKind.CONFIRM, segment_id="SS1")]) == ()


# -- order -----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.permutations(TABLE.formulas), st.permutations(range(3)), st.booleans())
def test_the_order_of_rules_rulings_and_devices_decides_nothing(
    formulas: list[Formula], places: list[int], reverse: bool
) -> None:
    rulings = [
        ruling(RulingKind.WAIVE, "r1", type="speed-limit"),
        ruling(RulingKind.OVERRIDE, "r2", type="speed-limit", value={"seconds": 5}),
        ruling(RulingKind.OVERRIDE, "r3", type="missed-waypoint", value={"seconds": 6}),
    ]
    second = evolve(drive(), device_id=DEVICE + "9")
    ground = Ground(COURSE, GroundSettings())
    seen: list[Evidence] = [ground.evidence(one) for one in (drive(), second)]
    seen = seen[::-1] if reverse else seen
    shuffled = [rulings[place] for place in places]
    sheet = time_stage(COURSE.stages[0], Entry("301"), seen, ground, GroundSettings(), shuffled)
    penalties, reviews, _ = penalise(sheet, seen, Rules("v7", tuple(formulas)), shuffled)
    assert costs(penalties) == [("speed-limit", "Z1", 5), ("missed-waypoint", "W2", 6)]
    assert reviews == ()
