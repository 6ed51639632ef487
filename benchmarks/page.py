"""How long the summary page takes to build, and to load in a browser.

    python -m benchmarks.page [--sites 500] [--runs 200] [--where DIR]

Measures, in one run: building all pages anew, building them again when nothing changed, and when one site had a run;
then, from a server on loopback and from the disk, the time from the start of the navigation to the end of the load
event, and how long sorting takes (medians of seven).
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from engine.columns import UNKNOWN_MTIME, FileColumns
from engine.findings import Finding, Kind
from engine.states import Reason
from storage.history import HistoryDatabase, RunCounts, RunStatus
from storage.history.connection import connect
from storage.page.build import build_page
from storage.page.limits import PageLimits
from storage.page.server import PageServer
from storage.sites.summary import StatsRow, SummaryDatabase

NOW = 1_780_000_000.0
DAY = 86400.0
LISTS = ("_compare_missing.txt", "_compare_orphan.txt", "_empty.txt", "_unlisted.txt", "_storage.json", ".log")


@contextmanager
def timed(what: str) -> Iterator[None]:
    begin, begin_cpu = time.perf_counter(), time.process_time()
    yield
    elapsed, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    print(f"{what:<44}{elapsed:8.3f} s{cpu:8.3f} s CPU")


def files(kind: Kind, directory: bytes, first: int, count: int) -> Finding:
    columns = FileColumns.from_rows((b"%08d.root" % n, 10**9, UNKNOWN_MTIME) for n in range(first, first + count))
    return Finding(kind, directory, columns, b"")


def plant(web: Path, history: Path, sites: int, runs: int) -> list[str]:
    """Fill both databases; the last two runs of each site have findings, the ones before only numbers."""
    chance = random.Random(7)
    names = [f"T{number % 3 + 1}_XX_Site{number:03d}" for number in range(sites)]
    with HistoryDatabase(history):
        pass
    begin = NOW - runs * DAY
    with closing(connect(history)) as connection:
        connection.executemany("INSERT INTO sites(name) VALUES (?)", [(name,) for name in names])
        connection.executemany(
            "INSERT INTO runs(site, started, finished, status, runtime, files, directories, missing, orphan, seconds) "
            "VALUES (?, ?, ?, ?, 'threads', ?, ?, ?, ?, ?)",
            [
                (
                    *(site + 1, begin + run * DAY, begin + run * DAY + 3000),
                    chance.choices(("done", "incomplete", "failed", "halted"), (90, 5, 3, 2))[0],
                    *(4_000_000 + chance.randrange(10**5), 90_000, chance.randrange(90), chance.randrange(900), 3000.0),
                )
                for run in range(runs - 2)
                for site in range(sites)
            ],
        )
        connection.execute(
            "INSERT INTO reported(site, findings, run) SELECT site, f.name, id FROM runs, "
            "(SELECT 'invalid' AS name UNION SELECT 'orphans') f WHERE status IN ('done', 'incomplete')"
        )
        connection.commit()
    with SummaryDatabase(web / "stats.db") as summary:
        summary.sync(dict.fromkeys(names, True))
        for name in names:
            summary.update(StatsRow(name, begin + 3001, 3000.0, 4_000_000, 90_000, 5, 1, 9, 9, 9, 9, 1, 0, 4, 1, 7, 1))
    with closing(sqlite3.connect(web / "stats.db")) as connection:
        row = "entered, time, files, nodes, empty, cores, missing, m_size, orphan, o_size, nosource, unlisted, "
        row += "unmerged, unlisted_bad, unmergedlogs, unrecoverable"
        for run in range(1, runs):
            connection.execute(f"INSERT INTO stats_history(site, {row}) SELECT site, {row} FROM stats")
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(begin + run * DAY + 3001))
            connection.execute("UPDATE stats SET entered = ?, missing = abs(random()) % 130", (stamp,))
        connection.commit()
    with HistoryDatabase(history) as database:
        for number, name in enumerate(names):
            for back in (2, 1):
                enter_run(database, name, NOW - back * DAY + number)
            for ending in LISTS:
                (web / f"{name}{ending}").write_text("/store/mc/Run2026/AOD/00001.root\n" * 50)
    return names


def enter_run(database: HistoryDatabase, name: str, started: float) -> None:
    """Enter a run with some findings, other ones each time."""
    run = database.open_run(name, started, "threads")
    first = int(started / DAY) % 2 * 20
    database.stage(run, [files(Kind.MISSING, b"/store/mc/A", first, 50), files(Kind.ORPHAN, b"/store/B", first, 100)])
    database.stage_unlisted(
        run, [(b"/store/mc/dark%03d" % n, Reason(n % 4 + 1), "Operation expired") for n in range(20)]
    )
    counts = RunCounts(files=4_000_000, directories=90_000, missing=50, orphan=100, unlisted=20, seconds=3000.0)
    database.finish_run(run, started + 3000, RunStatus.INCOMPLETE, counts, keep_findings=True)


def browser() -> Any:
    """Start the browser of the tests, without a window."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or chromium is None:
        sys.exit("chromium and chromedriver are missing; install Debian's chromium and chromium-driver")
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,900"):
        options.add_argument(argument)
    return Chrome(options=options, service=ChromeService(driver))


def loading(driver: Any, address: str, key: str, times: int = 7) -> tuple[float, float]:
    """Give seconds until the load event ended, and for sorting by a column; medians."""
    loads, sorts = [], []
    for _ in range(times):
        driver.get(address)
        timing = "const t = performance.getEntriesByType('navigation')[0]; return t.loadEventEnd / 1000"
        while not (seconds := driver.execute_script(timing)):
            time.sleep(0.01)
        # What the load event did not wait for is laid out now.
        layout = "const t = performance.now(); document.body.offsetHeight; return (performance.now() - t) / 1000"
        loads.append(seconds + driver.execute_script(layout))
        sorts.append(
            driver.execute_script(
                f"const b = document.querySelector('[data-key={key}] button'), t = performance.now();"
                "b.click(); document.body.offsetHeight; return (performance.now() - t) / 1000"
            )
        )
    return median(loads), median(sorts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--where", type=Path, help="directory for the page (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.where) as directory:
        web, history = Path(directory) / "www", Path(directory) / "db" / "consistency.db"
        web.mkdir()
        names = plant(web, history, options.sites, options.runs)
        print(f"{options.sites} sites with {options.runs} runs each")
        with timed("build"):
            build_page(web, history, PageLimits(), NOW)
        with timed("build again, nothing changed"):
            build_page(web, history, PageLimits(), NOW + 60)
        with HistoryDatabase(history) as database:
            enter_run(database, names[0], NOW)
        with timed("build again, one site had a run"):
            build_page(web, history, PageLimits(), NOW + 120)
        print(f"{'size of the table':<44}{(web / 'index.html').stat().st_size / 1e6:8.3f} MB")
        print(f"{'size of all pages':<44}{sum(p.stat().st_size for p in web.rglob('*.html')) / 1e6:8.3f} MB")
        server = PageServer(web, "127.0.0.1", 0, lambda: None)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        driver = browser()
        try:
            for where, base in (("a server", server.url), ("the disk", web.as_uri() + "/")):
                for what, page, key in (
                    ("the table", "index.html", "orphan"),
                    ("the page of a site", f"sites/{names[0]}.html", "orphan"),
                ):
                    load, order = loading(driver, base + page, key)
                    print(f"{f'load {what} from {where}':<44}{load:8.3f} s, sort {order:.3f} s")
        finally:
            driver.quit()
            server.shutdown()
            server.server_close()


if __name__ == "__main__":
    main()
