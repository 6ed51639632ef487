"""Stores on this machine that hold what the program writes itself: databases, journals, lists.

No inventory knows these, so that they would be orphans, and deleted at a site that acts.
"""

from __future__ import annotations

import os
from pathlib import Path

from engine import paths
from storage.config.site import SiteConfig
from storage.door_url import parse_door
from storage.doors.source import DoorsError, StoreSource
from storage.shown import printable


def keep_apart(site: SiteConfig, store: StoreSource) -> None:
    """Refuse a store in which the site's own files would be found.

    Raises:
        DoorsError: there is one; the message names the key and both directories.
    """
    ignored = site.left_alone
    own = {"VarLocation": site.var_location, "WebDir": site.web_dir}
    if site.metrics_dir is not None:
        own["MetricsDir"] = site.metrics_dir
    prefixes = [parse_door(door).path for door in store.spec.doors if door.startswith("file://")]
    for prefix in prefixes:
        for top in store.tops:
            listed = os.path.realpath(prefix + top)
            for key, place in own.items():
                below = _below(listed, place)
                if below is not None and not ignored(paths.join(top, below) + b"/"):
                    raise DoorsError(
                        f"the site {site.name}: {key}, {printable(str(place))}, lies in {paths.escape(prefix + top)}, "
                        "which is to be listed: what the program writes there would be orphans; set it to another "
                        "place, or name it in IgnoreDirectories"
                    )


def _below(directory: bytes, place: Path) -> bytes | None:
    """Give the path of a place below a directory, empty for the directory itself; None when it lies elsewhere."""
    inner = os.path.realpath(os.fsencode(place))
    if inner == directory:
        return b""
    above = directory.rstrip(b"/") + b"/"
    return inner.removeprefix(above) if inner.startswith(above) else None
