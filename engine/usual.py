"""The gate for a store, or an inventory, that has far fewer files than usual.

A store of which a part is not mounted, and an inventory that was cut off, look like ones that are whole. Only what the
runs before have seen tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.gates import Refusal

FEWER = "fewer-files"
"""The name of the gate."""

_RUNS = 3
"""So many runs say what is usual."""

_MOST_OF = 0.9
"""A dump should have this part of what is usual, or of what the inventory still has of that."""

_FEW = 20
"""A side with fewer files than this may lose any number of them but all: chance would close the gate too often."""


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """How many files a run has seen, 0 where nobody noted it, and whether it saw the whole store."""

    files: int
    inventory_files: int
    complete: bool


@dataclass(frozen=True, slots=True)
class UsualFiles:
    """How many files the store and the inventory of a site usually have, 0 where that is not known.

    With fewer than ``fraction`` of either the gate closes; with 0 it never does. ``accept`` lets the run through.
    ``dumped`` says that the store is known from a dump: a cut that leaves most of it would make the rest missing, so
    that it may not shrink much more than the inventory does.
    """

    store: int = 0
    inventory: int = 0
    fraction: float = 0.0
    accept: bool = False
    dumped: bool = False

    @classmethod
    def of(cls, runs: Sequence[EarlierRun], fraction: float, accept: bool = False, dumped: bool = False) -> UsualFiles:
        """Take the median of the last three runs, newest first, of those that have seen the whole store, or any.

        The larger one counts. What a run could not list it has not counted either, so several of these in a row must
        not make a small number the usual one; and a site may always have something that cannot be listed.
        """
        store, inventory = _usual(runs, lambda run: run.files), _usual(runs, lambda run: run.inventory_files)
        return cls(store, inventory, fraction, accept, dumped)

    def refusal(self, store: int | None, inventory: int, hidden: int = 0) -> Refusal | None:
        """Refuse fewer files than usual; ``store`` is None before it was listed.

        ``hidden`` are the files that may be there in spite of it, since their directories could not be listed.
        """
        words = []
        if store is not None and self._is_fewer(store + hidden, self.store):
            unseen = f", with {hidden} that may be in what is unlisted," if hidden else ""
            words.append(f"the store has {self._words(store + hidden, self.store, unseen)}")
        elif store is not None and self._is_cut(store + hidden, inventory):
            words.append(
                f"the dump has {store + hidden} files where the last runs had {self.store}, and the inventory "
                f"{inventory} where they had {self.inventory}: the dump may be cut off"
            )
        if self._is_fewer(inventory, self.inventory):
            words.append(f"the inventory has {self._words(inventory, self.inventory)}")
        return Refusal(FEWER, "; ".join(words)) if words else None

    def _is_fewer(self, files: int, usual: int) -> bool:
        return usual >= _FEW and files < self.fraction * usual

    def _is_cut(self, files: int, inventory: int) -> bool:
        """Tell whether a dump has shrunk by much more than the inventory has."""
        if not (self.dumped and self.fraction and self.store >= _FEW):
            return False
        left = min(1.0, inventory / self.inventory) if self.inventory else 1.0
        return files < _MOST_OF * left * self.store

    def _words(self, files: int, usual: int, more: str = "") -> str:
        return f"{files} files{more} where the last runs had {usual}, MinFiles is {self.fraction:g}"


ANY_NUMBER = UsualFiles()
"""Any number of files is as usual as any other."""


def _usual(runs: Sequence[EarlierRun], count: Callable[[EarlierRun], int]) -> int:
    # Loaded with fractions and decimals, which a comparison of two files does without.
    from statistics import median_low

    noted = [run for run in runs if count(run)]
    complete = [run for run in noted if run.complete]
    return max((median_low(map(count, kept[:_RUNS])) for kept in (noted, complete) if kept), default=0)
