"""What a file holds, told by its content: a name may lie, and a mistaken file deserves a sentence
that says what it seems to be."""

import os
import re
from enum import StrEnum
from pathlib import Path

from processor.adapters.files.wrong import WrongFile

HEAD_BYTES = 64 * 1024
"""An IGC file's headers and its first fixes lie within this, and so do a course's first objects."""

_BOM = b"\xef\xbb\xbf"
_IGC_LINE = re.compile(rb"^(?:B\d{6}\d{7}[NS]\d{8}[EW]|H[A-Z]DTE)", re.MULTILINE)
_PAYLOAD_MEMBER = re.compile(rb'"(?:device_id|satellites)"\s*:')
_COURSE_MEMBER = re.compile(rb'"(?:stages|segments|objects)"\s*:')


class Content(StrEnum):
    """The families of formats that are read."""

    XML = "XML"
    JSON = "JSON"
    IGC = "IGC"
    CSV = "CSV"


def content_of(path: Path) -> Content:
    """The family that a file's beginning belongs to. Raises WrongFile where it is none of them,
    OSError."""
    head = head_of(path)
    start = head.lstrip()
    if not start:
        raise WrongFile(path, "", "is empty")
    if start.startswith(b"<"):
        return Content.XML
    if start.startswith((b"{", b"[")):
        return Content.JSON
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        raise WrongFile(path, "", f"is {_unreadable(head)}")
    if _IGC_LINE.search(head):
        return Content.IGC
    if any(delimiter in start.splitlines()[0] for delimiter in (b",", b";", b"\t")):
        return Content.CSV
    raise WrongFile(
        path, "", "is neither GPX, JSON, IGC nor CSV with a header line; one of them was expected"
    )


def head_of(path: Path) -> bytes:
    """The beginning of a file without its byte order mark. Raises WrongFile where it is no file
    that can be read twice (a pipe), OSError."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise WrongFile(path, "", "is not an ordinary file, and it has to be read more than once")
    with path.open("rb") as file:
        return file.read(HEAD_BYTES).removeprefix(_BOM)


def stem_of(path: Path) -> str:
    """A file's name without its ending, as text that can be printed: bytes that are not UTF-8 and
    control characters are written as escapes, so that different names stay different."""
    text = os.fsencode(path.stem).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def seems(path: Path) -> str:
    """What a file seems to be, as the end of a sentence that says what was expected instead; ""
    where nothing can be told."""
    head = head_of(path)
    start = head.lstrip()
    if start.startswith(b"<"):
        if b"openrally" in head:
            return "; it seems to be a course (OpenRally)"
        return "; it seems to be a track (GPX)" if b"<trkpt" in head else ""
    if start.startswith((b"{", b"[")):
        if _COURSE_MEMBER.search(head):
            return "; it seems to be a course (JSON)"
        if _PAYLOAD_MEMBER.search(head):
            return "; it seems to be a track (NDJSON of payloads)"
        return "; it seems to be GeoJSON" if b'"coordinates"' in head else ""
    if _IGC_LINE.search(head):
        return "; it seems to be a track (IGC)"
    return ""


def _unreadable(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16; save it as UTF-8"
    if head.startswith(b"PK"):
        return "a ZIP archive (as .xlsx and .kmz are); unpack it, or save it as CSV or GPX"
    if head.startswith(b"\x1f\x8b"):
        return "compressed (gzip); unpack it"
    return "no text; GPX, JSON, IGC or CSV was expected"
