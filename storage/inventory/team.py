"""Processes that read pieces of an inventory for this one.

Each is a program of its own, started like any other: this process has threads, of which a fork would have a part only.
Pieces and answers go through memory that both share and that has no name, so that it is gone with the last of them. A
worker ends when this process does, however that ends, since its input ends then.

None of them has anything that this process could not read again. So one that is lost, or gives no answer, ends the
team and not the reading.
"""

from __future__ import annotations

import fcntl
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

from storage.inventory.text_file import PieceForm, ReadPiece
from storage.inventory.worker import LONGEST_ANSWER, LONGEST_PIECE, MESSAGE, READY, SLOT, SLOTS

_log = logging.getLogger(__name__)

_LOOK_EVERY = 0.1
"""Seconds between two looks at whether to give up."""

_SILENCE = 60.0
"""Seconds without an answer from anybody after which the worker that is waited for is taken for lost. A piece takes a
fraction of one."""

_REAPING = 5.0
"""Seconds to wait for the end of a process that was killed."""

_PROGRAM = """
import os, signal, sys
# Whoever tells a whole job to stop means the program, which then ends this one.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
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
    """A worker is of no use any more; the message says why."""


class _Worker:
    """One process, and the memory that is shared with it."""

    def __init__(self, form: PieceForm) -> None:
        shared = _shared_memory()
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
        self._heard = b""
        self.ready = False
        packed = pickle.dumps(form)
        try:
            self._send(MESSAGE.pack(len(packed), 0) + packed)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._output

    @property
    def is_free(self) -> bool:
        return self.ready and bool(self._slots)

    def has(self, ticket: Ticket) -> bool:
        """Tell whether it was given this one and has not answered."""
        return any(ticket is given for given in self._tickets.values())

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
        """Take what is there of a message; raises `_Lost` when it is the end, or nothing that a worker says."""
        more = os.read(self._output, MESSAGE.size - len(self._heard))
        if not more:
            raise _Lost(self._how_it_ended())
        self._heard += more
        if len(self._heard) < MESSAGE.size:
            return
        slot, length = MESSAGE.unpack(self._heard)
        self._heard = b""
        if slot == READY:
            self.ready = True
            return
        ticket = self._tickets.get(slot)
        if ticket is None or length > LONGEST_ANSWER:
            raise _Lost("gave an answer to nothing that it was asked")
        if length:
            ticket.found = self._answer(slot * SLOT + LONGEST_PIECE, length)
        ticket.done = True
        del self._tickets[slot]
        self._slots.append(slot)

    def _answer(self, start: int, length: int) -> ReadPiece:
        try:
            with memoryview(self._memory) as view, view[start : start + length] as answer:
                found = pickle.loads(answer)
        except Exception as error:
            raise _Lost(f"gave an answer that cannot be read ({type(error).__name__})") from error
        if not isinstance(found, ReadPiece):
            raise _Lost("gave an answer that says nothing of a piece")
        return found

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAPING)
        status = self._process.returncode
        if status is None:
            return "closed its output"
        return f"was killed (signal {-status})" if status < 0 else f"ended with {status}"

    def end(self) -> None:
        """End the process at once: it has nothing that anybody else needs. Whoever gave it a piece has to read it."""
        for ticket in self._tickets.values():
            ticket.done = True
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        # One that hangs in the kernel is left behind.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAPING)
        self._memory.close()


def _shared_memory() -> int:
    """Give the descriptor of memory without a name, of no length yet.

    It is none of the first three, which mean something else in a worker: they are free where this process was started
    without them.
    """
    first = os.memfd_create("inventory")
    try:
        return fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(first)


def _start(shared: int) -> subprocess.Popen[bytes]:
    """Start a worker; it finds the modules that this process has found, and loads no more than it needs."""
    if not sys.executable:
        raise OSError("it is not known where the interpreter is")
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
        """Have so many workers in the ``with``; fewer, or none, where no more can be started.

        ``heed`` is called while somebody waits, and before a worker is given up, and may raise to give up altogether.
        """
        self._wanted = workers
        self._form = form
        self._heed = heed
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(self._wanted):
                self._workers.append(_Worker(self._form))
        except (OSError, AttributeError) as error:
            _log.warning("inventory %s: a process to read it with could not be started: %s", self._form.source, error)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        while self._workers:
            self._workers.pop().end()

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes."""
        return [worker.pid for worker in self._workers]

    def give(self, piece: bytes) -> Ticket | None:
        """Have a piece read, or give None when nobody has time for it, or nobody is left."""
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
        """Wait until a piece was read, or will not be: then its worker was lost, or gave no answer for too long."""
        silent = 0.0
        while not ticket.done:
            # Looks are counted and not what the clock says: all processes may have been halted together.
            silent = 0.0 if self._look(_LOOK_EVERY) else silent + _LOOK_EVERY
            if not ticket.done:
                self._heed()
                if silent >= _SILENCE:
                    worker = next(worker for worker in self._workers if worker.has(ticket))
                    self._give_up(worker, f"gave no answer for {_SILENCE:g} s")

    def _look(self, seconds: float) -> bool:
        """Take all answers that are there, or come within some time; tells whether there were any."""
        waiting = select.poll()
        by_number = {worker.fileno(): worker for worker in self._workers}
        for number in by_number:
            waiting.register(number, select.POLLIN)
        there = waiting.poll(seconds * 1000)
        for number, _ in there:
            worker = by_number[number]
            try:
                worker.take()
            except _Lost as lost:
                # Who ended it may want everything to end.
                self._heed()
                self._give_up(worker, str(lost))
                break
        return bool(there)

    def _give_up(self, worker: _Worker, why: str) -> None:
        """End all workers, since one is of no use any more: what they had is read by whoever gave it to them."""
        when = "" if worker.ready else " before it began"
        _log.warning(
            "inventory %s: the process %d that reads a part of it %s%s; the rest is read by this one alone; "
            "if memory is short, InventoryProcesses: 1 takes less",
            self._form.source,
            worker.pid,
            why,
            when,
        )
        self._end()
