"""The command doctor, as an operator types it, on real servers that are well and that are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.loaded import run
from tests.cli.planted import PlantedSite
from tests.cli.program import Ended
from tests.servers.xrootd import XRootDServer
from tests.servers.xrootd_cluster import XRootDCluster
from tests.servers.xrootd_secured import SecuredServer
from tests.test_docs import keys_of, page_of

PARTS = ["settings", "places", "inventory", "doors", "credentials", "store", "speed", "clock", "space", "runs"]


def levels(ended: Ended) -> dict[str, list[str]]:
    """Give the levels of the lines of each part."""
    found: dict[str, list[str]] = {}
    for line in ended.json["lines"]:
        found.setdefault(line["part"], []).append(line["level"])
    return found


def texts(ended: Ended, part: str) -> list[str]:
    return [line["text"] for line in ended.json["lines"] if line["part"] == part]


def configure(home: Path, **keys: Any) -> None:
    (home / "inventory.txt").write_text("/store/mc/a.root\n")
    values = {"RootPath": "/store", "DirectoryList": ["mc"], "Timeout": 5, "Layout": "shared"}
    values["Sites"] = {"T2_X": {"Inventory": "inventory.txt", **keys}}  # type: ignore[assignment]
    (home / "consistency_config.json").write_text(json.dumps(values))


def test_a_site_that_is_well(site: PlantedSite) -> None:
    assert run("check", cwd=site.home).code == 0
    ended = run("doctor", site.name, cwd=site.home)
    assert (ended.code, ended.err) == (0, "")
    *lines, last = ended.out.splitlines()
    assert last == "T2_PLANTED: nothing is wrong"
    assert list(dict.fromkeys(line.split()[1] for line in lines)) == PARTS
    assert all(line.startswith("ok       ") for line in lines)
    for words in (
        f"{site.door}: XRootD protocol 5.",
        "no door wants to know who asks",
        f"{site.lfn}/mc can be listed: 4 entries",
        "requests), at which the 6 of the last listing take about 1 s",
        "suit it as limits (now 1, 512, 16)",
        "its clock is that of this machine, by its statistics",
        " free, ",
        "the last run with findings ended",
    ):
        assert words in ended.out, words


def test_json_keys_are_documented(site: PlantedSite) -> None:
    ended = run("doctor", site.name, "--json", cwd=site.home)
    assert (ended.code, ended.err) == (0, "")
    assert keys_of(page_of("doctor")) == list(ended.json)
    # It was never checked.
    assert ended.json["level"] == "warning"
    for key in ended.json["lines"][0]:
        assert f"`{key}`" in page_of("doctor")
    (speed, _) = [line["figures"] for line in ended.json["lines"] if line["part"] == "speed"]
    assert speed["InFlight"] == 512
    assert 0 < speed["requests"] <= 60


@pytest.mark.parametrize("protocol", ["sss", "ztn"])
def test_credentials_are_told_of_and_never_shown(tmp_path: Path, protocol: str) -> None:
    with SecuredServer(protocol) as server:
        (server.server.store / "mc").mkdir()
        configure(tmp_path, Doors=[server.url])
        without = run("doctor", "T2_X", "--json", cwd=tmp_path, env=server.env)
        assert without.code == 4
        assert levels(without)["credentials"] == ["problem"]
        assert levels(without)["store"] == ["ok", "problem"]
        assert "authentication failed" in texts(without, "store")[1]
        assert "speed" not in levels(without)
        token = server.issuer.token(6000)
        own = {"XrdSecSSSKT": str(server.keytab)} if protocol == "sss" else {"BEARER_TOKEN": token}
        ended = run("doctor", "T2_X", "--json", cwd=tmp_path, env={**server.env, **own})
    assert ended.code == 0
    assert levels(ended)["store"] == ["ok", "ok"]
    # The certificate of a test is good for two days.
    assert levels(ended)["doors"] == ["ok", "warning"]
    assert "its certificate ends" in texts(ended, "doors")[1]
    assert token not in ended.out


def test_doors_that_are_down_are_told_apart_from_one_that_is_up(
    tmp_path: Path, start_xrootd: Callable[..., XRootDServer]
) -> None:
    server = start_xrootd()
    (server.store / "mc").mkdir()
    dead = ["root://localhost:1", "root://nowhere.invalid"]
    configure(tmp_path, Doors=[*dead, server.url])
    ended = run("doctor", "T2_X", "--json", cwd=tmp_path)
    assert (ended.code, levels(ended)["doors"]) == (0, ["warning", "warning", "ok"])
    assert "Connection refused" in texts(ended, "doors")[0]
    assert "its host is not known" in texts(ended, "doors")[1]
    assert levels(ended)["store"] == ["ok", "ok"]
    configure(tmp_path, Doors=dead)
    ended = run("doctor", "T2_X", "--json", cwd=tmp_path)
    assert (ended.code, levels(ended)["doors"]) == (4, ["problem", "problem"])
    # What follows would say the same in other words.
    assert "store" not in levels(ended)


def test_a_data_server_of_a_cluster_that_is_silent_is_a_problem(tmp_path: Path, xrootd_cluster: XRootDCluster) -> None:
    root = "/store/examined"
    for number in (0, 1):
        (xrootd_cluster.store(number) / "examined/mc").mkdir(parents=True)
        (xrootd_cluster.store(number) / f"examined/mc/f{number}").touch()
    doors = [f"root://{xrootd_cluster.server(number)}" for number in (0, 1)]
    configure(tmp_path, Doors=doors, Layout="clustered", RootPath=root)
    well = run("doctor", "T2_X", "--json", cwd=tmp_path)
    assert (well.code, levels(well)["doors"]) == (0, ["ok", "ok"])
    assert texts(well, "store")[0] == "a cluster of 2 data servers, all of which are known"
    xrootd_cluster.stop_server(1)
    try:
        ended = run("doctor", "T2_X", "--json", cwd=tmp_path)
    finally:
        xrootd_cluster.start_server(1)
        xrootd_cluster.wait_for_servers(2)
    assert ended.code == 4
    assert levels(ended)["doors"] == ["ok", "problem"]
    assert any("cannot be listed: connection failed" in text and doors[1] in text for text in texts(ended, "store"))


def test_what_is_wrong_here_goes_before_the_store(tmp_path: Path) -> None:
    configure(tmp_path, Doors=["file:///"], Inventory="none.txt", RootPath=str(tmp_path / "store"))
    (tmp_path / "store/mc").mkdir(parents=True)
    ended = run("doctor", "T2_X", "--json", cwd=tmp_path)
    assert ended.code == 2
    found = levels(ended)
    assert (found["settings"], found["store"], found.get("inventory")) == (["problem"], ["ok", "ok"], None)
    # A directory of this machine has its clock, and no limits of its own.
    assert ("clock" in found, len(found["speed"]), found["space"]) == (False, 1, ["ok"])
    (tmp_path / "none.txt").touch()
    assert levels(run("doctor", "T2_X", "--json", cwd=tmp_path))["inventory"] == ["problem"]
    # The prefix of the one side is often not that of the other.
    (tmp_path / "none.txt").write_text("/cms/store/mc/a.root\n/cms/store/mc/b.root\n")
    ended = run("doctor", "T2_X", "--json", cwd=tmp_path)
    assert levels(ended)["inventory"] == ["ok", "warning"]
    assert texts(ended, "inventory")[1].endswith("below RootPath, such as /cms/store/mc/a.root")
    (tmp_path / "none.txt").write_text(f"/cms/store/mc/a.root\n{tmp_path}/store/mc/b.root\n")
    assert levels(run("doctor", "T2_X", "--json", cwd=tmp_path))["inventory"] == ["ok"]


def test_runs_that_failed_and_sites_that_are_disabled_are_told_of(site: PlantedSite) -> None:
    assert run("check", cwd=site.home).code == 0
    site.inventory.write_text("")
    assert run("check", cwd=site.home).code == 2
    assert run("set-status", site.name, "disable", cwd=site.home).code == 0
    ended = run("doctor", site.name, "--json", cwd=site.home)
    assert ended.code == 2
    assert levels(ended)["runs"] == ["warning", "problem", "ok"]
    disabled, failed, _ = texts(ended, "runs")
    assert "set to disabled" in disabled
    assert failed.startswith("the last run, 2, failed: ")


def test_a_site_that_is_not_there(site: PlantedSite) -> None:
    ended = run("doctor", "T2_NONE", cwd=site.home)
    assert (ended.code, "known: T2_PLANTED" in ended.message) == (2, True)


def test_what_keeps_the_configuration_from_being_read_is_said_line_by_line(tmp_path: Path) -> None:
    configure(tmp_path, Timeout="soon", NumThreads=0)
    ended = run("doctor", "T2_X", "--json", cwd=tmp_path)
    assert (ended.code, ended.err, ended.json["level"]) == (2, "", "problem")
    assert levels(ended) == {"settings": ["problem", "problem"]}
    assert all(text.startswith("Sites.T2_X.") for text in texts(ended, "settings"))
    assert all(line["advice"].startswith("write ") for line in ended.json["lines"])
    configure(tmp_path)
    ended = run("doctor", "T2_X", "--json", cwd=tmp_path, env={"NumThreads": "0"})
    assert all(text.endswith(" (in the environment)") for text in texts(ended, "settings"))
    (tmp_path / "consistency_config.json").write_text("{")
    assert "consistency_config.json" in run("doctor", "T2_X", cwd=tmp_path).message


def test_a_backend_that_is_none_is_said_once(tmp_path: Path) -> None:
    configure(tmp_path, Backends={"sites": "weather"}, Doors=[f"file://{tmp_path}"])
    ended = run("doctor", "T2_X", "--json", cwd=tmp_path)
    assert [text for line in ended.json["lines"] if "weather" in (text := line["text"])] == texts(ended, "settings")
    assert levels(ended)["settings"] == ["problem"]
