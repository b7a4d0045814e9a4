"""From the stream to the table, on real servers, as the contract has it."""

import asyncio
import base64
import json
from datetime import datetime
from typing import Any

import asyncpg
import pytest


def test_sentinels_arrive_as_what_they_stand_for(
    service: Any, producer: Any, query: Any, eventually: Any, redis_url: str, database_url: str
) -> None:
    source = producer(redis_url)
    octets = bytes(range(256))
    source.add(
        source.payload(
            0,
            attributes={
                "78": {"__bigint": "18446744073709551615"},
                "385": {"__buffer_b64": base64.b64encode(octets).decode()},
                "386": {"type": "Buffer", "data": list(octets)},
                "16": 9007199254740991,
                "181": 1.2,
                "11": "8935 ë",
                "239": True,
                "12": None,
            },
        )
    )
    service("a", redis_url, database_url, source.stream).ready()
    eventually(source.settled, "the record is acknowledged")
    (row,) = asyncio.run(query(database_url, "SELECT * FROM positions"))
    assert json.loads(row["attributes"]) == {
        "78": "18446744073709551615",
        "385": base64.b64encode(octets).decode(),
        "386": base64.b64encode(octets).decode(),
        "16": 9007199254740991,
        "181": 1.2,
        "11": "8935 ë",
        "239": True,
        "12": None,
    }
    assert row["device_id"] == "356307042440000"
    assert row["ts"] == source.began
    assert (row["latitude"], row["speed"], row["satellites"]) == (41.3, 63, 11)
    assert (row["codec"], row["faulty"], row["decoded_attributes"]) == ("8E", False, None)


def test_the_first_of_several_with_one_key_stays(
    service: Any, producer: Any, query: Any, eventually: Any, redis_url: str, database_url: str
) -> None:
    source = producer(redis_url)
    source.add(source.payload(0, speed=1))
    source.add(source.payload(0, speed=2))
    running = service("a", redis_url, database_url, source.stream).ready()
    eventually(source.settled, "both are acknowledged")
    source.add(source.payload(0, speed=3))
    panic = source.add(source.payload(0, speed=4, priority=2))
    eventually(source.settled, "all are acknowledged")
    rows = asyncio.run(query(database_url, "SELECT speed FROM positions"))
    assert [row["speed"] for row in rows] == [1]
    (letter,) = source.dead_letters()
    assert (letter["origin_id"], letter["reason"]) == (panic, "conflict")
    (note,) = asyncio.run(query(database_url, "SELECT * FROM processor.track_changes"))
    assert (note["kind"], note["device_ids"]) == ("fixes", ["356307042440000"])
    assert note["from_ts"] == note["to_ts"] == [source.began]
    assert running.metric('processor_position_writes_total{status="duplicate"}') == 2
    assert running.stop() == 0


BAD = {
    "payload-missing": {"codec": "8"},
    "payload-not-json": {"codec": "8", "payload": b'{"device_id":'},
    "text-unstorable": {"codec": "8", "payload": b'{"device_id":"\xff"}'},
}


@pytest.mark.parametrize("batch", [1, 1000])
def test_bad_records_cost_their_neighbours_nothing(
    service: Any,
    producer: Any,
    query: Any,
    eventually: Any,
    redis_url: str,
    database_url: str,
    batch: int,
) -> None:
    source = producer(redis_url)
    expected = {}
    good = 0
    bad_members: list[tuple[str, dict[str, Any]]] = [
        ("field-missing", {"latitude": ...}),
        ("field-type", {"satellites": True}),
        ("field-range", {"latitude": 91}),
        ("field-range", {"timestamp": "1999-12-31T23:59:59Z"}),
        ("sentinel-unknown", {"attributes": {"1": {}}}),
        ("sentinel-malformed", {"attributes": {"1": {"__bigint": "1.5"}}}),
        ("text-unstorable", {"attributes": {"1": "\0"}}),
        ("too-large", {"attributes": {"1": "x" * 70_000}}),
        # What no decoder can know, the database says: the number has more digits than it stores.
        ("refused-by-database", {"attributes": {"1": "REPLACED"}}),
    ]
    for reason, fields in BAD.items():
        expected[source.add_fields(fields)] = reason
    for n, (reason, members) in enumerate(bad_members):
        payload = {k: v for k, v in source.payload(n, **members).items() if v is not ...}
        text = json.dumps(payload).replace('"REPLACED"', "1e200000").encode()
        expected[source.add(text)] = reason
        for m in range(3):
            source.add(source.payload(1000 + 10 * n + m))
            good += 1
    running = service("a", redis_url, database_url, source.stream, WRITE_BATCH_SIZE=str(batch))
    running.ready()
    eventually(source.settled, "everything is acknowledged")
    letters = source.dead_letters()
    assert {letter["origin_id"]: letter["reason"] for letter in letters} == expected
    assert len(letters) == len(expected)
    for letter in letters:
        assert letter["error"]
        assert letter["instance_id"] == "a"
        assert int(letter["deliveries"]) >= 1
        assert datetime.fromisoformat(letter["failed_at"]).tzinfo is not None
    (refused,) = [each for each in letters if each["reason"] == "refused-by-database"]
    assert "22003" in refused["error"]
    (row,) = asyncio.run(query(database_url, "SELECT count(*) FROM positions"))
    assert row["count"] == good
    assert running.metric('processor_dead_letters_total{reason="refused-by-database"}') == 1


