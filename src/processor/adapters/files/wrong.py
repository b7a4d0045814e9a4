"""What every reader of files says when a file's content is not what it should be."""

from pathlib import Path


class WrongFile(Exception):
    """The content of a file is wrong; the text says which file, where, and what was expected."""

    def __init__(self, path: Path, place: str, sentence: str) -> None:
        super().__init__(f"{path}{place and ', '}{place}: {sentence}")
