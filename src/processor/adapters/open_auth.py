"""AuthVerifier without Directus (LIVE_AUTH=open): everybody is the same user and may read all.

For a demo, and for whoever tries the service at home. Settings allow it only where every listener
is on loopback: who can connect there sits at this machine.
"""

from processor.core.ports import Access

ANYBODY = "anybody"


class OpenAuth:
    """AuthVerifier that refuses nobody, whatever cookie there is, and also without one."""

    async def identify(self, cookie: str, *, recheck: bool = False) -> str | None:
        return ANYBODY

    async def may_read(self, cookie: str, event_id: str, *, recheck: bool = False) -> Access:
        return Access.GRANTED
