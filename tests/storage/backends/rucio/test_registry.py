"""Requests to a Rucio, and what it says of them afterwards."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from engine import paths
from engine.lfn2path import hash_path
from storage.backends import BackendError, Backends
from storage.backends.protocols import Transfers, takes_directories
from storage.backends.queue import RequestQueue, queue_path
from storage.backends.rucio import copies, quarantine, registry, rest_source
from storage.backends.rucio.patience import waits_of
from tests.storage.backends.rucio.conftest import ROOT, Element


def lfn(scope: str, name: str) -> str:
    return f"{ROOT}/{paths.decode(hash_path(scope.encode(), name.encode()))}"


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have two files in a question."""
    for module in (copies, quarantine, registry, rest_source):
        monkeypatch.setattr(module, "ASKED_AT_ONCE", 2)


@pytest.fixture
def lost(element: Element) -> dict[str, str]:
    """Files at the RSE by what other copies there are: on disk, on tape only, none."""
    server, mc = element.server, element.mc
    server.add_files(element.name, {(mc, name): 7 for name in ("disk", "tape", "last", "healthy")})
    server.add_files(element.other, {(mc, "disk"): 7, (mc, "tape"): 7})
    server.add_files(element.tape, {(mc, "tape"): 7})
    server.set_state(element.other, "tape", "B")
    return {name: lfn(mc, name) for name in ("disk", "tape", "last", "healthy")}


def three(lost: dict[str, str]) -> list[str]:
    return [lost["disk"], lost["tape"], lost["last"]]


def requests(element: Element, table: Any) -> list[tuple[str, str]]:
    queue = RequestQueue(queue_path(element.config().site(element.name).var_location))
    return [(paths.decode(request.lfn), request.status) for request in queue.requests(table, element.name)]


def test_sources_are_available_copies_elsewhere(element: Element, lost: dict[str, str]) -> None:
    backends, _ = element.backends()
    unknown = f"{ROOT}/{element.mc}/not/there"
    assert backends.registry.sources(element.name, [*three(lost), unknown]) == Transfers(
        requested=[lost["disk"], lost["tape"]],
        no_disk=[lost["tape"], lost["last"]],
        unrecoverable=[lost["last"]],
        refused=[unknown],
    )
    assert element.server.bad(element.name) == set()
    assert requests(element, "transfers") == []


def test_last_copies_are_not_declared_bad(element: Element, lost: dict[str, str], small_batches: None) -> None:
    backends, _ = element.backends()
    done = backends.registry.transfer(element.name, three(lost))
    assert (done.requested, done.unrecoverable) == ((lost["disk"], lost["tape"]), (lost["last"],))
    assert element.server.bad(element.name) == {(element.mc, "disk"), (element.mc, "tape")}
    assert requests(element, "transfers") == [(lost["disk"], "done"), (lost["tape"], "done")]
    again = backends.registry.transfer(element.name, three(lost))
    assert again == done
    assert len(requests(element, "transfers")) == 2


def test_a_copy_in_a_cache_is_none(element: Element, lost: dict[str, str]) -> None:
    """It may be gone at any moment, and the file with it."""
    element.server.execute("UPDATE rses SET volatile = 1 WHERE rse = :rse", rse=element.other)
    backends, _ = element.backends()
    done = backends.registry.transfer(element.name, three(lost))
    assert (done.requested, set(done.unrecoverable)) == ((lost["tape"],), {lost["disk"], lost["last"]})
    assert element.server.bad(element.name) == {(element.mc, "tape")}


def test_last_copies_are_declared_where_that_is_wanted(element: Element, lost: dict[str, str]) -> None:
    backends, _ = element.backends(LastCopies=True)
    done = backends.registry.transfer(element.name, three(lost))
    assert (done.requested, done.unrecoverable) == (tuple(three(lost)), (lost["last"],))
    assert element.server.bad(element.name) == {(element.mc, name) for name in ("disk", "tape", "last")}


