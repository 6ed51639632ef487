"""Who shows the measures of a run elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.shown.metrics import MetricsFile

if TYPE_CHECKING:
    from pathlib import Path

    from actors.runtime import Runtime
    from actors.shown.metrics import RunMeasures
    from actors.shown.pulse import Follower


def followers_of(runtime: Runtime, source: RunMeasures, directory: Path | None) -> list[Follower]:
    """Give those who show the measures of a run: in a file of the directory, if there is one, and on Ray."""
    followers: list[Follower] = []
    if directory is not None:
        followers.append(MetricsFile(source, directory))
    if runtime.name == "ray":
        from actors.on_ray.metrics import RayGauges

        followers.append(RayGauges(source))
    return followers
