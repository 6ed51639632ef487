"""Tries many inputs, or one again.

::

    python -m tests.fuzz --inputs 1000000 [--only NAME] [--first N]
    python -m tests.fuzz --only NAME --input N
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.configurations import ConfigurationFuzzer
from tests.fuzz.driver import Fuzzer, run, scratch, try_input
from tests.fuzz.dumps import DumpFuzzer
from tests.fuzz.inventories import InventoryFuzzer
from tests.fuzz.snapshots import SnapshotFuzzer

FUZZERS: dict[str, Callable[[Path], Fuzzer]] = {
    fuzzer.name: fuzzer for fuzzer in (SnapshotFuzzer, InventoryFuzzer, DumpFuzzer, ConfigurationFuzzer)
}


def main() -> int:
    """Run the program; give its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Tries many inputs, or one again.")
    parser.add_argument("--only", choices=FUZZERS)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--input", type=int)
    arguments = parser.parse_args()
    failed = False
    for name in [arguments.only] if arguments.only else FUZZERS:
        with tempfile.TemporaryDirectory(dir=scratch()) as directory:
            fuzzer = FUZZERS[name](Path(directory))
            if arguments.input is not None:
                print(f"{name} {arguments.input}: {try_input(fuzzer, arguments.input)}")
                continue
            report = run(fuzzer, range(arguments.first, arguments.first + arguments.inputs))
        print(*report.failures, report, sep="\n", flush=True)
        failed |= bool(report.failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
