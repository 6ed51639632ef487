import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cli.loaded import run
from tests.cli.program import Ended, start, wait_for
from tests.storage.page.planting import NOW, Planted


def serve(*arguments: object, cwd: Path) -> tuple[subprocess.Popen[str], str]:
    """Start to serve; gives the process and its address."""
    process = start("web", "serve", "--port", 0, "--json", *arguments, cwd=cwd)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(wait_for(process))
    return process, json.loads(line)["url"]


def end(process: subprocess.Popen[str], number: int = signal.SIGINT) -> Ended:
    process.send_signal(number)
    return wait_for(process)


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def test_install_puts_the_page_into_the_web_directory(tmp_path: Path) -> None:
    done = run("web", "install", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    index = tmp_path / "www" / "index.html"
    assert done.out.splitlines() == [
        f"{index}: 0 sites",
        f"to see it: open {index.as_uri()}, let a web server serve {index.parent}, or: dynamo-consistency web serve",
    ]
    assert "No sites yet" in index.read_text()


def test_install_builds_the_page_from_what_is_there(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.run("T2_A", NOW, missing=[b"/store/mc/a"])
    planted.result("T2_A", NOW + 601, files=5, missing=1)
    (tmp_path / "consistency_config.json").write_text('{"MaxMissing": 0}')
    done = run("web", "install", "--json", cwd=tmp_path)
    assert done.json == {"page": str(tmp_path / "www" / "index.html"), "sites": 1, "notices": []}
    assert "over 0" in planted.page()


def test_install_into_another_directory(tmp_path: Path) -> None:
    (tmp_path / "my sites.yaml").write_text("IgnoreAge: 2\n")
    done = run("--config", "my sites.yaml", "web", "install", "--directory", "a page", cwd=tmp_path)
    assert done.code == 0
    assert done.out.endswith("or: dynamo-consistency --config 'my sites.yaml' web serve --directory 'a page'\n")
    assert (tmp_path / "a page" / "index.html").is_file()
    assert not (tmp_path / "www").exists()


@pytest.mark.parametrize("command", [("install",), ("serve", "--port", "0")])
def test_a_web_directory_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "www").write_text("a file")
    done = run("web", *command, cwd=tmp_path)
    assert done.code == 2
    assert done.message.startswith(f"{tmp_path}/www")
    assert "cannot be written" in done.message


@pytest.mark.parametrize("command", [("install",), ("serve", "--port", "0")])
def test_a_damaged_summary_is_said_in_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "stats.db").write_text("no database" * 50)
    done = run("web", *command, cwd=tmp_path)
    assert done.code == 2
    assert "stats.db" in done.message


def test_a_damaged_history_is_a_notice(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.result("T2_A")
    planted.history.parent.mkdir(parents=True)
    planted.history.write_text("no database" * 50)
    done = run("web", "install", cwd=tmp_path)
    assert done.code == 0
    assert "The history could not be read" in done.err
    assert "The history could not be read" in planted.page()


def test_a_page_that_is_served_follows_the_databases(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.result("T2_A")
    process, address = serve(cwd=tmp_path)
    try:
        assert "T2_A" in get(address)
        planted.result("T2_B")
        assert "T2_B" in get(address)
        assert "T2_B" in get(f"{address}sites/T2_B.html")
        planted.file("T2_B_empty.txt", "/store/mc/empty\n")
        assert 'href="T2_B_empty.txt"' in get(address)
        assert get(f"{address}T2_B_empty.txt") == "/store/mc/empty\n"
    finally:
        ended = end(process)
    assert (ended.code, ended.err.strip()) == (0, "stopped")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    process, _ = serve(cwd=tmp_path)
    ended = end(process, number)
    assert (ended.code, ended.out, ended.err.strip()) == (0, "", "stopped")


def test_it_listens_on_loopback_and_says_where(tmp_path: Path) -> None:
    process = start("web", "serve", "--port", "0", cwd=tmp_path)
    assert process.stdout is not None
    line = process.stdout.readline()
    end(process)
    assert line.startswith("http://127.0.0.1:")
    assert line.endswith(f"/ serves {tmp_path}/www; Ctrl-C ends it\n")


def test_a_busy_port_is_one_line(tmp_path: Path) -> None:
    process, address = serve(cwd=tmp_path)
    try:
        port = address.rstrip("/").rpartition(":")[2]
        done = run("web", "serve", "--port", port, cwd=tmp_path)
    finally:
        end(process)
    assert done.code == 2
    assert done.message == f"cannot listen on port {port} of 127.0.0.1: it is in use; choose another with --port"


def test_a_summary_that_breaks_later_leaves_the_page(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    planted.result("T2_A")
    process, address = serve(cwd=tmp_path)
    try:
        for path in planted.web.glob("stats.db*"):
            path.unlink()
        (planted.web / "stats.db").write_text("no database" * 50)
        os.utime(planted.web / "stats.db", (time.time(), time.time()))
        assert "T2_A" in get(address)
    finally:
        ended = end(process)
    assert "the page is not up to date" in ended.err
    assert ended.code == 0
