"""What is in the web directory: which files a page may lead to, and the first lines of a list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from storage.atomic import naming
from storage.page.words import stem
from storage.shown import printable

SAMPLE_BYTES = 1 << 16
"""As much of a list is read to show its first names, however long the list is."""


@dataclass(frozen=True, slots=True)
class ListKind:
    """A list that a run leaves: what comes after the site in its file's name, and what it holds."""

    key: str
    ending: str
    what: str


LISTS: tuple[ListKind, ...] = (
    ListKind("missing", "_compare_missing.txt", "missing files"),
    ListKind("datasets", "_missing_datasets.txt", "missing files by group and block"),
    ListKind("nosite", "_missing_nosite.txt", "missing files without another copy on disk"),
    ListKind("unrecoverable", "_unrecoverable.txt", "missing files on neither disk nor tape"),
    ListKind("orphan", "_compare_orphan.txt", "orphans"),
    ListKind("size_mismatch", "_compare_size_mismatch.txt", "files with another size than in the inventory"),
    ListKind(
        "checksum_mismatch",
        "_compare_checksum_mismatch.txt",
        "files with another checksum than in the inventory, of those compared",
    ),
    ListKind("empty", "_empty.txt", "empty directories"),
    ListKind("unlisted", "_unlisted.txt", "directories without a complete listing"),
    ListKind("unmerged", "_unmerged.txt", "unmerged files that may be deleted"),
    ListKind("storage", "_storage.json", "storage used by top directory"),
    ListKind("log", ".log", "log of the last run"),
)


@dataclass(frozen=True, slots=True)
class ListFile:
    """A list that is there: its kind, its name and size in bytes, and the name of its exact form, if it has one."""

    kind: ListKind
    name: str
    size: int
    exact: str = ""


def present(web_dir: Path) -> dict[str, int]:
    """Give the names and sizes of the plain files in the web directory; hidden ones, and ones half done, are not there.

    Raises:
        ReportError: the directory cannot be read.
    """
    return {entry.name: entry.stat().st_size for entry in _plain_files(web_dir)}


def _plain_files(web_dir: Path) -> Iterator[os.DirEntry[str]]:
    with naming(web_dir), os.scandir(web_dir) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and not entry.name.endswith(".part"):
                try:
                    if S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                        yield entry
                except FileNotFoundError:
                    continue


def lists_of(site: str, files: Mapping[str, int]) -> dict[str, ListFile]:
    """Find the lists of a site among the files of the web directory, by their key, in the order of `LISTS`."""
    base = stem(site)
    names = {kind: f"{base}{kind.ending}" for kind in LISTS}
    return {
        kind.key: ListFile(kind, name, files[name], exact if (exact := _exact(name)) in files else "")
        for kind, name in names.items()
        if name in files
    }


def _exact(name: str) -> str:
    return f"{name.removesuffix('.txt')}.jsonl"


@dataclass(frozen=True, slots=True)
class Head:
    """The first lines of a list, and whether they are all of it."""

    lines: tuple[str, ...] = ()
    whole: bool = True


def head_of(path: Path, limit: int) -> Head:
    """Read the first lines of a list; one that is gone, or cannot be read, has none.

    The names in a list are escaped already; what else a foreign one may hold is made printable.
    """
    try:
        with path.open("rb") as file:
            head = file.read(SAMPLE_BYTES)
    except OSError:
        return Head()
    lines = head.split(b"\n")
    # What comes after the last line's end is nothing, or a line that was cut.
    complete = [printable(line.decode("utf-8", "backslashreplace")) for line in lines[:-1]]
    return Head(tuple(complete[:limit]), len(head) < SAMPLE_BYTES and len(complete) <= limit and not lines[-1])