def test_only_replicas_that_should_be_there_are_declared(
    element: Element, lost: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    element.server.add_files(element.other, {(element.mc, "healthy"): 7})
    element.server.set_state(element.name, "disk", "C")
    element.server.execute("DELETE FROM replicas WHERE scope = :mc AND name = 'last'", mc=element.mc)
    backends, _ = element.backends()
    done = backends.registry.transfer(element.name, three(lost))
    assert (done.requested, done.refused) == ((lost["tape"],), (lost["disk"], lost["last"]))
    assert element.server.bad(element.name) == {(element.mc, "tape")}
    assert f"refused 2 files: {lost['disk']}: not available there any more" in caplog.text


def test_what_the_server_refuses_is_read(
    element: Element, lost: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that is available although an old declaration of it was never closed."""
    element.server.execute(
        "INSERT INTO bad_replicas (scope, name, rse_id, reason, state, account, created_at, updated_at) "
        "SELECT :mc, 'disk', id, 'old', 'B', 'root', '2020-01-01', '2020-01-01' FROM rses WHERE rse = :rse",
        mc=element.mc,
        rse=element.name,
    )
    backends, _ = element.backends()
    done = backends.registry.transfer(element.name, three(lost))
    # It stands as declared, which is all that could be asked for.
    assert done.requested == (lost["disk"], lost["tape"])

    def gone(known: Any, *arguments: Any) -> Any:
        element.server.execute("DELETE FROM replicas WHERE scope = :mc AND name = 'healthy'", mc=element.mc)
        return asked(known, *arguments)

    element.server.add_files(element.other, {(element.mc, "healthy"): 7})
    asked = registry.RucioRegistry._declare_bad
    monkeypatch.setattr(registry.RucioRegistry, "_declare_bad", gone)
    done = backends.registry.transfer(element.name, [lost["healthy"]])
    assert (done.requested, done.refused) == ((), (lost["healthy"],))
    assert requests(element, "transfers")[-1] == (lost["healthy"], "failed")


def test_a_refusal_of_a_name_that_another_one_begins_with() -> None:
    called = {"/a": ("mc:a", "('mc', 'a')"), "/a b": ("mc:a b", "('mc', 'a b')")}
    assert registry._refused({"X": ["mc:a b No such file"]}, called) == {"/a b": "No such file"}
    assert registry._refused({"X": ["mc:a b Already declared", "mc:a No"]}, called) == {"/a": "No"}


def test_suspicious_in_the_place_of_bad(element: Element, lost: dict[str, str]) -> None:
    backends, _ = element.backends(Suspicious=True)
    done = backends.registry.transfer(element.name, three(lost))
    assert done.requested == (lost["disk"], lost["tape"])
    assert element.server.bad(element.name) == set()
    assert element.server.bad(element.name, "S") == {(element.mc, "disk"), (element.mc, "tape")}


def test_a_pfn_that_the_server_takes_for_another_file_is_not_suspicious(element: Element) -> None:
    element.server.add_files(element.name, {(element.mc, "deep/a"): 1, (element.mc, "a"): 1})
    element.server.add_files(element.other, {(element.mc, "deep/a"): 1})
    backends, _ = element.backends(Suspicious=True)
    done = backends.registry.transfer(element.name, [lfn(element.mc, "deep/a")])
    assert done.refused == (lfn(element.mc, "deep/a"),)
    assert element.server.bad(element.name, "S") == set()


@pytest.fixture(params=["database", "rest"])
def registered(request: pytest.FixtureRequest, element: Element) -> Backends:
    """The backend of an RSE with one file."""
    element.server.add_files(element.name, {(element.mc, "known"): 1})
    keys = {"Database": element.server.database} if request.param == "database" else {}
    return element.backends(**keys)[0]


def test_orphans_are_quarantined_by_path_and_name(element: Element, registered: Backends, small_batches: None) -> None:
    orphans = [lfn(element.mc, "dark"), lfn(element.user, "own"), f"{ROOT}/{element.mc}/00/00/wrong", f"{ROOT}/stray"]
    assert registered.registry.delete(element.name, [*orphans, orphans[0]]) == 4
    found = element.server.quarantined(element.name)
    assert found == {
        (hash_path(element.mc.encode(), b"dark").decode(), element.mc, "dark"),
        (hash_path(element.user.encode(), b"own").decode(), element.user, "own"),
        (f"{element.mc}/00/00/wrong", element.mc, "wrong"),
        ("stray", "None", "None"),
    }
    assert {status for _, status in requests(element, "deletions")} == {"done"}


def test_the_quarantine_again_is_harmless(element: Element, registered: Backends, small_batches: None) -> None:
    first = [lfn(element.mc, f"dark{n}") for n in range(3)]
    assert registered.registry.delete(element.name, first) == 3
    assert registered.registry.delete(element.name, first) == 0
    assert registered.registry.delete(element.name, [*first, lfn(element.mc, "more")]) == 1
    assert len(element.server.quarantined(element.name)) == 4
    assert len(requests(element, "deletions")) == 4


def test_a_file_that_is_registered_by_now_is_never_quarantined(
    element: Element, registered: Backends, caplog: pytest.LogCaptureFixture
) -> None:
    known, dark = lfn(element.mc, "known"), lfn(element.mc, "dark")
    registered.registry.delete(element.name, [known])
    registered.registry.delete(element.name, [known, dark])
    assert {name for _, _, name in element.server.quarantined(element.name)} == {"dark"}
    assert "they are in the quarantine already, or registered by now" in caplog.text


def test_a_quarantine_that_others_filled(element: Element, registered: Backends) -> None:
    dark = [hash_path(element.mc.encode(), b"dark%d" % n).decode() for n in range(4)]
    rows = [{"path": path, "scope": element.mc, "name": path.rpartition("/")[2]} for path in dark[:3]]
    element.server.ask(lambda client: client.quarantine_replicas(rows, rse=element.name))
    assert registered.registry.delete(element.name, [f"{ROOT}/{path}" for path in dark[:3]]) == 0
    assert registered.registry.delete(element.name, [f"{ROOT}/{path}" for path in dark]) == 1
    assert len(element.server.quarantined(element.name)) == 4


def test_names_that_rucio_cannot_hold_stay(
    element: Element, registered: Backends, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [f"{ROOT}/{element.mc}/\udcff", f"{ROOT}/{'x' * 1025}", "/elsewhere/a"]
    assert registered.registry.delete(element.name, [*odd, lfn(element.mc, "dark")]) == 1
    assert "3 orphans are left alone" in caplog.text
    long = f"{ROOT}/{'s' * 30}/{'n' * 300}"
    assert registered.registry.delete(element.name, [long]) == 1
    assert not takes_directories(registered.registry)


def test_paths_that_do_not_follow_from_names(element: Element) -> None:
    rse = f"{element.name}_ND"
    element.server.add_rse(rse, deterministic=False)
    element.server.add_files(rse, {(element.mc, "a"): 1, (element.mc, "b"): 2}, paths={"a": "x/a", "b": "x/b"})
    element.server.add_files(element.other, {(element.mc, "a"): 1})
    for keys in ({"Database": element.server.database}, {}):
        backends, _ = element.backends(RSE=rse, **keys)
        found = backends.registry.sources(element.name, [f"{ROOT}/x/a", f"{ROOT}/x/b", f"{ROOT}/x/c"])
        assert found.requested == (f"{ROOT}/x/a",)
        assert (found.unrecoverable, found.refused) == ((f"{ROOT}/x/b",), (f"{ROOT}/x/c",))
    assert backends.registry.transfer(element.name, [f"{ROOT}/x/a"]).requested == (f"{ROOT}/x/a",)
    assert element.server.bad(rse) == {(element.mc, "a")}
    assert backends.registry.delete(element.name, [f"{ROOT}/x/dark"]) == 1
    assert element.server.quarantined(rse) == {("x/dark", "x", "dark")}


def test_a_path_that_is_registered_by_now_is_never_quarantined(
    element: Element, caplog: pytest.LogCaptureFixture
) -> None:
    """Where paths do not follow from names, the server would not find out: no name was given that has this path."""
    rse = f"{element.name}_LATE"
    element.server.add_rse(rse, deterministic=False)
    element.server.add_files(rse, {(element.mc, "a"): 1, (element.mc, "b"): 2}, paths={"a": "y/a", "b": "y/b"})
    element.server.execute("UPDATE replicas SET path = '/y/b' WHERE path = 'y/b'")
    backends, _ = element.backends(RSE=rse, Database=element.server.database)
    assert backends.registry.delete(element.name, [f"{ROOT}/y/{name}" for name in ("a", "b", "dark")]) == 1
    assert element.server.quarantined(rse) == {("y/dark", "y", "dark")}
    assert "2 orphans are left alone: they are registered by now" in caplog.text


def test_missing_files_by_dataset(element: Element, lost: dict[str, str]) -> None:
    def make(client: Any) -> None:
        client.add_dataset(element.mc, "set")
        client.attach_dids(element.mc, "set", [{"scope": element.mc, "name": name} for name in ("disk", "tape")])

    element.server.ask(make)
    backends, _ = element.backends()
    directory = lost["last"].rpartition("/")[0]
    assert backends.blocks.filelist_to_blocklist(element.name, three(lost)) == [
        ("", "", directory, 1, 0 if directory.startswith("/nowhere") else 7),
        ("", "", f"{element.mc}:set", 2, 14),
    ]


def test_a_server_that_goes_away(
    element: Element,
    lost: dict[str, str],
    small_batches: None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole batches were declared, which is said and recorded; whoever asks again asks for the rest."""
    names = [f"f{n}" for n in range(5)]
    for rse in (element.name, element.other):
        element.server.add_files(rse, {(element.mc, name): 1 for name in names})
    lfns = [lfn(element.mc, name) for name in names]
    backends, _ = element.backends(Patience=0.1)
    calls: list[int] = []

    def breaks(known: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            element.server.halt()
        return asked(known, *arguments)

    asked = registry.RucioRegistry._declare_bad
    monkeypatch.setattr(registry.RucioRegistry, "_declare_bad", breaks)
    caplog.set_level(logging.WARNING)
    try:
        with pytest.raises(BackendError, match="it cannot be reached; declared before that: 2") as caught:
            backends.registry.transfer(element.name, lfns)
    finally:
        element.server.start()
    assert "\n" not in str(caught.value)
    assert "asking again in 0.1 s" in caplog.text
    assert element.server.bad(element.name) == {(element.mc, name) for name in names[:2]}
    statuses = dict(requests(element, "transfers"))
    assert [statuses.get(each) for each in lfns] == ["done", "done", "failed", "failed", None]
    assert backends.registry.transfer(element.name, lfns).requested == tuple(lfns)
    assert element.server.bad(element.name) == {(element.mc, name) for name in names}


def test_a_server_that_never_was_there(element: Element) -> None:
    config = element.directory / "nobody.cfg"
    config.write_text(element.server.client_config.read_text().replace(str(element.server.port), "1"))
    backends, _ = element.backends(Config=str(config), Patience=0)
    for ask in _all_questions(backends, element):
        with pytest.raises(BackendError, match=r"Rucio at http://127\.0\.0\.1:1: .*: it cannot be reached$"):
            ask()


@pytest.mark.parametrize(("account", "password"), [("root", "wrong-password"), ("nobody", "wrong-password")])
def test_an_account_that_is_refused(
    element: Element, account: str, password: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from rucio.client.baseclient import BaseClient

    # A token of another test would do.
    monkeypatch.setattr(BaseClient, "TOKEN_PATH_PREFIX", str(element.directory / "tokens_"))
    caplog.set_level(logging.DEBUG)
    config = element.server.write_client_config(account, password)
    backends, _ = element.backends(Config=str(config), Account=account)
    for ask in _all_questions(backends, element):
        with pytest.raises(
            BackendError, match=rf'the account "{account}" was refused: .*; see \[client\] in {re.escape(str(config))}$'
        ) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert password not in str(caught.value)
    assert password not in caplog.text


def test_an_account_that_may_not_do_this(element: Element, lost: dict[str, str]) -> None:
    def make(client: Any) -> None:
        client.add_account("guest", "USER", "guest@localhost")
        client.add_identity("guest", "guest", "USERPASS", "guest@localhost", password="guest-password")

    if "guest" not in element.server.ask(lambda client: [entry["account"] for entry in client.list_accounts()]):
        element.server.ask(make)
    config = element.server.write_client_config("guest", "guest-password")
    backends, _ = element.backends(Config=str(config))
    with pytest.raises(
        BackendError, match=r"the account may not do this: .*declare bad replicas.*declared before that: 0"
    ):
        backends.registry.transfer(element.name, three(lost))
    with pytest.raises(BackendError, match=r"the account may not do this: .*quarantine.*before that: 0"):
        backends.registry.delete(element.name, [lfn(element.mc, "dark")])
    assert {status for _, status in requests(element, "transfers")} == {"failed"}


def test_a_client_without_a_configuration(element: Element) -> None:
    backends, _ = element.backends(Config=str(element.directory / "none.cfg"))
    with pytest.raises(
        BackendError, match=r"the client is not configured: .*none\.cfg.*; Rucio\.Config names a rucio\.cfg"
    ):
        backends.registry.delete(element.name, [lfn(element.mc, "dark")])


def test_a_server_that_hangs(element: Element) -> None:
    backends, _ = element.backends(Timeout=0.5, Patience=0)
    assert backends.check.check_site(element.name) == ""
    with element.server.paused(), pytest.raises(BackendError, match="timed out"):
        backends.check.check_site(element.name)
    assert backends.check.check_site(element.name) == ""


def test_the_waits_become_longer_and_come_to_an_end() -> None:
    assert all_waits(60) == [1, 2, 4, 8, 16, 29, None]
    assert all_waits(0) == [None]
    assert all_waits(0.5) == [0.5, None]


def all_waits(patience: float) -> list[float | None]:
    """Give all waits where nothing but waiting takes time."""
    passed = [0.0]
    waits = waits_of(patience, lambda: passed[0])
    found = [next(waits)]
    while (wait := found[-1]) is not None:
        passed[0] += wait
        found.append(next(waits))
    return found


def _all_questions(backends: Backends, element: Element) -> list[Callable[[], Any]]:
    name, lfns = element.name, [lfn(element.mc, "dark")]
    return [
        lambda: list(backends.inventory.list_files(name)),
        lambda: backends.registry.delete(name, lfns),
        lambda: backends.registry.transfer(name, lfns),
        lambda: backends.registry.sources(name, lfns),
        lambda: backends.check.check_site(name),
    ]
