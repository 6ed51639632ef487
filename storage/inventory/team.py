"""Processes that read pieces of an inventory for this one.

Each is a program of its own, started like any other: this process has threads, of which a fork would have a part only.
Pieces and answers go through memory that both share and that has no name, so that it is gone with the last of them. A
worker ends when this process does, however that ends, since its input ends then.
"""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.inventory.errors import InventoryUnreadable, unreadable
from storage.inventory.text_file import PieceForm, ReadPiece
from storage.inventory.worker import LONGEST_PIECE, MESSAGE, READY, SLOT, SLOTS

_log = logging.getLogger(__name__)

_LOOK_EVERY = 0.1
"""Seconds between two looks at whether to give up."""

_REAPING = 5.0
"""Seconds to wait for the end of a process that was killed."""

_PROGRAM = """
import os, sys
# The threads of linear algebra take longer to start than all that is done here.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path[:] = {path!r}
from storage.inventory.worker import main
main({shared})
"""


@dataclass(slots=True)
class Ticket:
    """A piece that was given to be read; ``found`` says what it has when it is ``done``.

    None then: whoever gave it has to read it.
    """

    piece: bytes
    done: bool = False
    found: ReadPiece | None = None


class _Lost(Exception):
    """A worker has ended."""


class _Worker:
    """One process, and the memory that is shared with it."""

    def __init__(self, form: PieceForm) -> None:
        shared = os.memfd_create("inventory")
        try:
            os.ftruncate(shared, SLOT * SLOTS)
            self._memory = mmap.mmap(shared, SLOT * SLOTS)
            try:
                self._process = _start(shared)
            except BaseException:
                self._memory.close()
                raise
        finally:
            os.close(shared)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._slots = list(range(SLOTS))
        self._tickets: dict[int, Ticket] = {}
        self.ready = False
        packed = pickle.dumps(form)
        self._send(MESSAGE.pack(len(packed), 0) + packed)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._output

    @property
    def is_free(self) -> bool:
        return self.ready and bool(self._slots)

    def give(self, ticket: Ticket) -> None:
        slot = self._slots.pop()
        self._tickets[slot] = ticket
        start = slot * SLOT
        self._memory[start : start + len(ticket.piece)] = ticket.piece
        self._send(MESSAGE.pack(slot, len(ticket.piece)))

    def _send(self, message: bytes) -> None:
        # What cannot be sent to a process that has ended is missed when its answers are read.
        with suppress(BrokenPipeError):
            while message:
                message = message[os.write(self._input, message) :]

    def take(self) -> None:
        """Take one message that is there; raises `_Lost` when it is the end."""
        message = b""
        while len(message) < MESSAGE.size:
            more = os.read(self._output, MESSAGE.size - len(message))
            if not more:
                raise _Lost
            message += more
        slot, length = MESSAGE.unpack(message)
        if slot == READY:
            self.ready = True
            return
        ticket = self._tickets.pop(slot)
        if length:
            start = slot * SLOT + LONGEST_PIECE
            with memoryview(self._memory) as view, view[start : start + length] as answer:
                ticket.found = pickle.loads(answer)
        ticket.done = True
        self._slots.append(slot)

    def how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAPING)
        status = self._process.returncode
        if status is None:
            return "closed its output"
        return f"was killed (signal {-status})" if status < 0 else f"ended with {status}"

    def end(self) -> None:
        """End the process at once: it has nothing that anybody else needs."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        # One that hangs in the kernel is left behind.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAPING)
        self._memory.close()


def _start(shared: int) -> subprocess.Popen[bytes]:
    """Start a worker; it finds the modules that this process has found, and loads no more than it needs."""
    path = [str(Path(__file__).parents[2]), *(entry for entry in sys.path if os.path.isabs(entry))]
    unwritten = ["-B"] if sys.dont_write_bytecode else []
    return subprocess.Popen(
        [sys.executable, "-I", "-S", *unwritten, "-c", _PROGRAM.format(path=path, shared=shared)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        pass_fds=(shared,),
        # Whoever is told to stop by the terminal is this process, which then ends the others.
        start_new_session=True,
    )


class Team:
    """Workers that read pieces of one inventory; to be used in a ``with``, at whose end none of them is left."""

    def __init__(self, workers: int, form: PieceForm, heed: Callable[[], None]) -> None:
        """Start some workers; with fewer, or none, where no more can be started."""
        self._source = form.source
        self._heed = heed
        self._workers: list[_Worker] = []
        try:
            for _ in range(workers):
                self._workers.append(_Worker(form))
        except (OSError, AttributeError) as error:
            _log.warning("inventory %s: a process to read it with could not be started: %s", self._source, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._workers:
            self._workers.pop().end()

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes."""
        return [worker.pid for worker in self._workers]

    def give(self, piece: bytes) -> Ticket | None:
        """Have a piece read, or give None when nobody has time for it.

        Raises:
            InventoryUnreadable: a worker has ended before its time.
        """
        self._look(0)
        if len(piece) > LONGEST_PIECE:
            return None
        for worker in self._workers:
            if worker.is_free:
                ticket = Ticket(piece)
                worker.give(ticket)
                return ticket
        return None

    def wait(self, ticket: Ticket) -> None:
        """Wait until a piece was read.

        Raises:
            InventoryUnreadable: a worker has ended before its time.
        """
        while not ticket.done:
            self._look(_LOOK_EVERY)
            if not ticket.done:
                self._heed()

    def _look(self, seconds: float) -> None:
        """Take all answers that are there, or come within some time."""
        waiting = select.poll()
        by_number = {worker.fileno(): worker for worker in self._workers}
        for number in by_number:
            waiting.register(number, select.POLLIN)
        for number, _ in waiting.poll(seconds * 1000):
            worker = by_number[number]
            try:
                worker.take()
            except _Lost:
                self._without(worker)

    def _without(self, worker: _Worker) -> None:
        """Go on without a worker that never was ready; what another one has read may be lost."""
        message = f"the process {worker.pid} that reads a part of it {worker.how_it_ended()}"
        if worker.ready:
            raise self._lost(message)
        _log.warning("inventory %s: %s before it began", self._source, message)
        self._workers.remove(worker)
        worker.end()

    def _lost(self, message: str) -> InventoryUnreadable:
        hint = "; if memory is short, InventoryProcesses: 1 takes less"
        return unreadable(self._source, message + hint)
