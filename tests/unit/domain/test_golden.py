"""Recorded drives over courses whose crossings a human can check: tests/golden/README.md holds the
fixes, the divisions and the instants, and is read here."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import frozen

import processor
from processor.adapters.files.course_json import read_course_json
from processor.adapters.files.scoring_tracks import read_track
from processor.domain.course import Course, Entry
from processor.domain.crossings import Ground
from processor.domain.folding import Fold
from processor.domain.instants import MILLISECOND, instant
from processor.domain.model import Evidence, Track
from processor.domain.rules import Rules, Settings
from processor.domain.scoring import score

GOLDEN = Path(__file__).parents[2] / "golden"
DEMO = Path(processor.__file__).parent / "entrypoints" / "demo" / "tracks"
_HEADING = re.compile(r"## (?P<course>\S+): (?P<track>\S+), (?P<day>\S+)")


@frozen
class Expected:
    """A row of the tables. Instants in microseconds."""

    object_id: str
    kind: str
    before: int
    after: int
    share: float
    at: int
    within: int


@frozen
class Drive:
    course: Course
    track: Track
    expected: tuple[Expected, ...]

    @property
    def evidence(self) -> Evidence:
        return Ground(self.course, Settings()).evidence(self.track)


def _drives() -> dict[str, Drive]:
    found = {}
    for part in (GOLDEN / "README.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        heading = _HEADING.match(f"## {part}")
        assert heading is not None
        file = next(p for p in (GOLDEN / heading["track"], DEMO / heading["track"]) if p.exists())
        (track,) = read_track(file).tracks
        day = datetime.fromisoformat(heading["day"]).replace(tzinfo=UTC)
        rows = [row for row in part.splitlines() if re.match(r"\| .* \| \d+ \|$", row)]
        course = read_course_json(GOLDEN / heading["course"]).course
        found[heading["course"]] = Drive(course, track, tuple(_row(row, day) for row in rows))
    return found


def _row(row: str, day: datetime) -> Expected:
    name, kind, before, after, share, at, within = (cell.strip() for cell in row.split("|")[1:-1])
    return Expected(
        name,
        kind,
        _instant(day, before),
        _instant(day, after),
        float(eval(share, {"__builtins__": {}})),  # a division that the README does
        _instant(day, at),
        int(within) * MILLISECOND,
    )


def _instant(day: datetime, text: str) -> int:
    hours, minutes, rest = text.split(":")
    return instant(
        day + timedelta(hours=int(hours), minutes=int(minutes), milliseconds=float(rest) * 1000)
    )


DRIVES = _drives()
each_drive = pytest.mark.parametrize("name", list(DRIVES))


def test_there_is_something_to_expect():
    assert {name: len(drive.expected) for name, drive in DRIVES.items()} == {
        "visnjan.json": 10,
        "cerknica.json": 8,
    }


@each_drive
def test_the_readme_divides_rightly(name: str):
    for row in DRIVES[name].expected:
        by_hand = row.before + row.share * (row.after - row.before)
        assert abs(by_hand - row.at) <= MILLISECOND


@each_drive
def test_a_recorded_drive_has_the_crossings_that_a_human_finds(name: str):
    drive = DRIVES[name]
    found = drive.evidence.crossings
    assert [(c.object_id, c.kind, c.before, c.after) for c in found] == [
        (row.object_id, row.kind, row.before, row.after) for row in drive.expected
    ]
    for crossing, row in zip(found, drive.expected, strict=True):
        assert abs(crossing.at - row.at) <= row.within + MILLISECOND / 2, row.object_id
        assert abs(crossing.at - row.at) <= crossing.uncertainty_ms * MILLISECOND


@each_drive
def test_a_recorded_drive_in_pieces_is_the_same_drive(name: str):
    drive = DRIVES[name]
    whole = drive.evidence
    for size in (1, 7, 50):
        fold = Fold(Ground(drive.course, Settings()), drive.track.device_id)
        for start in range(0, len(drive.track), size):
            fold.take(drive.track.cut(start, start + size))
        assert fold.crossings() == whole.crossings
        assert fold.passes() == whole.passes


def test_a_direction_makes_a_pass():
    evidence = DRIVES["visnjan.json"].evidence
    assert [c.direction_ok for c in evidence.crossings if c.object_id == "wrong way"] == [False]
    assert sorted(evidence.passes) == ["A1", "F", "G1", "S", "W1", "stand"]
    there, back = (
        c for c in DRIVES["cerknica.json"].evidence.crossings if c.object_id == "there and back"
    )
    assert (there.direction_ok, back.direction_ok) == (True, False)


def test_silence_and_leaps_are_gaps():
    evidence = DRIVES["cerknica.json"].evidence
    assert {c.object_id for c in evidence.crossings if c.provisional} == {"in the silence"}
    assert [gap.speeding for gap in evidence.gaps].count(True) == 1
    assert len(evidence.gaps) == 19


def test_the_stage_takes_as_long_as_by_hand():
    drive = DRIVES["visnjan.json"]
    scored = score(drive.course, [Entry("301")], {"301": [drive.track]}, Rules(version="none"))
    (result,) = scored.results
    assert (result.status, result.elapsed_ms) == ("finished", 332_000)


# -- files with absurd times ----------------------------------------------------------------------


def test_a_walk_in_one_instant_is_a_leap_and_no_crossing():
    """184 points with two instants, of 1901: one of each is left, 343 microseconds apart."""
    reading = read_track(GOLDEN / "Mojstrovka.gpx")
    (track,) = reading.tracks
    assert len(track) == 2
    assert reading.remarks
    evidence = Ground(DRIVES["visnjan.json"].course, Settings()).evidence(track)
    assert evidence.crossings == ()
    assert [gap.speeding for gap in evidence.gaps] == [True]


def test_a_walk_some_of_whose_points_lack_times_is_read_without_them():
    """871 points, 513 of them with a time."""
    reading = read_track(GOLDEN / "korita-zbevnica.gpx")
    (remark,) = (each for each in reading.remarks if each.what == "no-time")
    assert remark.message.startswith("358 points of korita-zbevnica have no <time>")
    assert 0 < len(reading.tracks[0]) <= 513
