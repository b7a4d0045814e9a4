"""Decoding a whole bag: names, what is left out, and what is counted."""

import base64
import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.domain.attributes import MODELS_MAX, Attributes, IoDecoder
from processor.domain.io_mapping import DEFAULT_TABLE, IoKind, IoMapping

DECODER = IoDecoder(DEFAULT_TABLE)


def decode(bag: object, model: str = "FMB920") -> Attributes:
    return DECODER.decode(model, json.dumps(bag).encode())


def test_a_bag_is_named_and_scaled() -> None:
    found = decode({"239": 1, "66": 12634, "78": "2161727888188995073", "17": 65516})
    assert found == Attributes(
        b'{"accel_x_mg":-20,"external_voltage_v":12.634,'
        b'"ibutton":"01768f9c0f00001e","ignition":true}',
        unmapped=0,
        misfits=0,
    )


def test_what_is_unmapped_or_does_not_fit_is_counted_and_left_out() -> None:
    found = decode({"239": 1, "10001": 5, "x": 1, "0239": 1, "72": 850, "66": None})
    assert found == Attributes(b'{"ignition":true}', unmapped=3, misfits=2)


def test_an_empty_bag_has_no_values() -> None:
    assert decode({}) == Attributes(b"{}", 0, 0)


def test_the_model_decides() -> None:
    assert decode({"66": 1263}, "FMB930").values == b'{"external_voltage_v":12.63}'
    assert decode({"66": 1263}, "").values == b'{"external_voltage_v":1.263}'
    assert IoDecoder([]).decode("FMB920", b'{"66":1}') == Attributes(b"{}", 1, 0)


def test_of_two_ids_with_one_name_the_smaller_has_it() -> None:
    decoder = IoDecoder([IoMapping("*", 9, "a"), IoMapping("*", 10, "a")])
    assert decoder.decode("", b'{"10":1,"9":2}') == Attributes(b'{"a":2}', 0, 1)


def test_if_the_smaller_id_does_not_fit_the_greater_one_has_the_name() -> None:
    decoder = IoDecoder([IoMapping("*", 9, "a", bytes=1), IoMapping("*", 10, "a")])
    assert decoder.decode("", b'{"9":256,"10":1}') == Attributes(b'{"a":1}', 0, 1)


def test_an_earlier_table_stands_before_a_later_one() -> None:
    decoder = IoDecoder([IoMapping("*", 66, "supply_mv", bytes=2)], DEFAULT_TABLE)
    assert decoder.decode("FMB930", b'{"66":1263,"239":1}') == Attributes(
        b'{"ignition":true,"supply_mv":1263}', 0, 0
    )


@pytest.mark.parametrize("number", ["1e400", "-1e999", "9" * 5000])
def test_a_number_that_no_double_holds_costs_nothing_but_itself(number: str) -> None:
    bag = f'{{"66":{number},"239":1,"9999":{number}}}'.encode()
    assert DECODER.decode("", bag) == Attributes(b'{"ignition":true}', unmapped=1, misfits=1)


def test_an_integer_of_any_length_is_read_or_left_out() -> None:
    decoder = IoDecoder(
        [IoMapping("*", 1, "n", multiplier=Decimal(1000)), IoMapping("*", 2, "t", IoKind.TEXT)]
    )
    for digits in (100, 101, 4299, 4300, 4301, 20_000):
        number = "9" * digits
        found = decoder.decode("", f'{{"1":{number},"2":{number}}}'.encode())
        assert found.misfits == (0 if digits == 100 else 2)


def test_ever_new_models_do_not_fill_the_memory() -> None:
    decoder = IoDecoder(DEFAULT_TABLE[:1])
    for number in range(2 * MODELS_MAX):
        decoder.decode(f"M{number}", b"{}")
    assert len(decoder._by_model) <= MODELS_MAX


@pytest.mark.parametrize("bag", [b"", b"[]", b"1", b'{"1":'])
def test_what_is_no_bag_is_refused(bag: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        DECODER.decode("FMB920", bag)


RAW = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.text(),
    st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**70).map(str),
    st.binary(max_size=12).map(lambda octets: base64.b64encode(octets).decode()),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(), st.integers(), max_size=2),
)  # fmt: skip
IDS = st.sampled_from([str(row.io_id) for row in DEFAULT_TABLE]) | st.text(max_size=4)


@given(st.dictionaries(IDS, RAW, max_size=12), st.randoms(use_true_random=False))
def test_every_member_is_named_unmapped_or_a_misfit_whatever_the_order(
    bag: dict[str, object], chance: object
) -> None:
    found = decode(bag)
    values = json.loads(found.values)
    assert len(values) + found.unmapped + found.misfits == len(bag)
    assert list(values) == sorted(values)
    members = list(bag.items())
    chance.shuffle(members)  # type: ignore[attr-defined]
    assert decode(dict(members)) == found
