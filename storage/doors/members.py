"""Sites whose data servers each hold a part of the store: which servers there are, and whether all are known.

A server that is not asked is one whose files are called missing. So the members are those that the configuration
names, those that the redirector names, and those that it named before; who is banned or cannot be told is no member
that can be left out, but a reason to refuse the site.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum

from storage.config.site import CLUSTERED, SiteConfig
from storage.door_url import WEB_SCHEMES, DoorURL, parse_door, with_port, with_prefix
from storage.doors import layout
from storage.doors.locate import EVERYWHERE, About, DataServer, LocateError, ask_about, locate
from storage.doors.redirectors import NoDoors, find_members, is_known_cluster, is_server, keep_members, matches
from storage.doors.source import DoorsError
from storage.listers.protocol import GFAL, StoreSpec

_log = logging.getLogger(__name__)

AUTO = "auto"

_ABOUT_SECONDS = 5.0
"""How long a door may take to say what it is."""

_NOTHING = About()


def is_cluster(site: SiteConfig) -> bool:
    """Tell whether a site is listed as a cluster: it is called one, or was found to be one before."""
    return site.layout == CLUSTERED or (site.layout == AUTO and not site.use_load_balancer and is_known_cluster(site))


def is_open_ended(site: SiteConfig, known: int) -> bool:
    """Tell whether a cluster may have data servers beside the ``known`` ones, which nobody ever named.

    One that is down from the first run on is in no answer of the redirector. Only the configuration can know it: by
    `Doors`, which are then all, or by the number of data servers that there should be.
    """
    return not site.doors and not (site.data_servers and known >= site.data_servers)


class Standing(Enum):
    """What the only door of a site shows."""

    WHOLE = "all of the store, as far as it says"
    PART = "as a data server of a cluster, perhaps a part"
    UNKNOWN = "nothing yet, since it does not answer"


def look_at_door(site: SiteConfig, spec: StoreSpec, heed: Callable[[], None]) -> tuple[SiteConfig, Standing]:
    """Find out what the only door of a site is; one with several is told apart by what they show.

    A door that turns out to be a redirector gives the site with that redirector, and without doors. One that does not
    say what it is, as those of dCache and EOS, is a server by itself.

    Raises:
        DoorsError: its door is a redirector, or is called one, and does not say what is behind it.
    """
    called = site.layout == CLUSTERED
    if len(site.doors) != 1 or site.use_load_balancer or spec.method == GFAL or not (called or site.layout == AUTO):
        return site, Standing.WHOLE
    door = parse_door(site.doors[0])
    if door.scheme in WEB_SCHEMES and not called:
        return site, _standing_over_http(door, spec.timeout, heed)
    if door.scheme not in ("root", "roots"):
        return site, Standing.WHOLE
    behind = _of_redirector(site, door)
    if not called and is_known_cluster(behind):
        return behind, Standing.WHOLE
    about = about_door(site.doors[0], spec.timeout, heed)
    if about == _NOTHING and not called:
        if not _answers(site, spec, heed):
            return site, Standing.UNKNOWN
        # It may have come up meanwhile.
        about = about_door(site.doors[0], spec.timeout, heed)
    if about.is_member:
        return site, Standing.WHOLE if called else Standing.PART
    if called or about.is_redirector:
        return (behind if _is_redirector(site, door, about, spec, heed) else site), Standing.WHOLE
    return site, Standing.WHOLE


def _standing_over_http(door: DoorURL, seconds: float, heed: Callable[[], None]) -> Standing:
    """Find out what a door over HTTP shows, which XRootD says over its own protocol alone.

    That is spoken at the same port, or at the usual one of the same host, or not at all; then the door is believed.
    """
    from storage.listers.doors import Door
    from storage.listers.webdav.lister import is_xrootd

    speaks = is_xrootd(Door.parse(str(door)), min(seconds, _ABOUT_SECONDS))
    if not speaks:
        return Standing.WHOLE if speaks is False else Standing.UNKNOWN
    named = with_port(door.authority, door.scheme)
    host = named.rpartition(":")[0]
    for place in dict.fromkeys((named, f"{host}:1094")):
        about = about_door(f"root://{place}", seconds, heed)
        if about != _NOTHING:
            return Standing.PART if about.is_member else Standing.WHOLE
    return Standing.WHOLE


def about_door(door: str, seconds: float, heed: Callable[[], None]) -> About:
    """Ask a door, as a URL, what it is, which is over soon where it is not known what that means."""
    url = parse_door(door)
    if url.scheme not in ("root", "roots"):
        return _NOTHING
    return ask_about(str(DoorURL(url.scheme, url.authority)), min(seconds, _ABOUT_SECONDS), heed)


def _is_redirector(site: SiteConfig, door: DoorURL, about: About, spec: StoreSpec, heed: Callable[[], None]) -> bool:
    """Tell whether a door that may be a redirector is one; one that is has to name what is behind it."""
    if about.is_redirector and door.scheme != "root":
        raise DoorsError(
            f"the site {site.name}: its door is a redirector, and its data servers are found over root:// only; set "
            f"Sites.{site.name}.Doors to all of them and Layout to clustered or shared"
        )
    try:
        named = locate(door.authority, EVERYWHERE.encode(), spec.timeout, heed)
    except LocateError as error:
        # Through a redirector the store shows what one data server has, without a word about the others.
        raise DoorsError(
            f"the site {site.name}: which servers are behind its door is not known: {error}; if that shows the "
            f"whole store by itself, set Sites.{site.name}.Layout to shared"
        ) from error
    if not about.is_redirector and any(is_server(server, door.authority) for server in named):
        return False
    _log.info("%s: %s is a redirector with %d data servers", site.name, door.authority, len(named))
    return True


def _of_redirector(site: SiteConfig, door: DoorURL) -> SiteConfig:
    prefix = door.path or site.path_prefix
    return replace(site, doors=(), redirector=door.authority, global_redirectors=(), path_prefix=prefix)


def _answers(site: SiteConfig, spec: StoreSpec, heed: Callable[[], None]) -> bool:
    with layout.panel(spec, heed) as asked:
        return bool(layout.answering(asked, (site.root_path, *site.directories)))


def members(site: SiteConfig, seconds: float, heed: Callable[[], None]) -> tuple[str, ...]:
    """Give the doors, as URLs, of all members of a site that is listed as a cluster; some may be down.

    ``seconds`` is the time for one question to its redirector.

    Raises:
        DoorsError: not all members are known, or one must not be asked.
        NoDoors: nobody names them.
    """
    if site.use_load_balancer:
        raise DoorsError(
            f"the site {site.name}: UseLoadBalancer lists through one door, and Layout clustered through all"
        )
    if site.redirector is None:
        if not site.doors:
            raise NoDoors(
                f"the site {site.name} has no doors: for a cluster set Redirectors.{site.name} to who names its data "
                f"servers, or Sites.{site.name}.Doors to all of them"
            )
        return _unless_banned(site, site.doors)
    try:
        servers = find_members(site, seconds, heed)
    except NoDoors as error:
        if not site.doors:
            raise
        _log.warning("%s; those of %s are its Doors", error, site.name)
        return _unless_banned(site, site.doors)
    doors = _all_of(site, servers)
    keep_members(site, servers)
    return doors


def members_found(site: SiteConfig, spec: StoreSpec, refusal: str, heed: Callable[[], None]) -> tuple[str, ...]:
    """Give the doors of all members of a site whose doors turned out to hold parts, and remember it.

    Raises:
        DoorsError: whether these are all is not known; ``refusal`` says why the doors cannot be used otherwise.
    """
    if site.redirector is None or site.use_load_balancer:
        raise DoorsError(f"{refusal}, or Sites.{site.name}.Layout to clustered if they hold a part of it each")
    try:
        servers = find_members(site, spec.timeout, heed)
    except NoDoors as error:
        raise DoorsError(f"{refusal}; {error}") from error
    doors = _all_of(site, servers)
    with layout.panel(replace(spec, doors=doors), heed) as asked:
        heard = layout.answering(asked, (site.root_path, *site.directories))
    silent = [door for position, door in enumerate(doors) if position not in heard]
    if silent:
        raise DoorsError(f"{refusal}; {', '.join(silent)} does not answer")
    keep_members(site, servers)
    names = ", ".join([server.door for server in servers])
    _log.warning(
        "%s: its %d data servers each hold a part of the store, listed as a cluster: %s", site.name, len(doors), names
    )
    return doors


def _all_of(site: SiteConfig, servers: Sequence[DataServer]) -> tuple[str, ...]:
    """Compare what the redirector names with what the configuration does; gives the doors of all."""
    if not site.doors:
        doors = tuple([with_prefix(f"root://{server.door}", site.path_prefix) for server in servers])
        if len(doors) == 1:
            raise DoorsError(
                f"the site {site.name}: only {servers[0].door} of its cluster is known, and what others may hold would "
                f"be called missing; set Sites.{site.name}.Doors to all data servers"
            )
        return _unless_banned(site, doors, servers)
    expected = {door: parse_door(door).authority for door in site.doors}
    for server in servers:
        if not any(is_server(server, authority) for authority in expected.values()):
            raise DoorsError(
                f"the site {site.name}: its redirector names {server.door}, which is not among its Doors, and what "
                "that holds would be called missing"
            )
    for authority in expected.values():
        if not any(is_server(server, authority) for server in servers):
            _log.warning("%s: its redirector does not name %s, which is among its Doors", site.name, authority)
    return _unless_banned(site, site.doors, servers)


def _unless_banned(site: SiteConfig, doors: tuple[str, ...], servers: Sequence[DataServer] = ()) -> tuple[str, ...]:
    known = [parse_door(door).authority for door in doors]
    known += [place for server in servers for place in (server.door, server.address)]
    for authority in known:
        if any(matches(authority, entry) for entry in site.banned_doors):
            raise DoorsError(
                f"the site {site.name}: {authority} is one of BannedDoors, and what it holds of the cluster would be "
                "called missing"
            )
    return tuple([with_prefix(door, site.path_prefix) for door in doors])
