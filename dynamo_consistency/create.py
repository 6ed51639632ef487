"""Makes a tree with the help of a function that lists one directory, or of several objects that each do."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Queue
from typing import Any, ClassVar, cast

from actors.filling import CLOSE, DONE, IDLE, Filling
from dynamo_consistency import config, messaging
from dynamo_consistency.datatypes import DirectoryInfo
from engine.tree.answer import Answer, Filler, ask
from engine.tree.growing import GrowingTree, first_directory, join
from storage.config.site import SiteConfig

__all__ = ["ListingThread", "create_dirinfo"]

_log = logging.getLogger(__name__)

_CHECK_EVERY = 2
"""Seconds between two looks at whether the site is still to be run."""

_DEEPEST = 10_000
"""Levels that are listed unless MaxDepth is another number than its default.

A lister that goes round in circles must not go on for ever.
"""


class ListingThread(threading.Thread):
    """Lists directories until it is told to close.

    ``number`` makes the name of the thread and of its logger. ``recv`` has a method ``recv`` that gives its orders,
    "Work" or "Close", such as an end of a pipe; ``send`` has a method ``put`` that takes its reports: ("O", time) after
    each directory, and ("A", 0) when none waits. ``filler`` is the function that lists; see `create_dirinfo`.
    """

    out_queue: ClassVar[Queue[tuple[str, list[Any], list[Any], str]]] = Queue()
    """What was listed: (path below the first directory, directories, files, problem), to be taken by a master.

    The problem says why the listing is not complete and is empty when it is.
    """

    _pending: ClassVar[deque[tuple[str, str]]] = deque()
    _max_depth: ClassVar[int] = _DEEPEST

    def __init__(self, number: int, recv: Any, send: Any, filler: Filler) -> None:
        # One that hangs in its filler must not keep the program from ending.
        super().__init__(name=f"ListingThread--{number}", daemon=True)
        self.log = logging.getLogger(self.name)
        self.number = number
        self.recv = recv
        self.send = send
        self.filler = filler
        self._checker: messaging.Checker | None = None

    @classmethod
    def put_first_dir(cls, location: str, directory: str) -> str:
        """Place where the threads are to begin: ``directory`` inside of the path ``location``.

        Gives the name of the tree, which is the first directory of ``directory``. To be called before threads start.

        Raises:
            BadPath: it cannot be a directory inside another.
        """
        name, below = first_directory(directory)
        cls._pending.append((os.path.join(location, name), below))
        return name

    def run(self) -> None:
        """List what waits, and what is found on the way."""
        self.log.debug("starts")
        while self._goes_on():
            try:
                place, path = self._pending.pop()
            except IndexError:
                self.send.put((IDLE, 0))
                if self._order() == CLOSE:
                    break
                continue
            answer = self._ask(join(place, path))
            # Before another thread can take what is inside: the master knows a directory from the one above it.
            self.out_queue.put((path, answer.directories, answer.files, answer.problem))
            if path.count("/") + bool(path) < self._max_depth:
                self._pending.extend([(place, join(path, name)) for name, _ in answer.directories])
            self.send.put((DONE, time.time()))
        self.log.debug("ends")

    def _ask(self, path: str) -> Answer:
        answer = ask(self.filler, path)
        if answer.problem:
            self.log.warning("%s is not listed: %s", path, answer.problem)
        else:
            self.log.debug("%s: %d directories, %d files", path, len(answer.directories), len(answer.files))
        return answer

    def _order(self) -> str:
        try:
            return cast(str, self.recv.recv())
        except (EOFError, OSError):
            return CLOSE

    def _goes_on(self) -> bool:
        if self._checker is None:
            self._checker = messaging.Checker()
        return self._checker.isrunning()


def create_dirinfo(
    location: str,
    first_dir: str,
    filler: Callable[..., Any],
    object_params: Sequence[Sequence[Any]] | None = None,
    callback: Callable[[DirectoryInfo], None] | None = None,
) -> DirectoryInfo:
    """List ``first_dir`` inside of the path ``location``, and everything below; gives the tree named ``first_dir``.

    ``filler`` takes the path of a directory and gives (whether the listing is complete, [(directory, mtime), …],
    [(file, size in bytes, mtime), …]), with times in seconds since the epoch; NumThreads threads call it. With
    ``object_params`` it makes, from each of these, an object whose method ``list`` does that for a thread of its own. A
    directory whose listing is not complete, raises an exception or makes no sense is unlisted.

    ``callback`` is called again and again with the growing tree, and at last with the whole one.

    Raises:
        Killed: the site in ``config.SITE`` was stopped.
        BadPath: ``first_dir`` cannot be a directory inside another.
        ValueError: there is nothing in ``object_params``.
        OSError, ConfigError: the configuration cannot be used.
        Exception: what the constructor or the callback raised.
    """
    settings = config.settings()
    if object_params is None:
        fillers: list[Filler] = [filler] * settings.listers
    else:
        fillers = [filler(*parameters).list for parameters in object_params]
    if not fillers:
        raise ValueError("object_params is empty, so nobody would list")

    class OwnThread(ListingThread):
        out_queue = Queue()
        _pending: ClassVar[deque[tuple[str, str]]] = deque()
        _max_depth = _DEEPEST if settings.max_depth == SiteConfig().max_depth else settings.max_depth

        def _goes_on(self) -> bool:
            return filling.goes_on()

    name = OwnThread.put_first_dir(location, first_dir)
    growing = GrowingTree(DirectoryInfo, name, OwnThread._pending[0][1], OwnThread._max_depth)
    filling = Filling(len(fillers), OwnThread._pending, OwnThread.out_queue)
    threads = [
        OwnThread(number, filling.orders[number], filling.reports[number], own) for number, own in enumerate(fillers)
    ]
    checker = messaging.Checker(timeout=_CHECK_EVERY)

    def heed() -> None:
        if not checker.isrunning():
            raise messaging.Killed(f"{config.SITE} is not to be run any more")

    _log.info("listing %s with %d threads", os.path.join(location, first_dir), len(threads))
    filling.run(threads, growing, heed, callback)
    return growing.tree
