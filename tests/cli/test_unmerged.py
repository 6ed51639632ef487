from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from storage.history import HistoryDatabase
from storage.unmerged.search import find_kept
from tests.cli.loaded import run
from tests.cli.program import Ended, eventually, start, wait_for
from tests.servers.fixtures import ServedDirectory

DOCS = Path(__file__).parents[2] / "docs"


class Area:
    """A site ``T2_X`` with an unmerged directory, on a real XRootD server."""

    def __init__(self, home: Path, served: ServedDirectory) -> None:
        self.home = home
        self.store = served.path
        self.lfn = served.lfn.decode()
        self.door = served.url
        self.put("unmerged/a/x", "unmerged/b/x", "unmerged/logs/x.tar.gz")
        self.put("unmerged/c/young", age=1)
        self.protect("unmerged/a")
        self.configure()

    def put(self, *names: str, age: float = 60) -> None:
        for name in names:
            path = self.store / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            os.utime(path, (time.time() - age * 86400,) * 2)

    def protect(self, *names: str) -> None:
        (self.home / "protected.json").write_text(json.dumps({"result": [f"{self.lfn}/{name}" for name in names]}))

    def configure(self, keys: dict[str, Any] | None = None, **site: Any) -> None:
        settings = {
            "RootPath": self.lfn,
            "Runtime": "threads",
            "ListDeletable": {"PROTECTED_LIST": "protected.json", **(keys or {})},
            "Sites": {"T2_X": {"Doors": [self.door], **site}},
        }
        (self.home / "consistency_config.json").write_text(json.dumps(settings))

    def unmerged(self, *arguments: object, site: str = "T2_X", **env: str) -> Ended:
        return run("unmerged", site, *arguments, cwd=self.home, env=env)

    def report(self) -> list[str]:
        lines = (self.home / "www" / "T2_X_unmerged.txt").read_text().splitlines()
        return [line.removeprefix(f"{self.lfn}/unmerged/") for line in lines]


@pytest.fixture
def area(xrootd_directory: ServedDirectory, tmp_path: Path) -> Area:
    return Area(tmp_path, xrootd_directory)


def without_chance(text: str) -> str:
    return re.sub(r"\d+ requests, \d+\.\d s", "N requests, N s", text)


def test_the_text_for_people(area: Area) -> None:
    ended = area.unmerged()
    assert (ended.code, ended.err) == (0, "")
    assert without_chance(ended.out).splitlines() == [
        f"T2_X, run 1: 4 files (4 bytes) in {area.lfn}/unmerged; N requests, N s",
        "deletable: 2 files (2 bytes), 1 log among them",
        "stays:     1 file: protected",
        "stays:     1 file: too young",
        f"written:   {area.home}/www/T2_X_unmerged.txt",
        f"written:   {area.home}/www/T2_X_unmerged.jsonl",
        f"written:   {area.home}/www/T2_X_unmerged_kept.db",
        "nothing was deleted",
    ]
    assert area.report() == ["b/x", "logs/x.tar.gz"]
    assert sorted(path.relative_to(area.store).as_posix() for path in area.store.rglob("*") if path.is_file()) == [
        "unmerged/a/x",
        "unmerged/b/x",
        "unmerged/c/young",
        "unmerged/logs/x.tar.gz",
    ]
    kept = find_kept(area.home / "www" / "T2_X_unmerged_kept.db")
    assert [row.path.decode() for row in kept] == [f"{area.lfn}/unmerged/a/x", f"{area.lfn}/unmerged/c/young"]


def test_one_object_for_programs(area: Area) -> None:
    ended = area.unmerged("--json")
    result = ended.json
    page = (DOCS / "commands/unmerged.md").read_text()
    table = page.partition("| JSON key")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert [key for row in rows for key in re.findall(r"`(\w+)`", row)] == list(result)
    assert (result["site"], result["run"], result["mode"], result["files"]) == ("T2_X", 1, "files", 4)
    assert (result["deletable"], result["logs"], result["kept"]) == (2, 1, 2)
    assert result["kept_by_reason"] == {"protected": 1, "young": 1}
    with HistoryDatabase(area.home / "var/db/consistency.db") as history:
        assert [path.decode() for path, _, _ in history.unmerged("T2_X")] == [
            f"{area.lfn}/unmerged/b/x",
            f"{area.lfn}/unmerged/logs/x.tar.gz",
        ]


def test_options_go_before_the_configuration(area: Area) -> None:
    other = area.home / "other.json"
    other.write_text(json.dumps({"result": [f"{area.lfn}/unmerged/b/"]}))
    ended = area.unmerged("--list", other.name, "--mode", "directories", "--json")
    assert (ended.json["mode"], ended.json["directories"]) == ("directories", 1)
    assert area.report() == ["a", "logs/x.tar.gz"]


