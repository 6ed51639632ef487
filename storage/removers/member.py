"""One store, or one data server of a cluster: a change is made only to what was looked at, and looked at again.

An answer to a change may get lost, or come from a server that has done something else. So what is there decides, before
and behind each change, and never the answer alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from engine import paths
from engine.listing import Absent, Failed, Present
from engine.quarantine import Fate, Order, Settled
from engine.recheck import orphan_fate
from engine.states import Reason
from storage.removers.looking import Looker
from storage.removers.protocol import FOR_US, Remover

_OF_THE_DOOR = (Reason.CONNECTION, Reason.AUTHENTICATION)

IN_THE_WAY = Settled(Fate.DOUBTFUL, "the quarantine has something of its name already; look there")
CHANGED = Settled(Fate.DROPPED, "it has changed since the listing")
FILLED = Settled(Fate.DROPPED, "it is not empty")
GONE = Settled(Fate.DROPPED, "it is gone")
DONE = Settled(Fate.DONE)
LINK = Settled(Fate.DONE, "a link, which leads nowhere from where it is now")
LOST = Settled(Fate.DOUBTFUL, "it may have been moved, and is neither here nor there; look for it there")

_LEADS_NOWHERE = Settled(Fate.FAILED, "a link, which would lead nowhere from the quarantine; delete it on the disk")


class Doors:
    """The removers of all doors of one store: where one cannot be reached, the next one is asked."""

    def __init__(self, removers: Sequence[Remover]) -> None:
        self._removers = list(removers)

    def move(self, path: bytes, to: bytes) -> Failed | None:
        """Move through the first door that answers."""
        return self._first(lambda remover: remover.move(path, to))

    def make_directory(self, path: bytes, mode: int = FOR_US) -> Failed | None:
        """Make one through the first door that answers."""
        return self._first(lambda remover: remover.make_directory(path, mode))

    def mode_of(self, path: bytes) -> int | None:
        """Ask the door that is asked first."""
        return self._removers[0].mode_of(path)

    def remove(self, path: bytes) -> Failed | None:
        """Delete through the first door that answers."""
        return self._first(lambda remover: remover.remove(path))

    def remove_directory(self, path: bytes) -> Failed | None:
        """Delete through the first door that answers."""
        return self._first(lambda remover: remover.remove_directory(path))

    def link(self, path: bytes, near: bytes) -> Failed | None:
        """Ask through the first door that answers."""
        return self._first(lambda remover: remover.link(path, near))

    def close(self) -> None:
        """Close all."""
        for remover in self._removers:
            remover.close()

    def _first(self, change: Callable[[Remover], Failed | None]) -> Failed | None:
        failed: Failed | None = None
        for remover in list(self._removers):
            failed = change(remover)
            if failed is None or failed.reason not in _OF_THE_DOOR:
                if self._removers[0] is not remover:
                    self._prefer(remover)
                return failed
        return failed

    def _prefer(self, remover: Remover) -> None:
        self._removers = [remover, *(other for other in self._removers if other is not remover)]


class Member:
    """Changes one store, on whatever thread."""

    def __init__(self, looker: Looker, doors: Remover) -> None:
        self.look = looker
        self._doors = doors
        self._made: set[bytes] = set()
        self._making = threading.Lock()
        self._plain: set[bytes] = set()

    def begin(self) -> None:
        """Take nothing for known of what is changed from now on."""
        self._plain.clear()

    def behind_link(self, order: Order) -> Settled | None:
        """Say that something lies behind a link, and so may be another file; None if not, as far as the store tells."""
        near = paths.parent_of(order.aside or order.path) or b"/"
        above = paths.parent_of(order.path)
        while above is not None and above != order.below and paths.is_under(above, order.below):
            if above not in self._plain:
                failed = self._doors.link(above, near)
                if failed is not None and failed.reason is Reason.LINK:
                    return Settled(Fate.DROPPED, f"{paths.escape(above)} is a link: it may be another file")
                if failed is not None:
                    return Settled(Fate.FAILED, f"{paths.escape(above)}: {failed.detail}")
                self._plain.add(above)
            above = paths.parent_of(above)
        return None

    def close(self) -> None:
        """Ask and change nothing more."""
        self.look.close()
        self._doors.close()

    def put_aside(self, order: Order) -> Settled:
        """Move what was just looked at to its place in the quarantine, where nothing is."""
        settled = self._move(order.path, order.aside)
        if settled.fate is not Fate.DONE:
            return settled
        # Somebody may have put something else there in the moment in between.
        wrong = _LEADS_NOWHERE if settled is LINK else self._is_another(order)
        if wrong is None:
            return settled
        back = self._move(order.aside, order.path)
        if back.fate is Fate.DONE:
            return wrong
        # What lies there is not to be forgotten.
        said = f"{wrong.said}, and it could not be moved back from the quarantine: {back.said}"
        return Settled(Fate.DOUBTFUL, said)

    def bring_back(self, order: Order) -> Settled:
        """Move what lies in the quarantine to where it was; directories that are gone are made as those above them."""
        self._make_again(paths.parent_of(order.path) or b"/")
        return self._move(order.aside, order.path)

    def delete(self, path: bytes) -> Settled:
        """Delete a file for good."""
        failed = self._doors.remove(path)
        return self._gone(path, failed)

    def delete_directory(self, path: bytes) -> Settled:
        """Delete a directory for good, unless there is something in it."""
        names = self.look.names(path)
        if isinstance(names, Failed):
            is_gone = names.reason in (Reason.NOT_FOUND, Reason.NOT_A_DIRECTORY)
            return GONE if is_gone else Settled(Fate.FAILED, names.detail)
        if names:
            return FILLED
        return self._gone(path, self._doors.remove_directory(path))

    def _gone(self, path: bytes, failed: Failed | None) -> Settled:
        match self.look.stat(path):
            case Absent():
                # Of a link that leads nowhere a refusal is all that there is to see.
                is_there = failed is not None and self.look.is_named(path)
                return DONE if failed is None or is_there is False else Settled(_fate_of(failed), failed.detail)
            case Present():
                said = "the store says that it was deleted, and it is there" if failed is None else failed.detail
                return Settled(_fate_of(failed), said)
            case Failed(_, detail):
                return Settled(Fate.DOUBTFUL, detail)

    def _move(self, path: bytes, to: bytes) -> Settled:
        above = paths.parent_of(to) or b"/"
        failed = self._directory(above)
        if failed is not None:
            return Settled(Fate.FAILED, f"{paths.escape(above)} could not be made: {failed.detail}")
        failed = self._doors.move(path, to)
        at_target = self.look.stat(to)
        if failed is None and isinstance(at_target, Present):
            return DONE
        at_source = self.look.stat(path)
        match at_source, at_target:
            case Absent(), Present():
                return DONE
            case Present(), Absent():
                said = "the store says that it was moved, and it was not" if failed is None else failed.detail
                return Settled(_fate_of(failed), said)
            case Absent(), Absent():
                return self._not_seen(to, failed)
            case Present(), Present():
                twice = "the store has it twice now, here and in the quarantine"
                return Settled(Fate.DOUBTFUL, twice if failed is None else failed.detail)
            case Failed(_, detail), _:
                return Settled(Fate.DOUBTFUL, detail)
            case _, Failed(_, detail):
                return Settled(Fate.DOUBTFUL, detail)
        raise AssertionError(at_source, at_target)

    def _not_seen(self, to: bytes, failed: Failed | None) -> Settled:
        """Say what became of something that was to be moved, and is to be seen in neither place."""
        match self.look.is_named(to):
            case True:
                return LINK
            case False if failed is None or failed.reason.is_silence:
                return LOST
            case False:
                return GONE
            case Failed(_, detail):
                return Settled(Fate.DOUBTFUL, detail)
        raise AssertionError(to)

    def _directory(self, path: bytes) -> Failed | None:
        # One at a time: servers have been seen to refuse one that another request was just making.
        with self._making:
            if path in self._made:
                return None
            failed = None
            if not self._is_directory(path):
                failed = self._doors.make_directory(path)
                if failed is not None and self._is_directory(path):
                    failed = None
            if failed is None:
                self._made.add(path)
            return failed

    def _make_again(self, path: bytes) -> None:
        """Make a directory that is gone, and those above it, with the mode of the one above, where that is told.

        What cannot be made like that is made, or found not to be, by whoever wants it.
        """
        gone: list[bytes] = []
        above: bytes | None = path
        while above is not None and above not in self._made and isinstance(self.look.stat(above), Absent):
            gone.append(above)
            above = paths.parent_of(above)
        mode = self._doors.mode_of(above) if gone and above is not None else None
        if mode is not None:
            with self._making:
                for each in reversed(gone):
                    # Whoever makes one has to be able to put something into it.
                    if self._doors.make_directory(each, mode | 0o700) is not None:
                        return

    def _is_directory(self, path: bytes) -> bool:
        found = self.look.stat(path)
        return isinstance(found, Present) and found.is_directory

    def _is_another(self, order: Order) -> Settled | None:
        """Say what is wrong with what was moved; None if it is what was meant, as far as can be seen."""
        found = self.look.stat(order.aside)
        return what_is_wrong(order, found) if isinstance(found, Present) else None


def _fate_of(failed: Failed | None) -> Fate:
    """Say what became of a change that is not to be seen: who gave no answer, or another one, may make it yet."""
    return Fate.DOUBTFUL if failed is None or failed.reason.is_silence else Fate.FAILED


def what_is_wrong(order: Order, found: Present) -> Settled | None:
    """Say why something is not what was to be taken away; None if it is."""
    if order.is_directory:
        return None if found.is_directory else CHANGED
    return CHANGED if orphan_fate(found, order.size, order.mtime, None) else None
