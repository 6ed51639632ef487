"""The directory of whoever keeps checking sites: ``VarLocation/run``.

There is one at a time. Others find out there who it is, and ask it to take no more; what its checks say on stdout and
stderr goes into files, so that they outlive it.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from storage.atomic import ReportError, write_json
from storage.runs.directory import RunDirError, directory_name
from storage.sites.lock import SiteLock

_LOCK = "run"

_COARSE = 0.05
"""Seconds by which the time of a file may lie behind the clock."""


class AlreadyKeeping(RunDirError):
    """Another process keeps checking the sites."""


@dataclass(frozen=True, slots=True)
class KeeperInfo:
    """Who it is: number and machine of the process, when it began (seconds since the epoch), its runtime and address,
    and how many checks it has at a time.
    """

    pid: int
    host: str
    started: float
    runtime: str
    address: str
    parallel: int


class Keeper:
    """That directory below one ``VarLocation``. Used as a context by whoever has acquired it."""

    def __init__(self, var_location: Path) -> None:
        self.path = var_location / "run"
        self._lock = SiteLock(var_location, _LOCK)

    @property
    def _info(self) -> Path:
        return self.path / "running.json"

    @property
    def _drain(self) -> Path:
        return self.path / "drain"

    def output(self, site: str) -> Path:
        """Name the file for what the check of a site prints on stdout."""
        return self.path / f"{directory_name(site)}.out"

    def errors(self, site: str) -> Path:
        """Name the file for what the check of a site prints on stderr."""
        return self.path / f"{directory_name(site)}.err"

    def acquire(self, info: KeeperInfo) -> None:
        """Take the lock and say who has it.

        Raises:
            AlreadyKeeping: another process has it.
            RunDirError: the directory cannot be used.
        """
        begun = time.time()
        if not self._lock.acquire():
            other = self.running()
            who = f" by process {other.pid} on {other.host}" if other else ""
            raise AlreadyKeeping(f"sites are being checked already{who}; end that with: dynamo-consistency drain")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._forget_old_drain(begun)
            write_json(self._info, asdict(info))
        except OSError as error:
            self._lock.release()
            raise RunDirError(f"cannot use {self.path}: {error.strerror}") from error
        except ReportError as error:
            self._lock.release()
            raise RunDirError(str(error)) from error

    def _forget_old_drain(self, begun: float) -> None:
        """Remove what was asked of another one; who asks at this moment may mean this one."""
        with suppress(FileNotFoundError):
            if self._drain.stat().st_mtime < begun - _COARSE:
                self._drain.unlink()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._info.unlink(missing_ok=True)
        self._drain.unlink(missing_ok=True)
        self._lock.release()

    def is_held(self) -> bool:
        """Whether a process keeps checking sites now."""
        return self._lock.is_held()

    def running(self) -> KeeperInfo | None:
        """Say who that is, as far as they said so themselves."""
        try:
            return KeeperInfo(**json.loads(self._info.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def drain_requested(self) -> bool:
        """Whether somebody asked to take no more."""
        return self._drain.exists()

    def request_drain(self) -> None:
        """Ask whoever keeps checking sites to take no more, and to end when its checks have."""
        try:
            self._drain.touch()
        except OSError as error:
            raise RunDirError(f"cannot ask for it: {error.strerror}: {self._drain}") from error

    def wait(self, seconds: float) -> bool:
        """Wait for it to end; gives whether it did within so many seconds."""
        end = time.monotonic() + seconds
        while self.is_held():
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True
