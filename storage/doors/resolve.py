"""From the settings of a site to a store that can be listed: the step that asks the network.

Reading a configuration asks nobody. Whoever is about to list calls `resolve`, once: it finds the doors of a site that
names none, makes sure that they may share the work, finds out about the prefix that CMS sites have, and reads a dump.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from engine import paths
from storage.config.site import SiteConfig
from storage.door_url import GFAL_SCHEMES, with_prefix
from storage.doors import layout, members
from storage.doors.hollow import heed_hollow
from storage.doors.members import Standing
from storage.doors.redirectors import Doors, NoDoors, find_doors, matches
from storage.doors.source import DoorsError, StoreSource
from storage.listers.protocol import DIRECTX, GFAL, StoreSpec

_log = logging.getLogger(__name__)

CMS_PREFIX = b"/cms"
"""Tried once for a site without PathPrefix whose directories are not there."""

_PATIENCE = 15.0
"""Seconds that a question may take at most here, where a handful is asked."""


def resolve(source: StoreSource, heed: Callable[[], None] = lambda: None) -> StoreSource:
    """Give the store to list, with doors that answer for all of it; what names no site stays as it is.

    For the site's doors see ``docs/doors.md``. It asks the doors, and redirectors if need be, which takes about a
    second, or some timeouts where nobody answers. ``heed`` is called now and then, and may raise to give up.

    Raises:
        DoorsError: the site cannot be listed in a way that could be trusted.
    """
    site = source.site
    if site is None:
        return source
    if site.access_method == "RAL-Reader":
        return _of_dump(source, site, heed)
    needs_program(source.spec, site)
    patient = replace(source.spec, timeout=min(source.spec.timeout, _PATIENCE))
    try:
        site, standing = members.look_at_door(site, patient, heed)
        if members.is_cluster(site):
            return replace(source, spec=_of_cluster(site, source.spec, patient, heed))
        shown = _as_it_stands(site, source.spec, standing)
        if standing == Standing.PART:
            return replace(source, spec=shown)
        spec = replace(shown, doors=shown.doors if site.doors or site.use_load_balancer else ())
        found = _discovered(site, spec, heed)
        with layout.panel(replace(patient, doors=found.doors), heed) as asked:
            prefix = _missing_prefix(asked, site, found.doors)
        found = found.renamed(lambda door: with_prefix(door, prefix))
        doors, refusal = _agreeing(site, replace(patient, doors=found.doors), found, heed)
        if refusal and site.layout == members.AUTO and not found.banned:
            site = replace(site, path_prefix=prefix or site.path_prefix)
            doors = members.members_found(site, patient, refusal, heed)
        elif refusal:
            raise DoorsError(refusal)
    except NoDoors as error:
        raise DoorsError(str(error)) from error
    except ValueError as error:
        raise DoorsError(f"the site {site.name}: {error}") from error
    spec = replace(shown, doors=doors, clustered=bool(refusal))
    return replace(source, spec=_open_ended(site, spec, patient, heed) if refusal else spec)


def _of_cluster(site: SiteConfig, spec: StoreSpec, patient: StoreSpec, heed: Callable[[], None]) -> StoreSpec:
    """Give all members of a cluster, those that are down as well: what they hold is then unlisted, and not missing."""
    doors = members.members(site, patient.timeout, heed)
    directories = (site.root_path, *site.directories)
    with layout.panel(replace(patient, doors=doors), heed) as asked:
        heard = layout.answering(asked, directories)
        prefix = _prefix_of_parts(asked, site, doors, heard)
    silent = [_authority(door) or door for position, door in enumerate(doors) if position not in heard]
    if silent:
        # Any directory may be on it.
        _log.warning("%s: %s does not answer, so nothing can be listed completely", site.name, ", ".join(silent))
    spec = replace(spec, doors=tuple([with_prefix(door, prefix) for door in doors]), clustered=True)
    return _open_ended(site, spec, patient, heed)


def _open_ended(site: SiteConfig, spec: StoreSpec, patient: StoreSpec, heed: Callable[[], None]) -> StoreSpec:
    """Say of a cluster whether all of its data servers are known for sure, and show what they have."""
    shown = heed_hollow(site.name, replace(patient, doors=spec.doors), site.root_path, site.directories, heed)
    spec = replace(spec, open_ended=shown.open_ended, hollow=shown.hollow)
    if not members.is_open_ended(site, len(spec.doors)):
        return spec
    wanted = f"and there should be {site.data_servers}" if site.data_servers else "and how many there are is not set"
    _log.warning(
        "%s: %d data servers are known, %s, so no file is called missing: set Sites.%s.DataServers to their number, or "
        "Doors to all of them",
        site.name,
        len(spec.doors),
        wanted,
        site.name,
    )
    return replace(spec, open_ended=True)


def _as_it_stands(site: SiteConfig, spec: StoreSpec, standing: Standing) -> StoreSpec:
    """Say of a store whether its only door may show a part of it."""
    if standing == Standing.WHOLE:
        return spec
    door = _authority(spec.doors[0])
    if standing == Standing.PART:
        _log.warning(
            "%s: no file is called missing: its only door, %s, has a redirector above it, and nothing tells whether it "
            "shows all files of the site or only its own; if all, as the gateway of a shared file system does, set "
            "Sites.%s.Layout to shared; if other servers have files of their own, remove its Doors and set "
            "Redirectors.%s to the redirector",
            site.name,
            door,
            site.name,
            site.name,
        )
    else:
        # As a rule the run fails next, and one line about that is enough on a screen.
        _log.info(
            "%s: its only door, %s, does not answer; should it come back, no file is called missing in this run, since "
            "it may be a redirector; set Sites.%s.Layout to shared if it shows the whole store",
            site.name,
            door,
            site.name,
        )
    return replace(spec, open_ended=True)


def _of_dump(source: StoreSource, site: SiteConfig, heed: Callable[[], None]) -> StoreSource:
    # Loaded here because reading a dump takes what reads inventories, which other sites need not wait for.
    from storage.backends.file_inventory import lfn_to_path_of
    from storage.backends.protocols import BackendError
    from storage.backends.rucio.naming import mark_of_paths
    from storage.listers.dump_file import DumpError, dump_made, prepared, refuse_old
    from storage.snapshot import MISFITS, UNREAD, Snapshot

    if site.dump is None:
        raise DoorsError(f"the site {site.name} is read from a dump: set Sites.{site.name}.Dump to its file")
    try:
        made = dump_made(site.dump)
        refuse_old(site.dump, made, site.dump_age)
        directory, allowed = site.var_location / "dumps", site.max_malformed
        snapshot = prepared(
            site.dump,
            directory,
            site.root_path,
            site.path_prefix,
            site.name,
            heed,
            allowed,
            site.rse,
            lfn_to_path_of(site),
            "" if site.rucio is None else mark_of_paths(site.rucio),
        )
    except DumpError as error:
        raise DoorsError(f"the site {site.name}: {error}", error.refusal) from error
    except BackendError as error:
        raise DoorsError(f"the site {site.name}: dump {site.dump}: {error}") from error
    spec = replace(source.spec, doors=(f"dump://{snapshot.absolute()}",))
    extra = Snapshot(snapshot).header.extra
    unread = str(extra.get(UNREAD, ""))
    if MISFITS in extra:
        so = "; it may be of any file, so that none is called missing" if unread else ""
        _log.warning("%s: dump %s: %s%s", site.name, site.dump, extra[MISFITS], so)
    return replace(source, spec=spec, as_of=made.at, unread=unread)


def needs_program(spec: StoreSpec, site: SiteConfig) -> None:
    """Say at once what a hundred directories would say one by one.

    Raises:
        DoorsError: the access method runs a program that is not there, or is another one than the doors want.
    """
    only_gfal = [door for door in spec.doors if door.partition(":")[0] in GFAL_SCHEMES]
    if only_gfal and spec.method != GFAL:
        raise DoorsError(f"the site {site.name}: {only_gfal[0]} is for gfal-ls; set AccessMethod.{site.name} to SRM")
    try:
        if spec.method == GFAL:
            from storage.listers.gfal import find_gfal

            find_gfal()
        elif spec.method == DIRECTX:
            from storage.listers.directx import find_xrdfs

            find_xrdfs()
    except ValueError as error:
        raise DoorsError(str(error)) from error


def _discovered(site: SiteConfig, spec: StoreSpec, heed: Callable[[], None]) -> Doors:
    """Give the doors as URLs."""
    if spec.doors and not site.use_load_balancer:
        return allowed(site, spec.doors)
    seconds = min(site.timeout, _PATIENCE)
    path = site.path_prefix + site.root_path
    if not spec.doors:
        return _as_urls(find_doors(site, path, seconds, heed), site)
    balancer = spec.doors[:1]
    if site.redirector is None and not site.global_redirectors:
        return Doors(balancer)
    try:
        behind = _as_urls(find_doors(replace(site, doors=(), banned_doors=()), path, seconds, heed), site)
    except NoDoors as error:
        if site.redirector is not None:
            raise NoDoors(
                f"{error}; whether {_authority(balancer[0])} shows the whole store cannot be told; name it in "
                f"Sites.{site.name}.Doors, without UseLoadBalancer, if it does"
            ) from error
        _log.warning("%s: whether %s shows the whole store is not known", error, balancer[0])
        return Doors(balancer)
    _must_show_all(site, replace(spec, timeout=seconds), balancer[0], behind, heed)
    return Doors(balancer)


def allowed(site: SiteConfig, doors: tuple[str, ...]) -> Doors:
    """Leave out the doors that are banned.

    Raises:
        NoDoors: they all are.
    """
    kept = tuple([door for door in doors if not any(matches(_authority(door), entry) for entry in site.banned_doors)])
    if not kept:
        raise NoDoors(f"the site {site.name} has no doors: BannedDoors has all of its Doors")
    return Doors(kept)


def _authority(door: str) -> str:
    return door.partition("://")[2].partition("/")[0]


def _as_urls(found: Doors, site: SiteConfig) -> Doors:
    return found.renamed(lambda door: with_prefix(f"root://{door}", site.path_prefix))


def _missing_prefix(asked: layout.Panel, site: SiteConfig, doors: Sequence[str]) -> bytes:
    """Find out whether the site's directories are only there behind the prefix of CMS; empty if not."""
    if site.path_prefix or any("/" in door.partition("://")[2] for door in doors):
        return b""
    plain = (site.root_path, *site.directories)
    prefixed = tuple([CMS_PREFIX + path for path in plain])
    for door in range(len(asked)):
        there = layout.is_there(asked, door, plain)
        if there:
            return b""
        if there is False:
            if not layout.is_there(asked, door, prefixed):
                return b""
            _warn_of_prefix(site)
            return CMS_PREFIX
    return b""


