"""Parquet and Avro: what their columns may be, and what is said where one cannot be read."""

from __future__ import annotations

import builtins
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.inventory import InventoryError, InventoryUnreadable, open_inventory
from storage.inventory.foreign.parquet import ParquetStream
from storage.inventory.misfits import ALL
from tests.storage.inventory.foreign.reading import read

WHEN = 1_767_323_045


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def avro(kinds: dict[str, Any], *records: dict[str, Any]) -> bytes:
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    file = io.BytesIO()
    fastavro.writer(file, {"type": "record", "name": "file", "fields": fields}, records, sync_interval=200)
    return file.getvalue()


NAMES = st.lists(
    st.binary(min_size=1, max_size=8).filter(lambda n: not set(n) & set(b"\0/") and n.strip(b".")), min_size=1
)


@settings(max_examples=60)
@given(NAMES, st.booleans(), st.booleans())
def test_names_may_be_any_bytes(names: list[bytes], slow: bool, packed: bool) -> None:
    paths = [b"/s/%b" % name for name in names]
    sizes, times = list(range(len(names))), [10**9 + n for n in range(len(names))]
    content = parquet(lfn=pa.array(paths, pa.binary()), size=sizes, mtime=times)
    with pytest.MonkeyPatch.context() as patch:
        if slow:
            patch.setattr(ParquetStream, "_quick", lambda *_arguments: None)
        found = read(gzip.compress(content) if packed else content)
    assert found.facts == list(zip(paths, sizes, times, strict=True))
    records = [{"path": path, "size": size, "mtime": time} for path, size, time in found.facts]
    assert read(avro({"path": "bytes", "size": "long", "mtime": "long"}, *records)).facts == found.facts


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([WHEN, None], pa.int32()), [WHEN, UNKNOWN_MTIME]),
        (pa.array([WHEN, None], pa.uint64()), [WHEN, UNKNOWN_MTIME]),
        (pa.array([WHEN * 1000 + 999, None], pa.timestamp("ms")), [WHEN, UNKNOWN_MTIME]),
        (pa.array([WHEN * 10**9, None], pa.timestamp("ns", "Europe/Zurich")), [WHEN, UNKNOWN_MTIME]),
        (pa.array(["2026-01-02 03:04:05", None]), [WHEN, UNKNOWN_MTIME]),
        (pa.array([WHEN + 0.5, None]), [WHEN, UNKNOWN_MTIME]),
        (pa.array([-1, 0], pa.timestamp("s")), [-1, 0]),
    ],
)
def test_times_may_be_of_any_kind(column: pa.Array, expected: list[int]) -> None:
    found = read(parquet(path=["/a/b", "/a/c"], mtime=column))
    assert [mtime for *_, mtime, _ in found.files] == expected


@pytest.mark.parametrize("sizes", [pa.array([7, None]), pa.array(["7", ""]), pa.array([7.0, None])])
def test_sizes_may_be_of_any_kind(sizes: pa.Array) -> None:
    found = read(parquet(path=["a/b", "c"], size=sizes), root=b"/top")
    assert found.facts == [(b"/top/a/b", 7, UNKNOWN_MTIME), (b"/top/c", UNKNOWN_SIZE, UNKNOWN_MTIME)]


def test_paths_may_be_a_dictionary_and_rows_have_sites() -> None:
    paths = pa.array(["/a/b", "/a/b", "/a/c"]).dictionary_encode()
    content = parquet(path=paths, site=["X", "Y", "X"], checksum=["ab", "cd", None])
    found = read(content, site="X")
    assert found.paths == [b"/a/b", b"/a/c"]
    assert found.sites == [b"X", b"X"]
    with pytest.raises(InventoryError, match="no row of the site Z"):
        read(content, site="Z")


