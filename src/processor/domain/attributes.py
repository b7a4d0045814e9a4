"""Attributes: the IO bag of a position, decoded by the mapping of its device's model.

Named and scaled values come out; what the mapping does not know stays in the bag and is counted,
and so is a value that does not fit (design/racing.md, IO mapping). Bytes go in and bytes come out,
so that the core can have this done without knowing the sport.
"""

from collections.abc import Iterable

import msgspec
from attrs import frozen

from processor.domain.io_mapping import Decoded, IoMapping, Misfit, decoded, mapping_of

MODELS_MAX = 1000
"""Models whose mapping is kept. There are a few families; a text that is a new one in every record
would otherwise fill the memory."""

_bag = msgspec.json.Decoder(dict[str, object]).decode
_json = msgspec.json.Encoder(order="sorted").encode


@frozen
class Attributes:
    """What became of a bag. `values`: a JSON object by name, its members sorted. `unmapped`: ids
    that the mapping does not know. `misfits`: values that do not fit theirs."""

    values: bytes
    unmapped: int
    misfits: int


class IoDecoder:
    """Decodes bags by a table of mappings. Equal bags of one model come out equal."""

    def __init__(self, table: Iterable[IoMapping]) -> None:
        self._table = tuple(table)
        self._by_model: dict[str, dict[str, IoMapping]] = {}

    def decode(self, model: str, bag: bytes) -> Attributes:
        """The named values of a bag, a JSON object with IO ids as names as the positions table
        stores it. An unknown model is "". Raises msgspec.DecodeError if the bag is no object."""
        mapping = self._mapping(model)
        values: dict[str, Decoded] = {}
        unmapped = misfits = 0
        for io_id, raw in sorted(_bag(bag).items(), key=_numerically):
            row = mapping.get(io_id)
            if row is None:
                unmapped += 1
            elif row.name in values:  # two ids of one name: the smaller one has it
                misfits += 1
            else:
                try:
                    values[row.name] = decoded(row, raw)
                except Misfit:
                    misfits += 1
        return Attributes(_json(values), unmapped, misfits)

    def _mapping(self, model: str) -> dict[str, IoMapping]:
        if model not in self._by_model:
            if len(self._by_model) >= MODELS_MAX:
                self._by_model.clear()
            rows = mapping_of(model, self._table)
            self._by_model[model] = {str(io_id): row for io_id, row in rows.items()}
        return self._by_model[model]


def _numerically(member: tuple[str, object]) -> tuple[int, str]:
    """Ids without leading zeros are in numerical order by length, then by text."""
    return len(member[0]), member[0]
