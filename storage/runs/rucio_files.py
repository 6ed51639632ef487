"""The files that programs around Rucio read: those of the consistency scanner, and results of Rucio's auditor.

Both are lines of plain text with no way to write every name, and are read by programs that would end, or take a part
for the whole, at one that is not what they expect. Such names are left out and counted. ``docs/formats.md`` has the
formats, and says which versions were read.

Raises:
    ReportError: a file cannot be written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.atomic import AtomicFile, naming, write_json
from storage.shown import printable

_log = logging.getLogger(__name__)

_NOT_IN_CSV = (",", '"')


@dataclass(frozen=True, slots=True)
class ScannedTop:
    """A top directory: its LFN, and what was listed in and below it; ``failed`` has the reasons by directory."""

    path: str
    files: int
    directories: int
    size: int
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ScannedRun:
    """A run as it is told; ``started`` and ``ended`` are in seconds since the epoch."""

    rse: str
    scope: str
    started: float
    ended: float
    server: str
    tops: Sequence[ScannedTop]
    inventory_files: int
    version: str


class ScannerFiles:
    """Writes ``RSE_DATE_D.list``, ``RSE_DATE_M.list`` and, last of all, ``RSE_DATE_stats.json``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, run: ScannedRun, dark: Iterable[bytes], missing: Iterable[bytes]) -> list[Path]:
        """Write the files of a run; ``dark`` and ``missing`` are LFNs. Gives their paths."""
        date = time.strftime("%Y_%m_%d_%H_%M", time.gmtime(run.started))
        lists = {
            kind: self._directory / f"{run.rse}_{date}_{letter}.list"
            for kind, letter in (("dark", "D"), ("missing", "M"))
        }
        with naming(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
        counts = {}
        for kind, lfns in (("dark", dark), ("missing", missing)):
            counts[kind] = _write_lines(lists[kind], sorted(lfns), b"", _NOT_IN_CSV, run.rse)
        stats = self._directory / f"{run.rse}_{date}_stats.json"
        # Whoever looks for runs looks for this one.
        write_json(stats, _stats(run, date, counts, {kind: path.name for kind, path in lists.items()}))
        return [*lists.values(), stats]


def _stats(run: ScannedRun, date: str, counts: dict[str, int], files: dict[str, str]) -> dict[str, Any]:
    elapsed = run.ended - run.started
    section = {
        "version": run.version,
        "status": "done",
        "start_time": run.started,
        "end_time": run.ended,
        "elapsed": elapsed,
    }
    return {
        "driver_version": run.version,
        "run": date,
        "scope": run.scope,
        "rse": run.rse,
        "disabled": False,
        "start_time": run.started,
        "end_time": run.ended,
        "elapsed_time": elapsed,
        "dbdump_before": {**section, "rse": run.rse, "files": run.inventory_files},
        "scanner": {
            **section,
            "rse": run.rse,
            "scanner": {"type": "dynamo-consistency", "version": run.version},
            "server": run.server,
            "total_files": sum(top.files for top in run.tops),
            "roots": [
                {
                    "root": top.path,
                    "root_failed": False,
                    "error": None,
                    "files": top.files,
                    "directories": top.directories,
                    "total_size_gb": top.size / 1e9,
                    "failed_subdirectories": dict(top.failed),
                    "start_time": run.started,
                    "end_time": run.ended,
                    "elapsed_time": elapsed,
                }
                for top in run.tops
            ],
        },
        "cmp3": {
            **section,
            "missing": counts["missing"],
            "dark": counts["dark"],
            "expected_files": run.inventory_files,
            "missing_list_file": files["missing"],
            "dark_list_file": files["dark"],
        },
    }


class AuditorResults:
    """Writes ``RSE_YYYYMMDD``: a line ``DARK,path`` or ``LOST,path`` for each file, sorted by path."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(
        self, rse: str, listed: float, prefix: bytes, dark: Iterable[bytes], lost: Iterable[bytes]
    ) -> Path | None:
        """Write what was found by a listing that began at ``listed``, seconds since the epoch; paths below ``prefix``.

        Results of a day that somebody has packed already, as the auditor does when it has acted, are left as they are;
        gives None then.
        """
        path = self._directory / f"{rse}_{time.strftime('%Y%m%d', time.gmtime(listed))}"
        packed = path.with_name(f"{path.name}.bz2")
        with naming(path):
            self._directory.mkdir(parents=True, exist_ok=True)
            if packed.exists():
                _log.info("%s: there are results of this day already, which were acted on: %s", rse, packed)
                return None
        below = prefix.rstrip(b"/") + b"/"
        labelled = [
            (lfn[len(below) :], label)
            for label, lfns in (("DARK", dark), ("LOST", lost))
            for lfn in lfns
            if lfn.startswith(below)
        ]
        labelled.sort()
        _write_lines(path, [name for name, _ in labelled], b"", (), rse, [label for _, label in labelled])
        return path


def _write_lines(
    path: Path, names: Sequence[bytes], before: bytes, forbidden: Sequence[str], rse: str, labels: Sequence[str] = ()
) -> int:
    written = left = 0
    AtomicFile.clear_up(path)
    with AtomicFile(path) as file:
        for at, name in enumerate(names):
            text = _text(before + name, forbidden)
            if text is None:
                left += 1
                continue
            file.write(f"{labels[at]},{text}\n" if labels else f"{text}\n")
            written += 1
    if left:
        _log.warning("%s: %d names are not in %s, whose readers could not read them", rse, left, printable(path.name))
    return written


def _text(name: bytes, forbidden: Sequence[str]) -> str | None:
    """Give a name as text, None when a reader of lines would take it for something else."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return None
    plain = text.isprintable() and text == text.strip() and not any(part in text for part in forbidden)
    return text if plain else None
