"""The command ``search``."""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cli.answers.wording import date, exact, known_size, size_words
from cli.exits import CommandError, ExitCode
from cli.session import Settings
from engine import paths
from engine.site_states import matching
from storage.history import HistoryDatabase, HistoryError
from storage.history.search import Match, search
from storage.history.two_runs import FindingKind
from storage.page.histories import Histories
from storage.shown import printable, quoted
from storage.sites.picker import no_match

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What is looked for: a ``pattern``, which is a regular expression, plain text, or what its characters say.

    ``sites`` is an expression that names of sites contain, ``kind`` the only kind that is meant, None: any. At most
    ``limit`` findings are shown; 0: all.
    """

    pattern: str
    regex: bool = False
    plain: bool = False
    sites: str | None = None
    kind: str | None = None
    limit: int = 100


def find(settings: Settings, request: SearchRequest, as_json: bool) -> ExitCode:
    """Print the findings whose paths match, as they are found."""
    matches, kinds = _matcher(request), _kinds(request.kind)
    unread: list[HistoryError] = []
    found = _matches(settings, request, matches, kinds, unread)
    shown = 0
    for match in found if not request.limit else islice(found, request.limit):
        print(json.dumps(_as_object(match)) if as_json else _line(match), flush=sys.stdout.isatty())
        shown += 1
    if request.limit and shown == request.limit and next(found, None) is not None:
        said = f"the first {shown:,} are shown; --limit 0 shows all"
        print(f"dynamo-consistency: {said}", file=sys.stderr)
    elif not shown and not as_json:
        print(f"no finding matches {quoted(request.pattern)}{', as far as could be read' if unread else ''}")
    for error in unread:
        print(f"dynamo-consistency: {error}", file=sys.stderr)
    return ExitCode.USAGE if unread else ExitCode.DONE


def _matcher(request: SearchRequest) -> Callable[[bytes], bool]:
    pattern = request.pattern
    if request.regex and request.plain:
        raise CommandError("--regex and --plain: a pattern is one of them")
    if not pattern:
        raise CommandError("PATTERN: an empty one is in every path; '*' is all of them")
    if request.regex:
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise CommandError(f"PATTERN: {quoted(pattern)} is no regular expression: {error}") from error
        return lambda path: expression.search(paths.decode(path)) is not None
    if request.plain or _WILDCARDS.isdisjoint(pattern):
        part = paths.encode(pattern)
        return lambda path: part in path
    whole = re.compile(fnmatch.translate(pattern))
    return lambda path: whole.match(paths.decode(path)) is not None


def _kinds(kind: str | None) -> tuple[FindingKind, ...]:
    if kind is None:
        return tuple(FindingKind)
    try:
        return (FindingKind(kind.replace("-", "_").replace(" ", "_")),)
    except ValueError as error:
        known = ", ".join(FindingKind)
        raise CommandError(f"--kind: expected one of {known}, found {quoted(kind)}") from error


def _matches(
    settings: Settings,
    request: SearchRequest,
    matches: Callable[[bytes], bool],
    kinds: tuple[FindingKind, ...],
    unread: list[HistoryError],
) -> Iterator[Match]:
    """Give the findings as they come; histories that cannot be read go to ``unread``."""
    histories = Histories.of_config(settings.config)
    known = _sites(histories, unread)
    chosen = matching(sorted(known), request.sites)
    if not known and unread:
        raise unread.pop(0)
    if not chosen and unread:
        return
    if not chosen:
        if request.sites:
            raise no_match(request.sites, known)
        shared = printable(str(histories.shared))
        what = f"{shared} has no run yet" if histories.shared.exists() else f"{shared} does not exist"
        raise CommandError(f"there are no findings to look through: {what}; a check makes it")
    for site in chosen:
        try:
            with HistoryDatabase.reading(known[site]) as database, database.view() as connection:
                yield from search(connection, site, matches, kinds)
        except HistoryError as error:
            unread.append(error)


def _sites(histories: Histories, unread: list[HistoryError]) -> dict[str, Path]:
    """Give where the findings of each site are; one that has a history of its own is looked up nowhere else."""
    known: dict[str, Path] = {}
    for path in dict.fromkeys((histories.shared, *histories.own.values())):
        if not path.exists():
            continue
        try:
            with HistoryDatabase.reading(path) as database:
                known |= {site: path for site in database.sites() if histories.own.get(site, histories.shared) == path}
        except HistoryError as error:
            unread.append(error)
    return known


def _as_object(match: Match) -> dict[str, Any]:
    found: dict[str, Any] = {
        "site": match.site,
        "kind": match.kind,
        **exact(match.path),
        "size": known_size(match.size),
    }
    if match.kind == FindingKind.SIZE_MISMATCH:
        found["remote_size"] = known_size(match.remote_size)
    if match.checksums is not None:
        found["checksum"], found["remote_checksum"] = match.checksums
    return {**found, "run": match.run, "first_run": match.first_run, "since": match.since}


def _line(match: Match) -> str:
    since = f"run {match.first_run}" + ("" if match.since is None else f" of {date(match.since)[:10]}")
    if match.kind == FindingKind.SIZE_MISMATCH:
        sizes = f"{size_words(match.size)}, {size_words(match.remote_size)} on the store"
    else:
        sizes = size_words(match.size) if match.kind.has_size else "-"
    if match.checksums is not None:
        sizes = f"{match.checksums[0]}, {match.checksums[1]} on the store"
    kind = match.kind.replace("_", " ")
    return f"{printable(match.site)}  {kind}  since {since}  {sizes}  {paths.escape(match.path)}"
