"""The command ``diff``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cli.answers.wording import date, exact, known_size, print_object
from cli.display import human_bytes, human_count
from cli.exits import CommandError, ExitCode
from cli.session import Settings
from engine import paths
from storage.answers.left_alone import present_scope
from storage.config.site import SiteConfig
from storage.history import HistoryDatabase, RunRow
from storage.history.difference import Fate, Found, Part
from storage.history.two_runs import Comparison, FindingKind, NoSuchRuns, TwoRuns, choose_runs
from storage.plans.audit import AuditLog
from storage.runs.directory import RunDirectory
from storage.shown import printable, quoted
from storage.sites.picker import settings_of

_WORDS = {Fate.ACTED: "acted on", Fate.UNSEEN: "not seen"}


def show_difference(
    settings: Settings,
    site: str,
    runs: tuple[int | None, int | None],
    with_paths: bool,
    with_still: bool,
    as_json: bool,
) -> ExitCode:
    """Print what became of the findings of one run until another one."""
    if with_still and not with_paths:
        raise CommandError("--still goes with --list")
    own = settings_of(settings.config, site)
    path = own.var_location / "db" / "consistency.db"
    if not path.exists():
        raise CommandError(f"no history of {site}: {path} does not exist; a check makes it")
    with HistoryDatabase.reading(path) as database, database.view() as connection:
        known = database.sites()
        if site not in known:
            named = printable(", ".join(known)) or "none"
            raise CommandError(f"no runs of {quoted(site)} in {path}; it has runs of: {named}")
        try:
            chosen = choose_runs(connection, site, *runs)
        except NoSuchRuns as error:
            raise CommandError(str(error)) from error
        done = _done_between(own, chosen)
        comparison = Comparison(connection, chosen, present_scope(settings.config, own), done)
        others = comparison.other_settings
        parts = {kind: comparison.parts(kind) for kind in FindingKind}
        fates = [fate for fate in Fate if with_still or fate != Fate.STILL] if with_paths else []
        found = ((kind, fate, row) for kind in FindingKind for fate in fates for row in comparison.rows(kind, fate))
        if as_json:
            about = _about(site, chosen, parts, others)
            if with_paths:
                print_object(about, "list", (_row(*each) for each in found))
            else:
                print(json.dumps(about))
            return ExitCode.DONE
        for line in _lines(site, chosen, parts, others):
            print(line)
        for kind, fate, row in found:
            print("\t".join([fate, kind, paths.escape(row.path), *_sizes(kind, row)]))
    return ExitCode.DONE


def _done_between(site: SiteConfig, runs: TwoRuns) -> dict[FindingKind, frozenset[bytes]]:
    """Give what plans did since the earlier run had begun to look, and before the later one began.

    A run that goes on with an earlier one has seen what was done before it was started itself.
    """
    log, before = AuditLog(RunDirectory(site.var_location, site.name).audit), runs.before
    begun = before.started if before.signs.begun is None else min(before.started, before.signs.begun)
    done = log.done_between(begun, runs.after.started)
    return {FindingKind(cause.value): paths_of_cause for cause, paths_of_cause in done.items()}


def _about(
    site: str, runs: TwoRuns, parts: dict[FindingKind, dict[Fate, Part] | None], others: tuple[str, ...] | None
) -> dict[str, Any]:
    return {
        "site": site,
        "before": _run(runs.before),
        "after": _run(runs.after),
        "other_settings": None if others is None else list(others),
        "kinds": {
            kind: None if found is None else {fate: _part(kind, part) for fate, part in found.items()}
            for kind, found in parts.items()
        },
    }


def _run(run: RunRow) -> dict[str, Any]:
    return {"run": run.id, "started": run.started, "finished": run.finished, "status": run.status}


def _part(kind: FindingKind, part: Part) -> dict[str, int]:
    return {"count": part.count, **({"bytes": part.size} if kind.has_size else {})}


def _row(kind: FindingKind, fate: Fate, row: Found) -> dict[str, Any]:
    sizes: dict[str, Any] = {"size": known_size(row.size)} if kind.has_size else {}
    if kind == FindingKind.SIZE_MISMATCH:
        sizes["remote_size"] = known_size(row.remote_size)
    if row.checksums is not None:
        sizes["checksum"], sizes["remote_checksum"] = row.checksums
    return {"kind": kind, "fate": fate, **exact(row.path), **sizes}


def _sizes(kind: FindingKind, row: Found) -> list[str]:
    if not kind.has_size:
        return []
    sizes = [row.size, row.remote_size] if kind == FindingKind.SIZE_MISMATCH else [row.size]
    words = ["-" if known_size(size) is None else str(size) for size in sizes]
    return [*words, *(row.checksums or ())]


def _lines(
    site: str, runs: TwoRuns, parts: dict[FindingKind, dict[Fate, Part] | None], others: tuple[str, ...] | None
) -> Iterator[str]:
    before, after = runs.before, runs.after
    # Most sites compare no checksums, and nobody asks why there is nothing to tell of them.
    parts = {kind: found for kind, found in parts.items() if found or kind != FindingKind.CHECKSUM_MISMATCH}
    yield f"{site}: from run {before.id} of {date(before.started)} UTC to run {after.id} of {date(after.started)} UTC"
    rows = [("", *(_WORDS.get(fate, fate.value) for fate in Fate))]
    for kind, found in parts.items():
        cells = ["-"] * len(Fate) if found is None else [_cell(found[fate]) for fate in Fate]
        rows.append((kind.replace("_", " "), *cells))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    unseen = sum(found[Fate.UNSEEN].count for found in parts.values() if found is not None)
    if unseen:
        left = "the settings leave alone by now" if others is None else "its settings left alone"
        where = f"in or below what run {after.id} could not list, or what {left}"
        yield f"not seen: {human_count(unseen, 'finding')} of run {before.id}, {where}; they may be there still"
    if others:
        yield f"other settings: run {after.id} looked elsewhere than run {before.id}, by {', '.join(others)}"
    unknown = [kind.replace("_", " ") for kind, found in parts.items() if found is None]
    if unknown:
        yield f"-: {', '.join(unknown)}: one of the runs did not look for that, or it is not kept any more"


def _cell(part: Part) -> str:
    return f"{part.count:,} ({human_bytes(part.size)})" if part.size else f"{part.count:,}"
