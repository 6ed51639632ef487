from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.atomic import ReportError
from storage.runs.log import open_run_log

START = 1_700_000_000.7
OURS, OTHERS = logging.getLogger("actors.test"), logging.getLogger("somebody.else")


@pytest.fixture(autouse=True)
def usual_level() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    assert (root.handlers, root.level) == (before, level)
    assert logging.getLogger("actors").level == logging.NOTSET


def test_a_line_says_when_where_and_what(tmp_path: Path) -> None:
    with open_run_log(tmp_path / "var", tmp_path / "www", "T2_A", START) as log:
        OURS.info("before its number is known")
        log.run = 7
        OURS.warning("%d directories", 3)
    assert log.path == tmp_path / "var/logs/T2_A/20231114T221320Z.log"
    lines = log.path.read_text().splitlines()
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"{moment} INFO T2_A actors\.test: before its number is known", lines[0])
    assert re.fullmatch(rf"{moment} WARNING T2_A run 7 actors\.test: 3 directories", lines[1])
    assert len(lines) == 2


def test_a_line_of_an_actor_names_it(tmp_path: Path) -> None:
    with open_run_log(tmp_path / "var", tmp_path / "www", "T2_A", START) as log:
        log.run = 7
        thread = threading.Thread(target=lambda: OURS.warning("slow"), name="lister:T2_A:1 wire-lister")
        thread.start()
        thread.join()
    assert log.path.read_text().endswith("Z WARNING T2_A run 7 lister:T2_A:1 actors.test: slow\n")


def test_what_is_logged_elsewhere_says_which_run_it_is_about_as_well(tmp_path: Path) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        with open_run_log(tmp_path / "var", tmp_path / "www", "T2_A", START) as log:
            log.run = 7
            OURS.warning("within")
        OURS.warning("behind it")
    finally:
        logging.getLogger().removeHandler(handler)
    assert stream.getvalue() == "WARNING T2_A run 7 actors.test: within\nWARNING actors.test: behind it\n"


def test_a_process_that_is_a_single_actor_names_it_in_each_line() -> None:
    code = """
import logging, threading
from storage.runs.log import log_of_actor
log_of_actor("T2_A run 7 lister:T2_A:1")
logging.getLogger("storage.listers").info("info")
logging.getLogger("other").info("other info")
thread = threading.Thread(target=lambda: logging.getLogger("other").warning("warning"), name="lister:T2_A:1 pump")
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert [line.partition("Z ")[2] for line in done.stderr.splitlines()] == [
        "INFO T2_A run 7 lister:T2_A:1 storage.listers: info",
        "WARNING T2_A run 7 lister:T2_A:1 other: warning",
    ]


def test_the_page_has_a_copy_while_the_run_goes_on(tmp_path: Path) -> None:
    for start, word in ((START, "first"), (START + 60, "second")):
        with open_run_log(tmp_path / "var", tmp_path / "www", "T2_A", start) as log:
            OURS.info(word)
            assert log.page.read_text() == log.path.read_text()
            assert word in log.page.read_text()
    assert log.page == tmp_path / "www/T2_A.log"
    assert "first" not in log.page.read_text()
    assert len(list(log.path.parent.iterdir())) == 2


def test_a_run_that_goes_on_goes_on_with_its_log(tmp_path: Path) -> None:
    for word in ("first", "second"):
        with open_run_log(tmp_path / "var", tmp_path / "www", "T2_A", START) as log:
            OURS.info(word)
    assert [line.rpartition(" ")[2] for line in log.path.read_text().splitlines()] == ["first", "second"]
    assert log.page.read_text() == log.path.read_text()


def test_of_other_libraries_only_warnings_are_kept(tmp_path: Path) -> None:
    with open_run_log(tmp_path / "var", tmp_path / "www", "T2_A", START) as log:
        OTHERS.info("chatter")
        OURS.debug("detail")
        logging.getLogger("storage").info("of a package")
        OTHERS.warning("trouble")
    assert [line.split(": ")[1] for line in log.path.read_text().splitlines()] == ["of a package", "trouble"]


def test_what_goes_to_stderr_stays_as_it_was(tmp_path: Path) -> None:
    code = """
import logging, sys
from pathlib import Path
from storage.runs.log import open_run_log
logging.basicConfig(level=sys.argv[2], format="%(message)s")
with open_run_log(Path(sys.argv[1]), Path(sys.argv[1]), "T2_A", 0) as log:
    logging.getLogger("actors.x").info("info")
    logging.getLogger("actors.x").warning("warning")
    logging.getLogger("other").info("other info")
logging.getLogger("actors.x").info("after")
"""
    for level, expected in (
        ("WARNING", "warning\n"),
        ("INFO", "info\nwarning\nother info\nafter\n"),
        ("ERROR", ""),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / level), level], capture_output=True, text=True, check=True
        )
        assert done.stderr == expected
        text = (tmp_path / level / "T2_A.log").read_text()
        assert [line.split(": ")[1] for line in text.splitlines()] == ["info", "warning"]


def test_names_cannot_make_lines_of_their_own(tmp_path: Path) -> None:
    with open_run_log(tmp_path / "var", tmp_path / "www", "T2_A", START) as log:
        OURS.warning("a name\n2026-01-01 ERROR made up \x1b[31m \udcff")
        try:
            raise ValueError("two\nlines")
        except ValueError:
            OURS.exception("failed")
    lines = log.path.read_text().splitlines()
    assert "a name\\n2026-01-01 ERROR made up \\x1b[31m \\udcff" in lines[0]
    assert lines[1].endswith("actors.test: failed")
    assert all(line.startswith("    ") for line in lines[2:])
    assert lines[-2:] == ["    ValueError: two", "    lines"]


@pytest.mark.parametrize("site", ["../up", "a/b", "..", "with\nline"])
def test_hostile_sites(tmp_path: Path, site: str) -> None:
    with open_run_log(tmp_path / "var", tmp_path / "www", site, START) as log:
        OURS.info("here")
    assert log.path.parents[1] == tmp_path / "var/logs"
    assert log.page.parent == tmp_path / "www"


@pytest.mark.parametrize("blocked", ["var", "www"])
def test_a_directory_that_cannot_be_written_is_said_at_once(tmp_path: Path, blocked: str) -> None:
    (tmp_path / blocked).write_text("in the way")
    with (
        pytest.raises(ReportError, match=f"{blocked}.*cannot be written"),
        open_run_log(tmp_path / "var", tmp_path / "www", "T2_A", START),
    ):
        pytest.fail("it was opened")


def test_what_ends_the_run_ends_the_log(tmp_path: Path) -> None:
    with pytest.raises(KeyError), open_run_log(tmp_path / "var", tmp_path / "www", "T2_A", START) as log:
        raise KeyError("end")
    OURS.warning("after")
    assert log.path.read_text() == ""
