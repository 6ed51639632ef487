"""Elements of JSON and XML that are read all at once say the same as one by one, or are left to that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.inventory import InventoryError, InventoryMalformed
from storage.inventory.foreign.json_array import JsonStream
from storage.inventory.foreign.series import Series
from storage.inventory.foreign.syncat import SyncatStream
from storage.inventory.misfits import ALL, Misfit
from tests.storage.inventory.foreign import writers
from tests.storage.inventory.foreign.reading import read
from tests.storage.inventory.foreign.test_round_trips import reading
from tests.storage.inventory.foreign.writers import File

OBJECTS = Series(b'"', (b',{"path":"', b'","size":', b',"x":"', b'"}'), ("path", "size", ""))
ENTRIES = Series(b"<", (b'<entry name="', b'"><size>', b"</size></entry>"), ("path", "size"))
MANY = [File(b"/s/d%d/file.%05d" % (n // 100, n), n, 10**9 + n) for n in range(20_000)]


def test_fields_are_found_wherever_lines_end() -> None:
    found = OBJECTS.find(b',{"path":"/a/b","size":7,"x":""},{"path":"/c},{d","size":8,"x":"y"}')
    assert found is not None
    assert found.paths() == ([b"/a", b""], [b"b", b"c},{d"])
    assert (sizes := found.integers("size")) is not None
    assert sizes.tolist() == [7, 8]
    found = ENTRIES.find(b'<entry name="/a"><size>7</size></entry><entry name="/b"><size>8</size></entry>')
    assert found is not None
    assert found.texts("path") == [b"/a", b"/b"]


@pytest.mark.parametrize(
    "odd",
    [
        *(b",", b" ", b'"', b'""""""', b',{"path":"/a","size":7,"x":"y"', b'{"path":"/a","size":7,"x":"y"}'),
        *(b',{"path":"/a","size":7,"y":"y"}', b', {"path":"/a","size":7,"x":"y"}', b',{"path":"/a","size":7,"x":"y"},'),
        *(b',{"path":"/a","size":7,"x":"y","z":1}', b',{"size":7,"path":"/a","x":"y"}', b',{"path":"/a","x":"y"}'),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_of_elements_of_which_one_is_odd_nothing_is_said(odd: bytes, first: bool) -> None:
    good = b',{"path":"/a/b","size":7,"x":""}'
    assert OBJECTS.find(good * 3) is not None
    assert OBJECTS.find(odd + good if first else good + odd + good) is None


PATHS = (
    *("/s/a", "/s/b c", "/s/d/e", "/s/f},{g", '/s/"q"', "/s/back\\slash", "/s/\u00e9", "/s/\u240a", "/s/\ufffd"),
    *("/s//h", "/s/../i", "/s/.j", "k/l", "", "/", "/s/m/", "/s/new\nline", "/s/tab\t", "/s/<&>", '/s/{"path":"/x"}'),
    *("/s/]]>", "/s/]", "/s/a},\n{", "/s/'", "/s/</entry>", "root://h//s/n"),
)
SIZES = (7, 0, 123456789012345678, 10**20, -1, 1.5, "8", "x", None, True, [1], {"a": 1})
TIMES = (10**9, 1.5, "2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05Z", "2026-02-30T00:00:00Z", "", None, "x")
SEPARATORS = (b",", b",\n", b" , ", b",\r\n", b"\n,\n  ", b"", b",,", b"} ", b",\n{},", b',{"uid":1},', b"\t,\t")


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    """Write objects all alike, in one line or not, and spoil a few, or what is between two."""
    indent = draw(st.sampled_from([None, None, 1]))
    separators = (",", ":") if draw(st.booleans()) else (", ", ": ")
    others: dict[str, Any] = draw(
        st.sampled_from(
            [
                *({}, {"uid": 1}, {"IsDir": False}, {"h": {"adler32": "ab"}, "n": 2}, {"Size": None}, {"ctime": 5}),
                *({"Hashes": {"md5": "0" * 32, "size": 3}, "md5": 1}, {"Path": 5}, {"file": ["x", "y"]}, {"type": "f"}),
            ]
        )
    )
    last = draw(st.booleans())

    def written(path: str, size: object, mtime: object, **more: object) -> bytes:
        known = {"path": path, "size": size, "mtime": mtime}
        value = {**others, **known, **more} if last else {**known, **others, **more}
        return json.dumps(value, separators=separators, indent=indent, ensure_ascii=draw(st.booleans())).encode()

    first_time = draw(st.sampled_from(TIMES[:4]))
    count = draw(st.integers(3, 25))
    objects = [written(f"/s/d{n // 5}/f{n}", n, first_time) for n in range(count)]
    for _ in range(draw(st.integers(0, 3))):
        more = draw(st.sampled_from([{}, {}, {}, {"IsDir": True}, {"type": "directory"}, {"uid": 12}, {"z": "y"}]))
        path, size, mtime = (draw(st.sampled_from(values)) for values in (PATHS, SIZES, TIMES))
        odd = written(path, size, mtime, **more)
        objects.insert(draw(st.integers(0, len(objects))), odd)
    between = draw(st.sampled_from(SEPARATORS[:5]))
    text = b"["
    for number, each in enumerate(objects):
        usual = draw(st.integers(0, 30)) > 0
        text += (b"" if not number else between if usual else draw(st.sampled_from(SEPARATORS))) + each
    text += draw(st.sampled_from([b"]", b"\n]\n", b"", b",]", b"]x"]))
    spoil = draw(st.integers(0, 6))
    if spoil == 0:
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.sampled_from([b'"', b"{", b"}", b"\\", b"\x01", b"\xff", b"\n", b"1},{", b"0", b"-", b""]))
            + text[at + 1 :]
        )
    return text


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Write entries likewise."""
    inside = draw(st.sampled_from([b"", b"\n  "]))
    plain = b'<entry name="%b">' + inside + b"<size>%b</size>" + inside + b"<mtime>%b</mtime><x>%b</x></entry>"
    odd_ones = (
        *(plain, plain.replace(b"<x>", b'<x y="z">'), plain.replace(b"</entry>", b"<size>9</size></entry>")),
        *(plain.replace(b'"', b"'"), plain.replace(b"<x>%b</x>", b"<!-- %b -->"), plain.replace(b"x>", b"ctime>")),
        *(plain.replace(b"<entry ", b'<entry id="1" '), b"<!--" + plain + b"-->", b"<![CDATA[" + plain + b"]]>"),
        *(plain.replace(b"<x>%b</x>", b"<checksum>%b</checksum>"), b"<?x " + plain + b"?>", b"<dir/>" + plain),
    )
    entries = [
        plain % (b"/s/d%d/f%d" % (n // 5, n), b"%d" % n, b"1000000000", b"y") for n in range(draw(st.integers(3, 25)))
    ]
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(PATHS)).encode()
        path = (
            path
            if draw(st.integers(0, 5)) == 0
            else path.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b'"', b"&quot;")
        )
        size, time = (
            draw(st.sampled_from(values))
            for values in ((b"7", b"007", b"-1", b"x", b"", b" 8 ", b"9" * 20), (b"1", b"", b"x"))
        )
        text = draw(
            st.sampled_from([b"y", b"]]>", b"]", b"a&lt;b", b"\t", b"\xc3\xa9", b"\xff", b"\xef\xbf\xbf", b'"', b">"])
        )
        entries.insert(draw(st.integers(0, len(entries))), draw(st.sampled_from(odd_ones)) % (path, size, time, text))
    between = draw(st.sampled_from([b"", b"", b"\n", b"\n  "]))
    encoding = draw(st.sampled_from([b"", b'<?xml version="1.0" encoding="iso-8859-1"?>']))
    end = draw(st.sampled_from([b"</dump>", b"</dump>\n", b"", b"<x></dump>"]))
    return encoding + b"<dump>" + between.join(entries) + end


