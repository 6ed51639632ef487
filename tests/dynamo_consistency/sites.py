"""A site on a real server, with its configuration and inventory."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OLD = 1_700_000_000


@dataclass
class Site:
    """A site with a real server, and its configuration in ``home``; ``root`` is its RootPath."""

    home: Path
    store: Path
    root: str
    door: str
    name: str = "T2_US_MIT"
    lines: list[str] = field(default_factory=list)

    def hold(self, name: str, size: int = 10, mtime: float = OLD) -> None:
        """Put a file on the store."""
        path = self.store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        os.utime(path, (mtime, mtime))

    def expect(self, name: str, size: int = 10) -> None:
        """Put a file into the inventory."""
        self.lines.append(f"{self.root}/{name} {size} {OLD}\n")

    def lfns(self, *names: str) -> list[str]:
        return [f"{self.root}/{name}" for name in names]

    def configure(self, top: dict[str, Any] | None = None, **keys: Any) -> Path:
        """Write the inventory and the configuration, with other keys at the top level and of the site."""
        (self.home / "inventory.txt").write_text("".join(self.lines))
        site = {"Doors": [self.door], "Inventory": "inventory.txt", **keys}
        path = self.home / "config.json"
        path.write_text(json.dumps({"RootPath": self.root, "Retries": 0, **(top or {}), "Sites": {self.name: site}}))
        return path
