"""Whether the next batch is likely to meet a row that is stored already.

COPY straight into the table is the fastest way to write, but one stored key makes it fail, and
the batch is then written a second time, carefully. So straight pays while conflicts are rare. How
rare, is the `break_even`: the share of batches with a conflict at which both ways cost the same.
The share is estimated as an average that forgets, and every batch, written either way, adds to it.
"""

MEMORY = 8
"""Batches that the average remembers, roughly: after a stretch of duplicates a dozen clean batches
make it hopeful again, and one conflict alone does not make it careful."""


class Conflicts:
    """The share of recent batches that met a stored row, and what follows from it."""

    def __init__(self, break_even: float) -> None:
        self._break_even = break_even
        self._share = 0.0

    @property
    def likely(self) -> bool:
        """True: write carefully. False: write straight, and hope."""
        return self._share >= self._break_even

    def learn(self, *, met: bool) -> None:
        """Say whether a batch met a stored row, whichever way it was written."""
        self._share += (met - self._share) / MEMORY