def outcome(content: bytes, slow: bool, allowed: float, chunk_size: int) -> object:
    """Say what was read, or in what line and entry what was expected."""
    with reading(slow):
        try:
            found = read(content, root=b"/top", allowed=allowed, chunk_size=chunk_size)
        except InventoryError as error:
            return type(error), str(error).partition("/dump ")[2].partition(", found ")[0]
    return (
        found.files,
        found.lines,
        found.misfits.count,
        found.misfits.lost,
        [_said(each) for each in found.misfits.first],
    )


def _said(misfit: Misfit) -> tuple[int, int, str, str]:
    return misfit.line, misfit.entry, misfit.expected, misfit.found


@pytest.mark.parametrize(
    "number", [b"007", b"1.", b"00", b"-01", b"01.5", b"1e", b"+1", b"--1", b"1-1", b".5", b"1},{"]
)
@pytest.mark.parametrize("key", [b"size", b"mtime", b"uid"])
def test_what_is_no_number_of_json_is_left_to_others(number: bytes, key: bytes) -> None:
    usual = b',{"path":"/a/b","size":12,"mtime":34,"uid":56}'
    before, _, after = usual.partition(b'"%b":' % key)
    content = b"[" + usual[1:] + usual * 9 + before + b'"%b":' % key + number + after[2:] + usual * 9 + b"]"
    assert outcome(content, False, ALL, 200) == outcome(content, True, ALL, 200)


@settings(max_examples=200, deadline=None)
@given(arrays(), st.sampled_from([0.0, ALL]), st.integers(20, 900))
@example(b'[{"path":"/a","size":1,"uid":1},{"path":"/b","size":1,"uid":1},{},{"path":"/c","size":1,"uid":1}]', ALL, 20)
def test_objects_say_the_same_both_ways(content: bytes, allowed: float, chunk_size: int) -> None:
    assert outcome(content, False, allowed, chunk_size) == outcome(content, True, allowed, chunk_size)


