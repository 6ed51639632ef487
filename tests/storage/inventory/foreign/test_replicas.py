"""Replicas of Rucio in tables of all kinds: what a state says of a file, and where one is of which no path is said."""

from __future__ import annotations

import csv
import gzip
import io
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, UNSETTLED_MTIME
from engine.lfn2path import hash_path
from storage.inventory import InventoryError
from tests.storage.inventory.foreign.reading import Read, read, read_file

WHEN = 1_767_323_045
MOMENT = "2026-01-02 03:04:05"

Row = dict[str, Any]
Write = Callable[[Path, list[Row]], None]


def as_csv(path: Path, rows: list[Row]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue())


def as_quoted_csv(path: Path, rows: list[Row]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode()))


def as_tsv(path: Path, rows: list[Row]) -> None:
    lines = [list(rows[0]), *(["" if value is None else str(value) for value in row.values()] for row in rows)]
    path.write_text("".join("\t".join(fields) + "\n" for fields in lines))


def as_parquet(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def as_avro(path: Path, rows: list[Row]) -> None:
    fields = [{"name": name, "type": ["null", "long", "string"]} for name in rows[0]]
    with path.open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "replica", "fields": fields}, rows)


def as_sqlite(path: Path, rows: list[Row]) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE files ({', '.join(rows[0])})")
    marks = ", ".join("?" * len(rows[0]))
    connection.executemany(f"INSERT INTO files VALUES ({marks})", [tuple(row.values()) for row in rows])
    connection.commit()
    connection.close()


WRITERS = [as_csv, as_quoted_csv, as_tsv, as_parquet, as_avro, as_sqlite]


def written(write: Write, tmp_path: Path, *rows: Row, **options: Any) -> Read:
    path = tmp_path / "replicas"
    write(path, list(rows))
    return read_file(path, **{"root": b"/top", **options})


def replica(rse: str, scope: str, name: str, state: str, path: str | None = None, **others: Any) -> Row:
    own = {"rse": rse, "scope": scope, "name": name, "checksum": "0a1b2c3d", "size": 7, "creation_date": "2020-01-01"}
    return {**own, "path": path, "update_date": MOMENT, "state": state, **others}


@pytest.mark.parametrize("write", WRITERS)
def test_a_replica_is_where_its_path_says_or_follows_from_its_name(write: Write, tmp_path: Path) -> None:
    rows = [
        *(replica("X", "mc", "a", "A"), replica("X", "user.me", "b.root", "A"), replica("Y", "mc", "other", "A")),
        *(replica("X", "mc", "c", state) for state in "CUTBD"),
        *(replica("X", "mc", "d", "A", "sub/e"), replica("X", "cms", "/store/f", "A", update_date=None)),
    ]
    found = written(write, tmp_path, *rows, site="X")
    unsettled = (b"/top/mc/c", UNKNOWN_SIZE, UNSETTLED_MTIME)
    assert found.facts == [
        *((b"/top/mc/a", 7, WHEN), (b"/top/user/me/b.root", 7, WHEN)),
        *[unsettled] * 5,
        *((b"/top/sub/e", 7, WHEN), (b"/store/f", 7, 1_577_836_800)),
    ]
    with pytest.raises(InventoryError, match="no row of the RSE Z; its column of RSEs has: X"):
        read_file(tmp_path / "replicas", root=b"/top", site="Z")


@pytest.mark.parametrize("write", WRITERS)
def test_a_path_that_nobody_says_follows_from_the_name_as_somebody_says(write: Write, tmp_path: Path) -> None:
    found = written(write, tmp_path, replica("X", "mc", "a", "A"), replica("X", "mc", "b", "A"), lfn_to_path=hash_path)
    assert found.paths == [b"/top/" + hash_path(b"mc", name) for name in (b"a", b"b")]