def _prefix_of_parts(asked: layout.Panel, site: SiteConfig, doors: Sequence[str], heard: Sequence[int]) -> bytes:
    """Do as `_missing_prefix`, for doors of which none has to have any of the directories."""
    if site.path_prefix or any("/" in door.partition("://")[2] for door in doors):
        return b""
    plain = (site.root_path, *site.directories)
    prefixed = tuple([CMS_PREFIX + path for path in plain])
    if not heard or any(layout.is_there(asked, door, plain) is not False for door in heard):
        return b""
    if not any(layout.is_there(asked, door, prefixed) for door in heard):
        return b""
    _warn_of_prefix(site)
    return CMS_PREFIX


def _warn_of_prefix(site: SiteConfig) -> None:
    root = paths.escape(site.root_path)
    _log.warning("%s: %s is not there, and %s%s is: listed with the PathPrefix /cms", site.name, root, "/cms", root)


def _agreeing(site: SiteConfig, spec: StoreSpec, found: Doors, heed: Callable[[], None]) -> tuple[tuple[str, ...], str]:
    """Give the doors that all show the same, or else say in what they differ, and what can be done."""
    doors = found.doors
    if len(doors) == 1 and not found.members:
        return doors, ""
    directories = (site.root_path, *site.directories)
    names = [_authority(door) or door for door in (*doors, *found.banned)]
    with layout.panel(replace(spec, doors=(*doors, *found.banned)), heed) as asked:
        heard = layout.answering(asked, directories)
        banned = [position for position in heard if position >= len(doors)]
        heard = [position for position in heard if position < len(doors)]
        if len(heard) == 1 and doors[heard[0]] in found.members and (len(doors) > 1 or not found.banned):
            raise DoorsError(
                f"the site {site.name}: only {names[heard[0]]} of its cluster answers, and what others may hold would "
                f"be called missing; set Sites.{site.name}.Doors to it if it holds the whole store"
            )
        difference = layout.find_difference(asked, heard, site.root_path, site.directories, bool(found.members))
        if difference is None and heard and banned:
            # A ban makes no door the whole store: what the banned one has besides would be called missing.
            difference = layout.find_gap(asked, heard[0], banned, site.root_path, site.directories)
    if difference is not None:
        refusal = (
            f"the site {site.name}: its doors do not show the same store: {difference.describe(names)}; set "
            f"Sites.{site.name}.Doors to doors that each answer for the whole store"
        )
        return doors, refusal
    # A data server that could not be compared may come back with a part of its own.
    if found.members and heard:
        return tuple([doors[position] for position in heard]), ""
    _must_not_be_parts(site, spec, [door for position, door in enumerate(doors) if position in heard], heed)
    return doors, ""


