"""What is said of one file is what a whole comparison finds of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import DirectoryColumns, FileColumns
from engine.compare import CompareOptions, Tally, compare
from engine.explaining.facts import Judged, Verdict
from engine.explaining.judging import judge_file
from engine.findings import Kind
from engine.index import Entry, IndexBuilder
from engine.paths import join, parent_of
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.table import DirectoryTable
from tests.engine.test_compare_properties import NOW, Tree, files_of, pairs, seen, table_of

_KINDS = {Kind.MISSING: Verdict.MISSING, Kind.ORPHAN: Verdict.ORPHAN, Kind.SIZE_MISMATCH: Verdict.SIZE_MISMATCH}


def judge(inventory: Tree, remote: Tree, path: bytes, options: CompareOptions | None = None) -> Judged:
    return judge_file(table_of(inventory), table_of(remote), options or CompareOptions(), Tally(), path)


@settings(max_examples=150)
@given(pairs(), st.sampled_from([None, NOW]), st.booleans(), st.sets(st.sampled_from([b"/a", b"c\xff"])))
def test_each_file_is_judged_as_by_a_whole_comparison(
    trees: tuple[Tree, Tree], young_after: int | None, one_name: bool, kept: set[bytes]
) -> None:
    inventory, remote = trees

    def keep(path: bytes) -> bool:
        return any(part in path for part in kept)

    options = CompareOptions(young_after, keep, keep, one_name)
    ours, theirs = table_of(inventory), table_of(remote)
    found = {
        join(finding.directory, name): _KINDS[finding.kind]
        for finding in compare(ours, theirs, options, Tally())
        for name in finding.files.name_list()
    }
    for path in {*files_of(inventory), *files_of(remote), b"/a/nowhere", b"/x/y/nowhere"}:
        judged = judge_file(ours, theirs, options, Tally(), path)
        if path in found:
            assert judged.verdict == found[path]
            continue
        assert judged.verdict not in _KINDS.values()
        directory = parent_of(path)
        assert directory is not None
        if not (seen(inventory, directory) and seen(remote, directory)):
            assert judged.verdict == Verdict.UNSEEN
            assert judged.reason
        elif judged.verdict == Verdict.AGREES:
            assert path in files_of(inventory) or path in files_of(remote)
        elif judged.verdict == Verdict.NOWHERE:
            assert path not in files_of(inventory)
            assert path not in files_of(remote)


def built(*records: DirectoryRecord) -> DirectoryTable:
    builder = IndexBuilder()
    for record in records:
        builder.add(Entry.of(record))
    files = {record.path: record.files for record in records}
    held: list[DirectoryTable] = []
    table, _, _ = builder.table(lambda _offsets, _lengths: lambda row: files[held[0].paths[row]])
    held.append(table)
    return table


def listed(path: bytes, names: list[bytes], children: list[tuple[bytes, int, int]] | None = None) -> DirectoryRecord:
    files = FileColumns.from_rows((name, 1, 1) for name in names)
    return DirectoryRecord(path, State.LISTED, files=files, directories=DirectoryColumns.with_ids(children or []))


def test_a_file_behind_a_link_is_judged_under_the_other_name() -> None:
    children = [(b"link", 1, 7), (b"real", 1, 7), (b"other", 1, 8)]
    remote = built(
        listed(b"/s", [], children),
        listed(b"/s/link", [b"a", b"extra"]),
        listed(b"/s/real", [b"a", b"extra"]),
        listed(b"/s/other", [b"x"]),
    )
    inventory = built(listed(b"/s", [], [(b"real", 1, 0)]), listed(b"/s/real", [b"a"]))
    options = CompareOptions(one_name=True)

    def verdict(path: bytes) -> Judged:
        return judge_file(inventory, remote, options, Tally(), path)

    assert verdict(b"/s/link/a") == Judged(Verdict.LINK, Reason.LINK.label, b"/s/real")
    assert verdict(b"/s/real/a").verdict == Verdict.AGREES
    assert verdict(b"/s/real/extra").verdict == Verdict.ORPHAN
    assert verdict(b"/s/other/x").verdict == Verdict.ORPHAN


def test_a_file_that_is_spared_or_young_says_so() -> None:
    remote = built(listed(b"/s", [b"a"]))
    inventory = built(listed(b"/s", []))
    spared = CompareOptions(keep_orphan=lambda path: path == b"/s/a")
    assert judge_file(inventory, remote, spared, Tally(), b"/s/a") == Judged(Verdict.SPARED)
    assert judge_file(inventory, remote, CompareOptions(young_after=0), Tally(), b"/s/a") == Judged(Verdict.YOUNG)
