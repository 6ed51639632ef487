"""What a real run shows, while it goes on and when it is over, to a real Prometheus and in Ray's dashboard."""

from __future__ import annotations

import time

import pytest

from tests.monitoring.conftest import WAYS, Watched


def most(watched: Watched, metric: str, way: str, label: str) -> dict[str, float]:
    """Give the highest values that a metric has had, by a label."""
    selected = f'dynamo_consistency_{metric}{{job="{way}"}}'
    return watched.prometheus.values(f"max by ({label}) (max_over_time({selected}[10m]))", label)


def last(watched: Watched, metric: str, way: str, label: str = "site") -> dict[str, float]:
    """Give the values that a metric had last in the run that began last, by a label."""
    selected = f'dynamo_consistency_{metric}{{job="{way}"}}'
    series = watched.prometheus.now(f"last_over_time({selected}[10m]) and on (job, instance, WorkerId) {newest(way)}")
    return {one["metric"][label]: float(one["value"][1]) for one in series}


def newest(way: str) -> str:
    """Give what selects the process of the last run; Ray has the figures of each apart."""
    began = f'last_over_time(dynamo_consistency_run_start_timestamp_seconds{{job="{way}"}}[10m])'
    return f"({began} == on () group_left () max({began}))"


def test_every_query_of_the_board_has_data(watched: Watched) -> None:
    assert watched.without_data() == []


@pytest.mark.parametrize("way", WAYS)
def test_each_door_is_shown_with_its_pace_and_its_failures(watched: Watched, way: str) -> None:
    doors = most(watched, "door_latency_seconds", way, "door")
    assert len(doors) == 2
    assert doors[watched.door] > 0.2
    failures = most(watched, "door_failures_total", way, "door")
    assert failures.pop(watched.door) == 0
    assert min(failures.values()) > 0
    assert most(watched, "door_window_requests", way, "door")[watched.door] > 1
    assert most(watched, "failures_total", way, "reason").keys() >= {"connection", "permission"}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_found_is_shown_when_the_run_is_over(watched: Watched, way: str) -> None:
    assert watched.ended is not None
    assert watched.ended.code == 0, watched.ended.err
    give_up = time.monotonic() + 30
    while last(watched, "running", way) != {watched.site.name: 0.0}:
        assert time.monotonic() < give_up
        time.sleep(0.2)
    expected = watched.site.expected()
    found = last(watched, "findings", way, "kind")
    kinds = ("missing", "orphan", "size_mismatch", "empty", "unlisted", "protected")
    assert found == {kind: expected[kind] for kind in kinds}
    assert last(watched, "last_run_success", way) == {watched.site.name: 1.0}
    assert last(watched, "last_run_gate_closed", way, "gate") == {"too-many": 1.0}
    assert last(watched, "listed_files", way) == {watched.site.name: watched.site.files}


def test_of_the_doors_of_a_run_that_is_over_nothing_stays_in_its_file(watched: Watched) -> None:
    text = (watched.site.home / f"metrics/{watched.site.name}.prom").read_text()
    assert "dynamo_consistency_door_" not in text
    assert "dynamo_consistency_running" in text


def test_every_rule_can_be_evaluated_and_a_gate_that_closed_raises_its_alert(watched: Watched) -> None:
    rules = [rule for group in watched.prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    raised = {(alert["labels"]["alertname"], alert["labels"]["site"]) for rule in rules for alert in rule["alerts"]}
    assert ("ConsistencyGateClosed", watched.site.name) in raised
    assert not {name for name, _ in raised} & {"ConsistencyRunFailed", "ConsistencyNoGoodRun", "ConsistencyRunSilent"}


def test_the_job_has_its_site_in_its_name_in_the_dashboard(watched: Watched) -> None:
    name = watched.site.name
    (job,) = [job for job in watched.jobs if job["status"] == "RUNNING" and job["metadata"]]
    assert job["metadata"] == {"job_name": f"check {name}", "site": name}
    assert job["type"] == "DRIVER"
    assert f"check {name}" in job["entrypoint"]


def test_the_actors_of_a_run_have_names_of_their_own_in_the_dashboard(watched: Watched) -> None:
    name = watched.site.name
    alive = {actor["name"] for actor in watched.actors if actor["state"] == "ALIVE"}
    assert alive >= {f"coordinator:{name}", f"lister:{name}:1", f"lister:{name}:2", f"history-store:{name}"}
    assert {job["job_id"] for job in watched.jobs} >= {actor["job_id"] for actor in watched.actors}


def test_the_log_of_the_coordinator_says_how_far_it_is(watched: Watched) -> None:
    name = watched.site.name
    (line, *_) = [line for line in watched.log.splitlines() if " directories, " in line]
    assert f"DEBUG {name} run 2 coordinator:{name} actors.coordinator: " in line


def test_the_dashboard_shows_no_secret(watched: Watched) -> None:
    assert watched.node.env["RAY_AUTH_TOKEN"] not in str(watched.jobs) + str(watched.actors) + watched.log
