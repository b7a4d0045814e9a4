"""The crowd (crowd.py) as the bench sees it: a process that connects clients and counts."""

import os
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

import msgspec

from bench.drain import Failed
from bench.live.crowd import Heard, Order

CONNECTED_WITHIN_S = 90
ANSWERED_WITHIN_S = 20


class Audience:
    """Clients of one server. Raises Failed where the crowd ends or does not answer."""

    def __init__(self, port: int) -> None:
        self.size = 0
        self._progress, progress = os.pipe()
        self._crowd = subprocess.Popen(
            [sys.executable, "-m", "bench.live.crowd", "--port", str(port), "--progress",
             str(progress)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=(progress,),
        )  # fmt: skip
        os.close(progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._crowd.stdin is not None
        self._crowd.stdin.close()
        try:
            self._crowd.wait(5)
        except subprocess.TimeoutExpired:
            self._crowd.kill()
            self._crowd.wait()
        for stream in (self._crowd.stdout, self._crowd.stderr):
            assert stream is not None
            stream.close()
        os.close(self._progress)

    def grow(self, count: int, subscribe: str) -> None:
        """So many are there in the end; those who come ask for `subscribe`."""
        self._ask(Order("connect", count - self.size, subscribe), CONNECTED_WITHIN_S)
        self.size = count

    def shrink(self, count: int) -> None:
        """So many stay."""
        self._ask(Order("keep", count))
        self.size = count

    def begin(self) -> None:
        while self.arrived(0.0):
            pass
        self._ask(Order("begin"))

    def end(self) -> Heard:
        return self._ask(Order("end"))

    def deafen(self, subscribe: str) -> None:
        """One more is there, who reads the answer to his subscribe and then nothing."""
        self._ask(Order("deaf", 1, subscribe))

    def undeafen(self) -> str:
        """He is gone; what had become of him."""
        return self._ask(Order("hear")).closed

    def arrived(self, within_s: float) -> int:
        """How many frames everybody has got since it was asked last; it waits for one."""
        ready, _, _ = select.select([self._progress], [], [], within_s)
        return len(os.read(self._progress, 65_536)) if ready else 0

    def _ask(self, order: Order, within_s: float = ANSWERED_WITHIN_S) -> Heard:
        assert self._crowd.stdin is not None
        assert self._crowd.stdout is not None
        try:
            self._crowd.stdin.write(msgspec.json.encode(order))
            self._crowd.stdin.flush()
        except BrokenPipeError:
            raise Failed(self._last_words()) from None
        deadline = time.monotonic() + within_s
        answer = b""
        while not answer.endswith(b"\n"):
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([self._crowd.stdout], [], [], left_s)[0]:
                raise Failed(f"the crowd did not {order.do} {order.count} within {within_s} s")
            some = os.read(self._crowd.stdout.fileno(), 1 << 20)
            if not some:
                raise Failed(self._last_words())
            answer += some
        return msgspec.json.decode(answer, type=Heard)

    def _last_words(self) -> str:
        assert self._crowd.stderr is not None
        self._crowd.wait(5)
        said = self._crowd.stderr.read().decode(errors="replace").strip().splitlines()
        return f"the crowd ended: {said[-1][:200] if said else self._crowd.returncode}"
