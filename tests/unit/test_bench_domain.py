"""`make bench-domain` compares like with like: one scene, and subjects that agree."""

import pytest

from bench.domain.report import Facts, Measured, Sized, goals, markdown, ratio, sections
from bench.domain.scene import Scene, scene
from bench.domain.subjects import Edges, Minutes, OneByOne, Points, Processor
from processor.domain.course import Area, Disc, Gate


@pytest.fixture(scope="module")
def there() -> Scene:
    return scene(60, 2, 7)


def test_a_scene_has_objects_of_three_kinds_on_roads_that_are_driven(there: Scene):
    shapes = there.shapes
    assert len(shapes) == 60
    assert [sum(isinstance(s, kind) for s in shapes) for kind in (Disc, Area, Gate)] == [20, 20, 20]
    assert len(there.tracks) == 2
    assert 2 * 1_300 < there.fixes < 2 * 4_000  # 50 km each
    again = scene(60, 2, 7)
    assert again.course == there.course
    assert (again.tracks[1].latitude == there.tracks[1].latitude).all()


def test_who_asks_what_lies_inside_finds_the_same(there: Scene):
    found = []
    for subject in (Points(), OneByOne()):
        subject.build(there)
        found.append(subject.look(there.tracks))
    assert found[0] == found[1] > 0


def test_crossings_are_what_chords_do_to_edges(there: Scene):
    """But for hysteresis, which cancels what a noisy car does on an edge."""
    ours, edges, minutes = Processor(), Edges(), Minutes()
    for subject in (ours, edges, minutes):
        subject.build(there)
    found = ours.look(there.tracks)
    assert found == pytest.approx(edges.look(there.tracks), rel=0.1)
    assert found == pytest.approx(minutes.look(there.tracks), rel=0.1)
    assert found > 60


def test_goals_are_judged_by_medians_and_ratios_within_a_round():
    ours = Measured("ours", {0: 3.0, 1: 5.0, 2: 4.0}, 0.05, 0.9)
    theirs = Measured("theirs", {0: 30.0, 1: 60.0, 2: 44.0}, 0.1, 2.0)
    found = {"processor": ours, "postgis": theirs, "postgis-edges": theirs}
    assert ratio(found, "postgis", "processor") == 11.0
    sized = [Sized(size, 100, found) for size in (100, 1_000, 10_000)]
    judged = goals({each.objects: each for each in sized})
    assert [goal.value for goal in judged] == [4.0, 4.0, 0.9, 11.0, 11.0]
    assert all(goal.met for goal in judged)
    facts = Facts("make bench-domain", "today", "a machine", "Python", "", 3, 12, 301)
    text = markdown(facts, sections(sized), ["no PostGIS here"])
    assert "| theirs | 44.00 | 44.00 | 44.00 |" in text
    assert "**Note: no PostGIS here.**" in text


def test_what_was_not_measured_is_not_met():
    assert not any(goal.met for goal in goals({}))
