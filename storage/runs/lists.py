"""The lists that stand in the web directory next to the reports of a run.

``SITE_storage.json`` says what is used, in the shape of WLCG's Storage Resource Reporting; the others are made for
people. ``docs/formats.md`` describes them. Each is there whole or not at all.

Raises:
    ReportError: a file cannot be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from engine import paths
from engine.usage import Usage
from storage.atomic import AtomicFile, write_json

_NO_DISK, _UNRECOVERABLE, _BLOCKS, _STORAGE = "missing_nosite", "unrecoverable", "missing_datasets", "storage"


class SiteLists:
    """Writes the lists of one site; ``base`` is how their names begin."""

    def __init__(self, directory: Path, base: str) -> None:
        self._directory = directory
        self._base = base

    def path(self, ending: str, suffix: str = "txt") -> Path:
        """Name a list."""
        return self._directory / f"{self._base}_{ending}.{suffix}"

    def write_sources(self, no_disk: Sequence[str], unrecoverable: Sequence[str]) -> None:
        """List the missing files without another copy on disk, and those without one on disk or tape."""
        self._write(_NO_DISK, [_line(lfn) for lfn in no_disk])
        self._write(_UNRECOVERABLE, [_line(lfn) for lfn in unrecoverable])

    def write_blocks(self, blocks: Iterable[tuple[str, str, str, int, int]]) -> None:
        """List (group, dataset, block, files, bytes) of the missing files, a row for each block."""
        rows: list[tuple[str | int, ...]] = [("group", "dataset", "block", "files", "bytes"), *blocks]
        self._write(_BLOCKS, ["\t".join(_cell(value) for value in row) + "\n" for row in rows])

    def write_storage(self, site: str, shares: Iterable[Usage], now: float) -> None:
        """Say what is used below each top directory; ``now`` in seconds since the epoch."""
        seconds = int(now)
        write_json(
            self.path(_STORAGE, "json"),
            {
                "storageservice": {
                    "name": site,
                    "implementation": "dynamo-consistency",
                    "latestupdate": seconds,
                    "storageshares": [_share(share, seconds) for share in shares],
                }
            },
        )

    def _write(self, ending: str, lines: Iterable[str]) -> None:
        path = self.path(ending)
        AtomicFile.clear_up(path)
        with AtomicFile(path) as file:
            file.write("".join(lines))


def _share(share: Usage, seconds: int) -> dict[str, Any]:
    path = paths.decode(share.path)
    # A listing does not see how much room there is, so what is there is all that can be said to be.
    return {
        "name": path,
        "path": [path],
        "timestamp": seconds,
        "totalsize": share.size,
        "usedsize": share.size,
        "numberoffiles": share.files,
        "unlisteddirectories": share.unlisted,
        "vos": [],
    }


def _line(lfn: str) -> str:
    return f"{paths.escape(paths.encode(lfn))}\n"


def _cell(value: str | int) -> str:
    return str(value) if isinstance(value, int) else paths.escape(paths.encode(value))
