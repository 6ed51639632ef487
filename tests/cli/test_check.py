from __future__ import annotations

import gzip
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli import program
from tests.cli.loaded import run
from tests.cli.planted import PlantedSite, findings
from tests.cli.program import Ended

KEYS = [
    "site",
    "run",
    "files",
    "directories",
    "bytes",
    "requests",
    "resumed",
    "taken_over",
    "distrust",
    "missing",
    "missing_bytes",
    "orphan",
    "orphan_bytes",
    "size_mismatch",
    "empty",
    "unlisted",
    "protected",
    "reasons",
    "seconds",
    "inventory_files",
    "gates",
    "planned",
    "changed_meanwhile",
    "cluster",
    "checksum_mismatch",
    "checksums",
    "checksums_unchecked",
    "checksum_details",
]


def check(site: PlantedSite, *arguments: object, **env: str) -> Ended:
    return run("check", *arguments, cwd=site.home, env=env)


def history(site: PlantedSite, name: str = "") -> list[dict[str, Any]]:
    """Give the runs that the history knows, newest first."""
    ended = run("history", name or site.name, "--json", cwd=site.home)
    assert ended.code == 0
    runs: list[dict[str, Any]] = ended.json["runs"]
    return runs


def test_a_check_finds_exactly_what_was_planted(site: PlantedSite) -> None:
    ended = program.run("check", "--json", cwd=site.home)
    assert (ended.code, ended.err) == (0, "")
    assert list(ended.json) == KEYS
    assert findings(ended.json) == site.expected()
    assert (ended.json["site"], ended.json["run"], ended.json["files"]) == (site.name, 1, site.files)
    assert ended.json["resumed"] == 0
    site.assert_reports()


def test_the_text_for_people(site: PlantedSite) -> None:
    ended = check(site, site.name)
    first, *others = ended.out.splitlines()
    assert first.startswith(f"{site.name}, run 1: {site.files} files (")
    www = site.home / "www"
    assert others == [
        "empty:         1 directory",
        "unlisted:      1 directory",
        "missing:       3 files (300 bytes)",
        "orphan:        3 files (21 bytes)",
        "size mismatch: 1 file",
        "not judged:    1 file (could not be seen: permission denied 1)",
        "too young:     1 file",
        f"written:       {www}/{site.name}_compare_missing.txt",
        f"written:       {www}/{site.name}_compare_orphan.txt",
        f"written:       {www}/{site.name}_compare_size_mismatch.txt",
        f"written:       {www}/{site.name}_empty.txt",
        f"written:       {www}/{site.name}_unlisted.txt",
        f"planned:       7 items; see dynamo-consistency plan show {site.name}",
    ]


def test_checksums_are_told_where_they_are_compared(site: PlantedSite) -> None:
    plain = check(site, "--json").json
    assert [plain[key] for key in KEYS[-4:]] == [None] * 4
    (site.home / "consistency_config.json").write_text(json.dumps(site.settings(Checksums="1/1")))
    ended = check(site, site.name)
    (line,) = [line for line in ended.out.splitlines() if line.startswith("bad checksum:")]
    assert line.startswith("bad checksum:  0 files; 0 compared, ")
    assert line.endswith("has no checksums to compare with")
    assert f"written:       {site.home}/www/{site.name}_compare_checksum_mismatch.txt" in ended.out.splitlines()
    found = check(site, "--json", Checksums="1/2").json
    assert (found["checksum_mismatch"], found["checksums"], found["checksums_unchecked"]) == (0, 0, 0)
    assert found["checksum_details"]["why"].endswith("has no checksums to compare with")
    newest = history(site)[0]
    assert (newest["checksums"], newest["checksums_unchecked"]) == (0, 0)
    assert "checksums: 0 compared" in newest["message"]


def test_every_list_has_an_exact_form(site: PlantedSite) -> None:
    check(site)
    lines = (site.home / "www" / f"{site.name}_compare_size_mismatch.jsonl").read_text().splitlines()
    (mismatch,) = map(json.loads, lines)
    assert (mismatch["path"], mismatch["size"], mismatch["remote_size"]) == (f"{site.lfn}/data/c/cut.root", 500, 1)
    exact = list((site.home / "www").glob("*.jsonl"))
    assert len(exact) == 5
    assert all(path.with_suffix(".txt").exists() for path in exact)


