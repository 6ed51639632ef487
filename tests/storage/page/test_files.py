import os
from pathlib import Path

import pytest

from storage.atomic import ReportError
from storage.page import files


def test_only_plain_files_that_are_whole_are_there(tmp_path: Path) -> None:
    (tmp_path / "T2_empty.txt").write_text("abc")
    (tmp_path / ".T2_empty.txt.12345678.tmp").touch()
    (tmp_path / "listing.snapshot.part").touch()
    (tmp_path / "T2.log").mkdir()
    os.symlink("/etc/passwd", tmp_path / "T2_unlisted.txt")
    os.mkfifo(tmp_path / "T2_unmerged.txt")
    assert files.present(tmp_path) == {"T2_empty.txt": 3}


def test_a_directory_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="nowhere"):
        files.present(tmp_path / "nowhere")


def test_lists_of_one_site_are_not_those_of_another() -> None:
    present = {"T2_A_empty.txt": 1, "T2_A_B_empty.txt": 2, "T2_A.log": 3}
    assert {key: found.name for key, found in files.lists_of("T2_A", present).items()} == {
        "empty": "T2_A_empty.txt",
        "log": "T2_A.log",
    }


def test_the_exact_form_is_known_when_it_is_there() -> None:
    present = {"T2_empty.txt": 1, "T2_empty.jsonl": 2, "T2_unlisted.txt": 3}
    found = files.lists_of("T2", present)
    assert (found["empty"].exact, found["unlisted"].exact) == ("T2_empty.jsonl", "")


def test_the_first_lines_of_a_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a\nb\nc\n")
    assert files.head_of(path, 5) == files.Head(("a", "b", "c"), True)
    assert files.head_of(path, 3) == files.Head(("a", "b", "c"), True)
    assert files.head_of(path, 2) == files.Head(("a", "b"), False)


def test_a_list_of_a_million_names_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with path.open("wb") as file:
        file.write(b"/store/mc/a.root\n" * 10)
        file.truncate(1 << 40)
    head = files.head_of(path, 20)
    assert head.lines == ("/store/mc/a.root",) * 10
    assert not head.whole


def test_a_line_without_an_end_is_not_shown_as_a_name(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"x" * (files.SAMPLE_BYTES + 5))
    assert files.head_of(path, 20) == files.Head((), False)


def test_a_list_that_is_gone_has_no_lines(tmp_path: Path) -> None:
    assert files.head_of(tmp_path / "gone.txt", 5) == files.Head()


def test_a_foreign_list_is_made_printable(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"a\x1b[31m\xff\r\n\\x41 stays\n")
    assert files.head_of(path, 5).lines == ("a\\x1b[31m\\xff\\r", "\\x41 stays")
