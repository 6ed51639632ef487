"""The command ``compare``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.comparison import ComparisonPlan
from actors.history_store import StorePlan
from actors.quick import Results, compare_snapshots, compare_with_store
from cli.display import human_bytes, human_count
from cli.exits import CommandError, ExitCode, of_result
from cli.session import RunOptions, Settings, open_runtime, overseen
from storage.snapshot import Snapshot, is_part, is_snapshot

if TYPE_CHECKING:
    from actors.listing import StoreJob
    from actors.runtime import Runtime
    from engine.cut import LastLine
    from storage.config.site import SiteConfig
    from storage.doors.source import StoreSource


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of the comparison: where its snapshot is or will be, and what to list for it, if anything.

    ``last_line`` is that of a text which does not end.
    """

    snapshot: Path
    job: StoreJob | None = None
    label: str = "compare"
    address: str = ""
    last_line: LastLine | None = None


def run(
    settings: Settings,
    inventory: str,
    remote: str,
    output: str | None,
    ignore_age: float | None,
    options: RunOptions,
    second: str | None = None,
) -> ExitCode:
    """Compare two lists and write the differences; with a ``second`` inventory, those to which that one agrees."""
    sources = [_source(settings, text) for text in (inventory, remote)]
    if second is not None and not os.path.isfile(second):
        raise CommandError(f"--second-inventory: expected a file, found {second!r}")
    store = _store_plan(output)
    configured, environment = _configured(settings)
    started = time.monotonic()
    with ExitStack() as stack, open_runtime(options, configured, "threads", environment, "compare") as actors:

        def scratch(name: str) -> Path:
            from tempfile import TemporaryDirectory

            return Path(stack.enter_context(TemporaryDirectory(prefix="dynamo-consistency-"))) / name

        # Of a list with the rows of several sites, those of the site that it is compared with are meant.
        site = next((source.site for source in sources if not isinstance(source, Path) and source.site), None)
        left, right = [
            _side(settings, source, scratch, options, site, of_store=source is sources[1]) for source in sources
        ]
        young_after = time.time() - ignore_age * 86400 if ignore_age else None
        tops = right.job.plan.header.tops if right.job else ()
        plan = ComparisonPlan(left.snapshot, right.snapshot, young_after, tops, whole_run=False)
        plan = replace(plan, last_line=left.last_line, remote_last_line=right.last_line)

        def with_second(plan: ComparisonPlan) -> ComparisonPlan:
            if second is None:
                return plan
            side = _second(settings, Path(second), scratch, site)
            return replace(plan, second=side.snapshot, last_line=side.last_line)

        results = _compare(actors, left, right, plan, store, with_second)
    found = results.comparison
    result = {
        "missing": found.missing,
        "missing_bytes": found.missing_size,
        "orphan": found.orphan,
        "orphan_bytes": found.orphan_size,
        "size_mismatch": found.size_mismatch,
        "protected": found.protected,
        "seconds": round(time.monotonic() - started, 3),
        "changed_meanwhile": found.meanwhile.total,
    }
    if options.as_json:
        import json

        print(json.dumps(result))
    else:
        show_findings(results)
    return of_result(
        options.exit_code, found.missing + found.orphan + found.size_mismatch, found.protected + found.unlisted
    )


def _source(settings: Settings, text: str) -> StoreSource | Path:
    # Two files can be compared without a configuration, which takes as long to load as they do to compare.
    if not settings.has_config_file and os.path.isfile(text):
        return Path(text)
    from storage.doors.source import FileSource, parse_source

    source = parse_source(text, settings.config)
    if isinstance(source, FileSource):
        return source.path
    from storage.doors.resolve import resolve

    return resolve(source)


def _store_plan(output: str | None) -> StorePlan:
    if output is None:
        return StorePlan(lists_only=True)
    directory, base = os.path.split(output)
    if not base:
        raise CommandError(f"-o: expected how the names of the lists begin, as in DIRECTORY/BASE, found {output!r}")
    return StorePlan(Path(directory or "."), base, lists_only=True)


def _configured(settings: Settings) -> tuple[str | None, str | None]:
    """Give the runtime of the configuration, and what it sets up on the nodes."""
    if not settings.has_config_file:
        return None, None
    site = settings.config.top_level()
    return site.runtime, site.runtime_env


