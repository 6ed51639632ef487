"""The URLs of doors: ``root://host[:port][//path]``, ``roots://…`` and ``file://[/path]``.

So are WebDAV's, ``davs://host[:port][/path]`` or ``https://…``, without TLS ``dav://…`` and ``http://…``; buckets,
``s3://host[:port]/bucket[/path]``, without TLS ``s3+http://…``; and what only gfal-ls speaks, ``gsiftp://…`` and
``srm://host[:port][/endpoint?SFN=][/path]``. Other packages bring schemes of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from ipaddress import IPv6Address
from urllib.parse import unquote_to_bytes

from engine import paths
from storage.shown import quoted

DOOR_FORMS = (
    "root://host[:port][//prefix], roots://host[:port][//prefix], davs://host[:port][/prefix], "
    "s3://host[:port]/bucket[/prefix] or file:///prefix"
)

GFAL_SCHEMES = frozenset(("srm", "gsiftp"))
"""The schemes of doors that only gfal-ls can open."""

WEB_SCHEMES = frozenset(("davs", "https", "dav", "http"))
"""The schemes of doors that speak WebDAV, over TLS or not."""

LISTERS = "dynamo_consistency.listers"
"""The entry points of other packages that bring listers, each named after a scheme."""

S3_SCHEMES = frozenset(("s3", "s3+http"))
"""The schemes of doors that are buckets of an S3 store, over TLS or not."""

_ENDPOINT = "?SFN="

_PORTS = {"root": 1094, "roots": 1094, "gsiftp": 2811, "srm": 8443} | {
    "davs": 443,
    "https": 443,
    "dav": 80,
    "http": 80,
    "s3": 443,
    "s3+http": 80,
}
"""Where a door listens whose URL says nothing."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PORT = re.compile(r"[0-9]{1,5}")
_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class DoorURL:
    """The parts of a door's URL.

    ``authority`` is ``host[:port]``, empty for ``file``. ``path`` is canonical and absolute, and empty when the URL has
    none.
    """

    scheme: str
    authority: str
    path: bytes = b""

    def __str__(self) -> str:
        return with_prefix(f"{self.scheme}://{self.authority}", self.path)


def is_url(text: str) -> bool:
    """Tell whether the text begins with a scheme and ``://``."""
    return _URL.match(text) is not None


def with_prefix(door: str, prefix: bytes) -> str:
    """Put a path prefix on a door that has no path; one that has a path stays as it is.

    ``door`` is in the form that ``str(DoorURL)`` gives; ``prefix`` is a canonical absolute path or empty.
    """
    scheme, _, rest = door.partition("://")
    if "/" in rest or prefix in (b"", b"/"):
        return door
    # XRootD takes what follows the first slash as the path: an absolute one makes two.
    return door + ("/" if scheme in ("root", "roots") else "") + paths.decode(prefix)


def with_port(authority: str, scheme: str = "root") -> str:
    """Write ``host[:port]`` as ``host:port``, in lower case, so that one door has one name."""
    bare = authority.rpartition("]")[2]
    named = authority if ":" in bare else f"{authority}:{_PORTS.get(scheme, _PORTS['root'])}"
    return named.lower()


def addresses(doors: Iterable[str]) -> tuple[str, ...]:
    """Give the ``host:port`` of each door that has one, each once; others are of this machine, or no doors at all."""
    found: dict[str, None] = {}
    for text in doors:
        try:
            door = parse_door(text)
        except ValueError:
            continue
        if door.authority:
            found[with_port(door.authority, door.scheme)] = None
    return tuple(found)


def parse_door(text: str) -> DoorURL:
    """Read the URL of a door or of a directory behind one.

    The path of a ``file`` URL is percent-decoded. XRootD takes names as they are, so that of a ``root`` URL is not.

    Raises:
        ValueError: what is wrong with it, in a few words.
    """
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("a blank before it" if text[:1].isspace() else "not a URL")
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        return DoorURL(scheme, "", _file_path(rest))
    if scheme in GFAL_SCHEMES | WEB_SCHEMES | S3_SCHEMES or (scheme not in ("root", "roots") and _is_added(scheme)):
        return _other_door(scheme, rest)
    if scheme not in ("root", "roots"):
        raise ValueError(f"unknown scheme {quoted(scheme)}")
    if "?" in rest:
        raise ValueError("XRootD cuts a path at '?'")
    authority, _, path = rest.partition("/")
    check_authority(authority)
    if path and not path.startswith("/"):
        raise ValueError("after one slash XRootD takes the path as relative; write two, as in root://host//store")
    return DoorURL(scheme, authority, paths.canonical(paths.encode(path)) if path else b"")


def _is_added(scheme: str) -> bool:
    """Tell whether another package brings a lister for a scheme."""
    return bool(entry_points(group=LISTERS, name=scheme))


def _other_door(scheme: str, rest: str) -> DoorURL:
    authority, _, path = rest.partition("/")
    check_authority(authority)
    before, _, after = path.partition(_ENDPOINT if scheme == "srm" else "?")
    if "?" in before + after or (scheme != "srm" and "?" in path):
        raise ValueError("a query in the path")
    return DoorURL(scheme, authority, paths.canonical(paths.encode("/" + path)) if path else b"")


def check_authority(authority: str) -> None:
    """Check ``host[:port]``; an IPv6 address stands in brackets.

    Raises:
        ValueError: what is wrong with it, in a few words.
    """
    if "@" in authority:
        raise ValueError("no user may stand before the host")
    if authority.startswith("["):
        address, closed, rest = authority[1:].partition("]")
        if not closed or not _is_ipv6(address):
            raise ValueError(f"bad IPv6 address {quoted(address)}")
        if rest and not rest.startswith(":"):
            raise ValueError("after the brackets of an IPv6 address only a port may follow")
        port = rest[1:] if rest else None
    elif authority.count(":") > 1:
        raise ValueError("more than one ':' in the host and port; an IPv6 address stands in brackets")
    else:
        host, colon, rest = authority.partition(":")
        if not host:
            raise ValueError("the host is missing")
        if not _HOST.fullmatch(host):
            raise ValueError(f"bad host {quoted(host)}")
        port = rest if colon else None
    if port is not None and not (_PORT.fullmatch(port) and 0 < int(port) < 65536):
        raise ValueError(f"bad port {quoted(port)}, a port is 1 to 65535")


def _is_ipv6(address: str) -> bool:
    try:
        # A zone names an interface of one machine, and listers may run on others.
        return IPv6Address(address).scope_id is None
    except ValueError:
        return False


def _file_path(rest: str) -> bytes:
    if not rest:
        return b""
    if not rest.startswith("/"):
        raise ValueError("a file URL has no host; write three slashes, as in file:///data")
    if _BROKEN_PERCENT.search(rest):
        raise ValueError("a '%' that two hexadecimal digits do not follow; the name's own '%' is written %25")
    return paths.canonical(unquote_to_bytes(paths.encode(rest)))
