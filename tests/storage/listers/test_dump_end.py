from __future__ import annotations

import random

import pytest

from engine import paths
from storage.inventory.entries import Rows
from storage.listers.dump_end import EndOfLines, LastInOrder

FILES = [
    (b"/s" + directory, b"f%d" % number) for directory in (b"", b"/a", b"/a/b", b"/a-b", b"/c") for number in range(4)
]


def by_path(file: tuple[bytes, bytes]) -> bytes:
    return b"/".join(file)


def by_tree(file: tuple[bytes, bytes]) -> tuple[list[bytes], bytes]:
    return file[0].split(b"/"), file[1]


def end_of(files: list[tuple[bytes, bytes]], size: int = 3) -> LastInOrder | None:
    end = EndOfLines()
    for start in range(0, len(files), size):
        chunk = files[start : start + size]
        end.see(Rows([directory for directory, _ in chunk], [name for _, name in chunk]))
    return LastInOrder.of_extra(end.as_extra())


@pytest.mark.parametrize(("order", "key"), [("path", by_path), ("tree", by_tree)])
@pytest.mark.parametrize("kept", range(10, len(FILES) + 1))
def test_what_a_cut_took_is_hidden_and_nothing_before_it(order: str, key: object, kept: int) -> None:
    files = sorted(FILES, key=key)  # type: ignore[arg-type]
    last = end_of(files[:kept])
    assert last is not None
    assert last.path == by_path(files[kept - 1])
    hidden = {by_path(file) for file in files if last.hides_file(by_path(file))}
    if last.order == order:
        assert hidden == {by_path(file) for file in files[kept:]}
    directories = {directory for directory, _ in FILES}
    assert {paths.parent_of(path) for path in hidden} <= {path for path in directories if last.hides_in(path)}


def test_lines_in_no_order_say_nothing() -> None:
    files = sorted(FILES)
    random.Random(3).shuffle(files)
    assert end_of(files) is None
    assert end_of([*sorted(FILES, key=by_path), FILES[0]]) is None


def test_a_path_that_comes_twice_is_in_order() -> None:
    files = sorted([*FILES, *FILES], key=by_path)
    assert end_of(files) == LastInOrder("path", b"/s/f3")


def test_a_few_lines_are_in_order_by_chance() -> None:
    assert end_of(sorted(FILES, key=by_path)[:9]) is None


@pytest.mark.parametrize("extra", [{}, {"order": "size", "last": b"/a"}, {"order": "path", "last": 5}, {"order": []}])
def test_what_another_program_wrote_says_nothing(extra: dict[str, object]) -> None:
    assert LastInOrder.of_extra(extra) is None
