"""The command explain, as an operator types it, on real servers."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.answers.wording import date
from tests.cli.loaded import run
from tests.cli.planted import PlantedSite
from tests.cli.program import Ended
from tests.servers.xrootd_cluster import XRootDCluster
from tests.test_docs import keys_of, page_of


@pytest.fixture
def checked(site: PlantedSite) -> PlantedSite:
    """A site that was checked once."""
    assert run("check", cwd=site.home).code == 0
    return site


def explain(site: PlantedSite, *arguments: str) -> Ended:
    ended = run("explain", *arguments, cwd=site.home)
    assert (ended.code, ended.err) == (0, "")
    return ended


def test_it_reads_as_sentences(checked: PlantedSite) -> None:
    lost = checked.missing[0]
    head, summary, *rest = explain(checked, lost, "--live").out.splitlines()
    assert head == f"{lost} at T2_PLANTED"
    assert summary.startswith("It is missing: run 1 has found it, since ")
    topics = [line[2:12].strip() for line in rest if line[2:12].strip()]
    assert topics == ["inventory:", "store:", "findings:", "run:", "action:", "now:"]
    for words in (
        f"({checked.inventory}) has it: 100 bytes",
        f"({checked.door}) has no such file.",
        f"{checked.lfn}/mc/a was listed completely",
        "the store denied it",
        "The site is dry",
        "It is due: known for 1 run, and 1 run is wanted.",
        f"{checked.door}: it is not there.",
    ):
        assert any(words in line for line in rest), words
    assert rest[-1].strip() == "So the store does not have it now, as the last listing says."


def test_the_store_is_asked_as_it_is_now(checked: PlantedSite) -> None:
    (checked.store / "mc/a/lost.root").write_bytes(b"x" * 100)
    now = explain(checked, checked.missing[0], "--live").out.splitlines()[-2:]
    assert "it is there, 100 bytes" in now[0]
    assert now[1].strip() == (
        "So the store has it now, other than the last listing says; the next check will judge it anew."
    )


@pytest.mark.parametrize(
    ("name", "summary"),
    [
        ("data/c/left over.root", "It is an orphan: run 1 has found it"),
        ("data/c/cut.root", "It is of another size than the inventory says"),
        ("mc/empty", "It is an empty directory"),
        ("mc/locked/unseen.root", "Whether it is there is not known: its directory could not be seen"),
        ("mc/locked", "It is not listed completely"),
        ("data/c/just written.root", "It differs, and is too young to be judged."),
        ("mc/a/good1.root", "Nothing is wrong with it"),
        ("mc/a/none.root", "Neither the inventory nor the store has it."),
        ("mc/", "It was listed completely, and 7 findings lie in and below it."),
    ],
)
def test_each_thing_stands_as_it_does(checked: PlantedSite, name: str, summary: str) -> None:
    # What does not begin with a slash lies below RootPath.
    assert explain(checked, name).out.splitlines()[1].startswith(summary)


def test_json_keys_are_documented_and_names_may_be_escaped(checked: PlantedSite) -> None:
    found = explain(checked, f"{checked.lfn}/mc/a/\\xff\\n", "--escaped", "--json", "--live").json
    documented = keys_of(page_of("explain"))
    assert documented == [key for key in found if key != "path_b64"]
    assert found["path"] == f"{checked.lfn}/mc/a/\ufffd\n"
    assert found["judged"]["verdict"] == "nowhere"
    (door,) = found["live"]["doors"]
    # XRootD carries no such name.
    assert door["there"] is not True
    page = page_of("explain")
    for part in ("rules", "judged", "inventory", "store", "run", "action", "live"):
        for key in found[part]:
            assert f"`{key}`" in page, (part, key)


def test_what_makes_no_sense_is_told(checked: PlantedSite) -> None:
    for arguments, words in (
        (["/store/../x"], "with a '.' or '..' component"),
        ([""], 'found "": it is empty'),
        (["root://door//store/x"], "a URL"),
        (["/store/x", "--site", "T2_NONE"], 'no site "T2_NONE"'),
    ):
        ended = run("explain", *arguments, cwd=checked.home)
        assert ended.code == 2
        assert words in ended.message
    values = json.loads(checked.config.read_text())
    values["Sites"]["T2_OTHER"] = {}
    checked.config.write_text(json.dumps(values))
    assert run("explain", "/store/x", cwd=checked.home).message == "--site: which site? known: T2_PLANTED, T2_OTHER"


def _configure(home: Path, root: str, **keys: Any) -> None:
    (home / "inventory.txt").write_text(f"{root}/mc/a.root\n")
    values = {"RootPath": root, "Timeout": 10, "Sites": {"T2_X": {"Inventory": "inventory.txt", **keys}}}
    (home / "consistency_config.json").write_text(json.dumps(values))


def test_each_data_server_of_a_cluster_is_asked(tmp_path: Path, xrootd_cluster: XRootDCluster) -> None:
    root = "/store/explained"
    for number in (0, 1):
        (xrootd_cluster.store(number) / "explained/mc").mkdir(parents=True)
    (xrootd_cluster.store(1) / "explained/mc/a.root").write_bytes(b"x" * 5)
    servers = [xrootd_cluster.server(number) for number in (0, 1)]
    _configure(tmp_path, root, Doors=[f"root://{server}" for server in servers], Layout="clustered")
    live = run("explain", f"{root}/mc/a.root", "--live", "--json", cwd=tmp_path).json["live"]
    assert live["clustered"]
    assert {door["door"]: door["there"] for door in live["doors"]} == {
        f"root://{servers[0]}": False,
        f"root://{servers[1]}": True,
    }


def test_a_store_that_does_not_answer_is_told(tmp_path: Path) -> None:
    _configure(tmp_path, "/store", Doors=["root://localhost:1"], Layout="shared")
    ended = run("explain", "/store/mc/a.root", "--live", cwd=tmp_path)
    assert ended.code == 0
    assert ended.out.splitlines()[-1].strip() == "So whether it is there now is not known."
    _configure(tmp_path, "/store")
    ended = run("explain", "/store/mc/a.root", "--live", cwd=tmp_path)
    assert "The store could not be asked: the site T2_X has no doors" in ended.out


def test_what_was_put_aside_since_is_no_orphan_any_more(tmp_path: Path) -> None:
    root = tmp_path / "store"
    for name in ("a.root", "dark.root"):
        (root / "mc").mkdir(parents=True, exist_ok=True)
        (root / "mc" / name).write_bytes(b"x")
        os.utime(root / "mc" / name, (1_700_000_000, 1_700_000_000))
    keys = {"Doors": ["file:///"], "DirectoryList": ["mc"], "IgnoreAge": 0, "Deletion": "store", "Runtime": "threads"}
    _configure(tmp_path, str(root), **keys)
    assert run("check", "T2_X", cwd=tmp_path).code == 0
    assert run("explain", "mc/dark.root", cwd=tmp_path).out.splitlines()[1].startswith("It is an orphan: run 1")
    assert run("set-status", "T2_X", "act", cwd=tmp_path).code == 0
    assert run("plan", "apply", "T2_X", cwd=tmp_path).code == 0
    said = run("explain", "mc/dark.root", cwd=tmp_path).out
    assert said.splitlines()[1].startswith("It was an orphan, which run 1 has found, and was put into the quarantine ")
    assert "was ever asked for" not in said


def test_a_dump_says_nothing_of_now(tmp_path: Path) -> None:
    keys = {"AccessMethod": "RAL-Reader", "Dump": "dump_20260101.txt", "DirectoryList": ["mc"], "IgnoreAge": 0}
    _configure(tmp_path, "/store", **keys, Runtime="threads")
    (tmp_path / "dump_20260101.txt").write_text("/store/mc/a.root|1|1700000000\n/store/mc/b.root|1|1700000000\n")
    assert run("check", "T2_X", cwd=tmp_path).code == 0

    def limit() -> float:
        ended = run("explain", "/store/mc/b.root", "--json", "--live", cwd=tmp_path)
        assert ended.json["live"]["problem"] == "it is known by a dump alone, which says nothing of now"
        return float(ended.json["rules"]["young_after"])

    # Where the day in its name began first.
    made = datetime(2025, 12, 31, 10, tzinfo=UTC).timestamp()
    assert limit() == made
    (tmp_path / "var/runs/T2_X/plan.jsonl").unlink()
    assert limit() == made


def test_without_a_configuration_one_is_asked_for(tmp_path: Path) -> None:
    for arguments in (["explain", "/store/x"], ["explain", "/store/x", "--site", "A"], ["doctor", "A"]):
        ended = run(*arguments, cwd=tmp_path)
        assert ended.code == 2
        assert ended.message.endswith("no configuration file was given; name one with --config")


def test_a_time_that_no_calendar_has_is_written_all_the_same() -> None:
    assert date(1_700_000_000) == "2023-11-14 22:13:20"
    assert date(300_000_000_000) == "300000000000 s after 1970-01-01 00:00:00"
    assert date(2**63 - 1).endswith(" s after 1970-01-01 00:00:00")