def _must_not_be_parts(site: SiteConfig, spec: StoreSpec, heard: Sequence[str], heed: Callable[[], None]) -> None:
    """Refuse data servers that an operator wrote down when some could not be compared: they may hold another part."""
    if site.layout != members.AUTO or spec.method == GFAL or len(heard) == len(site.doors):
        return
    for door in heard:
        if members.about_door(door, spec.timeout, heed).is_member:
            raise DoorsError(
                f"the site {site.name}: only {len(heard)} of its {len(site.doors)} doors answer, and "
                f"{_authority(door)} is a data server of a cluster; set Sites.{site.name}.Layout to shared if each "
                "door shows the whole store, or to clustered if each holds a part"
            )


def _must_show_all(site: SiteConfig, spec: StoreSpec, balancer: str, behind: Doors, heed: Callable[[], None]) -> None:
    """Refuse a redirector that shows a part of what its data servers hold, or will when one of them goes down."""
    # One that does not say whether it is a member is one, if there is a cluster.
    parts = [door for door in behind.doors if door != balancer] if behind.members else []
    if not parts:
        return
    names = [_authority(door) for door in (balancer, *parts)]
    directories = (site.root_path, *site.directories)
    with layout.panel(replace(spec, doors=(balancer, *parts)), heed) as asked:
        heard = layout.answering(asked, directories)
        silent = [name for position, name in enumerate(names) if position not in heard]
        if silent:
            raise DoorsError(
                f"the site {site.name}: {', '.join(silent)} does not answer, so whether {names[0]} shows the whole "
                "store cannot be told"
            )
        if len(parts) == 1:
            raise DoorsError(
                f"the site {site.name}: only {names[1]} is behind its load balancer, and what others may hold would be "
                f"called missing; set Sites.{site.name}.Doors to it if it holds the whole store"
            )
        difference = layout.find_gap(asked, 0, heard[1:], site.root_path, site.directories)
        if difference is not None:
            raise DoorsError(
                f"the site {site.name}: its load balancer does not show the whole store: {difference.describe(names)}"
            )
        # xrdfs puts together what they hold. When one goes down, its part is denied, also to a question of its own.
        difference = layout.find_difference(asked, heard[1:], site.root_path, site.directories, True)
    if difference is not None:
        raise DoorsError(
            f"the site {site.name}: behind its load balancer are servers that do not show the same store: "
            f"{difference.describe(names)}; what one of them holds would be called missing when that one goes down"
        )
