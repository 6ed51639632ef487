"""The doors of a site that names none: what its redirector, or a global one, says, kept in a file for some days.

A site's doors are those in the domain of its redirector. ``docs/doors.md`` explains the search to users,
``docs/formats.md`` the file. Whether the doors found may share the work is decided in `storage.doors.layout`.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from calendar import timegm
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

from storage.atomic import AtomicFile, ReportError
from storage.config.site import SiteConfig
from storage.door_url import check_authority
from storage.doors.locate import EVERYWHERE, DataServer, LocateError, locate
from storage.runs.directory import directory_name

_log = logging.getLogger(__name__)

_DAY = 86400.0
_DEFAULT_PORT = 1094
_TIMES = "%Y-%m-%dT%H:%M:%SZ"
_FOUND = re.compile(r"# found (\S+) by asking (.+)")
_MEMBER = "cluster"
_CLUSTERED = "# layout clustered"


class NoDoors(Exception):
    """No door of a site was found; the message is one line that says who was asked."""


@dataclass(frozen=True, slots=True)
class Doors:
    """The doors of a site, as ``host:port`` or URLs.

    ``members`` are those of a cluster, of which each may hold a part of the store. ``banned`` were found as well.
    """

    doors: tuple[str, ...]
    members: frozenset[str] = frozenset()
    banned: tuple[str, ...] = ()

    def renamed(self, name: Callable[[str], str]) -> Doors:
        """Write each door in another way."""
        members = frozenset([name(door) for door in self.members])
        return Doors(tuple(map(name, self.doors)), members, tuple(map(name, self.banned)))


@dataclass(frozen=True, slots=True)
class _Kept:
    found: float
    asked: str
    servers: tuple[DataServer, ...]
    clustered: bool = False


_Ask: TypeAlias = Callable[[str], tuple[DataServer, ...]]
"""Asks one redirector for the data servers behind it."""


def redirector_list(site: SiteConfig) -> Path:
    """Give the file that keeps the doors of a site."""
    return site.var_location / "redirectors" / f"{directory_name(site.name)}_redirector_list.txt"


def find_doors(site: SiteConfig, path: bytes, seconds: float, heed: Callable[[], None] = lambda: None) -> Doors:
    """Find the doors of a site, in its file or through redirectors, without those that are banned.

    ``path`` is where they have to have something; ``seconds`` is the time for one question. ``heed`` is called now and
    then, and may raise to give up.

    Raises:
        NoDoors: there are none, or nobody who could be asked.
    """
    asked = _asked_for(site)
    if not asked:
        raise NoDoors(
            f"the site {site.name} has no doors: set Sites.{site.name}.Doors to a list of URLs, or Redirectors or "
            "GlobalRedirectors to whom to ask for them"
        )
    file = redirector_list(site)
    kept = _kept(site)
    if kept is None or (site.redirector_age and not 0 <= time.time() - kept.found < site.redirector_age * _DAY):
        kept = _search(site, asked, file, kept, lambda redirector: locate(redirector, path, seconds, heed))
    servers = sorted(kept.servers, key=lambda server: server.door)
    banned = tuple([server.door for server in servers if _is_banned(server, site.banned_doors)])
    allowed = tuple([server.door for server in servers if server.door not in banned])
    if not allowed:
        raise NoDoors(f"the site {site.name} has no doors: BannedDoors has all that {kept.asked} named")
    return Doors(allowed, frozenset([server.door for server in servers if server.member]), banned)


@dataclass(frozen=True, slots=True)
class KeptDoors:
    """What the list of a site says: when (s) its doors were found, by asking whom, which (``host:port``), and where."""

    found: float
    asked: str
    doors: tuple[str, ...]
    file: Path


def kept_doors(site: SiteConfig) -> KeptDoors | None:
    """Give what was found when redirectors were last asked, if that is of use still; None otherwise."""
    kept = _kept(site)
    if kept is None:
        return None
    return KeptDoors(kept.found, kept.asked, tuple([server.door for server in kept.servers]), redirector_list(site))


def find_members(site: SiteConfig, seconds: float, heed: Callable[[], None] = lambda: None) -> tuple[DataServer, ...]:
    """Give all data servers of a site with a redirector, which is asked now, and all that were known before.

    Each may hold a part of the store, so one that is down now must not be forgotten.

    Raises:
        NoDoors: the redirector does not name them, and the site was not known for a cluster before.
    """
    assert site.redirector is not None
    kept, file = _kept(site), redirector_list(site)
    try:
        named = locate(site.redirector, EVERYWHERE.encode(), seconds, heed)
    except LocateError as error:
        if kept is None or not kept.clustered:
            raise NoDoors(f"the data servers of the site {site.name} are not known: {error}") from error
        _log.warning("%s; the data servers of %s are those of %s", error, site.name, file)
        return kept.servers
    before = () if kept is None else kept.servers
    gone = [old for old in before if not any(old.door == new.door or old.address == new.address for new in named)]
    if gone:
        _log.warning(
            "%s no longer names %s, which is taken for down; if it is gone for good, remove %s",
            site.redirector,
            ", ".join([server.door for server in gone]),
            file,
        )
    return tuple(sorted([*named, *gone], key=lambda server: server.door))


def keep_members(site: SiteConfig, servers: tuple[DataServer, ...]) -> None:
    """Remember that a site is a cluster, and of which data servers."""
    kept = _Kept(float(int(time.time())), ", ".join(_asked_for(site)), servers, True)
    try:
        _write(redirector_list(site), site.name, kept)
    except (ReportError, OSError) as error:
        _log.warning("the data servers of %s are not kept: %s", site.name, error)


def is_known_cluster(site: SiteConfig) -> bool:
    """Tell whether `keep_members` was told so before, with the same redirectors."""
    kept = _kept(site)
    return kept is not None and kept.clustered


def _asked_for(site: SiteConfig) -> list[str]:
    return [*filter(None, [site.redirector]), *site.global_redirectors]


def _kept(site: SiteConfig) -> _Kept | None:
    """Read the list of a site, if it came from whom the site would ask now."""
    kept = _read(redirector_list(site))
    return kept if kept is not None and kept.asked == ", ".join(_asked_for(site)) else None


def _search(site: SiteConfig, asked: list[str], file: Path, older: _Kept | None, ask: _Ask) -> _Kept:
    try:
        servers = _ask_redirectors(site, ask)
    except NoDoors as error:
        if older is None:
            raise
        _log.warning("%s; the list of %s is used on: %s", error, time.strftime(_TIMES, time.gmtime(older.found)), file)
        return older
    found = _Kept(float(int(time.time())), ", ".join(asked), servers)
    try:
        _write(file, site.name, found)
    except (ReportError, OSError) as error:
        _log.warning("the doors of %s are not kept: %s", site.name, error)
    return found


def _ask_redirectors(site: SiteConfig, ask: _Ask) -> tuple[DataServer, ...]:
    """Ask the site's redirector, and the global ones if that does not answer."""
    said: list[str] = []
    if site.redirector is not None:
        try:
            return ask(site.redirector)
        except LocateError as error:
            said.append(str(error))
    servers: dict[str, DataServer] = {}
    for redirector in site.global_redirectors:
        try:
            servers |= {server.door: server for server in ask(redirector)}
        except LocateError as error:
            said.append(str(error))
    if not servers:
        raise NoDoors(f"no doors of the site {site.name} were found: {'; '.join(said)}")
    return _of_site(site, tuple(servers.values()))


