"""What is said to a run while it is under way."""

from __future__ import annotations

from actors.messages import Killed

__all__ = ["Killed"]