@pytest.mark.parametrize("suffix", ["json", "yaml", "toml"])
def test_the_configuration_is_json_yaml_or_toml(site: PlantedSite, suffix: str) -> None:
    file = site.home / f"settings.{suffix}"
    settings = site.settings(IgnoreDirectories=["/unknown"])
    match suffix:
        case "json":
            file.write_text(json.dumps(settings))
        case "yaml":
            file.write_text(yaml.safe_dump(settings))
        case "toml":
            inner = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings["Sites"][site.name].items())
            file.write_text(
                f'RootPath = "{site.lfn}"\nRuntime = "threads"\n[Sites.{site.name}]\n{inner}',
            )
            assert tomllib.loads(file.read_text()) == settings
    ended = run("--config", file, "check", "--json", cwd=site.home.parent)
    assert findings(ended.json) == {**site.expected(), "orphan": 1, "orphan_bytes": 7}


def test_inventory_and_remote_may_come_from_the_command_line(site: PlantedSite) -> None:
    packed = site.home / "other.gz"
    packed.write_bytes(gzip.compress(site.inventory.read_bytes()))
    site.configure(Doors=["root://localhost:1"], Inventory="nowhere.txt")
    ended = check(site, site.name, "--inventory", packed, "--remote", site.source, "--json")
    assert findings(ended.json) == site.expected()


def test_a_site_without_an_entry_needs_both_sides(site: PlantedSite) -> None:
    ended = check(site, "T3_NEW", "--inventory", "inventory.txt", "--remote", site.source, "--json")
    assert ended.json["site"] == "T3_NEW"
    assert findings(ended.json) == site.expected()
    assert check(site, "T3_NEW", "--inventory", "inventory.txt").message == (
        f'consistency_config.json: no site "T3_NEW" under Sites; known: {site.name}'
    )


def test_the_second_run_replaces_the_findings_of_the_first(site: PlantedSite) -> None:
    assert findings(check(site, "--json").json) == site.expected()
    for name in ("mc/a/lost.root", "mc/gone/x.root"):
        (site.store / name).parent.mkdir(exist_ok=True)
        (site.store / name).write_bytes(b"x" * 100)
        os.utime(site.store / name, (1, 1))
    second = check(site, "--json")
    assert (second.json["run"], second.json["resumed"]) == (2, 0)
    assert findings(second.json) == {**site.expected(), "missing": 1, "missing_bytes": 100}
    assert site.report("compare_missing") == [f"{site.lfn}/mc/gone/y.root"]
    rows = history(site)
    assert [(row["run"], row["status"], row["missing"]) for row in rows] == [(2, "incomplete", 1), (1, "incomplete", 3)]
    assert {row["runtime"] for row in rows} == {"threads"}


def test_exit_codes_when_they_are_asked_for(site: PlantedSite) -> None:
    assert check(site, "--exit-code").code == 1
    # Nothing left to find, and one directory still cannot be seen.
    env = {"IgnoreDirectories": '["/a/", "/c/", "/gone/", "/unknown/"]', "IgnoreAge": "100000"}
    assert check(site, "--exit-code", **env).code == 5


def test_a_store_that_is_mounted_empty_loses_nothing(site: PlantedSite) -> None:
    check(site)
    missing = site.report("compare_missing")
    empty = site.home / "mount/mc"
    empty.mkdir(parents=True)
    site.inventory.write_text(site.inventory.read_text().replace(site.lfn, str(site.home / "mount")))
    site.configure(Doors=["file:///"], RootPath=str(site.home / "mount"))
    lines = len(site.inventory.read_text().splitlines())
    ended = check(site)
    assert ended.code == 4
    figures = (
        f"the store lists 0 files where the inventory has {lines}; "
        f"directories that were not listed: 1 not found ({empty.parent}/data)"
    )
    assert ended.message == f"{site.name} (file://): zero-files: {figures}"
    assert site.report("compare_missing") == missing
    failed, earlier = history(site)
    assert (failed["status"], failed["missing"]) == ("failed", 0)
    assert failed["message"] == f"zero-files: {figures}"
    assert failed["gates"] == [{"gate": "zero-files", "message": figures}]
    assert earlier["missing"] == 3


