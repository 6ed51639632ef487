"""The backend that needs no server."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.checksums.digest import Checksum
from storage.backends import Backends, choose
from storage.backends.checksums import expected_checksums
from storage.backends.file_inventory import SettingsOf
from storage.backends.files import FreeMemory
from storage.backends.into_snapshot import inventory_identity, inventory_of_backend
from storage.backends.protocols import InventoryRow, Transfers
from storage.backends.queue import RequestQueue, queue_path
from storage.config.files import ConfigError
from storage.config.loading import Config
from storage.config.site import SiteConfig
from storage.inventory import InventoryMalformed, InventoryUnreadable, reader
from storage.snapshot import Snapshot

SITE = "T2_A"
CSV = """lfn,size,mtime,block,dataset,owner,protected
/store/mc/Era/One/TIER/v1/a.root,5,7,/One/Era-v1/TIER#1,,us,
/store/mc/Era/One/TIER/v1/b.root,6,,/One/Era-v1/TIER#1,,us,yes
/store/mc/Era/Two/TIER/v1/c.root,,,,/Two/Era-v1/TIER,,0
/store/data/short.root,8,,,,,1
"""


def settings(directory: Path, content: str | bytes | None = CSV, **keys: Any) -> tuple[Backends, SiteConfig]:
    path = directory / "inventory"
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        path.write_bytes(content)
    config_file = directory / "config.yaml"
    config_file.write_text(json.dumps({"Inventory": "inventory", "Sites": {SITE: {}, "T2_B": {}}, **keys}))
    config = Config.load(config_file, {})
    return choose(config, config.site(SITE)), config.site(SITE)


def table(directory: Path, *rows: tuple[str, str]) -> None:
    with closing(sqlite3.connect(directory / "inventory")) as database, database:
        database.execute("CREATE TABLE files (lfn, site)")
        database.executemany("INSERT INTO files VALUES (?, ?)", rows)


def test_list_files(tmp_path: Path) -> None:
    backends, _ = settings(tmp_path)
    assert list(backends.inventory.list_files(SITE)) == [
        InventoryRow("/store/mc/Era/One/TIER/v1/a.root", 5, 7, "/One/Era-v1/TIER#1", "/One/Era-v1/TIER", "us"),
        InventoryRow("/store/mc/Era/One/TIER/v1/b.root", 6, None, "/One/Era-v1/TIER#1", "/One/Era-v1/TIER", "us"),
        InventoryRow("/store/mc/Era/Two/TIER/v1/c.root", None, None, "", "/Two/Era-v1/TIER"),
        InventoryRow("/store/data/short.root", 8),
    ]


def test_names_of_any_kind(tmp_path: Path) -> None:
    backends, _ = settings(tmp_path, b"/store/mc/\xff <x>\n/store/mc/\xc3\xa9\n")
    assert [row.lfn for row in backends.inventory.list_files(SITE)] == ["/store/mc/\udcff <x>", "/store/mc/\xe9"]


def test_the_identity_changes_with_the_rules_that_another_file_holds(tmp_path: Path) -> None:
    marks = []
    for content in ("[]", "[{}]", None):
        if content is None:
            (tmp_path / "storage.json").unlink()
        else:
            (tmp_path / "storage.json").write_text(content)
        marks.append(inventory_identity(*settings(tmp_path, Rucio={"StorageJSON": "storage.json"})).mark["paths"])
    assert len(set(marks)) == 3


def test_paths_of_replicas_are_made_as_the_keys_of_rucio_say(tmp_path: Path) -> None:
    line = f"{SITE}\tmc\tf\tab\t7\t2020-01-01 00:00:00\t\t2020-01-01 00:00:00\tA\n"
    found = {}
    for said, keys in {
        "identity": {"Rucio": {"LFN2Path": "identity"}},
        "identity, elsewhere": {"Rucio": {"LFN2Path": "identity", "Prefix": "/store/rucio"}},
        "hash": {"Rucio": {"LFN2Path": "hash", "Prefix": "/store/rucio"}},
        "rules": {"Rucio": {"PathRules": [{"DID": "mc:(.*)", "Path": "by/rule/$1"}]}},
    }.items():
        backends, site = settings(tmp_path, line, **keys)
        (row,) = backends.inventory.list_files(SITE)
        found[said] = row.lfn
        mark = inventory_identity(backends, site).mark
        assert ("paths" in mark) == ("Rucio" in keys)
    assert found == {
        "identity": "/store/mc/f",
        "identity, elsewhere": "/store/rucio/mc/f",
        "hash": "/store/rucio/mc/5c/04/f",
        "rules": "/store/by/rule/f",
    }
    backends, _ = settings(tmp_path, line, Rucio={"PathRules": [{"DID": "data:(.*)", "Path": "$1"}]})
    with pytest.raises(InventoryMalformed, match="line 1: expected a name of which a rule makes a path"):
        list(backends.inventory.list_files(SITE))


@pytest.mark.parametrize("keys", [{}, {"Rucio": {}}, {"Rucio": {"Prefix": "/store"}}])
def test_paths_of_replicas_are_never_guessed(tmp_path: Path, keys: dict[str, Any]) -> None:
    """By another rule than that of the RSE every file would be missing, and an orphan."""
    line = f"{SITE}\tmc\t%s\tab\t7\t2020-01-01 00:00:00\t\t2020-01-01 00:00:00\tA\n"
    backends, _ = settings(tmp_path, line % "f", **keys)
    with pytest.raises(InventoryMalformed, match=r"line 1: expected a path, or Rucio\.LFN2Path to say how"):
        list(backends.inventory.list_files(SITE))
    # The names of CMS are paths.
    backends, _ = settings(tmp_path, line % "/store/mc/f", **keys)
    assert [row.lfn for row in backends.inventory.list_files(SITE)] == ["/store/mc/f"]


def test_protected_datasets_are_flagged(tmp_path: Path) -> None:
    backends, _ = settings(tmp_path)
    assert backends.inventory.protected_datasets(SITE) == {"/One/Era-v1/TIER"}
    assert settings(tmp_path, "/store/mc/a 5\n")[0].inventory.protected_datasets(SITE) == set()


def test_filelist_to_blocklist(tmp_path: Path) -> None:
    backends, _ = settings(tmp_path)
    lfns = [row.lfn for row in backends.inventory.list_files(SITE)]
    assert backends.blocks.filelist_to_blocklist(SITE, [*lfns, lfns[0], "/store/mc/Era/New/TIER/v1/0/x"]) == [
        ("", "", "/store/data", 1, 8),
        ("", "/New/Era-v1/TIER", "/store/mc/Era/New/TIER/v1/0", 1, 0),
        ("", "/Two/Era-v1/TIER", "/store/mc/Era/Two/TIER/v1", 1, 0),
        ("us", "/One/Era-v1/TIER", "/One/Era-v1/TIER#1", 2, 11),
    ]
    assert backends.blocks.filelist_to_blocklist(SITE, []) == []


def test_the_inventory_becomes_a_snapshot(tmp_path: Path, room_beside_the_snapshot_alone: None) -> None:
    backends, site = settings(tmp_path)
    counts = inventory_of_backend(backends, site, tmp_path / "s", (b"/store/mc",))
    assert (counts.files, counts.skipped, counts.format) == (3, 1, "csv")
    with closing(Snapshot(tmp_path / "s")) as snapshot:
        header = snapshot.header
    assert (header.kind, header.source, header.site) == ("inventory", str(tmp_path / "inventory"), SITE)


@pytest.mark.parametrize(("keys", "expected"), [({"InventoryProcesses": 3}, [3]), ({"InventoryProcesses": 1}, [])])
def test_so_many_processes_read_as_the_key_says(
    keys: dict[str, int], expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(reader, "spread", lambda _text, _builder, processes, *_: asked.append(processes))
    backends, site = settings(tmp_path, **keys)
    assert inventory_of_backend(backends, site, tmp_path / "s").files == 4
    assert asked == expected


def test_the_identity_changes_with_the_file(tmp_path: Path) -> None:
    first = inventory_identity(*settings(tmp_path))
    assert first.made == (tmp_path / "inventory").stat().st_mtime
    assert inventory_identity(*settings(tmp_path, None)) == first
    assert inventory_identity(*settings(tmp_path, None, InventoryTable="other")).mark != first.mark
    # Other rows count.
    rses = [inventory_identity(*settings(tmp_path, None, Rucio=keys)).mark for keys in ({}, {"RSE": "X"}, {"RSE": "Y"})]
    assert rses[0] != rses[1] != rses[2]
    assert inventory_identity(*settings(tmp_path, CSV + "/store/mc/x,,,,,,\n")).mark != first.mark
    json.dumps(dict(first.mark))


def test_without_an_inventory(tmp_path: Path) -> None:
    backends, site = settings(tmp_path, Inventory=None)
    with pytest.raises(ConfigError, match=r"no inventory for T2_A: set Sites\.T2_A\.Inventory"):
        inventory_of_backend(backends, site, tmp_path / "s")
    assert backends.registry.sources(SITE, ["/store/mc/a"]) == Transfers(["/store/mc/a"])
    assert backends.blocks.filelist_to_blocklist(SITE, ["/store/mc/a"]) == [("", "", "/store/mc", 1, 0)]


def test_an_inventory_that_cannot_be_read(tmp_path: Path) -> None:
    backends, site = settings(tmp_path, None)
    with pytest.raises(InventoryUnreadable, match=r"inventory .*/inventory: No such file"):
        inventory_of_backend(backends, site, tmp_path / "s")
    backends, site = settings(tmp_path, "lfn,size\n/store/a,x\n")
    with pytest.raises(InventoryMalformed, match="line 2"):
        list(backends.inventory.list_files(SITE))


def test_requests_wait_in_the_queue(tmp_path: Path) -> None:
    registry = settings(tmp_path)[0].registry
    lfns = ["/store/mc/b", "/store/mc/\udcff", "/store/mc/a"]
    assert registry.delete(SITE, lfns) == 3
    assert registry.delete(SITE, [*lfns, "/store/mc/c"]) == 1
    assert registry.transfer(SITE, lfns[:1]) == Transfers(lfns[:1])
    queue = RequestQueue(queue_path(tmp_path / "var"))
    assert [request.lfn for request in queue.requests("deletions", SITE)] == [
        b"/store/mc/b",
        b"/store/mc/\xff",
        b"/store/mc/a",
        b"/store/mc/c",
    ]
    assert [request.lfn for request in queue.requests("transfers")] == [b"/store/mc/b"]


def test_sources_are_not_known_without_a_column_of_sites(tmp_path: Path) -> None:
    registry = settings(tmp_path)[0].registry
    assert registry.sources(SITE, ["/store/mc/nobody", "/store/mc/nobody"]) == Transfers(["/store/mc/nobody"])


def test_sources_are_the_other_sites_of_the_inventory(tmp_path: Path) -> None:
    table(tmp_path, ("/s/disk", "T2_B"), ("/s/disk", SITE), ("/s/tape", "T1_C_MSS"), ("/s/only", SITE))
    registry = settings(tmp_path, None)[0].registry
    lfns = ["/s/disk", "/s/tape", "/s/only", "/s/unknown"]
    expected = Transfers(lfns[:2], lfns[1:], lfns[2:])
    assert registry.sources(SITE, lfns) == expected
    assert registry.transfer(SITE, lfns) == expected
    queued = RequestQueue(queue_path(tmp_path / "var")).requests("transfers")
    assert [request.lfn.decode() for request in queued] == lfns[:2]


def test_the_rows_of_another_site_are_not_expected(tmp_path: Path) -> None:
    table(tmp_path, ("/store/mc/a", SITE), ("/store/mc/b", "T2_B"))
    backends, site = settings(tmp_path, None)
    assert [row.lfn for row in backends.inventory.list_files(SITE)] == ["/store/mc/a"]
    assert [row.lfn for row in backends.inventory.list_files("T2_B")] == ["/store/mc/b"]
    assert inventory_of_backend(backends, site, tmp_path / "s").files == 1
    with pytest.raises(ConfigError, match="known: T2_A, T2_B"):
        list(backends.inventory.list_files("T2_C"))


@pytest.mark.parametrize(
    ("wanted", "why"), [(0, ""), (3.9, ""), (4.1, "4.0 GB of memory are available, FreeMem asks for 4.1 GB")]
)
def test_check_site_looks_at_the_memory(tmp_path: Path, wanted: float, why: str) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       9000000 kB\nMemAvailable:    3906250 kB\n")
    _, site = settings(tmp_path, FreeMem=wanted)
    config = Config.load(tmp_path / "config.yaml", {})
    assert FreeMemory(SettingsOf(config, site), meminfo).check_site(SITE) == why
    assert FreeMemory(SettingsOf(config, site), tmp_path / "nowhere").check_site(SITE) == ""


def test_the_memory_of_this_machine(tmp_path: Path) -> None:
    backends, _ = settings(tmp_path, FreeMem=1e9)
    assert backends.check.check_site(SITE).endswith("FreeMem asks for 1e+09 GB")


def test_datasets_go_by_names(tmp_path: Path) -> None:
    assert settings(tmp_path)[0].datasets.filter({"/One/Era-v1/TIER"}).protected("/store/mc/Era/One/TIER/v1/0/x")
    other = settings(tmp_path, RootPath="/data")[0].datasets.filter({"/data/mc/one"})
    assert (other.protected("/data/mc/one/x"), other.protected("/data/mc/two/x")) == (True, False)


ADLER, MD5 = Checksum("adler32", "0a1b2c3d"), Checksum("md5", "5eb63bbbe01eeed093cb22bb8f5acdc3")


def expected(backends: Backends, **sizes: int) -> dict[str, tuple[Checksum, ...]] | None:
    found = expected_checksums(
        backends, SITE, {f"/store/{name}".encode(): size for name, size in sizes.items()}, nothing
    )
    return None if found is None else {path.decode().removeprefix("/store/"): sums for path, sums in found.items()}


def nothing() -> None:
    """Give up nothing."""


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ("lfn,size,checksum\n/store/a,5,AD:A1B2C3D\n/store/b,6,adler32:0a1b2c3d\n/store/c,7,\n", {}),
        ("lfn\tsize\tadler32\n/store/a\t5\ta1b2c3d\n/store/b\t6\t0A1B2C3D\n/store/c\t7\t\n", {}),
        ("/store/a|5|1700000000|a1b2c3d\n/store/b|6|1700000000|0a1b2c3d\n/store/c|7|1700000000|\n", {}),
    ],
)
def test_checksums_of_some_files(tmp_path: Path, content: str, keys: dict[str, Any]) -> None:
    backends, _ = settings(tmp_path, content, **keys)
    assert expected(backends, a=5, c=7, gone=1) == {"a": (ADLER,), "c": ()}
    assert expected(backends, a=5, b=7) == {"a": (ADLER,)}
    assert expected(backends) == {}


def test_checksums_of_a_table(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "inventory")) as database, database:
        database.execute("CREATE TABLE files (lfn, size, md5, site)")
        rows = [("/store/a", 5, MD5.digits, SITE), ("/store/b", None, MD5.digits, SITE), ("/store/a", 5, "1", "T2_B")]
        database.executemany("INSERT INTO files VALUES (?, ?, ?, ?)", rows)
    backends, _ = settings(tmp_path, None)
    assert expected(backends, a=5, b=9) == {"a": (MD5,), "b": (MD5,)}


def test_a_file_with_two_checksums_has_none(tmp_path: Path) -> None:
    rows = ["lfn,size,checksum", "/store/a,5,0a1b2c3d", "/store/a,5,0a1b2c3e", f"/store/a,5,{MD5.digits}"]
    backends, _ = settings(tmp_path, "\n".join([*rows, "/store/b,5,0a1b2c3d", "/store/b,5,AD:a1b2c3d"]) + "\n")
    assert expected(backends, a=5, b=5) == {"a": (MD5,), "b": (ADLER,)}


def test_zeros_stand_for_no_checksum(tmp_path: Path) -> None:
    texts = ["00000000", "adler32:0", "AD:00000000", "0x0", "0", f"md5:{'0' * 32}", "0" * 32]
    rows = [f"/store/f{at},5,{text}" for at, text in enumerate(texts)]
    backends, _ = settings(tmp_path, "\n".join(["lfn,size,checksum", *rows, "/store/empty,0,00000001"]) + "\n")
    found = expected(backends, **{f"f{at}": 5 for at in range(len(texts))}, empty=0)
    assert found == {f"f{at}": () for at in range(len(texts))} | {"empty": (Checksum("adler32", "00000001"),)}


def test_inventories_without_checksums(tmp_path: Path) -> None:
    backends, _ = settings(tmp_path)
    assert expected(backends, short=8) is None
    backends, _ = settings(tmp_path, "/store/a 5\n")
    assert expected(backends, a=5) is None


def test_looking_for_checksums_can_be_given_up(tmp_path: Path) -> None:
    backends, _ = settings(tmp_path, "lfn,checksum\n" + "".join(f"/store/{at},1\n" for at in range(200_000)))

    def give_up() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        expected_checksums(backends, SITE, {b"/store/7": 1}, give_up)
