"""The commands ``config show``, ``config check`` and ``config schema``."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from cli.display import human_count
from cli.exits import ExitCode
from cli.session import Settings
from storage.answers.effective import effective
from storage.answers.settings import problems_of
from storage.config.loading import Config
from storage.config.origins import Origin
from storage.config.problems import Problem
from storage.config.published import without_secrets
from storage.config.schema import json_schema
from storage.doors.redirectors import KeptDoors, kept_doors
from storage.shown import printable


def show_settings(settings: Settings, name: str, changed: bool, as_json: bool) -> ExitCode:
    """Print what each key comes to for a site; those that have their default are left out where that is wanted."""
    # Whoever has no such site is told so before anything else.
    found_out = effective(settings.config, name)
    config, site = found_out.config, found_out.site
    assert isinstance(config, Config)
    if found_out.problem:
        print(f"dynamo-consistency: warning: without what its backend knows: {found_out.problem}", file=sys.stderr)
    chosen = [setting for setting in config.settings(name) if not (changed and setting.origin == Origin.DEFAULT)]
    values = without_secrets({setting.key: setting.value for setting in chosen})
    rows = [(setting.key, setting.origin, values[setting.key]) for setting in chosen]
    found = None if site.doors else kept_doors(site)
    if as_json:
        keys = [{"key": key, "value": value, "origin": origin.value} for key, origin, value in rows]
        print(json.dumps({"site": name, "file": _file(config), "keys": keys, "found_doors": _found(found)}))
        return ExitCode.DONE
    print(f"{name}, from {_file(config) or 'the environment alone'}")
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for key, origin, value in rows:
        print(f"{key.ljust(widths[0])}  {origin.ljust(widths[1])}  {printable(json.dumps(value, ensure_ascii=False))}")
    if found is not None:
        when = datetime.fromtimestamp(found.found, UTC).strftime("%Y-%m-%d %H:%M:%S")
        print(f"doors found {when} UTC by asking {found.asked} ({found.file}): {', '.join(found.doors)}")
    return ExitCode.DONE


def _file(config: Config) -> str | None:
    return None if config.path is None else printable(str(config.path.absolute()))


def _found(found: KeptDoors | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"doors": list(found.doors), "found": found.found, "asked": found.asked, "file": str(found.file)}


def check_settings(settings: Settings, as_json: bool) -> ExitCode:
    """Print everything that is wrong with the configuration."""
    path = settings.path if settings.has_config_file else None
    problems, sites = problems_of(path, os.environ)
    serious = [problem for problem in problems if not problem.minor]
    if as_json:
        file = None if path is None else str(path.absolute())
        print(json.dumps({"file": file, "sites": list(sites), "problems": [_as_object(each) for each in problems]}))
    else:
        for problem in problems:
            print(_line(problem))
        where = "no configuration file" if path is None else printable(str(path))
        said = f"{human_count(len(serious), 'problem')}, {human_count(len(problems) - len(serious), 'warning')}"
        print(f"{where}: {human_count(len(sites), 'site')}; {said if problems else 'nothing is wrong'}")
    return ExitCode.USAGE if serious else ExitCode.DONE


def _as_object(problem: Problem) -> dict[str, Any]:
    return {
        "level": "warning" if problem.minor else "problem",
        "key": problem.key or None,
        "site": problem.site or None,
        "place": problem.place or None,
        "wrong": problem.wrong,
        "advice": problem.advice,
    }


def _line(problem: Problem) -> str:
    level = "warning" if problem.minor else "problem"
    where = f"Sites.{problem.site}.{problem.key}" if problem.site else problem.key
    if problem.site and problem.key == "Sites":
        # It is about the site itself.
        where = f"Sites.{problem.site}"
    if problem.place == "environment":
        where += " (environment)"
    words = f"{problem.wrong}; {problem.advice}" if problem.advice else problem.wrong
    return f"{level}: {where}: {words}" if where else f"{level}: {words}"


def print_schema() -> ExitCode:
    """Print the schema of a configuration file."""
    print(json.dumps(json_schema(), indent=2))
    return ExitCode.DONE
