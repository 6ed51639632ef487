"""Trees that are made up, on a real server: what is listed is what is on the disk, and what the other lister says."""

from __future__ import annotations

import contextlib
import os
import random
import stat
from collections.abc import Iterator
from functools import partial

import pytest

from engine.columns import DirectoryColumns, FileColumns
from engine.listing import Failed, Listed, Outcome
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.wire.lister import WireLister
from storage.listers.xrootd import XRootDLister
from tests.servers.fixtures import ServedDirectory
from tests.storage.listers.asking import asking

_PIECES = [
    b"a",
    b" ",
    b"\t",
    b"\r",
    b"%41",
    b"+",
    b"#",
    b"&",
    b";",
    b"\\",
    b"-",
    b"'",
    b"1 2 48 3",
    "\u00e9\u4e2d".encode(),
]
_BEYOND = [b"\xff", b"\xc3", b"\x80"]


def _name(dice: random.Random, is_text: bool) -> bytes:
    if not dice.randrange(20):
        return dice.choice(b"nm").to_bytes(1, "big") * dice.choice((253, 254))
    pieces = _PIECES if is_text else _PIECES + _BEYOND
    return b"".join(dice.choices(pieces, k=dice.randint(1, 9))) + b"%d" % dice.randrange(1000)


def _fill(dice: random.Random, at: bytes, depth: int) -> None:
    is_text = bool(dice.randrange(4))
    count = 5000 if depth == 0 else dice.choice((0, 0, 1, 7, 40))
    for number in range(count):
        path = at + b"/" + (_name(dice, is_text) if depth or number % 9 == 0 else b"file %d" % number)
        kind = dice.randrange(20) if depth or number % 100 == 0 else 9
        with contextlib.suppress(FileExistsError):
            if kind < 4 and depth < 5:
                os.mkdir(path)
                _fill(dice, path, depth + 1)
            elif kind == 4:
                os.mkfifo(path)
            elif kind == 5:
                os.symlink(dice.choice((b".", b"/etc/hostname")), path)
            else:
                with open(path, "xb") as file:
                    file.truncate(dice.choice((0, 1, 2**33)))
                os.utime(path, (0, dice.choice((-5, 0, 1_600_000_000, 2**32))))
                os.chmod(path, dice.choice((0o000, 0o644, 0o755)))


def _there(at: bytes) -> Listed:
    """Say what a listing of a directory has to be."""
    files: list[tuple[bytes, int, int]] = []
    directories: list[tuple[bytes, int]] = []
    others = False
    for name in os.listdir(at):
        found = os.stat(at + b"/" + name)
        if stat.S_ISDIR(found.st_mode):
            directories.append((name, int(found.st_mtime)))
        elif stat.S_ISREG(found.st_mode):
            files.append((name, found.st_size, int(found.st_mtime)))
        else:
            others = True
    return Listed(FileColumns.from_rows(files), DirectoryColumns.from_rows(directories), others=others)


def _walk(at: bytes) -> Iterator[bytes]:
    for where, _, _ in os.walk(at):
        yield where


def _is_text(at: bytes) -> bool:
    """Tell whether the bindings can say all names in a directory, and its own; others are listed by another program."""
    try:
        for name in (at, *os.listdir(at)):
            name.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_a_tree_is_what_it_is(xrootd_directory: ServedDirectory, seed: int) -> None:
    root = os.fsencode(xrootd_directory.path)
    _fill(random.Random(seed), root, 0)
    inside = [at for at in _walk(root) if len(at) < 2000]
    expected = [_there(at) for at in inside]
    paths = [xrootd_directory.lfn + at.removeprefix(root) for at in inside]
    door = Door.parse(xrootd_directory.url)
    with asking(partial(WireLister, door, timeout=20, with_ids=False)) as asker:
        found: list[Outcome] = [asker.list(path) for path in paths]
    assert found == expected
    assert len(found) > 5
    with asking(partial(XRootDLister, door, timeout=20, with_ids=False)) as asker:
        for at, path, ours in zip(inside, paths, found, strict=True):
            if _is_text(at):
                assert asker.list(path) == ours


@pytest.mark.parametrize("name", [b"\n", b"a\n", b"\na", b"\n\n", b"a\n\nb", b"a\n0 0 0 0"])
def test_a_newline_never_makes_a_directory_look_empty(xrootd_directory: ServedDirectory, name: bytes) -> None:
    (xrootd_directory.path / os.fsdecode(name)).touch()
    with asking(partial(WireLister, Door.parse(xrootd_directory.url), timeout=20)) as asker:
        listed = asker.list(xrootd_directory.lfn)
        assert isinstance(listed, Failed), listed
        assert listed.reason in (Reason.BAD_NAME, Reason.PARTIAL)
        names = asker.names(xrootd_directory.lfn)
    # A newline at an end leaves an empty name; elsewhere it separates two names that are not there.
    if name.startswith(b"\n") or name.endswith(b"\n") or b"\n\n" in name:
        assert isinstance(names, Failed), names
        assert names.reason == Reason.BAD_NAME
