"""No SQL is built from what somebody else has named: what stands in a statement is on a list that people have read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

RUNS_SQL = frozenset(("execute", "executemany", "executescript", "exec_driver_sql", "text"))

NUMBERS_AND_CONSTANTS = frozenset(
    (
        # Tables, columns and conditions that stand in the module itself or in storage/history/tables.py.
        *("table", "Table", "columns", "where", "key", "more", "source", "name", "select", "marks", "c", "kind"),
        *("COUNTS", "_NEW_BEATS", "_REPORTED", "_SITE", "_SITE_COLUMNS", "_STATS", "UNKNOWN_MTIME", "UNKNOWN_SIZE"),
        *("UNLISTED", "acted", "below", "condition", "counted", "entered", "remote", "seen", "size", "words"),
        # Numbers.
        *("run", "staged", "schema", "APPLICATION_ID", "VERSION", "_NAMED", "BUSY_SECONDS", "_AGAIN_SECONDS"),
        # Names of a foreign database, in quotes that are doubled.
        *("_quoted", "selected"),
        # Queries of `storage.migrations.Schema.reads`.
        "query",
    )
)
"""The variables that may be put into a statement; whoever adds one has looked at where its value comes from."""


def _statements(module: ast.Module) -> Iterator[tuple[ast.Call, ast.expr]]:
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if called in RUNS_SQL:
            yield node, node.args[0]


def _built(module: ast.Module, statement: ast.expr) -> Iterator[ast.expr]:
    """Give what is put into a statement; where that is a variable, into whatever is assigned to it in the module."""
    sources: list[ast.expr] = [statement]
    if isinstance(statement, ast.Name):
        assigned = [node for node in ast.walk(module) if isinstance(node, ast.Assign)]
        sources += [node.value for node in assigned if statement.id in map(ast.unparse, node.targets)]
    for source in sources:
        for node in ast.walk(source):
            if isinstance(node, ast.FormattedValue):
                yield node.value
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
                yield from (side for side in (node.left, node.right) if not isinstance(side, ast.Constant))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
                yield from (keyword.value for keyword in node.keywords)
                yield from node.args


def _names(expression: ast.expr) -> set[str]:
    if isinstance(expression, ast.Call) and ast.unparse(expression.func) == "_quoted":
        return {"_quoted"}
    bound = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)} - bound


def test_nothing_but_constants_and_numbers_is_put_into_sql() -> None:
    found = 0
    used: set[str] = set()
    strange = []
    for folder in ("storage", "actors", "cli", "dynamo_consistency"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            module = ast.parse(path.read_text())
            for call, statement in _statements(module):
                for expression in _built(module, statement):
                    found += 1
                    used |= _names(expression)
                    if unknown := _names(expression) - NUMBERS_AND_CONSTANTS:
                        strange.append(f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(expression)}: {unknown}")
    assert used >= NUMBERS_AND_CONSTANTS, "the list has what is not needed any more"
    assert found > 40, "statements are made in another way now"
    assert not strange, "\n".join(strange)


def test_a_statement_that_is_built_from_a_name_is_noticed() -> None:
    module = ast.parse("q = f'SELECT 1 FROM runs WHERE site = {site}'\nc.execute(q)\nc.execute('a' + lfn)\n")
    put = [_names(expression) for _, statement in _statements(module) for expression in _built(module, statement)]
    assert put == [{"site"}, {"lfn"}]
