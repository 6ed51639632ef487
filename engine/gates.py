"""Safety gates: when the results of a run are not to be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine import paths
from engine.states import Reason, State
from engine.table import DirectoryTable

_NAMED = 3
"""So many top directories are named in a refusal."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A gate that closed: its name, and one line with the figures it closed on."""

    gate: str
    message: str


def root_refusal(failures: Sequence[tuple[bytes, Reason, str]]) -> Refusal:
    """Refuse a listing of which no top directory could be listed; ``failures`` are path, reason and detail of each."""
    words = [
        f"{paths.escape(path)}: {' '.join(detail.split()) or reason.label}"
        for path, reason, detail in failures[:_NAMED]
    ]
    return Refusal("root", f"no top directory could be listed ({'; '.join(words)})")


def listing_gate(remote: DirectoryTable, tops: Sequence[bytes], expected_files: int) -> Refusal | None:
    """Refuse a listing of which no top directory could be listed, or which is empty where the inventory is not.

    A store that is mounted empty after an outage looks exactly like one that lost everything.
    """
    failures = []
    for top in tops:
        row = remote.find(top)
        if row is not None and remote.states[row] == State.LISTED:
            break
        reason = Reason.NEVER_REACHED if row is None else remote.reason(row)
        failures.append((top, reason, "" if row is None else remote.details.get(row, "")))
    else:
        return root_refusal(failures)
    if expected_files and not remote.total_files():
        return Refusal("zero-files", f"the store lists 0 files where the inventory has {expected_files}")
    return None