def test_postgres_stops_and_starts_again_with_records_read_meanwhile(
    service: Any, producer: Any, query: Any, eventually: Any, redis_url: str, own_database: Any
) -> None:
    source = producer(redis_url)
    running = service("a", redis_url, own_database.url, source.stream).ready()
    for n in range(500):
        source.add(source.payload(n))
    eventually(source.settled, "all is well")
    own_database.stop()
    for n in range(500, 1500):
        source.add(source.payload(n))
    eventually(
        lambda: running.metric("processor_in_flight_entries") == 1000, "records are read meanwhile"
    )
    eventually(lambda: running.status("/readyz") == 503, "it says that it is not ready")
    assert running.status("/healthz") == 200
    own_database.start()
    eventually(source.settled, "it resumes by itself")
    eventually(lambda: running.status("/readyz") == 200, "it is ready again")
    (row,) = asyncio.run(query(own_database.url, "SELECT count(*) FROM positions"))
    assert row["count"] == 1500
    assert source.dead_letters() == []
    assert running.stop() == 0


async def test_what_a_killed_instance_held_the_other_takes_over(
    service: Any, producer: Any, eventually: Any, redis_url: str, postgres_url: str
) -> None:
    source = producer(redis_url)
    settings = {"CLAIM_THRESHOLD_MS": "500", "CLAIM_INTERVAL_MS": "500", "BATCH_SIZE": "100"}
    first = service("a", redis_url, postgres_url, source.stream, **settings).ready()
    database = await asyncpg.connect(postgres_url)
    async with database.transaction():
        # It reads and cannot write, so it holds entries when it is killed.
        await database.execute("LOCK TABLE positions IN ACCESS EXCLUSIVE MODE")
        for n in range(3000):
            source.add(source.payload(n))
        eventually(lambda: source.pending() > 0, "the first one holds entries")
        first.kill()
    assert source.pending() > 0
    second = service("b", redis_url, postgres_url, source.stream, **settings).ready()
    eventually(source.settled, "the second one finishes the work of both")
    assert await database.fetchval("SELECT count(*) FROM positions") == 3000
    await database.close()
    assert second.metric("processor_claimed_total") > 0
    assert second.stop() == 0


def test_redis_is_killed_and_comes_back(
    service: Any, producer: Any, query: Any, eventually: Any, own_redis: Any, postgres_url: str
) -> None:
    source = producer(own_redis.url)
    running = service("a", own_redis.url, postgres_url, source.stream).ready()
    for n in range(300):
        source.add(source.payload(n))
    own_redis.kill()
    eventually(lambda: running.status("/readyz") == 503, "it says that it is not ready")
    assert running.status("/healthz") == 200
    own_redis.start()
    for n in range(300, 600):
        source.add(source.payload(n))
    eventually(source.settled, "it resumes by itself")
    (row,) = asyncio.run(query(postgres_url, "SELECT count(*) FROM positions"))
    assert row["count"] == 600
    assert running.stop() == 0


def test_servers_that_are_away_at_the_start_are_waited_for(
    service: Any,
    producer: Any,
    query: Any,
    eventually: Any,
    rights: Any,
    own_redis: Any,
    own_postgres: Any,
) -> None:
    source = producer(own_redis.url)
    source.add(source.payload(0))
    owner = rights.owner(own_postgres.url)  # it has yet to migrate
    own_redis.stop()
    own_postgres.stop()
    running = service("a", own_redis.url, owner, source.stream)
    eventually(lambda: running.status("/healthz") == 200, "it is alive")
    assert running.status("/readyz") == 503
    own_postgres.start()
    own_redis.start()
    running.ready()
    eventually(source.settled, "the record that was there before is acknowledged")
    (row,) = asyncio.run(query(own_postgres.url, "SELECT count(*) FROM positions"))
    assert row["count"] == 1
