"""A row of `processor doctor`, and how what is to be typed next begins."""

from typing import Literal

from attrs import frozen

REDIS = "redis-cli -u $REDIS_URL"
PSQL = "psql $POSTGRES_URL"
"""How what is to be typed next begins: the shell knows the password, and the screen need not."""


@frozen
class Finding:
    """A row: what was looked at, the judgement, what was found, and what to type next if needed."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    found: str
    next: str = ""
