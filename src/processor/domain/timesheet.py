"""What timing found out about an entry's stage: the sheet that penalties and results start from.

One sheet per entry and stage, one `SegmentSheet` per segment. It says which pass counts for which
object and why, and holds the lines (`TimingRecord`) that are published.
"""

from attrs import field, frozen

from processor.domain.course import Entry, Object, Segment, Stage
from processor.domain.model import Fix, Pass
from processor.domain.outcome import ReviewItem, TimingRecord
from processor.domain.rulings import Ruling


@frozen
class Validation:
    """An ordered object in a lap, and what became of it.

    `status`: ok, missed (definite or not, see SegmentSheet.provisional), unverified (a gap may hide
    it) or provisional. `at` is the instant that counts, `used` the pass it was taken from (None
    where missed, or where a ruling decided). `distance_m`: how near a missed one was passed,
    `nearest` the two fixes of the chord there (one, where only gaps lie beside it).
    """

    object: Object
    lap: int
    status: str
    at: int | None = None
    used: Pass | None = None
    distance_m: float | None = None
    device_id: str | None = None
    ruling_id: str | None = None
    nearest: tuple[Fix, ...] = ()

    @property
    def validated(self) -> bool:
        """Whether it counts as passed."""
        return self.status in ("ok", "provisional")


@frozen
class Neutralisation:
    """A clock that stood still: from the enter of the DN disc for `duration_ms`. `left_at` is the
    exit from the FN disc, None where it was missed; `taken_off_ms` what the elapsed time loses."""

    begin: Object
    end: Object | None
    duration_ms: int
    entered_at: int | None
    left_at: int | None
    taken_off_ms: int


@frozen
class Control:
    """A check-in at a time control: instants in microseconds, `check_in` floored to the minute.
    `late_min`, `early_min`: whole minutes, the free minute before taken off."""

    object: Object
    due: int
    check_in: int
    late_min: int
    early_min: int
    ruling_id: str | None = None


@frozen
class SegmentSheet:
    """One segment of one entry.

    `since`, `until` bound the window in which a pass may count (None: open). `start_at` is what
    the time runs from, `start_target` the start list's, `start_measured` what the tracker says.
    `device_id` is the device that the segment was timed by (None: none was there); `mixed` that
    holes were filled from another. `elapsed_ms`: finish - start, floored to the resolution, before
    neutralised time is taken off; None without both. `closed`: nothing more is to come, because the
    finish stands or the stage is over. `finish_out_of_order`: no pass of the finish came after half
    of the objects.
    """

    segment: Segment
    since: int | None
    until: int | None
    device_id: str | None = None
    mixed: bool = False
    start_at: int | None = None
    start_target: int | None = None
    start_measured: int | None = None
    finish_at: int | None = None
    finish_used: Pass | None = None
    elapsed_ms: int | None = None
    uncertainty_ms: int | None = None
    validations: tuple[Validation, ...] = ()
    neutralisations: tuple[Neutralisation, ...] = ()
    controls: tuple[Control, ...] = ()
    finish_out_of_order: bool = False
    closed: bool = False
    provisional: bool = False
    waiting_for: tuple[str, ...] = ()
    records: tuple[TimingRecord, ...] = ()
    reviews: tuple[ReviewItem, ...] = ()


@frozen
class StageSheet:
    """One stage of one entry. `seen`: any device of the entry has a fix in the stage's window.
    `set_status`: the ruling in force that says what the result's status is."""

    stage: Stage
    entry: Entry
    segments: tuple[SegmentSheet, ...] = field(factory=tuple)
    seen: bool = False
    set_status: Ruling | None = None
