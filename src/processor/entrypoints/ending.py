"""How a process is told to end, and that it does end.

The first SIGTERM or SIGINT asks for it, the second ends the process on the spot. And the first one
starts a clock in a thread of its own: when it has run out the process ends, whatever the event loop
is stuck in, and whatever other thread the interpreter would wait for (one that asks a name server
which does not answer, say).
"""

import asyncio
import faulthandler
import os
import signal
import threading
import time
from types import FrameType

from processor.entrypoints.exits import Exit


class Ending:
    """`asked` is set by the first signal. After `within_s` seconds the process ends with the code
    that it was about to end with, or, if that was not known yet, with 70 and its threads' stacks.

    Handlers of the signal module and not of the loop: they run, too, while the loop is stuck.
    """

    def __init__(self, within_s: float) -> None:
        self.asked = asyncio.Event()
        self.first: int | None = None
        self._code: int | None = None
        self._within_s = within_s
        self._loop = asyncio.get_running_loop()
        self._came = threading.Event()

    def install(self) -> None:
        threading.Thread(target=self._see_to_it, name="ending", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)

    def with_code(self, code: int) -> int:
        """That is what the process is about to end with. It need not have been asked to."""
        self._code = code
        self._came.set()
        return code

    def _told(self, number: int, _: FrameType | None) -> None:
        if self.first is not None:
            os._exit(Exit.signalled(number))  # nothing is lost: each log line is flushed by itself
        self.first = number
        self._came.set()
        self._loop.call_soon_threadsafe(self.asked.set)

    def _see_to_it(self) -> None:
        self._came.wait()
        time.sleep(self._within_s)
        if self._code is None:  # no log line: whoever is stuck may be so in writing one
            faulthandler.dump_traceback()
        os._exit(Exit.INTERNAL if self._code is None else self._code)
