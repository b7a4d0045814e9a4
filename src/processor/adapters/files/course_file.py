"""A course as a file gives it: the domain's values, and what the file's author should be told.

In the domain an object's id is unique in its course. A file may use one id in several segments
(every special stage has its `S` and `F`), so such an id is told apart by its segment, `SS1/S`, and
`written` says what stands in the file.
"""

from collections.abc import Mapping

from attrs import field, frozen

from processor.domain.course import Course, Entry

COURSE_BYTES_MAX = 64 * 1024 * 1024
"""A roadbook with its pictures has a few mebibytes; what is larger is no course."""


@frozen
class CourseFile:
    """What was read. `entries` are empty where the file names none. `warnings` are sentences that
    begin with the place, sorted. `written_ids` holds, for objects and zones whose id had to be told
    apart, the id as it is written."""

    course: Course
    entries: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = ()
    written_ids: Mapping[str, str] = field(factory=dict)

    def written(self, thing_id: str) -> str:
        """An object's or a zone's id as it stands in the file."""
        return self.written_ids.get(thing_id, thing_id)


class Misplaced(Exception):
    """A fault at a place within a file: `stages[0].segments[1].objects[3].geometry`, and what was
    expected there. Whoever knows the file makes a WrongFile of it."""

    def __init__(self, place: str, sentence: str) -> None:
        super().__init__(f"{place}: {sentence}")
        self.place = place
        self.sentence = sentence
