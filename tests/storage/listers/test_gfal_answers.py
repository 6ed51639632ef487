from __future__ import annotations

import pytest

from engine.columns import DirectoryColumns, FileColumns
from engine.listing import Listed, NamesListed, Present
from engine.states import Reason
from storage.listers.gfal_answers import failure, parse_entry, parse_listing, parse_names
from storage.listers.programs import Done
from tests.storage.listers.asking import reason_of

NOON = 1_600_000_000
LINE = b"-rw-r--r--   1 0     0            15 2020-09-13 12:26:40.000000 +0000 file\t\n"
DOTS = b"".join(
    b"drwxr-xr-x   2 0     0          4096 2020-09-13 12:26:40.000000 +0000 " + name + b"\t\n" for name in (b".", b"..")
)


def test_lines_are_read_to_the_byte() -> None:
    output = (
        b"-r--r--r--   0 0     0            22 2020-09-13 12:26:40.000000 +0000  blanks \t\n"
        b"-r--r--r--   0 0     0             8 1969-12-31 23:59:59.000000 +0000 tab\there\xff\t\n"
        b"dr-xr-xr-x   0 0     0          4096 2020-09-13 12:26:41.999999 +0000 sub\t\n"
        b"frw-r--r--   1 0     0             0 2020-09-13 12:26:40.000000 +0000 pipe\t\n"
    )

    assert parse_listing(output, dots=False) == Listed(
        FileColumns.from_rows([(b" blanks ", 22, NOON), (b"tab\there\xff", 8, -1)]),
        DirectoryColumns.from_rows([(b"sub", NOON + 1)]),
        others=True,
    )
    assert parse_listing(b"", dots=False) == Listed()


@pytest.mark.parametrize(
    "line",
    [
        b"ERROR something was logged\n",
        LINE.replace(b"\t", b""),
        LINE.replace(b"file", b"fi/le"),
        LINE.replace(b"file", b""),
        LINE.replace(b"15 2020", b"-1 2020"),
        LINE.replace(b"+0000", b"+0100"),
        LINE.replace(b"file", b"."),
        LINE + LINE,
        b"\n" + LINE,
        LINE.replace(b"file", b"fi\nle"),
        LINE[:-8],
    ],
)
def test_a_line_that_is_in_doubt_fails_the_directory(line: bytes) -> None:
    assert reason_of(parse_listing(line, dots=False)) == Reason.BAD_NAME


def test_a_listing_on_disk_has_its_dots() -> None:
    assert parse_listing(DOTS + LINE, dots=True) == Listed(FileColumns.from_rows([(b"file", 15, NOON)]))
    assert reason_of(parse_listing(LINE, dots=True)) == Reason.PARTIAL
    assert parse_names(b".\n..\nfile\n", dots=True) == NamesListed(frozenset((b"file",)))
    assert reason_of(parse_names(b"file\n", dots=True)) == Reason.PARTIAL


@pytest.mark.parametrize("output", [b"a/b\n", b"one\none\n", b"\n\n", b"..\n"])
def test_names_that_are_in_doubt_fail_the_directory(output: bytes) -> None:
    assert reason_of(parse_names(output, dots=False)) == Reason.BAD_NAME


def test_an_entry_is_the_one_that_was_asked_for() -> None:
    url = b"root://door//store/file"
    output = LINE.replace(b"file", url)

    assert parse_entry(output, url) == Present(15, NOON, False)
    assert reason_of(parse_entry(output, url + b"2")) == Reason.BAD_NAME
    assert reason_of(parse_entry(b"", url)) == Reason.BAD_NAME


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (2, "gfal-ls error: 2 (No such file or directory) - Failed to stat file", Reason.NOT_FOUND),
        # A usage error ends with 2 as well.
        (2, "usage: gfal-ls [-h] gfal-ls: error: unrecognized arguments: -x", Reason.SERVER),
        (2, "", Reason.SERVER),
        (2, "gfal-ls error: 13 (Permission denied) - no", Reason.SERVER),
        (13, "gfal-ls error: 13 (Permission denied) - Failed to stat file", Reason.PERMISSION),
        (20, "gfal-ls error: 20 (Not a directory) - no", Reason.NOT_A_DIRECTORY),
        (111, "gfal-ls error: 111 (Connection refused) - no", Reason.CONNECTION),
        (110, "gfal-ls error: 110 (Connection timed out) - no", Reason.TIMEOUT),
        (
            84,
            "gfal-ls error: 84 (Invalid) - [ERROR] Error response: permission denied (Unknown error 400)",
            Reason.PERMISSION,
        ),
        (84, "gfal-ls error: 84 (Invalid) - [ERROR] Invalid response (Unknown error 303)", Reason.BAD_NAME),
        (84, "gfal-ls error: 84 (Invalid) - [ERROR] something else", Reason.SERVER),
        (255, "Traceback (most recent call last): UnicodeDecodeError: 'utf-8' codec", Reason.BAD_NAME),
        (255, "Traceback (most recent call last): KeyError", Reason.SERVER),
        (-9, "", Reason.SERVER),
        # An errno of 256 ends with 0.
        (0, "gfal-ls error: 256 (Unknown error 256) - no", Reason.PARTIAL),
    ],
)
def test_what_goes_wrong_has_its_reason(status: int, said: str, reason: Reason) -> None:
    assert reason_of(failure(Done(status, b"", said))) == reason


def test_a_program_that_ended_well_and_said_nothing_is_believed() -> None:
    assert failure(Done(0, b"x", "")) is None
