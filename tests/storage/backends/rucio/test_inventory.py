"""The inventory of an RSE, over REST and from the server's own database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import paths
from engine.checksums.digest import Checksum
from engine.columns import UNKNOWN_MTIME, UNSETTLED_MTIME
from engine.lfn2path import hash_path, identity_path
from storage.backends import BackendError
from storage.backends.checksums import expected_checksums
from storage.backends.into_snapshot import inventory_identity, inventory_of_backend
from storage.snapshot import Snapshot
from tests.storage.backends.rucio.conftest import ROOT, Element

SETTLED = {"A"}
STATES = "ACUTBD"

ONE, SUM = Checksum("adler32", "00000001"), Checksum("md5", "5eb63bbbe01eeed093cb22bb8f5acdc3")
"""What the server's replicas have, and another one."""


@pytest.fixture(params=["database", "rest"])
def keys(request: pytest.FixtureRequest, element: Element) -> dict[str, str]:
    """Where the replicas are read from."""
    return {"Database": element.server.database} if request.param == "database" else {}


def lfn(scope: str, name: str) -> str:
    return f"{ROOT}/{paths.decode(hash_path(scope.encode(), name.encode()))}"


def test_only_what_is_available_is_judged(element: Element, keys: dict[str, str]) -> None:
    files = {(element.mc, f"f.{state}"): 10 + at for at, state in enumerate(STATES)}
    element.server.add_files(element.name, {**files, (element.user, "own"): 0})
    element.server.add_files(element.other, {(element.mc, "elsewhere"): 1})
    for state in STATES:
        element.server.set_state(element.name, f"f.{state}", state)
    backends, _ = element.backends(**keys)
    rows = {row.lfn: row for row in backends.inventory.list_files(element.name)}
    assert rows.keys() == {*(lfn(*did) for did in files), lfn(element.user, "own")}
    assert {row.lfn: row.size for row in rows.values()} == {
        **{lfn(*did): size if did[1] == "f.A" else None for did, size in files.items()},
        lfn(element.user, "own"): 0,
    }
    judged = {row.lfn for row in rows.values() if row.mtime != UNSETTLED_MTIME}
    assert judged == {lfn(element.mc, "f.A"), lfn(element.user, "own")}
    assert backends.inventory.protected_datasets(element.name) == frozenset()


def test_the_paths_are_those_of_the_server(element: Element) -> None:
    dids = [(element.mc, "a.root"), (element.user, "b/c-_.root"), (element.mc, "x" * 200)]
    element.server.add_files(element.name, dict.fromkeys(dids, 1))
    asked = [{"scope": scope, "name": name} for scope, name in dids]
    entries = element.server.ask(lambda client: list(client.list_replicas(asked)))
    served = {pfn.partition(f"//{element.name}/")[2] for entry in entries for pfn in entry["rses"][element.name]}
    assert served == {hash_path(scope.encode(), name.encode()).decode() for scope, name in dids}


def test_paths_of_the_algorithm_identity(element: Element, keys: dict[str, str]) -> None:
    element.server.ask(lambda client: client.add_rse_attribute(element.name, "lfn2pfn_algorithm", "identity"))
    element.server.add_files(element.name, {(element.user, "a"): 1, (element.mc, "b"): 1})
    backends, _ = element.backends(**keys)
    rows = {row.lfn for row in backends.inventory.list_files(element.name)}
    assert rows == {
        f"{ROOT}/{identity_path(scope.encode(), name.encode()).decode()}"
        for scope, name in ((element.user, "a"), (element.mc, "b"))
    }
    served = element.server.ask(lambda client: list(client.list_replicas([{"scope": element.user, "name": "a"}])))
    assert served[0]["rses"][element.name][0].endswith(f"//{element.name}/user/{element.user[5:]}/a")


def test_an_algorithm_that_is_not_known(element: Element, keys: dict[str, str]) -> None:
    element.server.ask(lambda client: client.add_rse_attribute(element.name, "lfn2pfn_algorithm", "xenon"))
    backends, _ = element.backends(**keys)
    with pytest.raises(
        BackendError, match=r"makes the paths of .* with .xenon.; known are hash and identity; set LFN2Path"
    ):
        list(backends.inventory.list_files(element.name))