def _of_site(site: SiteConfig, servers: tuple[DataServer, ...]) -> tuple[DataServer, ...]:
    """Choose a site's doors among those of all sites, by their domain."""
    asked = ", ".join(site.global_redirectors)
    if site.redirector is not None:
        domain = domain_of(site.redirector)
        own = tuple([server for server in servers if domain_of(server.door) == domain])
        if not own:
            raise NoDoors(f"no doors of the site {site.name} were found: {asked} named none in the domain {domain}")
        return own
    domains = sorted({domain_of(server.door) for server in servers})
    if len(domains) > 1:
        raise NoDoors(
            f"which doors are those of the site {site.name}? {asked} named some in {', '.join(domains)}; set "
            f"Redirectors.{site.name} to a host in its domain"
        )
    return servers


def domain_of(authority: str) -> str:
    """Give the domain of ``host[:port]``: without its first part, unless it is an address or has fewer than three."""
    host = _host_of(authority).lower().rstrip(".")
    with suppress(ValueError):
        return str(ip_address(host))
    parts = host.split(".")
    return ".".join(parts[1:]) if len(parts) > 2 else host


def _host_of(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _is_banned(server: DataServer, banned: Iterable[str]) -> bool:
    return any(matches(door, entry) for door in (server.door, server.address) for entry in banned)


def matches(door: str, entry: str) -> bool:
    """Tell whether ``host[:port]`` is a door; without a port, whether it is the door's host."""
    if _host_of(door).lower() != _host_of(entry).lower():
        return False
    port = entry.rpartition("]")[2].partition(":")[2]
    return not port or int(port) == _port_of(door)


def is_server(server: DataServer, authority: str) -> bool:
    """Tell whether ``host[:port]`` is a data server, be it by another name for the same address."""
    port = _port_of(authority)
    for known in (server.door, server.address):
        if (_host_of(known).lower(), _port_of(known)) == (_host_of(authority).lower(), port):
            return True
    try:
        found = socket.getaddrinfo(_host_of(authority), port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return port == _port_of(server.address) and any(place[4][0] == _host_of(server.address) for place in found)


def _port_of(authority: str) -> int:
    return int(authority.rpartition("]")[2].partition(":")[2] or _DEFAULT_PORT)


def _read(file: Path) -> _Kept | None:
    """Read a list; None when there is none or, with a warning, when it makes no sense."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("%s: cannot be read, the doors are searched for again: %s", file, error)
        return None
    try:
        return _parse(text)
    except ValueError as error:
        _log.warning("%s: damaged, the doors are searched for again: %s", file, error)
        return None


def _parse(text: str) -> _Kept:
    head = None
    servers = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or (line.startswith("#") and _FOUND.fullmatch(line) is None):
            continue
        if line.startswith("#"):
            head = _FOUND.fullmatch(line)
            continue
        door, *rest = line.split()
        check_authority(door)
        if len(rest) > 2 or (len(rest) == 2 and rest[1] != _MEMBER):
            raise ValueError(f"line {number} is no door")
        address = rest[0] if rest else door
        check_authority(address)
        servers.append(DataServer(door, address, len(rest) == 2))
    if head is None or not servers:
        raise ValueError("it does not say who was asked and when, or names no door")
    clustered = _CLUSTERED in text.splitlines()
    return _Kept(float(timegm(time.strptime(head[1], _TIMES))), head[2], tuple(servers), clustered)


def _write(file: Path, site: str, kept: _Kept) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"# The doors of {site}: host:port, its address, and '{_MEMBER}' if it may hold a part of the store only.",
        "# Remove this file to have them searched for again.",
        f"# found {time.strftime(_TIMES, time.gmtime(kept.found))} by asking {kept.asked}",
    ]
    lines += [_CLUSTERED] * kept.clustered
    lines += [" ".join([s.door, s.address, *([_MEMBER] if s.member else [])]) for s in kept.servers]
    AtomicFile.clear_up(file)
    with AtomicFile(file) as written:
        written.write("\n".join(lines) + "\n")
