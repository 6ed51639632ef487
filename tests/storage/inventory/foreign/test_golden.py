"""A sample of each format, as the programs write it that it comes from."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, UNSETTLED_MTIME
from storage.inventory import InventoryError
from storage.inventory.foreign.checksums import read_checksum
from tests.storage.inventory.foreign.reading import read, read_file

GOLDEN = Path(__file__).parent / "golden"
PATHS = [b"/site/mc/a/first.root", b"/site/mc/a/two words.root", b"/site/data/b/third.root"]
SIZES = [1000, 0, 12345678901]
NEW, OLD = 1767323045, 1700000000
TIMES = [NEW, NEW, OLD]
SUMS = [b"0a1b2c3d", b"00000001", b"deadbeef"]

FORMATS = {
    "paths": "paths",
    "csv": "csv",
    "pipe": "pipe",
    "pipe_spaced": "pipe",
    "ral": "ral",
    "rucio": "rucio",
    "rucio_header": "rucio",
    "dcache": "dcache",
    "syncat_dcache": "syncat",
    "syncat_dpm": "syncat",
    "eos_quoted": "eos",
    "eos_plain": "eos",
    "eos_lengths": "eos",
    "eos_json": "eos",
    "xrdfs": "xrdfs",
    "xrdfs_old": "xrdfs",
    "rclone": "rclone",
    "parquet": "parquet",
    "avro": "avro",
}
OTHER_TIMES = {
    "paths": [UNKNOWN_MTIME] * 3,
    # The end of the day, since no more is known.
    "ral": [1767398399, 1767398399, 1700006399],
    "rucio_header": [UNKNOWN_MTIME, UNSETTLED_MTIME, UNKNOWN_MTIME],
}
OTHER_SIZES = {"paths": [UNKNOWN_SIZE] * 3, "rucio_header": [1000, UNKNOWN_SIZE, 12345678901]}
OTHER_SUMS: dict[str, list[bytes | None]] = {
    **dict.fromkeys(("paths", "pipe_spaced", "ral", "eos_quoted", "xrdfs", "xrdfs_old"), [None] * 3),
    "pipe": [b"0a1b2c3d", b"00000001", None],
    "syncat_dcache": [b"0a1b2c3d", b"00000001", None],
    "syncat_dpm": [b"0a1b2c3d", None, b"deadbeef"],
}

WHOLE = {"syncat_dcache": 70, "syncat_dpm": 70, "rclone": 90, "eos_json": 90, "parquet": 4, "avro": 4}
"""Samples that have an end of their own, and how many bytes are enough to tell what they are."""

AVRO_HEAD = (GOLDEN / "avro").read_bytes().index(b"0123456789abcdef") + 16

zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

PACKS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}


def test_every_sample_is_tried() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(FORMATS)


@pytest.mark.parametrize("sample", FORMATS)
@pytest.mark.parametrize("chunk_size", [1 << 20, 50])
def test_a_sample_is_recognised_and_read(sample: str, chunk_size: int) -> None:
    found = read_file(GOLDEN / sample, root=b"/site", chunk_size=chunk_size)
    assert found.format == FORMATS[sample]
    assert [path for path, *_ in found.files] == PATHS
    assert [size for _, size, *_ in found.files] == OTHER_SIZES.get(sample, SIZES)
    assert [mtime for *_, mtime, _ in found.files] == OTHER_TIMES.get(sample, TIMES)
    sums = [None if (known := read_checksum(text)) is None else known[1] for *_, text in found.files]
    assert sums == OTHER_SUMS.get(sample, SUMS)
    assert found.misfits.count == 0


@pytest.mark.parametrize("sample", FORMATS)
@pytest.mark.parametrize("packing", PACKS)
def test_a_packed_sample_reads_the_same_whatever_its_name(sample: str, packing: str) -> None:
    content = (GOLDEN / sample).read_bytes()
    assert read(PACKS[packing](content), "dump.zip", root=b"/site").files == read(content, root=b"/site").files


@pytest.mark.parametrize("sample", FORMATS)
@pytest.mark.parametrize("packing", PACKS)
def test_a_packed_sample_that_was_cut_off_is_refused(sample: str, packing: str) -> None:
    packed = PACKS[packing]((GOLDEN / sample).read_bytes())
    for lost in (1, len(packed) // 2):
        with pytest.raises(InventoryError, match=f"the {packing} stream is cut off"):
            read(packed[:-lost], root=b"/site")


@pytest.mark.parametrize("sample", sorted({*FORMATS} - {"paths", "csv"} - {*WHOLE}))
def test_of_lines_that_were_cut_the_whole_ones_remain_or_nothing(sample: str) -> None:
    content = (GOLDEN / sample).read_bytes()
    whole = read(content, root=b"/site").files
    lines = content.splitlines(keepends=True)
    # With the beginning of one line nobody can tell what it is.
    for length in range(sum(map(len, lines[:3])), len(content)):
        part = content[:length]
        if part.endswith(b"\n"):
            found = read(part, root=b"/site").files
            assert found == whole[: len(found)]
            # A directory has a line of its own.
            assert len(found) >= len(whole) - (len(lines) - part.count(b"\n"))
        else:
            with pytest.raises(InventoryError, match="line "):
                read(part, root=b"/site")


@pytest.mark.parametrize("sample", WHOLE)
def test_what_is_no_lines_is_whole_or_refused(sample: str) -> None:
    content = (GOLDEN / sample).read_bytes()
    whole = read(content, root=b"/site").files
    for length in range(WHOLE[sample], len(content)):
        part = content[:length]
        if part.rstrip() == content.rstrip():
            assert read(part, root=b"/site").files == whole
        elif sample != "avro" or length != AVRO_HEAD:
            with pytest.raises(InventoryError):
                read(part, root=b"/site")


def test_of_an_avro_file_that_was_cut_between_two_blocks_the_whole_ones_remain() -> None:
    assert read((GOLDEN / "avro").read_bytes()[:AVRO_HEAD], root=b"/site").files == []
