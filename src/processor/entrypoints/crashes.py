"""What nobody caught leaves one log line that says where, wherever it happened.

- In a task that nobody waits for, in a thread, in a destructor: said, and the service goes on. What
  the service consists of is waited for, and ends it with 70 (run.py). What is left are errands, of
  libraries mostly; to end a service that works for one of them would be the greater harm.
- At the top: said, and the process ends with 70.
- A fatal signal, such as a segmentation fault in a library: nothing that is Python can run any
  more, so no JSON. faulthandler writes the stacks of all threads to stderr, in plain text, and the
  process dies of the signal.

None of it shows the value of a variable: one of them is a DSN.
"""

import asyncio
import faulthandler
import sys
import threading
from types import TracebackType
from typing import Any

from processor.adapters.logs import say
from processor.entrypoints.exits import Exit


def install() -> None:
    """From now on, in this process. Logging is configured by then."""
    faulthandler.enable()
    sys.excepthook = _at_the_top
    sys.unraisablehook = _in_a_destructor
    threading.excepthook = _in_a_thread


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """And in the tasks and callbacks of this loop."""
    loop.set_exception_handler(_in_the_loop)


def _at_the_top(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    say("error", "crashed", error)
    raise SystemExit(Exit.INTERNAL)  # which the interpreter heeds, here of all places


def _in_a_destructor(unraisable: "sys.UnraisableHookArgs") -> None:
    name = getattr(unraisable.object, "__qualname__", type(unraisable.object).__name__)
    say("error", "uncaught", unraisable.exc_value, place="destructor", name=name)


def _in_a_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread else ""
        say("error", "uncaught", args.exc_value, place="thread", name=name)


def _in_the_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    task = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else ""
    # "Exception in callback f(...)" goes on with the values that f was called with.
    text = str(context.get("message", "")).partition("(")[0]
    say("error", "uncaught", context.get("exception"), place="task", name=name, text=text)
