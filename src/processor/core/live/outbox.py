"""What waits for a browser that does not read as fast as devices move.

Bounded by what there is to know, not by time: of each key the newest text, at the place of the
newest, so that what is sent of a device only ever gets newer. What has no key is never replaced.
"""

from collections.abc import Hashable


class Outbox:
    """Texts in the order in which they are to be sent. `size` is their bytes; `conflated` counts
    those whose place a newer one took."""

    __slots__ = ("_texts", "conflated", "size")

    def __init__(self) -> None:
        self._texts: dict[Hashable, bytes] = {}
        self.size = 0
        self.conflated = 0

    def __len__(self) -> int:
        return len(self._texts)

    def put(self, text: bytes, key: Hashable = None) -> None:
        """To the end of the queue, instead of what waits under the same key."""
        if key is None:
            key = object()  # like no other
        elif (replaced := self._texts.pop(key, None)) is not None:
            self.size -= len(replaced)
            self.conflated += 1
        self._texts[key] = text
        self.size += len(text)

    def take(self) -> bytes:
        """The one that waits longest. There must be one."""
        key = next(iter(self._texts))
        text = self._texts.pop(key)
        self.size -= len(text)
        return text

    def clear(self) -> None:
        """Nobody is there any more to be sent it."""
        self._texts.clear()
        self.size = 0
