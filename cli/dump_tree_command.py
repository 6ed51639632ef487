"""The command ``dump-tree``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actors.trees import inventory_tree, remote_tree
from cli.display import human_bytes, human_count
from cli.exits import CommandError, ExitCode
from cli.output import must_be_writable
from cli.session import RunOptions, Settings, open_runtime, overseen
from engine.states import State
from engine.tree import DirectoryInfo
from storage.snapshot import Snapshot
from storage.trees.cache import TreeCache
from storage.trees.file import write_tree

if TYPE_CHECKING:
    from storage.config.site import SiteConfig


@dataclass(frozen=True, slots=True)
class DumpRequest:
    """What is to be dumped: the inventory of a site or what is there, under which name, and where to beside the cache.

    None: the only site, the usual name, nowhere else.
    """

    site: str | None = None
    remote: bool = False
    name: str | None = None
    output: Path | None = None
    display: bool = False


def run(settings: Settings, request: DumpRequest, options: RunOptions) -> ExitCode:
    """Save a tree and say where it is and what is in it."""
    if request.display and options.as_json:
        raise CommandError("--display and --json exclude each other: one object is all that --json prints")
    if request.output is not None:
        must_be_writable(request.output)
    site = _named(settings, request.site)
    key, usual = ("ListAge", "remote") if request.remote else ("InventoryAge", "inventory")
    cache = TreeCache.of(site, request.name or usual, key)
    tree = cache.open(_kind)
    cached = tree is not None
    if tree is None:
        tree = _made(settings, site, request, options)
        if not cache.store(tree):
            raise CommandError(f"{cache.path}: cannot be written")
    if request.output is not None:
        write_tree(tree, request.output, site.name)
    if request.display:
        tree.setup_hash()
        tree.display()
        return ExitCode.DONE
    result = _facts(cache.path)
    if options.as_json:
        print(json.dumps({"site": site.name, "tree": usual, "path": str(cache.path), "cached": cached, **result}))
    else:
        _show(site.name, usual, cached, result)
        for path in (cache.path, request.output):
            if path is not None:
                print(f"{'kept' if cached and path == cache.path else 'written'}: {path}")
    return ExitCode.DONE


def _kind(_site: str) -> type[DirectoryInfo]:
    return DirectoryInfo


def _named(settings: Settings, name: str | None) -> SiteConfig:
    config = settings.config
    if name is None:
        if len(config.sites) != 1:
            raise CommandError(f"which site? --site takes one of: {', '.join(config.sites) or 'none is configured'}")
        name = config.sites[0]
    return config.site(name)


def _made(settings: Settings, site: SiteConfig, request: DumpRequest, options: RunOptions) -> DirectoryInfo:
    if request.remote:
        with (
            open_runtime(options, site.runtime, "threads", site.runtime_env, "dump-tree", site.name) as actors,
            overseen(site.name, ", ".join(site.doors)) as oversight,
        ):
            return remote_tree(actors, site, _kind, oversight, None, options.listers, options.in_flight)
    from storage.backends import choose

    with overseen(site.name) as oversight:
        return inventory_tree(choose(settings.config, site), site, _kind, oversight)


def _facts(path: Path) -> dict[str, int]:
    snapshot = Snapshot(path)
    table = snapshot.table
    facts = {
        "files": table.total_files(),
        "directories": table.count(State.LISTED),
        "bytes": table.total_size(),
        "unlisted": sum(1 for _ in table.unlisted()),
    }
    snapshot.close()
    return facts


def _show(site: str, tree: str, cached: bool, facts: dict[str, int]) -> None:
    unlisted = f", {facts['unlisted']:,} more not listed" if facts["unlisted"] else ""
    print(
        f"{site}, {tree}{' (from the cache)' if cached else ''}: {human_count(facts['files'], 'file')} "
        f"({human_bytes(facts['bytes'])}) in {human_count(facts['directories'], 'directory', 'directories')}{unlisted}"
    )
