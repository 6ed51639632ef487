"""A site that a real Rucio manages, from the listing of a real store to what Rucio says of it afterwards."""

from __future__ import annotations

import csv
import json
import os
import time
from pathlib import Path

import pytest

from tests.cli.loaded import run
from tests.cli.managed import OLD, ManagedSite
from tests.servers.fixtures import ServedDirectory
from tests.servers.rucio import RucioServer


@pytest.fixture
def managed(tmp_path: Path, xrootd_directory: ServedDirectory, rucio_server: RucioServer) -> ManagedSite:
    site = ManagedSite(tmp_path, xrootd_directory, rucio_server)
    site.configure()
    return site


def test_what_a_check_finds_is_what_rucio_is_told(managed: ManagedSite) -> None:
    site = managed
    found = site.check()
    assert {key: found[key] for key in ("missing", "orphan", "size_mismatch", "empty", "unlisted")} == {
        "missing": 2,
        "orphan": 2,
        "size_mismatch": 0,
        "empty": 1,
        "unlisted": 0,
    }
    www = site.home / "www"
    assert (www / f"{site.name}_compare_missing.txt").read_text().split() == sorted(
        [site.lfn("lost"), site.lfn("last")]
    )
    assert (www / f"{site.name}_unrecoverable.txt").read_text().split() == [site.lfn("last")]
    assert site.rucio.bad(site.name) == set()
    assert site.rucio.quarantined(site.name) == set()

    assert site.program("set-status", site.name, "act").code == 0
    ended = site.program("check", site.name)
    assert (ended.code, ended.err) == (0, "")
    assert "asked for:     2 deletions, 1 transfer" in ended.out
    assert "no source:     1 file on no other disk; 1 file nowhere at all" in ended.out
    assert site.rucio.bad(site.name) == {(site.scope, "lost")}
    assert site.rucio.quarantined(site.name) == {
        (site.path("dark"), site.scope, "dark"),
        ("stray/file", "stray", "file"),
    }

    # Rucio knows by now, and the last copy is nobody's to give up.
    again = site.check()
    assert (again["missing"], again["orphan"]) == (1, 2)
    assert site.rucio.bad(site.name) == {(site.scope, "lost")}
    assert len(site.rucio.quarantined(site.name)) == 2

    invalidated = site.program("invalidate", site.name)
    assert (
        invalidated.out
        == f"{site.name}: 0 files asked for, 1 without another copy on disk, 1 without any source, which stay\n"
    )
    dry = site.program("invalidate", site.name, "--last-copies", "--dry-run")
    assert "1 without any source, which stay" in dry.out
    assert site.rucio.bad(site.name) == {(site.scope, "lost")}
    last = site.program("invalidate", site.name, "--last-copies")
    assert last.out == f"{site.name}: 1 file asked for, 1 without another copy on disk, 1 of them last copies\n"
    assert site.rucio.bad(site.name) == {(site.scope, "lost"), (site.scope, "last")}


def test_a_check_over_rest_that_is_told_of_last_copies(managed: ManagedSite) -> None:
    site = managed
    site.configure(Database=None)
    assert (site.check()["missing"], site.program("set-status", site.name, "act").code) == (2, 0)
    assert site.check("--last-copies")["missing"] == 2
    assert site.rucio.bad(site.name) == {(site.scope, "lost"), (site.scope, "last")}


def test_a_plan_that_is_applied(managed: ManagedSite) -> None:
    site = managed
    site.rucio.ask(lambda client: client.add_rse_attribute(site.name, "consistency.IgnoreDirectories", '["/nothing"]'))
    assert site.check()["missing"] == 2
    shown = site.program("plan", "show", site.name, "--list")
    assert (shown.code, " empty " in shown.out.partition("apply it with:")[2]) == (0, False)
    assert "leave 1 empty directory: the registry deletes files alone" in shown.out.splitlines()
    applied = site.program("plan", "apply", site.name, "--limit", 1)
    assert (applied.code, applied.err) == (0, "")
    assert (len(site.rucio.quarantined(site.name)), site.rucio.bad(site.name)) == (1, set())
    # The last copy has been told apart by the check, waits behind all others, and can be given up later on.
    only = "of no other copy known: 1 missing file; declared, and lost for good, only with --last-copies"
    assert only in shown.out.splitlines()
    applied = site.program("plan", "apply", site.name)
    told = "2 done, 1 missing without any source, which only --last-copies has declared, 1 left"
    assert applied.out == f"{site.name}: plan {shown.out.split()[2].rstrip(',')}: {told}\n"
    assert site.rucio.bad(site.name) == {(site.scope, "lost")}
    assert site.program("plan", "show", site.name).out.splitlines()[-2:] == [
        "3 done, 0 left alone since they changed, 1 left",
        only,
    ]
    told = site.program("explain", site.lfn("last"), "--site", site.name).out
    assert "no other copy of it is known; it is declared, and lost for good, only with --last-copies." in told
    applied = site.program("plan", "apply", site.name, "--last-copies", "--json")
    assert applied.json["now"]["transfers"] == 1
    assert site.rucio.bad(site.name) == {(site.scope, "lost"), (site.scope, "last")}
    assert len(site.rucio.quarantined(site.name)) == 2


