"""Each test is named after the entry of the reference that it shows."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_consistency import config, logsetup
from storage.runs.log import open_run_log

ONE, TWO = logging.getLogger("test_logsetup_one"), logging.getLogger("test_logsetup_two.below")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    logsetup.change_logfile()
    for logger in (ONE, TWO):
        logger.handlers.clear()
        logger.propagate = True


def lines(path: str) -> list[str]:
    return [line.rpartition(": ")[2] for line in Path(path).read_text().splitlines()]


class TestChangeLogfile:
    def test_all_loggers_write_to_the_new_file(self) -> None:
        logsetup.change_logfile("logs/deep/1.log")
        ONE.info("first info")
        ONE.warning("first")
        logsetup.change_logfile("logs/2.log")
        ONE.warning("second")
        TWO.warning("third")
        logging.getLogger("test_logsetup_made_later").error("fourth")
        assert lines("logs/deep/1.log") == ["first"]
        assert lines("logs/2.log") == ["second", "third", "fourth"]

    def test_several_files(self) -> None:
        logsetup.change_logfile("logs/3.log", "logs/4.log", "logs/3.log")
        ONE.warning("both")
        logsetup.change_logfile("logs/4.log")
        TWO.warning("one")
        assert (lines("logs/3.log"), lines("logs/4.log")) == (["both"], ["both", "one"])

    def test_a_file_in_the_working_directory(self) -> None:
        logsetup.change_logfile("here.log")
        ONE.warning("here")
        assert lines("here.log") == ["here"]

    def test_a_line_has_the_time_and_the_site(self) -> None:
        config.SITE = "T2_A"
        logsetup.change_logfile("a.log")
        ONE.warning("line")
        moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        assert re.fullmatch(rf"{moment} WARNING T2_A test_logsetup_one: line\n", Path("a.log").read_text())

    def test_other_output_files_end_and_loggers_that_keep_to_themselves_follow(self) -> None:
        ONE.addHandler(logging.FileHandler("own.log"))
        ONE.propagate = False
        logsetup.change_logfile("a.log")
        ONE.warning("line")
        assert (lines("a.log"), lines("own.log")) == (["line"], [])

    def test_a_file_that_cannot_be_written_changes_nothing(self) -> None:
        logsetup.change_logfile("a.log")
        Path("file").touch()
        with pytest.raises(OSError, match="file"):
            logsetup.change_logfile("b.log", "file/c.log")
        ONE.warning("line")
        assert (lines("a.log"), lines("b.log")) == (["line"], [])

    def test_the_log_of_a_run_goes_on(self, tmp_path: Path) -> None:
        with open_run_log(tmp_path, tmp_path, "T2_A", 0) as log:
            logsetup.change_logfile("a.log")
            ONE.warning("line")
        assert lines(str(log.path)) == lines("a.log") == ["line"]

    def test_importing_sets_nothing_up(self) -> None:
        code = "import logging; from dynamo_consistency import logsetup; print(logging.getLogger().handlers)"
        assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


class TestMatchLogs:
    def test_match_logs(self) -> None:
        handlers: list[logging.Handler] = [logging.FileHandler("a.log"), logging.NullHandler()]
        for handler in handlers:
            ONE.addHandler(handler)
        old = logging.FileHandler("old.log")
        TWO.addHandler(old)
        logsetup.match_logs(ONE, [TWO, ONE])
        assert ONE.handlers == TWO.handlers == handlers
        TWO.warning("line")
        assert (lines("a.log"), lines("old.log")) == (["line"], [])
        old.close()
