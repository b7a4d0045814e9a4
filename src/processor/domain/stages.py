"""One entry's stage: the rules of the sport, in their order.

    evidence of its devices  ->  timing  ->  penalties  ->  result

Each step knows only those before it. Ranking comes after all entries of a stage were judged
(`results.rank`), for it is about more than one of them.
"""

from collections.abc import Sequence

from attrs import frozen

from processor.domain.course import Entry, Stage
from processor.domain.crossings import Ground
from processor.domain.model import Evidence
from processor.domain.outcome import Penalty, ReviewItem, StageResult
from processor.domain.penalties import Tally, penalise
from processor.domain.results import stage_result
from processor.domain.rules import Rules
from processor.domain.rulings import Ruling
from processor.domain.timesheet import StageSheet
from processor.domain.timing import time_stage


@frozen
class Judged:
    """What an entry's stage came to, before it is ranked. `tally` counts its offences, this stage
    and those before it."""

    sheet: StageSheet
    penalties: tuple[Penalty, ...]
    reviews: tuple[ReviewItem, ...]
    result: StageResult
    tally: Tally


def judge(
    stage: Stage,
    entry: Entry,
    evidence: Sequence[Evidence],
    ground: Ground,
    rules: Rules,
    rulings: Sequence[Ruling] = (),
    tally: Tally | None = None,
    *,
    drove_on: bool = False,
) -> Judged:
    """Judge one entry in one stage. `evidence` of each device that is or may have been the entry's,
    `rulings` in force, `tally` of the stages before: rules may count over the whole event.
    `drove_on`: the entry began a later stage, and did not retire in this one."""
    sheet = time_stage(stage, entry, evidence, ground, rules.settings, rulings)
    penalties, open_questions, after = penalise(sheet, evidence, rules, rulings, tally)
    seen = tuple(review for segment in sheet.segments for review in segment.reviews)
    return Judged(
        sheet,
        penalties,
        (*seen, *open_questions),
        stage_result(sheet, penalties, drove_on=drove_on),
        after,
    )
