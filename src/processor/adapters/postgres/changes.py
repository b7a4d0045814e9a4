"""Which devices got rows, and between which instants: what a change note says."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from processor.core.model import Position


@frozen
class ChangedSpans:
    """One note, as the columns of `processor.track_changes`: equally long, a device an element."""

    device_ids: Sequence[str]
    from_ts: Sequence[datetime]
    to_ts: Sequence[datetime]

    def as_lines(self) -> "Note":
        """Each column as a text, a line an element: no id holds a line break, for the decoder lets
        no control character pass. The driver looks at each element of an array several times:
        a note of 500 devices costs the client 2.0 ms as arrays, 1.7 ms as texts, and 1.0 ms
        where each device has one fix (medians of 7, 2 x86-64 cores, 2026-11-24)."""
        begins = list(map(datetime.isoformat, self.from_ts))
        ends = [
            begin if last is first else last.isoformat()
            for begin, first, last in zip(begins, self.from_ts, self.to_ts, strict=True)
        ]
        return "\n".join(self.device_ids), "\n".join(begins), "\n".join(ends)


Note = tuple[str, str, str]
"""What `as_lines` makes of spans: the parameters of a note."""

NOTHING: Note = ("", "", "")


def changed_spans(positions: Sequence[Position]) -> ChangedSpans:
    """The spans that exactly cover these positions, devices in the order of their first one.

    A device's positions may come in any order: over two UTC days a batch is sorted by day first.
    """
    first: dict[str, datetime] = {}
    last: dict[str, datetime] = {}
    for position in positions:
        device_id, fixed_at = position.device_id, position.fixed_at
        if device_id not in first:
            first[device_id] = last[device_id] = fixed_at
        elif fixed_at > last[device_id]:
            last[device_id] = fixed_at
        elif fixed_at < first[device_id]:
            first[device_id] = fixed_at
    return ChangedSpans(list(first), list(first.values()), list(last.values()))
