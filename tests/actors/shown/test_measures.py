from __future__ import annotations

import pytest

from actors.oversight import Progress
from actors.shown.measures import DOOR_LATENCY, METRICS, Ended, Measure, Past, ended, measures, past
from engine.gates import Refusal
from engine.pace import DoorPace
from engine.states import Reason
from storage.history import RunCounts, RunRow, RunSigns, RunStatus, Table

SITE = "T2_X"
EVERYTHING = frozenset((Table.MISSING, Table.ORPHANS, Table.MISMATCHES, Table.EMPTY))
FOUND = RunCounts(
    files=100,
    directories=10,
    bytes=1000,
    missing=3,
    missing_bytes=30,
    orphan=2,
    orphan_bytes=20,
    size_mismatch=1,
    unlisted=4,
    seconds=60.0,
)


def row(
    number: int,
    status: RunStatus,
    counts: RunCounts = FOUND,
    reported: frozenset[Table] = EVERYTHING,
    gates: tuple[Refusal, ...] = (),
) -> RunRow:
    started = 1000.0 * number
    finished = None if status in (RunStatus.RUNNING, RunStatus.DIED) else started + 60.0
    return RunRow(number, SITE, started, finished, status, "", "threads", counts, reported, RunSigns(gates=gates))


def values(found: list[Measure], name: str) -> dict[str, float]:
    """Give the values of a metric by its second label."""
    return {
        "".join(measure.values[1:]): measure.value
        for measure in found
        if measure.metric.name == f"dynamo_consistency_{name}"
    }


def test_a_run_says_how_far_it_is() -> None:
    progress = Progress(
        listed=5,
        failed=1,
        files=7,
        size=70,
        queued=3,
        in_flight=2,
        requests=9,
        listers=4,
        failed_by=((Reason.TIMEOUT, 4),),
    )
    found = measures(SITE, "listing", progress, Past(), 10.0, 15.0)
    assert {measure.values[0] for measure in found} == {SITE}
    assert values(found, "running") == {"": 1.0}
    assert values(found, "run_phase") == {"listing": 1.0}
    assert values(found, "run_start_timestamp_seconds") == {"": 10.0}
    assert values(found, "updated_timestamp_seconds") == {"": 15.0}
    names = ("listed_directories", "failed_directories", "listed_files", "listed_bytes", "queued_directories")
    assert [values(found, name)[""] for name in names] == [5, 1, 7, 70, 3]
    assert [values(found, name)[""] for name in ("in_flight_directories", "requests_total", "listers")] == [2, 9, 4]
    assert values(found, "failures_total") == {"timeout": 4.0}
    assert values(found, "last_run_success") == {}


def test_each_door_is_measured() -> None:
    doors = (DoorPace("a:1094", 8, 2, 3, 0.25, 40, 4), DoorPace("b:1094", 16, 4, 9, 0.5, 50, 0))
    found = measures(SITE, "listing", Progress(doors=doors), Past(), 10.0, 15.0)
    assert values(found, "door_window_requests") == {"a:1094": 8, "b:1094": 16}
    assert values(found, "door_in_flight_requests") == {"a:1094": 3, "b:1094": 9}
    assert values(found, "door_connections") == {"a:1094": 2, "b:1094": 4}
    assert values(found, "door_latency_seconds") == {"a:1094": 0.25, "b:1094": 0.5}
    assert values(found, "door_requests_total") == {"a:1094": 40, "b:1094": 50}
    assert values(found, "door_failures_total") == {"a:1094": 4, "b:1094": 0}


def test_a_run_that_is_over_has_counts_and_neither_phase_nor_queue_nor_doors() -> None:
    progress = Progress(listed=5, queued=3, doors=(DoorPace("a:1094", 8, 2, 3, 0.25),))
    found = measures(SITE, "listing", progress, Past(), 10.0, 15.0, running=False)
    assert values(found, "running") == {"": 0.0}
    assert values(found, "listed_directories") == {"": 5.0}
    assert not any("door" in measure.metric.name for measure in found)
    assert values(found, "run_phase") == values(found, "queued_directories") == {}


