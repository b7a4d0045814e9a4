"""The kill ledger's short form: three instances, forty SIGKILLs, and the sum at the end.

`make kill` is the long form. Whatever is done there is done here, too: the deck is dealt twice.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from processor.entrypoints.demo import programs
from processor.entrypoints.demo.process import Server
from proof.kill.run import run

KILLS = 40
SEED = 20260502


@pytest.fixture
def own_database_as_out_there(request: pytest.FixtureRequest) -> Server:
    """TimescaleDB, and PostgreSQL only where there is none; CI must have it."""
    wanted = programs.timescale() is not None or "CI" in os.environ
    return request.getfixturevalue("own_timescale" if wanted else "own_postgres")


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(600)  # a minute on two cores, three where others want them, too
def test_whoever_is_killed_the_sum_is_right(
    own_redis: Server, own_database_as_out_there: Server, rights: Any, tmp_path: Path
) -> None:
    outcome = run(
        own_redis,
        own_database_as_out_there,
        tmp_path,
        redis_url=rights.redis(own_redis.url),
        postgres_url=rights.service(own_database_as_out_there.url),
        seed=SEED,
        enough=lambda blows: blows.kills >= KILLS,
    )
    assert outcome.faults == [], f"what the instances said is in {tmp_path}"
    total, dealt = outcome.total, outcome.blows.dealt
    assert (total.lost, total.twice, total.wrong, total.pending, total.lag) == (0, 0, 0, 0, 0)
    assert dealt["SIGKILL"] >= KILLS
    assert all(dealt[blow] > 0 for blow in ("SIGTERM", "SIGSTOP", "redis", "postgres"))
    # That there was something to lose.
    assert total.records == total.rows + total.duplicates + total.letters.total()
    assert min(total.rows, total.duplicates, len(total.letters), outcome.taken_over) > 0
