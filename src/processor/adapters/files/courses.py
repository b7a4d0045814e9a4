"""A course from a file of either format, told by its content."""

from collections.abc import Mapping
from pathlib import Path

from processor.adapters.files.contents import Content, content_of, seems
from processor.adapters.files.course_file import CourseFile
from processor.adapters.files.course_json import read_course_json
from processor.adapters.files.openrally import read_openrally
from processor.adapters.files.wrong import WrongFile


def read_course(path: Path, radius_m: Mapping[str, float] | None = None) -> CourseFile:
    """The course in a file, OpenRally GPX or JSON. `radius_m` are the rules' radii for OpenRally
    elements that say none. Raises WrongFile, OSError."""
    match content_of(path):
        case Content.XML:
            return read_openrally(path, radius_m)
        case Content.JSON:
            return read_course_json(path)
        case _:
            raise WrongFile(path, "", f"is neither OpenRally GPX nor a course in JSON{seems(path)}")