@pytest.mark.parametrize("write", WRITERS)
def test_columns_may_be_called_as_in_the_database(write: Write, tmp_path: Path) -> None:
    row = {"RSE": "X", "SCOPE": "mc", "NAME": "a", "BYTES": 9, "UPDATED_AT": WHEN, "STATE": "A"}
    found = written(write, tmp_path, row, {**row, "NAME": "b", "STATE": "U"}, site="X")
    assert found.facts == [(b"/top/mc/a", 9, WHEN), (b"/top/mc/b", UNKNOWN_SIZE, UNSETTLED_MTIME)]


@pytest.mark.parametrize("write", WRITERS)
def test_a_state_of_files_that_are_named_by_path(write: Write, tmp_path: Path) -> None:
    rows = [{"lfn": f"/a/{state}", "size": 7, "state": state, "block": "b"} for state in "AUCBDT"]
    found = written(write, tmp_path, *rows)
    others = [(b"/a/%b" % state.encode(), UNKNOWN_SIZE, UNSETTLED_MTIME) for state in "UCBDT"]
    assert found.facts == [(b"/a/A", 7, UNKNOWN_MTIME), *others]


@pytest.mark.parametrize("write", WRITERS)
def test_a_state_that_nobody_knows_is_refused_with_its_line(write: Write, tmp_path: Path) -> None:
    rows = [{"lfn": f"/a/{state}", "size": 7, "state": state} for state in ("A", "online")]
    with pytest.raises(InventoryError, match=r"(line|row) [23]: expected a state, one of A, B, C, D, T, U, found"):
        written(write, tmp_path, *rows)


def test_milliseconds_of_replicas_are_none_of_seconds(tmp_path: Path) -> None:
    row = replica("X", "mc", "a", "A", update_date=WHEN * 1000)
    assert written(as_avro, tmp_path, row).facts == [(b"/top/mc/a", 7, WHEN)]


def test_a_header_without_states_means_that_all_are_available() -> None:
    head = b"rse\tscope\tname\tchecksum\tsize\tcreation_date\tpath\tupdate_date\n"
    row = b"X\tmc\tf\tab\t7\t2026-01-02 03:04:05\t\t\n"
    found = read(head + row, root=b"/top")
    assert (found.format, found.facts) == ("rucio", [(b"/top/mc/f", 7, WHEN)])


@pytest.mark.parametrize("write", WRITERS)
def test_an_rse_says_whose_a_row_is_also_where_paths_are_given(write: Write, tmp_path: Path) -> None:
    rows = [{"rse": rse, "lfn": f"/a/{rse}", "size": 7} for rse in ("X", "X_TAPE", "Y")]
    assert written(write, tmp_path, *rows, site="X").paths == [b"/a/X"]
    with pytest.raises(InventoryError, match="no row of the RSE Z; its column of RSEs has: X"):
        read_file(tmp_path / "replicas", site="Z")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("named", [{"scope": "mc", "name": "f"}, {"lfn": "/a/f"}], ids=["replicas", "paths"])
def test_the_rows_of_an_rse_go_by_its_name_and_those_of_a_site_by_that_of_the_site(
    write: Write, named: Row, tmp_path: Path
) -> None:
    """Also where one RSE is called as another one's site is."""
    rows = [{"rse": rse, "size": size, **named} for rse, size in (("T2_X", 1), ("T2_X_DISK", 2))]
    found = written(write, tmp_path, *rows, site="T2_X", rse="T2_X_DISK")
    assert [size for _, size, _ in found.facts] == [2]
    assert [size for _, size, _ in read_file(tmp_path / "replicas", root=b"/top", site="T2_X").facts] == [1]
    message = "no row of the RSE T2_X_TAPE; its column of RSEs has: T2_X, T2_X_DISK; Rucio.RSE names that of the site"
    with pytest.raises(InventoryError, match=message):
        read_file(tmp_path / "replicas", root=b"/top", site="T2_X", rse="T2_X_TAPE")

    sites = [{"site": site, "lfn": f"/a/{site}", "size": 1} for site in ("T2_X", "T2_Y")]
    (tmp_path / "sites").mkdir()
    assert written(write, tmp_path / "sites", *sites, site="T2_X", rse="T2_X_DISK").paths == [b"/a/T2_X"]
