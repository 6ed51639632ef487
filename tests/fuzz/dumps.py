"""Damages dumps of other programs, and reads them by the quick way and one by one, in chunks of any size."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.inventory import InventoryError, open_inventory
from storage.inventory.foreign.avro_blocks import FlatSchema
from storage.inventory.foreign.lines import LineReader
from storage.inventory.foreign.series import Series
from storage.inventory.foreign.template import Template
from storage.inventory.misfits import ALL
from tests.fuzz.damage import damaged
from tests.storage.inventory.foreign import writers
from tests.storage.inventory.foreign.test_avro_blocks import written
from tests.storage.inventory.foreign.test_golden import GOLDEN
from tests.storage.inventory.foreign.test_round_trips import JSON, LENGTHS, LINES, TEXTS
from tests.storage.inventory.foreign.writers import File, lines

_TOKENS = (
    *(
        b"\n",
        b"|",
        b"\t",
        b" ",
        b"/",
        b"//",
        b"=",
        b'"',
        b"<",
        b">",
        b"&",
        b"&amp;",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
    ),
    *(b" size=", b" mtime=", b"keylength.file=", b" file=", b"</entry>", b"<entry", b"<!--", b"-->", b"]]>", b"\r\n"),
    *(
        b'"IsDir":true',
        b'"Path":"',
        b"\\u0000",
        b"\\udcff",
        b"/./",
        b"/../",
        b"\0",
        b"\xff",
        b"\xef\xbf\xbd",
        b"N/A",
        b"#",
    ),
    *(b"-1", b"99999999999999999999", b"1e9", b"2026-02-30 00:00:00", b"d", b"drwxr-xr-x a b 1 ", b"0", b" ", b"."),
)
_FORMS = {**LINES, **TEXTS, **JSON, "lengths": LENGTHS, "ral": ("ral", lines(writers.ral))}
_NAMES = (b"f%d.root", b"with blank %d", b"%d", b"a=b%d", b"x size=%d", b"a|7|%d", b".%d", b"\xc3\xa9%d")

_PATH = re.compile(rb"(?:/[^/\0]+)+", re.DOTALL)

Facts = tuple[list[tuple[bytes, int, int, bytes]], int, int]
"""Files with size, time and site, and how many lines did not fit, and how many of these are lost."""


class DumpFuzzer:
    """Damages dumps of every format."""

    name = "dumps"

    def __init__(self, directory: Path) -> None:
        chance = random.Random(3)
        self._path = directory / "dump"
        self._dumps = [_make(chance, form) for form in _FORMS for _ in range(8)]
        self._dumps += [_make_records(chance) for _ in range(8)]
        self._dumps += [path.read_bytes() for path in sorted(GOLDEN.iterdir())]

    def try_one(self, chance: random.Random) -> str:
        """Try one damaged dump."""
        content = damaged(chance, chance.choice(self._dumps), self._dumps, _TOKENS)
        self._path.write_bytes(content)
        allowed = chance.choice((0.0, ALL))
        sizes = chance.choice((1, 7, 64, 512, 1 << 20)), 1 << 20
        with _slowly():
            careful = self._read(allowed, sizes[1])
        quick = self._read(allowed, sizes[0])
        assert quick == careful, "the quick way gives something else"
        return "refused" if quick is None else "read"

    def _read(self, allowed: float, chunk_size: int) -> Facts | None:
        found: list[tuple[bytes, int, int, bytes]] = []
        try:
            with open_inventory(
                self._path, root=b"/top", allowed=allowed, allowed_in_lists=allowed, chunk_size=chunk_size
            ) as reading:
                for rows in reading.rows:
                    count = len(rows.names)
                    columns = (
                        [above + b"/" + name for above, name in zip(rows.directories, rows.names, strict=True)],
                        [UNKNOWN_SIZE] * count if rows.sizes is None else rows.sizes.tolist(),
                        [UNKNOWN_MTIME] * count if rows.mtimes is None else rows.mtimes.tolist(),
                        [b""] * count if rows.sites is None else rows.sites,
                    )
                    found += zip(*columns, strict=True)
        except InventoryError as error:
            if "\n" in str(error):
                raise ValueError("a message of several lines") from error
            return None
        for path, size, _, _ in found:
            assert _PATH.fullmatch(path), path
            assert size >= 0 or size == UNKNOWN_SIZE
        return found, reading.misfits.count, reading.misfits.lost


@contextmanager
def _slowly() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Template, "find", lambda *_arguments: None)
        patch.setattr(Series, "find", lambda *_arguments: None)
        patch.setattr(FlatSchema, "of", lambda *_arguments: None)
        for reader in LineReader.__subclasses__():
            patch.setattr(reader, "quick", lambda *_arguments: None)
        yield


def _make(chance: random.Random, form: str) -> bytes:
    files = {
        b"/s/d%d/%b" % (chance.randrange(3), chance.choice(_NAMES) % chance.randrange(50)): chance.randrange(10**12)
        for _ in range(chance.randrange(2, 40))
    }
    found = [File(path, size, 1_500_000_000 + size % 1000) for path, size in sorted(files.items())]
    return _FORMS[form][1](found)


def _make_records(chance: random.Random) -> bytes:
    """Make a file of Avro, some of whose fields may be null."""
    kinds: dict[str, Any] = {"lfn": "string", "size": "long", "mtime": "long"}
    if chance.random() < 0.5:
        kinds = {name: ["null", kind] for name, kind in kinds.items()}
    records = [{"lfn": f"/s/d{n // 9}/{'long' * (n % 30)}{n}", "size": n * n, "mtime": 10**9 + n} for n in range(40)]
    return written(kinds, records, sync_interval=chance.choice((100, 16_000)))
