"""Sites that need no server, for what only touches the summary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dynamo_consistency import config

ROOT = Path(__file__).parents[2]
SITES = ["T1_US_FNAL", "T2_DE_DESY", "T2_US_MIT"]


def configure(home: Path, sites: dict[str, Any] | None = None, **top: Any) -> Path:
    """Write a configuration into ``home``, and have it used."""
    path = home / "consistency_config.json"
    path.write_text(json.dumps({**top, "Sites": {site: {} for site in SITES} if sites is None else sites}))
    config.LOCATION = path
    return path


def start(script: str, home: Path) -> subprocess.Popen[str]:
    """Start Python in ``home``, where the configuration is found by its default name."""
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
