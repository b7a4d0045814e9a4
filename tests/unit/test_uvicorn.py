"""What adapters/websocket/protocol.py relies on in uvicorn, `websockets`, h11 and asyncio.

None of it is promised by them. When a new version moves it, this says what moved.
"""

import asyncio
import inspect
import socket
from typing import Any

import h11
import pytest
import uvicorn
from uvicorn.protocols.http import h11_impl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets import websockets_sansio_impl
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from processor.adapters.websocket.protocol import DoorRules, FrontDoor, LiveProtocol
from processor.adapters.websocket.transport import SlowRules

OVERRIDDEN = {
    H11Protocol: {
        "connection_made": ["transport"],
        "connection_lost": ["exc"],
        "data_received": ["data"],
        "handle_websocket_upgrade": ["event"],
        "send_400_response": ["msg"],
    },
    WebSocketsSansIOProtocol: {
        "connection_made": ["transport"],
        "connection_lost": ["exc"],
        "eof_received": [],
        "pause_writing": [],
        "resume_writing": [],
        "data_received": ["data"],
        "shutdown": [],
        "send": ["message"],
        "handle_connect": ["event"],
        "handle_cont": ["event"],
        "handle_ping": [],
        "handle_pong": ["event"],
        "handle_close": ["event"],
        "handle_parser_exception": [],
        "keepalive_timeout": [],
        "send_receive_event_to_app": [],
    },
}

CALLED = {WebSocketsSansIOProtocol: {"stop_keepalive": []}}

SAID_TO_UVICORN = {
    "handshake_initiated": False,
    "handshake_complete": False,
    "close_sent": False,
    "disconnected": False,
    "close_timer": None,
    "initial_response": None,
    "read_paused": False,
    "frames": [],
    "curr_msg_data_type": "bytes",
}
"""Attributes of a WebSocket's protocol that we read or set, as they are at the beginning."""


def pairs(table: dict[type, dict[str, list[str]]]) -> list[Any]:
    return [
        pytest.param(of, name, parameters, id=f"{of.__name__}.{name}")
        for of, methods in table.items()
        for name, parameters in methods.items()
    ]


@pytest.mark.parametrize(("of", "name", "parameters"), pairs(OVERRIDDEN) + pairs(CALLED))
def test_a_method_is_there_with_its_parameters(of: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(of, name)).parameters) == ["self", *parameters]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(FrontDoor, H11Protocol), (LiveProtocol, WebSocketsSansIOProtocol)],
)
def test_what_we_override_is_all_listed_here(ours: type, theirs: type) -> None:
    """A method of ours with a name of theirs that is not listed would override by accident."""
    overridden = {
        name for name in vars(ours) if hasattr(theirs, name) and not name.startswith("__")
    }
    assert overridden == set(OVERRIDDEN[theirs])


@pytest.fixture
async def protocols() -> tuple[H11Protocol, WebSocketsSansIOProtocol]:
    config = uvicorn.Config(lambda: None, log_config=None, ws_max_size=16_384)
    config.load()
    state = uvicorn.server.ServerState()
    known: dict[str, Any] = {"config": config, "server_state": state, "app_state": {}}
    door = FrontDoor(DoorRules(1), **known)
    return door, LiveProtocol(SlowRules(1, 1.0), **known)


async def test_the_attributes_are_there(protocols) -> None:
    door, live = protocols
    assert {name: getattr(live, name) for name in SAID_TO_UVICORN} == SAID_TO_UVICORN
    assert isinstance(live.queue, asyncio.Queue)
    assert isinstance(live.conn, ServerProtocol)
    assert isinstance(door.conn, h11.Connection)
    assert live.connections is door.connections, "the door counts both"
    assert (door.conn.their_state, door.conn.our_state) == (h11.IDLE, h11.IDLE)
    assert door.conn.trailing_data == (b"", False)
    assert (live.conn.close_sent, live.conn.parser_exc) == (None, None)
    assert inspect.isgenerator(live.conn.parser)
    assert door.cycle is None, "until there was a request"
    assert "if self.disconnected:\n            return" in inspect.getsource(
        RequestResponseCycle.send
    )


def test_our_own_attributes_hide_none_of_theirs() -> None:
    ours = {"_rules", "_head", "_visit", "_slow", "_line", "_deaf", "_cut", "_quiet_frames"}
    for module in (h11_impl, websockets_sansio_impl):
        source = inspect.getsource(module)
        assert [name for name in ours if f"self.{name} " in source] == []


def test_how_uvicorn_hands_a_connection_over() -> None:
    source = inspect.getsource(H11Protocol.handle_websocket_upgrade)
    made, fed, set_over = (
        source.index(step)
        for step in ("connection_made(self.transport)", "data_received(", "set_protocol(protocol)")
    )
    assert made < fed < set_over


def test_the_application_s_end_closes_no_transport_that_has_a_close_timer() -> None:
    assert "if self.close_timer is None:\n            self.transport.close()" in inspect.getsource(
        WebSocketsSansIOProtocol.run_asgi
    )


def test_a_pong_begins_as_we_look_for_it_and_all_writes_are_whole_frames() -> None:
    conn = ServerProtocol()
    conn.send_frame(Frame(Opcode.PONG, b"x"))
    conn.send_frame(Frame(Opcode.CLOSE, b""))
    assert [each[:1] for each in conn.data_to_send()] == [b"\x8a", b"\x88"]


async def test_a_transport_of_asyncio_reads_at_most_max_size() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    got: asyncio.Queue[bytes] = asyncio.Queue()

    class Reader(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            got.put_nowait(data)

    ours.setblocking(False)
    theirs.sendall(b"x" * 100)
    transport, _ = await loop.create_connection(Reader, sock=ours)
    transport.max_size = 10
    assert [len(await got.get()) for _ in range(10)] == [10] * 10
    transport.close()
    theirs.close()
