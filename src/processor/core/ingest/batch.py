"""What goes into one write, and what its answer means for each record.

Several records may claim one key (device_id, fixed_at): the producer retransmits whatever it is
not sure of. The earliest of them, by entry id, stands for the key and is written; the others are
its repeats, and become duplicates once the key is stored. Only if the database refuses the first
do they get their own chance, for then nothing is stored under that key yet.

The order of a batch is (UTC day, device_id, fixed_at). It is not for tidiness: two instances that
write the same keys in different orders deadlock, and where a write spans two daily chunks, the
chunk is locked before the key.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from attrs import frozen

from processor.core.errors import Reason, Rejected
from processor.core.model import PANIC, Entry, Record
from processor.core.ports import Outcome


@frozen
class Batch:
    """`firsts` are the records to write: sorted, each key once. `repeats` came later with a key
    that one of `firsts` has."""

    firsts: Sequence[Record]
    repeats: Sequence[Record]


def arrange(records: Iterable[Record]) -> Batch:
    """Sort the records for one write and take out those that repeat a key."""
    firsts: dict[tuple[str, datetime], Record] = {}
    repeats = []
    for record in records:
        position = record.position
        first = firsts.setdefault((position.device_id, position.fixed_at), record)
        if first is not record:
            if _order(record.entry) < _order(first.entry):
                firsts[position.device_id, position.fixed_at] = record
                record = first
            repeats.append(record)
    keys = sorted(firsts)
    instants = [fixed_at for _, fixed_at in keys]
    if keys and min(instants).date() != max(instants).date():
        keys.sort(key=_day)  # stable: within a day, the order by device and instant stays
    return Batch([firsts[key] for key in keys], repeats)


def repeat_outcome(first: Record, outcome: Outcome, repeat: Record) -> Outcome:
    """What a repeat becomes once its first was stored, or had been before: a duplicate, unless it
    is a panic and the row that stands in its place is none."""
    if repeat.position.priority < PANIC:
        return Outcome.DUPLICATE
    if outcome is Outcome.CONFLICT or first.position.priority < PANIC:
        return Outcome.CONFLICT
    return Outcome.DUPLICATE


def conflict(record: Record) -> Rejected:
    """Why a panic record that came second is a dead letter: dropping it would hide an alarm."""
    position = record.position
    return Rejected(
        Reason.CONFLICT,
        f"priority {position.priority}: a fix of {position.device_id} at "
        f"{position.fixed_at.isoformat()} with a lower priority is already stored",
    )


def _order(entry: Entry) -> tuple[int, int]:
    milliseconds, _, sequence = entry.id.partition("-")
    return int(milliseconds), int(sequence)


def _day(key: tuple[str, datetime]) -> int:
    return key[1].toordinal()
