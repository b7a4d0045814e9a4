"""Any port, with faults: what a network and a dying server do, on demand.

A call can be slow, fail before it had any effect, or have its effect and lose the reply. The
last is the one that naive code forgets, and the one that happens on every fail-over.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from attrs import frozen

from processor.core.ports import Clock


@frozen
class Fault:
    """What happens to one call. `before` is raised instead of calling, `after` instead of the
    answer, when the effect is there already. Both None and no delay: nothing happens to it."""

    delay_s: float = 0.0
    before: Exception | None = None
    after: Exception | None = None


Plan = Callable[[str], Fault]
"""Asked once per call, with the method's name."""

P = TypeVar("P")


def faulty(port: P, plan: Plan, clock: Clock) -> P:
    """The same port, whose asynchronous methods suffer what `plan` says."""
    return cast("P", _Faulty(port, plan, clock))


class _Faulty:
    def __init__(self, port: object, plan: Plan, clock: Clock) -> None:
        self._port = port
        self._plan = plan
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            fault = self._plan(name)
            if fault.delay_s > 0:
                await self._clock.sleep(fault.delay_s)
            if fault.before is not None:
                raise fault.before
            answer = await method(*args, **kwargs)
            if fault.after is not None:
                raise fault.after
            return answer

        return call
