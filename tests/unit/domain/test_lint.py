"""Each finding of the lint, on a course that is else in order."""

from decimal import Decimal

import pytest
from attrs import evolve

from processor.domain.course import Course, Kind, Object, Shape
from processor.domain.lint import Finding, Tracker, lint
from processor.domain.rules import Formula, Offence, Operator, Rules
from tests.driving import course, disc, gate

RULES = Rules("v")


def sound(*more: Object, start: Shape | None = None) -> Course:
    """Start, two waypoints, finish, 1 km apart to the east, and more objects."""
    return course(
        Object("S", Kind.START, start or disc(0, 0, 50)),
        Object("W1", Kind.WPM, disc(1000, 0, 90), sort_order=10),
        Object("W2", Kind.WPM, disc(2000, 0, 90), sort_order=20),
        Object("F", Kind.FINISH, disc(3000, 0, 50)),
        *more,
        start="S",
        finish="F",
    )


def found(
    of: Course, rules: Rules = RULES, tracker: Tracker | None = None
) -> list[tuple[str, str]]:
    findings = lint(of, rules, tracker)
    assert all(f.message and f.remedy for f in findings)
    return [(f.place.rpartition("/")[2], f.what) for f in findings]


def point(name: str, kind: Kind, east: float, order: int, limit: float | None = None) -> Object:
    return Object(name, kind, disc(east, 0, 60), sort_order=order, speed_limit_kmh=limit)


def test_a_sound_course_has_no_findings():
    assert found(sound()) == []
    zone = (point("D", Kind.DZ, 1300, 11, 50), point("Z", Kind.FZ, 1600, 12))
    assert found(sound(*zone)) == []


@pytest.mark.parametrize(
    ("more", "findings"),
    [
        ([point("D", Kind.DZ, 1300, 11), point("Z", Kind.FZ, 1600, 12)], [("D", "no-limit")]),
        ([point("D", Kind.DZ, 1300, 11, 50)], [("D", "unmatched")]),
        ([point("Z", Kind.FZ, 1600, 12)], [("Z", "unmatched")]),
        ([point("N", Kind.DN, 1300, 11)], [("N", "unmatched")]),
        ([point("N", Kind.FN, 1300, 11)], [("N", "unmatched")]),
        (
            [point("D", Kind.DZ, 1300, 11, 50), point("Z", Kind.FZ, 1600, 12, 60)],
            [("Z", "limit-on-fz")],
        ),
        ([point("L", Kind.WPC, 1300, 11, 30)], [("L", "limit-outside")]),
        ([Object("F2", Kind.FINISH, disc(3000, 500, 50))], [("SS1", "not-one-finish")]),
        ([point("O", Kind.WPM, 1120, 11)], [("O", "overlap")]),
    ],
)
def test_what_is_wrong_is_found_where_it_is(
    more: list[Object], findings: list[tuple[str, str]]
) -> None:
    assert found(sound(*more)) == findings


def test_a_limit_inside_a_zone_is_in_order():
    zone = [
        point("D", Kind.DZ, 1250, 11, 50),
        point("L", Kind.WPC, 1450, 12, 30),
        point("Z", Kind.FZ, 1650, 13),
    ]
    assert found(sound(*zone)) == []


def test_what_is_judged_in_order_and_has_no_place_in_it_is_said():
    loose = Object("N", Kind.DN, disc(1300, 0, 60), duration_seconds=60)
    assert found(sound(loose)) == [("N", "not-ordered")]


def test_a_long_course_is_looked_at_leg_by_leg_where_something_is_near():
    """A way of 3000 objects: every leg with every object would be nine million questions."""
    many = [
        Object(f"W{k}", Kind.WPM, disc(150.0 * k, 60.0 * (k % 2), 50), sort_order=k)
        for k in range(1, 3000)
    ]
    far = Object("back", Kind.WPM, disc(150.0 * 1000, 500, 50), sort_order=3000)
    ends = (
        Object("S", Kind.START, disc(0, 0, 50)),
        Object("F", Kind.FINISH, disc(150.0 * 1000, 900, 50)),
    )
    findings = lint(course(ends[0], *many, far, ends[1], start="S", finish="F"), RULES)
    near = [f.place for f in findings if f.what == "route-near"]
    assert len(near) > 100  # the way back passes many


def test_no_start_is_said():
    no_start = course(
        Object("W1", Kind.WPM, disc(1000, 0, 90), sort_order=10),
        Object("F", Kind.FINISH, disc(3000, 0, 50)),
        finish="F",
    )
    assert found(no_start) == [("SS1", "not-one-start")]


def test_a_route_that_comes_near_an_object_elsewhere():
    back = Object("W3", Kind.WPM, disc(500, 100, 40), sort_order=30)
    findings = lint(sound(back), RULES)
    # On to W3 and back to the finish, it passes W1 and W2 again.
    assert {(f.place, f.what) for f in findings} >= {
        ("SS1/SS1/W1", "route-near"),
        ("SS1/SS1/W2", "route-near"),
    }
    assert "the way from W2 to W3 passes it a second time" in [f.message for f in findings]
    aside = Object("X", Kind.INFO, disc(1500, 200, 90))
    assert found(sound(aside)) == []


def test_a_first_waypoint_inside_the_start_and_a_start_too_small():
    near = Object("W0", Kind.WPM, disc(40, 0, 5), sort_order=1)
    assert ("W0", "inside-start") in found(sound(near))
    assert found(sound(start=disc(0, 0, 19))) == [
        ("S", "start-edge-near"),
    ]
    assert found(sound(start=disc(0, 0, 20))) == []


@pytest.mark.parametrize(("direction", "wrong"), [(4, True), (176, True), (184, True), (6, False)])
def test_a_direction_along_its_gate(direction: float, wrong: bool):
    along = Object("G", Kind.INFO, gate((1500, -10), (1500, 10), direction))
    assert found(sound(along)) == ([("G", "along-gate")] if wrong else [])


def test_a_disc_that_a_tracker_jumps_over():
    small = Object("J", Kind.INFO, disc(1500, 300, 18))
    assert found(sound(small)) == [("J", "jumped-over")]
    assert found(sound(small), tracker=Tracker(speed_kmh=120)) == []
    assert len(found(sound(), tracker=Tracker(interval_seconds=5))) == 4


def test_holes_in_progressive_brackets():
    row = Formula(
        "a", Offence.SPEED_LIMIT, Operator.PROGRESSIVE, Decimal(1), offence_max=Decimal(20)
    )
    after = evolve(row, id="b", offence_min=Decimal(21), offence_max=None)
    assert found(sound(), Rules("v", (after, row))) == [("b", "bracket-hole")]
    assert found(sound(), Rules("v", (row, evolve(after, offence_min=Decimal(20))))) == []


def test_findings_come_in_the_order_of_the_course():
    of = sound(point("Z", Kind.FZ, 1600, 12), point("D", Kind.DZ, 1300, 13))
    findings: tuple[Finding, ...] = lint(of, RULES)
    assert [f.what for f in findings][:3] == ["unmatched", "unmatched", "no-limit"]
