"""The page is told how far a run is: how fast of late, when it may end, and nothing any more when it is over."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from actors.oversight import Progress
from actors.runtime import Runtime
from actors.shown.live_page import Clocks, LivePage, expected_directories
from engine.pace import DoorPace
from engine.states import Reason
from storage.atomic import ReportError
from storage.history import RunStatus
from storage.page.live import LiveFile
from tests.actors.small_site import SITE, Site, run
from tests.storage.page.planting import NOW, Planted


@dataclass
class Following:
    """A follower under a time of the test's own."""

    web: Path
    expected: int = 0
    number: int | None = None
    asked: int = 0
    seconds: float = 0.0
    clock: float = NOW
    follower: LivePage = field(init=False)

    def __post_init__(self) -> None:
        clocks = Clocks(lambda: self.clock + self.seconds, lambda: self.seconds)
        self.follower = LivePage(self.web, SITE, NOW - 30, lambda: self.number, self.ask, clocks)

    def ask(self) -> int:
        self.asked += 1
        return self.expected

    def follow(self, phase: str, after: float = 5.0, **progress: Any) -> dict[str, Any]:
        """Let some seconds pass, and give what is written then."""
        self.seconds += after
        self.follower.follow(phase, Progress(**progress))
        found: dict[str, Any] = json.loads((self.web / f"live/{SITE}.json").read_text())
        return found


def test_what_a_run_counts_is_shown(tmp_path: Path) -> None:
    following = Following(tmp_path)
    first = following.follow("starting", 0)
    assert (first["site"], first["run"], first["phase"], first["started"]) == (SITE, None, "starting", NOW - 30)
    following.number = 7
    failures = tuple((b"/store/%d" % number, Reason.TIMEOUT, "no answer") for number in range(20))
    found = following.follow(
        "listing",
        listed=5,
        failed=20,
        ignored=2,
        files=9,
        size=90,
        queued=3,
        in_flight=4,
        requests=30,
        resumed=1,
        taken=2,
        failures=failures,
        note="slow",
        doors=(DoorPace("root://door:1094", 64, 4, 3, 0.25),),
    )
    assert (found["run"], found["phase"], found["note"]) == (7, "listing", "slow")
    assert (found["written"], found["phase_started"]) == (NOW + 5, NOW + 5)
    counts = ("listed", "failed", "ignored", "files", "bytes", "queued", "in_flight", "requests", "resumed")
    assert [found[name] for name in (*counts, "taken_over")] == [5, 20, 2, 9, 90, 3, 4, 30, 1, 2]
    door = {"door": "root://door:1094", "window": 64, "connections": 4, "in_flight": 3, "latency": 0.25}
    assert found["doors"] == [door]
    assert [failure["path"] for failure in found["failures"]] == [f"/store/{number}" for number in range(10, 20)]
    assert found["failures"][0] == {"path": "/store/10", "reason": "timeout", "detail": "no answer"}


def test_an_end_is_estimated_from_the_size_of_the_last_run(tmp_path: Path) -> None:
    following = Following(tmp_path, expected=1000)
    first = following.follow("listing", listed=0, queued=1)
    assert (first["rate"], first["share"], first["seconds_left"]) == (None, 0.0, None)
    for second in range(5, 31, 5):
        found = following.follow("listing", listed=10 * second, queued=10)
    assert (found["rate"], found["expected"], found["share"]) == (10, 1000, 0.3)
    assert found["seconds_left"] == pytest.approx(70)
    assert following.asked == 1, "it is the same all the while"


def test_what_was_resumed_is_done_and_says_nothing_of_the_speed(tmp_path: Path) -> None:
    following = Following(tmp_path, expected=1000)
    following.follow("listing", listed=0)
    for second in range(5, 31, 5):
        found = following.follow("listing", listed=500 + 10 * second, resumed=500)
    assert found["rate"] == 10
    assert found["seconds_left"] == pytest.approx(20)


def test_a_site_that_was_never_listed_has_no_estimate(tmp_path: Path) -> None:
    following = Following(tmp_path)
    for second in range(0, 60, 5):
        found = following.follow("listing", listed=10 * second, queued=10)
    assert found["rate"] == 10
    assert (found["expected"], found["share"], found["seconds_left"]) == (None, None, None)


def test_a_site_that_has_grown_says_so(tmp_path: Path) -> None:
    following = Following(tmp_path, expected=100)
    for second in range(0, 60, 5):
        found = following.follow("listing", listed=10 * second, queued=10)
    assert (found["share"], found["seconds_left"], found["more_than_last"]) == (None, None, True)


def test_directories_that_are_listed_after_all_do_not_count_twice(tmp_path: Path) -> None:
    following = Following(tmp_path, expected=1000)
    found = following.follow("listing", listed=1000, taken=900, queued=500)
    assert (found["share"], found["more_than_last"]) == (1.0, False)


@pytest.mark.parametrize("phase", ["reading the inventory", "comparing", "listing unmerged", "asking the registry"])
def test_no_other_phase_has_an_estimate(tmp_path: Path, phase: str) -> None:
    following = Following(tmp_path, expected=1000)
    for second in range(0, 60, 5):
        found = following.follow(phase, listed=10 * second)
    assert (found["share"], found["seconds_left"], found["more_than_last"]) == (None, None, False)