@pytest.mark.parametrize("rucio", [{}, {"LFN2Path": "hash"}], ids=["as the server says", "as the settings say"])
def test_dumps_before_and_after_of_an_rse_whose_paths_follow_from_names(
    managed: ManagedSite, rucio: dict[str, str]
) -> None:
    """Both readings have to make the same paths, and those of the RSE: with others, every file would be a finding."""
    site = managed
    rows = site.rucio.execute(
        "SELECT scope, name, bytes, state FROM replicas JOIN rses ON rses.id = rse_id WHERE rse = :rse", rse=site.name
    )
    old = "2024-01-02 03:04:05"
    lines = [f"{site.name}\t{scope}\t{name}\t1\t{size}\t{old}\t\t{old}\t{state}\n" for scope, name, size, state in rows]
    (site.home / "before.tsv").write_text("".join(lines))
    (site.home / "after.tsv").write_text("".join(line for line in lines if "\tlost\t" not in line))
    site.keys |= {"Inventory": "before.tsv", "SecondInventory": "after.tsv"}
    site.configure({"inventory": "files"}, Database=None, **rucio)
    found = site.check()
    assert (found["missing"], found["orphan"], found["changed_meanwhile"]["missing"]) == (1, 2, 1)
    www = site.home / "www"
    assert (www / f"{site.name}_compare_missing.txt").read_text().split() == [site.lfn("last")]


def test_last_copies_of_another_registry(managed: ManagedSite) -> None:
    site = managed
    site.configure()
    document = json.loads((site.home / "consistency_config.json").read_text())
    (site.home / "consistency_config.json").write_text(json.dumps({**document, "Backends": {"registry": "files"}}))
    ended = site.program("check", site.name, "--last-copies")
    assert ended.message == 'last copies: only the registry rucio spares them, and this one is "files"'


def test_an_rse_that_is_not_available_is_not_checked(managed: ManagedSite) -> None:
    site = managed
    site.rucio.ask(lambda client: client.update_rse(site.name, {"availability_read": False}))
    ended = site.program("check", site.name)
    assert f"the RSE {site.name} is not available for reading, says Rucio at http://" in ended.message
    assert site.check("--no-sam")["missing"] == 2


def test_attributes_of_an_rse_go_before_the_settings_of_the_site(managed: ManagedSite) -> None:
    site = managed
    for key, value in {"IgnoreDirectories": '["/stray"]', "MaxMissing": "1"}.items():
        site.rucio.ask(
            lambda client, key=key, value=value: client.add_rse_attribute(site.name, f"consistency.{key}", value)
        )
    found = site.check()
    assert (found["orphan"], found["missing"]) == (1, 2)
    assert [gate["gate"] for gate in found["gates"]] == ["too-many"]
    shown = {key["key"]: key for key in site.program("config", "show", site.name, "--json").json["keys"]}
    assert shown["MaxMissing"] == {"key": "MaxMissing", "value": 1, "origin": "backend"}
    assert shown["RootPath"]["origin"] == "site"
    told = site.program("explain", f"{site.root}/stray/file", "--site", site.name)
    assert (told.code, "IgnoreDirectories" in told.out) == (0, True)
    assert site.program("doctor", site.name).out.endswith(f"{site.name}: nothing is wrong\n")
    site.rucio.ask(lambda client: client.add_rse_attribute(site.name, "consistency.WebDir", "/tmp"))
    ended = site.program("check", site.name)
    assert (
        f"RSE {site.name}: attribute consistency.WebDir: no RSE may set this; what may be set: RootPath"
        in ended.message
    )
    told = site.program("config", "show", site.name)
    assert (told.code, "attribute consistency.WebDir: no RSE may set this" in told.err) == (0, True)
    assert ["MaxMissing", "default"] in [line.split()[:2] for line in told.out.splitlines()]
    told = site.program("doctor", site.name)
    assert (told.code, "attribute consistency.WebDir: no RSE may set this" in told.out) == (2, True)


