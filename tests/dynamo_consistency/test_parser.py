"""Checks something.

Each test is named after the entry of the reference that it shows.
"""

from __future__ import annotations

import subprocess
import sys
import types
from importlib.metadata import version
from optparse import OptionParser

import pytest

from dynamo_consistency import parser


def options(made: OptionParser) -> set[str]:
    groups = [made.option_list, *(group.option_list for group in made.option_groups)]
    return {option.get_opt_string() for group in groups for option in group} - {"--help", "--version"}


COMMON = {"--config", "--info", "--debug"}
ALL = COMMON | {
    *("--site", "--lock", "--date-string", "--update-summary", "--email", "--no-orphan", "--cms", "--no-sam"),
    *("--more-logs", "--no-inventory", "--unmerged", "--test"),
}


class TestGetParser:
    @pytest.fixture(autouse=True)
    def command_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["/usr/bin/program", "--site", "T2", "NAME", "-q", "--cms", "--lock=", "--x"])

    @pytest.mark.parametrize(
        ("prog", "expected"),
        [
            ("dynamo-consistency", ALL),
            ("exec.py", ALL),
            ("sphinx-build", ALL),
            ("consistency-dump-tree", COMMON | {"--site", "--remote", "--date-string", "--unmerged", "--test"}),
            ("consistency-invalidate", COMMON | {"--site"}),
            ("consistency-web-install", COMMON),
            ("set-status", COMMON),
            ("test_something.py", COMMON | {"--test"}),
            ("anything", COMMON),
        ],
    )
    def test_the_program_decides_which_options_there_are(self, prog: str, expected: set[str]) -> None:
        assert options(parser.get_parser(prog=prog)[0]) == expected

    def test_the_arguments_of_a_program(self) -> None:
        made, arguments = parser.get_parser(prog="dynamo-consistency")
        assert arguments == sys.argv
        assert arguments is not sys.argv
        with pytest.raises(SystemExit):
            made.parse_args(arguments)

    def test_of_another_program_only_what_is_known_counts(self) -> None:
        made, arguments = parser.get_parser()
        assert arguments == ["--site", "T2", "--cms", "--lock="]
        values, rest = made.parse_args(arguments)
        assert (values.SITE_PATTERN, values.CMS, values.LOCK_NAME, values.NO_INV, rest) == ("T2", True, "", None, [])
        assert parser.get_parser(prog="test_it")[1] == ["--test"]

    def test_what_is_parsed(self) -> None:
        made, _ = parser.get_parser(prog="dynamo-consistency")
        values, rest = made.parse_args(
            ["--site", "T2_", "--lock", "gfal", "--config=c.yml", "--debug", "--no-orphan", "--email", "more"]
        )
        assert (values.SITE_PATTERN, values.LOCK_NAME, values.CONFIG) == ("T2_", "gfal", "c.yml")
        assert (values.DEBUG, values.NOORPHAN, values.EMAIL, values.INFO, values.TEST) == (True, True, True, None, None)
        assert rest == ["more"]

    def test_the_module_says_how_it_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made, _ = parser.get_parser(__name__, "set-status")
        assert made.get_usage().startswith("Usage: set-status [options]\n\nChecks something.\n")
        module = types.ModuleType("made_up", "Sets 100% of it.")
        monkeypatch.setitem(sys.modules, "made_up", module)
        module.__usage__ = "%prog SITE ACTION"  # type: ignore[attr-defined]
        made, _ = parser.get_parser("made_up", "set-status")
        assert made.get_usage() == "Usage: set-status SITE ACTION\n\nSets 100% of it.\n"
        module.__doc__ = None
        assert parser.get_parser("made_up", "set-status")[0].get_usage() == "Usage: set-status SITE ACTION\n"

    def test_the_version_is_that_of_the_package(self) -> None:
        assert parser.get_parser()[0].get_version() == f"dynamo-consistency {version('dynamo-consistency')}"

    def test_there_is_no_such_module(self) -> None:
        with pytest.raises(KeyError, match="nowhere"):
            parser.get_parser("nowhere")

    def test_importing_parses_nothing(self) -> None:
        code = "from dynamo_consistency import parser; print(parser.OPTS)"
        done = subprocess.run([sys.executable, "-c", code, "--nonsense"], capture_output=True, text=True, check=True)
        assert done.stdout == "None\n"


class TestPrettyExe:
    @pytest.fixture(autouse=True)
    def own_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.modules[__name__], "__doc__", __doc__)

    def test_pretty_exe(self) -> None:
        parser.pretty_exe("set-status")
        words = sys.modules[__name__].__doc__ or ""
        assert words.startswith("set-status\n----------\n\nChecks something.\n")
        assert "\n    Options:\n" in words
        assert "--config=FILE" in words
        assert "--site" not in words
        parser.pretty_exe("set-status")
        assert sys.modules[__name__].__doc__ == words
