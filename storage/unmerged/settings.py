"""The settings of the cleaning of an unmerged area: the key ``ListDeletable`` and what belongs to it.

They are checked when a site is to be cleaned, and not before, so that a site that is not need not have them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from engine import paths
from engine.filters import PatternFilter
from engine.unmerged import Mode
from storage.config.files import ConfigError
from storage.config.site import SiteConfig
from storage.shown import quoted, shown

_T = TypeVar("_T")

_DAY = 86400.0

FOUR_WEEKS = 2419200.0

LIST_DELETABLE_KEYS = ("LFN_TO_CLEAN", "PROTECTED_LIST", "WHICH_LIST", "MIN_AGE", "DIRS_TO_AVOID", "MAX_FRACTION")
"""The keys of ``ListDeletable``."""

UNUSED_KEYS = ("DELETION_FILE", "SLEEP_TIME", "STORAGE_TYPE", "UNMERGED_DIR_LOCATION")
"""Keys that configurations of earlier programs have, and that have no meaning here."""


@dataclass(frozen=True, slots=True)
class UnmergedSettings:
    """How a site's unmerged area is cleaned.

    ``root`` is what is listed and cleaned; files in it are old enough after ``min_age`` seconds, and those below
    ``logs`` after ``logs_age`` seconds. Nothing below ``avoided`` is touched. ``protected_list`` is a URL or a file
    name. More than ``max_fraction`` (0 to 1) of the files is never deletable. Paths are canonical; ``logs`` may lie
    outside the root, where somebody named them.
    """

    root: bytes
    protected_list: str
    mode: Mode = Mode.FILES
    min_age: float = FOUR_WEEKS
    avoided: tuple[bytes, ...] = ()
    logs: tuple[bytes, ...] = ()
    logs_age: float = 28 * _DAY
    ignored: tuple[bytes, ...] = ()
    max_fraction: float = 1.0

    @property
    def tops(self) -> tuple[bytes, ...]:
        """What is listed: the root, and the log directories outside it."""
        return (self.root, *[path for path in self.logs if not paths.is_under(path, self.root)])


def unmerged_settings(
    site: SiteConfig, more_logs: bool = False, protected_list: str = "", mode: str = ""
) -> UnmergedSettings:
    """Read the settings of a site; ``more_logs`` adds the directories of ``AdditionalLogDeletions``.

    ``protected_list`` and ``mode``, when given, go before those of the configuration.

    Raises:
        ConfigError: with every problem that was found.
    """
    return _Reader(site).read(more_logs, protected_list, mode)


class _Reader:
    """Reads one mapping and gathers what is wrong with it."""

    def __init__(self, site: SiteConfig) -> None:
        self._site = site
        self._values: dict[str, Any] = json.loads(site.list_deletable)
        self._problems: list[str] = []

    def read(self, more_logs: bool, protected_list: str, mode: str) -> UnmergedSettings:
        self._name_unknown_keys()
        site = self._site
        if mode:
            self._values["WHICH_LIST"] = mode
        root = self._read("LFN_TO_CLEAN", b"unmerged", self._root)
        # A root that is wrong is said once; the other keys are read as if it were the default.
        root = paths.join(site.root_path, b"unmerged") if root in (None, b"unmerged") else root
        source = protected_list or self._read("PROTECTED_LIST", "", _source)
        if source == "" and "PROTECTED_LIST" not in self._values:
            self._say("PROTECTED_LIST", "the key is missing; without a protected list nothing is deleted")
        logs = [paths.join(root, b"logs"), *(self._more_logs(root) if more_logs else ())]
        sam: tuple[bytes, ...] = (paths.join(root, b"SAM"),)
        avoided = self._read("DIRS_TO_AVOID", sam, lambda value: self._avoided(value, root)) or ()
        settings = UnmergedSettings(
            root,
            source or "",
            self._read("WHICH_LIST", Mode.FILES, _mode) or Mode.FILES,
            self._read("MIN_AGE", FOUR_WEEKS, _seconds) or 0.0,
            (*avoided, *([site.quarantine] if site.quarantine and paths.is_under(site.quarantine, root) else [])),
            tuple(dict.fromkeys(logs)),
            site.unmerged_logs_age * _DAY,
            site.ignore_directories,
            self._fraction(),
        )
        for top in settings.tops:
            if PatternFilter(site.ignore_directories)(top):
                self._problems.append(f"{site.name}: IgnoreDirectories leaves out all of {paths.escape(top)}")
        if self._problems:
            raise ConfigError(*self._problems)
        return settings

    def _say(self, key: str, words: str) -> None:
        self._problems.append(f"{self._site.name}: ListDeletable.{key}: {words}")

    def _name_unknown_keys(self) -> None:
        known = {name.lower(): name for name in LIST_DELETABLE_KEYS}
        for key in self._values:
            if key not in LIST_DELETABLE_KEYS and key not in UNUSED_KEYS:
                nearest = get_close_matches(key.lower(), known, n=1)
                hint = f"; did you mean {quoted(known[nearest[0]])}?" if nearest else ""
                self._problems.append(f"{self._site.name}: ListDeletable: unknown key {quoted(key)}{hint}")

    def _read(self, key: str, default: _T, convert: Callable[[Any], _T]) -> _T | None:
        """Give the value of a key, the default when it is not there, and None after naming what is wrong with it."""
        if key not in self._values:
            return default
        try:
            return convert(self._values[key])
        except ValueError as error:
            self._say(key, str(error))
            return None

    def _root(self, value: object) -> bytes:
        words = "a directory below RootPath"
        if not isinstance(value, str) or not value:
            raise ValueError(f"expected {words}, found {shown(value)}")
        path = _canonical(value, self._site.root_path, words)
        if path == self._site.root_path or not paths.is_under(path, self._site.root_path):
            raise ValueError(f"expected {words} ({paths.escape(self._site.root_path)}), found {shown(value)}")
        for top in self._site.directories:
            # What an inventory knows is not for this cleaning.
            if top != self._site.root_path and (paths.is_under(path, top) or paths.is_under(top, path)):
                raise ValueError(f"{shown(value)} overlaps with {paths.escape(top)} of DirectoryList")
        return path

    def _avoided(self, value: object, root: bytes) -> tuple[bytes, ...]:
        words = "a list of directories in the unmerged directory"
        if not isinstance(value, list) or not all(isinstance(entry, str) and entry for entry in value):
            raise ValueError(f"expected {words}, found {shown(value)}")
        avoided = []
        for entry in value:
            path = _canonical(entry, root, words)
            name = paths.decode(paths.name_of(root))
            if entry.startswith(f"{name}/"):
                short = quoted(entry.removeprefix(f"{name}/"))
                raise ValueError(f"{shown(entry)} would be {paths.escape(path)}; write {short}, or an absolute path")
            if not paths.is_under(path, root):
                raise ValueError(f"{shown(entry)} is outside {paths.escape(root)}")
            avoided.append(path)
        return tuple(avoided)

    def _more_logs(self, root: bytes) -> tuple[bytes, ...]:
        for path in self._site.additional_log_deletions:
            covered = [top for top in (root, *self._site.directories) if paths.is_under(top, path)]
            if covered:
                self._problems.append(
                    f"{self._site.name}: AdditionalLogDeletions: {paths.escape(path)} would make everything in "
                    f"{paths.escape(covered[0])} a log"
                )
        return self._site.additional_log_deletions

    def _fraction(self) -> float:
        fraction = self._read("MAX_FRACTION", 1.0, _fraction)
        return 1.0 if fraction is None else fraction


def _canonical(text: str, base: bytes, words: str) -> bytes:
    path = paths.encode(text)
    try:
        return paths.canonical(path if path.startswith(b"/") else paths.join(base, path))
    except ValueError as error:
        raise ValueError(f"expected {words}, found {shown(text)} ({error})") from error


def _source(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError(f"expected a URL (http, https or file) or a file name, found {shown(value)}")
    return value


def _mode(value: object) -> Mode:
    try:
        return Mode(value)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f'expected "files" or "directories", found {shown(value)}') from None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _seconds(value: object) -> float:
    try:
        number = _number(value)
    except (ValueError, OverflowError):
        number = -1.0
    if number < 0:
        raise ValueError(f"expected a number of seconds, 0 or more, found {shown(value)}")
    return number


def _fraction(value: object) -> float:
    try:
        number = _number(value)
    except (ValueError, OverflowError):
        number = -1.0
    if not 0 < number <= 1:
        raise ValueError(f"expected a number above 0 and up to 1, found {shown(value)}")
    return number
