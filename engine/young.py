"""From when on a change is too young to be judged."""

from __future__ import annotations

import math


def young_after(begun: float, inventory_time: float, ignore_age: float, store_time: float = math.inf) -> float:
    """Give the time after which a change is too young to be judged, in seconds since the epoch.

    A file that came after the inventory was made cannot be in it, so the age (days) counts from there. With an age of 0
    the operator says that the inventory is as good as new; then only what changes during the run is left alone. What
    came after ``store_time`` nobody has seen at the store, whatever the age.
    """
    seen = min(begun, store_time)
    return min(seen, inventory_time) - ignore_age * 86400 if ignore_age else seen
