"""Each proof writes its part of the document and leaves alone what others wrote."""

from proof.document import part, table, write


def test_a_part_says_what_wrote_it_when_and_where():
    text = part("The kill ledger", "make kill MINUTES=5", "Nothing was lost.\n", "Now, here")
    assert text == (
        "## The kill ledger\n\nWritten by `make kill MINUTES=5`; do not edit, run it again."
        " Now, here.\n\nNothing was lost.\n"
    )


def test_a_part_replaces_its_former_self_and_nothing_else(tmp_path):
    file = tmp_path / "RELIABILITY.md"
    file.write_text("# Reliability\n\nBy hand.\n")
    write("kill", "The kill ledger", "make kill", "First.", file=file)
    write("soak", "The soak", "make soak", "Another's.", file=file)
    write("kill", "The kill ledger", "make kill", "Second.", file=file)
    text = file.read_text()
    assert text.startswith("# Reliability\n\nBy hand.\n")
    assert [text.count(words) for words in ("First.", "Second.", "Another's.")] == [0, 1, 1]
    assert text.index("Second.") < text.index("Another's.")


def test_a_table_groups_its_numbers():
    assert table(["what", "count"], [["rows", 1234567], ["seconds", "7.5"]]) == (
        "| what | count |\n| --- | ---: |\n| rows | 1 234 567 |\n| seconds | 7.5 |\n"
    )
