"""Writes records until each of them is a row, or the database has refused it by itself.

One record that the database refuses never fails its neighbours: the batch is halved until the
guilty one stands alone. A batch that is too much at once is halved, too. Everything else that can
go wrong is nobody's fault, and the same batch is tried again.
"""

from collections.abc import Sequence

from attrs import field, frozen

from processor.core.errors import Rejected, TooMuch
from processor.core.ingest.batch import arrange, conflict, repeat_outcome
from processor.core.ingest.patience import Persists
from processor.core.model import Record
from processor.core.notices import BatchWritten
from processor.core.ports import Clock, DeadLetter, Observer, Outcome, PositionSink

Verdict = Outcome | Rejected


@frozen
class Written:
    """What became of the records of a batch. Together these are all of them, each once."""

    inserted: Sequence[Record] = field(factory=list)
    duplicate: Sequence[Record] = field(factory=list)
    failed: Sequence[DeadLetter] = field(factory=list)


class Writer:
    """Between the loop and the sink."""

    def __init__(
        self, sink: PositionSink, patience: Persists, clock: Clock, observer: Observer
    ) -> None:
        self._sink = sink
        self._patience = patience
        self._clock = clock
        self._observer = observer

    async def write(self, records: Sequence[Record]) -> Written:
        """Make every record durable or find it guilty. Waits as long as the database is away;
        raises Unavailable or Refused only when we are stopping."""
        if not records:
            return Written()
        began = self._clock.elapsed()
        inserted: list[Record] = []
        duplicate: list[Record] = []
        failed: list[DeadLetter] = []
        while records:
            batch = arrange(records)
            verdicts = await self._store(batch.firsts)
            judged = list(zip(batch.firsts, verdicts, strict=True))
            records = []  # repeats of a refused record: nothing is stored under their key yet
            if batch.repeats:
                by_key = {
                    (first.position.device_id, first.position.fixed_at): (first, verdict)
                    for first, verdict in judged
                }
                for repeat in batch.repeats:
                    first, verdict = by_key[repeat.position.key]
                    if isinstance(verdict, Rejected):
                        records.append(repeat)
                    else:
                        judged.append((repeat, repeat_outcome(first, verdict, repeat)))
            for record, verdict in judged:
                if verdict is Outcome.INSERTED:
                    inserted.append(record)
                elif verdict is Outcome.DUPLICATE:
                    duplicate.append(record)
                elif verdict is Outcome.CONFLICT:
                    failed.append(DeadLetter(record.entry, conflict(record)))
                else:
                    failed.append(DeadLetter(record.entry, verdict))
        self._observer.observe(
            BatchWritten(len(inserted), len(duplicate), len(failed), self._clock.elapsed() - began)
        )
        return Written(inserted, duplicate, failed)

    async def _store(self, records: Sequence[Record]) -> Sequence[Verdict]:
        alone = len(records) == 1
        positions = [record.position for record in records]
        try:
            return await self._patience.persist(
                "database", lambda: self._sink.store(positions), divisible=not alone
            )
        except Rejected as cause:
            if alone:
                return [cause]
        except TooMuch:
            if alone:  # slow is never the record's fault; we are stopping
                raise
        middle = len(records) // 2
        return [*await self._store(records[:middle]), *await self._store(records[middle:])]
