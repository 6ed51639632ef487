"""Says which machine the figures come from."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor() -> str:
    """Give the model name of the first processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return models[0] if models else platform.machine()


def memory() -> float:
    """Give the size of the main memory in GB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def machine_line() -> str:
    """Give one line: cores, model, memory, kernel and Python."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {processor()}, {memory():.0f} GB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