def test_sites_that_only_rucio_knows(managed: ManagedSite) -> None:
    """No site stands in the configuration: an expression says which there are, and attributes of each how it is."""
    site = managed
    attributes = {
        "group": site.name,
        "consistency.Doors": json.dumps([site.served.url]),
        "consistency.RootPath": site.root,
        "consistency.DirectoryList": "[]",
        "consistency.Layout": "shared",
    }
    for key, value in attributes.items():
        site.rucio.ask(lambda client, key=key, value=value: client.add_rse_attribute(site.name, key, value))
    site.configure(RSEExpression=f"group={site.name}")
    path = site.home / "consistency_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "Sites": {}, "Runtime": "threads"}))
    ended = site.program("check", "--site", "", "--json")
    assert (ended.code, ended.json["site"], ended.json["missing"], ended.json["orphan"]) == (0, site.name, 2, 2)
    assert site.check()["run"] == 2
    assert site.program("set-status", site.name, "act").code == 0
    assert site.program("invalidate").out.startswith(f"{site.name}: 1 file asked for, ")
    assert site.rucio.bad(site.name) == {(site.scope, "lost")}
    assert "none of 1 sites is due" in site.program("run", "--once").out
    shown = {key["key"]: key["origin"] for key in site.program("config", "show", site.name, "--json").json["keys"]}
    assert (shown["Doors"], shown["Backend"], shown["WebDir"]) == ("backend", "top level", "default")
    (site.home / "names.txt").write_text(f"{site.lfn('good')}\n")
    assert site.program("identify", "names.txt", "--site", site.name).code == 0
    unknown = site.program("check", "T2_NOBODY")
    assert (unknown.code, 'no site "T2_NOBODY"' in unknown.message) == (2, True)
    site.configure(RSEExpression="group=nobody")
    assert 'RSEs of "group=nobody" (Rucio.RSEExpression)' in site.program("check", "--site", "").message


def test_the_files_of_the_daemons(managed: ManagedSite) -> None:
    site = managed
    site.put("stray/with, comma")
    site.configure(ScannerFiles="scanner", AuditorResults="auditor", Scope=site.scope)
    before = int(time.time())
    ended = site.program("check", site.name)
    assert (ended.code, "1 names are not in" in ended.err) == (0, True)
    (stats,) = (site.home / "scanner").glob("*_stats.json")
    rse, *date = stats.name.removesuffix("_stats.json").rsplit("_", 5)
    assert rse == site.name
    assert time.strftime("%Y_%m_%d", time.gmtime(before)) == "_".join(date[:3])
    lists = {kind: stats.with_name(stats.name.replace("_stats.json", f"_{kind}.list")) for kind in "DM"}
    read = {kind: [name for (name,) in csv.reader(path.read_text().splitlines())] for kind, path in lists.items()}
    assert read == {
        "D": sorted([site.lfn("dark"), f"{site.root}/stray/file"]),
        "M": sorted([site.lfn("lost"), site.lfn("last")]),
    }
    document = json.loads(stats.read_text())
    assert (document["rse"], document["scope"], document["run"]) == (site.name, site.scope, "_".join(date))
    assert document["scanner"]["total_files"] == sum(root["files"] for root in document["scanner"]["roots"]) == 6
    assert document["dbdump_before"]["files"] == 8
    assert {key: document["cmp3"][key] for key in ("status", "missing", "dark", "expected_files")} == {
        "status": "done",
        "missing": 2,
        "dark": 2,
        "expected_files": 8,
    }
    assert (document["cmp3"]["dark_list_file"], document["cmp3"]["missing_list_file"]) == (
        lists["D"].name,
        lists["M"].name,
    )

    (results,) = (site.home / "auditor").iterdir()
    assert results.name == f"{site.name}_{time.strftime('%Y%m%d', time.gmtime(before))}"
    labelled = [line.split(",", 1) for line in results.read_text().splitlines()]
    assert sorted(labelled) == sorted(
        [
            ["DARK", site.path("dark")],
            ["DARK", "stray/file"],
            ["DARK", "stray/with, comma"],
            ["LOST", site.path("last")],
            ["LOST", site.path("lost")],
        ]
    )
    assert [path for _, path in labelled] == sorted(path for _, path in labelled)


