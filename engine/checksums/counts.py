"""How the comparison of checksums went in a run, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """How a sample went: files ``compared``, ``unchecked`` ones by the reason, and those ``left`` for the next run.

    ``why`` is one line for people that says why not all of it was done, or is believed; empty when all is well.
    """

    compared: int = 0
    unchecked: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    why: str = ""

    @property
    def unchecked_files(self) -> int:
        """All that were asked for, or should have been, and not compared."""
        return sum(self.unchecked.values())

    @property
    def words(self) -> str:
        """Say it in one line, without the mismatches."""
        parts = [f"{self.compared:,} compared"]
        if self.unchecked_files:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.unchecked.items())
            parts.append(f"{self.unchecked_files:,} unchecked ({reasons})")
        if self.left:
            parts.append(f"{self.left:,} left for the next run")
        return "; ".join([", ".join(parts), *filter(None, [self.why])])
