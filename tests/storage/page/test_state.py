import re

import pytest

from engine.actions import ActionLimits
from engine.gates import Refusal
from engine.site_states import Reporting, SiteStatus
from storage.history import RunStatus
from storage.page.runs import Run
from storage.page.state import Tone, concerns, is_fresh, reporting_words, state_of
from storage.sites.summary import Heartbeat, SiteRow
from tests.storage.page.planting import DAY, HOUR, NOW

LIMITS = ActionLimits(100, 1000)


def row(status: SiteStatus = SiteStatus.READY, ready: bool = True, started: float | None = None) -> SiteRow:
    return SiteRow("T2_XX_Site", ready, status, Reporting.DRY, started)


def result(**counts: int) -> Run:
    return Run(1, NOW - HOUR, NOW - HOUR, RunStatus.DONE, **{"files": 10, **counts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("site", "words", "tone"),
    [
        (row(), "ready", Tone.NONE),
        (row(SiteStatus.LOCKED), "queued", Tone.BLUE),
        (row(SiteStatus.RUNNING, started=NOW - HOUR), "running", Tone.GREEN),
        (row(SiteStatus.RUNNING), "running", Tone.GREEN),
        (row(SiteStatus.RUNNING, started=NOW - DAY - 1), "running for over 24 h", Tone.YELLOW),
        (row(SiteStatus.HALT), "halted", Tone.GRAY),
        (row(SiteStatus.DISABLED), "disabled", Tone.GRAY),
        (row(ready=False), "not ready", Tone.GRAY),
        (row(SiteStatus.RUNNING, ready=False), "running", Tone.GREEN),
    ],
)
def test_each_state_has_words_and_a_colour(site: SiteRow, words: str, tone: Tone) -> None:
    state = state_of(site, result(), NOW)
    assert (state.words, state.tone) == (words, tone)


def test_a_run_says_how_far_it_is() -> None:
    sign = Heartbeat("listing", 12_345, 9, "nothing has\nanswered", NOW)
    state = state_of(row(SiteStatus.RUNNING, started=NOW - HOUR), result(), NOW, sign)
    assert re.fullmatch(
        r"running: listing, 12,345 directories, sign of life [0-9-]+ [0-9:]+ UTC; nothing has\\nanswered", state.words
    )
    # What a run has left that is over is not shown.
    assert state_of(row(), result(), NOW, sign).words == "ready"


def test_a_listing_without_files_is_red_unless_something_happens_now() -> None:
    empty = result(files=0)
    ready = state_of(row(), empty, NOW)
    assert (ready.words, ready.tone) == ("ready, no files in last listing", Tone.RED)
    running = state_of(row(SiteStatus.RUNNING, started=NOW), empty, NOW)
    assert (running.words, running.tone) == ("running, no files in last listing", Tone.GREEN)


def test_a_site_without_results_is_not_red() -> None:
    assert state_of(row(), None, NOW).tone == Tone.NONE


def test_results_are_fresh_for_a_day() -> None:
    assert is_fresh(result(), NOW)
    assert not is_fresh(result(), NOW + DAY)
    assert not is_fresh(None, NOW)


def test_acting_and_dry_runs_have_words() -> None:
    assert reporting_words(SiteRow("T2", reporting=Reporting.ACT)) == "acting"
    assert reporting_words(SiteRow("T2")) == "dry run"


def look(latest: Run | None, site: SiteRow | None = None, *before: Run) -> tuple[str, ...]:
    site = site or row()
    runs = [*before, *([latest] if latest else [])]
    return concerns(state_of(site, latest, NOW), runs, latest, LIMITS)


def test_what_is_as_it_should_be_needs_no_look() -> None:
    assert look(result(missing=100, orphan=1000, unlisted=5, unlisted_bad=0)) == ()
    assert look(None) == ()


@pytest.mark.parametrize(
    ("latest", "said"),
    [
        (result(missing=101), "MaxMissing"),
        (result(orphan=1001), "MaxOrphan"),
        (result(unlisted_bad=1), "1 directory could not be listed"),
        (result(unlisted_bad=2000), "2,000 directories could not be listed"),
        (result(files=0), "no files"),
    ],
)
def test_each_red_cell_needs_a_look(latest: Run, said: str) -> None:
    (found,) = look(latest)
    assert said in found


def test_a_run_that_failed_needs_a_look_until_the_next_one_ends() -> None:
    failed = Run(2, NOW, NOW, RunStatus.FAILED, "connection refused")
    going_on = Run(3, NOW, None, RunStatus.RUNNING)
    assert look(result(), None, failed) == ("the last run failed: connection refused",)
    assert look(result(), None, going_on, failed) == ("the last run failed: connection refused",)
    assert look(result(), None, result(), failed) == ()
    assert look(result(), None, Run(2, NOW, NOW, RunStatus.HALTED)) == ()


def test_a_cleaning_takes_nothing_back_of_a_check_that_failed() -> None:
    cleaning = Run(3, NOW, NOW, RunStatus.DONE, cleaned=True)
    assert look(result(), None, cleaning, Run(2, NOW, NOW, RunStatus.FAILED, "no")) == ("the last run failed: no",)


def test_a_run_of_over_a_day_needs_a_look() -> None:
    assert look(result(), row(SiteStatus.RUNNING, started=NOW - 2 * DAY)) == ("running for over 24 h",)


def test_a_disabled_site_is_left_in_peace() -> None:
    assert look(result(missing=10**6), row(SiteStatus.DISABLED)) == ()


def gated(*gates: Refusal, **counts: int) -> Run:
    return Run(2, NOW - HOUR, NOW - HOUR, RunStatus.DONE, gates=gates, **{"files": 10, **counts})  # type: ignore[arg-type]


def test_a_gate_that_is_closed_needs_a_look_with_its_figures() -> None:
    run = gated(Refusal("unlisted", "4 of 14 directories"), Refusal("old", "2 days"))
    assert concerns(state_of(row(), run, NOW), [run], run, LIMITS) == (
        "not acted on: gate unlisted: 4 of 14 directories",
        "not acted on: gate old: 2 days",
    )


def test_what_a_gate_says_of_too_many_is_not_said_twice() -> None:
    run = gated(Refusal("too-many", "101 missing files, MaxMissing is 100"), missing=101, orphan=1001)
    assert concerns(state_of(row(), run, NOW), [run], run, LIMITS) == (
        "not acted on: gate too-many: 101 missing files, MaxMissing is 100",
    )


def test_a_run_that_was_refused_needs_a_look_beside_the_gates_of_the_results_before() -> None:
    before = gated(Refusal("unlisted", "4 of 14"))
    refused = Run(3, NOW, NOW, RunStatus.FAILED, "fewer-files: 1", gates=(Refusal("fewer-files", "1"),))
    assert concerns(state_of(row(), before, NOW), [refused, before], before, LIMITS) == (
        "not acted on: gate unlisted: 4 of 14",
        "the last run failed: fewer-files: 1",
    )
