"""What several backends make of what they know: files by their sources, and blocks of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine import paths
from engine.datasets import dataset_of, is_cms_root
from storage.backends.protocols import InventoryRow, Transfers

BlockRow = tuple[str, str, str, int, int]
"""Group, dataset, block, files, bytes."""


_TAPE = ("_MSS", "_TAPE", "_BUFFER", "_EXPORT")
"""How the names of sites end, in capital letters, that are tape or in front of it."""


def is_tape(site: str) -> bool:
    """Tell by its name whether a site is tape."""
    return site.upper().endswith(_TAPE)


def sort_by_source(lfns: Sequence[str], copies: Mapping[str, Iterable[bool]]) -> Transfers:
    """Sort files by where their other copies are; each copy says whether it is on tape."""
    requested: list[str] = []
    no_disk: list[str] = []
    unrecoverable: list[str] = []
    for lfn in lfns:
        on_tape = list(copies.get(lfn, ()))
        if all(on_tape):
            no_disk.append(lfn)
        (requested if on_tape else unrecoverable).append(lfn)
    return Transfers(requested, no_disk, unrecoverable)


def sum_blocks(root: bytes, lfns: Iterable[str], known: Iterable[InventoryRow]) -> list[BlockRow]:
    """Give (group, dataset, block, files, bytes) of each block that files belong to, sorted.

    ``known`` has what an inventory says of them. Where that is no block, the directory stands for it, and the dataset
    is the one that a CMS name spells out, if it does. Sizes that are not known count nothing.
    """
    rows = {row.lfn: row for row in known}
    sums: dict[tuple[str, str, str], list[int]] = {}
    before = len(paths.decode(root)) - len("/store") if is_cms_root(root) else None
    for lfn in dict.fromkeys(lfns):
        row = rows.get(lfn) or InventoryRow(lfn)
        dataset = row.dataset or row.block.rpartition("#")[0]
        if not dataset and before is not None:
            dataset = dataset_of(lfn[before:])
        block = row.block or lfn.rpartition("/")[0] or "/"
        files_and_bytes = sums.setdefault((row.group, dataset, block), [0, 0])
        files_and_bytes[0] += 1
        files_and_bytes[1] += row.size or 0
    return [(*block, files, size) for block, (files, size) in sorted(sums.items())]