@settings(max_examples=200, deadline=None)
@given(documents(), st.sampled_from([0.0, ALL]), st.integers(50, 900))
def test_entries_say_the_same_both_ways(content: bytes, allowed: float, chunk_size: int) -> None:
    assert outcome(content, False, allowed, chunk_size) == outcome(content, True, allowed, chunk_size)


FORMS: dict[str, tuple[writers.Write, type, str]] = {
    "json, one line": (writers.eos_json, JsonStream, "_object"),
    "json, lines": (writers.rclone, JsonStream, "_object"),
    "json, pretty": (writers.eos_json_pretty, JsonStream, "_object"),
    "xml, one line": (lambda files: writers.syncat(files).replace(b"\n", b""), SyncatStream, "_take"),
    "xml, namespace": (writers.syncat_latin, SyncatStream, "_take"),
    "xml, lines": (writers.syncat, SyncatStream, "_take"),
    "xml, pretty": (lambda files: writers.syncat(files).replace(b"><", b">\n  <"), SyncatStream, "_take"),
}


@contextmanager
def counting(stream: type, careful: str) -> Iterator[list[int]]:
    """Count what is read one by one."""
    calls = [0]
    read_one = getattr(stream, careful)

    def counted(*arguments: Any) -> Any:
        calls[0] += 1
        return read_one(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, careful, counted)
        yield calls


@pytest.mark.parametrize("form", FORMS)
def test_only_the_first_and_the_last_are_read_one_by_one(form: str) -> None:
    write, stream, careful = FORMS[form]
    content = write(MANY)
    with counting(stream, careful) as calls:
        found = read(content, root=b"/", chunk_size=1 << 18)
    assert found.facts == [(file.path, file.size, file.mtime) for file in MANY]
    assert found.lines == content.count(b"\n")
    assert 0 < calls[0] < 2000


@pytest.mark.parametrize(("between", "where"), [(b",\n", "line 20001: "), (b",", "line 1, entry 20,001: ")])
def test_directories_among_many_objects_are_passed_over_all_at_once(between: bytes, where: str) -> None:
    directory = b'{"Path":"s/d%d","Name":"d%d","Size":-1,"MimeType":"inode/directory","ModTime":"","IsDir":true}'
    objects = writers.rclone(MANY).removeprefix(b"[\n").removesuffix(b"\n]\n").split(b",\n")
    for number in range(100):
        objects.insert(number * 150 + 5, directory % (number, number))
    with counting(JsonStream, "_object") as calls:
        found = read(b"[" + between.join(objects) + b"]", root=b"/", chunk_size=1 << 18)
    assert found.paths == [file.path for file in MANY]
    assert 0 < calls[0] < 2000
    # One that is spoilt is none.
    odd = [each.replace(b'""', b'"""') if number == 7505 else each for number, each in enumerate(objects)]
    with pytest.raises(InventoryError, match=f"line {7506 if where.startswith('line 2') else '1'}"):
        read(b"[" + between.join(odd) + b"]", root=b"/", chunk_size=1 << 18)
    # Which one it is of the file is true all the same.
    objects[-100] = objects[-100].replace(b'"Path":"', b'"Path":"../')
    with pytest.raises(InventoryMalformed, match=where):
        read(b"[" + between.join(objects) + b"]", root=b"/", chunk_size=1 << 18)


@pytest.mark.parametrize("form", ["json, one line", "xml, one line"])
def test_in_a_single_line_the_entry_is_said_and_the_share_is_that_of_entries(form: str) -> None:
    content = FORMS[form][0](MANY)
    spoilt = content.replace(b"file.09000", b"../x").replace(b"file.12000", b"../y")
    with pytest.raises(InventoryMalformed, match=r'line 1, entry 9,001: expected a path without "\."'):
        read(spoilt)
    found = read(spoilt, allowed=0.001)
    assert [misfit.entry for misfit in found.misfits.first] == [9001, 12001]
    assert len(found.files) == len(MANY) - 2
    assert found.misfits.words().startswith("2 entries do not fit; the first is line 1, entry 9,001: expected ")
    spoilt = re.sub(rb"file\.00([12]\d\d)", rb"../\1", spoilt)
    with pytest.raises(InventoryMalformed, match=r"202 of 20,000 entries do not fit, .* line 1, entry 101: expected"):
        read(spoilt, allowed=0.001)


def test_what_is_no_xml_or_json_in_a_single_line_is_shown_where_it_is() -> None:
    content = FORMS["xml, one line"][0](MANY).replace(b"file.09000", b"<b")
    with pytest.raises(InventoryMalformed, match=r'line 1, entry 9,000: expected XML \(.*\), found "<b"><size>'):
        read(content)
    content = FORMS["json, one line"][0](MANY).replace(b', {"name":"file.09000"', b'; {"name":"file.09000"')
    with pytest.raises(InventoryMalformed, match=r'line 1, entry 9,000: expected .*, found "; {"name":"file.09000"'):
        read(content)
