"""The table of SQLSTATEs: total, and what reliability asks for, code by code."""

import ssl
import struct

import asyncpg
import pytest

from processor.adapters.postgres.errors import BY_SQLSTATE, FAILURES, REASONS, Guilty, translate
from processor.core.errors import Reason, Refused, Rejected, TooMuch, Unavailable

Pause = Unavailable.Pause
SERVER_ERRORS = sorted(
    {
        error
        for error in vars(asyncpg.exceptions).values()
        if isinstance(error, type) and issubclass(error, asyncpg.PostgresError) and error.sqlstate
    },
    key=lambda error: (error.sqlstate, error.__name__),
)


def of(sqlstate, message="said by the server"):
    return translate(asyncpg.PostgresError.new({"S": "ERROR", "C": sqlstate, "M": message}))


def test_asyncpg_knows_what_we_think_it_knows():
    assert len(SERVER_ERRORS) > 250


@pytest.mark.parametrize("error", SERVER_ERRORS, ids=lambda error: error.sqlstate)
def test_every_error_of_the_server_has_an_answer(error):
    answer = of(error.sqlstate)
    assert isinstance(answer, Rejected | Unavailable | Refused)
    assert answer.sentence.startswith(f"SQLSTATE {error.sqlstate}: said by the server")
    if not isinstance(answer, Rejected):
        assert answer.dependency == "database"
        assert answer.reason in REASONS


@pytest.mark.parametrize("sqlstate", ["", "99999", "ZZ001", "P0001"])
def test_what_nobody_knows_is_refused_aloud(sqlstate):
    assert isinstance(of(sqlstate), Refused)


@pytest.mark.parametrize(
    ("sqlstates", "pause"),
    [
        ("08000 08001 08003 08006 08P01 57P01 57P02 57P03 57P04 40003", Pause.SHORT),
        ("40001 40P01 55P03 XX000", Pause.NONE),
        ("53000 53100 53200 53300 58030", Pause.LONG),
    ],
)
def test_trouble_that_passes(sqlstates, pause):
    for sqlstate in sqlstates.split():
        answer = of(sqlstate)
        assert type(answer) is Unavailable, sqlstate
        assert answer.dependency == "database"
        assert answer.pause is pause, sqlstate


@pytest.mark.parametrize("sqlstate", ["57014", "53400"])
def test_too_much_at_once(sqlstate):
    assert type(of(sqlstate)) is TooMuch


@pytest.mark.parametrize(
    "sqlstate",
    [
        "22000",
        "22001",
        "22003",
        "22021",
        "22P02",
        "22P05",
        "23502",
        "23503",
        "23514",
        "23505",
        "21000",
        "44000",
        "54000",
        "54001",
    ],
)
def test_a_record_at_fault(sqlstate):
    answer = of(sqlstate, "value out of range")
    assert isinstance(answer, Rejected)
    assert answer.reason is Reason.REFUSED_BY_DATABASE
    assert answer.sentence == f"SQLSTATE {sqlstate}: value out of range"


@pytest.mark.parametrize(
    "sqlstate",
    [
        "42P01",
        "42703",
        "42501",
        "42804",
        "3F000",
        "3D000",
        "28000",
        "28P01",
        "25006",
        "XX001",
        "XX002",
        "0A000",
        "26000",
    ],
)
def test_what_a_person_has_to_mend(sqlstate):
    assert isinstance(of(sqlstate), Refused)


def test_a_chunk_that_was_dropped_meanwhile_is_tried_again():
    answer = of("42P01", 'relation "_hyper_1_27_chunk" does not exist')
    assert isinstance(answer, Unavailable)
    assert (answer.reason, answer.pause) == ("chunk-dropped", Pause.NONE)
    assert isinstance(of("42P01", 'relation "positions" does not exist'), Refused)


def test_so_is_a_chunk_that_went_while_its_writer_waited_for_it():
    answer = of("XX000", "could not open relation with OID 17425")
    assert isinstance(answer, Unavailable)
    assert (answer.reason, answer.pause) == ("chunk-dropped", Pause.NONE)
    assert of("XX000", "invalid memory alloc request size 1").reason == "internal"


def test_a_schema_that_changed_under_a_prepared_statement_is_tried_again():
    answer = translate(asyncpg.InvalidCachedStatementError("plan is invalid"))
    assert isinstance(answer, Unavailable)
    assert (answer.dependency, answer.reason) == ("database", "schema-changed")
    assert answer.sentence == "the schema changed under us"
    assert answer.pause is Pause.NONE


