"""Lines that do not fit: counted and shown where few may pass, refused with their numbers where they may not."""

from __future__ import annotations

import re

import pytest

from engine.columns import UNKNOWN_SIZE
from storage.inventory import InventoryError, InventoryMalformed, text
from storage.inventory.misfits import ALL, KEPT, Misfits
from tests.storage.inventory.foreign import writers
from tests.storage.inventory.foreign.reading import read
from tests.storage.inventory.foreign.test_round_trips import JSON, LENGTHS, LINES, TEXTS
from tests.storage.inventory.foreign.writers import File, lines

MANY = 3000
FILES = [File(b"/s/d%d/file.%05d.root" % (n // 50, n), n, 1_500_000_000 + n) for n in range(MANY)]
LIMIT = 0.001
REFUSAL = b"error(13): no permissions to read directory /s/x\n"
"""What a program says of a directory that it could not look into, among its output."""

FORMS = {**LINES, "lengths": LENGTHS, "ral": ("ral", lines(writers.ral))}


def spoilt(form: str, line: bytes, *at: int) -> bytes:
    """Write a dump and put a line into it, before each of these lines."""
    written = FORMS[form][1](FILES).splitlines(keepends=True)
    for number in sorted(at, reverse=True):
        written.insert(number - 1, line)
    return b"".join(written)


@pytest.mark.parametrize("form", FORMS)
def test_by_default_the_first_such_line_is_refused(form: str) -> None:
    with pytest.raises(InventoryMalformed, match=r"line 1500: expected .*, found \"error\(13\)"):
        read(spoilt(form, REFUSAL, 1500, 1502), root=b"/")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk_size", [1 << 20, 5000])
def test_up_to_the_limit_they_are_counted_and_the_rest_is_read(form: str, chunk_size: int) -> None:
    # Among rows of dCache, what has no tab would be a directory.
    line = b"odd\trow\n" if "dcache" in form else REFUSAL
    content = spoilt(form, line, 700, 1500, 2900)
    found = read(content, root=b"/", allowed=LIMIT, chunk_size=chunk_size)
    assert found.paths == [file.path for file in FILES]
    assert (found.misfits.count, found.misfits.lost) == (3, 3)
    assert [misfit.line for misfit in found.misfits.first] == [700, 1501, 2902]
    assert "odd" in found.misfits.first[0].found or "error(13)" in found.misfits.first[0].found


@pytest.mark.parametrize("form", FORMS)
def test_above_the_limit_all_is_refused_with_the_first_line(form: str) -> None:
    line = b"odd\trow\n" if "dcache" in form else REFUSAL
    content = spoilt(form, line, *range(1510, 1514))
    with pytest.raises(InventoryMalformed, match=r"4 of 3,0\d4 lines do not fit, and MaxMalformed .* line 1510: "):
        read(content, root=b"/", allowed=LIMIT)


def test_the_rows_of_a_directory_that_cannot_be_read_are_of_no_other_one() -> None:
    content = b"/a\nf\tid\tab\t1\t1500000000\tp,\nb\ng\tid\tab\t1\t1500000000\tp,\n/c\nh\tid\tab\t1\t1500000000\tp,\n"
    found = read(content, allowed=ALL)
    assert found.paths == [b"/a/f", b"/c/h"]
    assert [misfit.line for misfit in found.misfits.first] == [3, 4]


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (b"/a/b|7|1500000000|ab\n/a/c|N/A|1500000000|ab\n/a/d|7|1500000000|ab\n", b"/a/c"),
        (b"/a/b|7|1500000000|ab\n/a/c|7|yesterday|ab\n/a/d|7|1500000000|ab\n", b"/a/c"),
        (b"/a/b size=1 mtime=1\n/a/c size=x mtime=1\n/a/d size=1 mtime=1\n", b"/a/c"),
        (b"keylength.file=4 file=/a/b size=1 mtime=1\nkeylength.file=4 file=/a/c xs=1\n", b"/a/c"),
        (b"/a\n" + b"b\tid\tab\t1\t1500000000\tp,\n" * 2 + b"c\tid\tab\t-\t1500000000\tp,\n", b"/a/c"),
        (b'<dump><entry name="/a/b"><size>1</size></entry><entry name="/a/c"><size/></entry></dump>', b"/a/c"),
        (b'[{"path": "/a/b", "size": 1}, {"path": "/a/c", "size": "many"}]', b"/a/c"),
    ],
)
def test_of_a_line_whose_path_can_be_read_the_file_is_known(content: bytes, path: bytes) -> None:
    found = read(content, allowed=ALL)
    assert path in found.paths
    assert (found.misfits.count, found.misfits.lost) == (1, 0)
    assert "(1 of a file whose path is known)" in found.misfits.words()
    with pytest.raises(InventoryMalformed, match="line "):
        read(content)


def test_a_bar_that_is_missing_does_not_make_another_file_of_a_line() -> None:
    """The path of a line with a bar in its name and a field too few cannot be told."""
    found = read(b"/a/b|7|1500000000|ab\n/a/x|y|7|1500000000\n/a/d|7|1500000000|ab\n", allowed=ALL)
    assert (found.paths, found.misfits.lost) == ([b"/a/b", b"/a/d"], 1)


def test_blanks_around_bars_may_begin_in_the_middle() -> None:
    content = b"/s/a|1|1500000000\n" * 5 + b"/s/b | 2 | 1500000000\n/s/c |3|1500000000\n"
    assert read(content).paths[5:] == [b"/s/b", b"/s/c "]
    assert read(b"/s/b | 2 | 1500000000\n" * 5 + b"/s/a|1|1500000000\n").paths[5:] == [b"/s/a"]


@pytest.mark.parametrize("form", ["pipe", "rucio", "eos", "xrdfs"])
def test_a_dump_that_goes_on_in_another_format_is_refused(form: str) -> None:
    other = "xrdfs, old" if form == "xrdfs" else "xrdfs"
    content = LINES[form][1](FILES[:2000]) + LINES[other][1](FILES[2000:])
    with pytest.raises(InventoryMalformed, match=r"1,000 of 3,000 lines do not fit.* line 2001: "):
        read(content, root=b"/s", allowed=LIMIT)


@pytest.mark.parametrize(("form", "flag"), [("xrdfs", b"q"), ("xrdfs, old", b"q"), ("xrdfs, old", b"s")])
def test_a_mode_that_is_none_does_not_fit(form: str, flag: bytes) -> None:
    content = LINES[form][1](FILES).replace(b"\n-r", b"\n-" + flag, 1)
    assert read(content, allowed=LIMIT).misfits.first[0].line == 2


def test_lists_are_held_to_more_unless_somebody_says_so() -> None:
    content = b"".join(b"/s/f%d %d\n" % (n, n) for n in range(MANY)) + b"/s/odd\n/s/z 1\n"
    with pytest.raises(InventoryMalformed, match='line 3001: expected "path size", found "/s/odd"'):
        read(content, allowed=LIMIT)
    assert read(content, allowed_in_lists=LIMIT).misfits.lost == 1
    table = b"lfn,size\n" + content.replace(b" ", b",")
    assert read(table, allowed_in_lists=LIMIT).misfits.first[0].line == 3002


@pytest.mark.parametrize(
    ("start", "message", "said"),
    [
        (b"/s", b"find: '/s/x': Permission denied", "an absolute path, as on most lines"),
        (b"root://h//s", b"ls: cannot open directory '/s/x': Stale file handle", "an absolute path, as on most lines"),
        (b"./s", b"find: './s/x': Permission denied", 'a path that begins with "./", as on most lines'),
        (b"s", b"find: 's/x': Input/output error", "a path, and not the message of a program"),
        (b"s", REFUSAL.rstrip(), "a path, and not the message of a program"),
    ],
)
@pytest.mark.parametrize("numbers", [b"", b" 7"])
def test_the_message_of_a_program_is_no_path(start: bytes, message: bytes, said: str, numbers: bytes) -> None:
    """What it could not look into is not in the list, and would be called missing."""
    lines = [b"%b/%d%b\n" % (start, number, numbers) for number in range(MANY)]
    content = b"".join([*lines[:1500], message + numbers + b"\n", *lines[1500:]])
    if start == b"s" and numbers:
        # With a number behind it, it may be a name.
        return
    with pytest.raises(InventoryMalformed, match=f'line 1501: expected {re.escape(said)}, found "'):
        read(content, root=b"/top")
    found = read(content, root=b"/top", allowed_in_lists=0.001)
    assert (len(found.files), found.misfits.count, found.misfits.lost) == (MANY, 1, 1)


def test_names_that_look_a_little_like_messages_are_names() -> None:
    names = [b"find: it", b"a: b: denied", b"x", b"Permission denied", b"note: Permission denied"]
    assert read(b"".join(b"%b\n" % name for name in names), root=b"/r").paths == [b"/r/" + name for name in names]
    listed = b"# names are escaped\n/a\n/b\nls: x: Permission denied\n"
    assert read(listed, root=b"/r").paths == [b"/a", b"/b", b"/r/ls: x: Permission denied"]


@pytest.mark.parametrize("form", [*TEXTS, *JSON])
def test_an_element_that_does_not_fit_is_one_of_the_elements(form: str) -> None:
    name, write = {**TEXTS, **JSON}[form]
    files = [*FILES[:1500], File(b"/s/../odd", 1, 1_500_000_000), *FILES[1500:]]
    found = read(write(files), root=b"/", allowed=LIMIT)
    assert (found.format, len(found.files), found.misfits.lost) == (name, MANY, 1)
    with pytest.raises(InventoryMalformed, match=r"a path without"):
        read(write(files), root=b"/")
    with pytest.raises(InventoryMalformed, match="MaxMalformed"):
        read(write([*files, *[File(b"/s/../odd", 1, 1_500_000_000)] * 3]), root=b"/", allowed=LIMIT)


def test_an_object_that_is_none_is_passed_over() -> None:
    lines_ = writers.rclone(FILES).split(b"\n")
    lines_[1000] = b'{"Path":"spoilt,'
    found = read(b"\n".join(lines_), root=b"/", allowed=LIMIT)
    assert (len(found.files), found.misfits.first[0].line) == (MANY - 1, 1001)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'<!DOCTYPE dump [<!ENTITY a "b">]><dump/>', "a document type"),
        (b'<!DOCTYPE dump SYSTEM "http://example.org/x.dtd"><dump/>', "a document type"),
        (b'<?xml version="1.0" encoding="koi8-r"?><dump/>', "UTF-8 or ISO-8859-1"),
        (b"<html><dump/></html>", "a root element dump or cat"),
        (b"<dump>" + b"<a>" * 60, "no more than 50 levels"),
        (b'<dump><entry name="/a/b">&nothing;</entry></dump>', "undefined entity"),
        (b'<dump><entry name="/a/b"></dump>', "mismatched tag"),
        (b"<dump></dump>\n<dump></dump>", "line 2: .*junk after document element"),
        (b'<dump><entry name="/a\xff"/></dump>', "not well-formed"),
        (b"<dump>" + b" " * (8 << 20), "an element within"),
    ],
)
def test_xml_that_is_not_what_it_should_be_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(InventoryMalformed, match=said):
        read(content, allowed=ALL)


