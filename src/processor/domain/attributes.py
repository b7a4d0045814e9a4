"""Attributes: the IO bag of a position, decoded by the mapping of its device's model.

Named and scaled values come out; what the mapping does not know stays in the bag and is counted,
and so is a value that does not fit (design/racing.md, IO mapping). Bytes go in and bytes come out,
so that the core can have this done without knowing the sport.

It is done once per fix. So a model's rows are made into readers once, in the order of their names,
which is the order of the result.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec
from attrs import frozen

from processor.domain.io_mapping import Decoded, IoMapping, Misfit, Reader, mapping_of, reader

Readers: TypeAlias = tuple[tuple[str, str, Reader], ...]
"""(IO id as it is spelt in the bag, name, reader), by name and then by id."""

MODELS_MAX = 1000
"""Models whose readers are kept. There are a few families; a text that is a new one in every record
would otherwise fill the memory."""

_bag = msgspec.json.Decoder(dict[str, object]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_member = msgspec.json.Decoder(object).decode
_json = msgspec.json.Encoder().encode


@frozen
class Attributes:
    """What became of a bag. `values`: a JSON object by name, its members sorted. `unmapped`: ids
    that the mapping does not know. `misfits`: values that do not fit theirs."""

    values: bytes
    unmapped: int
    misfits: int


class IoDecoder:
    """Decodes bags by tables of mappings, those of an earlier table before those of a later one
    (io_mappings, then the default table). Equal bags of one model come out equal."""

    def __init__(self, *tables: Iterable[IoMapping]) -> None:
        self._tables = tuple(map(tuple, tables))
        self._by_model: dict[str, Readers] = {}

    def decode(self, model: str, bag: bytes) -> Attributes:
        """The named values of a bag, a flat JSON object with IO ids as names, as
        `Position.attributes` holds it. An unknown model is "". Of two ids with one name the smaller
        one that fits has it, and the other is a misfit. Raises msgspec.DecodeError if the bag is no
        object."""
        raw_values = _read(bag)
        values: dict[str, Decoded] = {}
        mapped = 0
        for io_id, name, read in self._readers(model):
            if io_id not in raw_values:
                continue
            mapped += 1
            if name in values:
                continue
            try:
                values[name] = read(raw_values[io_id])
            except Misfit:
                continue
        return Attributes(
            _json(values), unmapped=len(raw_values) - mapped, misfits=mapped - len(values)
        )

    def _readers(self, model: str) -> Readers:
        found = self._by_model.get(model)
        if found is None:
            if len(self._by_model) >= MODELS_MAX:
                self._by_model.clear()
            found = self._by_model[model] = _compiled(mapping_of(model, *self._tables))
        return found


def _compiled(mapping: Mapping[int, IoMapping]) -> Readers:
    rows = sorted(mapping.values(), key=lambda row: (row.name, row.io_id))
    return tuple((str(row.io_id), row.name, reader(row)) for row in rows)


def _read(bag: bytes) -> Mapping[str, object]:
    """The raw values by IO id. JSON has numbers that are neither an integer nor a double here, such
    as 1e400; the bag that has one is read member by member, and it alone is lost."""
    try:
        return _bag(bag)
    except msgspec.ValidationError:
        return {io_id: _raw_value(raw) for io_id, raw in _members(bag).items()}


def _raw_value(raw: msgspec.Raw) -> object:
    """None, which fits no mapping, for what cannot be read."""
    try:
        return _member(raw)
    except msgspec.DecodeError:
        return None
