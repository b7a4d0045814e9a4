"""How a command ends, as a number that whoever started it can act on.

The numbers are those of sysexits.h, as supervisors and people know them: a configuration error is
not worth a restart, a server that is away is.
"""

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    """Done, or a clean stop."""
    FAILED = 1
    """A check failed, or a file's content is wrong."""
    USAGE = 2
    """Bad usage, or a named file is not there."""
    UNREACHABLE = 69
    """A server cannot be reached: an operator's command, or --fail-fast after 30 s."""
    INTERNAL = 70
    """A bug."""
    WRONG_SETUP = 78
    """Settings, credentials or schema are wrong, or a port is taken."""

    @staticmethod
    def signalled(number: int) -> int:
        """Ended at once by a second signal: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + number


class Ends(Exception):
    """Ends the command with an exit code, after its text was said: it is what a person has to do,
    and no traceback adds to it."""

    code = Exit.INTERNAL


class WrongSetup(Ends):
    code = Exit.WRONG_SETUP


class Unreachable(Ends):
    code = Exit.UNREACHABLE
