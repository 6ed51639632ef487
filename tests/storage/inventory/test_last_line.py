from __future__ import annotations

from pathlib import Path

import pytest

from engine.columns import UNKNOWN_SIZE
from engine.cut import LastLine
from storage.inventory import InventoryMalformed, read_inventory


def last_line(tmp_path: Path, content: bytes, format_: str = "auto", **options: object) -> LastLine | None:
    file = tmp_path / "list"
    file.write_bytes(content)
    options = {"listed_at": 0, "root": b"/store", **options}
    counts = read_inventory(file, lambda _record: None, format=format_, **options)  # type: ignore[arg-type]
    found = counts.last_line
    assert found is None or found.source == str(file)
    return found


@pytest.mark.parametrize(
    "content", [b"/s/a\n/s/b\n", b"/s/a 1\n/s/b 2\n", b"path,size\n/s/a,1\n", b"/s/a\n# a comment", b"/s/a\n  ", b""]
)
def test_a_text_that_ends_has_none(tmp_path: Path, content: bytes) -> None:
    assert last_line(tmp_path, content) is None


def test_a_list_of_names(tmp_path: Path) -> None:
    found = last_line(tmp_path, b"/s/a\n\n/s//b")
    assert found is not None
    assert (found.line, found.path, found.begins, found.size) == (3, b"/s/b", b"/s/b", UNKNOWN_SIZE)


def test_a_size_at_the_end_may_be_a_part_of_a_name(tmp_path: Path) -> None:
    found = last_line(tmp_path, b"/s/a 1\n/s/run 5")
    assert found is not None
    assert (found.path, found.begins, found.size) == (b"/s/run", b"/s/run 5", 5)


def test_a_time_at_the_end_leaves_the_size_whole(tmp_path: Path) -> None:
    found = last_line(tmp_path, b"/s/a 1 100\n/s/b 5 10")
    assert found is not None
    assert (found.path, found.size, found.mtime) == (b"/s/b", UNKNOWN_SIZE, 10)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        (rb"/s/b\n", b"/s/b\n"),
        (rb"/s/b\x4", b"/s/b"),
        (rb"/s/b\u20", b"/s/b"),
        (b"/s/b\\", b"/s/b"),
        (rb"/s/b\\", b"/s/b\\"),
        (rb"/s/b\\\x", b"/s/b\\"),
    ],
)
def test_an_escape_that_may_be_cut_counts_only_if_it_is_whole(tmp_path: Path, text: bytes, begins: bytes) -> None:
    found = last_line(tmp_path, b"# names are escaped\n/s/a\n" + text)
    assert found is not None
    assert found.begins == begins


def test_urls_and_relative_names(tmp_path: Path) -> None:
    found = last_line(tmp_path, b"root://host//s/a\nroot://host//s/b")
    assert found is not None
    assert found.begins == b"/s/b"
    found = last_line(tmp_path, b"mc/a\nmc/b")
    assert found is not None
    assert found.begins == b"/store/mc/b"


@pytest.mark.parametrize("cut", [b"roo", b"root", b"root:", b"root:/", b"root://", b"root://ho", b"root://host/"])
def test_a_url_that_stops_before_its_path_is_refused(tmp_path: Path, cut: bytes) -> None:
    with pytest.raises(InventoryMalformed, match="line 3"):
        last_line(tmp_path, b"root://host//s/a\nroot://host//s/c\n" + cut)


@pytest.mark.parametrize("quote", [b"", b'"'])
def test_a_table_may_be_cut_in_its_last_column_only(tmp_path: Path, quote: bytes) -> None:
    sized = last_line(tmp_path, b"path,size\n%b/s/a%b,1\n/s/b,20" % (quote, quote))
    assert sized is not None
    assert (sized.line, sized.path, sized.begins, sized.size) == (3, b"/s/b", b"", 20)
    named = last_line(tmp_path, b"size,path\n1,%b/s/a%b\n20,/s/b" % (quote, quote))
    assert named is not None
    assert (named.path, named.begins, named.size) == (b"/s/b", b"/s/b", UNKNOWN_SIZE)


def test_a_site_may_be_cut(tmp_path: Path) -> None:
    table = b"path,site\n/s/a,T2_ONE\n/s/b,"
    ends = {end: last_line(tmp_path, table + end, site="T2_ONE") for end in (b"T2_O", b"", b"T2_TWO", b"T2_ONE")}
    assert [None if line is None else line.site for line in ends.values()] == [True, True, None, False]


@pytest.mark.parametrize("cut", [b"/s/b", b"/s/", b"/s/b 7"])
def test_a_line_with_fewer_fields_than_those_before_it_is_refused(tmp_path: Path, cut: bytes) -> None:
    with pytest.raises(InventoryMalformed, match="line 2"):
        last_line(tmp_path, b"/s/a 1 1700000000\n" + cut)
    with pytest.raises(InventoryMalformed, match="line 2"):
        last_line(tmp_path, b"/s/a 1 1700000000\n" + cut, "sizes")
    with pytest.raises(InventoryMalformed, match="line 3"):
        last_line(tmp_path, b"path,size,mtime\n/s/a,1,2\n" + cut)


def test_names_that_are_given_twice_are_told_of(tmp_path: Path) -> None:
    repeated = last_line(tmp_path, b"/s/a\n/s/b\n/s/a")
    once = last_line(tmp_path, b"/s/a\n/s/b\n/s/c")
    assert repeated is not None
    assert once is not None
    assert (repeated.repeated, once.repeated) == (True, False)
