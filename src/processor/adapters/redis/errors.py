"""What an error of redis-py, or of the server behind it, asks us to do: one pure table.

A server says what is the matter in the first word of its answer (`OOM ...`, `LOADING ...`); plain
`ERR` has to be read further. Whatever this table does not know is taken as Unavailable with a long
pause: to go on would lose data, to stop for good would need a reason, and nothing that a stream
server says is ever the fault of a record, so nothing of it becomes a dead letter.
"""

import re
import ssl
from typing import NamedTuple

from redis import exceptions as driver

from processor.core.errors import Refused, Unavailable

SHORT, LONG = Unavailable.Pause.SHORT, Unavailable.Pause.LONG


class _Verdict(NamedTuple):
    """`pause` None: no retry mends it. `advice` ends the sentence with what to do, if anything."""

    reason: str
    pause: Unavailable.Pause | None
    advice: str = ""


_CREDENTIALS = _Verdict("credentials", None, "check user and password in REDIS_URL")
_CLUSTER = _Verdict(
    "cluster", None, "this is a node of a cluster that does not hold the key: name the node in use"
)
_UNKNOWN = _Verdict("server-error", LONG)
_GONE = _Verdict("group-missing", SHORT)

BY_CODE: dict[str, _Verdict] = {
    # Stream or group vanished (FLUSHALL, a restart without persistence): open() makes them again.
    "NOGROUP": _GONE,
    "UNBLOCKED": _GONE,
    # A server that starts, fails over or reorganises itself.
    "LOADING": _Verdict("loading", SHORT),
    "READONLY": _Verdict("read-only", SHORT, "this is a replica, or a fail-over is under way"),
    "NOREPLICAS": _Verdict("no-replicas", SHORT),
    "MASTERDOWN": _Verdict("master-down", SHORT),
    "CLUSTERDOWN": _Verdict("cluster-down", SHORT),
    "TRYAGAIN": _Verdict("moving", SHORT),
    "ASK": _Verdict("moving", SHORT),
    "BUSY": _Verdict("busy", SHORT),
    # A server that somebody has to help.
    "UNKILLABLE": _Verdict("busy", LONG),
    "OOM": _Verdict("full", LONG, "raise maxmemory or trim what fills it"),
    "MISCONF": _Verdict("not-persisting", LONG, "see the server's log: it cannot save to disk"),
    "EXECABORT": _UNKNOWN,
    "NOSCRIPT": _UNKNOWN,
    # Wrong settings of ours.
    "NOAUTH": _CREDENTIALS,
    "WRONGPASS": _CREDENTIALS,
    "NOPERM": _Verdict("permission", None, "the user's ACL lacks it: see deploy/acl.conf"),
    "WRONGTYPE": _Verdict(
        "wrong-type", None, "the key is no stream: check REDIS_TELEMETRY_STREAM, or rename the key"
    ),
    "NOPROTO": _Verdict("protocol", None, "the server does not speak RESP2"),
    "MOVED": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
}

BY_PHRASE: dict[str, _Verdict] = {
    "no such key": _GONE,
    "max number of clients reached": _Verdict("too-many-clients", LONG, "raise maxclients"),
    "unknown command": _Verdict("unsupported", None, "Redis 6.2, Valkey or newer is needed"),
    "syntax error": _Verdict("unsupported", None, "Redis 6.2, Valkey or newer is needed"),
    "db index is out of range": _Verdict("database-index", None, "check the end of REDIS_URL"),
    "invalid db index": _Verdict("database-index", None, "check the end of REDIS_URL"),
}
"""Parts of what follows a plain `ERR`, in lower case."""

BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (driver.BusyLoadingError, "LOADING"),
    (driver.ReadOnlyError, "READONLY"),
    (driver.OutOfMemoryError, "OOM"),
    (driver.NoPermissionError, "NOPERM"),
    (driver.AuthenticationError, "WRONGPASS"),
    (driver.AuthorizationError, "WRONGPASS"),
    (driver.AuthenticationWrongNumberOfArgsError, "WRONGPASS"),
    (driver.MasterDownError, "MASTERDOWN"),
    (driver.ClusterDownError, "CLUSTERDOWN"),
    (driver.ClusterCrossSlotError, "CROSSSLOT"),
    (driver.TryAgainError, "TRYAGAIN"),
    (driver.MovedError, "MOVED"),
    (driver.AskError, "ASK"),
    (driver.ExecAbortError, "EXECABORT"),
    (driver.NoScriptError, "NOSCRIPT"),
)
"""redis-py cuts the code off a message it has a class for, and older releases keep no copy of it.
A class stands before those it inherits from."""


IN_A_SCRIPT = re.compile(r"@user_script: ?\d+: ?-?([A-Z]+) ")
"""Before Redis 7 an error inside a script stands within one of the script's."""


def translate(error: Exception) -> Unavailable | Refused:
    """Total over every exception: `error` as the caller has to take it. Never Rejected."""
    verdict = _verdict(error)
    said = str(error).rstrip(".") or type(error).__name__
    sentence = f"Redis: {said}" + (f" ({verdict.advice})" if verdict.advice else "")
    if verdict.pause is None:
        return Refused("stream", verdict.reason, sentence)
    return Unavailable("stream", verdict.reason, sentence, verdict.pause)


def _verdict(error: Exception) -> _Verdict:
    if isinstance(error, TimeoutError | driver.TimeoutError):
        return _Verdict("timeout", SHORT)
    if _is_certificate(error):
        return _Verdict("certificate", None, "check rediss:// and ssl_ca_certs in REDIS_URL")
    code = _code(error)
    if code and code not in BY_CODE and (within := IN_A_SCRIPT.search(str(error))):
        code = within[1]
    if code in BY_CODE:
        return BY_CODE[code]
    said = str(error).lower()
    for phrase, verdict in BY_PHRASE.items():
        if isinstance(error, driver.RedisError) and phrase in said:
            return verdict
    if code:
        return _UNKNOWN
    if isinstance(error, OSError | driver.ConnectionError | driver.InvalidResponse):
        return _Verdict("connection", SHORT)
    return _UNKNOWN


def _code(error: Exception) -> str | None:
    """The first word of what the server said; None where it was not the server who spoke."""
    for kind, code in BY_CLASS:
        if isinstance(error, kind):
            return code
    if not isinstance(error, driver.ResponseError):
        return None
    return str(error).partition(" ")[0]


def _is_certificate(error: BaseException | None) -> bool:
    """redis-py puts every failure to connect into the same class; what it was stands behind it."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
