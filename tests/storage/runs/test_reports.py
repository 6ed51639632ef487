import base64
import json
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.findings import Finding, Kind
from engine.states import Reason
from storage.atomic import AtomicFile, ReportError
from storage.runs.reports import CHECKSUM_LAYOUT, QUICK_LAYOUT, ReportSet, take_up

RUN_FILES = [
    "S_compare_missing.jsonl",
    "S_compare_missing.txt",
    "S_compare_orphan.jsonl",
    "S_compare_orphan.txt",
    "S_compare_size_mismatch.jsonl",
    "S_compare_size_mismatch.txt",
    "S_empty.jsonl",
    "S_empty.txt",
    "S_unlisted.jsonl",
    "S_unlisted.txt",
]
HOSTILE = b'a\nb\t\'; DROP "TABLE" \\x \xff\xe2\x82'


def columns(*names: bytes, size: int = 7, mtime: int = 100) -> FileColumns:
    return FileColumns.from_rows((name, size, mtime) for name in names)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def objects(path: Path) -> list[Any]:
    return [json.loads(line) for line in read(path).split("\n")[:-1]]


def test_a_run_writes_lists_for_people_and_for_programs(tmp_path: Path) -> None:
    with ReportSet(tmp_path, "S") as reports:
        reports.add(
            [
                Finding(Kind.MISSING, b"/store/a", columns(b"gone", b"lost", size=3)),
                Finding(
                    Kind.SIZE_MISMATCH, b"/store/a", columns(b"cut", b"grown", size=9), array("q", [4, 10]).tobytes()
                ),
            ]
        )
        reports.add([Finding(Kind.ORPHAN, b"/store/b", columns(b"dark")), Finding(Kind.EMPTY, b"/store/e", mtime=5)])
        reports.add_unlisted([(b"/store/u", Reason.TIMEOUT, "after 30 s")])
        written = reports.commit()
    assert sorted(path.name for path in written) == names_in(tmp_path) == RUN_FILES
    assert read(tmp_path / "S_compare_missing.txt") == "/store/a/gone\n/store/a/lost\n"
    assert read(tmp_path / "S_compare_orphan.txt") == "/store/b/dark\n"
    assert read(tmp_path / "S_compare_size_mismatch.txt") == "/store/a/cut\t9\t4\n/store/a/grown\t9\t10\n"
    assert read(tmp_path / "S_empty.txt") == "/store/e\n"
    assert read(tmp_path / "S_unlisted.txt") == "/store/u\ttimeout\tafter 30 s\n"
    assert objects(tmp_path / "S_compare_missing.jsonl") == [
        {"path": "/store/a/gone", "size": 3, "mtime": 100},
        {"path": "/store/a/lost", "size": 3, "mtime": 100},
    ]
    assert objects(tmp_path / "S_compare_orphan.jsonl") == [{"path": "/store/b/dark", "size": 7, "mtime": 100}]
    assert objects(tmp_path / "S_compare_size_mismatch.jsonl") == [
        {"path": "/store/a/cut", "size": 9, "remote_size": 4, "mtime": 100},
        {"path": "/store/a/grown", "size": 9, "remote_size": 10, "mtime": 100},
    ]
    assert objects(tmp_path / "S_empty.jsonl") == [{"path": "/store/e", "mtime": 5}]
    assert objects(tmp_path / "S_unlisted.jsonl") == [{"path": "/store/u", "reason": "timeout", "detail": "after 30 s"}]


def test_a_quick_comparison_writes_three_lists(tmp_path: Path) -> None:
    with ReportSet(tmp_path, "mine.v1", QUICK_LAYOUT) as reports:
        reports.add([Finding(Kind.ORPHAN, b"/s", columns(b"x")), Finding(Kind.EMPTY, b"/e")])
        reports.add_unlisted([(b"/u", Reason.TIMEOUT, "")])
        written = reports.commit()
    assert [path.name for path in written] == [
        "mine.v1_missing.txt",
        "mine.v1_orphan.txt",
        "mine.v1_size_mismatch.txt",
    ]
    assert names_in(tmp_path) == sorted(path.name for path in written)
    assert read(tmp_path / "mine.v1_orphan.txt") == "/s/x\n"


def test_a_run_that_finds_nothing_replaces_old_lists_by_empty_ones(tmp_path: Path) -> None:
    (tmp_path / "S_compare_orphan.txt").write_text("/old\n")
    with ReportSet(tmp_path, "S") as reports:
        reports.commit()
    assert names_in(tmp_path) == RUN_FILES
    assert all(path.read_bytes() == b"" for path in tmp_path.iterdir())


