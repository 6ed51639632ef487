"""Brings the lists of a run from where they were written to the web directory."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from storage.atomic import claim, naming, sync_directory
from storage.runs.directory import directory_name

_ENDINGS = (
    *("compare_missing", "compare_orphan", "compare_size_mismatch", "compare_checksum_mismatch", "empty", "unlisted"),
    *("missing_datasets", "missing_nosite", "unrecoverable", "unmerged", "storage"),
)
_SUFFIXES = (".txt", ".jsonl", ".json")


def move_lists(site: str, work: Path, web_dir: Path) -> list[Path]:
    """Move the lists of a site that lie in ``work``; gives where they are now.

    Each takes the place of the one before in one step. What does not lie there stays as it is in ``web_dir``.

    Raises:
        ReportError: one cannot be moved.
    """
    base = directory_name(site)
    moved = []
    for ending in _ENDINGS:
        for suffix in _SUFFIXES:
            source = work / f"{base}_{ending}{suffix}"
            if source.is_file() and not source.is_symlink():
                moved.append(web_dir / source.name)
                with naming(moved[-1]):
                    _move(source, moved[-1])
    if moved:
        sync_directory(web_dir)
    return moved


def _move(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    # The web directory is another file system: there the copy gets its name once it is whole.
    temporary, copy = claim(target)
    try:
        with copy:
            with source.open("rb") as original:
                shutil.copyfileobj(original, copy)
            copy.flush()
            os.fsync(copy.fileno())
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    source.unlink()
