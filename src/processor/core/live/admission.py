"""Who may come in: judged from the headers alone, before anybody is asked, and by head count.

A browser sends the cookies of our site along with a WebSocket that any other site opens. The Origin
header says who opened it, a page cannot forge it, and so it is compared as a whole: what ends or
begins like an allowed one is somebody else's.
"""

import re
from collections import Counter
from collections.abc import Collection
from typing import Literal, get_args

from attrs import field, frozen, mutable

RETRY_AFTER_S = 5
"""Seconds that a browser is asked to wait where we are full, stopping, or cannot decide."""


@frozen
class Refusal:
    """An HTTP answer instead of a WebSocket."""

    status: int
    sentence: str
    retry_after_s: int | None = None


NOT_NOW = Refusal(503, "it cannot be decided now who you are", RETRY_AFTER_S)
NOBODY = Refusal(401, "no session: log in first")


@frozen
class House:
    """The rules of admission. `origins` are exact, lower case; `own_page` admits the origin that
    the request itself is addressed to, for that is where our page comes from. `loopback_only`
    admits only requests addressed to this machine by a name for it, so that no other name can be
    pointed at it. `most` connections, `most_per_user` of them by one user."""

    origins: Collection[str]
    allow_no_origin: bool
    own_page: bool
    cookie_needed: bool
    loopback_only: bool
    most: int
    most_per_user: int


Need = Literal["stream", "devices"]
"""What live has to know before it lets anybody in, or their snapshot could have a hole: what is on
the stream and may not be stored yet, and which device drives where (if that can be known now)."""


@mutable
class Admission:
    """The door. It opens when nothing is missing any more; once closed, it stays closed."""

    house: House
    missing: set[Need] = field(factory=lambda: set(get_args(Need)))
    _closed: bool = False
    _inside: Counter[str] = field(factory=Counter)
    _asking: int = 0

    @property
    def open(self) -> bool:
        return not self.missing and not self._closed

    def has(self, need: Need) -> None:
        """One thing less is missing."""
        self.missing.discard(need)

    def close(self) -> None:
        """For good: live is about to stop."""
        self._closed = True

    def knock(self, *, origin: str | None, host: str, cookie: str) -> Refusal | None:
        """Judge the headers of a handshake. None: take a place, by `enter` or `give_up`."""
        if self.house.loopback_only and not _is_loopback(host):
            return Refusal(403, "address this machine as 127.0.0.1 or localhost")
        if not self._origin_allowed(origin, host):
            return Refusal(403, "this origin is not allowed here")
        if self.house.cookie_needed and not cookie:
            return NOBODY
        if not self.open:
            return Refusal(503, "not ready, or about to stop", RETRY_AFTER_S)
        if self._inside.total() + self._asking >= self.house.most:
            return Refusal(503, "full", RETRY_AFTER_S)
        self._asking += 1
        return None

    def give_up(self) -> None:
        """Who knocked turned out to be nobody, or is gone."""
        self._asking -= 1

    def enter(self, user_id: str) -> Refusal | None:
        """Who knocked is this user; the place is theirs unless they have too many."""
        self._asking -= 1
        if not self.open:
            return Refusal(503, "about to stop", RETRY_AFTER_S)
        if self._inside[user_id] >= self.house.most_per_user:
            return Refusal(429, f"{self.house.most_per_user} connections a user: close one first")
        self._inside[user_id] += 1
        return None

    def leave(self, user_id: str) -> None:
        self._inside[user_id] -= 1
        if not self._inside[user_id]:
            del self._inside[user_id]

    def _origin_allowed(self, origin: str | None, host: str) -> bool:
        if origin is None:
            return self.house.allow_no_origin
        origin = origin.lower()
        if origin in self.house.origins:
            return True
        # A proxy may have taken the TLS off; the host is what tells one site from another.
        own = (f"http://{host.lower()}", f"https://{host.lower()}")
        return self.house.own_page and bool(host) and origin in own


def _is_loopback(host: str) -> bool:
    return re.fullmatch(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", host.lower()) is not None