def test_what_is_not_committed_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "S_compare_orphan.txt").write_text("/old\n")
    with ReportSet(tmp_path, "S") as reports:
        reports.add([Finding(Kind.ORPHAN, b"/s", columns(b"x"))])
        assert len(names_in(tmp_path)) > 1
    assert names_in(tmp_path) == ["S_compare_orphan.txt"]
    assert read(tmp_path / "S_compare_orphan.txt") == "/old\n"


def test_what_a_killed_process_left_is_removed_and_what_another_one_writes_is_not(tmp_path: Path) -> None:
    left = [tmp_path / f".S_{name}.0123abcd.tmp" for name in ("compare_orphan.txt", "empty.jsonl")]
    others = [tmp_path / ".Sx_empty.txt.0123abcd.tmp", tmp_path / ".S_empty.txt.new", tmp_path / "S_empty.txt"]
    for path in [*left, *others]:
        path.touch()
    with AtomicFile(tmp_path / "S_unlisted.txt") as written:
        written.write("line\n")
        written.finish()
        with ReportSet(tmp_path, "S"):
            assert [path.exists() for path in left] == [False, False]
            assert all(path.exists() for path in others)
    assert (tmp_path / "S_unlisted.txt").read_text() == "line\n"


def test_a_set_is_used_once(tmp_path: Path) -> None:
    with ReportSet(tmp_path, "S") as reports:
        reports.add([Finding(Kind.ORPHAN, b"/s", columns(b"x"))])
        reports.commit()
        with pytest.raises(AssertionError, match="after commit"):
            reports.commit()
    assert read(tmp_path / "S_compare_orphan.txt") == "/s/x\n"


def test_an_open_set_holds_no_files_until_there_are_findings(tmp_path: Path) -> None:
    with ReportSet(tmp_path, "S"):
        assert names_in(tmp_path) == []


def test_order_of_arrival_is_kept(tmp_path: Path) -> None:
    with ReportSet(tmp_path, "S") as reports:
        for directory in (b"/a", b"/a/c", b"/a-b", b"/"):
            reports.add([Finding(Kind.MISSING, directory, columns(b"2", b"1"))])
        reports.commit()
    assert read(tmp_path / "S_compare_missing.txt").split() == [
        "/a/1", "/a/2", "/a/c/1", "/a/c/2", "/a-b/1", "/a-b/2", "/1", "/2",
    ]  # fmt: skip


def _path(row: dict[str, Any]) -> bytes:
    exact: bytes = base64.b64decode(row["path_b64"]) if "path_b64" in row else row["path"].encode("utf-8")
    return exact


def test_hostile_names_stay_on_their_line_and_are_exact(tmp_path: Path) -> None:
    directory, name = b"/s/" + HOSTILE, HOSTILE
    full = directory + b"/" + name
    with ReportSet(tmp_path, "S") as reports:
        reports.add(
            [
                Finding(Kind.MISSING, directory, columns(name, b"plain")),
                Finding(Kind.SIZE_MISMATCH, directory, columns(name), array("q", [1]).tobytes()),
                Finding(Kind.EMPTY, directory),
            ]
        )
        reports.add_unlisted([(directory, Reason.SERVER, "two\nlines\tand \udcff \ud800")])
        reports.commit()
    lines = read(tmp_path / "S_compare_missing.txt").split("\n")
    assert [paths.unescape(line) for line in lines[:-1]] == [full, directory + b"/plain"]
    shown, size, remote = read(tmp_path / "S_compare_size_mismatch.txt").rstrip("\n").split("\t")
    assert (paths.unescape(shown), size, remote) == (full, "7", "1")
    assert paths.unescape(read(tmp_path / "S_empty.txt").rstrip("\n")) == directory
    shown, reason, detail = read(tmp_path / "S_unlisted.txt").rstrip("\n").split("\t")
    assert (paths.unescape(shown), reason) == (directory, "server error")
    assert detail == "two\\nlines\\tand \\\\udcff \\\\ud800"
    rows = objects(tmp_path / "S_compare_missing.jsonl")
    assert [_path(row) for row in rows] == [full, directory + b"/plain"]
    assert "\ufffd" in rows[0]["path"]
    (row,) = objects(tmp_path / "S_unlisted.jsonl")
    assert (_path(row), row["detail"]) == (directory, "two\nlines\tand \udcff \ud800")