def _side(
    settings: Settings,
    source: StoreSource | Path,
    scratch: Callable[[str], Path],
    options: RunOptions,
    rows_of: SiteConfig | None,
    of_store: bool,
) -> _Side:
    if isinstance(source, Path):
        return _file_side(settings, source, scratch, rows_of, of_store=of_store)
    from actors.jobs import store_job

    site = source.site or settings.config.top_level(source.label)
    snapshot = scratch("listing.snapshot")
    return _Side(
        snapshot, store_job(source, site, snapshot, options.listers, options.in_flight), source.label, source.address
    )


def _file_side(
    settings: Settings,
    path: Path,
    scratch: Callable[[str], Path],
    rows_of: SiteConfig | None,
    name: str = "inventory.snapshot",
    of_store: bool = False,
) -> _Side:
    if is_snapshot(path):
        if is_part(path):
            print(
                f"dynamo-consistency: warning: {path} is an unfinished listing; what it lacks is not judged",
                file=sys.stderr,
            )
        return _Side(path)
    from actors.jobs import inventory_into_snapshot

    snapshot = scratch(name)
    site = settings.config.top_level(path.name)
    owner, rse = ("", "") if rows_of is None else (rows_of.name, rows_of.rse)
    if rows_of is not None:
        # Where relative paths begin and how paths follow from names is as that site has it.
        rucio = rows_of.rucio and replace(rows_of.rucio, rse=rse or owner)
        site = replace(
            site, root_path=rows_of.root_path, rucio=rucio, backend=rows_of.backend, backends=rows_of.backends
        )
    counts = inventory_into_snapshot(path, snapshot, site, rows_of=owner, rse=rse, of_store=of_store)
    return _Side(snapshot, last_line=counts.last_line)


def _second(settings: Settings, path: Path, scratch: Callable[[str], Path], rows_of: SiteConfig | None) -> _Side:
    """Read the second inventory; an empty one would agree with no missing file and every orphan."""
    side = _file_side(settings, path, scratch, rows_of, "second.snapshot")
    if not Snapshot(side.snapshot).table.total_files():
        raise CommandError(f"--second-inventory: {path} names no file, so there is nothing to compare")
    return side


def _compare(
    actors: Runtime,
    left: _Side,
    right: _Side,
    plan: ComparisonPlan,
    store: StorePlan,
    refine: Callable[[ComparisonPlan], ComparisonPlan],
) -> Results:
    if left.job is not None:
        from actors.listing import list_store

        with overseen(left.label, left.address) as oversight:
            list_store(actors, left.job, oversight)
    with overseen(right.label, right.address) as oversight:
        if right.job is not None:
            return compare_with_store(actors, right.job, plan, store, oversight, refine)
        return compare_snapshots(actors, refine(plan), store, oversight)


def show_findings(results: Results) -> None:
    """Print what a comparison found, for people."""
    found = results.comparison
    if found.unlisted:
        print(f"unlisted:      {human_count(found.unlisted, 'directory', 'directories')}")
    print(f"missing:       {_files(found.missing, found.missing_size)}")
    print(f"orphan:        {_files(found.orphan, found.orphan_size)}")
    print(f"size mismatch: {human_count(found.size_mismatch, 'file')}")
    if found.protected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in found.reasons.items())
        print(f"not judged:    {human_count(found.protected, 'file')} (could not be seen: {reasons})")
    if found.kept:
        print(f"kept:          {human_count(found.kept, 'file')} that would be orphans (DeleteOrphans is off)")
    if found.ignored:
        print(f"ignored:       {human_count(found.ignored, 'file')} that differ (IgnoreDirectories)")
    if found.of_datasets:
        print(f"left alone:    {human_count(found.of_datasets, 'file')} that differ (of datasets that belong or go)")
    if found.meanwhile.total:
        print(f"dropped:       {found.meanwhile.words} (the inventory changed meanwhile)")
    if found.young:
        print(f"too young:     {human_count(found.young, 'file')}")
    for path in results.reports:
        # An exact form stands next to its list, under the same name.
        if not path.endswith(".jsonl"):
            print(f"written:       {path}")


def _files(count: int, size: int) -> str:
    # Where no size is known, as in a list of names, there are no bytes to speak of.
    return human_count(count, "file") + (f" ({human_bytes(size)})" if size else "")
