from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from dynamo_consistency import config, messaging, signaling, summary
from tests.dynamo_consistency.summarised import configure

SITE = "T2_US_MIT"


@pytest.fixture(autouse=True)
def configured(tmp_path: Path) -> Path:
    return configure(tmp_path)


def test_halt() -> None:
    summary.running(SITE)
    config.SITE = SITE
    checker = messaging.Checker(timeout=0)
    assert checker.isrunning()
    signaling.halt(signal.SIGINT, None)
    assert summary.get_status(SITE) == summary.HALT
    assert not checker.isrunning()


def test_halt_leaves_a_disabled_site_disabled() -> None:
    config.SITE = SITE
    summary.set_status(SITE, summary.DISABLED)
    signaling.halt(signal.SIGTERM, None)
    assert summary.get_status(SITE) == summary.DISABLED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_halt_as_a_handler(number: signal.Signals) -> None:
    summary.running(SITE)
    config.SITE = SITE
    before = signal.signal(number, signaling.halt)
    try:
        os.kill(os.getpid(), number)
        assert summary.get_status(SITE) == summary.HALT
    finally:
        signal.signal(number, before)


def test_halt_without_a_site_ends_the_program() -> None:
    for site in (None, "T2_None"):
        config.SITE = site
        with pytest.raises(KeyboardInterrupt):
            signaling.halt(signal.SIGINT, None)


def test_halt_does_not_wait_for_what_it_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    summary.running(SITE)
    config.SITE = SITE
    monkeypatch.setattr(signaling, "_SOON", 0.05)
    before = set(threading.enumerate())
    conn = summary.LockedConn()
    signaling.halt(signal.SIGINT, None)
    assert summary.get_status(SITE) == summary.RUNNING
    conn.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert summary.get_status(SITE) == summary.HALT
