"""GPX as files from anywhere hold it: read piece by piece, with every fault as one sentence.

A document type could hold entities that expand without end, so one is refused. Encodings that the
parser does not know, and what is no XML at all, are faults of the file and not of the program.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from processor.adapters.files.wrong import WrongFile


def gpx_events(path: Path) -> Iterator[tuple[str, Element]]:
    """("start" or "end", element) in the order of a document whose root is <gpx>, whatever its
    namespace; whoever reads clears what was read. The first is the root's start.
    Raises WrongFile, OSError."""
    started = False
    try:
        with path.open("rb") as file:
            for event, element in iterparse(file, ("start", "end"), forbid_dtd=True):
                if not started and local(element) != "gpx":
                    raise WrongFile(path, "", f"begins with <{local(element)}>; <gpx> was expected")
                started = True
                yield event, element
    except ParseError as error:
        line, column = error.position
        raise WrongFile(path, f"line {line}, column {column + 1}", f"is not XML: {error}") from None
    except DefusedXmlException:
        raise WrongFile(
            path,
            "",
            "has a document type or entities; a GPX file has neither, and they are refused",
        ) from None
    except (LookupError, ValueError) as error:  # the parser's words about an encoding
        raise WrongFile(path, "", f"cannot be read as XML: {error}; save it as UTF-8") from None


def local(element: Element) -> str:
    """An element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def namespace(element: Element) -> str:
    """An element's namespace, "" where it has none."""
    return str(element.tag).rpartition("}")[0].removeprefix("{")
