"""What readers and warnings have in common when they speak: names in quotes, and what may have been
meant by one that is not known."""

from collections.abc import Sequence
from difflib import get_close_matches

SHOWN = 40
"""Characters of what somebody wrote: a sentence stays a sentence."""

COMPARED = 200
"""Characters that are compared with known names; none is longer."""

LISTED = 10
"""Names that a sentence lists."""


def quoted(text: str) -> str:
    """A text of the file's in a sentence: short, and without control characters."""
    cut = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return f'"{"".join(c if c.isprintable() else "?" for c in cut)}"'


def near(name: str, known: Sequence[str]) -> str:
    """The end of a sentence that names what may have been meant, or "". Case is no matter."""
    by_fold = {each.casefold(): each for each in known}
    found = get_close_matches(name[:COMPARED].casefold(), list(by_fold), n=2, cutoff=0.6)
    return (
        f"; did you mean {' or '.join(quoted(by_fold[fold]) for fold in found)}?" if found else ""
    )


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence, a long one cut."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
