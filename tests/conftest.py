import gc
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.faults import table
from tests.servers.fixtures import (
    apache_directory,
    apache_server,
    http_directory,
    http_server,
    mariadb_server,
    postgres_server,
    rucio_server,
    s3_server,
    start_xrootd,
    xrootd_cluster,
    xrootd_directory,
    xrootd_pair,
    xrootd_server,
)
from tests.together import GroupScheduling, in_order

__all__ = [
    "apache_directory",
    "apache_server",
    "http_directory",
    "http_server",
    "mariadb_server",
    "postgres_server",
    "rucio_server",
    "s3_server",
    "start_xrootd",
    "xrootd_cluster",
    "xrootd_directory",
    "xrootd_pair",
    "xrootd_server",
]

# Tests measure no time: a machine that is busy makes nothing wrong.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    table.add_option(parser)
    table.add_lister_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    table.add_marks(config)
    # Whoever runs the tests in the background may have it ignored, and so would every program that they start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    table.leave_out_soak(config, items)
    items[:] = in_order(items)


def pytest_collection_finish() -> None:
    # Thousands of tests stay to the end: nobody need look through them, time and again, for what is needed no longer.
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    return GroupScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Let reports travel between processes: what a test printed or logged may hold names that are not UTF-8."""
    report = yield
    report.sections = [(title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections]
    return report
