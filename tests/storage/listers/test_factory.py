from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from engine.listing import Outcome, Present
from storage.listers import memory
from storage.listers.doors import SpreadLister
from storage.listers.factory import open_lister
from storage.listers.memory import MemoryLister, MemoryStore
from storage.listers.posix import PosixLister
from storage.listers.protocol import StoreSpec
from tests.storage.listers.asking import asking


def no_sink(_number: int, _outcome: Outcome) -> None:
    raise AssertionError


def test_the_scheme_of_the_door_decides(tmp_path: Path) -> None:
    store = MemoryStore()
    for door, kind in ((f"file://{tmp_path}", PosixLister), (memory.publish("here", store), MemoryLister)):
        lister = open_lister(StoreSpec((door,)), no_sink)
        assert isinstance(lister, kind)
        lister.close()


def test_several_doors_are_spread(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    doors = (f"file://{tmp_path}", f"file://localhost{tmp_path}")
    with asking(partial(open_lister, StoreSpec(doors))) as asker:
        assert isinstance(asker.lister, SpreadLister)
        assert [type(asker.stat(b"/file")) for _ in range(4)] == [Present] * 4
        assert asker.lister.requests == 4


@pytest.mark.parametrize("doors", [(), ("gopher://host",), ("host",), ("file://elsewhere/data",), ("memory://none",)])
def test_a_store_that_cannot_be_opened_is_refused(doors: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"door|host|store"):
        open_lister(StoreSpec(doors), no_sink)


def test_a_protocol_is_imported_only_when_it_is_needed(tmp_path: Path) -> None:
    program = f"""
import sys
from storage.listers.factory import open_lister
from storage.listers.protocol import StoreSpec
open_lister(StoreSpec(("file://{tmp_path}",)), print).close()
assert "storage.listers.posix" in sys.modules
assert not any(name.startswith(("pyxrootd", "XRootD", "storage.listers.xrootd")) for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_another_package_brings_a_lister(tmp_path: Path) -> None:
    (tmp_path / "their_lister.py").write_text(
        "from storage.listers.posix import PosixLister\n"
        "def open_it(door, sink, *, timeout, connections):\n"
        "    assert (door.host, timeout, connections) == ('host:7', 9.0, 3)\n"
        "    return PosixLister(door.__class__('file', '', '', door.prefix), sink, timeout)\n"
    )
    (tmp_path / "theirs-1.dist-info").mkdir()
    (tmp_path / "theirs-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (tmp_path / "theirs-1.dist-info" / "entry_points.txt").write_text(
        "[dynamo_consistency.listers]\nours = their_lister:open_it\n"
    )
    (tmp_path / "site.json").write_text(
        f'{{"Timeout": 9, "Connections": 3, "Sites": {{"T2_X": {{"Doors": ["ours://host:7{tmp_path}"]}}}}}}'
    )
    program = f"""
from functools import partial
from storage.config.loading import Config
from storage.listers.factory import open_lister
from storage.doors.source import site_source
from tests.storage.listers.asking import asking
spec = site_source(Config.load("{tmp_path}/site.json", {{}}).site("T2_X")).spec
with asking(partial(open_lister, spec)) as asker:
    print(b"their_lister.py" in asker.names(b"/").names)
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert done.stdout == b"True\n"
