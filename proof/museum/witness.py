"""A pytest plugin that writes down how each test ended, a JSON line each, into MUSEUM_REPORT.

A planted bug counts as caught when a test says that something is not as it should be: an assertion
fails, pytest.raises waits in vain, a deadline of the test's own passes, or an error of ours comes
out where none is expected. A bug that cannot even be imported is a botched patch, and so is one
that ends a test by a TypeError or by pytest's time limit: those count for nothing.

Of a test with many parameters one failure is enough: the others are left out then.
"""

import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

CAUGHT, PASSED, SKIPPED = "caught", "passed", "skipped"

_caught: set[str] = set()


def pytest_configure(config: pytest.Config) -> None:
    import processor

    place = Path(processor.__file__ or "").resolve()
    assert place.is_relative_to(config.rootpath.resolve()), f"{place} is not the copy's"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if _test(item.nodeid) in _caught:
        pytest.skip("caught already")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    told = None
    if report.failed and call.excinfo is not None:
        told = _told(call.excinfo.value) if call.when == "call" else f"error in {call.when}"
    elif report.skipped and _test(item.nodeid) not in _caught:
        told = SKIPPED
    elif report.passed and call.when == "call":
        told = PASSED
    if told is not None:
        if told == CAUGHT:
            _caught.add(_test(item.nodeid))
        with Path(os.environ["MUSEUM_REPORT"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps([item.nodeid, told]) + "\n")
    return report


def _test(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def _told(error: BaseException) -> str:
    leaves = list(_leaves(error))
    if any(_is_verdict(leaf) for leaf in leaves):
        return CAUGHT
    return f"error: {', '.join(sorted({type(leaf).__name__ for leaf in leaves}))}"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _is_verdict(error: BaseException) -> bool:
    from processor.core.errors import Refused, Rejected, Unavailable  # the copy's

    own = (Rejected, Unavailable, Refused, TimeoutError)
    return isinstance(error, (AssertionError, pytest.fail.Exception, *own))