def test_the_daemon_of_rucio_takes_them(
    tmp_path: Path, xrootd_directory: ServedDirectory, rucio_server: RucioServer
) -> None:
    """It wants names that are paths, as CMS has them, and declares what is missing; it wants to see orphans twice."""
    rse, scope, root = (
        f"{xrootd_directory.path.name.upper()}_CMS",
        f"{xrootd_directory.path.name}c",
        xrootd_directory.lfn,
    )
    rucio_server.add_rse(rse)
    names = {name: f"{root.decode()}/{name}" for name in ("good", "lost")}
    rucio_server.add_files(rse, {(scope, name): 1 for name in names.values()})
    for name in ("good", "dark"):
        (xrootd_directory.path / name).write_bytes(b"x")
        os.utime(xrootd_directory.path / name, (OLD, OLD))
    rucio = {
        "Config": str(rucio_server.client_config),
        "LFN2Path": "name",
        "Scope": scope,
        "ScannerFiles": str(tmp_path / "scanner"),
    }
    site = {"Doors": [xrootd_directory.url], "RootPath": root.decode(), "DirectoryList": [], "Layout": "shared"}
    keys = {"Backend": "rucio", "Rucio": rucio, "IgnoreAge": 0, "Runtime": "threads", "Sites": {rse: site}}
    (tmp_path / "consistency_config.json").write_text(json.dumps(keys))
    found = run("check", rse, "--json", cwd=tmp_path).json
    assert (found["missing"], found["orphan"]) == (1, 1)
    said = rucio_server.run_code(
        "from rucio.daemons.storage.consistency.actions import deckard, list_cc_scanned_rses, list_unprocessed_runs\n"
        f"path = {str(tmp_path / 'scanner')!r}\n"
        f"print(list_cc_scanned_rses(path), len(list_unprocessed_runs(path, {rse!r})))\n"
        f"deckard({scope!r}, {rse!r}, 1, 0.9, 0.9, False, path)\n"
        f"print(len(list_unprocessed_runs(path, {rse!r})))\n"
    )
    assert said.splitlines()[-2:] == [f"[{rse!r}] 1", "0"]
    assert rucio_server.bad(rse) == {(scope, names["lost"])}


def test_files_of_the_daemons_are_not_written_where_a_gate_is_closed(managed: ManagedSite) -> None:
    site = managed
    site.keys["MaxMissing"] = 1
    site.configure(ScannerFiles="scanner", AuditorResults="auditor")
    assert [gate["gate"] for gate in site.check()["gates"]] == ["too-many"]
    assert not (site.home / "scanner").exists()
    assert not (site.home / "auditor").exists()


def test_results_of_the_auditor_that_were_acted_on_stay(managed: ManagedSite) -> None:
    site = managed
    site.configure(AuditorResults="auditor")
    (site.home / "auditor").mkdir()
    packed = site.home / "auditor" / f"{site.name}_{time.strftime('%Y%m%d', time.gmtime())}.bz2"
    packed.touch()
    site.check()
    assert list((site.home / "auditor").iterdir()) == [packed]


def test_explain_asks_rucio_for_the_state(managed: ManagedSite) -> None:
    site = managed

    def told(name: str) -> str:
        ended = site.program("explain", site.lfn(name), "--site", site.name, "--live")
        assert (ended.code, ended.err) == (0, "")
        return next(line for line in ended.out.splitlines() if line.startswith("  now:"))

    head = f"{site.rucio.host}, RSE {site.name}: "
    site.rucio.ask(lambda client: client.add_dataset(site.scope, "whole"))
    site.rucio.ask(
        lambda client: client.attach_dids(site.scope, "whole", [{"scope": site.scope, "name": "bad", "bytes": 10}])
    )
    others = "; other copies that are available: "
    assert told("bad").endswith(f"{head}{site.scope}:bad, BAD, in {site.scope}:whole{others}1 on disk and 0 on tape.")
    assert told("last").endswith(f"{head}{site.scope}:last, AVAILABLE{others}none.")
    assert told("coming").endswith(f"{head}{site.scope}:coming, COPYING{others}none.")
    assert told("dark").endswith(f"{head}no replica has this path.")


def test_a_plan_can_be_looked_at_and_rejected_while_rucio_is_down(managed: ManagedSite) -> None:
    site = managed
    assert site.check()["missing"] == 2
    config = site.home / "rucio.cfg"
    config.write_text(site.rucio.client_config.read_text().replace(str(site.rucio.port), "1"))
    site.configure(Config=str(config), Patience=0)
    shown = site.program("plan", "show", site.name)
    assert (shown.code, shown.err) == (0, "")
    assert "declare lost 2 missing files, 20 bytes: in the inventory and not on the store" in shown.out
    assert shown.out.splitlines()[-1].startswith("it may not be applied: backend: Rucio at http://127.0.0.1:1: ")
    assert "it cannot be reached" in site.program("plan", "apply", site.name).message
    assert site.program("plan", "reject", site.name).code == 0


def test_a_rucio_that_is_down_ends_a_check_with_a_line(managed: ManagedSite) -> None:
    site = managed
    config = site.home / "rucio.cfg"
    config.write_text(site.rucio.client_config.read_text().replace("userpass", "x509_proxy"))
    site.configure(Config=str(config))
    ended = run("check", site.name, cwd=site.home, env={"X509_USER_PROXY": "/nowhere"})
    assert "the client is not configured: " in ended.message
    assert "Rucio.Config names a rucio.cfg with [client]" in ended.message
