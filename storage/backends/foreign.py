"""Backends of other packages, found by their entry points.

The entry point is called with the configuration and the settings of a site, and gives an object with those methods of
the protocols that it answers; the others are left to the default backend. Nothing such an object does reaches a user as
a traceback: whatever it raises becomes a `BackendError` that names it.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from numbers import Integral
from typing import Any

from storage.backends.protocols import (
    BackendError,
    Backends,
    DatasetFilter,
    InventoryRow,
    Transfers,
)
from storage.config.site import KnownSites, SiteConfig
from storage.shown import one_line, printable, quoted

GROUP = "dynamo_consistency.backends"

ANSWERS: dict[str, tuple[str, ...]] = {
    "inventory": ("list_files", "protected_datasets"),
    "registry": ("delete", "transfer", "sources"),
    "sites": ("site_list", "ready_sites"),
    "deletions": ("deletion_requests",),
    "check": ("check_site",),
    "blocks": ("filelist_to_blocklist",),
    "datasets": ("filter", "DatasetFilter"),
}
"""The methods that answer each question. ``DatasetFilter`` may be a class in the place of ``filter``."""


def found() -> dict[str, list[EntryPoint]]:
    """Give the entry points of all installed packages by the name of the backend."""
    by_name: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        known = by_name.setdefault(entry.name, [])
        # A package that is found twice on the path is still one.
        if entry.value not in [other.value for other in known]:
            known.append(entry)
    return by_name


def load(name: str, entries: Sequence[EntryPoint], config: KnownSites, site: SiteConfig, default: Backends) -> Backends:
    """Make the backend of a name; a question that it has no method for gets the answer of the default backend.

    Raises:
        BackendError: two packages bring it, or it cannot be loaded or made, or it answers nothing.
    """
    if len(entries) > 1:
        raise BackendError(f"backend {quoted(name)}: several packages bring it: {', '.join(map(_origin, entries))}")
    (entry,) = entries
    what = f"backend {quoted(name)} of {_origin(entry)}"
    with _translated(what, "cannot be loaded"):
        made = entry.load()(config, site)
    asked = _Asked(made, what)
    answered = {question for question, methods in ANSWERS.items() if any(map(asked.can, methods))}
    if not answered:
        methods = ", ".join(method for methods in ANSWERS.values() for method in methods)
        raise BackendError(f"{what}: {type(made).__name__} has none of the methods of a backend: {methods}")
    foreign: dict[str, Any] = {
        "inventory": ForeignInventory,
        "registry": ForeignRegistry,
        "sites": ForeignSites,
        "deletions": ForeignDeletions,
        "check": ForeignCheck,
        "blocks": ForeignBlocks,
        "datasets": ForeignDatasets,
    }
    return replace(default, **{question: foreign[question](asked, getattr(default, question)) for question in answered})


def _origin(entry: EntryPoint) -> str:
    return printable(f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value)


@contextmanager
def _translated(what: str, failure: str) -> Iterator[None]:
    try:
        yield
    except BackendError as error:
        raise BackendError(f"{what}: {one_line(error)}") from error
    except Exception as error:
        raise BackendError(f"{what} {failure}: {one_line(error) or 'no word why'} ({type(error).__name__})") from error


class _Asked:
    """The object of the other package, and what it is called in messages."""

    def __init__(self, made: Any, what: str) -> None:
        self._made = made
        self.what = what

    def can(self, method: str) -> bool:
        """Whether there is such a method."""
        with self.failing(method):
            return callable(getattr(self._made, method, None))

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method."""
        with self.failing(method):
            return getattr(self._made, method)(*arguments)

    @contextmanager
    def failing(self, method: str) -> Iterator[None]:
        """Translate what is raised while the answer of a method is made or read."""
        with _translated(self.what, f"failed in {method}"):
            yield

    def wrong(self, method: str, expected: str, answer: object) -> BackendError:
        """Say what a method should have given."""
        return BackendError(f"{self.what}: {method} gave {_shown(answer)}; expected {expected}")

    def names(self, method: str, site: str | None = None) -> list[str]:
        """Ask for names."""
        answer = self.ask(method) if site is None else self.ask(method, site)
        if isinstance(answer, str | bytes) or not isinstance(answer, Iterable):
            raise self.wrong(method, "a list of names", answer)
        with self.failing(method):
            names = list(answer)
        for name in names:
            if not isinstance(name, str):
                raise self.wrong(method, "names as str", name)
        return names


def _shown(answer: object) -> str:
    return "None" if answer is None else f"a {type(answer).__name__}"


class ForeignInventory:
    """What should be at a site, as another package says."""

    def __init__(self, asked: _Asked, default: Any) -> None:
        self._asked = asked
        self._default = default

    def list_files(self, site: str) -> Iterator[InventoryRow]:
        """Give the rows; each may come as an `InventoryRow`, as a tuple of the same fields, or as an LFN alone."""
        if not self._asked.can("list_files"):
            yield from self._default.list_files(site)
            return
        rows = self._asked.ask("list_files", site)
        if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
            raise self._asked.wrong("list_files", "an iterable of rows", rows)
        with self._asked.failing("list_files"):
            remaining = iter(rows)
        while True:
            with self._asked.failing("list_files"):
                try:
                    row = next(remaining)
                except StopIteration:
                    return
            yield self._row(row)

    def _row(self, row: Any) -> InventoryRow:
        if isinstance(row, InventoryRow):
            return row
        if isinstance(row, str):
            return InventoryRow(row)
        if isinstance(row, tuple | list) and 1 <= len(row) <= len(InventoryRow.__dataclass_fields__):
            return InventoryRow(*row)
        raise self._asked.wrong("list_files", "an InventoryRow, an LFN, or a tuple (lfn, size, mtime, block…)", row)

    def protected_datasets(self, site: str) -> Collection[str]:
        """Name the datasets that are never orphans; where only `list_files` is answered, none."""
        if self._asked.can("protected_datasets"):
            return frozenset(self._asked.names("protected_datasets", site))
        return frozenset(() if self._asked.can("list_files") else self._default.protected_datasets(site))


