"""Disks on which the kernel finds an error in the middle of a run, so that nothing can be written any more."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.program import eventually, wait_for
from tests.faults.large_site import assert_next_is_fine, assert_whole_page, count_findings, fill
from tests.faults.site import FaultySite

_SIZE = 16 << 20
"""Bytes of a disk."""


class FailingDisk:
    """An ext4 file system in a file, mounted at a directory."""

    def __init__(self, image: Path, directory: Path) -> None:
        self._image = image
        self.directory = directory
        directory.mkdir(parents=True)
        with image.open("wb") as file:
            file.truncate(_SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        self.mount()

    def mount(self) -> None:
        options = ["-o", "loop,errors=remount-ro"]
        subprocess.run(["mount", *options, self._image, self.directory], check=True, capture_output=True)

    def fail(self) -> None:
        """Have the kernel find an error, after which it lets nobody write, be the file open or not."""
        found = subprocess.run(
            ["findmnt", "-no", "SOURCE", self.directory], check=True, capture_output=True, text=True
        ).stdout.strip()
        Path("/sys/fs/ext4", os.path.basename(found), "trigger_fs_error").write_text("tried by a test")

    def repair(self) -> None:
        """Mount it anew, as after a look at it."""
        self.unmount()
        subprocess.run(["fsck.ext4", "-f", "-y", self._image], check=False, capture_output=True)
        self.mount()

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.directory], check=False, capture_output=True)


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[Callable[[str], FailingDisk]]:
    """Make disks that can fail, which only root may do, and only where there are loop devices."""
    disks: list[FailingDisk] = []

    def make(name: str) -> FailingDisk:
        if os.geteuid():
            pytest.skip("mounting a file system is not allowed here")
        try:
            disks.append(FailingDisk(tmp_path / f"disk{len(disks)}", tmp_path / name))
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("there are no loop devices here")
        return disks[-1]

    yield make
    for disk in disks:
        disk.unmount()


@pytest.mark.fault(
    "disks",
    "the disk of VarLocation, or of WebDir, fails in the middle of a listing and turns read-only",
    "one line that names the file; lists, history and page are those before; repaired, the next run is right",
)
@pytest.mark.parametrize("place", ["var", "www"])
def test_a_disk_that_fails(site: FaultySite, failing_disk: Callable[[str], FailingDisk], place: str) -> None:
    fill(site)
    disk = failing_disk(f"home/{place}")
    assert site.check().code == 0
    site.know("data/new/lost1.root")
    site.write_inventory()
    site.configure(InFlight=1, Connections=1)
    lists = {path.name: path.read_bytes() for path in site.web.glob("T2_FAULTY_*") if path.suffix != ".db"}
    findings = count_findings(site)
    process = site.start_check()
    eventually("begun to list", lambda: site.journal_size > 20_000, process)
    disk.fail()
    ended = wait_for(process)
    assert ended.code in (2, 4), ended
    (line,) = [line for line in ended.err.splitlines() if line.startswith("dynamo-consistency: ")]
    assert "Read-only file system" in line or "readonly" in line, line
    disk.repair()
    assert {name: (site.web / name).read_bytes() for name in lists} == lists
    assert count_findings(site) == findings
    assert_whole_page(site)
    assert_next_is_fine(site)
