"""Trees that were made before: one snapshot for each site and name, good until it is too old.

``VarLocation/cache/SITE/NAME.snapshot`` is replaced in one step. A cache that is damaged, or of a newer program,
is passed over with a warning and made again: nothing is lost with it but time.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from engine.tree import DirectoryInfo, TreeError
from storage.config.site import SiteConfig
from storage.runs.directory import directory_name
from storage.snapshot import Snapshot, SnapshotError
from storage.trees.file import open_tree, write_tree

_log = logging.getLogger(__name__)

_SUFFIX = ".snapshot"
_SECONDS_A_DAY = 86400

_TreeT = TypeVar("_TreeT", bound=DirectoryInfo)

_AGES = {
    "IgnoreAge": "ignore_age_days",
    "InventoryAge": "inventory_age",
    "ListAge": "list_age",
    "RedirectorAge": "redirector_age",
    "UnmergedLogsAge": "unmerged_logs_age",
}


def age_of(settings: SiteConfig, key: str) -> float:
    """Give the days that a key of the configuration says; 0 for a key that says none."""
    field = _AGES.get(key)
    return 0.0 if field is None else float(getattr(settings, field))


class TreeCache:
    """The cached tree of one site under one name, which may be any text.

    ``max_age`` is in days: an older cache is not opened. With ``keep_old`` a cache that is replaced stays under its
    name and the time (UTC) at which it was made. No method raises for what is wrong with a file.
    """

    def __init__(self, var_location: Path, site: str, name: str, max_age: float, keep_old: bool = False) -> None:
        self.site = site
        self._directory = var_location / "cache" / directory_name(site)
        self._name = directory_name(name)
        self._max_age = max_age * _SECONDS_A_DAY
        self._keep_old = keep_old

    @classmethod
    def of(cls, settings: SiteConfig, name: str, age_key: str) -> TreeCache:
        """Give the cache of a site, with its settings; ``age_key`` is the key that has the greatest age."""
        return cls(settings.var_location, settings.name, name, age_of(settings, age_key), settings.save_cache)

    @property
    def path(self) -> Path:
        """Where the tree is, or will be."""
        return self._directory / f"{self._name}{_SUFFIX}"

    def get(self, make: Callable[[], _TreeT], kind: Callable[[str], type[_TreeT]]) -> _TreeT:
        """Give the cached tree if it is good, else what ``make`` gives, which is kept for later.

        ``kind`` gives the class of the trees of a site. Whoever makes the same tree at the same time does so too: the
        last one stays.
        """
        tree = self.open(kind)
        if tree is None:
            tree = make()
            self.store(tree)
        return tree

    def open(self, kind: Callable[[str], type[_TreeT]]) -> _TreeT | None:
        """Give the cached tree; None when there is none that is good and young enough."""
        try:
            # A time that lies ahead says as little of the age as one long ago.
            if abs(time.time() - self.path.stat().st_mtime) > self._max_age:
                return None
            snapshot = Snapshot(self.path)
            try:
                # What is damaged has to be found now, not in the middle of a comparison.
                snapshot.verify()
            finally:
                snapshot.close()
            tree = open_tree(self.path, kind)
        except FileNotFoundError:
            return None
        except (SnapshotError, TreeError, OSError, ValueError) as error:
            _log.warning("the cache cannot be used and is made again: %s", error)
            return None
        _log.info("%s: taken from the cache %s", self.site, self.path)
        return tree

    def store(self, tree: DirectoryInfo) -> bool:
        """Keep a tree, in place of the one before; when it cannot be written, that is a warning and gives false."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with self._writing():
                if self._keep_old:
                    self._put_aside()
                write_tree(tree, self.path, self.site)
        except (SnapshotError, TreeError, OSError, ValueError) as error:
            _log.warning("%s: the tree is not cached: %s", self.site, error)
            return False
        return True

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Let one process write at a time; the lock ends with the process that holds it."""
        lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _put_aside(self) -> None:
        """Give the old cache a dated name as well; it keeps its own until it is replaced."""
        try:
            made = time.gmtime(self.path.stat().st_mtime)
        except FileNotFoundError:
            return
        stamp = time.strftime("%Y%m%dT%H%M%SZ", made)
        for again in range(1000):
            aside = self._directory / f"{self._name}.{stamp}{f'-{again}' if again else ''}{_SUFFIX}"
            try:
                os.link(self.path, aside)
            except FileExistsError:
                if aside.samefile(self.path):
                    return
                continue
            except OSError:
                # A file system without hard links; then there is no cache for as long as the new one is written.
                os.replace(self.path, aside)
            return
