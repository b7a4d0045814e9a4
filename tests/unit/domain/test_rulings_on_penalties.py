"""What stewards make of penalties: which offence a ruling is of, and every word and field of it."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from processor.domain.course import Entry, Kind
from processor.domain.instants import iso
from processor.domain.outcome import Penalty, ReviewItem
from processor.domain.penalties import penalise
from processor.domain.rules import Formula, Level, Offence, Operator, Outcome, Rules
from processor.domain.rulings import Ruling, RulingKind
from tests.papers import Saw, at, evidence, segment, stage, thing, timed, waypoints

MISSED = Formula("wp", Offence.MISSED_WAYPOINT, Operator.PER_UNIT, Decimal(900))
TABLE = Rules("v7", (MISSED,))
OF = stage(segment(*waypoints(3)))
MISSED_1_AND_3: list[Saw] = [("S", 0, 100), ("W2", 300, 310), ("F", 600, 610)]
"""Without W1, which is before 300, and W3, which is after."""


def judged(
    *rulings: Ruling, rules: Rules = TABLE, saw: Sequence[Saw] = MISSED_1_AND_3, class_id: str = ""
) -> tuple[tuple[Penalty, ...], tuple[ReviewItem, ...]]:
    seen = evidence(saw)
    sheet = timed(seen, of=OF, entry=Entry("301", class_id=class_id), rulings=rulings)
    penalties, reviews, _ = penalise(sheet, [seen], rules, rulings)
    return penalties, tuple(r for r in reviews if r.what != "near-miss")


def ruling(kind: RulingKind = RulingKind.WAIVE, name: str = "r1", **more: object) -> Ruling:
    said: dict[str, object] = {"stage_id": "SS1", "decided_at": at(9000)} | more
    return Ruling(name, "301", kind, **said)  # type: ignore[arg-type]


def let_off(*rulings: Ruling) -> list[str | None]:
    """The objects whose penalty is 0."""
    return [p.object_id for p in judged(*rulings)[0] if not p.penalty_seconds]


LEFT_EARLY = Rules("v7", (Formula("n", Offence.NEUTRALISATION_EARLY, Operator.ADD, Decimal(60)),))
TWICE = stage(
    segment(
        thing("DN1", Kind.DN, duration_seconds=900), thing("FN1", Kind.FN),
        thing("DN2", Kind.DN, duration_seconds=900), thing("FN2", Kind.FN),
    )
)  # fmt: skip
HURRIED: list[Saw] = [("S", 0, 50), ("DN1", 100, 110), ("FN1", 290, 300), ("DN2", 300, 310),
                      ("FN2", 590, 600), ("F", 700, 710)]  # fmt: skip
"""FN1 was left early between 100 and 300, FN2 between 300 and 600."""


# -- a penalty -------------------------------------------------------------------------------------


def test_a_penalty_says_what_it_was_computed_from() -> None:
    one, other = judged()[0]
    assert (one.entry_id, one.stage_id, one.segment_id) == ("301", "SS1", "SS1")
    assert (one.object_id, other.object_id) == ("W1", "W3")
    rows = [
        {
            "id": "wp", "type": "missed-waypoint", "operator": "per-unit", "offence_min": 0,
            "penalty": 900, "level": "event",
        }
    ]  # fmt: skip
    assert one.formula_snapshot == {"version": "v7", "rows": rows}
    assert other.inputs == {"amount": 2, "unit": "missed", "occurrence": 2}
    assert one.explanation["rule"] == rows
    assert one.explanation["rules_version"] == "v7"
    assert one.explanation["computed"] == {"seconds": 900, "outcome": "time"}
    assert one.explanation["facts"] == {
        "distance_m": None,
        "after": iso(at(100)),
        "before": iso(at(300)),
        "ruling_id": None,
    }


def test_the_rows_of_the_entrys_class_are_its_own() -> None:
    of_class = Formula(
        "c", Offence.MISSED_WAYPOINT, Operator.PER_UNIT, Decimal(60), level=Level.CLASS,
        level_id="C-2",
    )  # fmt: skip
    rules = Rules("v8", (MISSED, of_class))
    assert [p.penalty_seconds for p in judged(rules=rules, class_id="C-2")[0]] == [60, 60]
    assert [p.penalty_seconds for p in judged(rules=rules, class_id="C-1")[0]] == [900, 900]


# -- which offence ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        (None, None, "FN1"),  # all alike: the earliest
        (150, None, "FN2"),  # 150 s of FN1, 300 s of FN2
        (None, 590, "FN2"),  # 200 s and 290 s
        (110, 310, "FN1"),  # 190 s and 10 s
        (280, 350, "FN2"),
        (600, 700, "FN2"),  # they touch
    ],
)
def test_a_ruling_is_of_the_offence_that_it_overlaps_the_most(
    since: float | None, until: float | None, found: str
) -> None:
    said = ruling(
        evidence_from=None if since is None else at(since),
        evidence_to=None if until is None else at(until),
    )
    seen = evidence(HURRIED)
    penalties, reviews, _ = penalise(timed(seen, of=TWICE), [seen], LEFT_EARLY, [said])
    assert [p.object_id for p in penalties] == ["FN1", "FN2"]
    assert [p.object_id for p in penalties if not p.penalty_seconds] == [found]
    assert reviews == ()


def test_a_ruling_that_overlaps_nothing_finds_no_offence() -> None:
    said = ruling(evidence_from=at(601), evidence_to=at(700))
    seen = evidence(HURRIED)
    _, (review,), _ = penalise(timed(seen, of=TWICE), [seen], LEFT_EARLY, [said])
    assert review.what == "ruling-without-offence"


def test_a_ruling_of_another_stage_does_not_hide_those_behind_it() -> None:
    elsewhere = ruling(name="r0", stage_id="SS9")
    assert let_off(elsewhere, ruling(object_id="W3")) == ["W3"]


def test_a_ruling_that_finds_no_offence_is_put_before_an_official_with_all_it_says() -> None:
    lost = ruling(
        segment_id="SS1", object_id="W2", pass_number=1, type="missed-waypoint",
        evidence_from=at(1), evidence_to=at(2),
    )  # fmt: skip
    assert judged(lost)[1] == (
        ReviewItem(
            "ruling-without-offence",
            "301",
            "SS1",
            "SS1",
            "Ruling r1 (waive) is of an offence that is not there.",
            object_id="W2",
            pass_number=1,
            evidence_from=at(1),
            evidence_to=at(2),
            evidence={"ruling_id": "r1", "type": "missed-waypoint"},
        ),
    )


# -- what it makes of it ---------------------------------------------------------------------------

TOLD = {
    "id": "r1",
    "kind": "override",
    "value": {"seconds": 100},
    "source": "steward",
    "reason": "Sign at Xanthi X.",
    "decided_by": "A. Steward",
    "decided_at": iso(at(9000)),
}


def test_an_override_stands_beside_what_was_computed() -> None:
    said = ruling(
        RulingKind.OVERRIDE, object_id="W3", value={"seconds": 100},
        reason="Sign at Xanthi X.", decided_by="A. Steward",
    )  # fmt: skip
    one, other = judged(said)[0]
    assert (one.penalty_seconds, one.ruling_id) == (900, None)
    assert (other.penalty_seconds, other.computed_seconds, other.ruling_id) == (100, 900, "r1")
    assert other.explanation["ruling"] == TOLD
    assert str(other.explanation["text"]).endswith(
        ". Set to 100 s by A. Steward (ruling r1): Sign at Xanthi X."
    )


def test_who_is_let_off_is_let_off_whatever_else_the_ruling_says() -> None:
    said = ruling(object_id="W3", value={"outcome": "disqualified"})
    waived = judged(said)[0][1]
    assert (waived.penalty_seconds, waived.outcome) == (0, Outcome.TIME)
    assert str(waived.explanation["text"]).endswith(". Waived (ruling r1).")


def test_an_added_penalty_stands_by_itself() -> None:
    said = ruling(
        RulingKind.ADD_PENALTY, segment_id="SS1", object_id="W2", pass_number=1,
        value={"seconds": 30}, evidence_from=at(1), evidence_to=at(2), decided_by="A. Steward",
    )  # fmt: skip
    added = judged(said)[0][2]
    told = {**TOLD, "kind": "add-penalty", "value": {"seconds": 30}, "reason": ""}
    assert added == Penalty(
        "301",
        "SS1",
        "SS1",
        "add-penalty",
        "W2",
        1,
        1,
        computed_seconds=Decimal(0),
        penalty_seconds=Decimal(30),
        outcome=Outcome.TIME,
        explanation={"text": "add-penalty: 30 s by A. Steward (ruling r1).", "ruling": told},
        evidence_from=at(1),
        evidence_to=at(2),
        ruling_id="r1",
    )


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("parking", {"type": "towing"}, "towing"),
        ("parking", {}, "parking"),
        (None, {}, "add-penalty"),
    ],
)
def test_an_added_penalty_is_of_the_type_that_the_ruling_names(
    column: str | None, value: dict[str, object], kind: str
) -> None:
    said = ruling(RulingKind.ADD_PENALTY, type=column, value={"outcome": "disqualified", **value})
    added = judged(said)[0][2]
    assert added.type == kind
    assert added.explanation["text"] == f"{kind}: disqualified (ruling r1)."


# -- for review ------------------------------------------------------------------------------------


def test_what_a_rule_puts_before_an_official_says_where_to_look() -> None:
    status = Formula(
        "r", Offence.NEUTRALISATION_EARLY, Operator.STATUS, Decimal(0), outcome=Outcome.REVIEW
    )
    seen = evidence(HURRIED)
    penalties, reviews, _ = penalise(timed(seen, of=TWICE), [seen], Rules("v9", (status,)))
    assert reviews[1] == ReviewItem(
        "rule",
        "301",
        "SS1",
        "SS1",
        str(penalties[1].explanation["text"]),
        object_id="FN2",
        pass_number=1,
        evidence_from=at(300),
        evidence_to=at(600),
        evidence={"type": "neutralisation-early", "occurrence": 2},
    )


@pytest.mark.parametrize(
    ("with_fz", "finish", "words", "until"),
    [
        (True, 600, "was not left through E: it was ended at 08:10:00", 600),
        (False, 600, "has no FZ: it was ended at 08:10:00", 600),
        (False, None, "has no FZ: no speed was judged", None),
    ],
)
def test_a_zone_that_was_not_left_is_put_before_an_official(
    with_fz: bool, finish: float | None, words: str, until: float | None
) -> None:
    marks = [thing("D", Kind.DZ, speed_limit_kmh=50.0)]
    if with_fz:
        marks.append(thing("E", Kind.FZ))
    of = stage(segment(*marks), closed_at=at(80_000))
    saw: list[Saw] = [("S", 0, 100), ("D", 200, 210)]
    if finish is not None:
        saw.append(("F", finish, finish + 10))
    seen = evidence(saw)
    _, reviews, _ = penalise(timed(seen, of=of), [seen], Rules("v", ()))
    assert reviews == (
        ReviewItem(
            "zone-open",
            "301",
            "SS1",
            "SS1",
            f"The zone of D, entered at 08:03:30, {words}.",
            object_id="D",
            pass_number=1,
            evidence_from=at(210),
            evidence_to=None if until is None else at(until),
            evidence={"end": "E" if with_fz else None},
        ),
    )
