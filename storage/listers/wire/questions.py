"""What a request asks an XRootD server, one question after the other, and what the answers come to.

Such a server cannot be taken at its word. What `storage.listers.xrootd` says of that holds here as well, and the same
is done: an empty listing is asked for again without attributes, and a name that may have been cut is looked up.

Questions are asked by generators: each gives a `Question` and is sent what came back, until it returns the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

from engine import paths
from engine.checksums.digest import Checksum
from engine.listing import Absent, Failed, Listed, NamesListed, NoChecksum, Outcome, Present
from engine.states import Reason
from storage.listers.protocol import Ask, Request
from storage.listers.wire import protocol
from storage.listers.wire.answers import ChecksumAnswer, ListingAnswer, NamesAnswer, StatAnswer
from storage.listers.xrootd_answers import may_be_cut
from storage.listers.xrootd_errors import answered, no_checksum

_NOTHING = Listed()


class BodyReader(Protocol):
    """Takes in the parts of one answer."""

    def add(self, part: bytes) -> None:
        """Take in a part that is not the last one."""

    def end(self, part: bytes) -> Reply:
        """Take in the last part; give what all of them say."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One question: ``build`` makes the request from the number of a stream and what is to stand behind the path.

    ``new_reader`` gives what takes in the answer, each time that it is asked, and ``read_error`` what a number and
    words of the server come to.
    """

    build: Callable[[int, bytes], bytes]
    new_reader: Callable[[], BodyReader]
    read_error: Callable[[int, str], Reply] = answered


Reply: TypeAlias = Listed | NamesListed | Present | Checksum | NoChecksum | Failed
Asking: TypeAlias = Generator[Question, Reply, Outcome]


def asking(request: Request, locate: Callable[[bytes], bytes], with_ids: bool) -> Asking:
    """Ask what a request wants to know; ``locate`` gives the path behind the door of a canonical one."""
    match request.ask:
        case Ask.LIST:
            return _list(request.path, locate, with_ids)
        case Ask.NAMES:
            return _names(request.path, locate)
        case Ask.STAT:
            return _stat(request.path, locate)
        case Ask.CHECKSUM:
            return _checksum(locate(request.path), request.algorithm)


def unsendable(path: bytes) -> str:
    """Say why a path cannot be asked for; empty if it can."""
    if b"?" in path:
        return "a server cuts a path at its question mark"
    if b"\n" in path:
        return "the protocol separates names by newlines"
    if b"\0" in path:
        return "a server cuts a path at a NUL"
    return ""


def _list(path: bytes, locate: Callable[[bytes], bytes], with_ids: bool) -> Asking:
    located = locate(path)
    reply = yield Question(
        lambda stream, opaque: protocol.dirlist(stream, located + opaque, True), partial(ListingAnswer, with_ids)
    )
    if isinstance(reply, Listed):
        if reply == _NOTHING:
            return (yield from _list_again(located))
        return (yield from _unless_cut(path, reply, locate))
    assert isinstance(reply, Failed)
    return reply


def _list_again(located: bytes) -> Asking:
    reply = yield _question_for_names(located)
    if isinstance(reply, NamesListed):
        count = len(reply.names)
        return Failed(Reason.FALSE_EMPTY, f"empty with attributes, {count} names without") if count else Listed()
    assert isinstance(reply, Failed)
    return reply


def _names(path: bytes, locate: Callable[[bytes], bytes]) -> Asking:
    reply = yield _question_for_names(locate(path))
    if isinstance(reply, NamesListed):
        return (yield from _unless_cut(path, reply, locate))
    assert isinstance(reply, Failed)
    return reply


def _stat(path: bytes, locate: Callable[[bytes], bytes]) -> Asking:
    reply = yield _question_about(locate(path))
    if isinstance(reply, Failed) and reply.reason == Reason.NOT_FOUND:
        return Absent()
    return reply


def _checksum(located: bytes, algorithm: str) -> Asking:
    wanted = b"?cks.type=" + algorithm.encode()

    def build(stream: int, opaque: bytes) -> bytes:
        return protocol.checksum(stream, located + wanted + opaque.replace(b"?", b"&", 1))

    reply = yield Question(build, ChecksumAnswer, no_checksum)
    if isinstance(reply, Failed) and reply.reason == Reason.NOT_FOUND:
        return Absent()
    return reply


def _unless_cut(path: bytes, outcome: Listed | NamesListed, locate: Callable[[bytes], bytes]) -> Asking:
    """Ask for each name that may be cut: only one that exists as it stands is a name."""
    for name in may_be_cut(outcome):
        reply = yield _question_about(locate(paths.join(path, name)))
        if isinstance(reply, Failed):
            if reply.reason == Reason.NOT_FOUND:
                return Failed(Reason.BAD_NAME, f"'{paths.escape(name)}' was cut by the server")
            return reply
    return outcome


def _question_for_names(located: bytes) -> Question:
    return Question(lambda stream, opaque: protocol.dirlist(stream, located + opaque, False), NamesAnswer)


def _question_about(located: bytes) -> Question:
    return Question(lambda stream, opaque: protocol.stat(stream, located + opaque), StatAnswer)
