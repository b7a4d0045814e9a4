"""WebSocket frames as a client sees them (RFC 6455, 5.2), and the instant of the fix in one.

Pure, and short on the way in: the crowd (crowd.py) reads a hundred thousand frames a second and
must not be what is measured. Servers do not mask and do not cut short messages into pieces, so a
frame is a message; what is masked or reserved is a server's fault and raises ValueError.
"""

TEXT, CLOSE, PING = 0x1, 0x8, 0x9
PONG = 0xA

Frame = tuple[int, int, int]
"""Its opcode, and where its payload begins and ends."""

_TS = b'"ts":'
_TS_DIGITS = 13
"""Milliseconds since the epoch have as many until the year 2286."""
_NEAR_THE_END = 200
"""Where the last fix of a frame begins, seen from its end: most have 110 bytes."""


def frames(data: bytes | bytearray, end: int) -> tuple[list[Frame], int]:
    """The whole frames in `data[:end]`, and where the first that is not whole begins."""
    found: list[Frame] = []
    place = 0
    while place + 2 <= end:
        size = data[place + 1]
        start = place + 2
        if size == 126:
            start = place + 4
            if start > end:
                break
            size = data[place + 2] << 8 | data[place + 3]
        elif size > 126:
            if size > 127:
                raise ValueError("a server does not mask")
            start = place + 10
            if start > end:
                break
            size = int.from_bytes(data[place + 2 : start], "big")
        stop = start + size
        if stop > end:
            break
        found.append((data[place] & 0x0F, start, stop))
        place = stop
    return found, place


def last_fix_ms(data: bytes | bytearray, start: int, stop: int) -> int | None:
    """The instant of the last fix in the message `data[start:stop]`, milliseconds since the epoch;
    None where there is none. In a batch the last is the one that moved last."""
    place = data.rfind(_TS, max(start, stop - _NEAR_THE_END), stop)
    if place < 0:
        return None
    place += len(_TS)
    return int(data[place : place + _TS_DIGITS])


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame. Masked by zeros: that leaves the payload as it is, and servers have to do
    the same work as with any other mask."""
    size = len(payload)
    assert size < 65_536, "a client says little"
    head = bytes((0x80 | opcode, 0x80 | size)) if size < 126 else (
        bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    )  # fmt: skip
    return head + bytes(4) + payload


def upgrade(port: int, path: str) -> bytes:
    """The request that opens a WebSocket on this machine. Its key is always the same, and the
    answer to it is not looked at: it is not the handshake that is measured."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: YmVuY2gtbGl2ZS1jcm93ZA==\r\n\r\n"
    ).encode()
