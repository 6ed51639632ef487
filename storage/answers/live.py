"""What the store says of a path now, each door asked by itself, and what the backend says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.explaining.facts import DoorFacts, LiveFacts
from engine.listing import Absent, Failed, Outcome, Present
from storage.backends import BackendError, choose
from storage.backends.protocols import KnowsFiles
from storage.config.files import ConfigError
from storage.config.site import KnownSites, SiteConfig
from storage.doors import layout
from storage.doors.resolve import resolve
from storage.doors.source import SourceError, site_source
from storage.listers.protocol import Ask
from storage.shown import printable

_PATIENCE = 15.0
"""Seconds that a door may take for the one question."""


def ask_now(site: SiteConfig, path: bytes, now: float, heed: Callable[[], None] = lambda: None) -> LiveFacts:
    """Ask each door of a site for a path; ``heed`` is called now and then, and may raise to give up."""
    try:
        source = resolve(site_source(site), heed)
        if source.as_of is not None:
            return LiveFacts(now, problem="it is known by a dump alone, which says nothing of now")
        spec = source.spec
        # What one server says is wanted here, and not what all of them would have to say together.
        alone = replace(spec, open_ended=False, timeout=min(spec.timeout, _PATIENCE))
        with layout.panel(alone, heed) as asked:
            said = asked.ask([(door, Ask.STAT, path) for door in range(len(asked))])
    except (SourceError, ValueError) as error:
        return LiveFacts(now, problem=printable(str(error)))
    doors = tuple(_facts(door, outcome) for door, outcome in zip(spec.doors, said, strict=True))
    return LiveFacts(now, doors, spec.clustered)


def standing_now(config: KnownSites, site: SiteConfig, path: bytes) -> str:
    """Ask the backend of a site how a file stands there; empty where it cannot say that of a single one."""
    try:
        blocks = choose(config, site).blocks
        return blocks.standing_of(site.name, paths.decode(path)) if isinstance(blocks, KnowsFiles) else ""
    except (BackendError, ConfigError) as error:
        return f"How it stands with the backend is not known: {printable(str(error))}"


def _facts(door: str, outcome: Outcome) -> DoorFacts:
    name = printable(door)
    match outcome:
        case Present():
            size = None if outcome.size == UNKNOWN_SIZE else outcome.size
            mtime = None if outcome.mtime == UNKNOWN_MTIME else outcome.mtime
            return DoorFacts(name, True, outcome.is_directory, None if outcome.is_directory else size, mtime)
        case Absent():
            return DoorFacts(name, False)
        case Failed():
            detail = printable(outcome.detail)
            return DoorFacts(name, None, problem=detail or outcome.reason.label)
        case _:
            return DoorFacts(name, None, problem="an answer to another question")
