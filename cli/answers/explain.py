"""The command ``explain``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from cli.answers.wording import date, exact
from cli.display import human_bytes
from cli.exits import CommandError, ExitCode
from cli.session import Settings
from engine import paths
from engine.explaining.facts import PathFacts
from engine.explaining.outcome import statements
from engine.explaining.words import Statement, Topic, Writing
from storage.answers.effective import effective
from storage.answers.path_facts import path_facts
from storage.config.site import SiteConfig
from storage.shown import quoted

_WRITING = Writing(lambda seconds: f"{date(seconds)} UTC", human_bytes)


@dataclass(frozen=True, slots=True)
class ExplainRequest:
    """What is to be explained: an LFN, at which site, None: the only one; ``escaped``: it is written as in lists.

    ``live`` asks the store as well.
    """

    lfn: str
    site: str | None = None
    escaped: bool = False
    live: bool = False


def explain(settings: Settings, request: ExplainRequest, as_json: bool) -> ExitCode:
    """Tell all that is known about a file or directory of a site."""
    found_out = effective(settings.config, _name(settings, request.site))
    site = found_out.site
    path = _path(site, request)
    facts = path_facts(found_out.config, site, path, request.lfn.endswith("/"), time.time())
    if found_out.problem:
        facts = replace(facts, notices=(found_out.problem, *facts.notices))
    if request.live:
        from storage.answers.live import ask_now, standing_now

        registered = "" if facts.is_directory else standing_now(found_out.config, site, path)
        facts = replace(facts, live=replace(ask_now(site, path, time.time()), registered=registered))
    said = statements(facts, _WRITING)
    if as_json:
        print(json.dumps(_as_object(facts, said)))
    else:
        for line in _lines(facts, said):
            print(line)
    return ExitCode.DONE


def _name(settings: Settings, name: str | None) -> str:
    config = settings.config
    if name is not None:
        return name
    if len(config.sites) == 1:
        return config.sites[0]
    if not config.sites and not settings.has_config_file:
        raise CommandError("--site: which site? no configuration file was given; name one with --config")
    raise CommandError(f"--site: which site? known: {', '.join(config.sites) or 'none'}")


def _path(site: SiteConfig, request: ExplainRequest) -> bytes:
    """Read an LFN; what is relative lies below RootPath, as in an inventory."""
    path = paths.unescape(request.lfn) if request.escaped else paths.encode(request.lfn)
    try:
        if not path:
            raise ValueError("it is empty")
        if b"://" in path:
            raise ValueError("a URL; the LFN is what inventories and lists have")
        return paths.canonical(path if path.startswith(b"/") else paths.join(site.root_path, path))
    except ValueError as error:
        raise CommandError(
            f"LFN: expected a path such as /store/mc/file.root, found {quoted(request.lfn)}: {error}"
        ) from error


def _lines(facts: PathFacts, said: list[Statement]) -> Iterator[str]:
    yield f"{paths.escape(facts.path)} at {facts.site}"
    topic = Topic.SUMMARY
    for statement in said:
        head = "" if statement.topic == topic else f"{statement.topic}:"
        topic = statement.topic
        yield statement.text if topic == Topic.SUMMARY else f"  {head.ljust(10)} {statement.text}"


def _as_object(facts: PathFacts, said: list[Statement]) -> dict[str, Any]:
    fields = _plain(asdict(facts))
    del fields["path"]
    return {"site": facts.site, **exact(facts.path), **fields, "statements": [asdict(each) for each in said]}


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return paths.decode(value)
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value
