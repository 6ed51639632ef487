"""Which dataset a file belongs to, as far as its name says so.

For CMS it does: below a root called ``store`` the components of an LFN spell the dataset out. Elsewhere a dataset may
be named by its directory. Filters are frozen values, so they travel between processes, and take names as ``str`` with
``surrogateescape``, as they cross the border to backends.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from engine import paths

_CMS_ROOT = "/store"
_COMPONENTS = 7
"""How many parts the split name of a directory of a dataset has; that of a file has one more."""


def dataset_of(lfn: str) -> str:
    """Give the dataset that a CMS LFN, which begins with ``/store``, spells out; empty when it is too short."""
    parts = lfn.split("/")
    if len(parts) <= _COMPONENTS:
        return ""
    return f"/{parts[4]}/{parts[3]}-{parts[6]}/{parts[5]}"


def is_cms_root(root: bytes) -> bool:
    """Tell whether names below a RootPath are CMS names: its last component is ``store``."""
    return root == b"/store" or root.endswith(b"/store")


@dataclass(frozen=True, slots=True)
class Nothing:
    """No dataset: nothing is protected."""

    def protected(self, file_name: str) -> bool:
        """Give false."""
        return False

    __call__ = protected


@dataclass(frozen=True, slots=True)
class CMSFilter:
    """Protects the files of some datasets by their CMS names, and names that are too short to say.

    ``before`` characters stand before ``/store`` in every name.
    """

    datasets: frozenset[str]
    before: int = 0

    def protected(self, file_name: str) -> bool:
        """Tell whether the file is in one of the datasets, or its name does not say in which it is."""
        dataset = dataset_of(file_name[self.before :])
        return not dataset or dataset in self.datasets

    __call__ = protected


@dataclass(frozen=True, slots=True)
class DirectoryFilter:
    """Protects what is below one of some directories, given as canonical absolute paths."""

    directories: tuple[str, ...]

    def protected(self, file_name: str) -> bool:
        """Tell whether the file is in one of the directories."""
        return any(
            directory == "/" or file_name == directory or file_name.startswith(f"{directory}/")
            for directory in self.directories
        )

    __call__ = protected


@dataclass(frozen=True, slots=True)
class Everything:
    """Protects every file, since nobody can tell which of them are in the datasets."""

    def protected(self, file_name: str) -> bool:
        """Give true."""
        return True

    __call__ = protected


Filter = Nothing | CMSFilter | DirectoryFilter | Everything


def filter_for(root: bytes, datasets: Collection[str]) -> Filter:
    """Make the filter that protects the files of some datasets below a RootPath.

    Without datasets there is nothing to protect. Where names are not those of CMS, a dataset that is an absolute path
    inside of the root is a directory; any other name cannot be told from files, so that everything is protected.
    """
    if not datasets:
        return Nothing()
    if is_cms_root(root):
        return CMSFilter(frozenset(datasets), len(paths.decode(root)) - len(_CMS_ROOT))
    directories = [_directory(root, dataset) for dataset in datasets]
    known = [directory for directory in directories if directory]
    if len(known) < len(directories):
        return Everything()
    return DirectoryFilter(tuple(sorted(known)))


def _directory(root: bytes, dataset: str) -> str:
    """Give a dataset's directory as a canonical path, empty when the dataset is not named by one inside of the root."""
    try:
        path = paths.canonical(paths.encode(dataset))
    except ValueError:
        return ""
    return paths.decode(path) if path.startswith(b"/") and paths.is_under(path, root) else ""
