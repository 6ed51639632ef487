"""What is wrong with a configuration: beyond its values, how they go together, and what they name on this machine.

Each rule is asked of whoever goes by it in a run. Nobody is asked over the network.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import paths
from storage.answers.places import why_not_writable
from storage.backends import BackendError, choose
from storage.backends.file_inventory import why_no_file
from storage.backends.protocols import SiteSettings
from storage.config.files import ConfigError
from storage.config.loading import Config
from storage.config.origins import Origin
from storage.config.problems import Problem
from storage.config.published import BLOT, without_secrets
from storage.config.site import SiteConfig
from storage.doors.own_files import keep_apart
from storage.doors.redirectors import NoDoors
from storage.doors.resolve import allowed, needs_program
from storage.doors.source import DoorsError, SourceError, site_source
from storage.listers.factory import check_doors
from storage.listers.protocol import DIRECTX, GFAL
from storage.removers.factory import why_not
from storage.shown import printable, quoted
from storage.unmerged.settings import unmerged_settings

_BY_SITE = ("AccessMethod", "PathPrefix", "Redirectors", "AdditionalLogDeletions", "UseLoadBalancer", "Unmerged")
_PATHS = ("RootPath", "DirectoryList", "PathPrefix", "Inventory", "Dump", "VarLocation", "WebDir", "MetricsDir")
_PLACES: tuple[tuple[str, Callable[[SiteConfig], Path | None]], ...] = (
    ("VarLocation", lambda site: site.var_location),
    ("WebDir", lambda site: site.web_dir),
    ("MetricsDir", lambda site: site.metrics_dir),
)


def problems_of(path: Path | None, environment: Mapping[str, str]) -> tuple[list[Problem], tuple[str, ...]]:
    """Give everything that is wrong with a configuration file, or without one with the defaults, and name its sites.

    What follows from a value that is wrong by itself is not said besides.
    """
    try:
        config, wrong = Config.salvage(path, environment)
    except ConfigError as error:
        where = "" if path is None else printable(str(path))
        return [replace(problem, place=where) for problem in error.found], ()
    known = {(problem.site, _plain(problem.key)) for problem in wrong}
    found = [*wrong]
    for problem in _further(config):
        key = _plain(problem.key)
        if (problem.site, key) not in known and ("", key) not in known:
            found.append(problem)
    return list(dict.fromkeys(found)), config.sites


def _plain(key: str) -> str:
    return key.partition("[")[0].partition(".")[0]


def _further(config: Config) -> Iterator[Problem]:
    say = _Words(config)
    yield from _of_file(config, say)
    for name in config.sites or ("",):
        site = config.site(name) if name else config.top_level()
        yield from _of_places(site, say)
        yield from _of_backends(config, site, say)
        if name:
            yield from _of_store(config, site, say)
            yield from _of_inventory(site, say)
            yield from _of_unmerged(site, say)


class _Words:
    """Makes problems; one of a value that all sites share is said once, of the top level."""

    def __init__(self, config: Config) -> None:
        self._place = "" if config.path is None else printable(str(config.path))
        self._origins = {
            name: {setting.key: setting.origin for setting in config.settings(name)} for name in ("", *config.sites)
        }

    def __call__(self, key: str, site: str, wrong: str, advice: str, minor: bool = False) -> Problem:
        place = "environment" if self._origins[site].get(_plain(key)) == Origin.ENVIRONMENT else self._place
        where = f"Sites.{site}." if site else ""
        line = f"{place or 'defaults'}: {where}{key}: {wrong}; {advice}"
        return Problem(line, key, site, wrong, advice, place, minor=minor)

    def shared(self, key: str, site: str, wrong: str, advice: str) -> Problem:
        """Make one that is about no site where the value is not the site's own."""
        return self(key, site if self._origins[site].get(_plain(key)) == Origin.SITE else "", wrong, advice)

    def of(self, key: str, site: str, error: Exception, advice: str) -> Problem:
        """Take what an error says apart; ``advice`` is for one that gives none."""
        wrong, _, told = str(error).partition("; ")
        return self(key, site, wrong, told or advice)


def _of_file(config: Config, say: _Words) -> Iterator[Problem]:
    given = config.given
    for key, text in _texts(given):
        if BLOT in text:
            copy = "this is a copy without its secrets, as the one beside the page; give the original with --config"
            yield say(key, "", f"{BLOT} stands for what nobody else may know", copy)
    if config.path is not None and without_secrets(given) != given and _is_read_by_others(config.path):
        yield say(
            "",
            "",
            "it holds what may be a password or a token, and all users can read it",
            f"chmod o= {printable(str(config.path))}",
            True,
        )
    for key in sorted(config.overridden):
        if key in config.in_file or any(key in own for own in _own_keys(given)):
            wrong = f"the environment variable {key} goes before what the file says, for every site"
            yield say(key, "", wrong, "unset it unless that is meant", True)
    sites = given.get("Sites")
    own = {name: sites[name] for name in config.sites if name in sites} if isinstance(sites, Mapping) else {}
    for site, keys in {"": given, **own}.items():
        for key, text in _texts({key: keys.get(key) for key in _PATHS} if isinstance(keys, Mapping) else {}):
            if text != text.strip():
                wrong = f"{quoted(text)} begins or ends with a blank"
                yield say(key, site, wrong, "take it out, unless the directory or file is called so", True)
    if not config.sites:
        if not _lists_sites(config.top_level()):
            yield say("Sites", "", "no site stands here", "name each under Sites, unless a backend lists them", True)
        return
    for key in _BY_SITE:
        for name in given.get(key) or ():
            if name not in config.sites:
                wrong = f"it names {quoted(str(name))}, which does not stand under Sites"
                yield say(key, "", wrong, f"correct the name; known: {', '.join(config.sites)}", True)