def test_only_names_that_are_not_utf_8_get_base64(tmp_path: Path) -> None:
    with ReportSet(tmp_path, "S") as reports:
        reports.add([Finding(Kind.ORPHAN, b"/s", columns("grün\n".encode(), b"\xff"))])
        reports.commit()
    first, second = objects(tmp_path / "S_compare_orphan.jsonl")
    assert first == {"path": "/s/grün\n", "size": 7, "mtime": 100}
    assert second == {"path": "/s/\ufffd", "path_b64": base64.b64encode(b"/s/\xff").decode(), "size": 7, "mtime": 100}


NAMES = st.binary(min_size=1, max_size=6).filter(lambda name: not set(name) & {0, 0x2F})


def test_a_blank_at_the_end_of_any_name_is_seen(tmp_path: Path) -> None:
    with ReportSet(tmp_path, "S") as reports:
        reports.add([Finding(Kind.ORPHAN, b"/s", columns(b"a ", b"b", b"c "))])
        reports.commit()
    assert read(tmp_path / "S_compare_orphan.txt") == "/s/a\\x20\n/s/b\n/s/c\\x20\n"


@settings(deadline=None, max_examples=50)
@given(NAMES, st.sets(NAMES, min_size=1, max_size=5))
def test_any_names_are_read_back_from_both_forms(
    tmp_path_factory: pytest.TempPathFactory, directory: bytes, names: set[bytes]
) -> None:
    where = tmp_path_factory.mktemp("any")
    with ReportSet(where, "S") as reports:
        reports.add([Finding(Kind.ORPHAN, b"/" + directory, columns(*names))])
        reports.commit()
    expected = [b"/" + directory + b"/" + name for name in sorted(names)]
    text = read(where / "S_compare_orphan.txt")
    assert len(text.splitlines()) == len(names)
    assert [paths.unescape(line) for line in text.split("\n")[:-1]] == expected
    assert [_path(row) for row in objects(where / "S_compare_orphan.jsonl")] == expected


def test_unknown_sizes_and_times_are_null(tmp_path: Path) -> None:
    with ReportSet(tmp_path, "S") as reports:
        reports.add([Finding(Kind.ORPHAN, b"/s", columns(b"x", size=UNKNOWN_SIZE, mtime=UNKNOWN_MTIME))])
        reports.add([Finding(Kind.EMPTY, b"/e")])
        reports.commit()
    assert objects(tmp_path / "S_compare_orphan.jsonl") == [{"path": "/s/x", "size": None, "mtime": None}]
    assert objects(tmp_path / "S_empty.jsonl") == [{"path": "/e", "mtime": None}]


def test_a_directory_is_made(tmp_path: Path) -> None:
    ReportSet(tmp_path / "www" / "lists", "S")
    assert (tmp_path / "www" / "lists").is_dir()


def test_a_directory_that_cannot_be_written_is_named_before_anything_is_added(unwritable: Path) -> None:
    with pytest.raises(ReportError, match="Permission denied") as caught:
        ReportSet(unwritable, "S")
    assert str(caught.value).startswith(str(unwritable))
    assert "\n" not in str(caught.value)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReportError, match="Not a directory") as caught:
        ReportSet(tmp_path / "file" / "www", "S")
    assert str(tmp_path / "file" / "www") in str(caught.value)


def test_a_directory_in_the_place_of_a_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "S_empty.jsonl").mkdir()
    with pytest.raises(ReportError, match=r"S_empty\.jsonl: cannot be written: it is a directory"):
        ReportSet(tmp_path, "S")


@pytest.mark.parametrize("base", ["", "a/b", "../S", "a\0b"])
def test_a_base_that_is_no_file_name_is_refused(tmp_path: Path, base: str) -> None:
    with pytest.raises(ReportError, match="cannot begin the name of a report"):
        ReportSet(tmp_path, base)


def test_when_one_list_cannot_be_written_none_is_published(tmp_path: Path) -> None:
    where = tmp_path / "www"
    reports = ReportSet(where, "S")
    reports.add([Finding(Kind.ORPHAN, b"/s", columns(b"x"))])
    # The other lists are opened by the commit, and cannot be in a directory that is no longer under its name.
    where.rename(tmp_path / "moved")
    with pytest.raises(ReportError, match="No such file or directory"):
        reports.commit()
    assert [name for name in names_in(tmp_path / "moved") if not name.startswith(".")] == []


