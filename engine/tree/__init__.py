"""The tree of directories: what a listing, an inventory and a list of files become, and what can be asked of it."""

from __future__ import annotations

from engine.tree.directory_info import DirectoryInfo
from engine.tree.errors import BadPath, NeverFilled, NotEmpty, TreeError

__all__ = ["BadPath", "DirectoryInfo", "NeverFilled", "NotEmpty", "TreeError"]
