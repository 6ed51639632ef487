"""What is written in each format comes back: the same bytes of names, sizes and times, whichever way it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.inventory.foreign.checksums import read_checksum
from storage.inventory.foreign.lines import LineReader
from storage.inventory.foreign.series import Series
from storage.inventory.foreign.template import Template
from tests.storage.inventory.foreign import writers
from tests.storage.inventory.foreign.reading import read
from tests.storage.inventory.foreign.writers import File, Write, lines

LINES: dict[str, tuple[str, Write]] = {
    "pipe": ("pipe", lines(writers.pipe)),
    "pipe, spaced, milliseconds": ("pipe", lines(writers.spaced_pipe)),
    "rucio": ("rucio", lines(writers.rucio)),
    "rucio without paths": ("rucio", lines(writers.rucio_without_paths)),
    "xrdfs": ("xrdfs", lines(writers.xrdfs)),
    "xrdfs, old": ("xrdfs", lines(writers.xrdfs_old)),
    "eos, quoted": ("eos", lines(writers.eos_quoted)),
    "eos": ("eos", lines(writers.eos_plain)),
    "dcache": ("dcache", writers.dcache),
    "dcache, indented": ("dcache", writers.dcache_indented),
}
LENGTHS = ("eos", lines(writers.eos_lengths))
TEXTS: dict[str, tuple[str, Write]] = {
    "syncat": ("syncat", writers.syncat),
    "syncat, latin": ("syncat", writers.syncat_latin),
    "eos, pretty": ("eos", writers.eos_json_pretty),
}
JSON: dict[str, tuple[str, Write]] = {
    "rclone": ("rclone", writers.rclone),
    "eos, one line": ("eos", writers.eos_json),
    "eos, lines": ("eos", writers.eos_json_lines),
}

PLAIN = st.binary(min_size=1, max_size=12).filter(
    lambda name: not set(name) & set(b"\0\n\t\r/") and name.strip() == name
)
ODD = st.sampled_from(
    [
        *(
            b"a b",
            b"  x",
            b"a=b",
            b"f size=7",
            b"x size=1 checksum=2 mtime=3",
            b"a|7|8",
            b"\xff\xfe",
            b"#1",
            b".x",
            b"..x",
        ),
        *(
            b'q"q',
            b"%20",
            b"back\\slash",
            b"\xe2\x80\xa8",
            b"-rw",
            b"keylength.file=3 file=/a",
            b"x\x01y",
            b"&amp;",
            b"<a>",
        ),
    ]
)
NAMES = st.one_of(ODD, PLAIN).filter(lambda name: name not in (b".", b".."))
WITH_NEWLINES = st.one_of(NAMES, st.sampled_from([b"a\nb", b"\n", b"a\n/b x", b"x\nsize=3 ", b"\n\n\n"])).filter(
    lambda name: b"/" not in name
)
TEXT_NAMES = (
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=10)
    .map(lambda name: name.replace("/", "_").encode())
    .filter(lambda name: name not in (b".", b".."))
)


@st.composite
def some_files(draw: st.DrawFn, names: st.SearchStrategy[bytes]) -> list[File]:
    """Draw files in a few directories, each path once, in the order of their directories."""
    paths = draw(
        st.lists(
            st.tuples(st.sampled_from([b"/s", b"/s/a b", b"/s/a-b/c", b"/s/.d"]), names),
            min_size=2,
            max_size=25,
            unique=True,
        )
    )
    sizes = st.integers(0, 10**15)
    # Seconds that are no milliseconds, and none that could be days.
    times = st.integers(10**9, 4 * 10**9)
    return [File(above + b"/" + name, draw(sizes), draw(times)) for above, name in sorted(paths)]


@contextmanager
def reading(slow: bool) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if slow:
            patch.setattr(Template, "find", lambda *_arguments: None)
            patch.setattr(Series, "find", lambda *_arguments: None)
            for reader in LineReader.__subclasses__():
                patch.setattr(reader, "quick", lambda *_arguments: None)
        yield


def assert_comes_back(form: tuple[str, Write], files: list[File], slow: bool, chunk_size: int) -> None:
    name, write = form
    with reading(slow):
        found = read(write(files), root=b"/", chunk_size=chunk_size)
    assert found.format == name
    assert found.facts == [(file.path, file.size, file.mtime) for file in files]
    sums = {checksum for *_, checksum in found.files} - {b""}
    assert {read_checksum(checksum) for checksum in sums} <= {("adler32", b"0a1b2c3d")}


@pytest.mark.parametrize("form", LINES)
@settings(max_examples=40)
@given(some_files(NAMES), st.booleans(), st.integers(20, 500))
def test_names_of_lines_are_bytes(form: str, files: list[File], slow: bool, chunk_size: int) -> None:
    if form.startswith(("pipe", "eos")):
        # Where most names have bars in them, or end in what looks like a key, nobody can tell what the fields are.
        files = [*files, *[File(b"/s/z/plain%d" % number, 1, 10**9) for number in range(len(files) + 1)]]
    assert_comes_back(LINES[form], files, slow, chunk_size)


@pytest.mark.parametrize("slow", [False, True])
def test_rows_of_dcache_whose_names_all_look_like_comments(slow: bool) -> None:
    files = [File(b"/s/%b/#%d#" % (above, number), number, 10**9) for above in (b"a", b"b") for number in range(3)]
    assert_comes_back(LINES["dcache"], files, slow, 60)


@settings(max_examples=100)
@given(some_files(WITH_NEWLINES), st.booleans(), st.integers(20, 500))
def test_names_that_are_cut_by_length_may_have_newlines(files: list[File], slow: bool, chunk_size: int) -> None:
    assert_comes_back(LENGTHS, files, slow, chunk_size)


@pytest.mark.parametrize("form", TEXTS)
@settings(max_examples=40)
@given(some_files(TEXT_NAMES), st.booleans(), st.integers(20, 500))
def test_names_of_xml_are_text(form: str, files: list[File], slow: bool, chunk_size: int) -> None:
    assert_comes_back(TEXTS[form], files, slow, chunk_size)


@pytest.mark.parametrize("form", JSON)
@settings(max_examples=40)
@given(some_files(WITH_NEWLINES), st.booleans(), st.integers(20, 500))
def test_names_of_json_may_be_any_bytes(form: str, files: list[File], slow: bool, chunk_size: int) -> None:
    assert_comes_back(JSON[form], files, slow, chunk_size)


@settings(max_examples=40)
@given(some_files(NAMES), st.booleans(), st.integers(20, 500))
def test_days_become_their_last_second(files: list[File], slow: bool, chunk_size: int) -> None:
    # A name that ends in numbers could be read in two ways.
    files = [file for file in files if not file.name[-1:].isdigit() and b" " not in file.name] or [
        File(b"/s/x", 1, 10**9)
    ]
    with reading(slow):
        found = read(lines(writers.ral)(files), root=b"/", chunk_size=chunk_size)
    assert found.format == "ral"
    assert found.facts == [(file.path, file.size, (file.mtime // 86400 + 1) * 86400 - 1) for file in files]


@pytest.mark.parametrize("form", [*LINES, *TEXTS, *JSON, "lengths"])
def test_many_lines_are_read_the_quick_way_as_well_as_one_by_one(form: str) -> None:
    """Large enough that whole chunks are of one kind, of which the quick way takes all."""
    files = [File(b"/s/d%d/file.%05d" % (n // 100, n), n, 10**9 + n) for n in range(20_000)]
    written = {**LINES, **TEXTS, **JSON, "lengths": LENGTHS}[form]
    assert_comes_back(written, files, slow=False, chunk_size=1 << 18)