def test_entries_in_a_comment_are_none() -> None:
    entries = writers.syncat(FILES).splitlines(keepends=True)
    entries.insert(1000, b"<!-- gone:\n")
    entries.insert(2000, b"-->\n")
    found = read(b"".join(entries), chunk_size=5000)
    assert found.paths == [file.path for file in (*FILES[:998], *FILES[1997:])]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"path": "/a", "size": 1} {"path": "/b"}]', "goes on with , or ]"),
        (b'[{"path": "/a", "size": 1}, ]', "goes on with {"),
        (b'[{"path": "/a", "size": 1}] more', "goes on with nothing"),
        (b'{"find": [{"path": "/a", "size": 1}], "retc": "0"', "without the end of its JSON"),
    ],
)
def test_json_that_is_not_what_it_should_be_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(InventoryMalformed, match=said):
        read(content, allowed=ALL)


def test_an_array_inside_of_an_answer_is_read() -> None:
    assert read(b'{"errormsg": "", "find": [{"path": "/a", "size": 1}], "retc": "0"}\n').paths == [b"/a"]


@pytest.mark.parametrize(
    ("name", "said"), [("a\ufffdb", "no character was lost"), ("a\0b", "without NUL"), ("", "an absolute path")]
)
def test_a_name_that_json_has_lost_is_no_name(name: str, said: str) -> None:
    import json

    found = read(json.dumps([{"path": f"/s/{name}" if name else "", "size": 1}]).encode(), allowed=ALL)
    assert (found.paths, found.misfits.lost) == ([], 1)
    assert said in found.misfits.words()


