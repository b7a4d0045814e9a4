"""Score a recorded track against a course, in Python, with no server anywhere.

pip install rally-processor
python examples/score_my_track.py examples/visnjan.json drive.gpx [rules.toml]
"""

import sys
from pathlib import Path

from processor.adapters.files.courses import read_course
from processor.adapters.files.rules_toml import no_rules, read_rules
from processor.adapters.files.scoring_tracks import read_track
from processor.domain.course import Entry
from processor.domain.instants import iso
from processor.domain.scoring import score


def main(course_path: str, track_path: str, rules_path: str | None = None) -> None:
    rules = read_rules(Path(rules_path)) if rules_path else no_rules()
    course = read_course(Path(course_path), rules.openrally).course
    tracks = read_track(Path(track_path)).tracks

    scored = score(course, [Entry("me")], {"me": tracks}, rules)

    for evidence in scored.evidence["me"]:
        for crossing in evidence.crossings:
            sure = f"+- {crossing.uncertainty_ms} ms"
            print(f"{iso(crossing.at)} {sure:12} {crossing.kind:5} {crossing.object_id}")
    for judged in scored.judged:
        for sheet in judged.sheet.segments:
            for each in sheet.validations:
                if each.status == "missed":
                    print(f"missed {each.object.id}, by {each.distance_m:.1f} m")
        for penalty in judged.penalties:
            print(f"penalty {penalty.penalty_seconds} s: {penalty.explanation['text']}")
    for result in scored.results:
        print(f"{result.stage_id}: {result.status}, {(result.total_ms or 0) / 1000:.3f} s")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
