"""What each failure of the database means for whoever called: one pure function over one table.

A failure is one of four things: this record's fault for ever (Rejected), too much at once
(TooMuch), the server's trouble that passes (Unavailable), or wrong settings, credentials or
schema, which a person must mend (Refused). The table goes by SQLSTATE, most exact first: a whole
code, then its class. A class that is not in it is Refused: loud, and nothing is thrown away.

In doubt no record is guilty: a dead letter by mistake loses a fix, a retry by mistake costs time.
"""

import re
import ssl
import struct
from collections.abc import Mapping

import asyncpg
from attrs import frozen

from processor.core.errors import Reason, Refused, Rejected, TooMuch, Unavailable

Pause = Unavailable.Pause
Translated = Rejected | Unavailable | Refused

FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError and ConnectionError are kinds of it
    EOFError,  # a server that hangs up during the TLS handshake
    UnicodeError,  # this and the next two: a value that cannot be encoded for its column
    OverflowError,
    struct.error,
)
"""What the driver, or our own encoding of rows, may raise; anything else is a bug and crashes."""


@frozen
class Passing:
    """Retry the same batch, with this pause."""

    reason: str
    pause: Pause = Pause.SHORT


@frozen
class Divisible:
    """Retry with fewer records."""

    reason: str


@frozen
class Guilty:
    """A record is at fault: bisect."""


@frozen
class Wrong:
    """Settings, credentials or schema: stop. `advice` says what to do about it."""

    reason: str
    advice: str


Answer = Passing | Divisible | Guilty | Wrong

SCHEMA = Wrong("schema", "run `processor doctor`; missing tables come by `processor migrate`")
CREDENTIALS = Wrong("credentials", "check user, password and database in POSTGRES_URL")
CORRUPT = Wrong("corrupt", "the server's data is damaged; nothing is written until it is restored")
BOUNCER = Wrong("prepared-statements", "behind PgBouncer set POSTGRES_STATEMENT_CACHE=0")
STANDBY = Wrong("read-only", "POSTGRES_URL leads to a standby; it has to name the primary")
UNEXPECTED = Wrong("unexpected", "this is not a failure that a retry mends; see the server's log")

BY_SQLSTATE: Mapping[str, Answer] = {
    # away, or going away
    "08": Passing("connection"),
    "57P": Passing("shutdown"),
    "57": Passing("intervention"),
    "25": Passing("session"),  # the session's transaction is not where we thought: a fresh one
    "25006": STANDBY,
    "25P04": Passing("statement-timeout"),  # transaction_timeout, set by someone for the role
    # a race that was lost, and that the next try wins
    "40": Passing("race", Pause.NONE),
    "40001": Passing("serialization", Pause.NONE),
    "40P01": Passing("deadlock", Pause.NONE),
    "40003": Passing("connection"),
    "55": Passing("object-in-use"),
    "55P03": Passing("lock-timeout", Pause.NONE),
    # full
    "53": Passing("resources", Pause.LONG),
    "53400": Divisible("decompression-limit"),
    "58": Passing("storage", Pause.LONG),
    # too slow in one piece
    "57014": Divisible("statement-timeout"),
    # this value, for ever
    "21": Guilty(),
    "22": Guilty(),
    "23": Guilty(),
    "44": Guilty(),
    "54": Guilty(),
    # ours or an operator's to mend
    "0A": Wrong("unsupported", "this server cannot do what we ask; run `processor doctor`"),
    "26": BOUNCER,
    "28": CREDENTIALS,
    "3D": CREDENTIALS,
    "3F": SCHEMA,
    "42": SCHEMA,
    "42501": Wrong("privileges", "grant the role what deploy/roles.sql grants"),
    "42P05": BOUNCER,
    # the server's own bugs and broken disks
    "XX": Passing("internal", Pause.NONE),
    "XX001": CORRUPT,
    "XX002": CORRUPT,
}

