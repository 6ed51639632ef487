"""What ``gfal-ls`` gets wrong, and what is done about it, on a real server and on disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from engine.columns import FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, Present
from engine.states import Reason
from storage.listers import gfal
from storage.listers.factory import open_lister
from storage.listers.protocol import GFAL, Ask, Lister, StoreSpec
from tests.servers.fixtures import ServedDirectory
from tests.servers.xrootd import XRootDServer
from tests.storage.listers.asking import Asker, asking, reason_of

NOON = 1_600_000_000


def put(top: Path, path: bytes, size: int = 1) -> None:
    located = os.fsencode(top) + path
    os.makedirs(os.path.dirname(located), exist_ok=True)
    with open(located, "wb") as file:
        file.truncate(size)
    os.utime(located, (NOON, NOON))


def opened(door: str, timeout: float = 20, processes: int = 4) -> partial[Lister]:
    return partial(open_lister, StoreSpec((door,), timeout, processes, GFAL))


@pytest.fixture
def served(xrootd_directory: ServedDirectory) -> Iterator[Asker]:
    with asking(opened(f"{xrootd_directory.url}/{xrootd_directory.lfn.decode()}")) as asker:
        yield asker


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Asker]:
    with asking(opened(f"file://{tmp_path}")) as asker:
        yield asker


def test_a_false_empty_is_told_from_an_empty(xrootd_directory: ServedDirectory, served: Asker) -> None:
    put(xrootd_directory.path, b"/unsearchable/file")
    (xrootd_directory.path / "unsearchable").chmod(0o744)
    (xrootd_directory.path / "hollow").mkdir()

    assert reason_of(served.list(b"/unsearchable")) == Reason.FALSE_EMPTY
    assert served.list(b"/hollow") == Listed()


def test_names_bring_what_a_looping_link_cuts_off(xrootd_directory: ServedDirectory, served: Asker) -> None:
    names = {b"file%02d" % i for i in range(20)}
    for name in names:
        put(xrootd_directory.path, b"/cut/" + name)
    (xrootd_directory.path / "cut" / "loop").symlink_to("loop")

    assert served.names(b"/cut") == NamesListed(frozenset(names | {b"loop"}))
    assert reason_of(served.stat(b"/cut/loop")) == Reason.SERVER
    assert served.stat(b"/cut/file07") == Present(1, NOON, False)


def test_what_is_no_file_keeps_a_directory_from_being_empty(
    xrootd_directory: ServedDirectory, served: Asker, tmp_path: Path, on_disk: Asker
) -> None:
    for name, target in (("loop", "self"), ("nowhere", "else")):
        (xrootd_directory.path / name).mkdir()
        (xrootd_directory.path / name / "self").symlink_to(target)
        assert served.list(b"/" + name.encode()) == Listed(others=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe/pipe")
    assert on_disk.list(b"/pipe") == Listed(others=True)


def test_without_xrdfs_the_names_of_an_xrootd_store_are_not_known(
    xrootd_directory: ServedDirectory, served: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(xrootd_directory.path, b"/data/file")
    monkeypatch.setattr("shutil.which", lambda program: None)

    assert reason_of(served.names(b"/data")) == Reason.PARTIAL


def test_percent_signs_and_any_bytes_are_sent_as_they_are(xrootd_directory: ServedDirectory, served: Asker) -> None:
    put(xrootd_directory.path, b"/pct%41/file", 2)
    put(xrootd_directory.path, b"/pctA/another", 3)
    put(xrootd_directory.path, b"/latin-\xe4/file", 4)

    assert served.list(b"/pct%41") == Listed(FileColumns.from_rows([(b"file", 2, NOON)]))
    assert served.stat(b"/pct%41/another") == Absent()
    assert served.list(b"/latin-\xe4") == Listed(FileColumns.from_rows([(b"file", 4, NOON)]))


def test_a_name_that_is_not_utf8_fails_its_directory(
    xrootd_directory: ServedDirectory, served: Asker, tmp_path: Path, on_disk: Asker
) -> None:
    put(xrootd_directory.path, b"/bytes/a\xff")
    put(tmp_path, b"/bytes/a\xff")

    assert reason_of(served.list(b"/bytes")) == Reason.BAD_NAME
    assert served.names(b"/bytes") == NamesListed(frozenset((b"a\xff",)))
    assert reason_of(on_disk.list(b"/bytes")) == Reason.BAD_NAME
    assert reason_of(on_disk.stat(b"/bytes/a\xff")) == Reason.BAD_NAME


def test_a_newline_in_a_name_fails_the_directory(
    xrootd_directory: ServedDirectory, served: Asker, tmp_path: Path, on_disk: Asker
) -> None:
    put(xrootd_directory.path, b"/data/one\ntwo")
    put(tmp_path, b"/data/one\ntwo")

    assert reason_of(served.list(b"/data")) == Reason.BAD_NAME
    assert reason_of(on_disk.list(b"/data")) == Reason.BAD_NAME


@pytest.mark.parametrize("ask", list(Ask))
def test_paths_that_the_server_would_change_are_not_sent(
    xrootd_directory: ServedDirectory, served: Asker, ask: Ask
) -> None:
    put(xrootd_directory.path, b"/a/not-this")

    assert reason_of(served.ask(ask, b"/a?b")) == Reason.BAD_NAME
    assert reason_of(served.ask(ask, b"/a\nb")) == Reason.BAD_NAME
    assert served.lister.requests == 0


def test_a_name_that_the_server_cut_fails_the_directory(xrootd_directory: ServedDirectory, served: Asker) -> None:
    put(xrootd_directory.path, b"/long/" + b"n" * 255)
    put(xrootd_directory.path, b"/whole/" + b"n" * 254)

    assert reason_of(served.list(b"/long")) == Reason.BAD_NAME
    assert served.list(b"/whole") == Listed(FileColumns.from_rows([(b"n" * 254, 1, NOON)]))


def test_hidden_files_are_listed(tmp_path: Path, on_disk: Asker) -> None:
    put(tmp_path, b"/data/.hidden")
    put(tmp_path, b"/data/...")

    assert on_disk.names(b"/data") == NamesListed(frozenset((b".hidden", b"...")))
    listed = on_disk.list(b"/data")
    assert isinstance(listed, Listed)
    assert listed.files.name_list() == [b"...", b".hidden"]
    assert not listed.directories


def test_a_dangling_link_fails_its_directory_and_not_as_if_that_were_missing(tmp_path: Path, on_disk: Asker) -> None:
    put(tmp_path, b"/data/file")
    (tmp_path / "data" / "link").symlink_to("nowhere")

    assert reason_of(on_disk.list(b"/data")) == Reason.PARTIAL
    assert on_disk.names(b"/data") == NamesListed(frozenset((b"file", b"link")))
    assert on_disk.stat(b"/data/link") == Absent()


def test_what_is_neither_file_nor_directory_is_left_out(tmp_path: Path, on_disk: Asker) -> None:
    put(tmp_path, b"/data/file")
    os.mkfifo(tmp_path / "data" / "pipe")

    assert on_disk.list(b"/data") == Listed(FileColumns.from_rows([(b"file", 1, NOON)]), others=True)


def test_times_are_those_of_the_store_wherever_we_are(
    tmp_path: Path, on_disk: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, b"/data/file")
    for zone in ("America/New_York", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        gfal.find_gfal.cache_clear()
        with asking(opened(f"file://{tmp_path}")) as asker:
            assert asker.stat(b"/data/file") == Present(1, NOON, False)
    gfal.find_gfal.cache_clear()


def test_errors_have_their_reasons(xrootd_server: XRootDServer, xrootd_directory: ServedDirectory) -> None:
    put(xrootd_directory.path, b"/closed/file")
    (xrootd_directory.path / "closed").chmod(0)
    with asking(opened(xrootd_server.url)) as asker:
        assert reason_of(asker.list(b"/elsewhere")) == Reason.PERMISSION
        assert reason_of(asker.list(xrootd_directory.lfn + b"/closed")) == Reason.PERMISSION
        assert reason_of(asker.stat(xrootd_directory.lfn + b"/closed/file")) == Reason.PERMISSION


def test_a_closed_port_is_a_failed_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with asking(opened(f"root://localhost:{taken.getsockname()[1]}")) as asker:
            for ask in Ask:
                assert reason_of(asker.ask(ask, b"/store")) == Reason.CONNECTION


def test_a_protocol_without_a_plugin_fails_and_says_so() -> None:
    with asking(opened("gsiftp://localhost")) as asker:
        outcome = asker.list(b"/store")
    assert reason_of(outcome) == Reason.SERVER
    assert isinstance(outcome, Failed)
    assert "Protocol not supported" in outcome.detail


def test_a_server_that_hangs_is_a_timeout_and_its_program_is_killed(
    start_xrootd: Callable[..., XRootDServer],
) -> None:
    server = start_xrootd()
    (server.store / "file").touch()
    with asking(opened(server.url, timeout=3)) as asker:
        assert isinstance(asker.list(b"/store"), Listed)
        server.pause()
        outcomes = asker.wait([asker.send(ask, b"/store") for ask in Ask])
        assert {reason_of(outcome) for outcome in outcomes} == {Reason.TIMEOUT}
        server.resume()
        assert isinstance(asker.list(b"/store"), Listed)


def test_a_program_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    gfal.find_gfal.cache_clear()
    with pytest.raises(gfal.GfalMissing, match="gfal2-util-scripts"):
        open_lister(StoreSpec(("file:///data",), method=GFAL), lambda number, outcome: None)


def test_a_program_without_its_python_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gfal-ls").write_text("#!/bin/sh\n")
    (tmp_path / "gfal-ls").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("GFAL_PYTHONBIN", raising=False)
    monkeypatch.setattr(gfal, "_has_gfal", lambda python: False)
    gfal.find_gfal.cache_clear()
    with pytest.raises(gfal.GfalMissing, match="python3-gfal2-util"):
        open_lister(StoreSpec(("file:///data",), method=GFAL), lambda number, outcome: None)
    gfal.find_gfal.cache_clear()


def test_it_runs_inside_a_virtual_environment_that_stands_first_on_the_path(tmp_path: Path) -> None:
    put(tmp_path, b"/data/file")
    program = f"""
from functools import partial
from storage.listers.factory import open_lister
from storage.listers.protocol import *
from tests.storage.listers.asking import asking
with asking(partial(open_lister, StoreSpec(("file://{tmp_path}",), method=GFAL))) as asker:
    print(asker.names(b"/data"))
"""
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    environment.pop("GFAL_PYTHONBIN", None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)

    assert done.stdout == b"NamesListed(names=frozenset({b'file'}))\n"


@pytest.mark.parametrize("name", [b"a b", b"a%b", b"a#b", b"a?b", "ü".encode(), b"a\xff"])
@pytest.mark.parametrize("door", ["davs://localhost", "srm://localhost/srm/managerv2?SFN="])
def test_characters_are_not_sent_where_nobody_knows_what_becomes_of_them(door: str, name: bytes) -> None:
    with asking(opened(door)) as asker:
        assert reason_of(asker.stat(b"/store/" + name)) == Reason.BAD_NAME
        assert asker.lister.requests == 0
        assert reason_of(asker.stat(b"/store/plain-name_1.root")) == Reason.SERVER
