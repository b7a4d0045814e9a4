"""Listening sockets, and uvicorn inside our own supervisor: it has no say about signals, and it
ends when told to."""

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Any

import uvicorn

MOST_CONNECTIONS = 100
"""Prometheus, a kubelet and some curious people need a handful."""

IDLE_S = 30
"""A scraper that keeps its connection comes every 15 s."""

WAITING = 1024
"""Connections that the kernel holds while we are busy: a crowd that comes back after a restart."""


def listen(host: str, port: int, *, prefix: str, waiting: int = MOST_CONNECTIONS) -> socket.socket:
    """A listening socket, before anything else is started; port 0 takes a free one. `prefix` is
    what the variables for host and port begin with.

    Raises OSError with the sentence to show where the port is taken or the host is not ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(f"{prefix}_HOST {host} cannot be listened on: {error.strerror}") from error
    try:
        # Without it, a restart would find the port of its own past connections taken.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Now, and not when we serve: two processes may be bound to one port, and only one listens.
        bound.listen(waiting)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise OSError(
            f"{prefix}_PORT {port} on {host} cannot be had ({error.strerror}): "
            "stop what has it, or set another one (0 takes a free one)"
        ) from error
    return bound


class Serving:
    """One application on one listening socket. `settings` are uvicorn's, besides those that all of
    ours have."""

    def __init__(self, app: Any, bound: socket.socket, **settings: Any) -> None:
        common: dict[str, Any] = {
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "lifespan": "off",
            "ws": "none",
            "http": "h11",
            "loop": "none",
            "timeout_keep_alive": IDLE_S,
            "timeout_graceful_shutdown": 1,
        }
        self._bound = bound
        self.port: int = bound.getsockname()[1]
        self._server = _Unsignalled(uvicorn.Config(app, **(common | settings)))

    async def run(self) -> None:
        """Answer until `stop`; then let a request under way have its second."""
        await self._server.serve(sockets=[self._bound])

    def stop(self) -> None:
        self._server.should_exit = True

    async def listening(self) -> None:
        """Return once requests are answered."""
        await self._server.listening.wait()


class _Unsignalled(uvicorn.Server):
    """uvicorn takes over SIGTERM and SIGINT, and raises them again when it has ended."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