class ForeignRegistry:
    """Takes requests in another package."""

    def __init__(self, asked: _Asked, default: Any) -> None:
        self._asked = asked
        self._default = default

    def delete(self, site: str, lfns: Sequence[str]) -> int:
        """Ask for deletions; an answer that is no number counts every file."""
        if not self._asked.can("delete"):
            return int(self._default.delete(site, lfns))
        answer = self._asked.ask("delete", site, lfns)
        return int(answer) if isinstance(answer, Integral) else len(lfns)

    def transfer(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Ask for transfers."""
        return self._transfers("transfer", site, lfns)

    def sources(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Say what has a source."""
        return self._transfers("sources", site, lfns)

    def _transfers(self, method: str, site: str, lfns: Sequence[str]) -> Transfers:
        if not self._asked.can(method):
            default: Transfers = getattr(self._default, method)(site, lfns)
            return default
        answer = self._asked.ask(method, site, lfns)
        if isinstance(answer, Transfers):
            return answer
        if answer is None:
            return Transfers(requested=list(lfns))
        if isinstance(answer, tuple | list) and len(answer) == 2:
            with self._asked.failing(method):
                no_disk, unrecoverable = (list(names) for names in answer)
                lost = set(unrecoverable)
            return Transfers([lfn for lfn in lfns if lfn not in lost], no_disk, unrecoverable)
        raise self._asked.wrong(method, "Transfers, or the lists (no_disk, unrecoverable)", answer)


class ForeignSites:
    """Knows sites in another package."""

    def __init__(self, asked: _Asked, default: Any) -> None:
        self._asked = asked
        self._default = default

    def site_list(self) -> Sequence[str]:
        """Name all sites."""
        return self._asked.names("site_list") if self._asked.can("site_list") else self._default.site_list()

    def ready_sites(self) -> Collection[str]:
        """Name the ready ones; where only `site_list` is answered, all of them."""
        if self._asked.can("ready_sites"):
            return frozenset(self._asked.names("ready_sites"))
        return frozenset(self.site_list())


class ForeignDeletions:
    """Knows what is on its way out in another package."""

    def __init__(self, asked: _Asked, default: Any) -> None:
        self._asked = asked

    def deletion_requests(self, site: str) -> Collection[str]:
        """Name the datasets."""
        return frozenset(self._asked.names("deletion_requests", site))


class ForeignCheck:
    """Has another package take the last look."""

    def __init__(self, asked: _Asked, default: Any) -> None:
        self._asked = asked
        self._default = default

    def check_site(self, site: str) -> str:
        """Say why not; the other package may also answer true or false. The default backend has to agree."""
        answer = self._asked.ask("check_site", site)
        if isinstance(answer, str):
            why = printable(answer)
        elif answer is None or answer is True:
            why = ""
        elif answer is False:
            why = f"the {self._asked.what} says no"
        else:
            raise self._asked.wrong("check_site", "words why not, or true or false", answer)
        return why or str(self._default.check_site(site))


class ForeignBlocks:
    """Has another package sum files up."""

    def __init__(self, asked: _Asked, default: Any) -> None:
        self._asked = asked

    def filelist_to_blocklist(self, site: str, lfns: Iterable[str]) -> list[tuple[str, str, str, int, int]]:
        """Give (group, dataset, block, files, bytes), sorted."""
        answer = self._asked.ask("filelist_to_blocklist", site, lfns)
        with self._asked.failing("filelist_to_blocklist"):
            rows = [tuple(row) for row in answer]
        for row in rows:
            if [type(value) for value in row] != [str, str, str, int, int]:
                raise self._asked.wrong("filelist_to_blocklist", "rows (group, dataset, block, files, bytes)", row)
        return sorted(rows)


@dataclass(frozen=True, slots=True)
class ForeignFilter:
    """A filter of another package; it travels between processes, and its faults are named wherever it works."""

    inner: Any
    what: str

    def protected(self, file_name: str) -> bool:
        """Whether the file is in one of the datasets."""
        with _translated(self.what, "failed in protected"):
            return bool(self.inner.protected(file_name))

    __call__ = protected


class ForeignDatasets:
    """Has another package tell to which dataset a file belongs."""

    def __init__(self, asked: _Asked, default: Any) -> None:
        self._asked = asked

    def filter(self, datasets: Collection[str]) -> DatasetFilter:
        """Make the filter, and see that it can travel."""
        method = "filter" if self._asked.can("filter") else "DatasetFilter"
        made = self._asked.ask(method, datasets)
        if not callable(getattr(made, "protected", None)):
            raise self._asked.wrong(method, "an object with a method protected", made)
        with _translated(self._asked.what, f"gave a filter in {method} that does not pickle"):
            pickle.dumps(made)
        return ForeignFilter(made, self._asked.what)
