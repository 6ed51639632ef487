"""The replicas of a Rucio into a snapshot: ``python -m benchmarks.rucio_inventory [--replicas N] [--algorithm A]…``.

Fills the tables of Rucio, with its keys, in a PostgreSQL on loopback, N replicas at each of three RSEs, and reads
one into a snapshot in fresh programs. Prints medians: seconds by the clock and of the CPU of the reader, the
time a replica, and the peak memory. What the server takes is not of the CPU, but of the clock.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from uuid import UUID

from benchmarks.machine import machine_line
from benchmarks.measure import Command, measure
from storage.backends import choose
from storage.backends.into_snapshot import inventory_of_backend
from storage.config.site import RucioSettings, SiteConfig
from tests.servers.databases import PostgresServer

REPLICAS = 1_000_000
RUNS = 3
FLAT, DEEP, CMS = "SITE_DATADISK", "SITE_DEEP", "T2_SITE"
"""RSEs with names such as those of ATLAS, without a slash, names with directories, and those of CMS, which are LFNs."""
ALGORITHMS = {"hash": FLAT, "identity": DEEP, "name": CMS}

_TABLES = (
    "CREATE TYPE state AS ENUM ('A', 'U', 'C', 'B', 'D', 'T')",
    "CREATE TABLE rses (id UUID PRIMARY KEY, rse VARCHAR(255), vo VARCHAR(3), deterministic BOOLEAN, deleted BOOLEAN)",
    "CREATE TABLE rse_attr_map (rse_id UUID, key VARCHAR(255), value VARCHAR(255))",
    "CREATE TABLE quarantined_replicas (rse_id UUID, path VARCHAR(1024))",
    "CREATE TABLE replicas (rse_id UUID, scope VARCHAR(25), name VARCHAR(250), bytes BIGINT, md5 VARCHAR(32), "
    "adler32 VARCHAR(8), path VARCHAR(1024), state state, lock_cnt INTEGER, accessed_at TIMESTAMP, "
    "tombstone TIMESTAMP, created_at TIMESTAMP, updated_at TIMESTAMP, PRIMARY KEY (scope, name, rse_id))",
    "CREATE INDEX replicas_rse ON replicas (rse_id, tombstone)",
)


def fill(url: str, replicas: int) -> None:
    """Make the tables; one replica in a hundred is not available."""
    import psycopg

    flat, deep, cms = (UUID(int=number) for number in (1, 2, 3))
    with psycopg.connect(url) as connection:
        for statement in _TABLES:
            connection.execute(statement)
        for rse, name in ((flat, FLAT), (deep, DEEP), (cms, CMS)):
            connection.execute("INSERT INTO rses VALUES (%s, %s, 'def', TRUE, FALSE)", (rse, name))
        with connection.cursor().copy(
            "COPY replicas (rse_id, scope, name, bytes, adler32, state, lock_cnt, created_at, updated_at) FROM STDIN"
        ) as copy:
            for number in range(replicas):
                state = "C" if number % 100 == 0 else "A"
                dataset, file = divmod(number, 1000)
                name = f"DAOD_PHYS.{number:08d}._{file:06d}.pool.root.1"
                path = f"store/mc/Run3Summer22/TTto2L2Nu_{dataset:06d}/AODSIM/v1/{name}"
                for rse, called in ((flat, name), (deep, path), (cms, f"/{path}")):
                    row = (rse, "mc23_13p6TeV", called, number * 997, "0a0b0c0d", state, 1)
                    copy.write_row((*row, "2026-01-02 03:04:05", "2026-01-02 03:04:05"))
        connection.execute("ANALYZE replicas")


def read(url: str, algorithm: str) -> None:
    """Read the replicas into a snapshot; print seconds, seconds of the CPU and the peak in bytes."""
    from storage.config.defaults import Defaults

    name = ALGORITHMS[algorithm]
    settings = RucioSettings(rse=name, database=url, lfn2path=algorithm)
    site = SiteConfig(name, backend="rucio", rucio=settings)
    with tempfile.TemporaryDirectory() as directory:
        start, cpu = time.perf_counter(), time.process_time()
        counts = inventory_of_backend(choose(Defaults(), site), site, Path(directory) / "inventory")
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([counts.files, seconds, cpu, peak, counts.directories]))


def main() -> None:
    """Fill a server, and measure readers of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rucio_inventory", description=__doc__)
    parser.add_argument("--replicas", type=int, default=REPLICAS, help="at the RSE that is read")
    parser.add_argument("--algorithm", action="append", choices=ALGORITHMS, help="how paths are made; all by default")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read is not None:
        read(*arguments.read)
        return
    server = PostgresServer()
    server.start()
    try:
        url = server.url("postgres")
        fill(url, arguments.replicas)
        print(machine_line())
        print(f"{'paths':<10}{'replicas':>12}{'directories':>13}{'s':>8}{'CPU s':>8}{'us each':>9}{'peak MB':>9}")
        for algorithm in arguments.algorithm or ALGORITHMS:
            results = [_measured(url, algorithm) for _ in range(RUNS)]
            files, directories = int(results[0][0]), int(results[0][4])
            seconds, cpu = (median(result[at] for result in results) for at in (1, 2))
            peak = max(result[3] for result in results) / 1e6
            each = seconds / files * 1e6
            print(f"{algorithm:<10}{files:>12,}{directories:>13,}{seconds:>8.2f}{cpu:>8.2f}{each:>9.2f}{peak:>9.0f}")
    finally:
        server.stop()


def _measured(url: str, algorithm: str) -> list[float]:
    with tempfile.NamedTemporaryFile() as printed:
        arguments = ("-m", "benchmarks.rucio_inventory", "--read", url, algorithm)
        measure(Command((sys.executable, *arguments), Path(printed.name)))
        result: list[float] = json.loads(Path(printed.name).read_text())
        return result


if __name__ == "__main__":
    main()
