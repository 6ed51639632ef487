"""What a file is unpacked with, and what is wrong with files that cannot be."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.inventory import InventoryUnreadable
from storage.inventory.compression import read_blocks

Pack = Callable[[bytes], bytes]

CONTENT = bytes(random.Random(7).choices(b"/abc \n", k=400_000))
"""More than is read of a compressed file at once, whatever packs it."""

PACKS = pytest.mark.parametrize(
    ("name", "pack"), [("gzip", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)


def unpack(path: Path, size: int = 4096) -> bytes:
    blocks = list(read_blocks(str(path), "dump", size))
    assert all(0 < len(block) <= max(size, 6) for block in blocks)
    return b"".join(blocks)


def problem(path: Path) -> str:
    with pytest.raises(InventoryUnreadable) as caught:
        unpack(path)
    return str(caught.value)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return tmp_path / "dump.csv.zip"


@pytest.mark.parametrize("content", [b"", b"/", b"/a/b\n", CONTENT])
def test_plain(dump: Path, content: bytes) -> None:
    dump.write_bytes(content)
    assert unpack(dump) == content


@PACKS
@pytest.mark.parametrize("size", [7, 1 << 20])
def test_packed(dump: Path, name: str, pack: Pack, size: int) -> None:
    content = CONTENT if size > 7 else CONTENT[:1000]
    dump.write_bytes(pack(content))
    assert unpack(dump, size) == content


@PACKS
def test_streams_one_after_another(dump: Path, name: str, pack: Pack) -> None:
    dump.write_bytes(pack(b"one\n") + pack(b"") + pack(CONTENT) + bytes(300_000) + pack(b"two\n") + bytes(512))
    assert unpack(dump) == b"one\n" + CONTENT + b"two\n"


@PACKS
def test_a_stream_that_is_cut_off(dump: Path, name: str, pack: Pack) -> None:
    packed = pack(CONTENT)
    for length in (6, len(packed) // 2, len(packed) - 1):
        dump.write_bytes(packed[:length])
        assert problem(dump) == f"inventory dump: the {name} stream is cut off"


@PACKS
def test_a_stream_of_which_hardly_anything_is_left(dump: Path, name: str, pack: Pack) -> None:
    packed = pack(CONTENT)
    # The first letters of bz2 are text, as may stand in a list.
    for length in range(4 if name == "bz2" else 1, 6):
        dump.write_bytes(packed[:length])
        assert problem(dump).endswith("stream is cut off")


@pytest.mark.parametrize("magic", [b"\x04\x22\x4d\x18", b"\x1f\x9d\x90", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c"])
def test_what_is_packed_in_another_way_is_refused(dump: Path, magic: bytes) -> None:
    dump.write_bytes(magic + b"/a/b\n" * 10)
    assert re.fullmatch(
        "inventory dump: packed with .*, which is not read: unpack it, or pack it with .*", problem(dump)
    )


def test_zstd_may_begin_with_a_frame_that_is_skipped(dump: Path) -> None:
    skipped = b"\x5e\x2a\x4d\x18\x04\x00\x00\x00abcd"
    zstd = pytest.importorskip("backports.zstd" if sys.version_info < (3, 14) else "compression.zstd")
    dump.write_bytes(skipped + zstd.compress(b"one\n") + skipped + zstd.compress(b"two\n"))
    assert unpack(dump) == b"one\ntwo\n"


@PACKS
def test_a_stream_that_is_damaged(dump: Path, name: str, pack: Pack) -> None:
    packed = bytearray(pack(CONTENT))
    packed[len(packed) // 2] ^= 0xFF
    dump.write_bytes(packed)
    assert problem(dump).startswith(f"inventory dump: the {name} stream is damaged: ")


@PACKS
def test_something_behind_a_stream_is_not_passed_over(dump: Path, name: str, pack: Pack) -> None:
    dump.write_bytes(pack(b"/a/b\n") + b"/a/c\n" * 10)
    assert problem(dump).startswith(f"inventory dump: the {name} stream is damaged: ")


def test_zstd_without_a_module_for_it(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    dump.write_bytes(b"\x28\xb5\x2f\xfd\x00\x58\x29\x00\x00/a/b\n")
    assert problem(dump) == (
        "inventory dump: packed with zstd, for which this Python has no module: "
        "install backports.zstd, or unpack the file first"
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert problem(tmp_path / "none") == "inventory dump: No such file or directory"
    assert problem(tmp_path) == "inventory dump: Is a directory"
    assert problem(tmp_path / "none" / "below") == "inventory dump: No such file or directory"


def test_no_permission(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(b"/a/b\n")
    dump.chmod(0)
    tmp_path.chmod(0o711)
    # Root reads everything, so somebody else tries.
    script = (
        "import os, sys\n"
        "from storage.inventory.compression import read_blocks\n"
        "os.chdir(sys.argv[1])\n"
        "os.geteuid() or os.seteuid(65534)\n"
        "try:\n"
        "    list(read_blocks('dump', 'dump', 10))\n"
        "except Exception as error:\n"
        "    print(f'{type(error).__name__}: {error}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "InventoryUnreadable: inventory dump: Permission denied\n"


@pytest.mark.parametrize("content", [CONTENT, gzip.compress(CONTENT)], ids=["plain", "packed"])
@pytest.mark.parametrize("change", ["more", "rewritten", "touched"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, content: bytes, change: str) -> None:
    file = tmp_path / "dump"
    file.write_bytes(content)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    blocks = read_blocks(str(file), "dump", 4096)
    next(blocks)
    if change == "more":
        with file.open("ab") as appended:
            appended.write(b"/more\n" if content is CONTENT else gzip.compress(b"/more\n"))
    elif change == "rewritten":
        file.write_bytes(content)
    else:
        os.utime(file)
    with pytest.raises(InventoryUnreadable, match="it changed while it was read"):
        list(blocks)


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    file, new = tmp_path / "dump", tmp_path / "new"
    file.write_bytes(CONTENT)
    new.write_bytes(b"/other\n")
    blocks = read_blocks(str(file), "dump", 4096)
    first = next(blocks)
    new.rename(file)
    assert first + b"".join(blocks) == CONTENT