def test_what_the_last_run_found_is_shown_by_kind() -> None:
    before = past([row(2, RunStatus.INCOMPLETE), row(1, RunStatus.FAILED)], row(2, RunStatus.INCOMPLETE), 3000.0)
    found = measures(SITE, "starting", Progress(), before, 3000.0, 3001.0)
    kinds = {"missing": 3, "orphan": 2, "size_mismatch": 1, "empty": 0, "unlisted": 4, "protected": 0}
    assert values(found, "findings") == kinds
    assert values(found, "findings_bytes") == {"missing": 30, "orphan": 20}
    assert values(found, "last_good_run_timestamp_seconds") == {"": 2060.0}
    assert values(found, "last_good_run_files") == {"": 100}
    assert values(found, "last_run_status") == {"incomplete": 1.0}
    assert values(found, "last_run_success") == {"": 1.0}
    assert values(found, "last_run_duration_seconds") == {"": 60.0}


def test_a_failed_run_leaves_the_findings_of_the_one_before() -> None:
    gates = (Refusal("root", "none listed"), Refusal("too-many", "a"), Refusal("too-many", "b"))
    rows = [row(2, RunStatus.FAILED, RunCounts(), frozenset(), gates), row(1, RunStatus.DONE)]
    found = measures(SITE, "starting", Progress(), past(rows, rows[1], 3000.0), 3000.0, 3001.0)
    assert values(found, "last_run_success") == {"": 0.0}
    assert values(found, "last_run_status") == {"failed": 1.0}
    assert values(found, "last_run_gate_closed") == {"root": 1.0, "too-many": 1.0}
    assert values(found, "findings")["missing"] == 3
    assert values(found, "last_good_run_timestamp_seconds") == {"": 1060.0}


def test_what_a_run_did_not_look_for_is_not_said_to_be_none() -> None:
    alone = row(1, RunStatus.DONE, reported=frozenset())
    found = measures(SITE, "starting", Progress(), past([alone], None, 3000.0), 3000.0, 3001.0)
    assert values(found, "findings") == {"unlisted": 4}
    assert values(found, "findings_bytes") == {}


def test_this_run_is_none_of_those_before_it_and_one_that_seems_to_run_has_died() -> None:
    rows = [row(3, RunStatus.RUNNING), row(2, RunStatus.RUNNING), row(1, RunStatus.DONE)]
    before = past(rows, rows[2], 3000.0)
    assert before.last == Ended("died", None, 60.0, False)
    assert before.good == rows[2]


def test_a_cleaning_is_no_run() -> None:
    cleaned = row(2, RunStatus.DONE, reported=frozenset((Table.UNMERGED,)))
    assert past([cleaned], None, 3000.0) == Past()


@pytest.mark.parametrize("status", list(RunStatus))
def test_only_a_run_with_results_is_a_success(status: RunStatus) -> None:
    assert ended(row(1, status)).success == (status in (RunStatus.DONE, RunStatus.INCOMPLETE))


def test_names_follow_the_conventions() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS) > 30
    assert DOOR_LATENCY.labels == ("site", "door")
    for metric in METRICS:
        assert metric.name.startswith("dynamo_consistency_")
        assert metric.help.endswith(".")
        assert metric.is_counter == metric.name.endswith("_total")


def test_checksums_are_told_where_they_were_compared() -> None:
    counts = RunCounts(checksum_mismatch=2, checksums=90, checksums_unchecked=8)
    compared = row(1, RunStatus.DONE, counts, EVERYTHING | {Table.CHECKSUMS})
    found = measures(SITE, "", Progress(), Past(None, compared, compared), 10.0, 15.0)
    assert values(found, "checksums") == {"compared": 90.0, "unchecked": 8.0}
    assert values(found, "findings")["checksum_mismatch"] == 2.0
    other = row(2, RunStatus.DONE)
    found = measures(SITE, "", Progress(), Past(None, other, other), 10.0, 15.0)
    assert values(found, "checksums") == {}
    assert "checksum_mismatch" not in values(found, "findings")
