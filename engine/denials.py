"""What counts when a store with several doors denies something: not the word of one of them.

A door that has lost a part of its store, such as a gateway one of whose mounts is gone, denies what is there. So what
would make something missing, or a directory empty, is asked of another door, and believed when both say so.
"""

from __future__ import annotations

from engine.listing import Absent, Failed, Listed, NamesListed, Outcome
from engine.states import Reason

_NOT_THERE = (Reason.NOT_FOUND, Reason.NOT_A_DIRECTORY)


def is_denial(outcome: Outcome) -> bool:
    """Tell whether an answer says that something is not there, or may do so by what it does not name."""
    match outcome:
        case Absent() | NamesListed():
            return True
        case Listed(files, directories, others=others):
            return not (files or directories or others)
        case Failed(reason):
            return reason in _NOT_THERE
        case _:
            return False


def together(denial: Outcome, other: Outcome) -> Outcome:
    """Give what a denial comes to when another door has been asked the same.

    One that does not answer leaves things as they were.
    """
    match denial, other:
        case NamesListed(names), NamesListed(others):
            return NamesListed(names | others)
        case _, Failed(reason) if reason.is_silence:
            return denial
        case ((NamesListed() | Listed()), Failed(reason)) if reason in _NOT_THERE:
            return denial
        case _:
            return other
