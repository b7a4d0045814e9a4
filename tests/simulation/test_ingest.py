"""Production wiring on in-memory adapters, in virtual time, under every fault we could think of.

Each seed draws the records, the processes, the faults and the order in which whatever is ready
runs. Safety is judged at every step that has an effect: acked is a subset of durable, no fix twice,
only bad records dead. Once the world has healed, liveness: nothing pending, nothing unread, every
record in its place; and the state of each device as one who reads all rows would have it.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.simulation.seeds import PARTS, SEED, lived
from tests.simulation.world import simulate


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_and_nothing_acknowledged_too_soon(
    part: int, record_property: Callable[[str, object], None]
) -> None:
    faults: Counter[str] = Counter()

    def live(seed: int) -> None:
        faults.update(simulate(seed).happened)

    record_property("seeds", lived(part, live))
    record_property("faults", faults.total())
    assert SEED or faults.total() > 0


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_is_one_history(seed: int) -> None:
    assert simulate(seed).said == simulate(seed).said
