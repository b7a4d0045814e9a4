"""The content hash: equal for equal content, whatever spells it."""

from decimal import Decimal

import pytest

from processor.domain.course import Area, Course, Disc, Gate, Stage, StartOrder
from processor.domain.course_version import content_hash, course_version, versioned
from processor.domain.rules import Rules, Settings


def test_numbers_of_equal_value_are_equal() -> None:
    assert content_hash((90, 0.5, Decimal("1.50"), Decimal("1E+2"))) == content_hash(
        (90.0, 0.50, Decimal("1.5"), Decimal(100))
    )
    assert content_hash(-0.0) == content_hash(0)
    assert content_hash(True) != content_hash(1)


def test_the_grid_is_a_millimetre_and_a_ten_millionth_of_a_degree() -> None:
    disc = Disc((19.8, 41.3), 50.0)
    assert content_hash(disc) == content_hash(Disc((19.80000004, 41.3), 50.0004))
    assert content_hash(disc) != content_hash(Disc((19.8000001, 41.3), 50.0))
    assert content_hash(disc) != content_hash(Disc((19.8, 41.3), 50.001))


def test_shapes_of_one_content_are_told_apart_by_their_kind() -> None:
    places = ((1.0, 2.0), (3.0, 4.0))
    assert content_hash(Gate(places)) != content_hash(Area((places,)))


def test_defaults_add_nothing_and_members_have_no_order() -> None:
    plain = Stage("1", ())
    said = Stage(
        "1", (), coefficient=Decimal("1.0"), start_order=StartOrder.MANUAL, start_order_params={}
    )
    assert content_hash(plain) == content_hash(said)
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash(Rules("x")) == content_hash(Rules("y", settings=Settings(gap_seconds=60)))


def test_a_course_carries_its_own_version_and_a_closure_changes_none() -> None:
    course = versioned(Course("", (Stage("1", ()),)))
    assert course.version == course_version(course)
    assert course_version(Course("", (Stage("1", (), closed_at=5),))) == course.version
    assert course_version(Course("", (Stage("1", (), closes_at=5),))) != course.version


def test_what_has_no_canonical_form_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        content_hash({1, 2})
    with pytest.raises(ValueError):
        content_hash(float("inf"))
