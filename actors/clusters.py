"""What is said of a run whose store was listed in parts, each on a data server of a cluster."""

from __future__ import annotations

from pathlib import Path

from engine.parts import count_notes
from storage.listers.protocol import StoreSpec
from storage.snapshot import Snapshot


def of_cluster(spec: StoreSpec, listing: Path) -> str:
    """Say how many data servers were listed and how many files several of them have; empty where there is no cluster.

    Raises:
        SnapshotError, OSError: the snapshot of the listing cannot be read.
    """
    if not spec.clustered:
        return ""
    snapshot = Snapshot(listing)
    try:
        several, unlike = count_notes(snapshot.table.details.values())
    finally:
        snapshot.close()
    count = len(spec.doors)
    parts = [f"listed as a cluster of {count} data server{'' if count == 1 else 's'}"]
    if spec.open_ended:
        parts.append("perhaps not all, so no file is called missing")
    if several:
        parts.append(f"{several:,} on several servers")
    if unlike:
        parts.append(f"{unlike:,} with different sizes")
    return ", ".join(parts)
