"""Blocks of Avro that are read by columns say the same as record by record, or are left to that."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.inventory import InventoryError
from storage.inventory.foreign import avro
from storage.inventory.foreign.avro_blocks import FlatSchema
from storage.inventory.misfits import ALL
from tests.storage.inventory.foreign.reading import read

PLAIN = {"lfn": "string", "size": "long", "mtime": "long"}
MILLIS, MICROS = ({"type": "long", "logicalType": f"timestamp-{unit}"} for unit in ("millis", "micros"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TEXTS = st.one_of(
    st.integers(0, 200).map(lambda length: "/s/" + "x" * length),
    st.sampled_from(
        ["/s/d/e", "/s/\u00e9", "/" + "long/" * 40 + "f", "/s/f\ng", "/s//h", "/s/../i", "j/k", "", "/", "/s/\0"]
    ),
    st.text(max_size=70).map("/".__add__),
)
NUMBERS = st.one_of(st.integers(0, 10**6), st.sampled_from([0, 63, 64, 2**55 - 1, 2**55, 2**63 - 1, -1, -(2**62)]))
MOMENTS = st.one_of(st.integers(0, 2**33), st.sampled_from([0, -1, 253_402_300_799])).map(
    lambda seconds: EPOCH + timedelta(seconds=seconds, microseconds=999_000)
)
KINDS: tuple[tuple[Any, st.SearchStrategy[Any]], ...] = (
    *(("string", TEXTS), ("bytes", TEXTS.map(str.encode)), ("bytes", st.binary(max_size=70))),
    *(
        ("long", NUMBERS),
        ("int", st.integers(-(2**31), 2**31 - 1)),
        ("boolean", st.booleans()),
        ("double", st.floats()),
    ),
    *(("float", st.just(0.5)), (MILLIS, MOMENTS), (MICROS, MOMENTS), ({"type": "int", "logicalType": "date"}, MOMENTS)),
    ({"type": "fixed", "name": "eight", "size": 8}, st.binary(min_size=8, max_size=8)),
    ({"type": "enum", "name": "kind", "symbols": ["A", "B"]}, st.sampled_from(["A", "B"])),
    ({"type": "array", "items": "long"}, st.lists(st.integers(0, 9), max_size=3)),
)
COLUMNS = ("lfn", "size", "mtime", "block", "checksum", "site", "x", "y")


def written(kinds: Mapping[str, Any], records: Sequence[Mapping[str, Any]], **options: Any) -> bytes:
    """Write a file; a name of a type that was there before stands for it."""
    fields, known = [], set[str]()
    for name, kind in kinds.items():
        again = isinstance(kind, dict) and kind.get("name") in known
        fields.append({"name": name, "type": kind["name"] if again else kind})
        known.add(kind.get("name", "") if isinstance(kind, dict) else "")
    file = io.BytesIO()
    fastavro.writer(file, {"type": "record", "name": "file", "fields": fields}, records, **options)
    return file.getvalue()


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Write records of some fields in any order, most of them as they are in an inventory, perhaps damaged."""
    usual = {"lfn": KINDS[0], "size": KINDS[3], "mtime": draw(st.sampled_from([KINDS[3], KINDS[8], KINDS[9]]))}
    kinds: dict[str, Any] = {}
    values: dict[str, st.SearchStrategy[Any]] = {}
    chosen = draw(st.lists(st.sampled_from(COLUMNS[1:]), unique=True, max_size=5))
    for name in draw(st.permutations(["lfn", *chosen])):
        common = draw(st.integers(0, 3)) > 0
        kind, value = usual.get(name, KINDS[0]) if common else draw(st.sampled_from(KINDS))
        if name == "size" and common:
            value = st.integers(0, 10**12)
        union = draw(st.integers(0, 3))
        if union < 2 and not (isinstance(kind, dict) and "name" in kind):
            kind = [kind, "null"] if union else ["null", kind]
            value = st.one_of(st.none(), value, value) if name != "lfn" or draw(st.integers(0, 4)) == 0 else value
        kinds[name], values[name] = kind, value
    if draw(st.booleans()) and kinds["lfn"] == "string":
        values["lfn"] = st.integers(0, 99).map("/store/data/file{:05d}.root".format)
    records = draw(st.lists(st.fixed_dictionaries(values), min_size=1, max_size=25))
    codec, interval = draw(st.sampled_from(["null", "null", "deflate"])), draw(st.sampled_from([1, 100, 16000]))
    try:
        content = written(kinds, records, codec=codec, sync_interval=interval)
    except (ValueError, TypeError, OverflowError):
        # What cannot be encoded is in no file.
        content = written(PLAIN, [{"lfn": "/a", "size": 1, "mtime": 1}] * 5)
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(max(len(content) - 400, 0), len(content) - 1))
        content = (
            content[:at] + draw(st.sampled_from([b"", b"\0", b"\xff", b"\x02", b"/", b"\x80"])) + content[at + 1 :]
        )
    return content


