from __future__ import annotations

from engine.columns import FileColumns
from engine.doubles import without_doubles
from engine.record import DirectoryRecord, DirectorySummary
from engine.states import State
from engine.table import DirectoryTable


def summary(path: bytes, *files: tuple[bytes, int]) -> DirectorySummary:
    columns = FileColumns.from_rows((name, size, 1) for name, size in files)
    return DirectorySummary.of(DirectoryRecord(path, State.LISTED, files=columns))


TABLE = DirectoryTable.from_summaries(
    [
        summary(b"/store/alias/0000", (b"a", 1), (b"b", 2)),
        summary(b"/store/empty"),
        summary(b"/store/none"),
        summary(b"/store/other", (b"a", 1), (b"b", 3)),
        summary(b"/store/real/0000", (b"a", 1), (b"b", 2)),
    ]
)


def test_files_behind_a_link_are_left_out() -> None:
    files = [b"/store/alias/0000/a", b"/store/alias/0000/b", b"/store/other/a"]
    assert without_doubles(files, TABLE) == ([b"/store/other/a"], 2)


def test_directories_without_files_and_ones_that_are_not_known_have_no_twin() -> None:
    files = [b"/store/empty/new", b"/store/unheard/of"]
    assert without_doubles(files, TABLE) == (files, 0)
