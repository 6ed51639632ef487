"""What stands for SOURCE on the command line: a site, a store behind a URL, a directory, or a file that was saved."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from engine import paths
from engine.gates import Refusal
from storage.config.site import KnownSites, SiteConfig
from storage.door_url import GFAL_SCHEMES, S3_SCHEMES, WEB_SCHEMES, DoorURL, is_url, parse_door
from storage.listers.protocol import StoreSpec
from storage.shown import printable, quoted

_FORMS = (
    "a site of the configuration, root://host[:port]//path, roots://host[:port]//path, davs://host[:port]/path, "
    "s3://host[:port]/bucket/path, file:///path, or a directory or file on disk"
)


class SourceError(Exception):
    """A SOURCE cannot be understood or used; the message is one line."""


class DoorsError(SourceError):
    """A site cannot be listed: no doors, doors that disagree, a program that is missing, or no dump; one line.

    ``refusal`` is the gate that closed, if one did.
    """

    def __init__(self, message: str, refusal: Refusal | None = None) -> None:
        super().__init__(message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class StoreSource:
    """Something to list: ``tops`` are absolute canonical LFNs. ``site`` is None unless the configuration names it.

    A site may have no doors yet: `storage.doors.resolve.resolve` gives the store to list. ``as_of`` is the time, in
    seconds since the epoch, up to which the store is known, when that is not the time of the listing: what changed
    later cannot be judged. ``unread`` says which lines of a dump could not be read, empty when all were: what is not in
    it may be there.
    """

    spec: StoreSpec
    tops: tuple[bytes, ...]
    site: SiteConfig | None
    label: str
    as_of: float | None = None
    unread: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """Give what tells one store from another, found or not: a run goes on only with the same one.

        Where doors are searched for, the next search may give others of the same store; but not of one in parts.
        """
        site, doors = self.site, self.spec.doors
        if self.spec.clustered:
            return ("layout:clustered", *sorted(doors))
        if site is None or site.doors or not (site.redirector or site.global_redirectors) or self.as_of is not None:
            return doors
        asked = [*filter(None, [site.redirector]), *site.global_redirectors]
        return tuple([f"redirector:{host}" for host in asked])

    def whole(self) -> StoreSource:
        """Give it back, for those who cannot heed that something may be there which is not seen.

        Raises:
            DoorsError: lines of its dump could not be read.
        """
        if self.unread:
            raise DoorsError(f"{self.label}: its dump has {self.unread}; without it the listing is not whole")
        return self

    @property
    def address(self) -> str:
        """Where the store is, unless the label says so already."""
        return ", ".join(self.spec.doors) if self.site is not None else ""


@dataclass(frozen=True, slots=True)
class FileSource:
    """An existing regular file, a snapshot or an inventory; its content tells which."""

    path: Path


Source = StoreSource | FileSource


def parse_source(text: str, config: KnownSites | None) -> Source:
    """Find out what ``text`` stands for.

    A site goes before a directory of the same name, which can be written ``./NAME``. A source that is not a site takes
    its timeout and connections from the top level of the configuration. Symbolic links are not resolved.

    Raises:
        SourceError: it is none of the forms, or what it names does not exist or has no door.
    """
    if not text:
        raise SourceError(f"an empty source; expected {_FORMS}")
    if config is not None and text in config.sites:
        return site_source(config.site(text))
    if is_url(text):
        return _url_source(text, config)
    return _local_source(text, config)


def site_source(site: SiteConfig) -> StoreSource:
    """Give the store of a site, without asking anybody; `storage.doors.resolve.resolve` finds what is left open.

    Raises:
        SourceError: it has no doors, and there is nobody to ask for them, or no dump where one is to be read.
    """
    spec = site.store_spec()
    if not spec.doors and site.access_method == "RAL-Reader":
        raise SourceError(f"the site {site.name} has no dump; set Sites.{site.name}.Dump to its file")
    if not spec.doors and site.redirector is None and not site.global_redirectors:
        raise SourceError(f"the site {site.name} has no doors; set Sites.{site.name}.Doors to a list of URLs")
    return StoreSource(spec, site.directories, site, site.name)


def _url_source(text: str, config: KnownSites | None) -> Source:
    try:
        url = parse_door(text)
    except ValueError as error:
        raise SourceError(f"{quoted(text)}: {printable(str(error))}; expected {_FORMS}") from error
    if url.scheme in GFAL_SCHEMES:
        # Such a door has more to it than an URL says: the endpoint, and how many programs it bears.
        hint = "gfal-ls lists sites of the configuration, with AccessMethod SRM"
        raise SourceError(f"{quoted(text)}: unknown scheme {quoted(url.scheme)} here: {hint}; expected {_FORMS}")
    if not url.path:
        slashes = "/" if url.scheme in WEB_SCHEMES | S3_SCHEMES else "//"
        example = "file:///data" if url.scheme == "file" else f"{url.scheme}://{url.authority}{slashes}store"
        raise SourceError(f"{quoted(text)}: no path; write which directory to list, as in {example}")
    if url.scheme == "file":
        return _on_disk(url.path, text, config)
    door = str(DoorURL(url.scheme, url.authority))
    return StoreSource(_spec(door, config), (url.path,), None, printable(str(url)))


def _local_source(text: str, config: KnownSites | None) -> Source:
    try:
        given = paths.encode(text)
        os.stat(given)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        known = f"; known sites: {', '.join(config.sites) or 'none'}" if config is not None else ""
        raise SourceError(f"{quoted(text)} is neither a site nor a path on disk; expected {_FORMS}{known}") from error
    except OSError as error:
        raise SourceError(f"{quoted(text)}: {error.strerror}") from error
    return _on_disk(_absolute(given, text), text, config)


def _absolute(given: bytes, text: str) -> bytes:
    try:
        whole = os.path.join(os.getcwdb(), given)
    except OSError as error:
        raise SourceError(f"{quoted(text)}: the working directory is gone") from error
    plain = os.path.normpath(whole)
    # Past a symbolic link, ".." is not the directory that stands before it in the text.
    if b".." in given.split(b"/") and not _same_file(whole, plain):
        raise SourceError(f"{quoted(text)}: '..' after a symbolic link; write the path without '..'")
    return paths.canonical(plain)


def _same_file(first: bytes, second: bytes) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False


def _on_disk(path: bytes, text: str, config: KnownSites | None) -> Source:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise SourceError(f"{quoted(text)}: {error.strerror}") from error
    if stat.S_ISREG(mode):
        return FileSource(Path(paths.decode(path)))
    if not stat.S_ISDIR(mode):
        raise SourceError(f"{quoted(text)} is neither a directory nor a regular file")
    return StoreSource(_spec("file://", config), (path,), None, printable(paths.decode(path)))


def _spec(door: str, config: KnownSites | None) -> StoreSpec:
    if config is None:
        return StoreSpec((door,))
    settings = config.top_level()
    timeout, connections = settings.timeout, settings.most_connections
    return StoreSpec(
        (door,), timeout=timeout, connections=connections, method=settings.xrootd_method, in_flight=settings.in_flight
    )
