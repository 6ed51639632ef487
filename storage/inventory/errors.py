"""The errors of the inventory readers; the tree is drawn in the package's docstring."""

from __future__ import annotations

from engine import paths
from storage.shown import printable

_SHOWN = 100


class InventoryError(Exception):
    """An inventory that cannot be used; the message is one line and names the file."""


class InventoryUnreadable(InventoryError):
    """The file cannot be opened, unpacked or read to its end."""


class InventoryMalformed(InventoryError):
    """A line is not what it should be."""


class InventoryCut(InventoryMalformed):
    """A dump ends before its end."""


def unreadable(source: str, what: str) -> InventoryUnreadable:
    """Say what is wrong with the whole file ``source``."""
    return InventoryUnreadable(f"inventory {source}: {what}")


def malformed(source: str, line: int, expected: str, found: bytes, entry: int = 0) -> InventoryMalformed:
    """Say what was expected in a line, or in an entry of it, counted from 1, and show what stands there."""
    where = place(line, entry)
    return InventoryMalformed(f'inventory {source} {where}: expected {expected}, found "{shown(found)}"')


def place(line: int, entry: int = 0) -> str:
    """Say where something is: in which line, and in which entry of the file where that says more."""
    return f"line {line}, entry {entry:,}" if entry else f"line {line}"


def cut_off(source: str, line: int, expected: str) -> InventoryCut:
    """Say which end a dump lacks, and what line is the last one."""
    return InventoryCut(
        f"inventory {source} line {line}: it ends here, without {expected}, so that it may be cut off; have it made or "
        "brought anew"
    )


def malformed_row(source: str, row: int, expected: str, found: object) -> InventoryMalformed:
    """Say what was expected in a row of a database, counted from 1, and show the value that stands there."""
    if isinstance(found, str):
        found = paths.encode(found)
    what = f'"{shown(found)}"' if isinstance(found, bytes) else "NULL" if found is None else shown(repr(found).encode())
    return InventoryMalformed(f"inventory {source} row {row}: expected {expected}, found {what}")


def words_of_both(count: int, unsure: int = 0) -> str:
    """Say what is made of entries that are directories as well, and of others that may be empty ones."""
    lines = "1 entry has others below it and is" if count == 1 else f"{count:,} entries have others below them and are"
    may_be = f"{unsure:,} more may be empty ones, by their sizes, and are not judged"
    empty = may_be if unsure else "empty ones look like files"
    return f"{lines} not judged: a directory, it seems; {empty}; have files alone listed, as find -type f does"


def no_rows_of(source: str, site: bytes, others: list[str], rses: bool = False) -> InventoryError:
    """Say that an inventory has other sites, or ``rses``, only: taken for empty, it would make every file an orphan."""
    kind, hint = ("RSE", "; Rucio.RSE names that of the site") if rses else ("site", "")
    return InventoryMalformed(
        f"inventory {source}: no row of the {kind} {paths.escape(site)}; "
        f"its column of {kind}s has: {', '.join(sorted(others))}{hint}"
    )


def shown(found: bytes) -> str:
    """Show the beginning of what stands somewhere, on one line."""
    # A byte order mark in the middle of a list would be invisible otherwise.
    text = printable(paths.escape(found[: _SHOWN + 1]))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
