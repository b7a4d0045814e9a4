"""What we do with a `Cookie` header: pass it on as it came, and tell one session from another.

A header is here a text of Latin-1 characters, one for each of its bytes, as HTTP servers hand it
over. Nothing of it is kept or shown anywhere but its hash.
"""

import re
from hashlib import sha256

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""None of these occurs in a header that was parsed, and none may end the one that we send."""

BLANK = " \t"


def to_send(cookie: str) -> str | None:
    """The header for aiohttp, which writes UTF-8, so that the same bytes go out. None where no
    browser sends such a header: nobody's session is in it."""
    if not cookie.strip() or CONTROL.search(cookie):
        return None
    try:
        return cookie.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None


def hash_of(cookie: str, session_cookie: str) -> bytes:
    """The hash of the session's cookie (RFC 6265, 4.2.1), whatever other cookies are with it. Of
    the whole header where it is not there once and with a value: what does Directus take then?"""
    values = []
    for pair in cookie.split(";"):
        name, _, value = pair.partition("=")
        if name.strip(BLANK) == session_cookie:
            values.append(value.strip(BLANK))
    session = values[0] if len(values) == 1 else ""
    return sha256((session or cookie).encode()).digest()
