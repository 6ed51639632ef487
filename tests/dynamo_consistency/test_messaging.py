from __future__ import annotations

from pathlib import Path

import pytest

import actors.messages
from dynamo_consistency import config, messaging, summary
from tests.dynamo_consistency.summarised import configure

SITE = "T2_US_MIT"


@pytest.fixture(autouse=True)
def configured(tmp_path: Path) -> Path:
    return configure(tmp_path)


def test_killed() -> None:
    assert issubclass(messaging.Killed, Exception)
    assert messaging.Killed is actors.messages.Killed


def test_checker() -> None:
    summary.running(SITE)
    checker = messaging.Checker(SITE, timeout=0)
    assert checker.isrunning() is True
    for status in (summary.HALT, summary.DISABLED, summary.READY):
        summary.set_status(SITE, status)
        assert checker.isrunning() is False
    summary.set_status(SITE, summary.LOCKED)
    assert checker.isrunning() is True


def test_checker_isrunning_looks_only_so_often() -> None:
    summary.running(SITE)
    checker = messaging.Checker(SITE)
    assert checker.timeout == 15
    assert checker.isrunning()
    summary.set_status(SITE, summary.HALT)
    assert checker.isrunning()
    assert not messaging.Checker(SITE, 15, locking=False).isrunning()


def test_checker_takes_the_site_that_was_picked() -> None:
    config.SITE = SITE
    checker = messaging.Checker(timeout=0)
    assert checker.site == SITE
    assert not checker.isrunning()
    summary.running(SITE)
    assert checker.isrunning()


def test_checker_without_a_site_is_stopped_by_nobody() -> None:
    assert messaging.Checker().isrunning()


def test_checker_of_a_site_that_nobody_knows() -> None:
    assert not messaging.Checker("T2_None").isrunning()
