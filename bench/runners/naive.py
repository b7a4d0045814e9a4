"""The loop that one writes on the first day: redis-py, json, executemany. The latency's reference.

Nothing overlaps and nothing is kept waiting: a record that comes alone is stored at once.
"""

import argparse
import asyncio
import json
import signal
from datetime import datetime
from typing import Any

import asyncpg
import redis.asyncio

INSERT = """
INSERT INTO positions (device_id, ts, latitude, longitude, altitude, angle, speed,
                       satellites, priority, codec, attributes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (device_id, ts) DO NOTHING
"""


def row(fields: dict[bytes, bytes]) -> tuple[object, ...]:
    p = json.loads(fields[b"payload"])
    attributes: dict[str, Any] = p["attributes"]
    for io_id, value in attributes.items():
        if isinstance(value, dict):
            attributes[io_id] = value.get("__bigint") or value.get("__buffer_b64")
    return (
        p["device_id"],
        datetime.fromisoformat(p["timestamp"]),
        p["latitude"],
        p["longitude"],
        p["altitude"],
        p["angle"],
        p["speed"],
        p["satellites"],
        p["priority"],
        fields[b"codec"].decode(),
        json.dumps(attributes),
    )


async def read(arguments: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    client = redis.asyncio.Redis.from_url(arguments.redis, protocol=2, socket_timeout=10)
    database = await asyncpg.connect(arguments.postgres)
    while not stopping.is_set():
        reply = await client.xreadgroup(
            arguments.group, "bench", {arguments.stream: ">"}, count=arguments.batch, block=1000
        )
        for _, entries in reply:
            await database.executemany(INSERT, [row(fields) for _, fields in entries])
            await client.xack(arguments.stream, arguments.group, *(key for key, _ in entries))
    await client.aclose()
    await database.close()


def arguments() -> argparse.Namespace:
    """What every runner is told."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--redis", "--postgres", "--stream", "--group"):
        parser.add_argument(name, required=True)
    parser.add_argument("--batch", type=int, required=True, help="entries a read")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(read(arguments()))
