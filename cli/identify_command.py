"""The command ``identify``."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.display import human_bytes, human_count
from cli.exits import CommandError, ExitCode
from cli.session import Settings
from engine import paths
from storage.answers.effective import effective
from storage.backends import BackendError
from storage.backends.file_inventory import lfn_to_path_of
from storage.config.site import SiteConfig
from storage.inventory.foreign.lfn import identity_path
from storage.inventory.formats import Format
from storage.inventory.identify import Expected, Identity, identify
from storage.shown import printable

_SITES = 5
"""So many sites are named on the screen."""


def run(settings: Settings, files: list[Path], site: str | None, format_: str, as_json: bool) -> ExitCode:
    """Say of each file what it is, and whether it would be used."""
    if format_ not in ("auto", *Format):
        raise CommandError(f"--format: expected auto or one of {', '.join(Format)}, found {format_!r}")
    config = settings.config.top_level() if site is None else _settings_of(settings, site)
    expected = _expected(config, site or "")
    found = []
    for file in files:
        if not file.is_file():
            why = "not a file" if file.exists() else "no such file"
            raise CommandError(f"{paths.escape(os.fsencode(file))}: {why}")
        identity = _identity(file, expected, _format_of(config, file, format_))
        found.append(identity)
        if not as_json:
            _show(identity)
    if as_json:
        print(json.dumps({"files": [_object(identity) for identity in found]}))
    return ExitCode.USAGE if any(identity.refused for identity in found) else ExitCode.DONE


def _identity(file: Path, expected: Expected, format_: str) -> Identity:
    try:
        return identify(file, expected, format_)
    except BackendError as error:
        # What it is can be said even so, and not whether its paths are wanted.
        found = identify(file, replace(expected, lfn_to_path=identity_path), format_)
        found.refused = printable(str(error))
        return found


def _settings_of(settings: Settings, site: str) -> SiteConfig:
    """Give the settings that a check of the site would go by, as far as its backend can be asked."""
    found = effective(settings.config, site)
    if found.problem:
        print(f"dynamo-consistency: warning: without what its backend knows: {found.problem}", file=sys.stderr)
    return found.site


def _expected(config: SiteConfig, site: str) -> Expected:
    tops = [*config.directories, *(paths.canonical(config.path_prefix + top) for top in config.directories)]
    wanted = tuple(dict.fromkeys(tops)) if site else ()
    found = Expected(site, config.root_path, config.dump_age, config.max_malformed, wanted, config.inventory_table)
    # Without a site nobody says how paths follow from names, and what the file is does not depend on it.
    return replace(found, rse=config.rse, lfn_to_path=lfn_to_path_of(config)) if site else found


def _format_of(config: SiteConfig, file: Path, format_: str) -> str:
    """Give the format that is asked for, else the one that the settings say of this very inventory."""
    if format_ != "auto" or config.inventory is None or not config.inventory.exists():
        return format_
    return config.inventory_format if file.samefile(config.inventory) else format_


def _object(found: Identity) -> dict[str, Any]:
    made = found.made
    return {
        "file": found.path,
        "format": found.format or None,
        "packing": found.packing or None,
        "made": None if made is None else made.at,
        "made_by": None if made is None else made.by,
        "age_days": None if made is None else round(made.days(time.time()), 3),
        "lines": found.lines,
        "entries": found.entries,
        "bytes": found.bytes,
        "sizes": found.sizes,
        "times": found.times,
        "checksums": found.checksums,
        "unsettled": found.unsettled,
        "newest": found.newest,
        "sites": dict(found.sites),
        "malformed": found.malformed,
        "lost": found.lost,
        "directories": found.directories,
        "mixed": found.mixed,
        "errors": [{"line": e.line, "entry": e.entry, "expected": e.expected, "found": e.found} for e in found.errors],
        "ended": found.ended,
        "refused": found.refused or None,
    }


def _show(found: Identity) -> None:
    packed = f", packed with {found.packing}" if found.packing else ""
    print(f"{found.path}: {found.format or 'not known'}{packed}")
    if found.made is not None:
        days = found.made.days(time.time())
        print(f"  made:      {_moment(found.made.at)}, as {found.made.by} says, {days:.1f} days ago")
    if found.format:
        size = f" ({human_bytes(found.bytes)})" if found.sizes or found.bytes else ""
        print(f"  entries:   {human_count(found.entries, 'file')}{size} in {human_count(found.lines, 'line')}")
        print(f"  known:     {_known(found)}")
    if found.sites:
        most = ", ".join(f"{name} {count:,}" for name, count in found.sites.most_common(_SITES))
        more = f" and {len(found.sites) - _SITES:,} more" if len(found.sites) > _SITES else ""
        print(f"  sites:     {most}{more}")
    if found.malformed:
        lost = f", {found.lost:,} of them of files that nobody can tell" if found.lost else ""
        print(f"  malformed: {human_count(found.malformed, 'line')}{lost}")
        for error in found.errors:
            print(f"    {error}")
        if found.malformed > len(found.errors):
            print(f"    and {found.malformed - len(found.errors):,} more")
    if found.directories:
        passed = human_count(found.directories, "line")
        print(f"  passed:    {passed} of directories, by the slash at the end of their paths")
    if found.mixed:
        print(f"  mixed:     {_mixed(found)}")
    if not found.ended:
        print("  end:       no newline is there: it may be cut off, and is refused as a Dump; have it made anew")
    if found.refused:
        print(f"  refused:   {found.refused}")


def _known(found: Identity) -> str:
    """Say of how many entries there is what."""
    said = []
    for count, what in ((found.sizes, "sizes"), (found.times, "times"), (found.checksums, "checksums")):
        of = "of all" if count == found.entries else f"of {count:,}"
        said.append(f"{what} {of}" if count and found.entries else f"no {what}")
    words = ", ".join(said)
    if found.unsettled:
        words += f"; {found.unsettled:,} on their way in or out"
    return words + (f"; newest {_moment(found.newest)}" if found.newest is not None else "")


def _mixed(found: Identity) -> str:
    entries = human_count(found.mixed, "entry has", "entries have")
    said = f"{entries} others below, so that directories are among the files, and empty ones look like files"
    return f"{said}; have files alone listed, as find -type f does"


def _moment(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s since the epoch"
