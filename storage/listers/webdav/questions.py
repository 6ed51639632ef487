"""What a request asks a WebDAV door, one question after the other, and what the answers come to.

Servers cannot be taken at their word; what each was found to do is in ``docs/doors.md``. So:

- a directory that is listed as empty is asked for a name that is hardly there: only a server that denies this one can
  see into it. None is believed that a directory is empty: all that are known leave out what they cannot show;
- a name that may have been cut, or that looks like the attributes of another one, is asked for by itself;
- a path with a question mark is asked for only from servers that do not cut it there;
- how percent signs are to be read is found out from a path that has one;
- a path is absent only if there is no file on the way to it, and if the server that denies it shows what is above.

Questions are asked by generators: each gives a `Question` and is sent the `Reply`, until it returns the outcome.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from typing import TypeAlias

from engine import paths
from engine.listing import Absent, Failed, Listed, NamesListed, NoChecksum, Outcome, Present
from engine.states import Reason
from storage.listers.protocol import Ask, Request
from storage.listers.webdav.answers import Found, doubtful
from storage.listers.webdav.client import Question, Reply
from storage.listers.webdav.hrefs import Reading, read, shown

Locate: TypeAlias = Callable[[bytes], bytes]
Asking: TypeAlias = Generator[Question, Reply, Outcome]
_Judging: TypeAlias = Generator[Question, Reply, Failed | None]


class Readings:
    """How the servers behind a door write names, as far as it is known; shared by all who ask it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Reading] = {}

    def of(self, reply: Reply) -> Reading | None:
        """Give how the server that answered writes them, if it is known."""
        return self._known.get((reply.origin, reply.server))

    def learn(self, reply: Reply, reading: Reading) -> None:
        """Take note of it."""
        self._known[reply.origin, reply.server] = reading


def asking(request: Request, locate: Locate, readings: Readings) -> Asking:
    """Ask what a request wants to know; ``locate`` gives the path behind the door of a canonical one."""
    match request.ask:
        case Ask.LIST:
            return _list(request.path, locate, readings, with_sizes=True)
        case Ask.NAMES:
            return _names(request.path, locate, readings)
        case Ask.STAT:
            return _stat(request.path, locate)
        case Ask.CHECKSUM:
            return _checksum(request.path, locate, request.algorithm)


def unsendable(path: bytes) -> str:
    """Say why a path cannot be asked for; empty if it can."""
    return "a server cuts a path at a NUL" if b"\0" in path else ""


def _list(path: bytes, locate: Locate, readings: Readings, with_sizes: bool) -> Asking:
    located = locate(path)
    reply = yield Question(located, about_members=True, with_sizes=with_sizes)
    found = reply.said
    if isinstance(found, Failed) and found.reason != Reason.NOT_FOUND:
        return (yield from _why(path, locate, reply, found))
    failed = yield from _unless_cut_at_a_mark(path, locate)
    if failed is not None:
        return failed
    if isinstance(found, Failed):
        return (yield from _unless_denied_blindly(path, locate, reply)) or found
    if not found.is_collection:
        return Failed(Reason.NOT_A_DIRECTORY, "a file")
    reading = found.reading or Reading.RAW
    if found.members.ambiguous and found.reading is None:
        known = readings.of(reply) or (yield from _find_reading(located, found.members.ambiguous, reply, readings))
        if isinstance(known, Failed):
            return known
        reading = known
    listed = found.members.listed(reading)
    if isinstance(listed, Failed):
        return listed
    if not found.members:
        return (yield from _unless_hidden(path, locate)) or Listed(others=True)
    return (yield from _unless_doubtful(path, locate, listed)) or listed


def _names(path: bytes, locate: Locate, readings: Readings) -> Asking:
    listed = yield from _list(path, locate, readings, with_sizes=False)
    if not isinstance(listed, Listed):
        return listed
    return NamesListed(frozenset((*listed.files.name_list(), *listed.directories.name_list())))


def _stat(path: bytes, locate: Locate) -> Asking:
    reply = yield Question(locate(path))
    found = reply.said
    if isinstance(found, Found):
        if found.size is None and not found.is_collection:
            return Failed(Reason.PARTIAL, "a file without a size")
        present = Present(found.size or 0, found.mtime, found.is_collection)
        return (yield from _unless_cut_at_a_mark(path, locate)) or present
    if found.reason != Reason.NOT_FOUND:
        return (yield from _why(path, locate, reply, found))
    failed = yield from _unless_cut_at_a_mark(path, locate)
    if failed is None:
        failed = yield from _unless_denied_blindly(path, locate, reply)
    return failed or Absent()


