"""The directory of a site's runs: the lock, the journal, the request to halt.

``VarLocation/runs/SITE`` holds what a run needs to be found, stopped and gone on with. The lock is the operating
system's own (``flock``): it ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from engine import paths
from engine.cut import LastLine
from storage.atomic import ReportError, write_json
from storage.snapshot import part_of

_log = logging.getLogger(__name__)

_GLANCE = 0.5
"""Seconds that others may hold the lock for no more than a look."""


class RunDirError(Exception):
    """The directory of a run cannot be used; the message says what is in the way."""


class AlreadyRunning(RunDirError):
    """Another process runs the same site."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Who runs a site: process number and host, the start in seconds since the epoch, the runtime, the dashboard."""

    pid: int
    host: str
    started: float
    runtime: str
    dashboard: str = ""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that was stopped: when it was begun (seconds since the epoch), and whether its inventory was read."""

    started: float
    inventory_read: bool


@dataclass(frozen=True, slots=True)
class Datasets:
    """The datasets that belong at a site, and those whose deletion there was asked for, when the inventory was read."""

    protected: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()


def directory_name(site: str) -> str:
    """Give a file name for a site, another one for each; anything but letters, digits and ``_.-`` is escaped."""

    def escape(match: re.Match[str]) -> str:
        return "".join(f"%{byte:02x}" for byte in match.group().encode("utf-8", "surrogatepass"))

    return re.sub(r"[^A-Za-z0-9_.-]|^\.+", escape, site) or "%"


class RunDirectory:
    """What stands in the directory of one site."""

    def __init__(self, var_location: Path, site: str) -> None:
        self.site = site
        self.path = var_location / "runs" / directory_name(site)
        self._lock: int | None = None

    @property
    def inventory(self) -> Path:
        """The inventory's snapshot of the current run."""
        return self.path / "inventory.snapshot"

    @property
    def listing(self) -> Path:
        """The store's snapshot; while it grows, its part is the journal."""
        return self.path / "listing.snapshot"

    @property
    def earlier(self) -> Path:
        """The last complete listing, for an incremental one (`storage.runs.earlier`)."""
        return self.path / "earlier.snapshot"

    @property
    def verdicts(self) -> Path:
        """What the store said of missing candidates (`storage.verdicts`)."""
        return self.path / "verdicts.journal"

    @property
    def lists(self) -> Path:
        """Which files the lists of the run are that were on the disk before it was recorded (`kept_lists`)."""
        return self.path / "lists.json"

    @property
    def plan(self) -> Path:
        """What follows from the findings of the last run (`storage.plans.plan_file`)."""
        return self.path / "plan.jsonl"

    @property
    def audit(self) -> Path:
        """The log of all that was done because of plans (`storage.plans.audit`)."""
        return self.path / "audit.jsonl"

    @property
    def checksums(self) -> Path:
        """What the comparison of checksums remembers from run to run (`storage.runs.sample`)."""
        return self.path / "checksums.json"

    @property
    def second_inventory(self) -> Path:
        """The snapshot of the inventory that was read after the listing; it stays until the next run begins."""
        return self.path / "second.snapshot"

    @property
    def _inventory_file(self) -> Path:
        return self.path / "inventory.json"

    def _end_of(self, snapshot: Path) -> Path:
        return snapshot.with_suffix(".end.json")

    @property
    def _datasets(self) -> Path:
        return self.path / "datasets.json"

    @property
    def _state(self) -> Path:
        return self.path / "run.json"

    @property
    def _info(self) -> Path:
        return self.path / "running.json"

    @property
    def _halt(self) -> Path:
        return self.path / "halt"

    def acquire(self, info: RunInfo) -> None:
        """Make the directory, take the lock and say who holds it.

        Raises:
            AlreadyRunning: another process has it.
            RunDirError: the directory cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                _take(lock)
                self._halt.unlink(missing_ok=True)
                _write(self._info, asdict(info))
            except BaseException:
                os.close(lock)
                raise
        except BlockingIOError as error:
            other = self.running()
            who = f" by process {other.pid} on {other.host}" if other else ""
            raise AlreadyRunning(
                f"{self.site} is being checked already{who}; stop that run with: dynamo-consistency halt {self.site}"
            ) from error
        except OSError as error:
            raise RunDirError(f"cannot use {self.path}: {error.strerror}") from error
        self._lock = lock

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._info.unlink(missing_ok=True)
            self._halt.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def is_locked(self) -> bool:
        """Whether a process, this one included, runs the site now."""
        try:
            descriptor = _opened(self.path / "lock")
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RunDirError(f"cannot use {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def running(self) -> RunInfo | None:
        """Say who runs the site, as far as they said so themselves."""
        try:
            return RunInfo(**json.loads(self._info.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def request_halt(self, patience: float) -> bool:
        """Ask the process that runs the site to halt; gives whether it let go within ``patience`` seconds."""
        try:
            self._halt.touch()
        except OSError as error:
            raise RunDirError(f"cannot ask {self.site} to halt: {error.strerror}: {self._halt}") from error
        end = time.monotonic() + patience
        while self.is_locked():
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        self._halt.unlink(missing_ok=True)
        return True

    def halt_requested(self) -> bool:
        """Whether somebody asked this run to halt."""
        return self._halt.exists()

    def begin(self, mark: dict[str, Any], started: float) -> None:
        """Note the start of a new run and drop what an earlier one left unfinished.

        ``mark`` says what the run compares, in JSON's terms; ``started`` is in seconds since the epoch.

        Raises:
            RunDirError: it cannot be noted.
        """
        self.forget()
        part_of(self.listing).unlink(missing_ok=True)
        self.verdicts.unlink(missing_ok=True)
        self.lists.unlink(missing_ok=True)
        self._datasets.unlink(missing_ok=True)
        self.second_inventory.unlink(missing_ok=True)
        self._end_of(self.inventory).unlink(missing_ok=True)
        state = {"mark": mark, "started": started, "inventory_read": False, "earlier": file_identity(self.listing)}
        _write(self._state, state)

    def inventory_is_read(self) -> None:
        """Note that the inventory's snapshot is whole and belongs to this run.

        Raises:
            RunDirError: it cannot be noted.
        """
        state = json.loads(self._state.read_text())
        _write(self._state, {**state, "inventory_read": True})

    def keep_inventory_file(self, identity: list[int] | None) -> None:
        """Keep which file the inventory of this run is about to be read from, None if that cannot be told.

        Raises:
            RunDirError: it cannot be written.
        """
        _write(self._inventory_file, {"file": identity})

    def kept_inventory_file(self) -> list[int] | None:
        """Say which file the inventory of this run was read from (see `file_identity`); None when that is not known."""
        try:
            identity = json.loads(self._inventory_file.read_text())["file"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return identity if isinstance(identity, list) else None

    def keep_last_line(self, snapshot: Path, line: LastLine | None) -> None:
        """Keep the last line of the text that a snapshot was made of, if it did not end.

        Raises:
            RunDirError: it cannot be written.
        """
        kept = None if line is None else asdict(line)
        if kept is not None:
            kept.update(path=paths.escape(kept["path"]), begins=paths.escape(kept["begins"]))
        _write(self._end_of(snapshot), {"last_line": kept})

    def kept_last_line(self, snapshot: Path) -> LastLine | None:
        """Give the last line that was kept with a snapshot; None when its text ended as it should.

        Raises:
            RunDirError: what was kept cannot be read.
        """
        path = self._end_of(snapshot)
        try:
            kept = json.loads(path.read_text())["last_line"]
            return None if kept is None else _last_line(kept)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunDirError(f"cannot read {path}: {error}") from error

    def _knows_last_line(self) -> bool:
        """Tell whether what was kept of the inventory's end is whole."""
        try:
            self.kept_last_line(self.inventory)
        except RunDirError:
            return False
        return True

    def keep_datasets(self, datasets: Datasets) -> None:
        """Keep what was said of datasets when the inventory of this run was read.

        Raises:
            RunDirError: it cannot be written.
        """
        _write(self._datasets, {name: sorted(names) for name, names in asdict(datasets).items()})

    def kept_datasets(self) -> Datasets:
        """Give what was kept with the inventory of this run, be it by a run that was stopped; nothing without it."""
        try:
            return self._read_datasets()
        except (OSError, ValueError, TypeError, KeyError):
            return Datasets()

    def _knows_datasets(self) -> bool:
        """Tell whether what was kept, if anything, is whole; without it files would be judged that must not be."""
        try:
            self._read_datasets()
        except FileNotFoundError:
            return True
        except (OSError, ValueError, TypeError, KeyError):
            return False
        return True

    def _read_datasets(self) -> Datasets:
        kept = json.loads(self._datasets.read_text())
        return Datasets(frozenset(kept["protected"]), frozenset(kept["deleted"]))

    def set_aside(self) -> None:
        """Note that a gate refused what was listed: only a run that is told to accept it goes on with that."""
        try:
            state = json.loads(self._state.read_text())
            _write(self._state, {**state, "refused": True})
        except (OSError, ValueError, TypeError, RunDirError) as error:
            _log.warning("%s: what was refused is not kept: %s", self.site, error)
            self.forget()

    def keep_found(self, run: int, started: float, found: dict[str, Any]) -> None:
        """Keep what this run has found, in JSON's terms, just before it is recorded, with number and start (seconds).

        Raises:
            RunDirError: it cannot be written.
        """
        state = json.loads(self._state.read_text())
        judged = [*state.get("judged", []), [run, started]]
        _write(self._state, {**state, "found": found, "judged": judged})

    def judged_by(self, mark: dict[str, Any]) -> list[tuple[int, float]]:
        """Give number and start (seconds) of the runs that were about to be recorded with the listing of this one."""
        try:
            state = json.loads(self._state.read_text())
            is_same = state["mark"] == json.loads(json.dumps(mark))
            return [(int(run), float(started)) for run, started in state.get("judged", []) if is_same]
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return []

    def kept_lists(self) -> dict[str, list[int]]:
        """Give, for each name, which file the list of that name is; nothing when that is not known."""
        try:
            kept = json.loads(self.lists.read_text())
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def kept_found(self, mark: dict[str, Any], not_before: float) -> dict[str, Any] | None:
        """Give what a run of the same ``mark`` has found and kept at ``not_before`` or later, and was not over with."""
        try:
            state = json.loads(self._state.read_text())
            is_old = self._state.stat().st_mtime < not_before
            found = None if is_old or state["mark"] != json.loads(json.dumps(mark)) else state.get("found")
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return found if isinstance(found, dict) else None

    def unfinished(self, mark: dict[str, Any], not_before: float, refused: bool = False) -> Unfinished | None:
        """Say whether there is a run to go on with: of the same ``mark``, still at work at ``not_before`` or later.

        One that was refused counts only where ``refused`` asks for it.
        A listing that was finished although its run was not becomes the journal again.
        """
        try:
            state = json.loads(self._state.read_text())
            read = bool(state["inventory_read"]) and self.inventory.exists() and self._knows_datasets()
            read = read and self._knows_last_line()
            earlier = Unfinished(float(state["started"]), read)
            same = state["mark"] == json.loads(json.dumps(mark)) and (refused or not state.get("refused"))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if not same or self._last_sign() < not_before:
            return None
        journal = part_of(self.listing)
        # By what it is and not by its time: a clock may have been set back since the listing before was finished.
        is_own = file_identity(self.listing) not in (None, state.get("earlier"))
        if earlier.inventory_read and is_own and not journal.exists():
            self._keep_for_nobody_else()
            os.replace(self.listing, journal)
        return earlier

    def _keep_for_nobody_else(self) -> None:
        """Take the second name (`storage.runs.earlier`) from a listing that is about to be written to again."""
        try:
            is_same = file_identity(self.earlier) == file_identity(self.listing)
        except OSError:
            # Nobody can tell.
            is_same = True
        if is_same:
            self.earlier.unlink(missing_ok=True)

    def too_old(self, not_before: float) -> float | None:
        """Give when a run was last at work that was stopped and is too old to go on with; None when there is none."""
        if not self._state.exists() or not (part_of(self.listing).exists() or self.inventory.exists()):
            return None
        last_sign = self._last_sign()
        return last_sign if last_sign < not_before else None

    def _last_sign(self) -> float:
        files = (part_of(self.listing), self.listing, self._state)
        return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)

    def forget(self) -> None:
        """Note that there is no run to go on with."""
        self._state.unlink(missing_ok=True)


def file_identity(path: Path) -> list[int] | None:
    """Tell one file of a name from the next; None when there is none."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return [state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size]


def _last_line(kept: dict[str, Any]) -> LastLine:
    return LastLine(
        str(kept["source"]),
        int(kept["line"]),
        paths.unescape(str(kept["path"])),
        paths.unescape(str(kept["begins"])),
        int(kept["size"]),
        int(kept["mtime"]),
        bool(kept["site"]),
        bool(kept["repeated"]),
    )


def _write(path: Path, value: object) -> None:
    try:
        write_json(path, value)
    except ReportError as error:
        raise RunDirError(str(error)) from error


def _opened(lock: Path) -> int:
    """Open the lock to look at it, which whoever may only read it can, too."""
    try:
        return os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        return os.open(lock, os.O_RDONLY | os.O_CLOEXEC)


def _take(lock: int) -> None:
    """Lock; whoever looks whether it is locked has it for an instant, which is waited out."""
    end = time.monotonic() + _GLANCE
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
        time.sleep(0.01)
