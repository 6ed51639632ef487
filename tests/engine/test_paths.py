import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import paths

names = st.binary(min_size=1, max_size=6).map(lambda b: b.replace(b"/", b"s").replace(b"\0", b"0"))
proper_names = names.filter(lambda name: name not in (b".", b".."))
canonical_paths = st.lists(proper_names, max_size=5).map(lambda parts: b"/" + b"/".join(parts))


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        (b"/", b"/"),
        (b"///", b"/"),
        (b"/store/mc", b"/store/mc"),
        (b"//store///mc//", b"/store/mc"),
        (b"store/mc/", b"store/mc"),
        (b"/a/...", b"/a/..."),
        (b"/a/.hidden", b"/a/.hidden"),
        (b"/a b/\xff\n", b"/a b/\xff\n"),
    ],
)
def test_a_path_has_one_canonical_form(path: bytes, canonical: bytes) -> None:
    assert paths.canonical(path) == canonical


@pytest.mark.parametrize("path", [b"", b"/a\0b", b"/a/./b", b"/a/..", b"..", b"/a/../b", b"//./"])
def test_a_path_that_may_point_elsewhere_is_refused(path: bytes) -> None:
    with pytest.raises(ValueError, match="path"):
        paths.canonical(path)


@given(canonical_paths)
def test_canonical_changes_nothing_twice(path: bytes) -> None:
    assert paths.canonical(path) == path
    assert paths.canonical(path.replace(b"/", b"///") + b"/") == path


@given(canonical_paths, proper_names)
def test_join_is_undone_by_parent_and_name(directory: bytes, name: bytes) -> None:
    path = paths.join(directory, name)
    assert (paths.parent_of(path), paths.name_of(path)) == (directory, name)
    assert paths.depth_of(path) == paths.depth_of(directory) + 1
    assert paths.is_under(path, directory)
    assert not paths.is_under(directory, path)


def test_nothing_is_above_the_root_or_a_single_name() -> None:
    assert paths.parent_of(b"/") is None
    assert paths.parent_of(b"store") is None
    assert paths.parent_of(b"store/mc") == b"store"
    assert paths.parent_of(b"/store") == b"/"


def test_depth_counts_components() -> None:
    assert [paths.depth_of(path) for path in (b"/", b"/store", b"/store/mc", b"store", b"store/mc")] == [0, 1, 2, 1, 2]


def test_below_goes_by_whole_components() -> None:
    assert paths.is_under(b"/store/mc", b"/store/mc")
    assert paths.is_under(b"/store/mc/a", b"/store/mc")
    assert paths.is_under(b"/anything", b"/")
    assert not paths.is_under(b"/store/mc-2", b"/store/mc")


def test_in_tree_order_a_directory_stands_directly_before_everything_below_it() -> None:
    unordered = [b"/a/c", b"/a-b", b"/a", b"/", b"/a/c/d", b"/a.b", b"/b", b"/a/c!"]
    assert sorted(unordered, key=paths.tree_key) == [
        b"/",
        b"/a",
        b"/a/c",
        b"/a/c/d",
        b"/a/c!",
        b"/a-b",
        b"/a.b",
        b"/b",
    ]


@given(st.sets(canonical_paths, max_size=30))
def test_tree_order_is_that_of_a_walk(some: set[bytes]) -> None:
    ordered = sorted(some, key=paths.tree_key)
    for position, path in enumerate(ordered):
        below = [other for other in ordered if paths.is_under(other, path)]
        assert ordered[position : position + len(below)] == below
    assert ordered == sorted(some, key=lambda path: path.split(b"/")[1:] if path != b"/" else [])


def test_the_keys_of_different_paths_differ() -> None:
    assert paths.tree_key(b"/") < paths.tree_key(b"/\x01") < paths.tree_key(b"/\x01/\x01") < paths.tree_key(b"/\x02")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (b"/plain name", "/plain name"),
        ("/größe/данные/数".encode(), "/größe/данные/数"),
        (b"/a blank behind ", "/a blank behind\\x20"),
        (b"/two  ", "/two \\x20"),
        (b"/a tab behind\t", "/a tab behind\\t"),
        (b"/dir /name", "/dir /name"),
        (b"/back\\slash", "/back\\\\slash"),
        (b"/new\nline\tand\rreturn", "/new\\nline\\tand\\rreturn"),
        (b"/bell\x07\x7f", "/bell\\x07\\x7f"),
        (b"/not utf-8 \xff\xc3", "/not utf-8 \\xff\\xc3"),
        ("/next line \x85 and \u2028 and \u2029".encode(), "/next line \\u0085 and \\u2028 and \\u2029"),
        (b"/looks like \\xff", "/looks like \\\\xff"),
        # A surrogate is not valid UTF-8, so its bytes are shown one by one.
        (b"/\xed\xb2\x80", "/\\xed\\xb2\\x80"),
    ],
)
def test_a_name_is_shown_on_one_line(path: bytes, line: str) -> None:
    assert paths.escape(path) == line
    assert paths.unescape(line) == path


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_comes_back(byte: int) -> None:
    for path in (bytes((byte,)), bytes((byte, byte)), b"a" + bytes((byte,)) + b"5c"):
        assert paths.unescape(paths.escape(path)) == path
        assert paths.encode(paths.decode(path)) == path


@given(st.one_of(st.binary(max_size=20), st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_every_path_comes_back_from_one_printable_line(path: bytes) -> None:
    line = paths.escape(path)
    assert len(line.splitlines()) <= 1
    assert not line.endswith((" ", "\t"))
    assert line == line.encode("utf-8").decode("utf-8")
    assert paths.unescape(line) == path


@given(st.binary(max_size=20))
def test_text_is_what_the_operating_system_makes_of_it(path: bytes) -> None:
    assert paths.encode(paths.decode(path)) == path
    assert paths.decode(path) == os.fsdecode(path)
