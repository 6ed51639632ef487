"""A made-up site on a loopback XRootD server: 2,202 directories with 200,000 files, or fewer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import debian_program
from tests.servers.xrootd import XRootDServer

DATASETS = 200
BLOCKS_PER_DATASET = 10
FILES_PER_BLOCK = 100


@dataclass(frozen=True, slots=True)
class Site:
    """A running server: ``address`` is host and port, ``source`` what our commands take, ``path`` the top directory,
    ``store`` its place on the local disk, ``pid`` its process.
    """

    address: str
    path: str
    store: Path
    directories: int
    files: int
    pid: int = 0

    @property
    def source(self) -> str:
        """The URL of the top directory."""
        return f"root://{self.address}/{self.path}"


def make_tree(top: Path, datasets: int, files_per_block: int = FILES_PER_BLOCK) -> int:
    """Make datasets of 10 directories with sparse files each; give the number of directories, the top included."""
    for dataset in range(datasets):
        for block in range(BLOCKS_PER_DATASET):
            directory = top / "mc" / f"Sample-{dataset:05d}_TuneCP5_13TeV-pythia8" / f"{block:04d}"
            directory.mkdir(parents=True)
            for number in range(files_per_block):
                name = f"file-{dataset:05d}-{block:04d}-{number:06d}.root"
                handle = os.open(directory / name, os.O_CREAT | os.O_WRONLY)
                os.ftruncate(handle, 1_000_000 + number)
                os.close(handle)
    return 2 + datasets * (1 + BLOCKS_PER_DATASET)


@contextmanager
def running_site(quick: bool, files_per_block: int = FILES_PER_BLOCK, datasets: int = DATASETS) -> Iterator[Site]:
    """Serve such a tree for as long as the block lasts; a tenth of the ``datasets`` for a ``quick`` run.

    Raises:
        Unavailable: XRootD's server is not installed.
    """
    debian_program("xrootd", "xrootd-server")
    datasets = datasets // 10 if quick else datasets
    with XRootDServer() as server:
        directories = make_tree(server.store, datasets, files_per_block)
        address = server.url.removeprefix("root://").rstrip("/")
        files = datasets * BLOCKS_PER_DATASET * files_per_block
        yield Site(address, "/store", server.store, directories, files, server.pid)
