from __future__ import annotations

import os
import socket

import pytest

from engine.columns import DirectoryColumns, FileColumns
from engine.listing import Failed, Listed, NamesListed
from engine.states import Reason
from storage.listers.xrdfs import list_directory, list_names, parse_listing, parse_names
from tests.servers.fixtures import ServedDirectory
from tests.storage.listers.asking import reason_of

NOON = 1_600_000_000


def test_both_forms_of_a_line_are_read() -> None:
    output = (
        b"drwxr-xr-x root    root 4096 2020-09-13 12:26:40 /store/sub\n"
        b"-rw-r--r-- someone grp    12 1970-01-01 00:00:01 /store/ two  blanks \xff\n"
        b"-r-- 2020-09-13 12:26:41           7 /store/short\n"
    )

    assert parse_listing(output, b"/store") == Listed(
        FileColumns.from_rows([(b" two  blanks \xff", 12, 1), (b"short", 7, NOON + 1)]),
        DirectoryColumns.from_rows([(b"sub", NOON)]),
    )


@pytest.mark.parametrize(
    "line",
    [
        b"what is this",
        b"-rw-r--r-- a b 12 2020-09-13 12:26:40 /elsewhere/file",
        b"-rw-r--r-- a b 12 2020-09-13 12:26:40 /store/deeper/file",
        b"-rw-r--r-- a b 12 2020-09-13 12:26:40 /store/",
        b"-rw-r--r-- a b 12 2020-09-13 12:26:40 /store/" + b"n" * 254,
        b"-rw-r--r-- a b 12 2020-09-13 12:26:40 /store/once",
        b"-rw-r--r-- a b -1 2020-09-13 12:26:40 /store/file",
        b"",
    ],
)
def test_a_line_that_is_in_doubt_fails_the_directory(line: bytes) -> None:
    once = b"-rw-r--r-- a b 12 2020-09-13 12:26:40 /store/once\n"

    assert reason_of(parse_listing(once + line + b"\n", b"/store")) == Reason.BAD_NAME


def test_names_are_read_below_the_root_too() -> None:
    assert parse_names(b"/store\n/da ta\xff\n", b"/") == NamesListed(frozenset((b"store", b"da ta\xff")))
    assert reason_of(parse_names(b"/store/a\n/store/a\n", b"/store")) == Reason.BAD_NAME
    assert reason_of(parse_names(b"store/a\n", b"/store")) == Reason.BAD_NAME


def test_a_directory_is_listed_by_the_program(xrootd_directory: ServedDirectory) -> None:
    directory = os.fsencode(xrootd_directory.path) + b'/it\'s 100% "odd"'
    os.mkdir(directory)
    for name, size in ((b"a\xff", 3), (b"-l", 5 * 2**30)):
        with open(directory + b"/" + name, "wb") as file:
            file.truncate(size)
        os.utime(directory + b"/" + name, (NOON, NOON))
    path = xrootd_directory.lfn + b'/it\'s 100% "odd"'

    assert list_directory("xrdfs", xrootd_directory.url, path, 20) == Listed(
        FileColumns.from_rows([(b"a\xff", 3, NOON), (b"-l", 5 * 2**30, NOON)])
    )
    assert list_names("xrdfs", xrootd_directory.url, path, 20) == NamesListed(frozenset((b"a\xff", b"-l")))


def test_a_newline_in_a_name_fails_the_directory(xrootd_directory: ServedDirectory) -> None:
    for name in (b"a\xff", b"one\ntwo"):
        os.close(os.open(os.fsencode(xrootd_directory.path) + b"/" + name, os.O_CREAT))

    assert isinstance(list_directory("xrdfs", xrootd_directory.url, xrootd_directory.lfn, 20), Failed)


def test_what_goes_wrong_is_said(xrootd_directory: ServedDirectory) -> None:
    missing = list_directory("xrdfs", xrootd_directory.url, xrootd_directory.lfn + b"/missing", 20)
    assert isinstance(missing, Failed)
    assert "3011" in missing.detail
    assert reason_of(list_names("xrdfs", xrootd_directory.url, xrootd_directory.lfn, 20)) == Reason.FALSE_EMPTY
    assert reason_of(list_names("/no/such/program", xrootd_directory.url, b"/store", 20)) == Reason.SERVER
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"root://localhost:{deaf.getsockname()[1]}"
        assert reason_of(list_names("xrdfs", url, b"/store", 1)) == Reason.TIMEOUT
