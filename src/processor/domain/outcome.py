"""What comes out: timing records, penalties, results, and what a human should look at.

The fields are those of the tables of contracts/business-schema.md that we write, without the
database's own (id, natural_key, updated_at). Instants in microseconds, durations in milliseconds,
penalties in seconds as Decimal.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

from attrs import field, frozen

from processor.domain.model import Explanation
from processor.domain.rules import Outcome


@frozen
class TimingRecord:
    """One line of an entry's stage: a start, a waypoint, a split, a control, a finish.

    `at` counts; `official_at` is a ruling's or the assigned one, `computed_at` what the tracker
    says: `at` is the official one where there is one. `status` is ok, missed, unverified or
    provisional; `source` gps, assigned or ruling. `distance_m` of what was missed is how near it
    was passed. `pass_number` is the lap; `sequence` orders the lines for display.
    """

    entry_id: str
    stage_id: str
    segment_id: str
    kind: str
    object_id: str | None
    pass_number: int
    sequence: int
    at: int | None
    official_at: int | None
    computed_at: int | None
    uncertainty_ms: int | None
    distance_m: float | None
    status: str
    source: str
    device_id: str | None
    explanation: Explanation
    crossing_keys: tuple[str, ...] = ()
    ruling_id: str | None = None


@frozen
class Penalty:
    """One offence and what it costs. `computed_seconds` by the formula, `penalty_seconds` after
    rulings. `occurrence` numbers the offences of a type in the formula's scope. `type` is an
    Offence, or what a ruling calls it."""

    entry_id: str
    stage_id: str
    segment_id: str | None
    type: str
    object_id: str | None
    pass_number: int | None
    occurrence: int
    computed_seconds: Decimal
    penalty_seconds: Decimal
    outcome: Outcome
    explanation: Explanation
    formula_id: str | None = None
    formula_snapshot: Mapping[str, object] = field(factory=dict)
    inputs: Mapping[str, object] = field(factory=dict)
    evidence_from: int | None = None
    evidence_to: int | None = None
    ruling_id: str | None = None


class ResultStatus(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    OVER_TIME_LIMIT = "over-time-limit"
    DID_NOT_FINISH = "did-not-finish"
    DID_NOT_START = "did-not-start"
    DISQUALIFIED = "disqualified"


@frozen
class StageResult:
    """An entry's result in a stage. Positions, gaps and ties are given by ranking (results.py);
    until then they are None. `elapsed_ms` is official: floored, neutralised time taken off,
    multiplied by the coefficient. `gross_ms` is before that. `validated` of `to_validate` ordered
    objects ranks those who did not finish."""

    stage_id: str
    entry_id: str
    class_id: str
    status: ResultStatus
    race_number: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    elapsed_ms: int | None = None
    neutralised_ms: int = 0
    gross_ms: int | None = None
    penalty_ms: int = 0
    total_ms: int | None = None
    uncertainty_ms: int | None = None
    validated: int = 0
    to_validate: int = 0
    splits: tuple[Mapping[str, object], ...] = ()
    position: int | None = None
    gap_ms: int | None = None
    class_position: int | None = None
    class_gap_ms: int | None = None
    tied_with: tuple[str, ...] = ()
    provisional: bool = False
    waiting_for: tuple[str, ...] = ()


@frozen
class EventResult:
    """An entry's sum over the stages of an event; `stages` are its totals by stage id."""

    entry_id: str
    class_id: str
    status: ResultStatus
    race_number: int | None = None
    total_ms: int | None = None
    stages: Mapping[str, int | None] = field(factory=dict)
    position: int | None = None
    gap_ms: int | None = None
    class_position: int | None = None
    class_gap_ms: int | None = None
    provisional: bool = False


@frozen
class ReviewItem:
    """Something that no rule decides: an official looks at it. `what` is one of the closed set of
    the table review_items; `message` a sentence that says what to look at."""

    what: str
    entry_id: str
    stage_id: str | None
    segment_id: str | None
    message: str
    object_id: str | None = None
    pass_number: int | None = None
    evidence_from: int | None = None
    evidence_to: int | None = None
    evidence: Mapping[str, object] = field(factory=dict)
