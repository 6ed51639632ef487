"""What a run shows in its file: while it goes on, when it ended, and however it ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.oversight import Killed, Oversight, Progress, Refused
from actors.runtime import Runtime
from actors.shown.followers import followers_of
from actors.shown.metrics import MetricsFile, RunMeasures
from engine.pace import DoorPace
from storage.atomic import ReportError
from storage.backends.protocols import BackendError
from tests.actors.small_site import SITE, Registry, Site, run, run_with


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, {"MetricsDir": "metrics"})


@pytest.fixture
def threads(start_threads: Callable[[], Runtime]) -> Runtime:
    return start_threads()


def read(file: Path) -> dict[str, float]:
    """Give the values in a file by ``name`` or ``name:label``, without what all have in common."""
    return {
        ":".join([sample.name.removeprefix("dynamo_consistency_"), *_but_site(sample.labels)]): sample.value
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    }


def _but_site(labels: dict[str, str]) -> list[str]:
    assert labels["site"] == SITE
    return [value for name, value in labels.items() if name != "site"]


def shown(site: Site) -> dict[str, float]:
    return read(site.home / f"metrics/{SITE}.prom")


def test_when_a_run_is_over_its_results_stay(threads: Runtime, site: Site) -> None:
    done = run(threads, site)
    found = shown(site)
    assert (found["running"], found["last_run_success"], found["last_run_status:done"]) == (0, 1, 1)
    kinds = {"missing": 2, "orphan": 1, "size_mismatch": 0, "empty": 1, "unlisted": 0, "protected": 0}
    assert {kind: found[f"findings:{kind}"] for kind in kinds} == kinds
    assert (found["findings_bytes:missing"], found["findings_bytes:orphan"]) == (20, 10)
    assert (found["listed_directories"], found["listed_files"], found["listed_bytes"]) == (3, 3, 30)
    assert found["run_start_timestamp_seconds"] == done.started
    assert found["last_good_run_timestamp_seconds"] == found["last_run_end_timestamp_seconds"] >= done.started
    assert not any(name.startswith(("door_", "run_phase", "queued")) for name in found)


def test_while_a_run_goes_on_it_says_how_far_it_is_and_what_the_last_one_found(threads: Runtime, site: Site) -> None:
    run(threads, site)
    phases: set[str] = set()

    def look(phase: str, _progress: Progress) -> None:
        found = shown(site)
        if found["running"]:
            phases.update(name.partition(":")[2] for name in found if name.startswith("run_phase"))
            assert found["findings:missing"] == 2
            assert found["last_run_success"] == 1

    def wait(phase: str, progress: Progress) -> None:
        # Whoever follows is told of each phase some time after it began.
        while phase == "reading the inventory" and phase not in phases:
            look(phase, progress)

    run(threads, site, Oversight(watch=wait))
    assert "reading the inventory" in phases
    assert shown(site)["running"] == 0


def test_a_run_that_failed_says_so_and_the_last_good_one_stays(threads: Runtime, site: Site) -> None:
    run(threads, site)
    good = shown(site)["last_good_run_timestamp_seconds"]
    for name in ("mc", "data"):
        (site.home / "store" / name).rename(site.home / f"{name} gone")
    with pytest.raises(Refused):
        run(threads, site)
    found = shown(site)
    assert (found["last_run_success"], found["last_run_status:failed"], found["last_run_gate_closed:root"]) == (0, 1, 1)
    assert (found["last_good_run_timestamp_seconds"], found["findings:missing"]) == (good, 2)
    assert found["last_run_end_timestamp_seconds"] > good


def test_a_run_that_ended_before_it_was_in_the_history_is_told_of_all_the_same(threads: Runtime, site: Site) -> None:
    run(threads, site)
    with pytest.raises(Killed):
        run(threads, site, Oversight(stop=lambda: "enough"))
    found = shown(site)
    assert (found["last_run_success"], found["last_run_status:halted"], found["findings:missing"]) == (0, 1, 2)


def test_a_failure_behind_the_results_is_no_success(threads: Runtime, site: Site) -> None:
    site.keys["MissingRuns"] = 1
    run(threads, site)
    site.act()
    done = run_with(threads, site, Registry("deletion"), Oversight())
    assert isinstance(done.failure, BackendError)
    found = shown(site)
    assert (found["last_run_success"], found["last_run_status:done"]) == (0, 1)
    assert found["last_good_run_timestamp_seconds"] > done.started


def test_a_process_that_is_told_to_end_at_once_was_halted(tmp_path: Path) -> None:
    source = RunMeasures(SITE, tmp_path / "none.db", 10.0, lambda: 15.0)
    file = MetricsFile(source, tmp_path)
    file.follow("listing", Progress(listed=3))
    file.leave()
    found = read(file.path)
    assert (found["last_run_status:halted"], found["last_run_duration_seconds"]) == (1, 5)
    assert (found["running"], found["listed_directories"]) == (0, 3)
    assert not (tmp_path / "none.db").exists()


def test_of_a_door_that_is_gone_nothing_stays(tmp_path: Path) -> None:
    file = MetricsFile(RunMeasures(SITE, tmp_path / "none.db", 10.0), tmp_path)
    file.follow("listing", Progress(doors=(DoorPace("a", 1, 1, 1, 0.1), DoorPace("b", 1, 1, 1, 0.1))))
    assert read(file.path).keys() >= {"door_latency_seconds:a", "door_latency_seconds:b"}
    file.follow("listing", Progress(doors=(DoorPace("b", 1, 1, 1, 0.1),)))
    assert "door_latency_seconds:a" not in read(file.path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{SITE}.prom"]


def test_names_are_escaped_and_the_file_is_what_prometheus_takes(tmp_path: Path) -> None:
    file = MetricsFile(RunMeasures(SITE, tmp_path / "none.db", 10.0), tmp_path)
    door = 'd"o\\o\nr\x00\udcff'
    file.follow('a "phase"', Progress(doors=(DoorPace(door, 1, 1, 1, 0.1),)))
    assert 'door_latency_seconds:d"o\\o\\nr\\x00\\udcff' in read(file.path)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=file.path.read_bytes(), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_what_a_killed_process_has_left_half_is_cleared_up(tmp_path: Path) -> None:
    (tmp_path / f".{SITE}.prom.01234567.tmp").write_text("half")
    file = MetricsFile(RunMeasures(SITE, tmp_path / "none.db", 10.0), tmp_path)
    file.follow("listing", Progress())
    assert [path.name for path in tmp_path.iterdir()] == [f"{SITE}.prom"]


def test_a_directory_that_cannot_be_written_ends_no_run(
    threads: Runtime, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    (site.home / "metrics").write_text("in the way")
    done = run(threads, site)
    assert done.results.comparison.missing == 2
    assert caplog.text.count(f"{site.home}/metrics") == 1
    with pytest.raises(ReportError, match="cannot be written"):
        MetricsFile(RunMeasures(SITE, site.home / "none.db", 1.0), site.home / "metrics").follow("listing", Progress())


def test_neither_ray_nor_prometheus_is_loaded_where_nobody_wants_it() -> None:
    code = """
import sys
from pathlib import Path
from actors.shown.followers import followers_of
from actors.shown.metrics import RunMeasures
from actors.threads import ThreadRuntime
followers_of(ThreadRuntime(), RunMeasures("T2_X", Path("none.db"), 1.0), Path("nowhere"))
print({"ray", "prometheus_client"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n"


def test_without_a_directory_nothing_is_written(threads: Runtime, tmp_path: Path) -> None:
    assert followers_of(threads, RunMeasures(SITE, tmp_path / "none.db", 10.0), None) == []
