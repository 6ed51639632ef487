"""How the keys at the end of a line of EOS are found."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.inventory import InventoryMalformed
from storage.inventory.foreign.eos import _path_end
from storage.inventory.misfits import ALL
from tests.storage.inventory.foreign.reading import read
from tests.storage.inventory.foreign.test_series import outcome

TAIL = re.compile(rb"((?:[ \t]+[A-Za-z][A-Za-z0-9_.]*=[^ \t]*)+)\Z")
FILE = b"/eos/a size=7 mtime=1700000000.5\n"
MANY = 200_000


@given(st.lists(st.sampled_from([b" ", b"\t", b"a=", b"b=1", b"=", b"x", b"/", b"size=7", b"1=2", b'"', b"\n"])))
def test_they_are_all_that_fit_before_the_end(parts: list[bytes]) -> None:
    line = b"".join(parts)
    match = TAIL.search(line)
    assert _path_end(line) == (len(line) if match is None else match.start())


@pytest.mark.parametrize(
    "line", [b"/eos/b" + b" a=b" * MANY + b" x", b"/eos/b" + b" " * MANY + b"x", b"/b" + b" a" * MANY]
)
def test_a_long_line_takes_no_longer_than_others_of_its_length(line: bytes) -> None:
    """With a pattern that is tried from each blank on, this test does not end."""
    found = read(FILE * 3 + line + b"\n", allowed=ALL)
    assert (found.format, len(found.files), found.misfits.lost) == ("eos", 3, 1)
    with pytest.raises(InventoryMalformed, match="a path of at most"):
        read(line + b"\n")


def test_a_directory_may_have_any_keys_or_none() -> None:
    directories = [b"/eos/d/", b"/eos/d/ ", b"/eos/d/ ndirs=7 x=", b"/eos/d e/ size=1"]
    assert len(read(FILE * 5 + b"".join(line + b"\n" for line in directories)).files) == 5
    quoted = [b'path="/eos/d/"', b'path="/eos/d/" ndirs=7', b'path="/eos/d e/"  ']
    file = b'path="/eos/a" size=7 mtime=1700000000.5\n'
    assert len(read(file * 5 + b"".join(line + b"\n" for line in quoted)).files) == 5


PIECES = st.sampled_from(
    [
        *(
            b"keylength.file=",
            b" file=",
            b" size=",
            b" mtime=",
            b"6",
            b"/eos/a",
            b"7",
            b"1700000000.5",
            b"\n",
            b" ",
            b"x",
        ),
        *(
            b" xs=ab",
            b"=",
            b"0000000006",
            b" container=1",
            b"/",
            b"..",
            b"\nkeylength.file=6 file=/eos/b size=1 mtime=2\n",
        ),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.none(), st.none(), st.lists(PIECES, max_size=8)), max_size=12), st.data())
def test_lengths_say_the_same_both_ways(odd: list[list[bytes] | None], data: st.DataObject) -> None:
    """What is cut out of a record, or put into it, may make another length true, or none."""
    between = data.draw(st.sampled_from([b"", b" status=healthy", b" a=b c=d"]))
    records = [
        b"keylength.file=%d file=%b size=%d%b mtime=%d.5 xs=ab\n" % (len(path), path, n, between, 10**9 + n)
        for n, path in enumerate([b"/eos/f%d" % n for n in range(4)] + [b"/eos/a\nb", b"/eos/" + b"x" * 99])
    ]
    content = records[0] + b"".join(
        data.draw(st.sampled_from(records)) if pieces is None else b"".join(pieces) for pieces in odd
    )
    cut = data.draw(st.integers(0, 3))
    content = content[: len(content) - cut] if cut else content + b"\n" * (not content.endswith(b"\n"))
    chunk_size, allowed = data.draw(st.integers(20, 500)), data.draw(st.sampled_from([0.0, ALL]))
    assert outcome(content, False, allowed, chunk_size) == outcome(content, True, allowed, chunk_size)
