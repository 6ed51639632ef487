"""A tree as text for people at a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from engine import paths
from engine.columns import UNKNOWN_MTIME
from engine.tree.node import TreeNode


def displays(root: TreeNode, top: bytes) -> str:
    """Describe each directory and its files in tree order, one line each; ``top`` is the full path of ``root``."""
    lines: list[str] = []
    for _, where, node in root.walk(top):
        lines.append(
            f"{paths.escape(where)}  [{_state(node)}]  mtime {_time(node.mtime)}  "
            f"hash {_hash(node)}  comparable {'yes' if node.can_compare else 'no'}"
        )
        lines.extend(_file_lines(node))
    return "\n".join(lines)


def listing_text(node: TreeNode, children: Sequence[TreeNode]) -> str:
    """List sub-directories with their indices in the order given, and the files."""
    lines = ["Directories:"]
    width = max((len(paths.escape(child.name_bytes)) for child in children), default=0)
    for position, child in enumerate(children):
        name = paths.escape(child.name_bytes)
        lines.append(f"{position:3}: {name:<{width}}  [{_state(child)}]  hash {_hash(child)}")
    files = _file_lines(node)
    return "\n".join([*lines, "Files:", *files] if files else lines)


def _state(node: TreeNode) -> str:
    """Say how the listing of a directory went."""
    if node.is_master:
        return "master"
    words = node.state.name.lower()
    return f"{words}: {node.reason.label}" if node.reason.label else words


def _file_lines(node: TreeNode) -> list[str]:
    return [
        f"  {paths.escape(name)}  {size} bytes  mtime {_time(None if mtime == UNKNOWN_MTIME else mtime)}"
        for name, size, mtime in node.columns().rows()
    ]


def _time(mtime: float | None) -> str:
    return "unknown" if mtime is None else f"{mtime:.0f}"


def _hash(node: TreeNode) -> str:
    return "none" if node.hash_bytes is None else node.hash_bytes.hex()
