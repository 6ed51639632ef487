"""Safety gates: when the results of a run are not to be believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

from engine import paths
from engine.states import Reason, State
from engine.table import DirectoryTable

HOLLOW = "server-empty"
"""The name of the gate for a data server that shows nothing any more when its cluster was listed."""

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


def listing_gate(remote: DirectoryTable, inventory: DirectoryTable, tops: Sequence[bytes]) -> Refusal | None:
    """Refuse a listing of which no top directory could be listed, or which is empty where the inventory is not.

    A store that is mounted empty after an outage looks exactly like one that lost everything, and so does a part of it
    that has a mount of its own. ``tops`` may lie below one another.
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
    expected_files = inventory.total_files()
    if expected_files and not remote.total_files():
        said = f"the store lists 0 files where the inventory has {expected_files}"
        return Refusal("zero-files", said + _hiding(remote))
    return _empty_tops(remote, inventory, tops)


def _hiding(remote: DirectoryTable) -> str:
    """Say what may hide the files of a store that seems to have none; empty when all was listed."""
    first: dict[str, bytes] = {}
    counts: Counter[str] = Counter()
    for row in remote.rows_but(State.LISTED):
        reason = remote.reason(row)
        label = "ignored" if remote.states[row] == State.IGNORED else reason.label
        label += ", see MaxDepth" if reason == Reason.DEPTH else ""
        counts[label] += 1
        first.setdefault(label, remote.paths[row])
    words = [f"{count} {label} ({paths.escape(first[label])})" for label, count in counts.most_common(_NAMED)]
    return f"; directories that were not listed: {', '.join(words)}" if words else ""


def absent_tops(remote: DirectoryTable, inventory: DirectoryTable, tops: Sequence[bytes]) -> frozenset[bytes]:
    """Give the top directories that the store says are not there, and below which nothing should be.

    A site need not have every directory that the configuration names; such a one hides nothing from anybody.
    """
    absent = set()
    for top in dict.fromkeys(tops):
        row = remote.find(top)
        if row is None or remote.states[row] != State.FAILED or remote.reason(row) != Reason.NOT_FOUND:
            continue
        if not any(inventory.files[inventory.rows_under(top)]):
            absent.add(top)
    return frozenset(absent)


def failed_tops(remote: DirectoryTable, tops: Sequence[bytes], absent: frozenset[bytes]) -> tuple[bytes, ...]:
    """Give the top directories that were not listed, without those that are ``absent`` as they should be."""
    failed = []
    for top in dict.fromkeys(tops):
        row = remote.find(top)
        if top not in absent and (row is None or remote.states[row] not in (State.LISTED, State.IGNORED)):
            failed.append(top)
    return tuple(failed)


def hidden_files(remote: DirectoryTable, inventory: DirectoryTable) -> int:
    """Count the files of the inventory in and below directories that should have been listed and were not."""
    hidden = bytearray(len(inventory))
    for row in remote.rows_but(State.LISTED, State.IGNORED):
        below = inventory.rows_under(remote.paths[row])
        hidden[below] = b"\1" * (below.stop - below.start)
    return sum(compress(inventory.files, hidden))


def _empty_tops(remote: DirectoryTable, inventory: DirectoryTable, tops: Sequence[bytes]) -> Refusal | None:
    words = []
    blind = remote.blind_rows()
    for top in dict.fromkeys(tops):
        row = remote.find(top)
        if row is None or blind[row] >= 0 or any(remote.files[remote.rows_under(top)]):
            continue
        expected_files = _seen_files(remote, inventory, top)
        if expected_files:
            words.append(f"0 files below {paths.escape(top)} where the inventory has {expected_files}")
    if not words:
        return None
    more = [f"{len(words) - _NAMED} more"] if len(words) > _NAMED else []
    return Refusal("zero-files", f"the store lists {'; '.join(words[:_NAMED] + more)}")


def _seen_files(remote: DirectoryTable, inventory: DirectoryTable, top: bytes) -> int:
    """Count the inventory's files below a top, without those below what was not listed: these are not judged anyway."""
    seen = bytearray(b"\1") * len(inventory)
    here = remote.rows_under(top)
    for row in remote.rows_but(State.LISTED, first=here.start, last=here.stop):
        hidden = inventory.rows_under(remote.paths[row])
        seen[hidden] = bytes(hidden.stop - hidden.start)
    below = inventory.rows_under(top)
    return sum(compress(inventory.files[below], seen[below]))
