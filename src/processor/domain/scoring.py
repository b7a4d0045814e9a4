"""A whole course, scored from its tracks: the library's front door.

    scored = score(course, entries, {"301": [track]}, rules)

Nothing but values goes in and comes out, and equal values give equal results whatever their order.
"""

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from processor.domain.course import Course, Entry
from processor.domain.crossings import Ground
from processor.domain.model import Evidence, Track
from processor.domain.outcome import EventResult, StageResult
from processor.domain.penalties import Tally
from processor.domain.results import event_results, has_started, rank, stage_result
from processor.domain.rules import Rules
from processor.domain.rulings import Ruling, in_force
from processor.domain.stages import Judged, judge


@frozen(eq=False)
class Scored:
    """What a course came to. `evidence` of each entry, in the order of its devices; `judged` by
    stage, then entry; `results` ranked, by stage, then position; `totals` of the event."""

    course: Course
    rules: Rules
    entries: tuple[Entry, ...]
    evidence: Mapping[str, tuple[Evidence, ...]]
    judged: tuple[Judged, ...]
    results: tuple[StageResult, ...]
    totals: tuple[EventResult, ...]


def score(
    course: Course,
    entries: Sequence[Entry],
    tracks: Mapping[str, Sequence[Track]],
    rules: Rules,
    rulings: Sequence[Ruling] = (),
) -> Scored:
    """Score a course. `tracks` by entry id, each of another device; an entry without one is
    harmless, a track of an entry that is not among `entries` is not looked at. Raises ValueError if
    two things of the course, or two entries, have one id."""
    ground = Ground(course, rules.settings)
    field = tuple(sorted(entries, key=lambda entry: entry.id))
    if len({entry.id for entry in field}) < len(field):
        raise ValueError("two entries have one id")
    evidence = {
        entry.id: tuple(
            ground.evidence(track)
            for track in sorted(tracks.get(entry.id, ()), key=lambda track: track.device_id)
        )
        for entry in field
    }
    by_entry = {
        entry.id: _judged(course, entry, evidence[entry.id], ground, rules, rulings)
        for entry in field
    }
    judged: list[Judged] = []
    results: list[StageResult] = []
    for number in range(len(course.stages)):
        of_stage = [by_entry[entry.id][number] for entry in field]
        judged.extend(of_stage)
        results.extend(rank([one.result for one in of_stage]))
    totals = event_results(course.stages, results)
    return Scored(course, rules, field, evidence, tuple(judged), tuple(results), totals)


def _judged(
    course: Course,
    entry: Entry,
    evidence: Sequence[Evidence],
    ground: Ground,
    rules: Rules,
    rulings: Sequence[Ruling],
) -> list[Judged]:
    """An entry's stages, in order. Who retired is out of the last stage that it began."""
    decided = in_force(tuple(ruling for ruling in rulings if ruling.entry_id == entry.id))
    judged: list[Judged] = []
    tally = Tally()
    for stage in course.stages:
        judged.append(judge(stage, entry, evidence, ground, rules, decided, tally))
        tally = judged[-1].tally
    last = max((k for k, one in enumerate(judged) if has_started(one.sheet)), default=0)
    return [
        evolve(one, result=stage_result(one.sheet, one.penalties, drove_on=True))
        if number < last
        else one
        for number, one in enumerate(judged)
    ]
