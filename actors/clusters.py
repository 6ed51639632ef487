"""What is said of a run whose store was listed in parts, each on a data server of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.parts import count_notes
from storage.doors.source import StoreSource
from storage.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """How a store was listed whose doors hold a part of it each.

    ``servers`` is how many were listed; ``all_known`` whether these are all for sure, without which no file is called
    missing. ``on_several`` counts files that several have, ``sizes_differ`` those of them whose copies are not of one
    size.
    """

    servers: int
    all_known: bool
    on_several: int = 0
    sizes_differ: int = 0


def facts_of_cluster(store: StoreSource, listing: Path) -> ClusterFacts | None:
    """Sum up the listing of a store; None unless it was listed in parts.

    Raises:
        SnapshotError, OSError: the snapshot of the listing cannot be read.
    """
    spec = store.spec
    if not (spec.clustered or spec.open_ended):
        return None
    snapshot = Snapshot(listing)
    try:
        several, unlike = count_notes(snapshot.table.details.values())
    finally:
        snapshot.close()
    return ClusterFacts(len(spec.doors), not spec.open_ended, several, unlike)


def words_of_cluster(store: StoreSource, facts: ClusterFacts) -> str:
    """Say it, with the key to set where no file is called missing."""
    if not store.spec.clustered:
        return (
            "its only door may show a part of the store, so no file is called missing: set "
            f"Sites.{store.label}.Layout to shared if it shows the whole"
        )
    parts = [f"listed as a cluster of {facts.servers} data server{'' if facts.servers == 1 else 's'}"]
    if store.spec.hollow:
        parts.append(f"{', '.join(store.spec.hollow)} shows nothing, so no file is called missing")
    elif not facts.all_known:
        parts.append(f"perhaps not all, so no file is called missing: set Sites.{store.label}.DataServers")
    if facts.on_several:
        parts.append(f"{facts.on_several:,} on several servers")
    if facts.sizes_differ:
        parts.append(f"{facts.sizes_differ:,} with different sizes")
    return ", ".join(parts)
