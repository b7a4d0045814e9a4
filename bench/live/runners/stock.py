"""What one writes first with Starlette and uvicorn: a task that reads the stream by redis-py, makes
the text of an entry once, and awaits `send_text` of one client after the other.

uvicorn's own WebSocket protocol, the faster of those it has (websockets-sansio). No queue for a
client: one that does not read holds up all who come after it.
"""

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


class Live:
    def __init__(self, a: argparse.Namespace) -> None:
        self._a = a
        self._topic = f"event:{a.event}"
        self._single: dict[WebSocket, None] = {}
        self._batch: dict[WebSocket, None] = {}
        self._moved: dict[str, dict[str, Any]] = {}

    async def connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            asked = await websocket.receive_json()
            await websocket.send_json({"type": "subscribed", "topic": self._topic})
            audience = self._batch if asked.get("frames") == "batch" else self._single
            audience[websocket] = None
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            self._leave(websocket)

    def _leave(self, websocket: WebSocket) -> None:
        self._single.pop(websocket, None)
        self._batch.pop(websocket, None)

    @contextlib.asynccontextmanager
    async def beside(self, app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._tick())]
        yield
        for task in tasks:
            task.cancel()

    async def _read(self) -> None:
        redis = Redis.from_url(self._a.redis)
        last_id: Any = "0-0"
        while True:
            reply = await redis.xread({self._a.stream: last_id}, count=500, block=1000)
            for entry_id, fields in reply[0][1] if reply else ():
                await self._take(json.loads(fields[b"payload"]))
                last_id = entry_id

    async def _take(self, payload: dict[str, Any]) -> None:
        fix = {
            "deviceId": payload["device_id"],
            "lat": payload["latitude"],
            "lon": payload["longitude"],
            "ts": round(datetime.fromisoformat(payload["timestamp"]).timestamp() * 1000),
        }
        if payload["speed"]:
            fix["speed"] = payload["speed"]
        if payload["angle"]:
            fix["course"] = payload["angle"]
        if self._single:
            await self._send({"type": "position", "topic": self._topic, **fix}, self._single)
        if self._batch:
            self._moved.pop(fix["deviceId"], None)
            self._moved[fix["deviceId"]] = fix

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._a.batch_ms / 1000)
            if self._moved:
                fixes, self._moved = list(self._moved.values()), {}
                message = {"type": "positions", "topic": self._topic, "positions": fixes}
                await self._send(message, self._batch)

    async def _send(self, message: dict[str, Any], audience: Iterable[WebSocket]) -> None:
        text = json.dumps(message, separators=(",", ":"))
        for websocket in list(audience):
            try:
                await websocket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                self._leave(websocket)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--redis", "--stream", "--event"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--batch-ms", type=int, required=True)
    options = parser.parse_args()
    live = Live(options)
    uvicorn.run(
        Starlette(routes=[WebSocketRoute("/ws-live", live.connect)], lifespan=live.beside),
        host="127.0.0.1",
        port=options.port,
        ws="websockets-sansio",
        log_level="warning",
    )
