from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import pytest

from storage.inventory.age import Made, made_at, recorded_time, too_old

NOON = 1_600_000_000.0
DAY = 86400


def written(path: Path, content: bytes = b"/a/b 1\n", mtime: float = NOON) -> Path:
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))
    return path


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("dump.txt", Made(NOON, "its file")),
        ("dump_20200901", Made(1_598_918_400.0 - 14 * 3600, "its name (UTC+14)")),
        ("dump_2020-09-01_1130.gz", Made(1_598_918_400.0 - 14 * 3600, "its name (UTC+14)")),
        ("replica_T2_X_01-09-2020_2f", Made(1_598_918_400.0 - 14 * 3600, "its name (UTC+14)")),
        ("Disk.1312201138.txt.bz2", Made(1_312_201_138.0, "its name")),
        ("dump_1312201138", Made(NOON, "its file")),
        # A date that is later than the file is that of something else.
        ("dump_20991231", Made(NOON, "its file")),
        ("dump_120200901", Made(NOON, "its file")),
    ],
)
def test_a_name_goes_before_the_time_of_the_file(tmp_path: Path, name: str, made: Made) -> None:
    assert made_at(written(tmp_path / name)) == made


def test_a_link_is_as_old_as_what_it_leads_to_says(tmp_path: Path) -> None:
    written(tmp_path / "dump_20200901")
    (tmp_path / "latest").symlink_to("dump_20200901")
    assert made_at(tmp_path / "latest") == Made(1_598_918_400.0 - 14 * 3600, "its name (UTC+14)")


@pytest.mark.parametrize(
    ("recorded", "at"),
    [
        (b"2020-09-01T00:00:00Z", 1_598_918_400.0),
        (b"2020-09-01T02:00:00+02:00", 1_598_918_400.0),
        # Nobody knows of which place it is, so that it is taken for the earliest.
        (b"2020-09-01T14:00:00.902495", 1_598_918_400.0),
        (b"once upon a time", NOON),
        (b"2099-09-01T00:00:00Z", NOON),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("head", [b'<dump recorded="%b">', b"<c:cat xmlns:c='u'>\n<c:dump recordtime = '%b'>"])
def test_an_xml_dump_says_when_it_was_recorded(
    tmp_path: Path, head: bytes, recorded: bytes, at: float, packed: bool
) -> None:
    content = b'<?xml version="1.0"?>\n' + head % recorded + b"<entry-set/>"
    path = written(tmp_path / "dump", gzip.compress(content) if packed else content)
    assert made_at(path) == Made(at, "its file" if at == NOON else "its content")


def test_what_looks_like_that_in_another_list_says_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "list", b'/a/<dump recorded="2001-01-01T00:00:00Z">\n')
    assert made_at(path) == Made(NOON, "its file")
    assert recorded_time(b"2020-09-01") == 1_598_918_400.0 - 14 * 3600


def test_a_file_that_cannot_be_unpacked_is_as_old_as_itself(tmp_path: Path) -> None:
    assert made_at(written(tmp_path / "dump", b"\x1f\x8bno gzip")) == Made(NOON, "its file")


def test_what_is_older_than_is_allowed_is_told_in_words() -> None:
    made = Made(time.time() - 10 * DAY, "its name")
    assert too_old(made, 0) == too_old(made, 10.01) == ""
    assert ", as its name says, 10.0 days ago, and DumpAge allows 9.5; have a new one made, or allow more" in too_old(
        made, 9.5
    )
