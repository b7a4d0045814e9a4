"""The window of a segment: when what was passed may count at all (design/racing.md, law 6).

From the segment's opens_at, or the finish of the segment before it in the stage, or the stage's
starts_at; to the segment's closes_at, or the stage's, or the stage's ends_at and the longest
maximum duration of its segments (where none has one: ends_at itself, because a window has to end
and that is the organiser's own end). The closure of a stage ends every window of it.

Where the segment before was not finished (yet, or out of the tracker's sight) the window begins at
the last thing that was seen there, so that one missed finish does not swallow all that follows.
"""

from collections.abc import Sequence

from attrs import frozen

from processor.domain.course import Segment, Stage
from processor.domain.instants import SECOND, later
from processor.domain.timesheet import SegmentSheet


@frozen
class Window:
    """From an instant to another, both included; None: an open end."""

    since: int | None = None
    until: int | None = None

    def holds(self, at: int) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at <= self.until)


def window(stage: Stage, segment: Segment, before: Sequence[SegmentSheet]) -> Window:
    """The window of a segment; `before` are the sheets of those in front of it in the stage."""
    return Window(_since(stage, segment, before), _until(stage, segment))


def _since(stage: Stage, segment: Segment, before: Sequence[SegmentSheet]) -> int | None:
    if segment.opens_at is not None:
        return segment.opens_at
    if not before:
        return stage.starts_at
    previous = before[-1]
    if previous.finish_at is not None:
        return previous.finish_at
    seen = [v.at for v in previous.validations if v.validated and v.at is not None]
    seen += [at for at in (previous.since, previous.start_measured) if at is not None]
    return max(seen, default=None)


def _until(stage: Stage, segment: Segment) -> int | None:
    ends = [at for at in (_planned_end(stage, segment), stage.closed_at) if at is not None]
    return min(ends, default=None)


def _planned_end(stage: Stage, segment: Segment) -> int | None:
    if segment.closes_at is not None:
        return segment.closes_at
    if stage.closes_at is not None:
        return stage.closes_at
    if stage.ends_at is None:
        return None
    longest = max(s.maximum_duration_seconds or 0 for s in stage.segments)
    return later(stage.ends_at, longest * SECOND)