def test_the_speed_of_one_phase_says_nothing_of_the_next(tmp_path: Path) -> None:
    following = Following(tmp_path)
    for second in range(0, 60, 5):
        following.follow("listing", listed=10 * second)
    assert following.follow("comparing", listed=590)["rate"] is None
    assert following.follow("comparing", listed=590)["rate"] == 0


def test_a_machine_that_slept_was_not_slow(tmp_path: Path) -> None:
    following = Following(tmp_path)
    following.follow("listing", listed=0)
    following.follow("listing", listed=50)
    assert following.follow("listing", after=7200, listed=350)["rate"] == 10


def test_a_clock_that_is_set_changes_no_speed(tmp_path: Path) -> None:
    following = Following(tmp_path)
    following.follow("listing", listed=0)
    following.clock -= 86400
    found = following.follow("listing", listed=50)
    assert (found["rate"], found["written"]) == (10, NOW - 86400 + 10)


def test_nothing_is_left_when_the_run_is_over(tmp_path: Path) -> None:
    following = Following(tmp_path)
    following.follow("listing", listed=5)
    following.follower.leave()
    assert [path.name for path in (tmp_path / "live").iterdir()] == ["~running.json"]
    following.follower.leave()


def test_a_page_that_cannot_be_written_is_the_pulses_to_tell_of(tmp_path: Path) -> None:
    (tmp_path / "live").write_text("a file")
    with pytest.raises(ReportError):
        Following(tmp_path).follower.follow("listing", Progress())


def expected(planted: Planted) -> int:
    return expected_directories(SITE, planted.history, planted.web / "stats.db")


def test_the_last_run_with_results_says_how_many_directories_to_expect(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    assert expected(planted) == 0
    planted.result(SITE, nodes=70, unlisted=5, unlisted_bad=2)
    assert expected(planted) == 72, "the summary knows runs of earlier versions"
    planted.run(SITE, NOW - 5000, files=3000)
    planted.run(SITE, NOW - 4000, RunStatus.INCOMPLETE, files=2000, unlisted=[(b"/a", Reason.TIMEOUT, "")])
    planted.run(SITE, NOW - 3000, RunStatus.FAILED, files=10)
    planted.run(SITE, NOW - 2000, RunStatus.HALTED, files=10)
    planted.run("T2_OTHER", NOW - 1000, files=10)
    planted.run(SITE, NOW, RunStatus.RUNNING)
    assert expected(planted) == 201


@pytest.mark.parametrize("damaged", ["history", "summary"])
def test_a_damaged_database_means_that_nobody_knows(
    tmp_path: Path, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    planted = Planted(tmp_path)
    path = planted.history if damaged == "history" else planted.web / "stats.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("nonsense" * 500)
    assert expected(planted) == 0
    assert "no end is estimated" in caplog.text


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is written by all runs, in order."""
    written: list[dict[str, Any]] = []
    write = LiveFile.write

    def note(self: LiveFile, live: Any) -> None:
        write(self, live)
        written.append(json.loads(self.path.read_text()))

    monkeypatch.setattr(LiveFile, "write", note)
    return written


def test_a_run_is_on_the_page_as_long_as_it_goes_on(
    runtime: Runtime, tmp_path: Path, writes: list[dict[str, Any]]
) -> None:
    site = Site(tmp_path)
    run(runtime, site)
    assert [found["expected"] for found in writes] == [None] * len(writes)
    first = len(writes)
    run(runtime, site)
    assert [found["expected"] for found in writes[first:]] == [3] * (len(writes) - first)
    assert all(found["site"] == SITE for found in writes)
    last = writes[-1]
    assert (last["run"], last["listed"], last["files"]) == (2, 3, 3)
    assert json.loads((site.www / "live/~running.json").read_text())["running"] == []
    assert not (site.www / f"live/{SITE}.json").exists()


def test_a_run_that_fails_leaves_the_page(
    start_threads: Callable[[], Runtime], tmp_path: Path, writes: list[dict[str, Any]]
) -> None:
    site = Site(tmp_path)
    (site.home / "inventory.csv").write_text("nonsense\n\0")
    with pytest.raises(Exception, match=r"inventory\.csv"):
        run(start_threads(), site)
    assert writes
    assert not (site.www / f"live/{SITE}.json").exists()


def test_a_run_that_leaves_the_summary_alone_is_not_on_the_page(
    start_threads: Callable[[], Runtime], tmp_path: Path, writes: list[dict[str, Any]]
) -> None:
    run(start_threads(), Site(tmp_path), summary=False)
    assert writes == []


def test_a_page_that_cannot_be_written_ends_no_run(
    start_threads: Callable[[], Runtime], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path)
    site.www.mkdir()
    (site.www / "live").write_text("a file")
    done = run(start_threads(), site)
    assert done.results.comparison.missing == 2
    assert f"{SITE}: LivePage: {site.www}/live: cannot be written" in caplog.text
