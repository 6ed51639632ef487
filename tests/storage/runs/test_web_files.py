"""The lists of one site go to the web directory, each in one step, and those of no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.atomic import ReportError
from storage.runs.web_files import move_lists


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("work", "www"):
        (tmp_path / name).mkdir()
    return tmp_path / "work"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory on another file system."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def test_the_lists_of_a_site_are_moved(work: Path) -> None:
    web = work.parent / "www"
    names = ["T2_A_compare_missing.txt", "T2_A_compare_missing.jsonl", "T2_A_storage.json", "T2_A_unmerged.txt"]
    others = ["T2_A_B_compare_missing.txt", "T2_A_notes.txt", "T2_compare_missing.txt", "T2_A_compare_missing.txt.tmp"]
    for name in (*names, *others):
        (work / name).write_text(name)
    (web / "T2_A_compare_missing.txt").write_text("older")
    (web / "T2_A_compare_orphan.txt").write_text("of an earlier run")
    assert sorted(path.name for path in move_lists("T2_A", work, web)) == sorted(names)
    assert {name: (web / name).read_text() for name in names} == {name: name for name in names}
    assert sorted(path.name for path in work.iterdir()) == sorted(others)
    assert (web / "T2_A_compare_orphan.txt").read_text() == "of an earlier run"
    assert move_lists("T2_A", work, web) == []


def test_a_link_is_not_followed(work: Path) -> None:
    (work.parent / "private").write_text("private")
    (work / "T2_A_unmerged.txt").symlink_to(work.parent / "private")
    assert move_lists("T2_A", work, work.parent / "www") == []


def test_a_site_cannot_reach_out_of_the_directory(work: Path) -> None:
    (work.parent / "x_unmerged.txt").write_text("")
    assert move_lists("../x", work, work.parent / "www") == []


def test_another_file_system_gets_whole_files(work: Path, elsewhere: Path) -> None:
    assert os.stat(elsewhere).st_dev != os.stat(work).st_dev
    (work / "T2_A_unmerged.txt").write_text("content")
    assert move_lists("T2_A", work, elsewhere) == [elsewhere / "T2_A_unmerged.txt"]
    assert [file.name for file in elsewhere.iterdir()] == ["T2_A_unmerged.txt"]
    assert (elsewhere / "T2_A_unmerged.txt").read_text() == "content"
    assert list(work.iterdir()) == []


def test_what_is_in_the_way_is_named(work: Path) -> None:
    (work / "T2_A_unmerged.txt").write_text("")
    with pytest.raises(ReportError, match="No such file or directory") as caught:
        move_lists("T2_A", work, work.parent / "none")
    assert "T2_A_unmerged.txt" in str(caught.value)
    (work.parent / "www" / "T2_A_unmerged.txt").mkdir()
    with pytest.raises(ReportError, match="Is a directory"):
        move_lists("T2_A", work, work.parent / "www")
