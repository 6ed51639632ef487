"""The command diff, as an operator types it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from engine.columns import FileColumns
from engine.findings import Finding, Kind
from engine.plan import Action, Cause, ItemEvent, PlanItem
from engine.states import Reason
from storage.history import HistoryDatabase, RunCounts, RunSigns, RunStatus, Table
from storage.plans.audit import AuditLog
from tests.cli.loaded import run
from tests.storage.histories import files, orphans
from tests.storage.histories import run as enter
from tests.test_docs import keys_of, page_of

SITE = "T2_EXAMPLE"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with the history of two runs."""
    with HistoryDatabase(tmp_path / "var/db/consistency.db") as history:
        unknown = FileColumns.from_rows([(b"x", -1, 1)])
        first = [
            files(Kind.MISSING, b"/s", b"back\n", size=1000),
            files(Kind.MISSING, b"/s", b"still"),
            orphans(b"/s/\xff", b"still", b"acted"),
            orphans(b"/s/locked", b"unseen"),
        ]
        second = [
            files(Kind.MISSING, b"/s", b"still"),
            orphans(b"/s/\xff", b"still", b"new"),
            Finding(Kind.ORPHAN, b"/s/z", unknown),
            files(Kind.SIZE_MISMATCH, b"/s", b"cut"),
            Finding(Kind.EMPTY, b"/s/e"),
        ]
        for number, findings, unlisted in ((1, first, []), (2, second, [(b"/s/locked", Reason.PERMISSION, "")])):
            assert history.open_run(SITE, 1_700_000_000.0 + number, "threads") == number
            history.stage(number, findings)
            history.stage_unlisted(number, unlisted)
            counts, status = RunCounts(unlisted=len(unlisted)), RunStatus.INCOMPLETE
            history.finish_run(number, 1_700_000_010.0 + number, status, counts, keep_findings=True)
            if number == 1:
                history.mark_acted(SITE, Table.ORPHANS, [b"/s/\xff/acted"], 5.0)
    return tmp_path


def test_it_shows_what_became_of_each_kind(home: Path) -> None:
    ended = run("diff", SITE, cwd=home)
    assert (ended.code, ended.err) == (0, "")
    head, *rows, unseen = ended.out.splitlines()
    assert head == "T2_EXAMPLE: from run 1 of 2023-11-14 22:13:21 UTC to run 2 of 2023-11-14 22:13:22 UTC"
    assert [line.split("  ") and " ".join(line.split()) for line in rows] == [
        "new still gone acted on not seen",
        "missing 0 1 (7 bytes) 1 (1.0 kB) 0 0",
        "orphan 2 (7 bytes) 1 (7 bytes) 0 1 (7 bytes) 1 (7 bytes)",
        "size mismatch 1 (7 bytes) 0 0 0 0",
        "empty 1 0 0 0 0",
        "unlisted 1 0 0 0 0",
    ]
    where = "in or below what run 2 could not list, or what the settings leave alone by now"
    assert unseen == f"not seen: 1 finding of run 1, {where}; they may be there still"


def test_checksums_are_told_of_runs_that_compared_some(home: Path) -> None:
    with HistoryDatabase(home / "var/db/consistency.db") as history:
        for names in ((b"old", b"still"), (b"new", b"still")):
            enter(history, files(Kind.CHECKSUM_MISMATCH, b"/s", *names), site=SITE)
    ended = run("diff", SITE, "--list", cwd=home)
    assert ["checksum", "mismatch", "1", "(7", "bytes)"] in [line.split()[:5] for line in ended.out.splitlines()]
    assert "new\tchecksum_mismatch\t/s/new\t7\tadler32:00000001\tadler32:00000002" in ended.out.splitlines()
    found = run("diff", SITE, "--json", "--list", cwd=home).json
    (gone,) = [row for row in found["list"] if (row["kind"], row["fate"]) == ("checksum_mismatch", "gone")]
    sums = {"checksum": "adler32:00000001", "remote_checksum": "adler32:00000002"}
    assert gone == {"kind": "checksum_mismatch", "fate": "gone", "path": "/s/old", "size": 7, **sums}


def test_paths_are_listed(home: Path) -> None:
    listed = [line for line in run("diff", SITE, "--list", cwd=home).out.splitlines() if "\t" in line]
    assert listed == [
        "gone\tmissing\t/s/back\\n\t1000",
        "new\torphan\t/s/z/x\t-",
        "new\torphan\t/s/\\xff/new\t7",
        "acted\torphan\t/s/\\xff/acted\t7",
        "unseen\torphan\t/s/locked/unseen\t7",
        "new\tsize_mismatch\t/s/cut\t7\t8",
        "new\tempty\t/s/e",
        "new\tunlisted\t/s/locked",
    ]
    still = run("diff", SITE, "--list", "--still", cwd=home).out.splitlines()
    assert {line for line in still if line.startswith("still\t")} == {
        "still\tmissing\t/s/still\t7",
        "still\torphan\t/s/\\xff/still\t7",
    }
    assert run("diff", SITE, "--still", cwd=home).message == "--still goes with --list"


