from __future__ import annotations

import os
import re
import socket
import tempfile
from pathlib import Path

import pytest

from cli.xrootd_server import CannotServe, XRootDServer


def test_it_serves_a_directory_that_stays() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        with XRootDServer(root=Path(name)) as server:
            port = server.port
            server.restart()
            assert server.port == port
            with socket.create_connection(("127.0.0.1", port), timeout=10):
                pass
        assert Path(name, "store").is_dir()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)


def test_without_a_root_it_leaves_nothing_behind() -> None:
    with XRootDServer() as server:
        home = server.root.parent
        assert home.is_dir()
    assert not home.exists()


def test_a_server_that_does_not_start_shows_its_log() -> None:
    with pytest.raises(CannotServe, match=r"xrootd does not start:\n(.|\n)*nonsense"):
        XRootDServer(("xrd.nonsense value", "oss.localroot relative/nonsense")).start()


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_directory_that_the_server_may_not_enter_is_named(mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        closed = Path(name, "closed")
        data = closed / "data"
        data.mkdir(parents=True)
        os.chmod(name, 0o755)
        closed.chmod(mode)
        # Only root hands the server to another user; anybody else's server enters what its owner may.
        if os.geteuid() == 0 and mode == 0o700:
            with pytest.raises(CannotServe, match=re.escape(f"may not enter {closed}")):
                XRootDServer(root=data)
        else:
            XRootDServer(root=data).stop()


def test_without_the_program_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(CannotServe, match="xrootd-server"):
        XRootDServer()
