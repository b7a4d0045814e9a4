"""Users, sessions and events in memory: the twin of adapters/directus, judged by the same suite.

It answers as Directus 11 does, and always from what is so now: an event that is not there is
forbidden like any other, a user who is suspended has no session.
"""

import asyncio

from processor.core.errors import Unavailable
from processor.core.ports import Access


class MemoryAuthVerifier:
    """AuthVerifier. A session is named by its cookie, `name=value`, among whatever else is in the
    header."""

    def __init__(self) -> None:
        self._sessions: dict[str, str] = {}
        self._grants: set[tuple[str, str]] = set()
        self._suspended: set[str] = set()
        self._is_away = False

    def login(self, cookie: str, user_id: str) -> None:
        self._sessions[cookie] = user_id

    def logout(self, cookie: str) -> None:
        """The session is over."""
        self._sessions.pop(cookie, None)

    def suspend(self, user_id: str) -> None:
        """None of the user's sessions is one any more."""
        self._suspended.add(user_id)

    def grant(self, user_id: str, event_id: str) -> None:
        self._grants.add((user_id, event_id))

    def revoke(self, user_id: str, event_id: str) -> None:
        self._grants.discard((user_id, event_id))

    def away(self) -> None:
        """Nothing can be decided, until it is `back`."""
        self._is_away = True

    def back(self) -> None:
        self._is_away = False

    async def identify(self, cookie: str, *, recheck: bool = False) -> str | None:
        await self.ask()
        return self._user(cookie)

    async def may_read(self, cookie: str, event_id: str, *, recheck: bool = False) -> Access:
        await self.ask()
        user_id = self._user(cookie)
        if user_id is None:
            return Access.ENDED
        return Access.GRANTED if (user_id, event_id) in self._grants else Access.FORBIDDEN

    async def ask(self) -> None:
        """As that of the real one."""
        await asyncio.sleep(0)
        if self._is_away:
            raise Unavailable("directus", "connection", "no connection to Directus")

    async def aclose(self) -> None:
        """As that of the real one; nothing is open here."""

    def _user(self, cookie: str) -> str | None:
        for pair in cookie.split(";"):
            user_id = self._sessions.get(pair.strip(" \t"))
            if user_id is not None and user_id not in self._suspended:
                return user_id
        return None
