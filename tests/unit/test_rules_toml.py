"""Rules as TOML: what they mean, what their version depends on, a sentence for each mistake."""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.adapters.files import rules_formula, rules_toml
from processor.adapters.files.openrally_elements import KINDS
from processor.adapters.files.rules_toml import read_rules
from processor.adapters.files.wrong import WrongFile
from processor.domain.rules import (
    AppliesTo,
    Formula,
    Level,
    Offence,
    Operator,
    Outcome,
    Rounding,
    Rules,
    Scope,
    Settings,
)

ROW = 'type = "speed-limit"\noperator = "add"\npenalty = 60'
EXAMPLES = Path(__file__).parents[2] / "examples"

Read = Callable[[str | bytes], Rules]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a text as a file of rules."""

    def reading(text: str | bytes) -> Rules:
        path = tmp_path / "rules.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_rules(path)

    return reading


def refused(read: Read, text: str | bytes) -> str:
    """The sentence, without the path before it."""
    with pytest.raises(WrongFile) as caught:
        read(text)
    path, _, sentence = str(caught.value).partition("rules.toml")
    assert path
    assert "\n" not in sentence
    return sentence.removeprefix(", ").removeprefix(": ")


def row(*lines: str) -> str:
    """A formula that is right but for these lines, which replace keys or add some."""
    keys = dict(line.split(" = ", 1) for line in (*ROW.splitlines(), *lines))
    said = (f"{key} = {value}" for key, value in keys.items() if value != "-")
    return "\n".join(("[[formula]]", *said, ""))


# -- what it means ---------------------------------------------------------------------------------


def test_everything_that_the_domain_knows_can_be_said(read: Read) -> None:
    rules = read("""
        [[formula]]
        id = "gained"
        type = "speed-time-gained"
        operator = "per-unit"
        offence_min = 0.5
        offence_max = 20
        penalty = 10.50
        level = "class"
        level_id = "C-2"
        applies_to = { kind = ["zone", "DZ"], object = "Z1" }
        quantum = 0.1
        rounding = "half-up"
        scope = "object"
        count_min = 2
        count_max = 3
        cap_seconds = 600
        excess = "peak"
        source = "Art. 12.3"
        retroactive = true
        enabled = true

        [[formula]]
        type = "time-control-late"
        operator = "status"
        offence_min = 31
        outcome = "over-time-limit"

        [settings]
        hysteresis_m = 12.5
        gap_seconds = 90
        max_speed_kmh = 300
        position_sigma_m = 5

        [settings.openrally]
        "wp*" = 100
        dz = 60.5
    """)
    assert rules.formulas == (
        Formula(
            id="gained",
            type=Offence.SPEED_TIME_GAINED,
            operator=Operator.PER_UNIT,
            penalty=Decimal("10.50"),
            offence_min=Decimal("0.5"),
            offence_max=Decimal(20),
            level=Level.CLASS,
            level_id="C-2",
            applies_to=AppliesTo(("DZ", "zone"), ("Z1",)),
            quantum=Decimal("0.1"),
            rounding=Rounding.HALF_UP,
            count_min=2,
            count_max=3,
            scope=Scope.OBJECT,
            cap_seconds=Decimal(600),
            excess="peak",
            source="Art. 12.3",
        ),
        Formula(
            id="time-control-late-2",
            type=Offence.TIME_CONTROL_LATE,
            operator=Operator.STATUS,
            penalty=Decimal(0),
            offence_min=Decimal(31),
            outcome=Outcome.OVER_TIME_LIMIT,
        ),
    )
    assert rules.settings == Settings(12.5, 90.0, 300.0, 5.0)
    assert rules.openrally == {"wp*": 100.0, "dz": 60.5}
    assert len(rules.version) == 16


def test_what_is_left_out_is_the_default(read: Read) -> None:
    rules = read(row())
    assert rules.formulas == (
        Formula("speed-limit-1", Offence.SPEED_LIMIT, Operator.ADD, Decimal(60)),
    )
    assert (rules.settings, rules.openrally) == (Settings(), {})


def test_an_empty_file_is_rules_that_punish_nothing(read: Read) -> None:
    assert evolve(read(""), version="") == Rules("")
    assert read("# nothing") == read("")


def test_numbers_are_what_is_written_and_not_the_nearest_double(read: Read) -> None:
    (formula,) = read(row("penalty = 0.1", "cap_seconds = 1_000.300")).formulas
    assert str(formula.penalty) == "0.1"
    assert str(formula.cap_seconds) == "1000.300"
    (whole,) = read(row("penalty = 1e2")).formulas
    assert whole.penalty == 100


def test_a_formula_without_an_id_is_named_by_its_number_in_the_file(read: Read) -> None:
    text = row() + row('id = "own"') + row('type = "late-start"') + row()
    assert [formula.id for formula in read(text).formulas] == [
        "speed-limit-1",
        "own",
        "late-start-3",
        "speed-limit-4",
    ]


def test_a_formula_that_is_not_enabled_is_left_out_but_keeps_its_number(read: Read) -> None:
    rules = read(row("enabled = false") + row())
    assert [formula.id for formula in rules.formulas] == ["speed-limit-2"]
    assert rules.version == read(row()).version


def test_a_source_is_one_line_however_it_is_written(read: Read) -> None:
    (formula,) = read(row('source = """Art. 12,\n  third line\n"""')).formulas
    assert formula.source == "Art. 12, third line"
    assert read(row('source = ""')).formulas[0].source == ""


def test_radii_may_stand_at_the_top_or_in_the_settings(read: Read) -> None:
    rules = read("[openrally]\ndss = 20\n[settings.openrally]\nass = 30\nneutralization = 40")
    assert rules.openrally == {"ass": 30.0, "dn": 40.0, "dss": 20.0}


def test_every_element_of_openrally_that_is_passed_can_have_a_radius(read: Read) -> None:
    rules = read("[openrally]\n" + "".join(f"{name} = 33\n" for name in KINDS))
    assert rules.openrally == dict.fromkeys(sorted(KINDS), 33.0)


def test_examples_are_for_others_and_no_part_of_the_rules(read: Read) -> None:
    said = row() + '[[example]]\ntype = "anything"\noffence = "x"\n'
    assert read(said) == read(row())


@pytest.mark.parametrize("offence", Offence)
@pytest.mark.parametrize("operator", Operator)
def test_every_offence_can_be_punished_by_every_operator(
    read: Read, offence: Offence, operator: Operator
) -> None:
    lines = [f'type = "{offence}"', f'operator = "{operator}"']
    if operator is Operator.STATUS:
        lines += ["penalty = -", 'outcome = "review"']
    (formula,) = read(row(*lines)).formulas
    assert (formula.type, formula.operator) == (offence, operator)


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(read: Read) -> None:
    assert read(b"\xef\xbb\xbf" + row().replace("\n", "\r\n").encode()) == read(row())


# -- its version -----------------------------------------------------------------------------------

TABLES = (
    row("penalty = 60.0", "offence_max = 21", 'applies_to = { kind = ["DZ", "zone"] }'),
    row('id = "named"', "offence_min = 21"),
    row('type = "missed-waypoint"', 'operator = "per-unit"', "penalty = 900"),
    "[settings]\ngap_seconds = 90\nhysteresis_m = 11\n",
    "[openrally]\ndss = 20\nass = 30\n",
)


def test_the_version_does_not_depend_on_the_order_of_the_tables(read: Read) -> None:
    assert len({read("".join(order)).version for order in permutations(TABLES)}) == 1


def test_the_version_does_not_depend_on_how_the_same_is_written(read: Read) -> None:
    written_out = row(
        "penalty = 60.00",
        "offence_min = 0",
        'level = "event"',
        'excess = "limit"',
        'source = ""',
        "enabled = true",
        "retroactive = false",
    ).replace("speed-limit", "speed-time-gained")
    short = row('type = "speed-time-gained"')
    defaults = (
        "[settings]\nhysteresis_m = 10\ngap_seconds = 60\nmax_speed_kmh = 250.0\n"
        "position_sigma_m = 3\n[settings.openrally]\ndss = 50\n"
    )
    assert read(written_out + defaults).version == read(short).version
    kinds = "applies_to = {{ kind = [{}] }}"
    assert (
        read(row(kinds.format('"WPM", "WPE"'))).version
        == read(row(kinds.format('"WPE", "WPM", "WPE"'))).version
    )


EDITS = (
    "penalty = 61",
    "offence_min = 1",
    "offence_max = 21",
    'type = "speed-impulse"',
    'operator = "per-unit"',
    'level = "stage"\nlevel_id = "SS1"',
    'level = "class"\nlevel_id = "SS1"',
    'applies_to = { kind = "DZ" }',
    'applies_to = { object = "DZ" }',
    "quantum = 0.1",
    'rounding = "up"',
    "count_min = 2",
    "count_max = 2",
    'scope = "event"',
    "cap_seconds = 60",
    'source = "Art. 12"',
    'id = "own"',
)


def test_every_edit_makes_another_version(read: Read) -> None:
    texts = [row(*edit.split("\n")) for edit in EDITS]
    texts += [
        row(),
        row() + row(),
        row() + "[settings]\nhysteresis_m = 11",
        row() + "[settings]\ngap_seconds = 61",
        row() + "[settings]\nmax_speed_kmh = 251",
        row() + "[settings]\nposition_sigma_m = 4",
        row() + "[openrally]\ndss = 51",
        row() + "[openrally]\nass = 51",
    ]
    assert len({read(text).version for text in texts}) == len(texts)


# -- mistakes --------------------------------------------------------------------------------------

OUTCOMES = "did-not-finish, over-time-limit, disqualified, review"
WRONG_ROWS = {
    "type = -": 'formula 1: must have a key "type", one of speed-limit, speed-impulse, ',
    'type = "missed-waypiont"': "formula 1, type: must be one of speed-limit, ",
    "type = 5": "formula 1, type: must be one of speed-limit, ",
    "operator = -": 'formula 1: must have a key "operator", one of add, per-unit, progressive, '
    "repeat, status",
    'operator = "per-units"': "formula 1, operator: must be one of add, per-unit, progressive, "
    'repeat, status, not "per-units"; did you mean "per-unit"?',
    "penalty = -": 'formula 1: must have a key "penalty"',
    'penalty = "60"': 'formula 1, penalty: must be a number, not "60"',
    "penalty = true": "formula 1, penalty: must be a number, not true",
    "penalty = [60]": "formula 1, penalty: must be a number, not a list",
    "penalty = {}": "formula 1, penalty: must be a number, not a table",
    "penalty = 2026-06-07": "formula 1, penalty: must be a number, not a date or time",
    "penalty = -1": "formula 1, penalty: must be a number from 0 to 1000000000",
    "penalty = 1000000001": "formula 1, penalty: must be a number from 0 to 1000000000",
    "penalty = 1e999999999": "formula 1, penalty: must be a number from 0 to 1000000000",
    "penalty = 0x" + "f" * 9999: "formula 1, penalty: must be a number from 0 to 1000000000",
    "penalty = 1e-99999": "formula 1, penalty: must have at most 9 digits behind the point",
    "penalty = nan": "formula 1, penalty: must be a finite number, not nan",
    "penalty = inf": "formula 1, penalty: must be a finite number, not infinity",
    "offence_max = inf": "formula 1, offence_max: must be a finite number, not infinity; without "
    "it there is no upper end",
    "offence_max = 0": "formula 1, offence_max: must be greater than offence_min, which is 0",
    "offence_min = 21\noffence_max = 21": "formula 1, offence_max: must be greater than "
    "offence_min, which is 21",
    "offence_min = -0.5": "formula 1, offence_min: must be a number from 0 to 1000000000",
    'type = "missed-ratio"\noffence_max = 70': "formula 1, offence_max: is a share of "
    "missed-ratio, from 0 to 1 (0.7 is 70 %)",
    'operator = "repeat"\npenalty = 0': 'formula 1, penalty: is a factor of "repeat" and must be '
    "greater than 0",
    'operator = "status"\npenalty = -': 'formula 1: must have a key "outcome", one of ' + OUTCOMES,
    'operator = "status"\npenalty = -\noutcome = "time"': "formula 1, outcome: is no status; "
    'with "status" it must be one of ' + OUTCOMES,
    'operator = "status"\noutcome = "review"': "formula 1, penalty: must be left out where "
    'operator is "status"; a row of its own adds time',
    'operator = "status"\npenalty = 0\noutcome = "review"\ncap_seconds = 5': "formula 1, "
    'cap_seconds: must be left out: "status" costs no time',
    'outcome = "review"': 'formula 1, outcome: needs operator = "status"',
    'outcome = "disqualify"': "formula 1, outcome: must be one of time, did-not-finish, "
    'over-time-limit, disqualified, review, not "disqualify"; did you mean "disqualified"?',
    'level = "Stage"\nlevel_id = "1"': "formula 1, level: must be one of segment, class, stage, "
    'event, not "Stage"; did you mean "stage"?',
    'level = "class"': 'formula 1: must have a key "level_id", the id of the class it is for',
    'level_id = "C-2"': "formula 1, level_id: needs a level, one of segment, class, stage",
    "level_id = 5": "formula 1, level_id: must be a text in quotes, not 5",
    'scope = "stages"': "formula 1, scope: must be one of visit, object, segment, stage, event, "
    'not "stages"; did you mean "stage"?',
    'rounding = "floor"': 'formula 1, rounding: must be one of down, up, half-up, not "floor"',
    'type = "missed-ratio"\nrounding = "up"': "formula 1, rounding: needs a quantum: missed-ratio "
    "is taken as it is",
    "quantum = 0": "formula 1, quantum: must be greater than 0",
    'operator = "progressive"\nquantum = 1': "formula 1, quantum: must be left out: "
    '"progressive" takes the offence as it is',
    "count_min = 0": "formula 1, count_min: must be a whole number from 1, the how-many-th offence",
    "count_min = 1.5": "formula 1, count_min: must be a whole number from 1, the how-many-th "
    "offence",
    "count_max = true": "formula 1, count_max: must be a whole number from 1, the how-many-th "
    "offence",
    "count_max = 1": "formula 1, count_max: must be greater than count_min, which is 1",
    "count_min = 3\ncount_max = 3": "formula 1, count_max: must be greater than count_min, which "
    "is 3",
    'excess = "peak"': "formula 1, excess: is for speed-time-gained alone",
    'type = "speed-time-gained"\nexcess = "peek"': "formula 1, excess: must be one of limit, peak; "
    'did you mean "peak"?',
    'applies_to = "WPM"': 'formula 1, applies_to: must be a table, not "WPM"',
    'applies_to = { kinds = "WPM" }': 'formula 1, applies_to: has a key "kinds", which is not '
    'known here; did you mean "kind"?',
    'applies_to = { kind = "wpm" }': 'formula 1, applies_to, kind: "wpm" is no kind; did you mean '
    '"WPM"',
    "applies_to = { kind = [5] }": "formula 1, applies_to, kind: must be a text in quotes, not 5",
    "applies_to = { object = [] }": "formula 1, applies_to, object: must not be empty; left out it "
    "is for all",
    'id = " "': "formula 1, id: must not be empty",
    r'id = "a\u0000"': "formula 1, id: must not have control characters",
    r'source = "a\u0007"': "formula 1, source: must not have control characters",
    'id = "' + "x" * 1001 + '"': "formula 1, id: must have at most 1000 characters",
    'enabled = "no"': 'formula 1, enabled: must be true or false, not "no"',
    "retroactive = 1": "formula 1, retroactive: must be true or false, not 1",
    "offence-min = 1": 'formula 1: has a key "offence-min", which is not known here; did you mean '
    '"offence_min" or "offence_max"?',
    "params = 5": "formula 1, params: must be a table, not 5",
    "params = {level = 5}": 'formula 1, params: has a key "level", which is not known here',
    "quantum = 1\nparams = {quantum = 1}": "formula 1, params, quantum: stands beside params, too",
}


@pytest.mark.parametrize("lines", WRONG_ROWS, ids=lambda lines: lines[:60])
def test_a_wrong_row_is_one_sentence(read: Read, lines: str) -> None:
    assert refused(read, row(*lines.split("\n"))).startswith(WRONG_ROWS[lines])


WRONG_FILES = {
    "formula = 5": "[formula]: must be written [[formula]], for there may be several",
    "[formula]\n" + ROW: "[formula]: must be written [[formula]], for there may be several",
    "[example]": "[example]: must be written [[example]], for there may be several",
    "formula = [5]": "formula 1: must be a table, not 5",
    row() + row("penalty = -"): 'formula 2: must have a key "penalty"',
    row("enabled = false", "penalty = -1"): "formula 1, penalty: must be a number from 0",
    row('id = "a"') + row('id = "a"'): 'formula 2, id: "a" is the id of formula 1, too',
    row('id = "speed-limit-2"') + row(): 'formula 2, id: "speed-limit-2" is the id of formula 1, '
    "too",
    "[[formulas]]": 'has a key "formulas", which is not known here; did you mean "formula"?',
    "hysteresis_m = 5": 'has a key "hysteresis_m", which is not known here; known are formula, '
    "settings, openrally, example",
    "[[settings]]": "[settings]: must be a table, not a list",
    "[settings]\ngap_second = 1": '[settings]: has a key "gap_second", which is not known here; '
    'did you mean "gap_seconds"?',
    "[settings]\ngap_seconds = 0": "[settings], gap_seconds: must be a number from 1 to 3600",
    '[settings]\ngap_seconds = "60"': '[settings], gap_seconds: must be a number, not "60"',
    "[settings]\nhysteresis_m = nan": "[settings], hysteresis_m: must be a finite number, not nan",
    "[settings]\nhysteresis_m = 1001": "[settings], hysteresis_m: must be a number from 0 to 1000",
    "[settings]\nmax_speed_kmh = 9": "[settings], max_speed_kmh: must be a number from 10 to 2000",
    "[settings]\nposition_sigma_m = 0": "[settings], position_sigma_m: must be a number from 0.1 "
    "to 100",
    "[openrally]\nwpmm = 5": '[openrally]: has a key "wpmm", which is not known here; did you '
    'mean "wpm"',
    "[openrally]\nwpm = 0": "[openrally], wpm: must be a number from 0.01 to 100000",
    "[openrally]\ndn = 5\nneutralization = 5": "[openrally], neutralization: is another name of "
    "dn, which stands here, too",
    "[settings.openrally]\nwpm = -5": "[settings.openrally], wpm: must be a number from 0.01 "
    "to 100000",
    "openrally = 5": "[openrally]: must be a table, not 5",
    "[openrally]\nwpm = 5\n[settings.openrally]\nwpm = 6": "[openrally], wpm: stands in "
    "[settings.openrally], too",
    "a = 1\nb = = 2": "line 2, column 5: is not TOML: ",
    "a = 1\na = 2": "end of document: is not TOML: ",
    "penalty = 1e99999999999999999999": "holds a number that is too long to be read",
    "penalty = " + "9" * 5000: "holds a number that is too long to be read",
    "a = " + "[" * 9999: "is nested too deep for rules",
    "\x00": "line 1, column 1: is not TOML: ",
}


@pytest.mark.parametrize("text", WRONG_FILES, ids=lambda text: text[:60])
def test_a_wrong_file_is_one_sentence(read: Read, text: str) -> None:
    assert refused(read, text).startswith(WRONG_FILES[text])


def test_what_is_not_utf_8_is_said_with_its_line(read: Read) -> None:
    assert refused(read, b'# one\nsource = "\xe9t\xe9"') == "line 2: is not UTF-8"


def test_what_no_rules_can_be_is_not_read_to_its_end(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_toml, "RULES_BYTES_MAX", len(row()))
    assert read(row()).formulas
    assert refused(read, row() + "#") == f"is longer than {len(row())} bytes; no rules are"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"version": 1, "stages": []}', "a course (JSON)"),
        ('{"device_id": "1", "satellites": 5}', "a track (NDJSON of payloads)"),
        ('<gpx><trk><trkseg><trkpt lat="1" lon="1"/></trkseg></trk></gpx>', "a track (GPX)"),
        ('<gpx xmlns:openrally="x"><wpt/></gpx>', "a course (OpenRally)"),
        ("AXXX\nHFDTE070626\nB0800004118000N01948000EA0000000000\n", "a track (IGC)"),
    ],
)
def test_a_track_or_a_course_is_told_by_its_content(read: Read, text: str, what: str) -> None:
    sentence = refused(read, text)
    assert ": is not TOML: " in sentence
    assert sentence.endswith(f"; it seems to be {what}")


def test_a_course_of_this_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongFile, match=r"it seems to be a course \(JSON\)"):
        read_rules(EXAMPLES / "visnjan.json")


def test_a_file_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_rules(tmp_path / "nowhere.toml")


VALUES = st.one_of(
    st.sampled_from(["60", "-1", "nan", "true", '""', '"add"', '"repeat"', '"status"', '"peak"']),
    st.sampled_from(['"missed-ratio"', '"event"', '"stage"', "[]", "{}", '["WPM"]', "0x1", "1e9"]),
    st.sampled_from(["07:30:00", "0.7", '"time"', '"review"', '{ kind = "WPM" }', "'''\n'''"]),
)
KEYS = st.sampled_from((*rules_formula.KEYS, "whatever"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, VALUES))
def test_any_row_is_read_or_refused_with_its_number(read: Read, keys: dict[str, str]) -> None:
    text = row(*(f"{key} = {value}" for key, value in keys.items()))
    try:
        told = [formula.type for formula in read(text).formulas]
    except WrongFile as error:
        told = [str(error).partition("rules.toml, ")[2][:9]]
    assert told in (["formula 1"], ["speed-limit"], ["missed-ratio"])


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(read: Read, content: bytes) -> None:
    with suppress(WrongFile):
        assert read(content).formulas == ()


def test_the_keys_of_params_may_stand_in_a_table_of_that_name(read: Read) -> None:
    row = '[[formula]]\ntype = "speed-limit"\noperator = "add"\npenalty = 5\n'
    assert read(f'{row}params = {{scope = "stage"}}') == read(f'{row}scope = "stage"')


def test_an_event_has_one_id_and_it_is_no_matter(read: Read) -> None:
    row = '[[formula]]\ntype = "speed-limit"\noperator = "add"\npenalty = 5\n'
    assert read(f'{row}level = "event"\nlevel_id = "E1"') == read(row)


def test_no_rules_are_those_of_an_empty_file(read: Read) -> None:
    assert rules_toml.no_rules() == read("")


def test_a_setting_says_its_true_range(read: Read) -> None:
    assert refused(read, "[settings]\nhysteresis_m = -1").endswith("a number from 0 to 1000")