def test_where_paths_do_not_follow_from_names(element: Element, keys: dict[str, str]) -> None:
    rse = f"{element.name}_ND"
    element.server.add_rse(rse, deterministic=False)
    files = {(element.mc, "a"): 1, (element.mc, "b"): 2}
    element.server.add_files(rse, files, paths={"a": "any/where/a", "b": "b"})
    backends, _ = element.backends(RSE=rse, **keys)
    rows = {(row.lfn, row.size) for row in backends.inventory.list_files(element.name)}
    assert rows == {(f"{ROOT}/any/where/a", 1), (f"{ROOT}/b", 2)}


def test_a_prefix_that_is_not_the_root_path(element: Element, keys: dict[str, str]) -> None:
    element.server.add_files(element.name, {(element.mc, "a"): 1})
    backends, _ = element.backends(Prefix="/eos/rucio/", **keys)
    path = hash_path(element.mc.encode(), b"a").decode()
    assert [row.lfn for row in backends.inventory.list_files(element.name)] == [f"/eos/rucio/{path}"]


def test_a_replica_without_a_path(element: Element, caplog: pytest.LogCaptureFixture) -> None:
    rse = f"{element.name}_ND"
    element.server.add_rse(rse, deterministic=False)
    element.server.add_files(rse, {(element.mc, "a"): 1, (element.mc, "b"): 2}, paths={"a": "a", "b": "b"})
    element.server.execute("UPDATE replicas SET path = NULL WHERE scope = :mc AND name = 'b'", mc=element.mc)
    database = element.server.database
    backends, _ = element.backends(RSE=rse, Database=database)
    with pytest.raises(BackendError, match=f"1 replicas have no path, such as {element.mc}:b; their files"):
        list(backends.inventory.list_files(element.name))
    backends, _ = element.backends(RSE=rse, Database=database, SkipWithoutPath=True)
    assert [row.lfn for row in backends.inventory.list_files(element.name)] == [f"{ROOT}/a"]
    assert "1 replicas have no path" in caplog.text


def test_rules_of_the_configuration(element: Element, keys: dict[str, str]) -> None:
    element.server.add_files(element.name, {(element.mc, "/store/a"): 1, (element.user, "b"): 1})
    rules = [{"DID": "mc.*:(/store/.*)", "Path": "$1"}, {"DID": "user[.](.*):(.*)", "Path": "home/$1/$2"}]
    backends, _ = element.backends(PathRules=rules, **keys)
    rows = {row.lfn for row in backends.inventory.list_files(element.name)}
    assert rows == {"/store/a", f"{ROOT}/home/{element.user[5:]}/b"}
    backends, _ = element.backends(PathRules=rules[:1], **keys)
    with pytest.raises(BackendError, match=f'no rule makes a path of "{element.user}:b".*add one to Rucio.PathRules'):
        list(backends.inventory.list_files(element.name))


def test_a_storage_description(element: Element, tmp_path: Path) -> None:
    element.server.add_files(element.name, {(element.mc, "/store/a"): 1})
    (tmp_path / "storage.json").write_text(
        json.dumps(
            [{"rse": element.name, "volume": "D", "protocols": [{"protocol": "X", "prefix": "root://x//eos/cms"}]}]
        )
    )
    backends, _ = element.backends(Database=element.server.database, StorageJSON="storage.json")
    assert [row.lfn for row in backends.inventory.list_files(element.name)] == ["/eos/cms/store/a"]
    (tmp_path / "storage.json").write_text("[]")
    with pytest.raises(BackendError, match=r"storage\.json: 0 volumes fit rse"):
        list(backends.inventory.list_files(element.name))


def test_the_names_of_cms_are_paths(element: Element, keys: dict[str, str]) -> None:
    element.server.add_files(element.name, {(element.mc, "/store/mc/a"): 1})
    backends, _ = element.backends(LFN2Path="name", **keys)
    assert [row.lfn for row in backends.inventory.list_files(element.name)] == ["/store/mc/a"]


def test_a_snapshot(element: Element, keys: dict[str, str], room_beside_the_snapshot_alone: None) -> None:
    element.server.add_files(element.name, {(element.mc, f"f{n}"): n for n in range(700)})
    element.server.set_state(element.name, "f1", "C")
    backends, site = element.backends(**keys)
    snapshot = element.directory / "s"
    counts = inventory_of_backend(backends, site, snapshot)
    assert (counts.files, counts.lines, counts.has_sizes, counts.format) == (700, 700, True, "rucio")
    identity = inventory_identity(backends, site)
    assert identity.label.endswith(f", RSE {element.name}")
    read = Snapshot(snapshot)
    times = {
        name: mtime
        for row in range(len(read.table.paths))
        if read.table.files[row]
        for name, _, mtime in read.table.load(row).rows()
    }
    read.close()
    assert {name for name, mtime in times.items() if mtime == UNSETTLED_MTIME} == {b"f1"}
    assert all((mtime == UNKNOWN_MTIME) == (not keys) for name, mtime in times.items() if name != b"f1")


