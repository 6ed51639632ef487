"""Where a run looks for findings: what its settings leave out, it says nothing about."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine import paths
from engine.filters import PatternFilter

_KEYS = {
    "tops": "DirectoryList",
    "ignored": "IgnoreDirectories",
    "left_out": "Quarantine",
    "keeps_orphans": "DeleteOrphans",
}
"""The fields of a `Scope` that are the same from run to run, and the keys of the configuration that they come from."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run looks at.

    ``tops`` are the directories that it lists, without any of them it is not known which these are. Paths that contain
    one of ``ignored``, and what lies in one of ``left_out``, are left alone, and with ``keeps_orphans`` all orphans.
    What changed after ``young_after``, in seconds since the epoch, is not judged; None: there is no such limit.
    """

    tops: tuple[bytes, ...] = ()
    ignored: tuple[bytes, ...] = ()
    left_out: tuple[bytes, ...] = ()
    keeps_orphans: bool = False
    young_after: float | None = None
    _filter: PatternFilter = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_filter", PatternFilter(self.ignored, self.left_out))

    def passes_over(self, path: bytes, orphan: bool = False) -> bool:
        """Tell whether the run says nothing of a directory, or of a file with that path, however that is.

        ``orphan``: whether it would be called one.
        """
        if (orphan and self.keeps_orphans) or self._filter(path):
            return True
        return bool(self.tops) and not any(paths.is_under(path, top) for top in self.tops)

    def is_too_young(self, mtime: int) -> bool:
        """Tell whether the run judges nothing that changed then."""
        return self.young_after is not None and mtime > self.young_after

    def differs_in(self, other: Scope) -> tuple[str, ...]:
        """Name the keys of the configuration in which another run looked elsewhere."""
        return tuple(key for field, key in _KEYS.items() if _comparable(self, field) != _comparable(other, field))


def _comparable(scope: Scope, name: str) -> object:
    value = getattr(scope, name)
    return frozenset(value) if isinstance(value, tuple) else value
