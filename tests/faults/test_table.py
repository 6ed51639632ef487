from __future__ import annotations

from tests.faults import table


def test_the_document_has_every_row() -> None:
    assert table.in_document() == table.as_markdown(table.rows()), "python -m tests.faults.table writes it anew"


def test_no_row_stands_twice() -> None:
    rows = [(row.area, row.fault) for row in table.rows()]
    assert sorted(set(rows)) == sorted(rows)