def test_more_logs_when_asked_for(area: Area) -> None:
    area.put("logs/prod/x.tar.gz")
    area.configure(AdditionalLogDeletions=["logs/prod"])
    assert area.unmerged("--json").json["logs"] == 1
    assert area.unmerged("--json", "--more-logs").json["logs"] == 2


def test_exit_codes(area: Area) -> None:
    assert area.unmerged("--exit-code").code == 1
    area.protect("unmerged")
    assert area.unmerged("--exit-code").code == 0
    (area.store / "unmerged/b").chmod(0o700 if os.geteuid() == 0 else 0)
    assert area.unmerged("--exit-code").code == 5
    (area.store / "unmerged/b").chmod(0o755)


def test_a_list_that_cannot_be_relied_on(area: Area) -> None:
    assert area.unmerged().code == 0
    before = {path.name: path.read_bytes() for path in (area.home / "www").iterdir()}
    (area.home / "protected.json").write_text('{"result": []}')
    ended = area.unmerged()
    assert ended.code == 2
    assert ended.message == (
        f'protected list "{area.home}/protected.json": its "result" is empty; nothing is deleted without it'
    )
    (area.home / "protected.json").unlink()
    assert "No such file or directory" in area.unmerged().message
    assert {path.name: path.read_bytes() for path in (area.home / "www").iterdir()} == before


def test_a_list_behind_a_dead_server(area: Area) -> None:
    ended = area.unmerged("--list", "http://127.0.0.1:1/list.json")
    assert ended.code == 2
    assert ended.message.startswith('protected list "http://127.0.0.1:1/list.json": ')


def test_gates(area: Area) -> None:
    area.protect("elsewhere")
    ended = area.unmerged()
    assert ended.code == 4
    assert ended.message.endswith(f"nothing in the protected list has to do with {area.lfn}/unmerged")
    area.protect("unmerged/a")
    area.configure({"MAX_FRACTION": 0.1})
    ended = area.unmerged()
    assert (ended.code, "2 of 4 files would be deletable, more than 0.1 of them" in ended.message) == (4, True)


def test_a_site_that_cannot_be_listed(area: Area) -> None:
    area.configure({"LFN_TO_CLEAN": "not/there"})
    area.protect("not/there/a")
    ended = area.unmerged()
    assert ended.code == 4
    assert "no top directory could be listed" in ended.message


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"WHICH_LIST": "all"}, 'T2_X: ListDeletable.WHICH_LIST: expected "files" or "directories", found "all"'),
        ({"MINAGE": 3}, 'T2_X: ListDeletable: unknown key "MINAGE"; did you mean "MIN_AGE"?'),
    ],
)
def test_wrong_settings(area: Area, keys: dict[str, Any], words: str) -> None:
    area.configure(keys)
    ended = area.unmerged()
    assert (ended.code, ended.message) == (2, words)


def test_wrong_arguments(area: Area) -> None:
    assert area.unmerged(site="T2_Y").message.endswith('no site "T2_Y" under Sites; known: T2_X')
    assert area.unmerged("--mode", "both").message == "--mode: expected files or directories, found 'both'"
    area.configure(Doors=[])
    assert "has no doors" in area.unmerged().message


def test_a_web_directory_that_cannot_be_written(area: Area) -> None:
    (area.home / "www").write_text("a file")
    ended = area.unmerged()
    assert ended.code == 2
    assert ended.message.startswith("WebDir: ")


def test_a_cleaning_that_was_killed_goes_on(area: Area) -> None:
    for number in range(400):
        (area.store / f"unmerged/many/{number:03d}").mkdir(parents=True)
    area.configure(InFlight=1, Connections=1)
    process = start("unmerged", "T2_X", "--json", cwd=area.home)
    journal = area.home / "var/runs/T2_X/unmerged.snapshot.part"
    eventually("some directories were listed", lambda: journal.exists() and journal.stat().st_size > 1000, process)
    process.kill()
    process.communicate()
    ended = area.unmerged("--json")
    assert (ended.code, ended.json["files"], ended.json["deletable"]) == (0, 4, 2)
    assert ended.json["resumed"] > 0
    assert list((area.home / "www").glob(".*")) == []


def test_a_cleaning_is_halted_and_goes_on(area: Area) -> None:
    for number in range(400):
        (area.store / f"unmerged/many/{number:03d}").mkdir(parents=True)
    area.configure(InFlight=1, Connections=1)
    process = start("unmerged", "T2_X", "--json", cwd=area.home)
    journal = area.home / "var/runs/T2_X/unmerged.snapshot.part"
    eventually("some directories were listed", lambda: journal.exists() and journal.stat().st_size > 1000, process)
    process.terminate()
    ended = wait_for(process)
    assert ended.code == 3
    assert ended.message == "T2_X: halted: SIGTERM received; the next one goes on from there"
    assert area.unmerged("--json").json["resumed"] > 0