@contextmanager
def one_by_one() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlatSchema, "of", lambda *_arguments: None)
        yield


def outcome(content: bytes, allowed: float) -> object:
    """Say what was read, or what was expected of which record."""
    try:
        found = read(content, root=b"/top", allowed=allowed)
    except InventoryError as error:
        return type(error), str(error).partition("/dump")[2]
    said = [(misfit.line, misfit.expected, misfit.found) for misfit in found.misfits.first]
    return found.files, found.sites, found.lines, found.misfits.count, found.misfits.lost, said


@settings(max_examples=100, deadline=None)
@given(files(), st.sampled_from([0.0, ALL]), st.sampled_from([1, 200, 1 << 20]))
def test_columns_say_the_same_as_records(content: bytes, allowed: float, together: int) -> None:
    # Where a file is damaged, messages say behind which of the blocks that are read together.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(avro, "_TOGETHER", together)
        quick = outcome(content, allowed)
        with one_by_one():
            assert quick == outcome(content, allowed)


def nullable(kinds: Mapping[str, Any]) -> dict[str, Any]:
    return {name: ["null", kind] for name, kind in kinds.items()}


MANY = [{"lfn": f"/s/d{n // 100}/file.{n:05d}", "size": n * n, "mtime": 10**9 + n} for n in range(20_000)]
DEEP = [{**record, "lfn": f"/store/{'deep/' * 12}{record['lfn'][1:]}"} for record in MANY]
MIXED = [deep if n % 3 else plain for n, (deep, plain) in enumerate(zip(DEEP, MANY, strict=True))]


@pytest.mark.parametrize("records", [MANY, DEEP, MIXED], ids=["short", "deep", "mixed"])
@pytest.mark.parametrize(
    ("kinds", "options"),
    [
        (PLAIN, {}),
        (PLAIN, {"codec": "deflate", "sync_interval": 64_000}),
        (nullable(PLAIN), {"sync_interval": 1000}),
        ({"size": "long", "mtime": "long", "lfn": "bytes"}, {}),
        ({"mtime": "long", "lfn": ["string", "null"], "size": ["long", "null"]}, {}),
    ],
)
def test_of_many_records_none_is_read_by_itself(
    records: list[dict[str, Any]], kinds: dict[str, Any], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(avro.AvroStream, "_one_by_one", None)
    rows = [{**record, "lfn": record["lfn"].encode()} for record in records] if kinds["lfn"] == "bytes" else records
    found = read(written(kinds, rows, **options))
    assert found.facts == [(record["lfn"].encode(), record["size"], record["mtime"]) for record in records]
    assert found.lines == len(records)


def test_numbers_and_texts_that_are_null_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avro.AvroStream, "_one_by_one", None)
    kinds = {"path": "string", **nullable({"size": "long", "mtime": MILLIS, "checksum": "string", "site": "string"})}
    when = EPOCH + timedelta(seconds=1_500_000_000, milliseconds=999)
    full = {"path": "/a/b", "size": 7, "mtime": when, "checksum": "ab", "site": "X"}
    found = read(written(kinds, [full, {"path": "/a/c"}, full]))
    assert found.files[:2] == [(b"/a/b", 7, 1_500_000_000, b"ab"), (b"/a/c", -1, -(2**63), b"")]
    assert found.sites == [b"X", b"", b"X"]


def test_a_block_that_is_odd_is_read_one_by_one_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [{**record, "lfn": "/s/../x"} if n == 9000 else record for n, record in enumerate(MANY)]
    monkeypatch.setattr(avro, "_TOGETHER", 1)
    content = written(PLAIN, records)
    with pytest.raises(InventoryError, match=r'line 9001: expected a path without "\."'):
        read(content)
    found = read(content, allowed=0.001)
    assert (len(found.files), found.misfits.lost, found.lines) == (len(MANY) - 1, 1, len(MANY))
    cut = content[: len(content) // 2]
    with pytest.raises(InventoryError, match=r"line 9001: expected"):
        read(cut)