def test_a_site_whose_root_fails_loses_nothing(site: PlantedSite) -> None:
    site.configure(RootPath=f"{site.lfn}/nowhere")
    site.inventory.write_text(site.inventory.read_text().replace(site.lfn, f"{site.lfn}/nowhere"))
    ended = check(site)
    assert ended.code == 4
    assert ended.message.startswith(f"{site.name} ({site.door}): root: no top directory could be listed (")
    assert "no such file or directory" in ended.message
    assert site.lists() == []
    (row,) = history(site)
    assert (row["status"], row["missing"], row["unlisted"]) == ("failed", 0, 2)


def test_a_door_where_nobody_answers(site: PlantedSite) -> None:
    site.configure(Doors=["root://localhost:1"], Retries=0)
    ended = check(site)
    assert ended.code == 4
    assert ended.message.startswith(f"{site.name} (root://localhost:1): root: no top directory could be listed (")


def test_doors_that_disagree_are_a_failed_run(site: PlantedSite) -> None:
    other = site.home / "other"
    (other / site.lfn.strip("/") / "mc" / "elsewhere").mkdir(parents=True)
    site.configure(Doors=[site.door, f"file://{other}"])
    ended = check(site)
    assert ended.code == 4
    assert "its doors do not show the same store" in ended.message
    (row,) = history(site)
    assert (row["status"], row["missing"]) == ("failed", 0)


def test_an_inventory_of_other_directories_is_refused(site: PlantedSite) -> None:
    site.inventory.write_text("/elsewhere/a 5\n/elsewhere/b 5\n")
    ended = check(site)
    assert ended.code == 2
    assert ended.message == (
        f"inventory {site.inventory}: it names no file below {site.lfn}/mc, {site.lfn}/data, "
        "so there is nothing to compare; see RootPath and DirectoryList, and whether it is the inventory of this site"
    )
    assert [row["status"] for row in history(site)] == ["failed"]


def test_a_malformed_inventory_line_is_named_and_nothing_is_a_finding(site: PlantedSite) -> None:
    site.inventory.write_text(site.inventory.read_text() + f"{site.lfn}/mc/a/next.root 12 abc\n")
    line = len(site.inventory.read_text().splitlines())
    ended = check(site)
    assert ended.code == 2
    assert ended.message.startswith(f'inventory {site.inventory} line {line}: expected "path size mtime"')
    (row,) = history(site)
    assert (row["status"], row["missing"], row["orphan"]) == ("failed", 0, 0)
    assert site.lists() == []


@pytest.mark.parametrize(("key", "blocked"), [("WebDir", "www"), ("VarLocation", "var")])
def test_a_place_that_cannot_be_written_is_found_out_before_listing(site: PlantedSite, key: str, blocked: str) -> None:
    (site.home / blocked).write_text("in the way")
    # A listing would take until the end of the test's patience.
    site.configure(Doors=["root://192.0.2.1"], Timeout=1000)
    ended = check(site)
    assert ended.code == 2
    assert ended.message.startswith(f"{key}: ")
    assert f"{site.home}/{blocked}" in ended.message


