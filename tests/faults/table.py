"""The table of faults: each is a test with a `fault` mark, which says what goes wrong and what must come out of it.

``python -m tests.faults.table`` puts the table into docs/reliability.md.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs/reliability.md"

BEGIN, END = "<!-- faults -->\n", "<!-- end of faults -->\n"


@dataclass(frozen=True)
class Row:
    """One fault: its area, what goes wrong, what must come out, on which runtimes, and whether it takes long.

    One that holds on both runtimes may run on ``quick_on`` alone where there is little time.
    """

    area: str
    fault: str
    outcome: str
    runtimes: str
    soak: bool
    quick_on: str = ""

    @property
    def when(self) -> str:
        """Which command runs it."""
        if self.quick_on:
            return f"`make test` on {self.quick_on}, `make soak` on both"
        return "`make soak`" if self.soak else "`make test`"


@dataclass
class Judged:
    """What a row found so far, and how much of it was false."""

    findings: int = 0
    false: int = 0


judged = Judged()


def rows() -> list[Row]:
    """Read the rows out of the tests, in the order of their files."""
    return [row for path in sorted(Path(__file__).parent.glob("test_*.py")) for row in _rows_of(path)]


def _rows_of(path: Path) -> Iterator[Row]:
    module = ast.parse(path.read_text())
    module_is_soak = any(
        isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node) and "mark.soak" in ast.unparse(node)
        for node in module.body
    )
    for node in module.body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        marks = {ast.unparse(mark.func if isinstance(mark, ast.Call) else mark): mark for mark in node.decorator_list}
        mark = marks.get("pytest.mark.fault")
        if not isinstance(mark, ast.Call):
            continue
        area, fault, outcome = (ast.literal_eval(argument) for argument in mark.args)
        arguments = {argument.arg for argument in node.args.args}
        runtimes = "both" if "runtime" in arguments else "ray" if "ray_env" in arguments else "threads"
        quick_on = marks.get("pytest.mark.quick_on")
        alone = ast.literal_eval(quick_on.args[0]) if isinstance(quick_on, ast.Call) else ""
        yield Row(area, fault, outcome, runtimes, module_is_soak or "pytest.mark.soak" in marks, alone)


def as_markdown(table: list[Row]) -> str:
    """Give the table as the document has it."""
    lines = []
    for area in dict.fromkeys(row.area for row in table):
        lines += ["", f"### {area[0].upper()}{area[1:]}", ""]
        lines += ["| what goes wrong | what comes out | runtimes | tried by |", "| --- | --- | --- | --- |"]
        of_area = [row for row in table if row.area == area]
        lines += [f"| {_cell(row.fault)} | {_cell(row.outcome)} | {row.runtimes} | {row.when} |" for row in of_area]
    return "\n".join(lines) + "\n\n"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def in_document() -> str:
    """Give the table that the document has now."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Bring the document up to date."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(before + BEGIN + as_markdown(rows()) + END + after)


def add_option(parser: pytest.Parser) -> None:
    """Declare what lets the long rows run."""
    parser.addoption("--soak", action="store_true", help="run the tests that take long as well")


def add_lister_option(parser: pytest.Parser) -> None:
    """Declare what has all sites of the rows listed by one lister or the other."""
    parser.addoption(
        "--lister", choices=("auto", "bindings", "wire"), help="what the sites of the table are listed with"
    )


def add_marks(config: pytest.Config) -> None:
    """Declare the marks."""
    config.addinivalue_line("markers", "fault(area, fault, outcome): a row of the table of faults")
    config.addinivalue_line("markers", "soak: takes long; runs with --soak only")
    config.addinivalue_line("markers", "quick_on(runtime): of the two that it holds on; on both with --soak only")


def leave_out_soak(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out unless they are asked for."""
    if config.getoption("--soak"):
        return
    long = {item for item in items if item.get_closest_marker("soak") or _is_on_the_other(item)}
    config.hook.pytest_deselected(items=list(long))
    items[:] = [item for item in items if item not in long]


def _is_on_the_other(item: pytest.Item) -> bool:
    """Whether a row that runs on one of the runtimes where there is little time is on the other one here."""
    quick_on = item.get_closest_marker("quick_on")
    return quick_on is not None and item.callspec.params["runtime"] != quick_on.args[0]  # type: ignore[attr-defined]


def note_row(item: pytest.Item) -> None:
    """Have every report of a test carry its row, wherever the test runs."""
    mark = item.get_closest_marker("fault")
    if mark is not None:
        item.user_properties.append(("fault", [*mark.args, item.name.partition("[")[2].rstrip("]")]))


def note_judged(item: pytest.Item) -> None:
    """Have the report carry how many findings the test held against the truth, and how many were false."""
    item.user_properties.append(("judged", [judged.findings, judged.false]))
    judged.findings = judged.false = 0


_WORST = ("error", "failed", "skipped", "passed")


def print_table(reporter: pytest.TerminalReporter) -> None:
    """Print the rows that ran, each with how it ended, and the number of false findings."""
    ended: dict[str, tuple[str, dict[str, list[Any]]]] = {}
    for outcome in reversed(_WORST):
        for report in reporter.stats.get(outcome, []):
            properties = dict(getattr(report, "user_properties", ()))
            if "fault" in properties:
                ended[report.nodeid] = (outcome, properties)
    if not ended:
        return
    reporter.section("faults")
    area = ""
    for _, (outcome, properties) in sorted(ended.items()):
        row_area, fault, comes_out, variant = properties["fault"]
        if row_area != area:
            area = row_area
            reporter.write_line(f"{area}:")
        reporter.write_line(f"  {outcome:8}{fault}{f' [{variant}]' if variant else ''} -> {comes_out}")
    counts = [properties.get("judged", [0, 0]) for _, properties in ended.values()]
    findings, false = sum(count for count, _ in counts), sum(count for _, count in counts)
    reporter.write_line(f"rows: {len(ended)}; findings held against the truth: {findings}, false: {false}")


if __name__ == "__main__":
    main()