def _checksum(path: bytes, locate: Locate, algorithm: str) -> Asking:
    reply = yield Question(locate(path), algorithm=algorithm)
    if reply.summed is not None:
        return (yield from _unless_cut_at_a_mark(path, locate)) or reply.summed
    if not isinstance(reply.said, Failed):
        return Failed(Reason.SERVER, "an answer to another question")
    if reply.said.reason != Reason.NOT_FOUND:
        return reply.said
    # It may be the checksum that is not there, or the store.
    there = yield from _stat(path, locate)
    return NoChecksum(reply.said.detail) if isinstance(there, Present) else there


def _why(path: bytes, locate: Locate, reply: Reply, failed: Failed) -> Asking:
    """Find out what is behind a failure of which the server says less than it knows."""
    if reply.is_odd:
        return (yield from _unless_denied_blindly(path, locate, reply)) or failed
    if reply.is_broken and failed.reason == Reason.CONNECTION:
        # Apache hangs up in the middle when it may not look at the directory, or at an entry.
        hidden = yield from _unless_hidden(path, locate)
        if hidden is None:
            return Failed(Reason.PARTIAL, f"the server hangs up on it: {failed.detail}")
        return failed if hidden.reason.is_silence else hidden
    return failed


def _unless_hidden(path: bytes, locate: Locate) -> _Judging:
    """Doubt a listing of nothing in a directory that may not be searched."""
    reply = yield Question(locate(paths.join(path, b"no-such-name-" + secrets.token_hex(8).encode("ascii"))))
    said = reply.said
    if isinstance(said, Found):
        return Failed(Reason.SERVER, "the store has a name that nobody gave")
    if said.reason == Reason.NOT_FOUND:
        return None
    if said.reason == Reason.PERMISSION:
        return Failed(Reason.PERMISSION, f"nothing is listed, and nothing may be asked for: {said.detail}")
    return said


def _unless_doubtful(path: bytes, locate: Locate, listed: Listed) -> _Judging:
    """Ask for each name that may be none."""
    for name in doubtful(listed):
        reply = yield Question(locate(paths.join(path, name)))
        if isinstance(reply.said, Failed):
            if reply.said.reason != Reason.NOT_FOUND:
                return reply.said
            return Failed(Reason.BAD_NAME, f"'{paths.escape(name)}' is listed and not there: cut, or behind a newline")
    return None


def _unless_cut_at_a_mark(path: bytes, locate: Locate) -> _Judging:
    """Doubt what is said of a path with a question mark: XRootD means what is before it."""
    before, mark, _ = path.partition(b"?")
    if not mark:
        return None
    above = before.rpartition(b"/")[0]
    reply = yield Question(locate(above or b"/").rstrip(b"/") + b"?" + secrets.token_hex(8).encode("ascii"))
    if isinstance(reply.said, Failed) and reply.said.reason == Reason.NOT_FOUND:
        return None
    if isinstance(reply.said, Failed) and reply.said.reason.is_silence:
        return reply.said
    return Failed(Reason.BAD_NAME, "the server cuts a path at its question mark")


def _unless_denied_blindly(path: bytes, locate: Locate, denial: Reply) -> _Judging:
    """Doubt a denial unless the server that it comes from shows the directory that the path is not in.

    A file may be on the way to it. Or the store is away, and what stands before it denies everything.
    """
    above = paths.parent_of(path)
    while above is not None:
        reply = yield Question(locate(above))
        said = reply.said
        if isinstance(said, Found):
            if not said.is_collection:
                return Failed(Reason.NOT_A_DIRECTORY, "a file on the way")
            if reply.server != denial.server:
                words = f"denied by {_name_of(denial)}, and its directory is shown by {_name_of(reply)}"
                return Failed(Reason.SERVER, words)
            return None
        if said.reason != Reason.NOT_FOUND and not reply.is_odd:
            return said
        above = paths.parent_of(above)
    if path == b"/":
        return None
    return Failed(Reason.SERVER, f"everything is denied, even the top of the door, by {_name_of(denial)}")


def _name_of(reply: Reply) -> str:
    return f"'{paths.escape(reply.server.encode())}'" if reply.server else "a server without a name"


def _find_reading(
    located: bytes, ambiguous: str, reply: Reply, readings: Readings
) -> Generator[Question, Reply, Reading | Failed]:
    """Ask for a name that was given with a percent sign in it, in both readings, until an answer repeats one."""
    for reading in (Reading.ENCODED, Reading.RAW):
        again = yield Question(located.rstrip(b"/") + b"/" + read(ambiguous, reading))
        said = again.said
        if isinstance(said, Found) and said.reading is not None:
            readings.learn(again, said.reading)
            if again.server == reply.server and again.origin == reply.origin:
                return said.reading
        elif isinstance(said, Failed) and said.reason != Reason.NOT_FOUND:
            return said
    return Failed(Reason.PARTIAL, f"how a name with '{shown(ambiguous)}' is written is not known")