def test_an_object_is_on_one_line_for_every_program(tmp_path: Path) -> None:
    name = "next\x85line\u2028sep\u2029end".encode()
    with ReportSet(tmp_path, "S") as reports:
        reports.add([Finding(Kind.ORPHAN, b"/s", FileColumns.from_rows([(name, 1, 2)]))])
        reports.commit()
    (line,) = (tmp_path / "S_compare_orphan.jsonl").read_text().splitlines()
    assert json.loads(line)["path"].encode() == b"/s/" + name


def test_lists_that_could_not_all_get_their_names_are_taken_up_later(tmp_path: Path) -> None:
    with ReportSet(tmp_path, "S") as reports:
        reports.add([Finding(Kind.ORPHAN, b"/s", columns(b"x"))])
        prepared = reports.prepare()
        in_the_way = tmp_path / "S_compare_orphan.txt"
        in_the_way.mkdir()
        with pytest.raises(ReportError, match=r"S_compare_orphan\.txt: cannot be written"):
            reports.publish()
    assert (tmp_path / "S_compare_missing.txt").exists()
    assert not (tmp_path / "S_empty.txt").exists()
    with pytest.raises(ReportError, match=r"S_compare_orphan\.txt: cannot be written"):
        take_up(tmp_path, "S", prepared)
    in_the_way.rmdir()
    for _ in range(2):
        assert [path.name for path in take_up(tmp_path, "S", prepared) or ()] == [
            name for text in RUN_FILES[1::2] for name in (text, f"{text[:-4]}.jsonl")
        ]
    assert names_in(tmp_path) == RUN_FILES
    assert read(in_the_way) == "/s/x\n"


@pytest.mark.parametrize("becomes", ["gone", "another"])
def test_lists_that_are_not_those_that_were_prepared_are_not_taken_up(tmp_path: Path, becomes: str) -> None:
    with ReportSet(tmp_path, "S") as reports:
        reports.add([Finding(Kind.ORPHAN, b"/s", columns(b"x"))])
        prepared = reports.prepare()
        reports.publish()
    changed = tmp_path / "S_compare_orphan.txt"
    text = changed.read_text()
    changed.unlink()
    if becomes == "another":
        changed.write_text(text)
    assert take_up(tmp_path, "S", prepared) is None
    assert take_up(tmp_path, "S", {}) is None


def test_what_is_left_of_another_run_is_not_taken_up(tmp_path: Path) -> None:
    with ReportSet(tmp_path, "S") as reports:
        prepared = reports.prepare()
        reports.publish()
    left = tmp_path / ".S_compare_orphan.txt.01234567.tmp"
    left.write_text("/s/other\n")
    assert take_up(tmp_path, "S", prepared) is not None
    assert read(tmp_path / "S_compare_orphan.txt") == ""


def test_what_is_prepared_is_found_after_a_failure_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[int] = []
    monkeypatch.setattr(
        "storage.runs.reports.sync_directory", lambda directory: there.append(len(list(directory.glob(".*.tmp"))))
    )
    with ReportSet(tmp_path, "S") as reports:
        reports.prepare()
        assert there == [len(RUN_FILES)]


def test_checksums_have_a_list_where_they_are_compared(tmp_path: Path) -> None:
    pairs = (("adler32:00000001", "adler32:00000002"), ("md5:1", "md5:2"))
    with ReportSet(tmp_path, "S", CHECKSUM_LAYOUT) as reports:
        files = columns(HOSTILE, b"plain")
        reports.add([Finding(Kind.CHECKSUM_MISMATCH, b"/s", files, checksums=pairs)])
        prepared = reports.prepare()
        reports.publish()
    text = tmp_path / "S_compare_checksum_mismatch.txt"
    rows = [line.split("\t") for line in read(text).splitlines()]
    assert [tuple(sums) for _, *sums in rows] == list(pairs)
    assert [paths.unescape(path) for path, *_ in rows] == [b"/s/" + HOSTILE, b"/s/plain"]
    exact = [json.loads(line) for line in read(text.with_suffix(".jsonl")).splitlines()]
    assert [(row["checksum"], row["remote_checksum"]) for row in exact] == list(pairs)
    assert exact[1]["path"] == "/s/plain"
    # What a run that died has prepared is taken up with it.
    taken = take_up(tmp_path, "S", prepared)
    assert taken is not None
    assert text in taken
    text.unlink()
    assert take_up(tmp_path, "S", prepared) is None
