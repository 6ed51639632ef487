"""Makes the parsers of the command lines that programs around the front end have.

Nothing is parsed at import. Whoever has parsed puts the options into ``OPTS``, where `main` and `summary` look.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from optparse import IndentedHelpFormatter, OptionGroup, OptionParser, Values
from textwrap import indent
from typing import Any

__all__ = ["OPTS", "get_parser", "pretty_exe"]

OPTS: Values | None = None
"""The options that hold for this process; None means that none was given."""

CHECK = "dynamo-consistency"
INVALIDATE = "consistency-invalidate"
DUMP_TREE = "consistency-dump-tree"
SET_STATUS = "set-status"
WEB_INSTALL = "consistency-web-install"

_ANY = "sphinx-build"
"""Stands for no program in particular."""

_EVERYTHING = frozenset((CHECK, "exec.py", _ANY))
"""Programs that have every option but the one that only dumping a tree has."""

_PROGRAMS = frozenset((CHECK, "exec.py", INVALIDATE, DUMP_TREE, SET_STATUS, WEB_INSTALL))
"""Programs whose command line is theirs; in that of another one, only what the parser knows is looked at."""


_TESTS = "test_"
"""What the names of programs begin with that always have the option ``--test``."""

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class _Option:
    """One option: its name, the attribute of what is parsed, a metavariable if it takes a value, and who has it."""

    name: str
    dest: str
    help: str
    metavar: str = ""
    programs: frozenset[str] = frozenset()
    everybody: bool = False
    tests: bool = False

    def belongs_to(self, program: str) -> bool:
        """Tell whether a program has this option."""
        return self.everybody or program in self.programs or (self.tests and program.startswith(_TESTS))

    @property
    def arguments(self) -> dict[str, Any]:
        """Give what makes an option of a parser."""
        how = {"metavar": self.metavar} if self.metavar else {"action": "store_true"}
        return {"dest": self.dest, "help": self.help, **how}


def _with(*programs: str) -> frozenset[str]:
    return _EVERYTHING.union(programs)


_GROUPS = (
    (
        "Selection Options",
        (
            _Option(
                "--site",
                "SITE_PATTERN",
                "Take a site whose name this pattern is found in.",
                "PATTERN",
                _with(INVALIDATE, DUMP_TREE),
            ),
            _Option("--lock", "LOCK_NAME", "Take a site that needs this lock.", "NAME", _EVERYTHING),
            _Option(
                "--remote", "REMOTE", "Dump what is at the site, not its inventory.", programs=frozenset((DUMP_TREE,))
            ),
            _Option("--date-string", "DATESTRING", "Take the dump of this day.", "YYYYMMDD", _with(DUMP_TREE)),
        ),
    ),
    (
        "Logging Options",
        (
            _Option(
                "--update-summary",
                "UPDATESUMMARY",
                "Update the summary whatever kind of run it is.",
                programs=_EVERYTHING,
            ),
            _Option("--email", "EMAIL", "Write a mail about an exception that nobody caught.", programs=_EVERYTHING),
            _Option("--info", "INFO", "Log from the level info on.", everybody=True),
            _Option("--debug", "DEBUG", "Log from the level debug on.", everybody=True),
        ),
    ),
    (
        "Behavior Options",
        (
            _Option("--no-orphan", "NOORPHAN", "Ask for no orphan to be deleted.", programs=_EVERYTHING),
            _Option("--cms", "CMS", "Do what is special about the data of CMS.", programs=_EVERYTHING),
            _Option("--no-sam", "NOSAM", "Do not ask whether the site is fit to be checked.", programs=_EVERYTHING),
            _Option(
                "--more-logs", "MORELOGS", "Clean the directories of AdditionalLogDeletions.", programs=_EVERYTHING
            ),
            _Option("--no-inventory", "NO_INV", "Do without the inventory, to try the rest.", programs=_EVERYTHING),
            _Option("--unmerged", "UNMERGED", "Clean the unmerged area.", programs=_with(DUMP_TREE)),
            _Option("--test", "TEST", "Try it out.", programs=_with(DUMP_TREE), tests=True),
        ),
    ),
)


def get_parser(modname: str = "__main__", prog: str = "sphinx-build") -> tuple[OptionParser, list[str]]:
    """Give the parser of a program, and the arguments of this process for it.

    ``modname`` is the module whose ``__doc__``, and ``__usage__`` if it has one, say how the program is used. ``prog``
    is the name of the program, which says what options it has; by default they are those of ``dynamo-consistency``.

    The arguments are those of the process, with the name of the program first; but where ``prog`` is none of this
    project's programs, only the options among them that the parser knows.

    Raises:
        KeyError: no such module is loaded.
    """
    from importlib.metadata import version

    parser = OptionParser(
        usage=_usage(modname),
        version=f"dynamo-consistency {version('dynamo-consistency')}",
        prog=CHECK if prog == _ANY else prog,
    )
    parser.add_option("--config", metavar="FILE", dest="CONFIG", help="Read this configuration file.")
    for title, options in _GROUPS:
        group = OptionGroup(parser, title)
        for option in options:
            if option.belongs_to(prog):
                group.add_option(option.name, **option.arguments)
        if group.option_list:
            parser.add_option_group(group)
    arguments = list(sys.argv) if prog in _PROGRAMS else _known(parser, sys.argv[1:])
    return parser, [*arguments, "--test"] if prog.startswith(_TESTS) else arguments


def pretty_exe(name: str) -> None:
    """Put a heading, the name of a program, before the calling module's docstring, and its options behind."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    module = sys.modules[frame.f_back.f_globals["__name__"]]
    heading = f"{name}\n{'-' * len(name)}\n"
    words = inspect.cleandoc(module.__doc__ or "")
    if not words.startswith(heading):
        options = get_parser(module.__name__, name)[0].format_option_help(IndentedHelpFormatter(width=_WIDTH))
        module.__doc__ = f"{heading}\n{words}\n\n::\n\n{indent(options, '    ')}"


def _usage(modname: str) -> str:
    module = sys.modules[modname]
    usage = str(getattr(module, "__usage__", "%prog [options]"))
    words = inspect.cleandoc(module.__doc__ or "")
    return f"{usage}\n\n{words}" if words else usage


def _known(parser: OptionParser, arguments: Sequence[str]) -> list[str]:
    """Keep the options that the parser knows, with their values."""
    kept: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, _ = argument.partition("=")
        option = parser.get_option(name) if name.startswith("--") else None
        if option is None or option.action in ("help", "version"):
            continue
        kept.append(argument)
        if option.takes_value() and not equals:
            kept.extend(islice(remaining, 1))
    return kept
