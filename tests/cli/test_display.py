from __future__ import annotations

import pytest

from actors.messages import Progress
from cli.display import ProgressDisplay, describe, human_bytes, human_count


def test_progress_in_one_line() -> None:
    progress = Progress(listed=2_100, failed=3, files=200_000, size=1, queued=40, in_flight=16, resumed=100)
    assert describe("T2_X", "listing", progress, 10.0) == (
        "T2_X: listing · 2,100 directories · 200,000 files · 200/s · queue 40 · in flight 16 · failed 3 · resumed 100"
    )


def test_a_label_is_not_taken_for_markup() -> None:
    assert describe("root://[::1]//store", "listing", Progress(), 0.0).startswith("root://\\[::1]//store: listing · 0 ")


def test_nothing_is_drawn_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay("T2_X") as display:
        display.show("listing", Progress(listed=1))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_500_000_000_000, "1.5 TB"),
        (12_345 * 10**15, "12,345.0 PB"),
    ],
)
def test_bytes_for_people(count: int, words: str) -> None:
    assert human_bytes(count) == words


def test_counts_have_their_noun() -> None:
    assert human_count(1, "directory", "directories") == "1 directory"
    assert human_count(2000, "directory", "directories") == "2,000 directories"
    assert human_count(0, "file") == "0 files"


def test_a_note_is_told_once_even_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay("T2_X") as display:
        for _ in range(3):
            display.show("listing", Progress(note="starting over: the journal is damaged"))
    assert capsys.readouterr().err == "dynamo-consistency: T2_X: starting over: the journal is damaged\n"
