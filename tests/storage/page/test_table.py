from dataclasses import replace

import pytest

from engine.actions import ActionLimits
from engine.site_states import Reporting, SiteStatus
from storage.history import RunStatus
from storage.history.changes import Changed, Changes
from storage.page import files
from storage.page.columns import COLUMNS
from storage.page.facts import SiteFacts
from storage.page.runs import Run
from storage.page.state import Tone
from storage.page.table import Cell, TableRow, table_row
from storage.sites.summary import SiteRow
from tests.storage.page.planting import DAY, ENDINGS, HOUR, NOW

SITE = "T2_XX_Site"
LIMITS = ActionLimits(100, 1000)
RUN = Run(
    *(1, NOW - 2 * HOUR, NOW - HOUR, RunStatus.DONE),
    seconds=5400.0,
    files=123456,
    nodes=789,
    unlisted=12,
    unlisted_bad=3,
    empty=45,
    missing=67,
    missing_bytes=5 * 10**12,
    no_source=8,
    unrecoverable=2,
    orphan=910,
    orphan_bytes=10**9,
    unmerged=50,
    unmerged_logs=20,
)


def facts(latest: Run | None = RUN, site: str = SITE, lists: bool = True, **more: object) -> SiteFacts:
    present = {f"{site}{ending}": 10 for ending in ENDINGS} if lists else {}
    row = SiteRow(site, True, SiteStatus.READY, Reporting.ACT)
    runs = (latest,) if latest else ()
    made = SiteFacts(row, latest, runs, lists=files.lists_of(site, present))
    return replace(made, **more)  # type: ignore[arg-type]


def row(of: SiteFacts | None = None, limits: ActionLimits = LIMITS) -> TableRow:
    return table_row(of or facts(), limits, NOW)


def text(cell: Cell) -> str:
    return "".join(part.text for part in cell.parts)


def test_the_cells_are_those_of_the_columns() -> None:
    assert [cell.key for cell in row().cells] == [column.key for column in COLUMNS]
    assert [column.label for column in COLUMNS] == [
        *("Last Update", "Site Name", "Last Ten Runs", "Time [min]", "Number Files", "Number Nodes"),
        *("Unlisted (error)", "Empty Nodes", "Num Missing", "No Disk (no tape)", "Size [TB]", "Num Orphan"),
        *("Size [TB]", "Unmerged Cleaned (logs)"),
    ]


def test_every_column_shows_what_it_is_called() -> None:
    shown = {cell.key: text(cell) for cell in row().cells}
    assert shown == {
        "updated": "2026-05-28 19:26",
        "site": SITE,
        "runs": "",
        "time": "90.0",
        "files": "123,456",
        "nodes": "789",
        "unlisted": "12 (3)",
        "empty": "45",
        "missing": "67",
        "nosource": "8 (2)",
        "missing_size": "5.00",
        "orphan": "910",
        "orphan_size": "<0.01",
        "unmerged": "50 (20)",
    }


def test_every_number_leads_to_its_list() -> None:
    links = {cell.key: [part.href for part in (*cell.parts, *cell.below) if part.href] for cell in row().cells}
    assert links == {
        "updated": [f"sites/{SITE}.html"],
        "site": [f"{SITE}.log"],
        "runs": [],
        "time": [],
        "files": [f"{SITE}_storage.json"],
        "nodes": [],
        "unlisted": [f"{SITE}_unlisted.txt"],
        "empty": [f"{SITE}_empty.txt"],
        "missing": [f"{SITE}_compare_missing.txt", f"{SITE}_missing_datasets.txt"],
        "nosource": [f"{SITE}_missing_nosite.txt", f"{SITE}_unrecoverable.txt"],
        "missing_size": [],
        "orphan": [f"{SITE}_compare_orphan.txt"],
        "orphan_size": [],
        "unmerged": [f"{SITE}_unmerged.txt"],
    }