# Every row of the table that finds no record guilty, by a SQLSTATE for which no other row is as
# exact: the reason, and the pause of what passes.
ROWS = {
    "08000": ("connection", Pause.SHORT),
    "57P01": ("shutdown", Pause.SHORT),
    "57000": ("intervention", Pause.SHORT),
    "25000": ("session", Pause.SHORT),
    "25006": ("read-only", None),
    "25P04": ("statement-timeout", Pause.SHORT),
    "40000": ("race", Pause.NONE),
    "40001": ("serialization", Pause.NONE),
    "40P01": ("deadlock", Pause.NONE),
    "40003": ("connection", Pause.SHORT),
    "55000": ("object-in-use", Pause.SHORT),
    "55P03": ("lock-timeout", Pause.NONE),
    "53000": ("resources", Pause.LONG),
    "53400": ("decompression-limit", Pause.SHORT),
    "58000": ("storage", Pause.LONG),
    "57014": ("statement-timeout", Pause.SHORT),
    "0A000": ("unsupported", None),
    "26000": ("prepared-statements", None),
    "28000": ("credentials", None),
    "3D000": ("credentials", None),
    "3F000": ("schema", None),
    "42000": ("schema", None),
    "42501": ("privileges", None),
    "42P05": ("prepared-statements", None),
    "XX000": ("internal", Pause.NONE),
    "XX001": ("corrupt", None),
    "XX002": ("corrupt", None),
}


@pytest.mark.parametrize("sqlstate", ROWS)
def test_a_row_of_the_table(sqlstate):
    verdict = of(sqlstate)
    assert (verdict.reason, getattr(verdict, "pause", None)) == ROWS[sqlstate]


def test_no_row_is_left_out():
    innocent = [key for key, answer in BY_SQLSTATE.items() if not isinstance(answer, Guilty)]
    assert len(ROWS) == len(innocent)
    assert all(any(sqlstate.startswith(key) for sqlstate in ROWS) for key in innocent)


def test_an_error_without_words_is_translated_too():
    assert translate(asyncpg.PostgresError()).sentence.startswith("SQLSTATE : ;")


def test_detail_may_hold_coordinates_and_stays_behind():
    error = asyncpg.PostgresError.new(
        {"S": "ERROR", "C": "22003", "M": "out of range", "D": "row 45.1, 14.2"}
    )
    assert "45.1" not in translate(error).sentence


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (ConnectionRefusedError("refused"), Unavailable, "connection"),
        (ConnectionResetError(), Unavailable, "connection"),
        (OSError("no route"), Unavailable, "connection"),
        (EOFError(), Unavailable, "connection"),
        (TimeoutError(), Unavailable, "timeout"),
        (asyncpg.InterfaceError("connection is closed"), Unavailable, "connection"),
        (asyncpg.InternalClientError("got a message we do not know"), Unavailable, "connection"),
        (asyncpg.ClientConfigurationError("bad sslmode"), Refused, "settings"),
        (asyncpg.UnsupportedServerFeatureError("too old"), Refused, "unsupported"),
        (ssl.SSLCertVerificationError("self-signed"), Refused, "certificate"),
        (struct.error("'h' format"), Rejected, Reason.REFUSED_BY_DATABASE),
        (OverflowError("too large"), Rejected, Reason.REFUSED_BY_DATABASE),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), Rejected, "refused-by-database"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_errors_of_the_driver_and_the_network(error, kind, reason):
    assert isinstance(error, FAILURES)
    answer = translate(error)
    assert type(answer) is kind
    assert answer.reason == reason
    assert answer.sentence
    if not isinstance(answer, Rejected):
        assert answer.dependency == "database"
        assert (str(error) or "it was closed") in answer.sentence or reason == "timeout"


async def test_a_value_that_the_driver_cannot_encode_is_the_records_fault(postgres_url):
    connection = await asyncpg.connect(postgres_url)
    try:
        with pytest.raises(FAILURES) as failure:
            await connection.execute("SELECT $1::smallint", 70_000)
    finally:
        await connection.close()
    answer = translate(failure.value)
    assert isinstance(answer, Rejected)
    assert answer.reason is Reason.REFUSED_BY_DATABASE
    assert "70000" not in answer.sentence


def test_our_own_errors_pass_and_bugs_crash():
    ours = Unavailable("database", "rows-missing", "rows are missing")
    assert translate(ours) is ours
    with pytest.raises(KeyError):
        translate(KeyError("a bug"))
