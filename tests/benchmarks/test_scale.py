"""What a comparison of very large sites needs is known before it starts, and said where it is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import scale, scale_sites
from benchmarks.measure import Broken, Unavailable
from benchmarks.scale import SIZES, SMALL, Needs
from engine.compare import CompareOptions, Tally, compare
from engine.findings import Kind
from storage.snapshot import Snapshot

GB = 1e9


def test_needs_grow_with_the_files_and_not_with_the_program() -> None:
    small, larger = Needs(0.01 * GB, 0.030 * GB, 1.0), Needs(0.10 * GB, 0.039 * GB, 10.0)
    expected = Needs.expected(SMALL[0] + 10 * (SMALL[1] - SMALL[0]), small, larger)
    assert expected.disk == pytest.approx(0.91 * GB)
    assert expected.memory == pytest.approx(0.12 * GB)
    assert expected.seconds == pytest.approx(91.0)
    assert Needs.expected(SMALL[0] // 2, small, larger) == small


def test_what_a_machine_lacks_is_named() -> None:
    needs = Needs(10 * GB, 2 * GB, 300.0)
    assert needs.lacking(disk=12 * GB, memory=3 * GB) == ""
    assert needs.lacking(disk=10.5 * GB, memory=3 * GB) == "11.0 GB of disk, and 10.5 GB are free"
    assert needs.lacking(disk=1 * GB, memory=1 * GB) == (
        "11.0 GB of disk, and 1.0 GB are free; it needs 3.0 GB of memory, and 1.0 GB are free"
    )


def test_a_machine_that_is_too_small_is_told_so_before_anything_large(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(files: int) -> Needs:
        return Needs(files * 1e9, files * 1e9, 1.0)

    def one(files: int) -> None:
        raise AssertionError(f"{files} were begun")

    monkeypatch.setattr(Needs, "measured", measured)
    monkeypatch.setattr(scale, "one", one)
    monkeypatch.setattr(sys, "argv", ["scale"])
    with pytest.raises(Unavailable, match=r"^1M files a side do not fit: it needs .* GB of disk, and .* are free"):
        scale.run_sizes(SIZES)
    assert scale.main() == 2
    assert "set TMPDIR to a larger disk, or use python -m benchmarks.scale --most FILES" in capsys.readouterr().err


def test_the_sides_differ_in_one_directory_of_a_hundred(tmp_path: Path) -> None:
    scale_sites.write_sides(tmp_path, 201)
    inventory, remote = (Snapshot(tmp_path / f"{side}.snap") for side in scale_sites.SIDES)
    assert inventory.table.total_files() == remote.table.total_files() == 20_100
    inventory.verify()
    remote.verify()
    found = list(compare(inventory.table, remote.table, CompareOptions(), Tally()))
    assert [(finding.kind, len(finding)) for finding in found] == [(Kind.MISSING, 1), (Kind.ORPHAN, 1)] * 3


def test_other_differences_than_there_are_break_the_benchmark(tmp_path: Path) -> None:
    for name in ("missing", "orphan"):
        (tmp_path / f"ours_{name}.txt").write_text("/a\n/b\n/c\n")
    scale.check(tmp_path, 20_100)
    (tmp_path / "ours_orphan.txt").write_text("/a\n/b\n")
    with pytest.raises(Broken, match=r"0\.0201M: 2 orphan files were found, and there are 3"):
        scale.check(tmp_path, 20_100)
