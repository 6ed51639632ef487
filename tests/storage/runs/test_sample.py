"""What the comparison of checksums remembers, on the disk."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checksums.digest import Checksum
from engine.checksums.settling import ChecksumMismatch, SampleState
from engine.checksums.share import RING, Place
from storage.runs.sample import read_sample, write_sample

GOLDEN = Path(__file__).parents[1] / "golden/checksums-1.json"
MISMATCH = ChecksumMismatch(
    "/store/größe \xff\n".encode("latin-1"),
    7,
    -5,
    Checksum("adler32", "0a1b2c3d"),
    Checksum("adler32", "0a1b2c3e"),
    1_700_000_000.5,
)
STATE = SampleState(Place(4_000_000_000, b"/store/\xff"), {b"/store/late\n": 2, b"/store/a": 1}, (MISMATCH,))

paths = st.binary(max_size=12).map(lambda name: b"/" + name)
sums = st.builds(Checksum, st.just("adler32"), st.from_regex("[0-9a-f]{8}", fullmatch=True))
numbers = st.integers(-(2**63), 2**63 - 1)
mismatches = st.builds(ChecksumMismatch, paths, numbers, numbers, sums, sums, st.floats(0, 1e10))
states = st.builds(
    SampleState,
    st.builds(Place, st.integers(0, RING - 1), paths),
    st.dictionaries(paths, st.integers(1, 3), max_size=4),
    st.lists(mismatches, max_size=3).map(tuple),
)


@given(states)
def test_it_is_read_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, state: SampleState) -> None:
    file = tmp_path_factory.getbasetemp() / "checksums.json"
    write_sample(file, state)
    assert read_sample(file, "S") == state


def test_the_golden_file_is_still_read_and_written(tmp_path: Path) -> None:
    assert read_sample(GOLDEN, "S") == STATE
    write_sample(tmp_path / "new.json", STATE)
    assert (tmp_path / "new.json").read_text() == GOLDEN.read_text()


def test_where_there_is_nothing_it_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_sample(tmp_path / "none.json", "S") == SampleState()
    assert caplog.text == ""


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 2},
        {"format": "other"},
        {"place": RING},
        {"place": "x"},
        {"path": None},
        {"owed": [["/a"]]},
        {"owed": 5},
        {"place": float("inf")},
        {"owed": [["/a", float("inf")]]},
        {"mismatches": [{}]},
        {"mismatches": [{"path": "/a", "size": 1, "mtime": 2, "checksum": "adler32:1", "remote_checksum": "x"}]},
    ],
)
def test_what_cannot_be_read_is_begun_anew(
    tmp_path: Path, damage: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "checksums.json"
    file.write_text(json.dumps({**json.loads(GOLDEN.read_text()), **damage}))
    with caplog.at_level(logging.WARNING):
        assert read_sample(file, "T2_A") == SampleState()
    assert f"T2_A: which checksums were compared is not known any more: {file}: " in caplog.text
    for content in ('{"format": ', "[" * 100_000, "\0", "[]", "1"):
        file.write_text(content)
        assert read_sample(file, "T2_A") == SampleState()
