"""What we encode is what PostgreSQL and its driver understand."""

import struct
from datetime import UTC, datetime

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.adapters.postgres.copy_format import COLUMNS, rows
from processor.core.model import Position

FLOAT4 = st.floats(width=32, allow_nan=False)
positions = st.builds(
    Position,
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=64),
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
    FLOAT4,
    FLOAT4,
    FLOAT4,
    st.integers(-32768, 32767),
    st.integers(-32768, 32767),
    st.sampled_from(["8", "8E", "16", "ÄÖ"]),
    st.sampled_from([b"{}", b'{"1": 2}', '{"й": "🏁"}'.encode()]),
)


def fields(stream):
    """The rows of a binary COPY stream, by the book: lists of undecoded fields."""
    assert stream[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    at = 19
    while (count := struct.unpack_from("!h", stream, at)[0]) != -1:
        at += 2
        row = []
        for _ in range(count):
            (length,) = struct.unpack_from("!i", stream, at)
            row.append(stream[at + 4 : at + 4 + length])
            at += 4 + length
        yield row
    assert at + 2 == len(stream)


@given(st.lists(positions, max_size=5))
def test_the_stream_is_well_formed(sent):
    found = list(fields(rows(sent)))
    assert [len(row) for row in found] == [len(COLUMNS)] * len(sent)
    for position, row in zip(sent, found, strict=True):
        named = dict(zip(COLUMNS, row, strict=True))
        assert named["device_id"] == position.device_id.encode()
        assert named["codec"] == position.codec.encode()
        assert named["attributes"] == b"\x01" + position.attributes
        assert struct.unpack("!d", named["latitude"]) == (position.latitude,)
        assert struct.unpack("!f", named["speed"]) == (position.speed,)
        assert struct.unpack("!h", named["satellites"]) == (position.satellites,)
        since_2000 = position.fixed_at - datetime(2000, 1, 1, tzinfo=UTC)
        (microseconds,) = struct.unpack("!q", named["ts"])
        assert divmod(microseconds, 86_400_000_000) == (
            since_2000.days,
            since_2000.seconds * 1_000_000 + since_2000.microseconds,
        )


@pytest.mark.parametrize("satellites", [32768, -32769])
def test_a_value_beyond_its_column_is_an_error(satellites):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(struct.error):
        rows([Position("1", at, 0.0, 0.0, 0.0, 0.0, 0.0, satellites, 0, "8", b"{}")])


async def test_the_server_reads_every_type_back(postgres_url):
    extremes = [
        ("356", datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC), -90.0, 180.0, -1e6, 360.0),
        ("Ω🚗", datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), 5e-324, -0.0, 1e6, 0.0),
        ("x" * 64, datetime(2000, 1, 1, tzinfo=UTC), 1.7e308, 0.1, 0.5, 1.5),
    ]
    # attributes in the layout in which jsonb shows itself
    sent = [
        Position(*extreme, 54.5, 32767, -32768, "8E", '{"1": 2.50, "й": "🏁"}'.encode())
        for extreme in extremes
    ]
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(
            "CREATE TABLE back (device_id text, ts timestamptz, latitude float8, longitude float8,"
            " altitude real, angle real, speed real, satellites int2, priority int2, codec text,"
            " attributes jsonb)"
        )
        tag = await connection.copy_to_table(
            "back", source=memoryview(rows(sent)), format="binary", columns=COLUMNS
        )
        found = await connection.fetch("SELECT * FROM back")
    finally:
        await connection.close()
    assert tag == "COPY 3"
    assert [Position(*row[:-1], row["attributes"].encode()) for row in found] == sent
