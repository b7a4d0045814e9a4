"""Rules as TOML: the organiser's table of penalties, and the settings of the geometry.

    [[formula]]            a row of the table, of which several may hold for one offence
    [settings]             what the geometry takes for granted
    [settings.openrally]   radii for OpenRally elements that say none; [openrally] is the same
    [[example]]            what an offence should cost: for whoever tests the table, not read here

Numbers become Decimal exactly as they are written. The version is a hash of what the rules say: it
does not depend on the order of the tables, nor on whether a default is written down.
"""

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from attrs import evolve

from processor.adapters.files.contents import seems
from processor.adapters.files.course_file import Misplaced
from processor.adapters.files.openrally_elements import ALIASES, KINDS, RADIUS_M
from processor.adapters.files.rules_formula import Stated, Table, formula_of
from processor.adapters.files.words import quoted
from processor.adapters.files.wrong import WrongFile
from processor.domain.course_version import content_hash
from processor.domain.rules import Rules, Settings

RULES_BYTES_MAX = 1024 * 1024
"""Some 4000 formulas. The longest published table has a few dozen."""

SETTINGS_RANGE: Mapping[str, tuple[str, str]] = {
    "hysteresis_m": ("0", "1000"),
    "gap_seconds": ("1", "3600"),
    "max_speed_kmh": ("10", "2000"),
    "position_sigma_m": ("0.1", "100"),
}
"""Least and greatest; what lies beyond is a wrong unit, not a wish."""

RADIUS_RANGE = ("0.01", "100000")
"""Metres: what a roadbook's own radii may be."""

ELEMENTS = (*RADIUS_M, *(name for name in (*KINDS, *ALIASES) if name not in RADIUS_M))

_PLACE = re.compile(
    r"(?P<fault>.*) \(at (?P<place>line \d+, column \d+|end of document)\)", re.DOTALL
)


def read_rules(path: Path) -> Rules:
    """The rules of a file, their formulas in its order. Raises WrongFile, OSError."""
    plain = _plain(path, _text(path))
    try:
        return _rules(plain)
    except Misplaced as error:
        raise WrongFile(path, error.place, error.sentence) from None


def no_rules() -> Rules:
    """The rules that nobody gave: those of an empty file, and with the same version."""
    return _rules({})


# -- text and plain values ------------------------------------------------------------------------


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(RULES_BYTES_MAX + 1)
    if len(content) > RULES_BYTES_MAX:
        told = seems(path)
        raise WrongFile(path, "", f"is longer than {RULES_BYTES_MAX} bytes; no rules are{told}")
    try:
        return content.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise WrongFile(path, f"line {line}", "is not UTF-8") from None


def _plain(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        told = _PLACE.fullmatch(str(error))
        place, fault = (told["place"], told["fault"]) if told else ("", str(error))
        raise WrongFile(path, place, f"is not TOML: {fault}{seems(path)}") from None
    except RecursionError:
        raise WrongFile(path, "", "is nested too deep for rules") from None
    except (InvalidOperation, ValueError):  # an exponent or an integer beyond all bounds
        raise WrongFile(path, "", "holds a number that is too long to be read") from None


# -- rules ----------------------------------------------------------------------------------------


def _rules(plain: Mapping[str, Any]) -> Rules:
    top = Table("", plain)
    top.known(("formula", "settings", "openrally", "example"))
    _tables("example", plain)
    stated = [
        formula_of(f"formula {number}", number, table)
        for number, table in enumerate(_tables("formula", plain), start=1)
    ]
    _unique(stated)
    settings, openrally = _settings(plain)
    counted = [each for each in stated if each.enabled]
    return Rules(
        version=_version(counted, settings, openrally),
        formulas=tuple(each.formula for each in counted),
        settings=settings,
        openrally=openrally,
    )


def _tables(name: str, plain: Mapping[str, Any]) -> list[Any]:
    tables = plain.get(name, [])
    if not isinstance(tables, list):
        raise Misplaced(f"[{name}]", f"must be written [[{name}]], for there may be several")
    return tables


def _unique(stated: list[Stated]) -> None:
    first: dict[str, int] = {}
    for number, each in enumerate(stated, start=1):
        name = each.formula.id
        if name in first:
            raise Misplaced(
                f"formula {number}, id", f"{quoted(name)} is the id of formula {first[name]}, too"
            )
        first[name] = number


def _settings(plain: Mapping[str, Any]) -> tuple[Settings, dict[str, float]]:
    table = Table("[settings]", plain.get("settings", {}))
    table.known((*SETTINGS_RANGE, "openrally"))
    given = {
        key: _within(table, key, ends) for key, ends in SETTINGS_RANGE.items() if key in table.plain
    }
    radii = _radii(Table("[settings.openrally]", table.plain.get("openrally", {})))
    for name, radius_m in _radii(Table("[openrally]", plain.get("openrally", {}))).items():
        if name in radii:
            raise Misplaced(f"[openrally], {name}", "stands in [settings.openrally], too")
        radii[name] = radius_m
    return Settings(**given), dict(sorted(radii.items()))


def _radii(table: Table) -> dict[str, float]:
    table.known(ELEMENTS)
    radii: dict[str, float] = {}
    for key in table.plain:
        name = ALIASES.get(key, key)
        if name in radii:
            raise table.wrong(key, f"is another name of {name}, which stands here, too")
        radii[name] = _within(table, key, RADIUS_RANGE)
    return radii


def _within(table: Table, key: str, ends: tuple[str, str]) -> float:
    least, most = map(Decimal, ends)
    number = table.number(key, least, most)
    assert number is not None, "whoever asks has seen the key"
    return float(number)


def _version(stated: list[Stated], settings: Settings, openrally: Mapping[str, float]) -> str:
    """An id that comes from a table's place in the file is no content, so it is left out."""
    formulas = (each.formula if each.named else evolve(each.formula, id="") for each in stated)
    radii = {name: value for name, value in openrally.items() if value != RADIUS_M.get(name)}
    return content_hash(
        {
            "formulas": sorted(content_hash(formula) for formula in formulas),
            "settings": settings,
            "openrally": radii,
        }
    )
