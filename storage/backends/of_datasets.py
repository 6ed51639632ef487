"""Files that are left alone for the sake of their datasets: the filters of a comparison."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import paths

if TYPE_CHECKING:
    from storage.backends.protocols import Backends, DatasetFilter
    from storage.runs.directory import Datasets


@dataclass(frozen=True, slots=True)
class OfDatasets:
    """A filter of datasets as the comparison asks it."""

    datasets: DatasetFilter

    def __call__(self, path: bytes) -> bool:
        """Tell whether a file is in one of the datasets."""
        return self.datasets.protected(paths.decode(path))


def filters_of(backends: Backends, datasets: Datasets) -> tuple[OfDatasets | None, OfDatasets | None]:
    """Make the filters of orphans, which may be of any of the datasets, and of missing files, which are to be deleted.

    Raises:
        BackendError: nobody can tell which files belong to them.
    """
    return filter_of(backends, datasets.protected | datasets.deleted), filter_of(backends, datasets.deleted)


def filter_of(backends: Backends, datasets: Collection[str]) -> OfDatasets | None:
    """Make the filter of some datasets; None without any.

    Raises:
        BackendError: nobody can tell which files belong to them.
    """
    return OfDatasets(backends.datasets.filter(datasets)) if datasets else None
