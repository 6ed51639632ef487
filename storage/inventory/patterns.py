"""How lines end in numbers, for all who look at one line at a time."""

from __future__ import annotations

import re

SIZED = re.compile(rb"(.*[^ \t])[ \t]([0-9]+)", re.DOTALL)
TIMED = re.compile(rb"(.*[^ \t])[ \t]([0-9]+)[ \t]+(-?[0-9]+(?:\.[0-9]*)?)", re.DOTALL)