def test_a_row_that_does_not_fit_has_its_number() -> None:
    content = parquet(path=["/a/b", "/a/../c", "/a/d"], size=[1, 2, -3])
    with pytest.raises(InventoryError, match=r'line 2: expected a path without "\." and "\.\." components'):
        read(content)
    found = read(content, allowed=ALL)
    assert found.facts == [(b"/a/b", 1, UNKNOWN_MTIME), (b"/a/d", UNKNOWN_SIZE, UNKNOWN_MTIME)]
    assert (found.misfits.count, found.misfits.lost) == (2, 1)

    content = avro(
        {"path": ["null", "string"], "size": "long"}, {"path": None, "size": 1}, {"path": "/a/b", "size": -1}
    )
    found = read(content, allowed=ALL)
    assert found.facts == [(b"/a/b", UNKNOWN_SIZE, UNKNOWN_MTIME)]
    assert (found.misfits.count, found.misfits.lost) == (2, 1)


@pytest.mark.parametrize("kind", ["parquet", "avro"])
def test_what_a_record_says_of_blocks_and_datasets_counts_beside_one_that_does_not_fit(
    tmp_path: Path, kind: str
) -> None:
    of = {"block": "d#1", "dataset": "d", "group": "g", "protected": "yes"}
    records: list[dict[str, Any]] = [{"path": f"/a/{n}", "size": 7, **of} for n in range(3)]
    records[1]["size"] = -7
    records.append({**records[0], "path": "/a/nul", "dataset": "d\0"})
    if kind == "parquet":
        content = parquet(**{name: [record[name] for record in records] for name in records[0]})
    else:
        content = avro(dict.fromkeys(records[0], "string") | {"size": "long"}, *records)
    (tmp_path / "dump").write_bytes(content)
    with open_inventory(tmp_path / "dump", allowed=ALL) as reading:
        (rows,) = list(reading.rows)
    assert rows.names == [b"0", b"1", b"2"]
    assert rows.sizes is not None
    assert rows.sizes.tolist() == [7, UNKNOWN_SIZE, 7]
    assert (rows.blocks, rows.datasets) == ([b"d#1"] * 3, [b"d"] * 3)
    assert (rows.groups, rows.protected) == ([b"g"] * 3, [b"yes"] * 3)
    # In a row of which one text cannot be read nobody can tell what else is wrong.
    assert (reading.misfits.count, reading.misfits.lost) == (2, 1)


@pytest.mark.parametrize("content", [parquet(x=["/a"]), avro({"x": "string"}, {"x": "/a"})], ids=["parquet", "avro"])
def test_without_a_column_of_paths_it_is_refused(content: bytes) -> None:
    with pytest.raises(InventoryError, match=r"expected .* \(lfn, path, file, name, pfn\), found \"x\""):
        read(content)


def test_a_file_that_is_damaged_is_refused() -> None:
    content = bytearray(parquet(path=[f"/a/{n}" for n in range(5000)]))
    for length in (8, len(content) // 2, len(content) - 1):
        with pytest.raises(InventoryUnreadable, match="the Parquet file is damaged, or cut off"):
            read(bytes(content[:length]))
    records = [{"path": f"/a/{n}"} for n in range(100)]
    content = bytearray(avro({"path": "string"}, *records))
    with pytest.raises(InventoryError, match=r"cut off|damaged"):
        read(bytes(content[:-3]))
    content[-10] ^= 0xFF
    with pytest.raises(InventoryError, match=r"cut off|damaged"):
        read(bytes(content))


def test_moments_of_avro_are_times() -> None:
    kinds = {"path": "string", "mtime": {"type": "long", "logicalType": "timestamp-millis"}}
    content = avro(kinds, {"path": "/a", "mtime": datetime.fromtimestamp(WHEN, UTC)})
    assert read(content).facts == [(b"/a", UNKNOWN_SIZE, WHEN)]


@contextmanager
def without(package: str) -> Iterator[None]:
    """Have a package seem not to be installed."""
    make = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return make(name, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "__import__", refuse)
        yield


@pytest.mark.parametrize(
    ("package", "content"),
    [("pyarrow", parquet(path=["/a"])), ("fastavro", avro({"path": "string"}, {"path": "/a"}))],
    ids=["pyarrow", "fastavro"],
)
def test_what_to_install_is_said(package: str, content: bytes) -> None:
    with without(package), pytest.raises(InventoryUnreadable, match=rf"dynamo-consistency\[dumps\]' brings {package}"):
        read(content)