def test_json_is_exact_and_documented(home: Path) -> None:
    found = run("diff", SITE, "--json", "--list", cwd=home).json
    assert keys_of(page_of("diff")) == list(found)
    assert list(run("diff", SITE, "--json", cwd=home).json) == list(found)[:-1]
    finished = 1_700_000_011.0
    assert found["before"] == {"run": 1, "started": finished - 10, "finished": finished, "status": "incomplete"}
    none = {"count": 0, "bytes": 0}
    assert found["kinds"]["missing"] == {
        "new": none,
        "still": {"count": 1, "bytes": 7},
        "gone": {"count": 1, "bytes": 1000},
        "acted": none,
        "unseen": none,
    }
    assert found["kinds"]["empty"]["new"] == {"count": 1}
    first, _, third, *_ = found["list"]
    assert first == {"kind": "missing", "fate": "gone", "path": "/s/back\n", "size": 1000}
    path = base64.b64encode(b"/s/\xff/new").decode()
    assert third == {"kind": "orphan", "fate": "new", "path": "/s/\ufffd/new", "path_b64": path, "size": 7}
    assert {"kind": "size_mismatch", "fate": "new", "path": "/s/cut", "size": 7, "remote_size": 8} in found["list"]
    assert {"kind": "empty", "fate": "new", "path": "/s/e"} in found["list"]


def test_runs_that_are_not_there_are_told(home: Path) -> None:
    with HistoryDatabase(home / "var/db/consistency.db") as history:
        history.open_run("T2_BEGUN", 1_700_000_000.0, "threads")
    for arguments, words in (
        ((SITE, "1"), "T2_EXAMPLE has no run with findings before run 1"),
        ((SITE, "1", "7"), "T2_EXAMPLE has no run 7"),
        (("T2_BEGUN",), "T2_BEGUN has no run with findings, so there is nothing to compare"),
    ):
        ended = run("diff", *arguments, cwd=home)
        assert ended.code == 2
        assert words in ended.message
    (home / "empty").mkdir()
    assert "does not exist; a check makes it" in run("diff", SITE, cwd=home / "empty").message


@pytest.mark.parametrize(
    ("keys", "gone", "unseen"),
    [
        ({}, 1, 0),
        ({"DirectoryList": ["other"]}, 0, 1),
        ({"IgnoreDirectories": ["/t/"]}, 1, 0),
        # What stands in the name of a file leaves it out as well.
        ({"IgnoreDirectories": ["/s/"]}, 0, 1),
        ({"IgnoreDirectories": ["/s"]}, 0, 1),
    ],
)
def test_what_nobody_looks_for_any_more_is_not_called_gone(
    home: Path, keys: dict[str, object], gone: int, unseen: int
) -> None:
    settings = {"RootPath": "/", "DirectoryList": ["s"], **keys}
    (home / "consistency_config.json").write_text(json.dumps({"Sites": {SITE: settings}}))
    found = run("diff", SITE, "--json", cwd=home).json["kinds"]["missing"]
    assert (found["gone"]["count"], found["unseen"]["count"]) == (gone, unseen)


def test_orphans_that_are_not_reported_any_more_are_not_called_gone(home: Path) -> None:
    def orphans_of(**keys: object) -> dict[str, int]:
        settings = {"RootPath": "/", "DirectoryList": ["s"], **keys}
        (home / "consistency_config.json").write_text(json.dumps({"Sites": {SITE: settings}}))
        found = run("diff", SITE, "--json", cwd=home).json["kinds"]["orphan"]
        return {fate: part["count"] for fate, part in found.items()}

    with HistoryDatabase(home / "var/db/consistency.db") as history:
        number = history.open_run(SITE, 1_700_000_100.0, "threads")
        history.stage(number, [files(Kind.MISSING, b"/s", b"still")])
        history.finish_run(number, 1_700_000_110.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert orphans_of() == {"new": 0, "still": 0, "gone": 3, "acted": 0, "unseen": 0}
    assert orphans_of(DeleteOrphans=False) == {"new": 0, "still": 0, "gone": 0, "acted": 0, "unseen": 3}


@pytest.mark.parametrize(("begun", "gone", "acted"), [(None, 1, 0), (20.0, 0, 1), (70.0, 1, 0)])
def test_a_plan_may_be_applied_while_a_run_that_is_gone_on_with_was_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: float | None, gone: int, acted: int
) -> None:
    orphan = orphans(b"/s", b"f")
    with HistoryDatabase(tmp_path / "var/db/consistency.db") as history:
        for started, signs, findings in ((60.0, RunSigns(begun), [orphan]), (100.0, RunSigns(100.0), [])):
            number = history.open_run(SITE, started, "threads")
            history.stage(number, findings)
            history.finish_run(number, started + 5, RunStatus.DONE, RunCounts(), keep_findings=True, signs=signs)
    monkeypatch.setattr("storage.plans.audit.time.time", lambda: 50.0)
    item = PlanItem(1, Cause.ORPHAN, b"/s/f", 7, 1, "", Action.QUARANTINE)
    AuditLog(tmp_path / "var/runs" / SITE / "audit.jsonl").note("abc", ItemEvent.DONE, [item])
    monkeypatch.undo()
    found = run("diff", SITE, "--json", cwd=tmp_path).json["kinds"]["orphan"]
    assert (found["gone"]["count"], found["acted"]["count"]) == (gone, acted)


def test_a_site_that_nobody_knows_is_told_from_one_without_runs(home: Path) -> None:
    ended = run("diff", "T2_EXAMPEL", cwd=home)
    assert ended.code == 2
    assert ended.message.startswith('no runs of "T2_EXAMPEL" in ')
    assert ended.message.endswith("; it has runs of: T2_EXAMPLE")
