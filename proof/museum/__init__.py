"""The museum of planted bugs: each is put into a copy of the tree, and the suite has to find it.

A suite that is green says that it found nothing. Here it is asked whether it would find anything:
tests/museum/ holds bugs that somebody might well write, and with each the tests that must fail.
"""
