"""Mutation testing: small changes to the code that decides, each of which a unit test must notice.

The museum asks whether the suite finds the bugs that we thought of; this asks about those that
nobody thought of. mutmut makes them: it is kept well, knows the src layout and importlib mode,
measures which test runs which function, and forks for each mutant, so that a thousand of them take
some minutes. (cosmic-ray starts pytest anew for each, and changes the very tree it is given.)

What mutmut changes are the bodies of functions. Tables and annotations it leaves alone, and so the
rows of the two error tables, and the ranges of the decoder, are asserted one by one in their unit
tests, and the museum breaks some of them by hand.
"""
