"""Whole cleanings of an unmerged area on a real XRootD server."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from actors.listing import Oversight, Refused
from actors.messages import Killed, Progress
from actors.runtime import Runtime
from actors.unmerged import CleaningOptions, UnmergedResult, clean_unmerged
from actors.unmerged_run import clean_site
from engine.columns import FileColumns
from engine.findings import Finding, Kind
from engine.listing import Failed
from engine.states import Reason
from engine.unmerged import Kept, Mode
from storage.config.files import ConfigError
from storage.config.site import SiteConfig
from storage.doors.source import site_source
from storage.history import FileRow, HistoryDatabase, RunCounts, RunStatus
from storage.listers.memory import Fault, MemoryStore, publish
from storage.listers.protocol import Ask
from storage.runs.directory import AlreadyRunning, RunDirectory, RunInfo
from storage.runs.reports import ReportError
from storage.snapshot import part_of
from storage.unmerged.journal import UnmergedJournal
from storage.unmerged.protected_list import ProtectedListError
from storage.unmerged.search import find_kept
from tests.servers.fixtures import ServedDirectory

SITE = "T2_TEST"
DAY = 86400


@dataclass
class UnmergedSite:
    """A site whose RootPath is a directory of a store, with a protected list and settings in ``home``."""

    home: Path
    store: Path
    lfn: bytes
    door: str
    keys: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)

    def put(self, *names: str, age: float = 60) -> None:
        """Put files of one byte for each letter of their name, ``age`` days old."""
        for name in names:
            path = self.store / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * len(path.name))
            os.utime(path, (time.time() - age * DAY,) * 2)

    def protect(self, *names: str) -> None:
        """Write the protected list, of names below the RootPath."""
        self.list.write_text(json.dumps({"result": [f"{self.lfn.decode()}/{name}" for name in names]}))

    @property
    def list(self) -> Path:
        return self.home / "protected.json"

    @property
    def www(self) -> Path:
        return self.home / "www"

    def config(self) -> SiteConfig:
        return SiteConfig(
            SITE,
            root_path=self.lfn,
            directories=(self.lfn + b"/mc",),
            doors=(self.door,),
            var_location=self.home / "var",
            web_dir=self.www,
            list_deletable=json.dumps({"PROTECTED_LIST": str(self.list), **self.keys}),
            **{"in_flight": 8, "timeout": 10.0, "retries": 1, **self.changes},
        )

    def clean(
        self, runtime: Runtime, oversight: Oversight | None = None, **options: Any
    ) -> tuple[UnmergedResult, list[FileRow]]:
        """Clean; gives the result and what was to be recorded."""
        recorded: list[FileRow] = []
        config, chosen = self.config(), CleaningOptions(**options)
        result = clean_unmerged(runtime, config, site_source(config), oversight or Oversight(), chosen, recorded.extend)
        return result, recorded

    def names(self, lfns: Iterable[bytes]) -> list[str]:
        return [lfn.decode("utf-8", "surrogateescape").removeprefix(f"{self.lfn.decode()}/unmerged/") for lfn in lfns]

    def report(self) -> list[str]:
        lines = (self.www / f"{SITE}_unmerged.txt").read_text().splitlines()
        return [line.removeprefix(f"{self.lfn.decode()}/unmerged/") for line in lines]

    def stays(self) -> dict[str, str]:
        rows = find_kept(self.www / f"{SITE}_unmerged_kept.db")
        return {name: row.reason for row in rows for name in self.names([row.path])}


@pytest.fixture
def site(xrootd_directory: ServedDirectory, tmp_path: Path) -> UnmergedSite:
    """A site on the server that all tests share, whose list protects something that is not there."""
    (xrootd_directory.path / "unmerged").mkdir()
    made = UnmergedSite(tmp_path, xrootd_directory.path, xrootd_directory.lfn, xrootd_directory.url)
    made.protect("unmerged/not/there")
    return made


@pytest.fixture
def runtime_threads(start_threads: Callable[[], Runtime]) -> Runtime:
    return start_threads()


def test_old_files_that_nothing_protects_are_deletable(runtime: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x", "unmerged/a/y/z", "unmerged/ab/f", "unmerged/logs/l.tar.gz", "unmerged/logs/l")
    site.put("unmerged/b/x.tar.gz", "unmerged/SAM/s", "mc/not/unmerged")
    site.put("unmerged/b/young", "unmerged/logs/young", age=1)
    site.protect("unmerged/a", "unmerged/not/there")
    result, recorded = site.clean(runtime)
    expected = ["ab/f", "b/x.tar.gz", "logs/l", "logs/l.tar.gz"]
    assert site.report() == expected
    assert site.names(path for path, _, _ in recorded) == expected
    assert site.names(result.to_delete.lfns()) == expected
    assert site.stays() == {
        "SAM/s": "avoided",
        "a/x": "protected",
        "a/y/z": "protected",
        "b/young": "too young",
        "logs/young": "too young",
    }
    assert (result.files, result.deletable, result.deletable_size, result.logs) == (9, 4, 18, 3)
    assert result.kept == {Kept.PROTECTED: 2, Kept.AVOIDED: 1, Kept.YOUNG: 2}
    assert (result.mode, result.directories, result.unlisted, result.prefixes) == (Mode.FILES, 0, 0, 2)
    exact = [json.loads(line) for line in (site.www / f"{SITE}_unmerged.jsonl").read_text().splitlines()]
    assert site.names(row["path"].encode() for row in exact) == expected
    assert [row["size"] for row in exact] == [1, 8, 1, 8]
    assert sorted(path.name for path in site.www.iterdir()) == [
        f"{SITE}_unmerged.jsonl",
        f"{SITE}_unmerged.txt",
        f"{SITE}_unmerged_kept.db",
    ]


def test_whole_directories(runtime: Runtime, site: UnmergedSite) -> None:
    site.keys["WHICH_LIST"] = "directories"
    site.put("unmerged/a/b/x", "unmerged/a/b/c/y", "unmerged/a/d/x", "unmerged/top", "unmerged/logs/l", "unmerged/e/x")
    site.put("unmerged/a/d/young", age=1)
    site.protect("unmerged/e/x")
    result, recorded = site.clean(runtime)
    assert site.report() == ["a/b", "logs/l"]
    assert site.names(path for path, _, _ in recorded) == ["a/b/x", "a/b/c/y", "logs/l"]
    assert site.names(result.to_delete.lfns()) == ["a/b/x", "a/b/c/y", "logs/l", "a/b/c", "a/b"]
    assert (result.directories, result.deletable, result.logs) == (1, 3, 1)
    assert site.stays() == {
        "a/d/x": "something else in its directory stays",
        "a/d/young": "too young",
        "e/x": "protected",
        "top": "something else in its directory stays",
    }
    exact = [json.loads(line) for line in (site.www / f"{SITE}_unmerged.jsonl").read_text().splitlines()]
    assert [(row["size"], row["mtime"] is None) for row in exact] == [(2, True), (1, False)]


def test_a_directory_whose_listing_was_cut_short_does_not_go(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.keys["WHICH_LIST"] = "directories"
    site.put("unmerged/a/cut/x", *[f"unmerged/a/cut/f{number}" for number in range(5)], "unmerged/b/x")
    # A server ends a listing with attributes where it meets this, and calls it complete.
    (site.store / "unmerged/a/cut/loop").symlink_to("loop")
    result, _ = site.clean(runtime_threads)
    assert site.report() == ["b"]
    assert result.directories == 1


def test_what_cannot_be_read_is_left_alone(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x", "unmerged/locked/x", "unmerged/c/locked/x", "unmerged/c/x")
    for name in ("locked", "c/locked"):
        (site.store / "unmerged" / name).chmod(0o700 if os.geteuid() == 0 else 0)
    result, _ = site.clean(runtime_threads)
    assert site.report() == ["a/x", "c/x"]
    assert site.stays() == {"c/locked": "unlisted: permission denied", "locked": "unlisted: permission denied"}
    assert result.unlisted == 2
    assert site.clean(runtime_threads, mode="directories")[0].directories == 1
    assert site.report() == ["a"]
    for name in ("locked", "c/locked"):
        (site.store / "unmerged" / name).chmod(0o755)


def test_a_link_that_leads_back_up(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x", "unmerged/b/x", "unmerged/needed/x")
    (site.store / "unmerged/a/loop").symlink_to("..")
    site.protect("unmerged/needed")
    site.changes["max_depth"] = 9
    site.clean(runtime_threads)
    # Through the link the needed file would have names that no prefix covers, so what is beside it stays as well.
    stays = site.stays()
    assert stays["a/loop"] == "unlisted: the same as another directory"
    assert stays["a/x"] == "unlisted"
    assert site.report() == ["b/x"]


def test_hostile_names(runtime_threads: Runtime, site: UnmergedSite) -> None:
    names = ["with blank ", '"><img onerror=', "übrig", "-rf", "a\\b", "tab\t", "#%&;", "..."]
    site.put(*[f"unmerged/d/{name}" for name in names], "unmerged/d/what?", "unmerged/d/" + "n" * 254)
    site.put("unmerged/d/" + "m" * 253)
    result, recorded = site.clean(runtime_threads)
    expected = sorted([*names, "m" * 253], key=str.encode)
    assert site.names(path for path, _, _ in recorded) == [f"d/{name}" for name in expected]
    assert "d/with blank\\x20" in site.report()
    assert set(site.stays()) == {"d/what?", "d/" + "n" * 254}
    assert result.kept == {Kept.BAD_NAME: 2}


def test_names_that_are_not_utf_8(runtime_threads: Runtime, tmp_path: Path) -> None:
    site = UnmergedSite(tmp_path, tmp_path / "store", os.fsencode(tmp_path / "store"), "file:///")
    site.put("unmerged/d/old\udcff", "unmerged/d/new\nline")
    site.put("unmerged/d/young\udcff", age=1)
    site.protect("unmerged/not/there")
    _, recorded = site.clean(runtime_threads)
    assert site.names(path for path, _, _ in recorded) == ["d/new\nline", "d/old\udcff"]
    assert site.report() == ["d/new\\nline", "d/old\\xff"]
    assert site.stays() == {"d/young\udcff": "too young"}


def test_more_logs_outside_the_unmerged_directory(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.changes["additional_log_deletions"] = (site.lfn + b"/logs/prod", site.lfn + b"/logs/gone")
    site.put("unmerged/x", "logs/prod/old.tar.gz", "logs/other/x", "mc/x")
    site.put("logs/prod/young", age=1)
    site.protect("unmerged/not/there")
    assert site.names(site.clean(runtime_threads)[0].to_delete.lfns()) == ["x"]
    result, _ = site.clean(runtime_threads, more_logs=True)
    lfns = [lfn.removeprefix(site.lfn) for lfn in result.to_delete.lfns()]
    assert lfns == [b"/logs/prod/old.tar.gz", b"/unmerged/x"]
    assert (result.logs, result.unlisted) == (1, 1)
    site.protect("unmerged/not/there", "logs/prod")
    assert site.names(site.clean(runtime_threads, more_logs=True)[0].to_delete.lfns()) == ["x"]


def test_a_young_log_and_an_old_one(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.changes["unmerged_logs_age"] = 10.0
    site.put("unmerged/logs/x", "unmerged/a/x", age=12)
    assert site.names(site.clean(runtime_threads)[0].to_delete.lfns()) == ["logs/x"]


@pytest.mark.parametrize("content", ["", "{}", '{"result": []}', '{"result": ["unmerged/a"]}', "<html>", None])
def test_without_a_good_list_nothing_is_listed(
    runtime_threads: Runtime, site: UnmergedSite, content: str | None
) -> None:
    site.put("unmerged/a/x")
    if content is None:
        site.list.unlink()
    else:
        site.list.write_text(content)
    with pytest.raises(ProtectedListError, match="nothing is deleted without it"):
        site.clean(runtime_threads)
    assert not site.www.exists()


def test_the_list_is_read_again_and_both_readings_count(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x", "unmerged/b/x", "unmerged/c/x")
    site.protect("unmerged/a")

    def change(_phase: str, _progress: Progress) -> None:
        site.protect("unmerged/b")

    result, _ = site.clean(runtime_threads, Oversight(watch=change))
    assert site.report() == ["c/x"]
    assert result.prefixes == 2


def test_a_list_that_goes_away_meanwhile_costs_no_listing(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x", "unmerged/b/x")
    with pytest.raises(ProtectedListError):
        site.clean(runtime_threads, Oversight(watch=lambda _phase, _progress: site.list.unlink(missing_ok=True)))
    assert list(site.www.iterdir()) == []
    site.protect("unmerged/b")
    result, _ = site.clean(runtime_threads)
    assert (result.listing.resumed, site.report()) == (3, ["a/x"])
    # That one was complete, so the next one looks again.
    assert site.clean(runtime_threads)[0].listing.resumed == 0


def test_a_list_of_another_place_is_refused(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x")
    site.protect("unmergedness/a", "mc/b")
    with pytest.raises(Refused, match="nothing in the protected list has to do with"):
        site.clean(runtime_threads)


def test_more_than_a_fraction_is_refused(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x", "unmerged/a/y", "unmerged/a/z")
    site.put("unmerged/a/young", age=1)
    site.keys["MAX_FRACTION"] = 0.75
    assert site.clean(runtime_threads)[0].deletable == 3
    before = {path.name: path.read_bytes() for path in site.www.iterdir()}
    site.put("unmerged/b/x")
    site.keys["MAX_FRACTION"] = 0.7
    with pytest.raises(Refused, match=r"4 of 5 files would be deletable, more than 0\.7 of them"):
        site.clean(runtime_threads)
    assert {path.name: path.read_bytes() for path in site.www.iterdir()} == before


def test_an_unmerged_directory_that_is_not_there_is_refused(runtime_threads: Runtime, site: UnmergedSite) -> None:
    (site.store / "unmerged").rmdir()
    with pytest.raises(Refused, match="no top directory could be listed"):
        site.clean(runtime_threads)
    # Other directories do not stand in for it.
    site.put("logs/prod/x")
    site.changes["additional_log_deletions"] = (site.lfn + b"/logs/prod",)
    with pytest.raises(Refused, match="no top directory could be listed"):
        site.clean(runtime_threads, more_logs=True)
    assert list(site.www.iterdir()) == []


def test_an_unmerged_directory_that_is_empty(runtime_threads: Runtime, site: UnmergedSite) -> None:
    result, recorded = site.clean(runtime_threads)
    assert (result.files, result.deletable, recorded, site.report()) == (0, 0, [], [])


def test_a_dead_door(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.door = "root://127.0.0.1:1"
    site.changes.update(timeout=2.0, retries=0)
    with pytest.raises(Refused, match="no top directory could be listed"):
        site.clean(runtime_threads)


def test_wrong_settings_are_found_before_anything_is_read(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.keys["MIN_AGE"] = "old"
    site.list.unlink()
    with pytest.raises(ConfigError, match="MIN_AGE"):
        site.clean(runtime_threads)


def test_a_web_directory_that_cannot_be_written_is_found_before_the_listing(
    runtime_threads: Runtime, site: UnmergedSite
) -> None:
    site.www.write_text("a file")
    with pytest.raises(ReportError, match="www"):
        site.clean(runtime_threads)
    assert not UnmergedJournal(RunDirectory(site.home / "var", SITE).path).snapshot.parent.exists()


def test_when_nothing_can_be_recorded_nothing_appears(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x")
    config = site.config()

    def refuse(_rows: object) -> None:
        raise OSError("no history today")

    with pytest.raises(OSError, match="no history today"):
        clean_unmerged(runtime_threads, config, site_source(config), Oversight(), record=refuse)
    assert list(site.www.iterdir()) == []


def test_a_cleaning_that_was_stopped_goes_on(runtime_threads: Runtime, tmp_path: Path) -> None:
    store = MemoryStore()
    for number in range(60):
        store.add_file(b"/store/unmerged/d%02d/f" % number, 1, 1000)
    for number in range(30, 60):
        store.misbehave(b"/store/unmerged/d%02d" % number, Fault(delay=0.3))
    site = UnmergedSite(tmp_path, tmp_path, b"/store", publish(tmp_path.name, store))
    site.protect("unmerged/not/there")
    seen: list[Progress] = []

    def stop() -> str:
        return "enough" if seen and seen[-1].listed >= 20 else ""

    with pytest.raises(Killed, match="enough"):
        site.clean(runtime_threads, Oversight(stop, lambda _phase, progress: seen.append(progress)))
    assert part_of(UnmergedJournal(RunDirectory(tmp_path / "var", SITE).path).snapshot).exists()
    result, _ = site.clean(runtime_threads)
    assert result.listing.resumed >= 20
    assert result.deletable == 60
    assert list(site.www.glob(".*")) == []


def test_an_unfinished_cleaning_is_dropped_when_asked_for(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x")
    with pytest.raises(ProtectedListError):
        site.clean(runtime_threads, Oversight(watch=lambda _phase, _progress: site.list.unlink(missing_ok=True)))
    site.protect("unmerged/not/there")
    assert site.clean(runtime_threads, fresh=True)[0].listing.resumed == 0


def test_a_file_has_to_be_old_when_the_listing_is_begun(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x", age=1)
    site.keys["MIN_AGE"] = DAY + 2
    with pytest.raises(ProtectedListError):
        site.clean(runtime_threads, Oversight(watch=lambda _phase, _progress: site.list.unlink(missing_ok=True)))
    site.protect("unmerged/not/there")
    journal = site.home / "var" / "runs" / SITE / "unmerged.json"
    state, written = json.loads(journal.read_text()), journal.stat().st_mtime_ns
    site.keys["MIN_AGE"] = DAY
    journal.write_text(json.dumps({**state, "started": state["started"] - 3600}))
    os.utime(journal, ns=(written, written))
    # By now it is older than a day, but when the listing was begun it was not.
    result, _ = site.clean(runtime_threads)
    assert (result.listing.resumed, result.deletable) == (2, 0)


def test_a_file_has_to_be_old_when_a_dump_was_made(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x", age=30)
    site.put("unmerged/a/y", age=60)
    config = site.config()
    store = replace(site_source(config), as_of=time.time() - 10 * DAY)
    assert clean_unmerged(runtime_threads, config, store, Oversight()).deletable == 1
    assert site.report() == ["a/y"]


def test_a_directory_that_gives_no_names_is_doubted(runtime_threads: Runtime, tmp_path: Path) -> None:
    store = MemoryStore()
    store.add_file(b"/store/unmerged/a/x", 1, 1000)
    store.add_file(b"/store/unmerged/b/x", 1, 1000)
    no_names = Fault(Failed(Reason.PERMISSION, "no"), asks=frozenset((Ask.NAMES,)))
    store.misbehave(b"/store/unmerged/b", no_names)
    site = UnmergedSite(tmp_path, tmp_path, b"/store", publish(tmp_path.name, store))
    site.protect("unmerged/not/there")
    site.clean(runtime_threads, mode="directories")
    assert site.report() == ["a"]


def test_a_run_of_its_own_is_in_the_history(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.put("unmerged/a/x", "unmerged/b/x", "unmerged/c/x")
    config = site.config()
    first, result = clean_site(runtime_threads, config, site_source(config), Oversight())
    assert result.deletable == 3
    site.protect("unmerged/a")
    second, _ = clean_site(runtime_threads, config, site_source(config), Oversight())
    with HistoryDatabase(config.var_location / "db" / "consistency.db") as history:
        assert site.names(path for path, _, _ in history.unmerged(SITE)) == ["b/x", "c/x"]
        latest, earlier = history.runs(SITE)
        assert (earlier.id, latest.id) == (first, second)
        assert (latest.status, latest.counts.files, latest.counts.missing) == (RunStatus.DONE, 3, 0)
        assert latest.message == "cleaning of unmerged: 2 of 3 files may be deleted"
        site.protect("mc")
        with pytest.raises(Refused):
            clean_site(runtime_threads, config, site_source(config), Oversight())
        assert site.names(path for path, _, _ in history.unmerged(SITE)) == ["b/x", "c/x"]
        (failed, *_) = history.runs(SITE)
        assert failed.status == RunStatus.FAILED
        assert failed.message.startswith("cleaning of unmerged: protected-list: nothing in the protected list")
        assert [gate.gate for gate in failed.signs.gates] == ["protected-list"]


def test_a_cleaning_leaves_the_findings_of_a_check_alone(runtime_threads: Runtime, site: UnmergedSite) -> None:
    config = site.config()
    with HistoryDatabase(config.var_location / "db" / "consistency.db") as history:
        run = history.open_run(SITE, 1.0, "threads")
        missing = Finding(Kind.MISSING, b"/store/mc", FileColumns.from_rows([(b"lost", 1, 1)]))
        history.stage(run, [missing])
        history.finish_run(run, 2.0, RunStatus.DONE, RunCounts(missing=1), keep_findings=True)
        clean_site(runtime_threads, config, site_source(config), Oversight())
        assert [path for path, _, _ in history.missing(SITE)] == [b"/store/mc/lost"]


def test_one_run_of_a_site_at_a_time(runtime_threads: Runtime, site: UnmergedSite) -> None:
    config = site.config()
    with RunDirectory(config.var_location, SITE) as held:
        held.acquire(RunInfo(os.getpid(), "here", 1.0, "threads"))
        with pytest.raises(AlreadyRunning):
            clean_site(runtime_threads, config, site_source(config), Oversight())


def test_a_run_is_halted_from_another_terminal(runtime_threads: Runtime, site: UnmergedSite) -> None:
    config = site.config()
    directory = RunDirectory(config.var_location, SITE)

    def halt(_phase: str, _progress: Progress) -> None:
        (directory.path / "halt").touch()

    site.put("unmerged/a/b/c/x")
    with pytest.raises(Killed, match="halted from another terminal"):
        clean_site(runtime_threads, config, site_source(config), Oversight(watch=halt))
    with HistoryDatabase(config.var_location / "db" / "consistency.db") as history:
        (run,) = history.runs(SITE)
        assert run.status == RunStatus.HALTED
    assert not directory.is_locked()


def test_the_kept_files_say_of_when_they_are(runtime_threads: Runtime, site: UnmergedSite) -> None:
    site.clean(runtime_threads)
    with closing(sqlite3.connect(site.www / f"{SITE}_unmerged_kept.db")) as db:
        about = dict(db.execute("SELECT key, value FROM about"))
    assert (about["site"], about["root"], about["mode"]) == (SITE, f"{site.lfn.decode()}/unmerged", "files")
    assert about["old_before"] == about["listed"] - 2419200
