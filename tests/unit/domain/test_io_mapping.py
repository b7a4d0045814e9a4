"""The IO mapping: which row counts, and what it makes of a raw value."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.domain.io_mapping import (
    DEFAULT_TABLE,
    IoKind,
    IoMapping,
    Misfit,
    decoded,
    mapping_of,
)


def read(io_id: int, raw: object, model: str = "FMB920") -> object:
    return decoded(mapping_of(model, DEFAULT_TABLE)[io_id], raw)


@pytest.mark.parametrize(
    ("io_id", "raw", "name", "value"),
    [
        (1, 1, "digital_in_1", True),
        (2, 0, "digital_in_2", False),
        (3, 1, "digital_in_3", True),
        (9, 4999, "analog_in_1_v", 4.999),
        (11, "8937001234567890123", "iccid", "8937001234567890123"),
        (11, 893700, "iccid", "893700"),
        (16, 1_234_567, "odometer_km", 1234.567),
        (17, 65_516, "accel_x_mg", -20),
        (18, 32_767, "accel_y_mg", 32_767),
        (19, 32_768, "accel_z_mg", -32_768),
        (21, 5, "gsm_signal", 5),
        (24, 71, "speed_kmh", 71),
        (66, 12_634, "external_voltage_v", 12.634),
        (67, 4_075, "battery_voltage_v", 4.075),
        (68, 120, "battery_current_a", 0.12),
        (69, 1, "gnss_status", 1),
        (72, 215, "temperature_1_c", 21.5),
        (73, 2**32 - 55, "temperature_2_c", -5.5),
        (74, 849, "temperature_3_c", 84.9),
        (75, 0, "temperature_4_c", 0.0),
        (78, 0x1E00000F9C8F7601, "ibutton", "01768f9c0f00001e"),
        (78, str(0xFE00000F9C8F7601), "ibutton", "01768f9c0f0000fe"),
        (80, 3, "data_mode", 3),
        (113, 100, "battery_percent", 100),
        (181, 12, "pdop", 1.2),
        (182, 7, "hdop", 0.7),
        (199, 1500, "trip_odometer_km", 1.5),
        (200, 2, "sleep_mode", 2),
        (239, 1, "ignition", True),
        (240, 0, "movement", False),
        (241, 27_601, "gsm_operator", 27_601),
        (246, 1, "towing", True),
        (247, 3, "crash", 3),
        (249, 1, "jamming", True),
        (252, 1, "unplugged", True),
        (253, 2, "driving_event", 2),
        (255, 132, "overspeeding", 132),
    ],
)
def test_the_default_table(io_id: int, raw: object, name: str, value: object) -> None:
    row = mapping_of("FMB920", DEFAULT_TABLE)[io_id]
    found = decoded(row, raw)
    assert (row.name, found, type(found)) == (name, value, type(value))


def test_the_default_table_has_no_other_ids() -> None:
    assert list(mapping_of("FMB920", DEFAULT_TABLE)) == [
        1, 2, 3, 9, 11, 16, 17, 18, 19, 21, 24, 66, 67, 68, 69, 72, 73, 74, 75, 78, 80, 113, 181,
        182, 199, 200, 239, 240, 241, 246, 247, 249, 252, 253, 255,
    ]  # fmt: skip


def test_the_voltage_of_an_fmb930_is_in_hundredths() -> None:
    assert read(66, 1263, "FMB930") == 12.63
    assert read(66, 1263, "FMB9301") == 1.263
    assert read(67, 4075, "FMB930") == 4.075


@pytest.mark.parametrize(
    ("io_id", "raw"),
    [
        (72, 850), (72, 3000), (72, 5000),  # error codes
        (72, 2**32), (17, 65_536), (66, 65_536), (17, -32_769), (66, -1),
        (21, 6), (113, 101), (239, 2), (239, "on"), (239, None),
        (66, 12.5), (66, 12.0), (66, True), (66, "12 V"), (66, ""), (66, "１２"), (66, [12]),
        (78, 2**64), (78, "AXaPnA8AAB4="), (11, ""), (11, True), (11, 1.5), (66, "9" * 101),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_nothing(io_id: int, raw: object) -> None:
    with pytest.raises(Misfit):
        read(io_id, raw)


def test_a_signed_value_that_arrives_signed_means_itself() -> None:
    assert read(17, -20) == -20
    assert read(73, -55) == -5.5


def test_an_enum_names_its_values() -> None:
    row = IoMapping("*", 80, "mode", IoKind.ENUM, values={0: "home", 1: "roaming"})
    assert decoded(row, 1) == "roaming"
    with pytest.raises(Misfit):
        decoded(row, 2)


def test_offset_and_multiplier() -> None:
    row = IoMapping("*", 1, "t", bytes=1, multiplier=Decimal("0.5"), offset=Decimal(-40))
    assert decoded(row, 101) == 10.5
    whole = IoMapping("*", 1, "t", bytes=1, offset=Decimal(-40))
    assert (decoded(whole, 101), type(decoded(whole, 101))) == (61, int)


def test_hex_without_a_width_has_the_bytes_that_it_needs() -> None:
    row = IoMapping("*", 1, "x", IoKind.HEX)
    assert [decoded(row, raw) for raw in (0, 255, 256)] == ["00", "ff", "0100"]


def named(model: str) -> IoMapping:
    return IoMapping(model, 1, model)


@pytest.mark.parametrize(
    ("models", "counts"),
    [
        (["*", "FMB*", "FMB92*", "FMB920"], "FMB920"),
        (["*", "FMB*", "FMB92*"], "FMB92*"),
        (["FMB???", "FMB92?"], "FMB92?"),  # as long as each other: by text
        (["FMB92[0-9]", "FMB92?"], "FMB92[0-9]"),
        (["*", "FMC*"], "*"),
    ],
)
def test_the_most_specific_row_counts(models: list[str], counts: str) -> None:
    for order in (models, models[::-1]):
        assert mapping_of("FMB920", map(named, order))[1].name == counts


@given(st.permutations(["*", "F*", "FM*", "*0", "FMB9*", "FMB92?", "FMB920", "fmb920", "FMB9200"]))
def test_the_order_of_the_table_decides_nothing(models: list[str]) -> None:
    assert mapping_of("FMB920", map(named, models))[1].name == "FMB920"
    assert mapping_of("FMB921", map(named, models))[1].name == "FMB92?"
    assert mapping_of("", map(named, models))[1].name == "*"


@given(st.integers(1, 8), st.integers(-(2**63), 2**63 - 1))
def test_two_s_complement_comes_back(width: int, number: int) -> None:
    half = 1 << 8 * width - 1
    inside = -half <= number < half
    row = IoMapping("*", 1, "n", IoKind.INT, bytes=width)
    if inside:
        assert decoded(row, number % (2 * half)) == number
