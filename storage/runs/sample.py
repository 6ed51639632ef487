"""What the comparison of checksums remembers from run to run, in the directory of the site's runs.

A file that cannot be read is begun anew, with a warning: then files are compared again sooner than they have to be.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from engine import paths
from engine.checksums.digest import WIDTHS, Checksum
from engine.checksums.settling import ChecksumMismatch, SampleState
from engine.checksums.share import RING, Place
from storage.atomic import write_json

_log = logging.getLogger(__name__)

FORMAT, VERSION = "dynamo-consistency checksums", 1


def read_sample(file: Path, site: str) -> SampleState:
    """Read what is remembered; the beginning where there is nothing, or nothing that can be read."""
    try:
        value = json.loads(file.read_text())
        if (value["format"], value["version"]) != (FORMAT, VERSION):
            raise ValueError(f"it is no such file of version {VERSION}")
        place = Place(int(value["place"]), paths.unescape(value["path"]))
        if not 0 <= place.number < RING:
            raise ValueError("a place that is none")
        owed = {paths.unescape(path): int(tries) for path, tries in value["owed"]}
        return SampleState(place, owed, tuple(map(_mismatch, value["mismatches"])))
    except FileNotFoundError:
        return SampleState()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        _log.warning("%s: which checksums were compared is not known any more: %s: %s", site, file, error)
        return SampleState()


def write_sample(file: Path, state: SampleState) -> None:
    """Write it, whole or not at all.

    Raises:
        ReportError: it cannot be written.
    """
    value = {
        "format": FORMAT,
        "version": VERSION,
        "place": state.place.number,
        "path": paths.escape(state.place.path),
        "owed": [[paths.escape(path), tries] for path, tries in state.owed.items()],
        "mismatches": [
            {
                "path": paths.escape(mismatch.path),
                "size": mismatch.size,
                "mtime": mismatch.mtime,
                "checksum": str(mismatch.expected),
                "remote_checksum": str(mismatch.found),
                "confirmed": mismatch.confirmed,
            }
            for mismatch in state.known
        ],
    }
    write_json(file, value)


def _mismatch(value: dict[str, Any]) -> ChecksumMismatch:
    return ChecksumMismatch(
        paths.unescape(value["path"]),
        int(value["size"]),
        int(value["mtime"]),
        _checksum(value["checksum"]),
        _checksum(value["remote_checksum"]),
        float(value["confirmed"]),
    )


def _checksum(text: str) -> Checksum:
    algorithm, _, digits = text.partition(":")
    if len(digits) != WIDTHS.get(algorithm):
        raise ValueError("a checksum that is none")
    return Checksum(algorithm, digits)