@pytest.mark.parametrize("name", ["new\u240aline", "one\uff0ename", "\u201b\u240a"])
def test_a_name_in_which_rclone_has_replaced_a_character_may_be_another_one(name: str) -> None:
    files = [*FILES[:1500], File(f"/s/{name}".encode(), 1, 1_500_000_000), *FILES[1500:]]
    found = read(writers.rclone(files), root=b"/", allowed=LIMIT)
    assert (len(found.files), found.misfits.lost) == (MANY, 1)
    assert "replaced by another one" in found.misfits.words()
    assert len(read(writers.eos_json_lines(files)).files) == MANY + 1


def test_rows_of_other_sites_are_left_out_and_a_dump_of_others_alone_is_refused() -> None:
    content = LINES["rucio"][1](FILES)
    mixed = content.replace(b"T2_X", b"T2_Y", 1000)
    assert len(read(mixed, site="T2_X").files) == MANY - 1000
    assert len(read(mixed).files) == MANY
    with pytest.raises(InventoryError, match="no row of the RSE T2_Z; its column of RSEs has: T2_X"):
        read(content, site="T2_Z")


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (b"root://h//a/f", b"/a/f"),
        (b"/a//f", b"/a/f"),
        (b"a//f", b"/top/a/f"),
        # Of another name another path.
        (b"", b"/top/H/x--f"),
    ],
)
def test_slashes_are_left_in_names_of_replicas(place: bytes, path: bytes) -> None:
    line = b"T2_X\tmc\tx//f\tab\t7\t2020-01-01 00:00:00\t%b\t2020-01-01 00:00:00\tA\n" % place
    found = read(line * 3, root=b"/top", lfn_to_path=lambda _, name: b"H/" + name.replace(b"/", b"-"))
    assert found.paths == [path] * 3


