"""What a shell of ``xrdfs`` gets wrong, and what is done about it, on a real server."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from engine.columns import FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, Present
from engine.states import Reason
from storage.listers.directx import DirectXLister
from storage.listers.doors import Door
from storage.listers.factory import open_lister
from storage.listers.protocol import DIRECTX, Ask, Lister, StoreSpec
from storage.listers.xrdfs_shell import Printed, Shell, can_carry
from tests.servers.fixtures import ServedDirectory
from tests.servers.xrootd import XRootDServer
from tests.storage.listers.asking import Asker, asking, reason_of

NOON = 1_600_000_000


def put(directory: ServedDirectory, path: bytes, size: int = 1) -> None:
    located = os.fsencode(directory.path) + path
    os.makedirs(os.path.dirname(located), exist_ok=True)
    with open(located, "wb") as file:
        file.truncate(size)
    os.utime(located, (NOON, NOON))


def opened(door: str, timeout: float = 20, connections: int = 2) -> partial[Lister]:
    return partial(open_lister, StoreSpec((door,), timeout, connections, DIRECTX))


@pytest.fixture
def asker(xrootd_directory: ServedDirectory) -> Iterator[Asker]:
    with asking(opened(f"{xrootd_directory.url}/{xrootd_directory.lfn.decode()}")) as asker:
        yield asker


def test_names_of_any_bytes_come_through(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    names = [b"latin-\xe4\xf6", b" blank \xff", b"what?", b"[localhost] > "]
    for name in names:
        put(xrootd_directory, b"/b\xfftes/" + name, 5)

    assert asker.list(b"/b\xfftes") == Listed(FileColumns.from_rows([(name, 5, NOON) for name in names]))
    assert asker.names(b"/b\xfftes") == NamesListed(frozenset(names))
    assert asker.stat(b"/b\xfftes/ blank \xff") == Present(5, NOON, False)


@pytest.mark.parametrize(
    "name", [b"""both'"quotes""", b"tab\there", b"\x01\x15\x1b", b"\x7f", b"emoji-\xf0\x9f\x98\x80", b"cut-\xe9"]
)
def test_what_cannot_be_typed_is_asked_of_a_program_of_its_own(
    xrootd_directory: ServedDirectory, asker: Asker, name: bytes
) -> None:
    assert not can_carry(b"/" + name)
    put(xrootd_directory, b"/" + name + b"/file", 3)
    (xrootd_directory.path / "hollow").mkdir()

    assert asker.list(b"/" + name) == Listed(FileColumns.from_rows([(b"file", 3, NOON)]))
    assert asker.names(b"/" + name) == NamesListed(frozenset((b"file",)))
    assert asker.stat(b"/" + name + b"/file") == Present(3, NOON, False)
    assert asker.stat(b"/" + name + b"/other") == Absent()
    assert reason_of(asker.list(b"/" + name + b"/other")) == Reason.NOT_FOUND


@pytest.mark.parametrize("name", [b"cut-\xe9", b"\xc3", b"\xf0\x9f", b"\xff\xfe"])
def test_a_path_that_is_not_utf_8_spoils_no_other_question(xrootd_directory: ServedDirectory, name: bytes) -> None:
    others = [b"/emoji-\xf0\x9f\x98\x80", b"/plain", b"/\xc3\xa9"]
    for path in [b"/" + name, *others]:
        put(xrootd_directory, path, 5)
    with asking(opened(f"{xrootd_directory.url}/{xrootd_directory.lfn.decode()}", connections=1)) as asker:
        for path in others:
            assert asker.stat(b"/" + name) == Present(5, NOON, False)
            assert asker.stat(path) == Present(5, NOON, False)


@pytest.mark.parametrize("name", [b"a?b", b"a\nb"], ids=["question mark", "newline"])
@pytest.mark.parametrize("ask", list(Ask))
def test_paths_that_the_protocol_would_change_are_not_sent(
    xrootd_directory: ServedDirectory, asker: Asker, name: bytes, ask: Ask
) -> None:
    put(xrootd_directory, b"/a/not-this")

    assert reason_of(asker.ask(ask, b"/" + name)) == Reason.BAD_NAME
    assert asker.lister.requests == 0


