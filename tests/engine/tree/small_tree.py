"""A small tree at a time that stands still, for tests of `DirectoryInfo`."""

from __future__ import annotations

import pytest

from engine.tree import DirectoryInfo

DAY = 86400
NOW = 1_000 * DAY
OLD = NOW - 30 * DAY
YOUNG = NOW - 60

FILES = [
    ("/store/data/runA/a.root", 10, OLD),
    ("/store/data/runA/b.root", 20, OLD),
    ("/store/data/runB/c.root", 30, OLD),
    ("/store/mc/ttbar/0000/d.root", 40, OLD),
]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DirectoryInfo, "clock", staticmethod(lambda: float(NOW)))


def store(*files: tuple[object, ...]) -> DirectoryInfo:
    tree = DirectoryInfo("/store")
    tree.add_file_list(files or FILES)
    return tree


def node(tree: DirectoryInfo, path: str) -> DirectoryInfo:
    found = tree.get_node(path, make_new=False)
    assert found is not None
    return found


def empty(tree: DirectoryInfo, path: str, mtime: float | None = OLD) -> DirectoryInfo:
    made = tree.get_node(path)
    assert made is not None
    made.files = []
    made.mtime = mtime
    return made
