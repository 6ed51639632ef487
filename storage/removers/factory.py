"""Which module takes away through which door."""

from __future__ import annotations

from engine import paths
from storage.config.site import SiteConfig
from storage.door_url import S3_SCHEMES, WEB_SCHEMES
from storage.listers.doors import Door
from storage.listers.protocol import StoreSpec
from storage.removers.member import Doors
from storage.removers.protocol import Remover

_XROOTD = frozenset(("root", "roots", "xroot", "xroots"))


def why_not(site: SiteConfig, spec: StoreSpec) -> str:
    """Say why what is to go at a site cannot be deleted at its store, where it is to be; empty if it can."""
    if not site.deletes_itself:
        return ""
    inside = [top for top in site.directories if site.quarantine and paths.is_under(top, site.quarantine)]
    if inside:
        shown = paths.escape(inside[0])
        return f"the Quarantine has {shown} in it, which DirectoryList names; set it to another directory"
    for url in spec.doors:
        scheme = url.partition(":")[0]
        if scheme not in (*_XROOTD, *WEB_SCHEMES, *S3_SCHEMES, "file"):
            return f"nothing can be deleted through {scheme} doors; have the registry do it, with Deletion: registry"
        if scheme in S3_SCHEMES and site.quarantine:
            return "an S3 store cannot move what is put aside; set Quarantine to none, which deletes for good at once"
    return ""


def keeps_filled(spec: StoreSpec) -> bool:
    """Whether the store itself keeps a directory that has something in it by the time that it is to be deleted.

    Over WebDAV it goes with all that is in it, and an S3 store has none.
    """
    return {url.partition(":")[0] for url in spec.doors} <= _XROOTD | {"file"}


def open_doors(spec: StoreSpec) -> Doors:
    """Open what takes away, for each door of a store that is no cluster.

    Raises:
        ValueError: there is nothing for one of them.
    """
    return Doors([_open(Door.parse(url), spec) for url in spec.doors])


def _open(door: Door, spec: StoreSpec) -> Remover:
    if door.scheme in _XROOTD:
        from storage.removers.xrootd import XRootDRemover

        return XRootDRemover(door, spec.timeout)
    if door.scheme in WEB_SCHEMES:
        from storage.removers.webdav import WebDavRemover

        return WebDavRemover(door, spec.timeout)
    if door.scheme in S3_SCHEMES:
        from storage.removers.s3 import S3Remover

        return S3Remover(door, spec.timeout)
    if door.scheme == "file":
        from storage.removers.posix import PosixRemover

        return PosixRemover(door)
    raise ValueError(f"nothing can be deleted through {door.scheme} doors")
