"""The command ``list``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from actors.jobs import store_job
from actors.listing import list_store
from cli.display import human_bytes, human_count
from cli.exits import CommandError, ExitCode, of_result
from cli.output import must_be_writable
from cli.session import RunOptions, Settings, open_runtime, overseen
from engine.paths import escape
from engine.states import State
from storage.doors.source import FileSource, parse_source
from storage.snapshot import Snapshot, part_of

if TYPE_CHECKING:
    from engine.table import DirectoryTable

FORMATS = ("snapshot", "text", "jsonl")

_SHOWN = 10
"""So many unlisted directories are named on the screen."""


def run(
    settings: Settings,
    source: str,
    output: Path | None,
    form: str,
    options: RunOptions,
) -> ExitCode:
    """List a source, write the file and say what was seen."""
    if form not in FORMATS:
        raise CommandError(f"--format: expected snapshot, text or jsonl, found {form!r}")
    config = settings.config
    store = parse_source(source, config)
    if isinstance(store, FileSource):
        raise CommandError(f"{source} is a file; list takes a site, a URL or a directory")
    site = store.site or config.top_level(store.label)
    if output is not None:
        must_be_writable(output, form == "snapshot")
    if store.site is not None:
        # Loaded here because only a site needs to be asked for its doors.
        from storage.doors.resolve import resolve

        store = resolve(store)
    with (
        tempfile.TemporaryDirectory(prefix="dynamo-consistency-") as scratch,
        open_runtime(options, site.runtime, "threads", site.runtime_env, "list", site.name) as actors,
    ):
        direct = output is not None and form == "snapshot"
        path = output if direct and output is not None else Path(scratch) / "listing.snapshot"
        job = store_job(store, site, path.absolute(), options.listers, options.in_flight)
        kept = f"what was listed so far is in {part_of(path)}" if direct else ""
        with overseen(store.label, store.address, kept) as oversight:
            progress = list_store(actors, job, oversight)
        snapshot = Snapshot(path)
        table = snapshot.table
        if output is not None and not direct:
            # A snapshot needs nothing of what reads and writes text, numpy least of all.
            from storage.trees.text import write_listing

            write_listing(table, output, form)
        result = {
            "files": table.total_files(),
            "directories": table.count(State.LISTED),
            "bytes": table.total_size(),
            "unlisted": sum(1 for _ in table.unlisted()),
            "empty": len(table.empty_rows()),
            "requests": progress.requests,
            "seconds": round(progress.seconds, 3),
        }
        if options.as_json:
            print(json.dumps(result))
        else:
            _show(store.label, table, result, output)
        snapshot.close()
    return of_result(options.exit_code, 0, int(result["unlisted"]))


def _show(label: str, table: DirectoryTable, result: dict[str, int | float], output: Path | None) -> None:
    print(
        f"{label}: {human_count(int(result['files']), 'file')} ({human_bytes(int(result['bytes']))}) in "
        f"{human_count(int(result['directories']), 'directory', 'directories')}, {result['empty']:,} of them empty; "
        f"{human_count(int(result['requests']), 'request')} in {result['seconds']} s"
    )
    unlisted = list(table.unlisted())
    if unlisted:
        print(f"could not be listed: {human_count(len(unlisted), 'directory', 'directories')}")
        for path, reason, detail in unlisted[:_SHOWN]:
            print(f"  {escape(path)}: {reason.label}" + (f" ({detail})" if detail else ""))
        if len(unlisted) > _SHOWN:
            print(f"  and {len(unlisted) - _SHOWN:,} more")
    if output is not None:
        print(f"written: {output}")