def test_a_list_that_is_not_there_is_no_link() -> None:
    found = row(facts(lists=False))
    links = [part.href for cell in found.cells for part in (*cell.parts, *cell.below) if part.href]
    assert links == [f"sites/{SITE}.html", f"sites/{SITE}.html"], "the time and the name lead to the site's page"


def test_links_of_a_hostile_site_are_encoded() -> None:
    site = '"><img src=x>'
    found = row(facts(site=site))
    links = [part.href for cell in found.cells for part in cell.parts if part.href]
    assert links
    assert not any(set(link) & set('"<> ') for link in links)
    assert text(found.cells[1]) == site


@pytest.mark.parametrize(
    ("key", "latest", "tone", "note"),
    [
        ("updated", RUN, Tone.GREEN, "within 24 h"),
        ("updated", replace(RUN, ended=NOW - DAY - 1), Tone.NONE, ""),
        ("unlisted", RUN, Tone.RED, "errors"),
        ("unlisted", replace(RUN, unlisted_bad=0), Tone.NONE, ""),
        ("missing", replace(RUN, missing=100), Tone.NONE, ""),
        ("missing", replace(RUN, missing=101), Tone.RED, "over 100"),
        ("orphan", replace(RUN, orphan=1000), Tone.NONE, ""),
        ("orphan", replace(RUN, orphan=1001), Tone.RED, "over 1,000"),
        ("files", replace(RUN, files=0), Tone.RED, "none"),
    ],
)
def test_a_colour_comes_with_words(key: str, latest: Run, tone: Tone, note: str) -> None:
    (cell,) = [cell for cell in row(facts(latest)).cells if cell.key == key]
    assert (cell.tone, cell.note) == (tone, note)


def test_limits_are_those_of_the_site() -> None:
    (cell,) = [cell for cell in row(limits=ActionLimits(66, 1000)).cells if cell.key == "missing"]
    assert cell.tone == Tone.RED


def test_a_site_without_results_has_dashes_and_sorts_last() -> None:
    found = row(facts(None))
    assert text(found.cells[0]) == "never"
    assert {text(cell) for cell in found.cells[3:]} == {"-"}
    assert {cell.value for cell in found.cells if cell.key != "site"} == {None}
    assert not any(cell.tone for cell in found.cells)


def test_what_changed_stands_below_the_number() -> None:
    found = row(facts(changes=Changes(Changed(2, 1, 1234, 5), Changed(2, 1))))
    below = {cell.key: [part.text for part in cell.below] for cell in found.cells}
    assert below["missing"] == ["+1,234 −5", "blocks"]  # noqa: RUF001
    assert below["orphan"] == []


def test_what_the_last_run_could_not_see_is_told_apart_from_what_is_gone() -> None:
    found = row(facts(changes=Changes(Changed(2, 1, 0, 0, unseen=1234), Changed(2, 1, 1, 2, unseen=3))))
    below = {cell.key: [part.text for part in cell.below] for cell in found.cells}
    assert below["missing"] == ["+0 −0 ?1,234", "blocks"]  # noqa: RUF001
    assert below["orphan"] == ["+1 −2 ?3"]  # noqa: RUF001
    (part,) = next(cell for cell in found.cells if cell.key == "orphan").below
    assert part.about == (
        "1 new and 2 gone since the run before; 3 not seen, since the last run did not look there, or could not"
    )


def test_the_state_and_what_is_done_with_results_stand_below_the_name() -> None:
    assert [part.text for part in row().cells[1].below] == ["ready", "acting"]


def test_where_the_last_run_did_not_look_the_list_of_an_earlier_one_is_named_and_no_number() -> None:
    cells = {cell.key: cell for cell in row(facts(replace(RUN, unmerged=None, unmerged_logs=None))).cells}
    (part,) = cells["unmerged"].parts
    assert (part.text, part.href) == ("list", f"{SITE}_unmerged.txt")
    assert cells["unmerged"].value is None
