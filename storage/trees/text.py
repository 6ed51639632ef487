"""A listing as text: one file a line, for people and for other programs.

The text form begins with a line that says that its names are escaped, so that our own reader gets the same names back,
and then names each directory that could not be listed: our reader refuses such a list, which a snapshot need not fear.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.table import DirectoryTable
from storage.atomic import AtomicFile
from storage.inventory.chunks import ESCAPED_MARK, UNLISTED_MARK
from storage.runs.reports import exact_path


def write_listing(table: DirectoryTable, output: Path, form: str) -> None:
    """Write every file of a table, in tree order: ``text`` is ``path size mtime``, ``jsonl`` one object a line.

    Raises:
        ReportError: the file cannot be written; what was there before stays.
    """
    with AtomicFile(output) as file:
        if form == "text":
            file.write(paths.decode(ESCAPED_MARK) + "\n")
            for path, reason, _ in table.unlisted():
                file.write(f"{paths.decode(UNLISTED_MARK)}{paths.escape(path)} ({reason.label})\n")
        for block in _blocks(table, form):
            file.write(block)


def _blocks(table: DirectoryTable, form: str) -> Iterator[str]:
    for row, path in enumerate(table.paths):
        if table.files[row]:
            yield "".join(_lines(path, table.load(row).rows(), form))


def _lines(directory: bytes, rows: list[tuple[bytes, int, int]], form: str) -> Iterator[str]:
    for name, size, mtime in rows:
        path = paths.join(directory, name)
        if form == "text":
            known_mtime = f" {mtime}" if mtime != UNKNOWN_MTIME else ""
            yield f"{paths.escape(path)} {size}{known_mtime}\n" if size != UNKNOWN_SIZE else f"{paths.escape(path)}\n"
        else:
            exact = exact_path(path)
            sizes = f', "size": {size}' if size != UNKNOWN_SIZE else ""
            times = f', "mtime": {mtime}' if mtime != UNKNOWN_MTIME else ""
            yield f"{exact}{sizes}{times}}}\n"
