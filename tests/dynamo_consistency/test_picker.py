from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_consistency import config, picker, signaling, summary
from tests.dynamo_consistency.summarised import SITES, configure, start

SRM = {"AccessMethod": "SRM"}


@pytest.fixture(autouse=True)
def configured(tmp_path: Path) -> Iterator[Path]:
    yield configure(tmp_path)
    for lock in summary._locks.values():
        lock.release()
    summary._locks.clear()


def test_pick_site() -> None:
    assert config.SITE is None
    assert picker.pick_site() == SITES[0] == config.SITE
    assert summary.get_status(SITES[0]) == summary.LOCKED
    assert picker.pick_site(pattern="^T2.*MIT$") == "T2_US_MIT" == config.SITE
    assert picker.pick_site() == "T2_DE_DESY"
    with pytest.raises(summary.NoMatchingSite, match="T2_US_MIT: picked by a process"):
        picker.pick_site()
    assert config.SITE == "T2_DE_DESY"


def test_pick_site_takes_the_one_that_has_not_run_in_the_longest_time() -> None:
    for site in reversed(SITES):
        summary.update_summary(site, 1.0, *[0] * 11)
    order = [picker.pick_site() for _ in SITES]
    assert order == SITES[::-1]


@pytest.mark.parametrize("pattern", ["T3", "(", "mit"])
def test_pick_site_raises_when_no_site_matches(pattern: str) -> None:
    with pytest.raises(summary.NoMatchingSite) as caught:
        picker.pick_site(pattern)
    assert "\n" not in str(caught.value)


def test_pick_site_leaves_out_what_is_not_ready() -> None:
    summary.set_status(SITES[0], summary.DISABLED)
    summary.set_status(SITES[1], summary.HALT)
    assert picker.pick_site() == SITES[2]
    with pytest.raises(summary.NoMatchingSite, match="T1_US_FNAL: disabled; T2_DE_DESY: halted"):
        picker.pick_site()


def test_pick_site_goes_on_with_a_site_that_this_process_was_told_to_halt() -> None:
    assert picker.pick_site("MIT") == "T2_US_MIT"
    signaling.halt(signal.SIGTERM, None)
    with pytest.raises(summary.NoMatchingSite, match="T2_US_MIT: halted"):
        picker.pick_site("MIT")
    summary.unlock_site("T2_US_MIT")
    assert summary.get_status("T2_US_MIT") == summary.HALT
    assert picker.pick_site("MIT") == "T2_US_MIT"
    assert summary.get_status("T2_US_MIT") == summary.LOCKED


def test_pick_site_asks_whether_a_site_should_be_checked_now(tmp_path: Path) -> None:
    configure(tmp_path, {"T2_A": {"FreeMem": 1e9}, "T2_B": {}})
    assert picker.pick_site() == "T2_B"
    with pytest.raises(summary.NoMatchingSite, match=r"T2_A: .* GB of memory"):
        picker.pick_site()


def test_pick_site_by_lock(tmp_path: Path) -> None:
    configure(tmp_path, {"T2_S1": SRM, "T2_S2": SRM, "T2_X": {}})
    assert picker.pick_site(lockname="gfal") == "T2_S1"
    with pytest.raises(summary.NoMatchingSite, match="T2_S2: the lock gfal is held"):
        picker.pick_site("S")
    assert picker.pick_site(lockname="") == "T2_X"
    with pytest.raises(summary.NoMatchingSite, match="T2_S2: needs the lock gfal"):
        picker.pick_site(lockname="")
    summary.unlock_site("T2_S1")
    assert picker.pick_site("S2") == "T2_S2"


def test_pick_site_and_its_lock_end_with_the_process(tmp_path: Path) -> None:
    configure(tmp_path, {"T2_S1": SRM, "T2_S2": SRM})
    child = start("from dynamo_consistency import picker; print(picker.pick_site(), flush=True); input()", tmp_path)
    assert child.stdout is not None
    assert child.stdout.readline() == "T2_S1\n"
    with pytest.raises(summary.NoMatchingSite, match="T2_S1: picked by a process; T2_S2: the lock gfal is held"):
        picker.pick_site()
    child.kill()
    child.communicate(timeout=60)
    assert picker.pick_site() == "T2_S1"
