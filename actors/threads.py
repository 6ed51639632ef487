"""The runtime inside this process: every actor is a thread with a mailbox."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from queue import SimpleQueue
from typing import Any

from actors.runtime import ANYWHERE, ActorLost, ActorRef, Placement

_Mail = tuple[str, tuple[Any, ...], "Future[Any]"]


class ThreadAnswer:
    """The answer of an actor in this process: the one called ``name``."""

    def __init__(self, name: str, future: Future[Any]) -> None:
        self._name = name
        self._future = future

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the answer; see `actors.runtime.Answer`."""
        try:
            return self._future.result(timeout)
        except FutureTimeout as error:
            raise TimeoutError(f"{self._name} did not answer in time") from error

    def done(self) -> bool:
        """Whether the answer is there."""
        return self._future.done()

    def on_done(self, call: Callable[[], None]) -> None:
        """Call this once the answer is there."""
        self._future.add_done_callback(lambda _future: call())


class ThreadRef:
    """A handle on an actor in this process."""

    def __init__(self, name: str, actor: type, arguments: tuple[Any, ...]) -> None:
        self._name = name
        self._mail: SimpleQueue[_Mail | None] = SimpleQueue()
        self._lost = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, args=(actor, arguments), name=name, daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The actor's name."""
        return self._name

    def ask(self, method: str, *arguments: Any) -> ThreadAnswer:
        """Put a message into the mailbox."""
        future: Future[Any] = Future()
        with self._lock:
            if self._lost:
                future.set_exception(ActorLost(f"{self._name} is gone"))
            else:
                self._mail.put((method, arguments, future))
        return ThreadAnswer(self._name, future)

    def kill(self) -> None:
        """Take no more messages; the one being handled cannot be interrupted, but nobody waits for it any more."""
        with self._lock:
            self._lost = True
        self._mail.put(None)

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout)

    def _work(self, actor: type, arguments: tuple[Any, ...]) -> None:
        broken: BaseException | None = None
        instance: Any = None
        try:
            instance = actor(*arguments)
        except BaseException as error:
            broken = error
        while (mail := self._mail.get()) is not None:
            method, parameters, future = mail
            if self._lost:
                future.set_exception(ActorLost(f"{self._name} is gone"))
            elif broken is not None:
                future.set_exception(broken)
            else:
                try:
                    future.set_result(getattr(instance, method)(*parameters))
                except BaseException as error:
                    future.set_exception(error)
        while not self._mail.empty():
            left = self._mail.get()
            if left is not None:
                left[2].set_exception(ActorLost(f"{self._name} is gone"))
        # An actor may own threads or files; in a process of its own they would end with it.
        release = getattr(instance, "release", None)
        if release is not None:
            release()


class ThreadRuntime:
    """Runs actors as threads of this process."""

    name = "threads"
    lost = ""
    dashboard = ""

    def __init__(self) -> None:
        self._actors: list[ThreadRef] = []

    def label(self, about: str) -> None:
        """Nothing is to be done: actors write into the log of this process, which says what it is about."""

    def spawn(self, name: str, actor: type, *arguments: Any) -> ActorRef:
        """Start an actor in a thread of its own."""
        reference = ThreadRef(name, actor, arguments)
        self._actors.append(reference)
        return reference

    def spawn_anywhere(self, name: str, actor: type, *arguments: Any, placement: Placement = ANYWHERE) -> ActorRef:
        """Start an actor; there is only one place, whatever the ``placement``."""
        return self.spawn(name, actor, *arguments)

    def why_not(self, placement: Placement) -> str:
        """Say nothing: there is only one place."""
        return ""

    def why_wait(self, placement: Placement) -> str:
        """Say nothing: there is always room."""
        return ""

    def shutdown(self) -> None:
        """End every actor and wait a little for their threads."""
        for reference in self._actors:
            reference.kill()
        for reference in self._actors:
            reference.join(timeout=2)
        self._actors.clear()
