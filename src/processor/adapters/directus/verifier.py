"""AuthVerifier by Directus: the two questions, shared by all who ask them for the same session.

What is shared goes by the hash of the session's cookie: a browser's other cookies change while the
session stays, and of the cookie itself nothing is kept or shown anywhere.
"""

from processor.adapters.directus.budget import Budget
from processor.adapters.directus.client import DirectusClient
from processor.adapters.directus.cookies import hash_of, to_send
from processor.adapters.directus.sharing import Shared, Tell
from processor.core.ports import Access, Clock


class DirectusAuthVerifier:
    """AuthVerifier. `session_cookie` names the cookie that tells sessions apart; Directus is sent
    the whole header. The timeouts bound a person's whole wait, a turn in the budget included; for a
    recheck they begin with its call."""

    def __init__(
        self,
        client: DirectusClient,
        *,
        session_cookie: str,
        auth_timeout_ms: int,
        authz_timeout_ms: int,
        recheck_ms: int,
        max_concurrency: int,
        max_rps: int,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._client = client
        self._session_cookie = session_cookie
        self._auth_timeout_s = auth_timeout_ms / 1000
        self._authz_timeout_s = authz_timeout_ms / 1000
        fresh_s = recheck_ms / 1000 / 2
        budget = Budget(at_once=max_concurrency, a_second=max_rps, clock=clock)
        self._users: Shared[str | None] = Shared(
            "identify",
            refusals={None},
            timeout_s=self._auth_timeout_s,
            fresh_s=fresh_s,
            budget=budget,
            clock=clock,
            tell=tell,
        )
        self._rights: Shared[Access] = Shared(
            "may-read",
            refusals=set(Access) - {Access.GRANTED},
            timeout_s=self._authz_timeout_s,
            fresh_s=fresh_s,
            budget=budget,
            clock=clock,
            tell=tell,
        )

    async def identify(self, cookie: str, *, recheck: bool = False) -> str | None:
        sent = to_send(cookie)
        if sent is None:
            return None
        return await self._users.ask(
            hash_of(cookie, self._session_cookie),
            lambda: self._client.identify(sent, self._auth_timeout_s),
            recheck=recheck,
        )

    async def may_read(self, cookie: str, event_id: str, *, recheck: bool = False) -> Access:
        sent = to_send(cookie)
        if sent is None:
            return Access.ENDED
        return await self._rights.ask(
            (hash_of(cookie, self._session_cookie), event_id),
            lambda: self._client.may_read(sent, event_id, self._authz_timeout_s),
            recheck=recheck,
        )

    async def ask(self) -> None:
        """Return if Directus is there; of no account in the budget. Raises Unavailable."""
        await self._client.ask()

    async def aclose(self) -> None:
        """Whoever waits is answered that it cannot be decided."""
        await self._users.aclose()
        await self._rights.aclose()
        await self._client.aclose()
