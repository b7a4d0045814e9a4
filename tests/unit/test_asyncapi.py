"""docs/asyncapi.yaml: its examples are messages, and its references lead somewhere."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from processor.core.live.messages import CLIENT_SAYS, SERVER_SAYS, Code, read_command
from processor.entrypoints.asyncapi import EXAMPLES, document

KINDS = {kind.__name__: kind for kind in (*CLIENT_SAYS, *SERVER_SAYS)}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


@pytest.mark.parametrize("name", KINDS)
def test_every_example_is_a_message_that_comes_out_as_it_went_in(name: str) -> None:
    assert EXAMPLES[name]
    for example in EXAMPLES[name]:
        text = json.dumps(example)
        message = msgspec.json.decode(text, type=KINDS[name])
        assert msgspec.json.decode(msgspec.json.encode(message)).items() >= example.items()
        if KINDS[name] in CLIENT_SAYS:
            assert read_command(text) == message


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    for reference in references(whole):
        place: Any = whole
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_the_codes_of_the_contract_are_all_there() -> None:
    schemas = document()["components"]["schemas"]
    assert set(schemas["Code"]["enum"]) == set(Code)
