"""Why Directus could not decide: a closed table of reasons, and what each failure counts as.

Whatever is not a decision of Directus's is Unavailable, never a refusal: a user is not sent away
because a proxy answered in its place, and nobody is let in because of it.

The driver's own words are never passed on, and its exceptions are not kept as causes: they hold the
request, and with it the cookie and the event.
"""

import os
import socket
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from processor.core.errors import Unavailable

SHORT, LONG = Unavailable.Pause.SHORT, Unavailable.Pause.LONG


class _Trouble(NamedTuple):
    sentence: str
    pause: Unavailable.Pause = SHORT


_ADVICE = "check DIRECTUS_BASE_URL"

TROUBLES: Mapping[str, _Trouble] = {
    "busy": _Trouble(
        "too many ask at once; DIRECTUS_MAX_RPS and DIRECTUS_MAX_CONCURRENCY bound it"
    ),
    "certificate": _Trouble("Directus's certificate is not trusted", LONG),
    "closing": _Trouble("we are about to stop and ask no more"),
    "connection": _Trouble("no connection to Directus"),
    "malformed": _Trouble(f"what answers does not speak as Directus does; {_ADVICE}", LONG),
    "rate-limited": _Trouble("Directus says that we ask too often (429)"),
    "redirect": _Trouble(f"Directus redirects, and that is not followed; {_ADVICE}", LONG),
    "server-error": _Trouble("Directus has failed"),
    "timeout": _Trouble("Directus did not answer in time"),
    "too-large": _Trouble(f"the answer is larger than any of Directus's; {_ADVICE}", LONG),
    "unexpected-status": _Trouble(f"Directus does not know what we ask; {_ADVICE}", LONG),
}

REASONS = frozenset(TROUBLES)
"""Every reason that leaves this room in an Unavailable: a closed set, for a label."""

REDIRECTS = {301, 302, 303, 307, 308}

FAILURES = (
    aiohttp.ClientError,
    aiohttp.http.HttpProcessingError,
    OSError,  # TimeoutError is a kind of it
    EOFError,
)
"""What the driver may raise for a request; anything else is a bug and crashes."""


def unavailable(reason: str, detail: str = "") -> Unavailable:
    """The error for a reason of the table. `detail` names nobody and no event."""
    trouble = TROUBLES[reason]
    sentence = f"{trouble.sentence}: {detail}" if detail else trouble.sentence
    return Unavailable("directus", reason, sentence, trouble.pause)


def of_status(status: int) -> Unavailable:
    """What an HTTP status means that is no decision."""
    if status == 429:
        return unavailable("rate-limited")
    if status >= 500:
        return unavailable("server-error", f"status {status}")
    if status in REDIRECTS:
        return unavailable("redirect", f"status {status}")
    return unavailable("unexpected-status", f"status {status}")


def translate(error: Exception) -> Unavailable:
    """What one of FAILURES means. Total over them."""
    match error:
        case TimeoutError():
            return unavailable("timeout")
        case aiohttp.ClientConnectorCertificateError():
            return unavailable("certificate")
        case aiohttp.ClientSSLError():
            return unavailable("connection", f"TLS failed; {_ADVICE}")
        case aiohttp.ClientResponseError() | aiohttp.http.HttpProcessingError():
            return unavailable("malformed", "that is not HTTP")
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError():
            return unavailable("connection", "it broke off")
        case OSError():
            return unavailable("connection", _of_system(error))
        case _:
            return unavailable("connection")


def _of_system(error: OSError) -> str:
    """The system's own words for it: the driver's name addresses."""
    if error.errno is None:
        return ""
    if isinstance(getattr(error, "os_error", error), socket.gaierror):
        return "its host's name is not known"
    return os.strerror(error.errno)
