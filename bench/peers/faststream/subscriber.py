"""A FastStream subscriber: a batch of the stream as pydantic models, one unnest insert by asyncpg.

FastStream reads, validates and acknowledges; the function below only stores.
"""

import argparse
import asyncio
import json
import logging
from datetime import datetime
from typing import Any

import asyncpg
from faststream import FastStream
from faststream.redis import RedisBroker, StreamSub
from pydantic import BaseModel, Field, Json

arguments = argparse.ArgumentParser()
for name in ("--redis", "--postgres", "--stream", "--group"):
    arguments.add_argument(name, required=True)
arguments.add_argument("--batch", type=int, required=True)
options = arguments.parse_args()


class Position(BaseModel):
    device_id: str = Field(min_length=1, max_length=64)
    timestamp: datetime
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    altitude: float
    angle: float = Field(ge=0, le=360)
    speed: float = Field(ge=0)
    satellites: int = Field(ge=0, le=255)
    priority: int = Field(ge=0, le=2)
    attributes: dict[str, Any]


class Entry(BaseModel):
    codec: str
    payload: Json[Position]


INSERT = """
INSERT INTO positions (device_id, ts, latitude, longitude, altitude, angle, speed,
                       satellites, priority, codec, attributes)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::float8[], $4::float8[], $5::float4[],
                     $6::float4[], $7::float4[], $8::int2[], $9::int2[], $10::text[], $11::jsonb[])
ON CONFLICT (device_id, ts) DO NOTHING
"""

# The library logs two lines per message by default; nobody would leave that on at this rate.
broker = RedisBroker(options.redis, log_level=logging.DEBUG)
app = FastStream(broker)
pool: asyncpg.Pool


@app.on_startup
async def connect() -> None:
    global pool
    pool = await asyncpg.create_pool(options.postgres, min_size=1, max_size=2)


@broker.subscriber(
    stream=StreamSub(
        options.stream,
        group=options.group,
        consumer="bench",
        batch=True,
        max_records=options.batch,
        polling_interval=1000,
    )
)
async def store(entries: list[Entry]) -> None:
    rows = [row(entry) for entry in entries]
    await pool.execute(INSERT, *zip(*rows, strict=True))


def row(entry: Entry) -> tuple[object, ...]:
    p = entry.payload
    return (
        p.device_id, p.timestamp, p.latitude, p.longitude, p.altitude, p.angle, p.speed,
        p.satellites, p.priority, entry.codec, attributes_of(p.attributes),
    )  # fmt: skip


def attributes_of(bag: dict[str, Any]) -> str:
    for io_id, value in bag.items():
        if isinstance(value, dict):
            bag[io_id] = value.get("__bigint") or value.get("__buffer_b64")
    return json.dumps(bag)


if __name__ == "__main__":
    asyncio.run(app.run(log_level=logging.WARNING))
