"""The IO mapping: which row counts, and what it makes of a raw value."""

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.domain.io_mapping import (
    DEFAULT_TABLE,
    URGENT,
    WIDTH_MAX,
    Decoded,
    IoKind,
    IoMapping,
    Misfit,
    mapping_of,
    reader,
)


def decoded(row: IoMapping, raw: object) -> Decoded:
    return reader(row)(raw)


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
        (78, "HgAAD5yPdgE=", "ibutton", "01768f9c0f00001e"),  # as bytes: eight, in base64
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
        (78, 2**64), (78, -1), (78, "AXaPnA8A"), (78, "AXaPnA8AAB4"), (78, "é"), (78, ""),
        (78, True), (78, 1.0), (240, 1.0), (247, 256), (73, -(2**31) - 1), (72, 2**31 - 1),
        (11, ""), (11, None), (11, True), (11, 1.5), (66, "9" * 101),
        (11, {"a": 1}), (66, {}), (78, []),
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


def test_a_scaled_number_has_no_noise_and_a_great_one_loses_no_digit() -> None:
    thousandths = IoMapping("*", 1, "t", multiplier=Decimal("0.001"))
    assert [decoded(thousandths, raw) for raw in (12_345, 1, 3, 1_005, 69_999)] == [
        12.345, 0.001, 0.003, 1.005, 69.999,
    ]  # fmt: skip
    assert decoded(IoMapping("*", 1, "n"), str(10**40 + 1)) == 10**40 + 1
    assert decoded(IoMapping("*", 1, "n", multiplier=Decimal(2)), str(10**40 + 1)) == 2 * 10**40 + 2


@given(st.integers(0, 2**64), st.integers(-9, 9), st.integers(-999, 999), st.integers(-3, 3))
def test_a_scaled_number_is_the_double_nearest_to_the_exact_one(
    raw: int, exponent: int, offset: int, offset_exponent: int
) -> None:
    multiplier, plus = Decimal(7).scaleb(exponent), Decimal(offset).scaleb(offset_exponent)
    row = IoMapping("*", 1, "n", multiplier=multiplier, offset=plus)
    with localcontext(prec=100):
        assert float(decoded(row, raw)) == float(raw * multiplier + plus)


def test_what_is_beyond_every_double_is_nothing() -> None:
    row = IoMapping("*", 1, "n", multiplier=Decimal("1e307"), offset=Decimal("0.5"))
    assert decoded(row, 1) == 1e307
    with pytest.raises(Misfit):
        decoded(row, 1000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bytes": 0}, {"bytes": -1}, {"bytes": WIDTH_MAX + 1}, {"multiplier": Decimal("NaN")},
        {"multiplier": Decimal("1e400")}, {"offset": Decimal("Infinity")},
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        IoMapping("*", 1, "n", **wrong)


def test_hex_of_bytes_keeps_the_zeros_in_front() -> None:
    row = IoMapping("*", 385, "beacon", IoKind.HEX)
    assert decoded(row, "AAECAw==") == "00010203"
    assert decoded(IoMapping("*", 1, "x", IoKind.HEX, bytes=4), 0x010203) == "00010203"


def test_digits_that_may_be_a_number_or_three_bytes_are_not_guessed() -> None:
    row = IoMapping("*", 1, "x", IoKind.HEX, bytes=3)
    assert [decoded(row, raw) for raw in (1234, "123", "AAEC")] == ["0004d2", "00007b", "000102"]
    with pytest.raises(Misfit):
        decoded(row, "1234")


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


def test_a_row_of_an_earlier_table_stands_before_a_more_specific_one_of_a_later() -> None:
    ours = [IoMapping("FMB*", 66, "supply_mv"), IoMapping("FMB*", 900, "ours")]
    mapping = mapping_of("FMB930", ours, DEFAULT_TABLE)
    assert (mapping[66].name, mapping[67].name, mapping[900].name) == (
        "supply_mv", "battery_voltage_v", "ours",
    )  # fmt: skip
    assert list(mapping) == sorted(mapping)
    assert mapping_of("FMC130", ours, DEFAULT_TABLE)[66].name == "external_voltage_v"


def test_two_rows_that_differ_in_the_multiplier_alone_are_taken_in_a_fixed_order() -> None:
    rows = [IoMapping("*", 1, "n", multiplier=Decimal(n)) for n in (2, 3)]
    assert mapping_of("", rows) == mapping_of("", rows[::-1])


def test_the_urgent_ids_are_those_of_crash_jamming_and_unplugged() -> None:
    mapping = mapping_of("FMB920", DEFAULT_TABLE)
    assert [mapping[io_id].name for io_id in sorted(URGENT)] == ["crash", "jamming", "unplugged"]


@given(
    st.integers(1, 8).flatmap(
        lambda width: st.tuples(
            st.just(width), st.integers(-(1 << 8 * width - 1), (1 << 8 * width - 1) - 1)
        )
    )
)
def test_two_s_complement_comes_back(width_and_number: tuple[int, int]) -> None:
    width, number = width_and_number
    row = IoMapping("*", 1, "n", IoKind.INT, bytes=width)
    assert decoded(row, number % (1 << 8 * width)) == number
    with pytest.raises(Misfit):
        decoded(row, 1 << 8 * width)