def test_a_false_empty_is_told_from_an_empty(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    put(xrootd_directory, b"/unsearchable/file")
    (xrootd_directory.path / "unsearchable").chmod(0o444)
    (xrootd_directory.path / "hollow").mkdir()

    assert reason_of(asker.list(b"/unsearchable")) == Reason.FALSE_EMPTY
    assert asker.list(b"/hollow") == Listed()


def test_a_newline_in_a_name_fails_the_directory(xrootd_directory: ServedDirectory, asker: Asker) -> None:
    put(xrootd_directory, b"/data/one\n[localhost] > two")

    assert reason_of(asker.list(b"/data")) == Reason.BAD_NAME


@pytest.mark.parametrize("ask", [Ask.LIST, Ask.NAMES])
def test_a_name_that_may_have_been_cut_fails_the_directory(
    xrootd_directory: ServedDirectory, asker: Asker, ask: Ask
) -> None:
    put(xrootd_directory, b"/long/" + b"n" * 255)

    assert reason_of(asker.ask(ask, b"/long")) == Reason.BAD_NAME


def test_errors_have_their_reasons(xrootd_server: XRootDServer, xrootd_directory: ServedDirectory) -> None:
    put(xrootd_directory, b"/closed/file")
    (xrootd_directory.path / "closed").chmod(0)
    with asking(opened(xrootd_server.url)) as asker:
        assert reason_of(asker.list(b"/elsewhere")) == Reason.PERMISSION
        assert reason_of(asker.list(xrootd_directory.lfn + b"/closed")) == Reason.PERMISSION
        assert reason_of(asker.stat(xrootd_directory.lfn + b"/closed/file")) == Reason.PERMISSION
        assert reason_of(asker.list(xrootd_directory.lfn + b"/none")) == Reason.NOT_FOUND
        assert asker.stat(xrootd_directory.lfn + b"/none") == Absent()
        # The shell is still the first one.
        assert isinstance(asker.list(xrootd_directory.lfn), Listed)


@pytest.mark.parametrize("door", ["root://localhost:{port}", "root://no-such-host.invalid"])
def test_a_door_that_cannot_be_reached_is_a_failed_connection(door: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with asking(opened(door.format(port=taken.getsockname()[1]))) as asker:
            for ask in Ask:
                assert reason_of(asker.ask(ask, b"/store")) == Reason.CONNECTION


def test_a_shell_that_hangs_is_killed_and_another_one_started(start_xrootd: Callable[..., XRootDServer]) -> None:
    server = start_xrootd()
    (server.store / "file").touch()
    # On a machine that has much else to do a shell takes seconds to start.
    with asking(opened(server.url, timeout=12)) as asker:
        assert isinstance(asker.list(b"/store"), Listed)
        server.pause()
        outcomes = asker.wait([asker.send(ask, b"/store") for ask in Ask for _ in range(2)])
        assert {reason_of(outcome) for outcome in outcomes} == {Reason.TIMEOUT}
        server.resume()
        assert isinstance(asker.list(b"/store"), Listed)
        asker.lister.close()
        assert {len(answers) for answers in asker.outcomes.values()} == {1}


def test_a_shell_that_died_is_replaced(xrootd_directory: ServedDirectory) -> None:
    put(xrootd_directory, b"/file")
    shell = Shell("xrdfs", xrootd_directory.url, 20)
    path = xrootd_directory.lfn

    def ask() -> Printed | Failed:
        return shell.ask("ls", path, time.monotonic() + 20)

    assert ask() == Printed(path + b"/file\n", "")
    assert shell.process is not None
    os.kill(shell.process, signal.SIGKILL)
    os.waitid(os.P_PID, shell.process, os.WEXITED | os.WNOWAIT)
    assert ask() == Printed(path + b"/file\n", "")
    assert shell.started == 2
    shell.close()
    assert isinstance(ask(), Failed)
    shell.kill()


def test_a_shell_that_dies_in_the_middle_of_an_answer_gives_none(tmp_path: Path) -> None:
    program = tmp_path / "xrdfs"
    program.write_text("#!/bin/sh\nprintf '[door] / > '\nread line\nprintf '%s\\n/store/one\\n' \"$line\"\n")
    program.chmod(0o755)
    shell = Shell(str(program), "root://door", 20)

    outcome = shell.ask("ls", b"/store", time.monotonic() + 20)
    assert isinstance(outcome, Failed)
    assert outcome.reason == Reason.CONNECTION
    shell.kill()


def test_an_answer_with_words_on_stderr_is_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "xrdfs"
    program.write_text(
        "#!/bin/sh\nprintf '[door] / > '\nwhile read line; do\nprintf '%s\\n/store/one\\n' \"$line\"\n"
        "echo '[!] Some of the requests failed. The result may be incomplete.' >&2\nprintf '[door] / > '\ndone\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with asking(partial(DirectXLister, Door.parse("root://door"))) as asker:
        assert reason_of(asker.names(b"/store")) == Reason.PARTIAL


def test_only_xrootd_doors_have_shells() -> None:
    with pytest.raises(ValueError, match="directx asks XRootD doors"):
        open_lister(StoreSpec(("file:///data",), method=DIRECTX), lambda number, outcome: None)


def test_a_program_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="xrootd-client"):
        open_lister(StoreSpec(("root://door",), method=DIRECTX), lambda number, outcome: None)