CHUNK_DROPPED = "chunk-dropped"
SCHEMA_CHANGED = "schema-changed"

REASONS = frozenset(
    found.reason for found in (*BY_SQLSTATE.values(), UNEXPECTED) if not isinstance(found, Guilty)
) | {
    CHUNK_DROPPED,
    SCHEMA_CHANGED,
    "business-schema",
    "certificate",
    "connection",
    "migration-changed",
    "rows-missing",
    "settings",
    "timeout",
    "timescale-license",
    "timescale-missing",
    "timescale-version",
}
"""Every reason that leaves this room in an Unavailable or a Refused: a closed set, for a label."""

UNENCODABLE = "SQLSTATE 22000, found before sending: a value does not fit the type of its column"
"""Without the driver's own words, which repeat the value, and that may be a coordinate."""

CHUNK = re.compile(r"\b_hyper_\d+_\d+_chunk\b|\b_timescaledb_internal\b")

RELATION_GONE = "could not open relation with OID"
"""What a writer is told, as an internal error, whose chunk was dropped while it waited to write
into it: measured on TimescaleDB 2.19, where retention and late uploads meet."""


def answer(sqlstate: str, message: str = "") -> Answer:
    """What to do about an SQLSTATE. Total: every string has an answer."""
    if sqlstate == "42P01" and CHUNK.search(message):
        return Passing(CHUNK_DROPPED, Pause.NONE)
    if sqlstate == "XX000" and message.startswith(RELATION_GONE):
        return Passing(CHUNK_DROPPED, Pause.NONE)
    for length in (5, 3, 2):
        if found := BY_SQLSTATE.get(sqlstate[:length]):
            return found
    return UNEXPECTED


def translate(error: BaseException) -> Translated:
    """The error of ours that says what to do about one of FAILURES.

    Server messages are passed on without DETAIL, which may hold a record's coordinates. An error
    that is already ours stays as it is; one that nobody knows is a bug and is raised again.
    """
    match error:
        case Rejected() | Unavailable() | Refused():
            return error
        case asyncpg.InvalidCachedStatementError():
            return Unavailable(
                "database", SCHEMA_CHANGED, "the schema changed under us", Pause.NONE
            )
        case asyncpg.DataError() if error.severity is None:  # the driver's, not the server's
            return Rejected(Reason.REFUSED_BY_DATABASE, UNENCODABLE)
        case asyncpg.PostgresError():
            return _of_server(error.sqlstate or "", error.args[0] if error.args else "")
        case asyncpg.ClientConfigurationError():
            return Refused("database", "settings", f"POSTGRES_URL cannot be used: {error}")
        case asyncpg.UnsupportedClientFeatureError() | asyncpg.UnsupportedServerFeatureError():
            return Refused("database", "unsupported", str(error))
        case struct.error() | OverflowError() | UnicodeError():
            return Rejected(Reason.REFUSED_BY_DATABASE, UNENCODABLE)
        case ssl.SSLCertVerificationError():
            return Refused(
                "database", "certificate", f"the server's certificate is not trusted: {error}"
            )
        case TimeoutError():
            return Unavailable("database", "timeout", "PostgreSQL did not answer in time")
        case asyncpg.InterfaceError() | asyncpg.InternalClientError() | OSError() | EOFError():
            return Unavailable(
                "database",
                "connection",
                f"no connection to PostgreSQL: {str(error) or 'it was closed'}",
            )
        case _:
            raise error


def _of_server(sqlstate: str, message: str) -> Translated:
    said = f"SQLSTATE {sqlstate}: {message}"
    match answer(sqlstate, message):
        case Passing(reason, pause):
            return Unavailable("database", reason, said, pause)
        case Divisible(reason):
            return TooMuch("database", reason, said)
        case Guilty():
            return Rejected(Reason.REFUSED_BY_DATABASE, said)
        case Wrong(reason, advice):
            return Refused("database", reason, f"{said}; {advice}")
