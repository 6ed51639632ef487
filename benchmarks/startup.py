"""How long ``dynamo-consistency --help`` takes, next to an interpreter that does nothing."""

from __future__ import annotations

import sys

from benchmarks.measure import Command, Row, alternate, program


def run(quick: bool) -> list[Row]:
    """Measure the start of the command line."""
    costs = alternate(
        {"ours": Command((program(), "--help")), "peer": Command((sys.executable, "-c", "pass"))}, 5 if quick else 15
    )
    return [Row("dynamo-consistency --help", costs["ours"], "python -c pass", costs["peer"])]