def _lists_sites(site: SiteConfig) -> bool:
    """Tell whether the sites are those that a backend lists, by the settings of the top level."""
    match dict(site.backends).get("sites", site.backend):
        case "files":
            return False
        case "rucio":
            return site.rucio is not None and site.rucio.rse_expression is not None
        case "sql":
            return site.sql is not None and site.sql.sites is not None
        case _:
            return True


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    match value:
        case Mapping():
            for name, inner in value.items():
                yield from _texts(inner, f"{key}.{name}" if key else str(name))
        case list():
            for place, inner in enumerate(value):
                yield from _texts(inner, f"{key}[{place}]")
        case str():
            yield key, value


def _own_keys(given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    sites = given.get("Sites")
    if isinstance(sites, Mapping):
        yield from (own for own in sites.values() if isinstance(own, Mapping))


def _is_read_by_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _of_places(site: SiteConfig, say: _Words) -> Iterator[Problem]:
    for key, place in _PLACES:
        directory = place(site)
        wrong = why_not_writable(directory) if directory is not None else ""
        if wrong:
            yield say.shared(key, site.name, wrong, "name another directory, or let this user write there")


def _of_backends(config: Config, site: SiteConfig, say: _Words) -> Iterator[Problem]:
    try:
        choose(config, site)
    except (BackendError, ConfigError) as error:
        key, _, wrong = str(error).partition(": ")
        if not key.startswith("Backend"):
            key, wrong = "Backend", str(error)
        what, _, advice = wrong.partition("; ")
        if not advice or advice.startswith("valid: "):
            what, advice = wrong, "name one that is there; see docs/backends.md"
        yield say.shared(key, site.name, what, advice)
    if site.rucio is not None and "rucio" in (site.backend, *dict(site.backends).values()):
        for part, path in (("Config", site.rucio.config), ("StorageJSON", site.rucio.storage_json)):
            if path is not None and (why := why_no_file(path)):
                wrong = f"{printable(str(path))} {why}"
                yield say.shared(f"Rucio.{part}", site.name, wrong, "name the file that is meant")


def _of_store(config: Config, site: SiteConfig, say: _Words) -> Iterator[Problem]:
    try:
        store = site_source(site)
    except SourceError as error:
        if site.access_method != "RAL-Reader" and _may_have_doors(config, site):
            return
        yield say.of("Dump" if site.access_method == "RAL-Reader" else "Doors", site.name, error, "set it")
        return
    if site.access_method == "RAL-Reader":
        missing = site.dump is not None and why_no_file(site.dump)
        if missing:
            wrong = f"{printable(str(site.dump))} {missing}"
            yield say("Dump", site.name, wrong, "name the file with what the store holds")
    else:
        yield from _of_doors(site, say)
    try:
        keep_apart(site, store)
    except DoorsError as error:
        key = str(error).partition(": ")[2].partition(",")[0]
        yield say.of(key, site.name, error, "set it to another place")
    wrong, _, advice = why_not(site, site.store_spec()).partition("; ")
    if wrong:
        yield say("Deletion", site.name, wrong, advice)
    ignored = site.left_alone
    for top in site.directories:
        if ignored(top):
            wrong = f"it leaves out all of {paths.escape(top)}, which DirectoryList names"
            yield say("IgnoreDirectories", site.name, wrong, "take that part out, or the directory")


def _may_have_doors(config: Config, site: SiteConfig) -> bool:
    """Tell whether the doors of a site may be among what its backend knows of it, as the attributes of an RSE are."""
    try:
        return isinstance(choose(config, site).sites, SiteSettings)
    except (BackendError, ConfigError):
        # That is said of the backend.
        return True


def _of_doors(site: SiteConfig, say: _Words) -> Iterator[Problem]:
    spec = site.store_spec()
    method = "AccessMethod" if spec.method in (DIRECTX, GFAL) else "Doors"
    try:
        needs_program(spec, site)
        check_doors(spec)
    except (DoorsError, ValueError, ImportError, AttributeError) as error:
        # The latter two are those of a lister that another package brings.
        yield say.of(method, site.name, error, "install what it needs, or choose another one; see docs/doors.md")
    if spec.doors and not site.use_load_balancer:
        try:
            allowed(site, spec.doors)
        except NoDoors as error:
            yield say.of("BannedDoors", site.name, error, "take one of them out")


def _of_inventory(site: SiteConfig, say: _Words) -> Iterator[Problem]:
    if dict(site.backends).get("inventory", site.backend) != "files":
        return
    named = {"Inventory": site.inventory}
    if isinstance(site.second_inventory, Path):
        named["SecondInventory"] = site.second_inventory
    for key, path in named.items():
        if path is None:
            advice = f"set Sites.{site.name}.Inventory to the file with what should be at the site"
            yield say(key, site.name, "there is none, so that nothing can be compared", advice)
        elif why := why_no_file(path):
            yield say(key, site.name, f"{printable(str(path))} {why}", "name the file with what should be at the site")


def _of_unmerged(site: SiteConfig, say: _Words) -> Iterator[Problem]:
    if not site.unmerged:
        return
    try:
        unmerged_settings(site, more_logs=bool(site.additional_log_deletions))
    except ConfigError as error:
        for line in error.problems:
            key, _, wrong = line.removeprefix(f"{site.name}: ").partition(": ")
            known = key if key.split(".")[0] in ("ListDeletable", "AdditionalLogDeletions") else "IgnoreDirectories"
            yield say(known, site.name, wrong or key, "see docs/unmerged.md, settings")
