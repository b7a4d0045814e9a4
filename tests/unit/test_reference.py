"""What is written from the code is what stands in the files."""

from pathlib import Path

from processor.entrypoints.reference import written

ROOT = Path(__file__).parents[2]


def test_the_generated_files_are_as_the_code_has_them() -> None:
    for path, text in written(ROOT):
        assert path.read_text(encoding="utf-8") == text, "processor reference writes it again"
