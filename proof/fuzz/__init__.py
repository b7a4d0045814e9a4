"""Inputs that nobody thought of, by the hundred thousand, against what a stranger can send us.

Three targets: entries of the stream into the decoder (`entries.py`), a browser's messages into its
conversation (`conversations.py`), a browser's bytes into the WebSocket's protocol
(`connections.py`). Each takes an input as bytes and gives the outcome's name, or raises `Broken`
with the promise that did not hold. What an entry is worth is judged a second time, from the
contract and on the standard library (`judge.py`), so that the decoder cannot be its own witness.

Inputs are made by changing other inputs (`mutators.py`): their bytes, the tree of their JSON
(`tree.py`), pieces of one another. Whatever brings a new outcome is kept and changed further
(`engine.py`). The same seed gives the same inputs in the same order. `guided.py` has Atheris guide
the same mutators by the lines that they reach, where Atheris is installed.

What was found is kept in tests/corpus/ with the outcome that it must have.
"""


class Broken(AssertionError):
    """A promise that an input broke; the sentence says which."""
