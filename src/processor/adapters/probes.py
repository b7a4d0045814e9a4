"""/metrics, /healthz and /readyz: what a supervisor, a load balancer and Prometheus ask.

Alive and ready are different questions. A process whose database is away is alive: killing it
mends nothing and loses what it holds in hand. It is not ready, and says which check fails.

`Readiness` is only a table of named checks; whoever probes or works writes into it. A check that
nobody has renewed for a while is not believed: a prober that hangs must not leave us ready.
"""

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from processor.core.notices import (
    DependencyAnswered,
    DependencyRefused,
    DeviceMapFailed,
    DeviceMapRead,
    GroupOpened,
    IngestStopped,
    LiveStarted,
    LiveStopped,
    Notice,
    RetryScheduled,
)

STALE_S = 20.0
"""Probes come every 5 s and last 3 s at most: after 20 s at least two are missing."""


@frozen
class Check:
    """What is known of one condition. `expires_s` on the monotonic clock, None: never."""

    ok: bool
    said: str
    expires_s: float | None = None


class Readiness:
    """Can each role work? A role is ready when each of its checks holds.

    It is an Observer, too: that a role has started, or that a dependency keeps it waiting, it
    learns from the notices.
    """

    def __init__(self, roles: Mapping[str, Sequence[str]], *, elapsed: Callable[[], float]) -> None:
        self._roles = roles
        self._elapsed = elapsed
        self._checks: dict[str, Check] = {}

    def note(self, check: str, *, ok: bool, said: str = "", lasting: bool = False) -> None:
        """Write down a check: for a while, or `lasting` until it is written again."""
        expires_s = None if lasting else self._elapsed() + STALE_S
        self._checks[check] = Check(ok, said or ("ok" if ok else "failed"), expires_s)

    def observe(self, notice: Notice) -> None:
        match notice:
            case GroupOpened():
                self.note("ingest", ok=True, said="reading", lasting=True)
            case IngestStopped():
                self.note("ingest", ok=False, said="stopped", lasting=True)
            case RetryScheduled(_, _, _, wait_s) if wait_s <= 0:
                pass  # a lost race, tried again at once: it keeps nobody from working
            case DependencyRefused(dependency, _, sentence) | RetryScheduled(
                dependency, _, sentence
            ):
                # A server may answer the probe and refuse the work: a full one, or a replica.
                self.note(f"{dependency}-accepts", ok=False, said=sentence, lasting=True)
            case DependencyAnswered(dependency):
                self.note(f"{dependency}-accepts", ok=True, lasting=True)
            case _:
                pass

    def roles(self) -> Sequence[str]:
        return list(self._roles)

    def ready(self, role: str | None = None) -> bool:
        """Whether this role, or every role, can work."""
        return all(check.ok for check in self.checks(role).values())

    def checks(self, role: str | None = None) -> dict[str, Check]:
        """The checks that count for this role, or for all, each by its name."""
        roles = list(self._roles) if role is None else [role]
        names = dict.fromkeys(name for role in roles for name in self._roles[role])
        return {name: self._standing(name) for name in names}

    def _standing(self, name: str) -> Check:
        check = self._checks.get(name)
        if check is None:
            return Check(ok=False, said="not yet")
        if check.expires_s is not None and self._elapsed() > check.expires_s:
            return Check(ok=False, said=f"no answer for {STALE_S:.0f} s")
        return check


class LiveHearing:
    """The Observer that learns from the notices of the live role whether it can work."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def observe(self, notice: Notice) -> None:
        note = self._readiness.note
        match notice:
            case LiveStarted():
                note("live", ok=True, said="reading", lasting=True)
            case LiveStopped():
                note("live", ok=False, said="stopped", lasting=True)
            case DeviceMapRead(devices, events):
                said = f"{devices} devices in {events} events" if devices else "empty"
                note("device-map", ok=True, said=said, lasting=True)
            case DeviceMapFailed(_, sentence):
                # Asked for once is enough: an empty map, or an old one, is shown and said.
                note("device-map", ok=True, said=f"not read anew: {sentence}", lasting=True)
            case DependencyRefused("stream", _, sentence) | RetryScheduled("stream", _, sentence):
                note("live-stream-accepts", ok=False, said=sentence, lasting=True)
            case DependencyAnswered("stream"):
                note("live-stream-accepts", ok=True, lasting=True)
            case _:
                pass


def application(
    readiness: Readiness, exposition: Callable[[], tuple[bytes, str]], port: int
) -> Starlette:
    """The three answers. Nothing here builds on `request.url`: a client writes its host part."""

    async def metrics(_: Request) -> Response:
        body, content_type = exposition()
        return Response(body, headers={"content-type": content_type})

    async def alive(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def ready(request: Request) -> Response:
        role = request.query_params.get("role")
        if role is not None and role not in readiness.roles():
            return PlainTextResponse("not a role of this process\n", status_code=404)
        is_ready = readiness.ready(role)
        status = 200 if is_ready else 503
        if "verbose" not in request.query_params:
            return PlainTextResponse("ready\n" if is_ready else "not ready\n", status_code=status)
        checks = {
            name: {"ok": check.ok, "said": check.said}
            for name, check in readiness.checks(role).items()
        }
        body = {"ready": is_ready, "port": port, "checks": checks}
        return JSONResponse(body, status_code=status)

    routes = [Route("/metrics", metrics), Route("/healthz", alive), Route("/readyz", ready)]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # anything else is 404, and a redirect would be a URL
    return app
