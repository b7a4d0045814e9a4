"""What the decoder accepts, PostgreSQL accepts: accepted inputs of the fuzzer, written for real.

A few things only PostgreSQL can know; they are named here, and whatever else it refuses is a defect
of the decoder.
"""

import os
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

import asyncpg
import pytest

from processor.adapters.postgres import migrations
from processor.adapters.postgres.pool import open_pool
from processor.adapters.postgres.sink import PostgresPositionSink
from processor.core.errors import Rejected
from processor.core.model import Position
from proof.fuzz import corpus, engine, entries, judge

SEED = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(10**6))
INPUTS = int(os.environ.get("FUZZ_INPUTS") or 3_000)
BATCH = 100

REFUSED_FOR_GOOD_REASON = {
    "22003": "a number of the bag has more digits than numeric holds",
}
"""By SQLSTATE, why the decoder cannot know: it leaves the bag's numbers the text that they are."""


@cache
def accepted() -> list[Position]:
    """Positions that the fuzzer's inputs became, those of the corpus among them."""
    found = []

    class Listening:
        NAME, seeds, check, weigh = entries.NAME, entries.seeds, entries.check, entries.weigh

        @staticmethod
        def signature(data: bytes) -> str:
            keep(data)
            return entries.signature(data)

    def keep(data: bytes) -> None:
        position = entries.decode(*entries.read(data))
        if isinstance(position, Position):
            found.append(position)

    for kept in corpus.kept("entries"):
        keep(kept.data)
    engine.run(Listening, SEED, inputs=INPUTS)
    return found


def batches(positions: Sequence[Position]) -> Iterator[list[Position]]:
    """As a sink takes them: no key twice in a batch."""
    batch: dict[tuple[str, object], Position] = {}
    for position in positions:
        if position.key in batch or len(batch) == BATCH:
            yield list(batch.values())
            batch = {}
        batch[position.key] = position
    yield list(batch.values())


async def refused(sink: PostgresPositionSink, batch: Sequence[Position]) -> list[Rejected]:
    """One by one what the database refuses of a batch."""
    try:
        await sink.store(batch)
    except Rejected as rejected:
        if len(batch) == 1:
            return [rejected]
        half = len(batch) // 2
        return await refused(sink, batch[:half]) + await refused(sink, batch[half:])
    return []


@pytest.mark.slow
@pytest.mark.parametrize("copy_from", [1, 1000], ids=["copy", "arrays"])
async def test_what_the_decoder_accepts_the_database_accepts(
    database_url: str, copy_from: int
) -> None:
    await migrations.apply(database_url)
    positions = accepted()
    assert len(positions) > INPUTS / 12, f"seed {SEED}"
    told: Counter[str] = Counter()
    async with open_pool(
        database_url, size=1, statement_timeout_ms=15_000, statement_cache=100
    ) as pool:
        sink = PostgresPositionSink(pool, track_changes=True, copy_from=copy_from)
        for batch in batches(positions):
            for rejected in await refused(sink, batch):
                told[rejected.sentence] += 1
    surprises = {
        sentence: count
        for sentence, count in told.items()
        if not any(f"SQLSTATE {code}" in sentence for code in REFUSED_FOR_GOOD_REASON)
    }
    assert surprises == {}, f"seed {SEED}"
    assert told, "the corpus has one that only PostgreSQL can judge"
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("SELECT device_id, codec, attributes::text FROM positions")
    finally:
        await connection.close()
    by_name = {(each.device_id, each.codec) for each in positions}
    assert rows
    for row in rows:
        assert (row["device_id"], row["codec"]) in by_name
        assert len(judge.bag_of(row["attributes"].encode())) <= judge.BAG_MEMBERS_MAX