def test_two_replicas_with_one_path(element: Element) -> None:
    rse = f"{element.name}_ND"
    element.server.add_rse(rse, deterministic=False)
    element.server.add_files(rse, {(element.mc, "a"): 1, (element.mc, "b"): 2}, paths={"a": "same", "b": "same"})
    backends, site = element.backends(RSE=rse, Database=element.server.database)
    counts = inventory_of_backend(backends, site, element.directory / "s")
    assert (counts.files, counts.duplicates, counts.conflicts) == (1, 1, 1)


def test_an_rse_that_there_is_not(element: Element, keys: dict[str, str]) -> None:
    backends, _ = element.backends(RSE=element.name.lower(), **keys)
    with pytest.raises(BackendError, match="RSE") as caught:
        list(backends.inventory.list_files(element.name))
    assert "Rucio.RSE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_in_no_list_are_noticed_where_rucio_counts(element: Element) -> None:
    element.server.add_files(element.name, {(element.mc, "a"): 1, (element.mc, "hidden"): 1})
    element.server.execute("UPDATE dids SET suppressed = 1 WHERE scope = :mc AND name = 'hidden'", mc=element.mc)
    backends, _ = element.backends()
    assert len(list(backends.inventory.list_files(element.name))) == 1
    element.server.ask(lambda client: client.set_rse_usage(element.name, "rucio", used=2, free=0, files=2))
    with pytest.raises(BackendError, match=r"has counted 2 files there and shows 1.*set Rucio\.Database"):
        list(backends.inventory.list_files(element.name))


def test_what_is_no_name_of_an_rse(element: Element) -> None:
    backends, _ = element.backends(RSE="../rses")
    with pytest.raises(BackendError, match=r"RSE \.\./rses \(Rucio\.RSE\): that is no name of an RSE"):
        list(backends.inventory.list_files(element.name))


def test_checksums_of_some_files(element: Element, keys: dict[str, str]) -> None:
    files = {(element.mc, "a"): 1, (element.mc, "b"): 2, (element.user, "c/d"): 3}
    element.server.add_files(element.name, files)
    element.server.add_files(element.other, {(element.mc, "elsewhere"): 4})
    element.server.execute(
        "UPDATE replicas SET adler32 = '0a1b2c3d', md5 = :md5 WHERE scope = :mc AND name = 'a'",
        mc=element.mc,
        md5=SUM.digits,
    )
    element.server.execute("UPDATE replicas SET adler32 = NULL WHERE scope = :user", user=element.user)
    backends, _ = element.backends(**keys)
    sizes = {
        lfn(*did).encode(): size for did, size in {**files, (element.mc, "elsewhere"): 4, (element.mc, "no"): 5}.items()
    }
    found = expected_checksums(backends, element.name, sizes, lambda: None)
    of_a = lfn(element.mc, "a").encode()
    # The server tells what Rucio has of the file, whatever its database has of the replica.
    of_others = {lfn(element.mc, "b").encode(): (ONE,), lfn(element.user, "c/d").encode(): () if keys else (ONE,)}
    assert found == {of_a: (Checksum("adler32", "0a1b2c3d"), SUM) if keys else (ONE,), **of_others}
    # One that has another size by now is another file.
    assert expected_checksums(backends, element.name, {of_a: 2}, lambda: None) == {}


def test_checksums_where_paths_do_not_follow_from_names(element: Element, keys: dict[str, str]) -> None:
    rse = f"{element.name}_SUMS"
    element.server.add_rse(rse, deterministic=False)
    element.server.add_files(rse, {(element.mc, "x"): 1, (element.mc, "y"): 2}, paths={"x": "any/x", "y": "y"})
    backends, _ = element.backends(RSE=rse, **keys)
    found = expected_checksums(backends, element.name, {f"{ROOT}/any/x".encode(): 1, b"/not/there": 1}, lambda: None)
    assert found == {f"{ROOT}/any/x".encode(): (ONE,)}
