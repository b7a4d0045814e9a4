"""A record that ends the process each time it is worked on, as a fault in a C library would.

The real decoder has no such fault, so one is planted into the processes of this test: a payload
that holds a certain word ends them with SIGSEGV.
"""

import asyncio
from pathlib import Path
from typing import Any

FAULT = """
import os, signal
from processor.core.decode import Decoder

decode = Decoder.decode

def faulty(self, entry, now_ms):
    if entry.fields and b"kills" in entry.fields[b"payload"]:
        os.kill(os.getpid(), signal.SIGSEGV)
    return decode(self, entry, now_ms)

Decoder.decode = faulty
"""
DEAD_LETTER_AFTER = 3
TRIALS = 3


def test_a_record_that_kills_the_process_is_set_aside_and_costs_its_neighbours_nothing(
    service: Any,
    producer: Any,
    query: Any,
    eventually: Any,
    redis_url: str,
    postgres_url: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAULT)
    settings = {
        "PYTHONPATH": str(tmp_path),
        "DEAD_LETTER_AFTER": str(DEAD_LETTER_AFTER),
        "CLAIM_THRESHOLD_MS": "500",
        "CLAIM_INTERVAL_MS": "100",
        "POSTGRES_STATEMENT_TIMEOUT_MS": "1500",
    }
    source = producer(redis_url)
    for n in range(20):
        source.add(source.payload(n))
    guilty = source.add(source.payload(20, attributes={"9": "kills"}))
    for n in range(21, 40):
        source.add(source.payload(n))

    # Two instances share what the dead ones leave behind, as behind any supervisor.
    lives = 0
    running: dict[str, Any] = {}

    def over() -> bool:
        nonlocal lives
        for name in "ab":
            if name not in running or running[name].process.poll() is not None:
                lives += 1
                running[name] = service(name, redis_url, postgres_url, source.stream, **settings)
        return bool(source.dead_letters()) and source.settled()

    eventually(over, "the guilty record is a dead letter, and everything else settled")
    (letter,) = source.dead_letters()
    assert (letter["origin_id"], letter["reason"]) == (guilty, "kills-the-process")
    assert str(TRIALS) in letter["error"]
    assert int(letter["deliveries"]) > DEAD_LETTER_AFTER
    rows = asyncio.run(query(postgres_url, "SELECT device_id, ts FROM positions"))
    assert len(rows) == 39
    assert not source.redis.exists(f"{source.stream}:trials"), "marks are left"
    # Each life but the last two has ended by the record: those in which it was one of many, and
    # the three of its trials.
    assert DEAD_LETTER_AFTER - 1 + TRIALS <= lives - 2 <= 2 * (DEAD_LETTER_AFTER + TRIALS)
    # Among the lines is what faulthandler says of each death.
    said = "".join(each.told() for each in running.values())
    assert '"message":"trial_ended"' in said
    assert "Fatal Python error: Segmentation fault" in said
    for each in running.values():
        assert each.ready().stop() == 0  # one may have begun this very moment
