"""The board of Grafana and the documentation are of what there is; what its queries give is in `test_real_run`."""

from __future__ import annotations

import json
import re
from typing import Any

from actors.shown.measures import METRICS
from tests.monitoring.conftest import MONITORING, queries
from tests.servers.prometheus import promtool

BOARD: dict[str, Any] = json.loads((MONITORING / "grafana-board.json").read_text())
PAGE = (MONITORING / "README.md").read_text()


def test_every_query_is_of_the_chosen_sites_and_of_metrics_that_there_are() -> None:
    known = {metric.name for metric in METRICS}
    used = set()
    for query in queries():
        names = re.findall(r"\bdynamo_consistency_\w+", query.text)
        assert names
        assert query.text.count('{site=~"$site"') == len(names), query
        used.update(names)
    assert used <= known
    # What is not on the board is of use in queries of one's own.
    assert {name.removeprefix("dynamo_consistency_") for name in known - used} == {
        "checksums",
        "updated_timestamp_seconds",
        "ignored_directories",
        "resumed_directories",
        "taken_over_directories",
        "last_run_end_timestamp_seconds",
        "last_run_status",
        "last_good_run_bytes",
    }


def test_the_board_is_what_grafana_imports() -> None:
    assert BOARD["schemaVersion"] >= 37
    assert [variable["name"] for variable in BOARD["templating"]["list"]] == ["datasource", "site"]
    assert [variable["type"] for variable in BOARD["templating"]["list"]] == ["datasource", "query"]
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["type"] in ("row", "stat", "table", "timeseries")
        assert panel["title"]
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert target["instant"] != target["range"]
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)


def test_the_configuration_of_the_page_is_one() -> None:
    assert "SUCCESS" in promtool("check", "config", MONITORING / "prometheus.yml")


def test_the_page_has_a_row_for_each_metric() -> None:
    rows = dict(re.findall(r"^\| `(\w+)`.*?\| (\w*) *\|", PAGE, re.MULTILINE))
    expected = {metric.name.removeprefix("dynamo_consistency_"): metric.label for metric in METRICS}
    assert {name: label for name, label in rows.items() if name in expected} == expected