def test_a_history_that_is_none_is_left_alone(site: PlantedSite) -> None:
    database = site.home / "var/db/consistency.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"something else entirely, which is not to be overwritten" * 50)
    ended = check(site)
    assert ended.code == 2
    assert ended.message.startswith(f"{database}: not a history database")
    assert database.read_bytes().startswith(b"something else entirely")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "T2_OTHER"], 'consistency_config.json: no site "T2_OTHER" under Sites; known: '),
        (["check", "--inventory", "nowhere.txt"], "--inventory: nowhere.txt does not exist; expected a file"),
        (["check", "--inventory", "."], "--inventory: . is not a file; expected a file"),
        (["check", "--remote", "inventory.txt"], "--remote: inventory.txt is a file; check lists a store"),
        (["check", "--remote", "root://localhost/store"], "write two, as in root://host//store"),
        (["check", "--runtime", "slurm"], "--runtime: expected ray or threads, found 'slurm'"),
        (["check", "--more-logs"], "--more-logs goes with --unmerged"),
        (
            ["check", "a/b", "--inventory", "inventory.txt", "--remote", "file:///nowhere"],
            "SITE: expected a site name of letters, digits, '_', '-' and '.', found \"a/b\"",
        ),
        (["--config", "nowhere.json", "check"], "nowhere.json: cannot be read: No such file or directory"),
        (["--log-level", "loud", "check"], "--log-level: expected debug, info, warning or error, found 'loud'"),
        (["halt", "T2_OTHER"], "no such site; known: "),
        (["history", "T2_OTHER"], "no history of T2_OTHER: "),
        (["halt", "T2_PLANTED", "--wait", "-1"], "Invalid value for '--wait'"),
        (["frobnicate"], "No such command 'frobnicate'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(site: PlantedSite, arguments: list[str], said: str) -> None:
    before = sorted(site.home.iterdir())
    ended = run(*arguments, cwd=site.home)
    assert ended.code == 2
    assert said in ended.message
    assert sorted(site.home.iterdir()) == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("{", "consistency_config.json: "),
        ('{"Sites": {}}', "no site: give a configuration with Sites (--config), or a name together with --inventory"),
        ('{"Sites": {"A": {}, "B": {}}}', "which site? known: A, B"),
        ('{"Sites": {"A": {}}}', "the site A has no doors; set Sites.A.Doors to a list of URLs"),
        ('{"Sites": {"A": {"Doors": ["root://h:0"]}}}', "Sites.A.Doors"),
        ('{"Sites": {"A": {"Doors": ["root://h"]}}}', "no inventory for A: set Sites.A.Inventory, or give --inventory"),
        ('{"Sites": {"A": {"Timeout": "5"}}}', 'Sites.A.Timeout: expected a number of seconds above 0, found "5"'),
        ('{"Timout": 5}', "Timout"),
        (
            '{"Sites": {"A": {"Checksums": "5/4"}}}',
            "Sites.A.Checksums: expected a share such as 1/1000, n parts of t with n at least 1 and t at most 1000000, "
            'found "5/4"',
        ),
    ],
)
def test_what_is_wrong_with_the_configuration_is_said_in_one_line(tmp_path: Path, settings: str, said: str) -> None:
    (tmp_path / "consistency_config.json").write_text(settings)
    ended = run("check", cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.message
    assert [path.name for path in tmp_path.iterdir()] == ["consistency_config.json"]


def test_history_for_people(site: PlantedSite) -> None:
    check(site)
    site.configure(Doors=["root://localhost:1"], Retries=0)
    check(site)
    header, newest, oldest, message = run("history", site.name, cwd=site.home).out.splitlines()
    assert header.split()[:3] == ["run", "started", "(UTC)"]
    assert newest.split()[0] == "2"
    assert "failed" in newest
    assert newest.split()[4:10] == ["0", "-", "-", "-", "2", "-"], "a run that failed does not say that there are none"
    assert oldest.split()[3:10] == ["incomplete", str(site.files), "3", "3", "1", "1", "1"]
    assert message.startswith("run 2: root: no top directory could be listed (")
    assert len(run("history", site.name, "--limit", "1", cwd=site.home).out.splitlines()) == 3
    assert run("history", "T2_OTHER", cwd=site.home).message.endswith(f"it has runs of: {site.name}")


def test_nothing_to_halt(site: PlantedSite) -> None:
    ended = run("halt", site.name, cwd=site.home)
    assert (ended.code, ended.out) == (0, f"{site.name} is not being checked\n")


def test_the_environment_has_the_last_word(site: PlantedSite) -> None:
    site.configure(DirectoryList=["mc"])
    ended = check(site, "--json", DirectoryList='["data"]', WebDir="elsewhere")
    assert (ended.json["missing"], ended.json["orphan"], ended.json["size_mismatch"]) == (0, 1, 1)
    assert (site.home / "elsewhere" / f"{site.name}_compare_orphan.txt").is_file()
