"""`/ws-live` as an ASGI application: from the handshake to the goodbye.

Starlette routes, uvicorn receives; what is sent goes by the connection's Line (transport.py). A
connection is one task that listens, and one more for each subscription that is being answered.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from processor.adapters.websocket.protocol import LINE
from processor.adapters.websocket.transport import BrowserLine
from processor.core.errors import Unavailable
from processor.core.live.admission import NOBODY, NOT_NOW, Admission, Refusal
from processor.core.live.clients import Client, Clients
from processor.core.live.rechecks import Rechecks
from processor.core.notices import LineClosed
from processor.core.ports import AuthVerifier, Clock, Observer

PATH = "/ws-live"

OVER_THE_RATE_S = 0.01
"""What a client that is over its rate waits for each message: reading from it slows down, and with
it the client, so that a flood costs a hundredth of a core and not all of one."""

NOT_TEXT, INTERNAL, RESTARTING = 1003, 1011, 1012
NO_CODE = 1005

NOWHERE = Refusal(404, f"the live channel is {PATH}")


class LiveServer:
    """The application, and the end of all its connections."""

    def __init__(
        self,
        *,
        admission: Admission,
        clients: Clients,
        rechecks: Rechecks,
        verifier: AuthVerifier,
        clock: Clock,
        observer: Observer,
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        """`routes` are those of our page, if it is shown."""
        self._admission = admission
        self._clients = clients
        self._rechecks = rechecks
        self._verifier = verifier
        self._clock = clock
        self._observer = observer
        nowhere = WebSocketRoute("/{path:path}", _nowhere)
        self.application = Starlette(routes=[WebSocketRoute(PATH, self._connect), nowhere, *routes])
        self.application.router.redirect_slashes = False  # a redirect would hold a URL

    async def drain(self, within_ms: int) -> None:
        """Let nobody in, and send everybody away, one after the other: those who come back do not
        come back all at once. Who is not gone by then is cut off."""
        self._admission.close()
        started_s = self._clock.elapsed()
        within_s = within_ms / 1000
        clients = self._clients.connected()
        for index, client in enumerate(clients):
            due_s = started_s + within_s * index / len(clients)
            if (wait_s := due_s - self._clock.elapsed()) > 0:
                await self._clock.sleep(wait_s)
            client.line.close(RESTARTING, "restarting")
        while len(self._clients) and self._clock.elapsed() - started_s < within_s:
            await self._clock.sleep(min(0.05, within_s))
        for client in self._clients.connected():
            if isinstance(client.line, BrowserLine):
                client.line.transport.abort()

    # -- handshake ---------------------------------------------------------------------------

    async def _connect(self, websocket: WebSocket) -> None:
        cookie = "; ".join(websocket.headers.getlist("cookie"))
        user_id = await self._judged(websocket.headers, cookie)
        if isinstance(user_id, Refusal):
            await _refuse(websocket, user_id)
            return
        line = websocket.scope["extensions"][LINE]
        try:
            await websocket.accept()
            await self._serve(websocket, line, user_id, cookie)
        except WebSocketDisconnect:
            pass  # gone before it was let in
        finally:
            self._admission.leave(user_id)

    async def _judged(self, headers: Headers, cookie: str) -> str | Refusal:
        """The user who is admitted, or why nobody is. In the order of the contract: Origin, cookie,
        room, then Directus."""
        origins, hosts = headers.getlist("origin"), headers.getlist("host")
        refusal = self._admission.knock(
            origin=", ".join(origins) if origins else None, host=", ".join(hosts), cookie=cookie
        )
        if refusal is not None:
            return refusal
        try:
            user_id = await self._verifier.identify(cookie)
        except Unavailable:
            self._admission.give_up()
            return NOT_NOW
        except BaseException:
            self._admission.give_up()
            raise
        if user_id is None:
            self._admission.give_up()
            return NOBODY
        return self._admission.enter(user_id) or user_id

    # -- conversation ------------------------------------------------------------------------

    async def _serve(
        self, websocket: WebSocket, line: BrowserLine, user_id: str, cookie: str
    ) -> None:
        client = self._clients.arrive(line, user_id, cookie)
        self._rechecks.add(client)
        code = NO_CODE
        try:
            async with asyncio.TaskGroup() as tasks:
                answering = _Answering(tasks)
                code = await self._listen(websocket, line, client, answering)
                answering.cancel()  # nobody is there to be told
        except Exception:
            line.close(code := INTERNAL, "internal error")
            raise
        finally:
            self._clients.leave(client)
            self._observer.observe(LineClosed(code, line.conflated))

    async def _listen(
        self, websocket: WebSocket, line: BrowserLine, client: Client, answering: "_Answering"
    ) -> int:
        """Until the connection ends; its close code."""
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return int(message.get("code") or NO_CODE)
            text = message.get("text")
            if line.closed:
                continue  # said before it had heard our goodbye
            if text is None:
                client.line.close(NOT_TEXT, "send text")
                continue
            asked = self._clients.hear(client, text)
            if asked is not None:
                answering.begin(self._clients.subscribe(client, asked))
            elif client.session.exhausted:
                await self._clock.sleep(OVER_THE_RATE_S)


class _Answering:
    """Answers under way for one connection. One that fails ends the connection with it."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._begun: set[asyncio.Task[None]] = set()

    def begin(self, answer: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(answer)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    def cancel(self) -> None:
        for task in self._begun:
            task.cancel()


async def _nowhere(websocket: WebSocket) -> None:
    await _refuse(websocket, NOWHERE)


async def _refuse(websocket: WebSocket, refusal: Refusal) -> None:
    headers = {} if refusal.retry_after_s is None else {"retry-after": str(refusal.retry_after_s)}
    body = PlainTextResponse(f"{refusal.sentence}\n", refusal.status, headers)
    await websocket.send_denial_response(body)