def test_a_name_that_has_no_path_does_not_fit() -> None:
    def no_path(scope: bytes, name: bytes) -> bytes:
        raise ValueError("a name with a path")

    content = LINES["rucio without paths"][1](FILES)
    with pytest.raises(InventoryMalformed, match="line 1: expected a name with a path"):
        read(content, root=b"/", lfn_to_path=no_path)


def test_the_path_of_a_replica_is_none_of_a_directory() -> None:
    line = b"T2_X\tmc\t%b\tab\t7\t2020-01-01 00:00:00\t%b\t2020-01-01 00:00:00\tA\n"
    found = read(line % (b"/s/a", b"") + line % (b"b", b"/s/b/") + line % (b"/s/c/", b""), allowed=ALL)
    assert (found.paths, found.misfits.lost, found.misfits.directories) == ([b"/s/a"], 2, 0)


@pytest.mark.parametrize("root", [b"/", b"/s", b"/s/t", None])
@pytest.mark.parametrize("numbers", [b"", b" 7", b" 7 1700000000"])
@pytest.mark.parametrize(
    "odd", [b"./a b", b".//x", b"././x", b"./.h", b"./", b"./d/", b"../x", b"x", b"/x", b"./x 5", b""]
)
def test_lines_that_begin_with_a_dot_are_read_at_once_as_one_by_one(
    odd: bytes, numbers: bytes, root: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [*(b"./d%d/f%d" % (n // 10, n) for n in range(40)), odd, b"./last"]
    content = b"".join(b"%b%b\n" % (name, numbers) for name in names)
    quick = read(content, root=root, allowed_in_lists=ALL)
    monkeypatch.setattr(text, "_quick", lambda *_arguments: None)
    careful = read(content, root=root, allowed_in_lists=ALL)
    careful.misfits.source = quick.misfits.source
    assert careful == quick
    assert root is None or len(quick.files) >= 41


@pytest.mark.parametrize("numbers", [b"", b" 4096", b" 4096 1700000000"])
def test_what_find_begins_with_is_a_directory(numbers: bytes) -> None:
    content = b"".join(b"%b%b\n" % (name, numbers) for name in (b".", b"./a", b"./b"))
    found = read(content, root=b"/s")
    assert (found.paths, found.misfits.directories) == ([b"/s/a", b"/s/b"], 1)
    # A list may be cut off behind a dot.
    if not numbers:
        cut = read(b"./a\n./b\n.", root=b"/s", allowed_in_lists=ALL)
        assert (cut.paths, cut.misfits.lost, cut.misfits.directories) == ([b"/s/a", b"/s/b"], 1, 0)


def test_a_replica_whose_state_nobody_knows_is_there_and_not_judged() -> None:
    found = read(b"X\ts\tf\tab\t7\t2020-01-01 00:00:00\ta/f\t2020-01-01 00:00:00\tQ\n", root=b"/r", allowed=ALL)
    assert found.facts == [(b"/r/a/f", UNKNOWN_SIZE, 2**63 - 1)]
    assert "a state, one of A, B, C, D, T, U" in found.misfits.words()


def test_what_is_shown_is_limited() -> None:
    misfits = Misfits("dump", ALL)
    for number in range(50):
        misfits.take(number + 1, "something", b"\x1b[2J" * 1000)
    assert (misfits.count, len(misfits.first)) == (50, KEPT)
    assert misfits.words().startswith('50 lines do not fit; the first is line 1: expected something, found "\\x1b[2J')
    assert len(misfits.words()) < 250
    misfits.check(50)
