"""The command ``doctor``."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from cli.answers.wording import date
from cli.display import human_bytes
from cli.exits import ExitCode
from cli.session import Settings
from engine.diagnosing.facts import SettingFault
from engine.diagnosing.lines import Level, Line, Part, Writing, lines, worst
from storage.answers.effective import effective
from storage.answers.probing.here import said_of
from storage.answers.probing.site import probe_site
from storage.config.files import ConfigError
from storage.config.problems import Problem

_WRITING = Writing(lambda seconds: f"{date(seconds)} UTC", human_bytes)
_OF_THE_STORE = (Part.DOORS, Part.CREDENTIALS, Part.STORE)


def examine(settings: Settings, name: str, as_json: bool) -> ExitCode:
    """Look at all that a check of a site needs, and say of each whether it is well."""
    try:
        config = settings.config
    except ConfigError as error:
        if not all(problem.key for problem in error.found):
            # The file cannot be read, so that there is nothing to be said of the site.
            raise
        return _tell(name, [*map(_wrong, error.found)], as_json)
    found_out = effective(config, name)
    with _progress(name) as say:
        probe = probe_site(found_out.config, found_out.site, os.environ, time.time(), say)
    said = found_out.problem
    # What is wrong with its settings has been found there already.
    if said and not any(fault.wrong and fault.wrong in said for fault in probe.faults):
        wrong, _, advice = said.partition("; ")
        fault = SettingFault("Backend", wrong, advice or "see whether it runs, and docs/backends.md")
        probe = replace(probe, faults=(fault, *probe.faults))
    return _tell(name, lines(probe, _WRITING), as_json)


def _wrong(problem: Problem) -> Line:
    """Say what keeps the configuration from being used, be it of another site."""
    where = f"Sites.{problem.site}.{problem.key}" if problem.site else problem.key
    return Line(Level.PROBLEM, Part.SETTINGS, f"{where}: {said_of(problem)}", problem.advice)


def _tell(name: str, said: list[Line], as_json: bool) -> ExitCode:
    if as_json:
        print(json.dumps({"site": name, "level": worst(said), "lines": [asdict(line) for line in said]}))
    else:
        for text in _texts(name, said):
            print(text)
    return _code(said)


def _code(said: list[Line]) -> ExitCode:
    problems = [line for line in said if line.level == Level.PROBLEM]
    if not problems:
        return ExitCode.DONE
    # What is wrong here keeps the store from being asked at all, so it is to be put right first.
    here = any(line.part not in _OF_THE_STORE for line in problems)
    return ExitCode.USAGE if here else ExitCode.NOT_LISTED


def _texts(name: str, said: list[Line]) -> Iterator[str]:
    widths = max(map(len, Level)), max(map(len, Part))
    for line in said:
        advice = f"; {line.advice}" if line.advice else ""
        yield f"{line.level.ljust(widths[0])}  {line.part.ljust(widths[1])}  {line.text}{advice}"
    counts = {level: sum(line.level == level for line in said) for level in Level}
    if not (counts[Level.PROBLEM] or counts[Level.WARNING]):
        yield f"{name}: nothing is wrong"
    else:
        yield f"{name}: {_many(counts[Level.PROBLEM], 'problem')}, {_many(counts[Level.WARNING], 'warning')}"


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


@contextmanager
def _progress(name: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is looked at; some of it takes seconds."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{name}: starting") as status:
        yield lambda what: status.update(f"{name}: looking at {what}")
